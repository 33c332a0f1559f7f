"""Checks run_squad's flags, and what they ask for, without TensorFlow."""

from collections.abc import Collection

from absl import flags

from bert_tf import choices
from bert_tf.errors import UserError
from bert_tf.programs import (
    distill_flags,
    export_flags,
    program,
    training_checks,
)
from bert_tf.programs import flags as shared_flags

FLAGS = flags.FLAGS
MODES = ("train", "eval", "predict", "export")
REQUIRED = ("output_dir",)
DEFAULT_LENGTH = 384  # The original's; a model may read less.


def check_command(modes: Collection[str]) -> None:
    """Raises UserError unless the command says what to do, and where."""
    program.require(*REQUIRED)
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_predict, --do_eval, --do_export "
            "must be given"
        )


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other."""
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    export_flags.check()
    program.refuse(
        "not for questions", "export_batch_size", "export_pad_to_max_length"
    )
    for mode in files_needed(modes):
        program.require(f"{mode}_file")
        program.require_existing(f"{mode}_file")
    check_lengths()
    training_checks.check_flags("train" in modes, metric_names())
    distill_flags.check("train" in modes)
    program.check_folder("output_dir")


def check_lengths() -> None:
    """Raises UserError if a window has no room for the context."""
    length = FLAGS.max_seq_length or DEFAULT_LENGTH
    if length <= FLAGS.max_query_length + 3:
        raise UserError(
            f"--max_query_length={FLAGS.max_query_length}: with the 3 special "
            "tokens it leaves no room for the context in --max_seq_length="
            f"{length}"
        )


def metric_names() -> Collection[str]:
    """The metrics that evaluations report."""
    if FLAGS.version_2_with_negative:
        return choices.SQUAD_V2_NAMES
    return choices.SQUAD_V1_NAMES


def is_scored(modes: Collection[str]) -> bool:
    """Whether answers are compared with the right ones."""
    return "eval" in modes or "train" in modes and FLAGS.eval_steps > 0


def files_needed(modes: Collection[str]) -> list[str]:
    """The files that are read, "train" and "predict", as far as needed."""
    needed = ["train"] if "train" in modes else []
    is_compared = export_flags.COMPARE in modes
    if "predict" in modes or is_scored(modes) or is_compared:
        needed.append("predict")
    return needed
