"""Reads the model's files that the flags name: config and vocabulary."""

from typing import Any

from absl import flags

from bert_tf import files, pretrained
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.programs.program import refuse, require_existing, value_of
from bert_tf.tokenization import (
    FullTokenizer,
    TokenizerSettings,
    check_casing,
    check_size,
)

FLAGS = flags.FLAGS


def pooling_settings(config: BertConfig) -> dict[str, Any]:
    """Arguments of the `BertEmbedder` that the flags ask for.

    Raises:
        UserError: flags contradict each other, or the model does not have the
            layer.
    """
    layers: tuple[int, ...] = (-1,)
    if FLAGS.pooling == "cls_pooled":
        refuse("--pooling=cls_pooled uses the last layer", "pooling_layer")
    else:
        layers = chosen_layers("pooling_layer", config)
    _check_dimension(len(layers) * config.hidden_size)
    return {
        "pooling": FLAGS.pooling,
        "layers": layers,
        "normalize": FLAGS.normalize,
        "dimension": FLAGS.dimension,
    }


def _check_dimension(size: int) -> None:
    """Raises UserError if --dimension is more than vectors have.

    Args:
        size: components of a vector of --pooling=mean.
    """
    size *= 2 if FLAGS.pooling == "mean_max" else 1
    if FLAGS.dimension is not None and FLAGS.dimension > size:
        raise UserError(
            f"vectors have {size} components",
            setting="dimension",
            value=FLAGS.dimension,
        )


def chosen_layers(name: str, config: BertConfig) -> tuple[int, ...]:
    """The layers that a flag names.

    Args:
        name: the flag. If it was not given, layers of its default that the
            model does not have are left out.
        config: the model's.

    Raises:
        UserError: its value is not a list of numbers, or the model does not
            have the layer.
    """
    flag = FLAGS[name]
    try:
        layers = tuple(map(int, value_of(name).split(",")))
    except ValueError:
        raise UserError(
            "whole numbers are needed, separated by commas",
            setting=name,
            value=flag.value,
        ) from None
    number = config.num_hidden_layers
    known = [i for i in layers if i in range(-number, number)]
    if flag.using_default_value and known:
        return tuple(known)
    if len(known) < len(layers):
        raise UserError(
            f"the model has {number} layers, from -{number} to -1, or 0 to "
            f"{number - 1} ({FLAGS.bert_config_file})",
            setting=name,
            value=flag.value,
        )
    return layers


def tokenizer_settings() -> TokenizerSettings:
    """How the flags say that texts become words."""
    return TokenizerSettings.of(FLAGS.flag_values_dict())


def tokenizer_arguments() -> dict[str, Any]:
    """The same as keyword arguments of all that tokenizes texts."""
    return tokenizer_settings().tokenizer_arguments()


def read_tokenizer() -> FullTokenizer:
    """The tokenizer of the flags.

    Raises:
        UserError: the vocabulary cannot be used.
    """
    return FullTokenizer(FLAGS.vocab_file, **tokenizer_arguments())


def require_config() -> None:
    """Raises UserError unless --bert_config_file names a model's config.

    What --pretrained names, now or in an earlier run, may be a folder, or a
    checkpoint that has its sizes in its weights alone.
    """
    path = value_of("bert_config_file")
    is_given = not FLAGS["bert_config_file"].using_default_value
    if is_given or not (files.exists(path) or files.exists(f"{path}.index")):
        require_existing("bert_config_file")


def read_config_and_tokenizer() -> tuple[BertConfig, FullTokenizer]:
    """Reads the files of the flags, and checks them against each other.

    Raises:
        UserError: a file is missing or wrong, the vocabulary does not fit the
            model, or the casing contradicts the vocabulary.
    """
    require_existing("vocab_file")
    require_config()
    config = pretrained.read_config(FLAGS.bert_config_file)
    tokenizer = read_tokenizer()
    check_size(
        tokenizer.vocab,
        config.vocab_size,
        f"--vocab_file={FLAGS.vocab_file}",
        FLAGS.bert_config_file,
    )
    check_casing(tokenizer.vocab, FLAGS.do_lower_case)
    return config, tokenizer


def read_model_files() -> tuple[BertConfig, FullTokenizer]:
    """`read_config_and_tokenizer`, for a program with --max_seq_length.

    Raises:
        UserError: see there; or sequences are longer than the model's.
    """
    config, tokenizer = read_config_and_tokenizer()
    check_length(config)
    return config, tokenizer


def check_length(config: BertConfig) -> None:
    """Raises UserError if sequences are longer than the model's."""
    if FLAGS.max_seq_length is None:  # It is chosen later.
        return
    if FLAGS.max_seq_length > config.max_position_embeddings:
        raise UserError(
            f"`max_seq_length`={FLAGS.max_seq_length} exceeds the "
            f"max_position_embeddings={config.max_position_embeddings} of "
            f"{FLAGS.bert_config_file}"
        )
