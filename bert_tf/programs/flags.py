"""Defines each flag that programs share, once.

Names, defaults and meanings are the original's; what it does not have stands
under "Not in the original".
"""

import math

from absl import flags

from bert_tf.data import glue, labelled_table
from bert_tf.data.text_reader import LONG_DOCUMENTS
from bert_tf.optimization import OPTIMIZERS
from bert_tf.pooling import POOLINGS, WINDOW_POOLINGS
from bert_tf.programs.program import MAX_COUNT
from bert_tf.text.packing import MIN_SEQ_LENGTH
from bert_tf.training.distribution import STRATEGIES
from bert_tf.training.trainer import POLICIES

FLAGS = flags.FLAGS
# What is asked of an export, and has no sense without one.
EXPORT_FLAGS = (
    *("export_precision", "export_tflite"),
    *("export_batch_size", "export_pad_to_max_length"),
)
POOLING_FLAGS = ("pooling", "pooling_layer", "normalize")


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
        labelled_table.PROBLEM_TYPES,
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
        list(WINDOW_POOLINGS),
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
        "pooling", "mean", POOLINGS, "How tokens become one vector."
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
