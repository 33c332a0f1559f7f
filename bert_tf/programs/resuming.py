"""Whether and how a training resumes, and what an interrupted one says."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from absl import logging

from bert_tf import checkpoints, dropout, training
from bert_tf.errors import UserError
from bert_tf.programs import console, next_step
from bert_tf.programs.program import message_of

# Flags that may change between a run and its resumption: they do not change
# what a training step computes. A change of any other flag is logged.
MAY_CHANGE = frozenset(
    {
        # The modes, and the place of the results.
        "do_eval",
        "do_export",
        "do_predict",
        "do_train",
        "grid",
        "keep_runs",
        "num_seeds",
        "output_dir",
        "pretrained",  # What it stands for is in other flags.
        "report_to",
        "resume",
        "small_data",  # So is what this stands for.
        "task_name",  # A folder of another task is refused.
        "verbose_logging",
        "write_tf_records",
        # Checkpoints: when they are written, and which are kept.
        "init_checkpoint",  # A run that resumes does not read it.
        "keep_checkpoints",
        "save_checkpoints_steps",
        # Evaluations and predictions.
        "dev_file",
        "early_stopping_patience",
        "eval_batch_size",
        "eval_input_file",
        "eval_steps",
        "id_column",
        "max_answer_length",
        "max_eval_steps",
        "metric_for_best",
        "n_best_size",
        "null_score_diff_threshold",
        "predict_batch_size",
        "predict_file",
        "retrieval_dir",
        "retrieval_split",
        "test_file",
        # The form of an exported model.
        "allow_loss",
        "calibration_file",
        "export_batch_size",
        "export_int8",
        "export_lengths",
        "export_pad_to_max_length",
        "export_precision",
        "export_tflite",
        # The devices, and the speed of the same computation.
        "deterministic",
        "gcp_project",
        "iterations_per_loop",
        "master",
        "num_processes",
        "num_tpu_cores",
        "remat",
        "strict",  # It makes an error of what is logged otherwise.
        "tpu_name",
        "tpu_zone",
    }
)

# What runs did before there was a flag; their train.json does not have it.
BEFORE_THERE_WAS = {
    "adam_bias_correction": False,
    "pack_sequences": False,
    "reinit_layers": 0,
    "teacher": None,
    "unlabelled_file": None,
}


def existing_checkpoints(folder: str, resume: str) -> list[str]:
    """Finds the checkpoints of a run, the newest first.

    Call it before the model is made. Processes that train together wait for
    each other there, so none of them sees what another one writes later.

    Args:
        folder: --output_dir.
        resume: --resume.

    Raises:
        UserError: `resume` is "never" and there is a checkpoint, or it is
            "must" and there is not.
    """
    prefixes = checkpoints.CheckpointFolder(folder).newest_first()
    if prefixes and resume == "never":
        raise UserError(
            f"--resume=never, but --output_dir={folder} has "
            f"{os.path.basename(prefixes[0])}: name another folder"
        )
    if not prefixes and resume == "must":
        raise UserError(
            f"--resume=must, but --output_dir={folder} has no checkpoint"
        )
    return prefixes


def warn_of_changed_flags(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Warns of flags that would make a resumed run end with other weights.

    Args:
        before: {flag: value} of the run that was stopped.
        now: the same of the run that resumes it.
    """
    for name in sorted({*before} & {*now} - MAY_CHANGE):
        if before[name] != now[name]:
            logging.warning(
                "--%s was %s before, and is %s now",
                name,
                before[name],
                now[name],
            )


def warn_of_other_masks(record: Mapping[str, Any], model: keras.Model) -> None:
    """Warns if a resumed run draws other dropout masks than before.

    Args:
        record: of the run's training so far, {} if there is none.
        model: the model, which may have no dropout.
    """
    # The first version did not record them.
    is_same = record.get("dropout_masks", 1) == dropout.MASKS_VERSION
    rates = (
        model.config.hidden_dropout_prob,
        model.config.attention_probs_dropout_prob,
        getattr(model, "dropout_rate", 0.0),
    )
    if record and not is_same and any(rates):
        logging.warning(
            "This run was started by another version, which draws other "
            "dropout masks: it resumes with new masks, so it does not end "
            "with the weights that it would have had without the stop"
        )


def restore(trainer: training.Trainer, existing: list[str], folder: str) -> int:
    """Restores the newest checkpoint that can be read.

    Args:
        trainer: the trainer that gets its state.
        existing: the run's checkpoints, the newest first.
        folder: --output_dir, for the message.

    Returns:
        The step of the checkpoint; 0 without a checkpoint.

    Raises:
        UserError: there are checkpoints, and none can be read.
    """
    try:
        readable = checkpoints.read_newest(existing, trainer.restore)
    except UserError as error:
        raise UserError(
            f"--output_dir={folder}: cannot resume: {message_of(error)}"
        ) from None
    if readable:
        console.show("Training", "Resuming from %s", readable[0])
    return trainer.restored_step or 0


@contextlib.contextmanager
def resumable_command(resume: str) -> Iterator[None]:
    """Adds the command that resumes to the error of an interrupted training.

    Args:
        resume: --resume of this command.
    """
    try:
        yield
    except training.Interrupted as error:
        command = [sys.executable, *sys.argv]
        if next_step.is_tool(sys.argv[0]):
            command = [*next_step.this_program(), *sys.argv[1:]]
        if resume == "never":
            command.append("--resume=auto")
        raise training.Interrupted(
            f"{message_of(error)}; resume with: {shlex.join(command)}",
            error.signal_name,
        ) from None
