"""Checks run_pretraining's flags, and what they ask for, without TensorFlow."""

from collections.abc import Collection

from absl import flags, logging

from bert_tf.errors import UserError
from bert_tf.programs import (
    model_files,
    pretraining_teacher,
    program,
    training_checks,
)

FLAGS = flags.FLAGS
MODES = ("train", "eval")
REQUIRED = ("output_dir",)
MAX_EVAL_STEPS = 100  # The original's.


def check_command(modes: Collection[str]) -> None:
    """Raises UserError unless the command says what to do, and where."""
    program.require(*REQUIRED)
    if not modes:
        raise UserError("At least one of --do_train, --do_eval must be given")


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other."""
    for mode in modes_with_batches(modes):
        program.require(file_flag(mode))
    training_checks.check_flags(
        "train" in modes, pretraining_teacher.metric_names()
    )
    model_files.require_config()
    pretraining_teacher.check_flags()
    program.check_folder("output_dir")
    if FLAGS.num_warmup_steps > FLAGS.num_train_steps and "train" in modes:
        # So it is by default in a short training; the original allows it.
        logging.warning(
            "--num_warmup_steps=%d is more than --num_train_steps=%d: the "
            "learning rate will not get to its value",
            FLAGS.num_warmup_steps,
            FLAGS.num_train_steps,
        )
    if FLAGS.eval_input_file and "eval" not in modes_with_batches(modes):
        logging.warning(
            "--eval_input_file=%s is not read: give --do_eval or --eval_steps",
            FLAGS.eval_input_file,
        )


def modes_with_batches(modes: Collection[str]) -> list[str]:
    """The modes whose files are read, of "train" and "eval"."""
    is_evaluated = "eval" in modes or FLAGS.eval_steps and "train" in modes
    return [mode for mode in modes if mode == "train"] + (
        ["eval"] if is_evaluated else []
    )


def file_flag(mode: str) -> str:
    """The flag that names the files of a mode."""
    if mode == "eval" and FLAGS.eval_input_file is not None:
        return "eval_input_file"
    return "input_file"


def max_eval_steps() -> int | None:
    """Largest number of batches of an evaluation; None for no limit.

    The original's limit, 100, is for files that it reads again and again.
    """
    flag = FLAGS["max_eval_steps"]
    # An earlier run may have been given another value.
    is_chosen = not flag.using_default_value or flag.value != MAX_EVAL_STEPS
    if FLAGS.eval_input_file is not None and not is_chosen:
        return None
    return flag.value
