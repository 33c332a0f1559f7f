"""Reads the model's files that the flags name: config, vocabulary, layers."""

from absl import flags

from bert_tf import pretrained
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.programs.program import refuse, require_existing
from bert_tf.tokenization import FullTokenizer, check_casing, check_size

FLAGS = flags.FLAGS


def pooling_settings(config: BertConfig) -> dict:
    """Arguments of the `BertEmbedder` that the flags ask for.

    Raises:
        UserError: flags contradict each other, or there is no such layer.
    """
    settings = {"pooling": FLAGS.pooling, "normalize": FLAGS.normalize}
    if FLAGS.pooling == "cls_pooled":
        refuse(
            "--pooling=cls_pooled is made of the last layer", "pooling_layer"
        )
        return {**settings, "layers": (-1,)}
    return {**settings, "layers": chosen_layers("pooling_layer", config)}


def chosen_layers(name: str, config) -> tuple:
    """The layers that a flag names.

    Raises:
        UserError: the flag names none, or one that the model has not.
    """
    flag = FLAGS[name]
    try:
        layers = tuple(map(int, flag.value.split(",")))
    except ValueError:
        raise UserError(
            f"--{name}={flag.value}: whole numbers are needed, commas between"
        ) from None
    number = config.num_hidden_layers
    known = [i for i in layers if i in range(-number, number)]
    if flag.using_default_value and known:
        return tuple(known)
    if len(known) < len(layers):
        raise UserError(
            f"--{name}={flag.value}: the model has {number} layers, from "
            f"-{number} to -1, or 0 to {number - 1} ({FLAGS.bert_config_file})"
        )
    return layers


def use_bundled_model_if_none_is_given():
    """Sets the three flags of the model, of which all or none are given.

    Raises:
        UserError: some are given, and not the others.
    """
    names = list(pretrained.BUNDLED_MODEL)
    missing = [f"--{name}" for name in names if FLAGS[name].value is None]
    if missing and len(missing) < len(names):
        raise UserError(
            f"{', '.join(missing)} must be given too: the bundled model is "
            "used where no file is named"
        )
    for name, value in pretrained.BUNDLED_MODEL.items():
        FLAGS.set_default(name, value)  # Changes no flag that was given.


def read_config_and_tokenizer():
    """(BertConfig, FullTokenizer) of the flags, checked against each other.

    Raises:
        UserError: a file is missing or wrong, the vocabulary does not fit the
            model, or the casing contradicts the vocabulary.
    """
    require_existing("bert_config_file", "vocab_file")
    config = BertConfig.from_json_file(FLAGS.bert_config_file)
    tokenizer = FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
    check_size(
        tokenizer.vocab,
        config.vocab_size,
        f"--vocab_file={FLAGS.vocab_file}",
        FLAGS.bert_config_file,
    )
    check_casing(tokenizer.vocab, FLAGS.do_lower_case)
    return config, tokenizer


def read_model_files():
    """`read_config_and_tokenizer`, for a program with --max_seq_length.

    Raises:
        UserError: of the same, or sequences are longer than the model's.
    """
    config, tokenizer = read_config_and_tokenizer()
    check_length(config)
    return config, tokenizer


def check_length(config: BertConfig):
    """Raises UserError where sequences are longer than the model's."""
    if FLAGS.max_seq_length > config.max_position_embeddings:
        raise UserError(
            f"--max_seq_length={FLAGS.max_seq_length} exceeds the "
            f"max_position_embeddings={config.max_position_embeddings} of "
            f"{FLAGS.bert_config_file}"
        )
