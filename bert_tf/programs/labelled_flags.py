"""Checks run_classifier's flags, and what they ask for, without TensorFlow."""

from collections.abc import Collection

from absl import flags

from bert_tf import choices
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program

FLAGS = flags.FLAGS

# The modes, as in --do_train, and the set of the task's files that each reads.
MODES = {"train": "train", "eval": "dev", "predict": "test"}

# Flags that only some tasks read.
TASK_FLAGS = tuple(
    dict.fromkeys(name for names in choices.TASKS.values() for name in names)
)


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other.

    Args:
        modes: what is asked for: some of `MODES`, and "export".
    """
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_eval, --do_predict, --do_export "
            "must be given"
        )
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    program.require("task_name", "vocab_file", "bert_config_file", "output_dir")
    check_task_flags(modes)
    if FLAGS.num_seeds > 1 and "eval" not in modes:
        raise UserError(f"--num_seeds={FLAGS.num_seeds} needs --do_eval")


def check_task_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that do not apply to the task.

    Args:
        modes: see `check_flags`.
    """
    used = task_flags()
    program.refuse(
        f"--task_name={FLAGS.task_name} does not use it",
        *(name for name in TASK_FLAGS if name not in used),
    )
    if FLAGS.long_documents == "windows":
        program.refuse("not with --long_documents=windows", "export_tflite")
    else:
        program.refuse(
            "only with --long_documents=windows",
            "max_windows",
            "window_pooling",
            "doc_stride",
        )
    if "data_dir" in used and sets_needed(modes):
        program.require("data_dir")
        program.require_existing("data_dir", folder=True)


def task_flags() -> tuple[str, ...]:
    """The flags of --task_name that say where its examples are.

    Raises:
        UserError: there is no such task.
    """
    try:
        return choices.TASKS[FLAGS.task_name.lower()]
    except KeyError:
        raise UserError(
            f"unknown task; known are {', '.join(choices.TASKS)}",
            setting="task_name",
            value=FLAGS.task_name,
        ) from None


def sets_needed(modes: Collection[str]) -> list[str]:
    """The modes whose examples are read: training may evaluate, too."""
    evaluates = "train" in modes and FLAGS.eval_steps
    return [m for m in MODES if m in modes or m == "eval" and evaluates]
