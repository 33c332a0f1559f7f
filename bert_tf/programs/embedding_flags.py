"""Defines and checks train_embeddings' flags, without TensorFlow."""

from collections.abc import Collection
from typing import Any

from absl import flags, logging

from bert_tf import choices
from bert_tf.config import BertConfig
from bert_tf.data.group_columns import GroupSettings
from bert_tf.data.tabular import csv_files
from bert_tf.data.tabular.table import number
from bert_tf.errors import UserError
from bert_tf.programs import (
    export_flags,
    flag_groups,
    model_files,
    program,
    training_checks,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.flags import define_count, define_float
from bert_tf.programs.settings import from_flags

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # See flags.py.
MODES = ("train", "eval", "export")
REQUIRED = ("output_dir",)

# The losses for each kind of texts, the usual one first.
LOSSES = {
    "pairs": ("in_batch_negatives",),
    "triples": ("in_batch_negatives", "triplet"),
    "scored": ("cosent", "cosine"),
    "labelled": ("in_batch_negatives",),
    "sentences": ("in_batch_negatives",),
}
# The flags that only some losses read.
OF_LOSSES = {
    "similarity_scale": ("in_batch_negatives", "cosent"),
    "symmetric_loss": ("in_batch_negatives",),
    "triplet_margin": ("triplet",),
    "score_range": ("cosine",),
}


@flag_groups.heading(flag_groups.DATA)
def define_data_flags() -> None:
    """Defines the files and their columns."""
    flags.DEFINE_string(
        "train_file",
        None,
        "CSV, TSV or JSONL file to train on, or a text in each line.",
    )
    flags.DEFINE_string(
        "dev_file",
        None,
        "File of scored pairs to evaluate on: columns sentence1, sentence2 "
        "and score.",
    )
    flags.DEFINE_string(
        "retrieval_dir",
        None,
        "Folder to evaluate searches on, in the layout of BEIR: corpus.jsonl, "
        "queries.jsonl and qrels/NAME.tsv.",
    )
    flags.DEFINE_string(
        "retrieval_split",
        None,
        "NAME of the file in qrels of --retrieval_dir. By default the first "
        "of dev, test and train that is there.",
    )
    flags.DEFINE_enum(
        "train_on",
        None,
        choices.GROUP_KINDS,
        "What --train_file holds: pairs (columns anchor, positive), triples "
        "(and negative, negative_2, …), scored pairs (sentence1, sentence2, "
        "score), labelled texts (text, label), or sentences alone (text). By "
        "default its columns say it.",
    )
    flags.DEFINE_list(
        "text_columns",
        None,
        "Columns of the texts in --train_file, in this order, separated by "
        "commas. With scored pairs also of --dev_file.",
    )
    flags.DEFINE_string(
        "score_column",
        None,
        "Column of the scores. By default score, similarity or label.",
    )
    flags.DEFINE_list(
        "score_range",
        None,
        "The scores that mean a cosine of 0 and of 1, such as 0,5, for "
        "--loss=cosine. By default the smallest and largest of --train_file.",
    )
    flags.DEFINE_string("label_column", "label", "Column of the labels.")
    define_format_flags()


def define_format_flags() -> None:
    """Defines how the files are written."""
    flags.DEFINE_enum(
        "input_format",
        None,
        choices.INPUT_FORMATS,
        "How the files are written. By default content and name decide.",
    )
    shared_flags.define_layout_flags()
    flags.DEFINE_bool(
        "strict",
        False,
        "Treat rows without a text as an error, instead of leaving them out.",
    )


@flag_groups.heading(flag_groups.TRAINING)
def define_loss_flags() -> None:
    """Defines what training minimizes."""
    flags.DEFINE_enum(
        "loss",
        None,
        choices.VECTOR_LOSSES,
        "in_batch_negatives: find the own partner among those of the whole "
        "batch; cosent: put scored pairs in the right order; cosine: give "
        "them the right cosine; triplet: be closer to the positive than to "
        "the negatives. By default cosent for scored pairs, and else "
        "in_batch_negatives.",
    )
    define_float(
        "similarity_scale",
        20.0,
        "What cosines are multiplied by: 1 / temperature.",
        lower_bound=1e-6,  # With 0 there is nothing to learn.
    )
    define_float(
        "triplet_margin",
        0.5,
        "By how much closer the positive of a triple must be, for "
        "--loss=triplet.",
        lower_bound=0.0,
    )
    flags.DEFINE_bool(
        "symmetric_loss",
        False,
        "Let each positive find its anchor, too, with "
        "--loss=in_batch_negatives.",
    )
    flags.DEFINE_list(
        "matryoshka_sizes",
        None,
        "Train the first components of vectors to be good vectors alone: "
        "numbers of them, separated by commas, such as 384,192,96. The scores "
        "of each size are reported.",
    )


@flag_groups.heading(flag_groups.TEXTS)
def define_length_flags() -> None:
    """Defines how long sequences are."""
    define_count(
        "max_seq_length",
        None,
        "Longest sequence in WordPieces, [CLS] and [SEP] included. Longer "
        "texts are truncated. By default it fits the texts of --train_file.",
        lower_bound=shared_flags.MIN_SEQ_LENGTH,
    )
    flags.DEFINE_bool(
        "pad_to_max_length",
        False,
        "Pad every sequence to --max_seq_length, instead of each batch to its "
        "longest sequence. Always done with --use_tpu.",
    )


# ---------------------------------------------------------------------------
# Checks.


def check_command(modes: Collection[str]) -> None:
    """Raises UserError unless the command says what to do, and where."""
    program.require(*REQUIRED)
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_eval, --do_export must be given"
        )


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other.

    Args:
        modes: some of `MODES`.
    """
    trains = "train" in modes
    program.require(*REQUIRED, "vocab_file", "bert_config_file")
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    export_flags.check()
    if trains:
        program.require("train_file")
        program.require_existing("train_file")
    check_evaluation(modes)
    if not FLAGS.retrieval_dir:
        program.refuse("only with --retrieval_dir", "retrieval_split")
    if FLAGS.pooling == "none":
        raise UserError(
            "a text needs one vector", setting="pooling", value="none"
        )
    program.refuse("not for vectors", "pack_sequences")
    training_checks.check_flags(trains)
    csv_files.check_settings(
        "csv", FLAGS.delimiter, FLAGS.encoding, FLAGS.header
    )
    matryoshka_sizes()
    score_range()
    if FLAGS.train_on is not None:
        check_loss(FLAGS.train_on)
    program.check_folder("output_dir")


def check_evaluation(modes: Collection[str]) -> None:
    """Raises UserError unless there is what an evaluation reads."""
    if "eval" not in modes_with_batches(modes):
        return
    if not FLAGS.dev_file and not FLAGS.retrieval_dir:
        what = "--do_eval" if FLAGS.do_eval else "--eval_steps"
        raise UserError(
            f"{what} needs --dev_file, --retrieval_dir or both: what to "
            "evaluate on"
        )
    if FLAGS.dev_file:
        program.require_existing("dev_file")
    if FLAGS.retrieval_dir:
        program.require_existing("retrieval_dir", folder=True)


def modes_with_batches(modes: Collection[str]) -> list[str]:
    """The modes whose files are read, of "train" and "eval"."""
    is_evaluated = "eval" in modes or FLAGS.eval_steps and "train" in modes
    is_evaluated = is_evaluated or export_flags.COMPARE in modes
    return [mode for mode in modes if mode == "train"] + (
        ["eval"] if is_evaluated else []
    )


def check_loss(kind: str) -> str:
    """The loss for texts of a kind.

    Args:
        kind: what the training file holds, one of `choices.GROUP_KINDS`.

    Raises:
        UserError: the loss does not fit, a flag is not of this loss, or a
            batch of one row has nothing to be compared with.
    """
    loss = FLAGS.loss or LOSSES[kind][0]
    if loss not in LOSSES[kind]:
        raise UserError(
            f"not for {kind}: {' or '.join(LOSSES[kind])} is",
            setting="loss",
            value=loss,
        )
    for name, losses in OF_LOSSES.items():
        if loss not in losses:
            program.refuse(f"not with --loss={loss}", name)
    # The only row of a batch would be right whatever the vectors are, unless
    # it has negatives of its own.
    compares = loss == "cosent" or (
        loss == "in_batch_negatives" and kind != "triples"
    )
    if FLAGS.train_batch_size < 2 and compares:
        raise UserError(
            "a batch of one row has nothing to be compared with, which "
            f"--loss={loss} needs; give 2 or more",
            setting="train_batch_size",
            value=FLAGS.train_batch_size,
        )
    return loss


def check_columns(kind: str) -> None:
    """Raises UserError for a column that no file is read with.

    Args:
        kind: what the training file holds, one of `choices.GROUP_KINDS`.
    """
    why = (
        f"{FLAGS.train_file} is read as {kind}, without this column; "
        "`train_on` says what it holds"
    )
    if kind != "labelled":
        program.refuse(why, "label_column")
    if kind != "scored" and not FLAGS.dev_file:
        program.refuse(why, "score_column")


def matryoshka_sizes(full_size: int | None = None) -> list[int]:
    """The sizes of --matryoshka_sizes, the largest first.

    Args:
        full_size: components of the model's vectors; None if that is not
            known yet.

    Raises:
        UserError: they are not such numbers.
    """
    given = FLAGS.matryoshka_sizes or []
    # Longer numbers are not sizes, and Python reads 4,300 digits at most.
    is_size = [text.isdecimal() and len(text) < 10 for text in given]
    sizes = [
        int(t) if is_it else 0 for t, is_it in zip(given, is_size, strict=True)
    ]
    if not all(sizes) or len({*sizes}) < len(sizes):
        raise UserError(
            "different whole numbers from 1 are needed, separated by commas",
            setting="matryoshka_sizes",
            value=",".join(given),
        )
    if full_size is not None and max(sizes, default=0) > full_size:
        raise UserError(
            f"vectors have {full_size} components",
            setting="matryoshka_sizes",
            value=",".join(given),
        )
    return sorted(sizes, reverse=True)


def score_range() -> tuple[float, float] | None:
    """The numbers of --score_range; None without it.

    Raises:
        UserError: it is not two numbers, the smaller one first.
    """
    given = FLAGS.score_range
    if given is None:
        return None
    numbers = [number(text) for text in given]
    low, high = numbers if len(numbers) == 2 else (None, None)
    if low is None or high is None or low >= high:
        raise UserError(
            "two numbers are needed, the smaller one first, such as 0,5",
            setting="score_range",
            value=",".join(given),
        )
    return low, high


def group_settings(mode: str, kind: str | None = None) -> GroupSettings:
    """What the file of a mode holds.

    Args:
        mode: "train" or "eval"; an evaluation reads scored pairs.
        kind: what the training file holds, if it is known.
    """
    values: dict[str, Any] = FLAGS.flag_values_dict()
    if mode == "train":
        return from_flags(GroupSettings, values)
    others: dict[str, Any] = {"train_on": "scored"}
    # An earlier run has recorded it.
    if (kind or FLAGS.train_on) != "scored":  # The columns are others'.
        others["text_columns"] = None
    return from_flags(GroupSettings, values, **others)


def full_size(config: BertConfig) -> int:
    """The components of a vector, without --dimension.

    Args:
        config: the model's.
    """
    settings = model_files.pooling_settings(config)
    size = len(settings["layers"]) * config.hidden_size
    return 2 * size if settings["pooling"] == "mean_max" else size


def warn_of_sizes(full_size: int) -> None:
    """Warns if the vectors of the run have a size that is not trained.

    Args:
        full_size: components of the model's vectors.
    """
    sizes = matryoshka_sizes()
    size = FLAGS.dimension or full_size
    if FLAGS.do_train and sizes and size not in sizes:
        logging.warning(
            "Vectors of %d components, those of this run, are not trained: "
            "they are not among --matryoshka_sizes=%s",
            size,
            ",".join(map(str, sizes)),
        )
