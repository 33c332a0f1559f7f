"""Defines each flag that programs share, once; training's in training_flags.

Names, defaults and meanings are the original's. Flags that the original does
not have are under "Not in the original".
"""

import math

from absl import flags

from bert_tf import choices
from bert_tf.programs import flag_groups, word_flags
from bert_tf.text.packing import MIN_SEQ_LENGTH

# A flag that a function here defines belongs to the program that calls the
# function: --help of the program shows it.
flags.disclaim_key_flags()

# Flags that only make sense together with an export.
EXPORT_FLAGS = (
    "export_precision",
    "export_tflite",
    "export_int8",
    "export_lengths",
    "calibration_file",
    "allow_loss",
    "export_batch_size",
    "export_pad_to_max_length",
)
POOLING_FLAGS = ("pooling", "pooling_layer", "normalize", "dimension")


def define_count(
    name: str,
    default: int | None,
    description: str,
    lower_bound: int = 1,
    upper_bound: int = choices.MAX_COUNT,
) -> None:
    """Defines a flag for an int32, the type that TensorFlow uses for sizes."""
    flags.DEFINE_integer(
        name,
        default,
        description,
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def define_float(
    name: str,
    default: float | None,
    description: str,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
) -> None:
    """Defines a float flag that does not take "nan" and "inf" for numbers."""
    flags.DEFINE_float(
        name,
        default,
        description,
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )
    flags.register_validator(
        name,
        lambda value: value is None or math.isfinite(value),
        message="must be a finite number",
    )


# ---------------------------------------------------------------------------
# The model and its files.


@flag_groups.heading(flag_groups.MODEL)
def define_pretrained_flag() -> None:
    """Defines the model as one value. Not in the original."""
    flags.DEFINE_string(
        "pretrained",
        None,
        "The model; its files then need no flags. A name, such as "
        "bert-base-uncased, is that of a released model, which is downloaded "
        "once: python -m bert_tf.tools.models list shows all names. A folder "
        "holds a released model, a run, or a model of Hugging Face, "
        "keras-hub, TensorFlow Hub or Model Garden. Where the flag of a "
        "single file is given as well, that file is used.",
    )


@flag_groups.heading(flag_groups.MODEL)
def define_network_flags() -> None:
    """Defines the files of a model's network."""
    define_pretrained_flag()
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


@flag_groups.heading(flag_groups.MODEL)
def define_model_flags() -> None:
    """Defines the files of a model that is trained in a folder."""
    define_network_flags()
    flags.DEFINE_string(
        "output_dir",
        None,
        "Folder for checkpoints and results; it is made if it is not there.",
    )


@flag_groups.heading(flag_groups.TEXTS)
def define_casing_flag() -> None:
    """Defines how a tokenizer makes words: `TokenizerSettings`."""
    flags.DEFINE_bool(
        "do_lower_case",
        True,
        "Lower-case the text and drop accents: True for uncased models, "
        "False for cased ones.",
    )
    # The original has no such flag, but its README writes --do_lower=False.
    flags.DEFINE_alias("do_lower", "do_lower_case")
    # Not in the original; models of Hugging Face may need them.
    why = "Drop accents. If it is not given, --do_lower_case decides."
    flags.DEFINE_bool("strip_accents", None, why)
    why = "Make each Chinese character a word of its own."
    flags.DEFINE_bool("tokenize_chinese_chars", True, why)


@flag_groups.heading(flag_groups.MODEL)
def define_vocab_flags() -> None:
    """Defines a model's vocabulary."""
    flags.DEFINE_string(
        "vocab_file",
        None,
        "vocab.txt, the vocabulary that the model was trained with.",
    )
    define_casing_flag()


@flag_groups.heading(flag_groups.MODEL)
def define_pooling_flags(layer: str = "-2", normalize: bool = False) -> None:
    """Defines how a text's vector is computed. Not in the original."""
    flags.DEFINE_enum(
        "pooling",
        "mean",
        choices.POOLINGS,
        "How the vectors of a text's tokens become the vector of the text: "
        "their mean, their maximum, both side by side (mean_max), the vector "
        "of [CLS] or [SEP], or the model's pooled output (cls_pooled). With "
        "none each token keeps its vector.",
    )
    flags.DEFINE_string(
        "pooling_layer",
        layer,
        "Layer of the model whose vectors --pooling combines: -1 is the last "
        "layer, 0 the first. Of several layers, such as -4,-3,-2,-1, the "
        "vectors are put side by side.",
    )
    flags.DEFINE_bool(
        "normalize",
        normalize,
        "Scale each text's vector to length 1: the product of two vectors is "
        "then their cosine.",
    )
    define_count(
        "dimension",
        None,
        "Keep the first N components of each vector, before --normalize: for "
        "models that were trained with --matryoshka_sizes.",
    )


# ---------------------------------------------------------------------------
# Texts.


@flag_groups.heading(flag_groups.DATA)
def define_text_files_flag() -> None:
    """Defines the input files of a tool; `matching_files` reads the flag."""
    flags.DEFINE_string(
        "input_file",
        None,
        "Text files, or patterns such as a/*.txt, separated by commas.",
    )


@flag_groups.heading(flag_groups.TEXTS)
def define_text_flags(max_seq_length: int | None, default: str = "") -> None:
    """Defines how texts become sequences.

    Args:
        max_seq_length: default of --max_seq_length; None if the program
            chooses it.
        default: a sentence that says how it chooses.
    """
    define_vocab_flags()
    define_count(
        "max_seq_length",
        max_seq_length,
        "Longest sequence in WordPieces, [CLS] and [SEP] included. Longer "
        f"texts are truncated. {default}".rstrip(),
        lower_bound=MIN_SEQ_LENGTH,
    )
    # Not in the original, which always pads.
    flags.DEFINE_bool(
        "pad_to_max_length",
        False,
        "Pad every sequence to --max_seq_length, instead of each batch to its "
        "longest sequence, and compute padding as tokens are computed. Always "
        "done with --use_tpu.",
    )
    flags.DEFINE_bool(
        "group_by_length",
        False,
        "Train on batches of examples of similar length. This is faster, "
        "because attention computes little padding. Do not use it where the "
        "length of an example hints at its label.",
    )
    flags.DEFINE_bool(
        "write_tf_records",
        False,
        "First convert the examples to the original's train.tf_record, "
        "eval.tf_record and predict.tf_record in --output_dir, then read "
        "those files.",
    )


@flag_groups.heading(flag_groups.TEXTS)
def define_long_document_flags() -> None:
    """Defines how texts longer than --max_seq_length are read."""
    flags.DEFINE_enum(
        "long_documents",
        "truncate",
        choices.LONG_DOCUMENTS,
        "How to read a text longer than --max_seq_length: its start only; its "
        "first quarter and its end; or all of it, in windows.",
    )
    flags.DEFINE_enum(
        "window_pooling",
        "mean",
        choices.WINDOW_POOLINGS,
        "How the logits of a text's windows are combined, with "
        "--long_documents=windows.",
    )
    define_count(
        "max_windows",
        4,
        "Largest number of windows in which a text is read, with "
        "--long_documents=windows.",
    )
    define_count(
        "doc_stride",
        None,
        "WordPieces from the start of a window to the start of the next one, "
        "with --long_documents=windows. By default windows do not overlap.",
    )


# ---------------------------------------------------------------------------
# The examples of run_classifier.py, see `tasks.registry.TaskSettings`.


@flag_groups.heading(flag_groups.DATA)
def define_example_flags() -> None:
    """Defines where the examples of a task are."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Folder with the files of a published task, such as train.tsv.",
    )
    flags.DEFINE_enum(
        "xnli_language",
        "zh",
        choices.XNLI_LANGUAGES,
        "Language of the texts of --task_name=xnli.",
    )
    # Not in the original: your own files.
    for mode, use in (
        ("train", "train on"),
        ("dev", "evaluate on"),
        ("test", "label"),
    ):
        flags.DEFINE_string(
            f"{mode}_file",
            None,
            f"File of examples to {use}, for --task_name=csv, tsv, jsonl, ner, "
            "swag and relations.",
        )
    define_split_flags()
    define_column_flags()


def define_split_flags() -> None:
    """Defines how a training file is split, and what becomes of odd rows."""
    for mode in ("dev", "test"):
        define_float(
            f"{mode}_fraction",
            0.0,
            f"Fraction of --train_file to use as the {mode} set. Every run "
            "takes the same rows, and the same fraction of each label.",
            lower_bound=0.0,
            upper_bound=1.0,
        )
    define_count(
        "split_seed",
        12345,
        "Random seed that chooses the rows of --dev_fraction and "
        "--test_fraction.",
        lower_bound=0,
    )
    flags.DEFINE_bool(
        "strict",
        False,
        "Treat rows without text or label as an error, instead of leaving "
        "them out and logging how many there are; the same for labels of the "
        "dev and test files that training did not have, which else count as "
        "wrong.",
    )
    flags.DEFINE_list(
        "missing_label",
        None,
        "Labels which mean that a row has no label, separated by commas. By "
        "default these are empty cells, -, ?, null, NaN, None and other usual "
        "ones, and -1 and -100 beside labels that count from 0 or 1. Named "
        "ones replace these; an empty value makes all of them labels. Such "
        "rows are left out of training and of the dev set, and labelled but "
        "not scored in the test set.",
    )


def define_column_flags() -> None:
    """Defines the columns of a file, and how it is written."""
    flags.DEFINE_string(
        "text_column",
        "text",
        "Name of the column that holds the text, in a csv, tsv or jsonl file.",
    )
    flags.DEFINE_string(
        "text_pair_column",
        None,
        "Name of the column that holds the second text, if texts are pairs.",
    )
    flags.DEFINE_string(
        "label_column",
        "label",
        "Name of the column that holds the label. It may be a column for each "
        "label, separated by commas, whose cells are 0 or 1.",
    )
    flags.DEFINE_string(
        "id_column",
        None,
        "Name of the column that holds an id for each row, which "
        "test_predictions.tsv repeats.",
    )
    word_flags.define()
    flags.DEFINE_bool(
        "header",
        True,
        "Whether the first row of a csv or tsv file names the columns. If "
        "not, columns are numbers from 1 on, as in --text_column=2.",
    )
    flags.DEFINE_string(
        "delimiter",
        None,
        r"Character between the columns of a csv or tsv file; \t is a tab. "
        "The default is a comma in csv and a tab in tsv files.",
    )
    flags.DEFINE_string(
        "encoding", "utf-8", "Encoding of csv, tsv and lines of text."
    )
    flags.DEFINE_enum(
        "problem_type",
        "single_label",
        choices.PROBLEM_TYPES,
        "What a text has: one label, any number of labels, or a number.",
    )
    flags.DEFINE_string(
        "label_delimiter",
        ",",
        "Character between the labels in a cell of a csv or tsv file, for "
        "--problem_type=multi_label.",
    )


@flag_groups.heading(flag_groups.DATA)
def define_table_flags() -> None:
    """Defines the columns of a table, by default those of the training."""
    trained = "By default the one that the model was trained on."
    flags.DEFINE_string("text_column", None, f"Column of the text. {trained}")
    flags.DEFINE_string(
        "text_pair_column",
        None,
        f"Column of the second text of a pair. {trained}",
    )
    flags.DEFINE_string(
        "label_column",
        None,
        f"Column of the true label, if the table has it. {trained}",
    )
    define_layout_flags()


def define_layout_flags() -> None:
    """Defines how a table of any program's input is written."""
    flags.DEFINE_bool(
        "header", True, "Whether a table's first row names its columns."
    )
    flags.DEFINE_string(
        "delimiter", None, r"Character between a table's columns; \t is a tab."
    )
    flags.DEFINE_string("encoding", "utf-8", "Encoding of tables and lines.")
