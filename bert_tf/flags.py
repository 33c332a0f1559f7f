"""Each flag that programs share, defined once, and how programs start.

Names, defaults and meanings are the original's; what it does not have stands
under "Not in the original".
"""

import math
import os
import re
import signal
import sys

import tensorflow as tf
from absl import app, flags, logging

from bert_tf import files, pretrained
from bert_tf.config import BertConfig
from bert_tf.data import glue, tables
from bert_tf.data.features import MIN_SEQ_LENGTH
from bert_tf.data.text_reader import LONG_DOCUMENTS
from bert_tf.distribution import STRATEGIES
from bert_tf.errors import UserError
from bert_tf.heads import POOLINGS
from bert_tf.optimization import OPTIMIZERS
from bert_tf.pooling import POOLINGS as VECTOR_POOLINGS
from bert_tf.tokenization import FullTokenizer, check_casing, check_size
from bert_tf.training import POLICIES

FLAGS = flags.FLAGS
# What is asked of an export, and has no sense without one.
EXPORT_FLAGS = (
    *("export_precision", "export_tflite"),
    *("export_batch_size", "export_pad_to_max_length"),
)
POOLING_FLAGS = ("pooling", "pooling_layer", "normalize")
MAX_COUNT = 2**31 - 1

# What TensorFlow raises for a path or a file system that it cannot use.
_PATH_ERRORS = (
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnimplementedError,
)


def define_network_flags():
    flags.DEFINE_string(
        "bert_config_file",
        None,
        "bert_config.json of the model: the shape of its network.",
    )
    flags.DEFINE_string(
        "init_checkpoint",
        None,
        "Prefix of the checkpoint to start from, pretrained or fine-tuned, "
        "such as uncased_L-12_H-768_A-12/bert_model.ckpt.",
    )


def define_model_flags():
    define_network_flags()
    flags.DEFINE_string(
        "output_dir", None, "Folder for checkpoints and results."
    )


def define_casing_flag():
    flags.DEFINE_bool(
        "do_lower_case",
        True,
        "Lower-case the text and drop accents: True for uncased models, "
        "False for cased ones.",
    )
    # Not a flag of the original, but its README writes --do_lower=False.
    flags.DEFINE_alias("do_lower", "do_lower_case")


def define_vocab_flags():
    flags.DEFINE_string(
        "vocab_file", None, "vocab.txt that the model was trained with."
    )
    define_casing_flag()


def define_text_files_flag():
    """What `matching_files` reads."""
    flags.DEFINE_string(
        "input_file",
        None,
        "Text files, patterns such as a/*.txt; commas between.",
    )


def define_text_flags(max_seq_length: int):
    define_vocab_flags()
    define_count(
        "max_seq_length",
        max_seq_length,
        "Longest sequence in WordPieces, [CLS] and [SEP] included. Longer "
        "texts are truncated.",
        lower_bound=MIN_SEQ_LENGTH,
    )
    # Not in the original, where it is always so.
    flags.DEFINE_bool(
        "pad_to_max_length",
        False,
        "Pad every sequence to --max_seq_length, instead of each batch to its "
        "longest. Always done with --use_tpu.",
    )
    flags.DEFINE_bool(
        "group_by_length",
        False,
        "Train on batches of examples of like length: faster, as little is "
        "padding. Not where length tells something about the label.",
    )
    flags.DEFINE_bool(
        "write_tf_records",
        False,
        "First convert the examples to the original's train.tf_record, "
        "eval.tf_record and predict.tf_record in --output_dir, and read those.",
    )


def define_count(
    name: str,
    default: int | None,
    description: str,
    lower_bound=1,
    upper_bound=MAX_COUNT,
):
    """A whole number that fits an int32, TensorFlow's own for sizes."""
    flags.DEFINE_integer(
        name,
        default,
        description,
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def define_float(name: str, default: float, description: str, **bounds):
    """A float flag that does not take "nan" and "inf" for numbers."""
    flags.DEFINE_float(name, default, description, **bounds)
    flags.register_validator(
        name, math.isfinite, message="must be a finite number"
    )


def define_training_flags():
    define_count("train_batch_size", 32, "Examples in a training step.")
    define_float(
        "learning_rate",
        5e-5,
        "Learning rate that warm-up rises towards and that falls to 0.",
        lower_bound=0.0,
    )
    define_count(
        "save_checkpoints_steps", 1000, "Steps between two checkpoints."
    )
    define_count(
        "iterations_per_loop",
        1000,
        "Steps that run on the device without a return to Python, at most.",
    )
    # What follows is not in the original.
    define_count(
        "seed",
        12345,
        "Of the new weights, the order of examples and dropout.",
        lower_bound=0,
    )
    flags.DEFINE_bool(
        "deterministic",
        False,
        "Use only operations that give the same bits every time; slower on "
        "GPUs. On a CPU it is so anyway.",
    )
    flags.DEFINE_enum(
        "optimizer",
        "adamw",
        list(OPTIMIZERS),
        "adamw, the original's; or lamb, for large batches.",
    )
    define_count(
        "gradient_accumulation_steps",
        1,
        "Take each batch in so many parts, one after the other: the same "
        "result with the memory of one part.",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        list(POLICIES),
        "What layers compute in. Variables stay float32.",
    )
    flags.DEFINE_bool(
        "xla", False, "Compile the forward and backward pass with XLA."
    )
    flags.DEFINE_bool(
        "remat",
        False,
        "Compute each layer anew in the backward pass instead of keeping what "
        "is inside it: a third more time, far less memory.",
    )
    define_float(
        "layerwise_lr_decay",
        1.0,
        "Factor from each layer's learning rate to that of the one below it.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_string(
        "freeze_layers",
        None,
        "What is not trained: `encoder`, all but the head; `embeddings`; or "
        "these and so many of the lowest layers.",
    )
    flags.DEFINE_enum(
        "resume",
        "auto",
        ["auto", "never", "must"],
        "Where --output_dir has checkpoints: go on from them, refuse to, or "
        "refuse to do anything else.",
    )
    define_count("keep_checkpoints", 5, "The newest ones that stay.")


def define_evaluation_flags(metric_for_best: str | None):
    """Without `metric_for_best` the program sets it for each task."""
    define_count(
        "eval_steps",
        0,
        "While training, evaluate after so many steps and keep the best "
        "checkpoint in --output_dir/best; 0 for never.",
        lower_bound=0,
    )
    flags.DEFINE_string(
        "metric_for_best",
        metric_for_best,
        "What makes a checkpoint the best; of a name that ends in `loss` or "
        "`error` the lowest, of others the highest.",
    )
    define_count(
        "early_stopping_patience",
        0,
        "End training after so many evaluations without a better result; 0 "
        "for never.",
        lower_bound=0,
    )


def define_distribution_flags():
    flags.DEFINE_enum(
        "distribution_strategy",
        "auto",
        list(STRATEGIES),
        "auto: all GPUs, of all machines that TF_CONFIG names.",
    )
    define_count(
        "cpu_replicas",
        0,
        "Split the CPU into so many devices, for trying what runs on several.",
        lower_bound=0,
        upper_bound=64,
    )


def define_example_flags():
    """Where run_classifier's examples are: `tasks.TaskSettings`."""
    flags.DEFINE_string(
        "data_dir", None, "Folder with the task's files, such as train.tsv."
    )
    flags.DEFINE_enum(
        "xnli_language",
        "zh",
        glue.XNLI_LANGUAGES,
        "Language of --task_name=xnli.",
    )
    # What follows is not in the original: your own files.
    flags.DEFINE_string("train_file", None, "File to train on.")
    flags.DEFINE_string("dev_file", None, "File to evaluate on.")
    flags.DEFINE_string("test_file", None, "File to label.")
    flags.DEFINE_string("text_column", "text", "Column of the text.")
    flags.DEFINE_string(
        "text_pair_column", None, "Column of the second text of a pair."
    )
    flags.DEFINE_string(
        "label_column",
        "label",
        "Column of the label; with --problem_type=multi_label also several, "
        "commas between, that hold 0 or 1.",
    )
    flags.DEFINE_string(
        "id_column", None, "Column of what names a row in test_predictions.tsv."
    )
    flags.DEFINE_bool(
        "header",
        True,
        "The first row names the columns. Without it they are numbers from 1 "
        "on: --text_column=2.",
    )
    flags.DEFINE_string(
        "delimiter",
        None,
        "What separates columns: a comma in csv, a tab in tsv, unless given; "
        r"\t is a tab.",
    )
    flags.DEFINE_string("encoding", "utf-8", "Of csv and tsv files.")
    flags.DEFINE_enum(
        "problem_type",
        "single_label",
        tables.PROBLEM_TYPES,
        "One label for each text, any number of labels, or a number.",
    )
    flags.DEFINE_string(
        "label_delimiter", ",", "Between labels in a cell of multi_label."
    )
    for mode in ("dev", "test"):
        define_float(
            f"{mode}_fraction",
            0.0,
            f"Part of --train_file that is the {mode} set instead: the same "
            "rows in each run, of each label its share.",
            lower_bound=0.0,
            upper_bound=1.0,
        )
    define_count(
        "split_seed", 12345, "Chooses the rows of these parts.", lower_bound=0
    )
    flags.DEFINE_bool(
        "strict",
        False,
        "Rows without text or label are an error; else they are counted.",
    )


def define_long_document_flags():
    """What becomes of texts longer than --max_seq_length: `TextReader`."""
    flags.DEFINE_enum(
        "long_documents",
        "truncate",
        LONG_DOCUMENTS,
        "Of a longer text: read its start; its first quarter and its end; or "
        "all of it, in windows.",
    )
    flags.DEFINE_enum(
        "window_pooling",
        "mean",
        list(POOLINGS),
        "What becomes of the logits of a text's windows.",
    )
    define_count("max_windows", 4, "Windows of a text, at most.")
    define_count(
        "doc_stride",
        None,
        "WordPieces from the start of a window to that of the next; without "
        "it windows do not overlap.",
    )


def define_fine_tuning_flags():
    define_float(
        "num_train_epochs",
        3.0,
        "How often training sees each example; may be a fraction.",
        lower_bound=0.0,
    )
    define_float(
        "warmup_proportion",
        0.1,
        "Part of the steps in which the learning rate rises to its value.",
        lower_bound=0.0,
        upper_bound=1.0,
    )


def define_pooling_flags():
    """What makes a vector of a text; none of it is in the original."""
    flags.DEFINE_enum(
        "pooling", "mean", VECTOR_POOLINGS, "How tokens become one vector."
    )
    flags.DEFINE_string(
        "pooling_layer",
        "-2",
        "Layer that --pooling takes, numbered as --layers; of several, such as "
        "-4,-3,-2,-1, the vectors stand side by side.",
    )
    flags.DEFINE_bool(
        "normalize",
        False,
        "Give the vectors length 1: their product is then their cosine.",
    )


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


def define_export_flags():
    flags.DEFINE_enum(
        "export_precision",
        "float32",
        ["float32", "bfloat16"],
        "What the exported model computes in, and its weights are kept in.",
    )
    flags.DEFINE_bool(
        "export_tflite",
        False,
        "Write LiteRT (TensorFlow Lite) files beside the exported model, one "
        "of float32 and one of int8.",
    )
    # What accelerators want to be fixed.
    define_count(
        "export_batch_size",
        None,
        "Rows of each request to the exported model; any number unless given.",
    )
    flags.DEFINE_bool(
        "export_pad_to_max_length",
        False,
        "The exported model pads all texts to --max_seq_length, not to the "
        "longest one of a request.",
    )


def define_batch_size_flag(mode: str):
    define_count(
        f"{mode}_batch_size",
        8,
        "Examples in a batch: a matter of speed and memory.",
    )


def define_tpu_flags():
    flags.DEFINE_bool("use_tpu", False, "Run on a TPU instead of CPU or GPU.")
    flags.DEFINE_string("tpu_name", None, "Name or grpc:// address of the TPU.")
    flags.DEFINE_string("tpu_zone", None, "Its zone in Google Cloud.")
    flags.DEFINE_string("gcp_project", None, "Its project in Google Cloud.")
    flags.DEFINE_string(
        "master", None, "Address of the TPU where --tpu_name is not given."
    )
    define_count("num_tpu_cores", 8, "Cores of the TPU.")


def require(*names: str):
    """Raises UserError unless each of these flags was given a value."""
    missing = [f"--{name}" for name in names if FLAGS[name].value is None]
    if missing:
        raise UserError(f"{', '.join(missing)} must be given")


def refuse(why: str, *names: str):
    """Raises UserError if one of these flags was given, but for its default."""
    for name in names:
        flag = FLAGS[name]
        if flag.present and flag.value != flag.default:
            raise UserError(f"--{name}={FLAGS[name].value}: {why}")


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


def require_existing(*names: str, folder: bool = False):
    """Raises UserError unless each flag names an existing file, or folder."""
    for name in names:
        path = FLAGS[name].value
        if not files.exists(path):
            raise UserError(f"--{name}={path}: no such file or folder")
        if files.is_folder(path) != folder:
            wanted, found = "file", "folder"
            if folder:
                wanted, found = found, wanted
            raise UserError(
                f"--{name}={path}: a {wanted} is needed, this is a {found}"
            )


def matching_files(name: str) -> list:
    """Paths of a flag that holds patterns with commas between, each in order.

    Raises:
        UserError: a pattern matches no file.
    """
    require(name)
    paths = []
    for pattern in filter(None, FLAGS[name].value.split(",")):
        found = [pattern]  # A name may hold brackets.
        if not files.exists(pattern):
            found = sorted(tf.io.gfile.glob(pattern))
        found = [path for path in found if not files.is_folder(path)]
        if not found:
            raise UserError(f"--{name}: no file matches {pattern}")
        paths += found
    if not paths:
        raise UserError(f"--{name}={FLAGS[name].value}: names no file")
    if len(set(paths)) < len(paths):
        logging.warning(
            "--%s=%s: names files more than once", name, FLAGS[name].value
        )
    return paths


def check_output(name: str, path: str, inputs):
    """Raises UserError where a file cannot be written, or is an input."""
    if not os.path.basename(path):
        raise UserError(f"--{name}={FLAGS[name].value}: a file name is needed")
    if files.is_folder(path):
        raise UserError(f"--{name}={path}: this is a folder")
    if files.exists(path) and not files.is_regular(path):
        raise UserError(f"--{name}={path}: this is no regular file")
    for other in inputs:
        if files.is_same(path, other):
            raise UserError(f"--{name}={path}: would replace an input")


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


def values() -> dict:
    """{name: value} of the program's own and the shared flags."""
    modules = FLAGS.flags_by_module_dict()
    own = [
        module
        for module in modules
        if module.startswith("bert_tf") or module == sys.argv[0]
    ]
    found = {flag.name: flag.value for m in own for flag in modules[m]}
    found.pop("do_lower", None)  # Another name of do_lower_case.
    return dict(sorted(found.items()))


def _parse(argv):
    try:
        return FLAGS(argv)
    except flags.Error as error:
        _exit(re.sub(r"\s+", " ", str(error)))


def _exit(message):
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(1)


def run(main, takes_texts: bool = False):
    """Runs `main()` with parsed flags; a user's mistake ends in one line.

    Args:
        main: function() of the program.
        takes_texts: what is no flag is an argument of `main`, main(*texts).
    """

    def guarded(argv):
        texts = argv[1:] if takes_texts else []
        if len(argv) > 1 and not takes_texts:
            _exit(f"{argv[1]}: not a flag (flags start with --)")
        if FLAGS["verbosity"].using_default_value:
            logging.set_verbosity(logging.INFO)
        # So that unfinished files and other processes are cleaned up. Several
        # machines may wait for each other inside TensorFlow, where no handler
        # of Python's is called: there SIGTERM must end the process at once.
        if "TF_CONFIG" not in os.environ:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            main(*texts)
        except UserError as error:
            _exit(error)
        except KeyboardInterrupt:
            _exit("interrupted")
        except BrokenPipeError:
            # Whoever reads the output has enough. Python would complain once
            # more when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            if error.filename is None:
                raise
            _exit(f"{error.filename}: {error.strerror}")
        except _PATH_ERRORS as error:
            _exit(error.message.split("\n")[0])
        except tf.errors.ResourceExhaustedError as error:
            _exit(
                "out of memory: lower the batch size or --max_seq_length "
                f"({error.message.split(chr(10))[0]})"
            )

    # Flags may also stand behind a text.
    FLAGS.set_gnu_getopt(takes_texts)
    app.run(guarded, flags_parser=_parse)
