"""Checks run_classifier's flags, and what they ask for, without TensorFlow."""

import os
import shlex
from collections.abc import Collection

from absl import flags

from bert_tf import choices, files, suggestions
from bert_tf.data import labelled_table, splits
from bert_tf.data.labelled_table import TableSettings
from bert_tf.errors import UserError
from bert_tf.programs import (
    calibration_flags,
    defaults,
    distill_flags,
    export_flags,
    few_shot_flags,
    program,
    run_record,
    run_table,
    training_checks,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.settings import from_flags

FLAGS = flags.FLAGS
REQUIRED = ("task_name", "output_dir")

# The modes, as in --do_train, and the set of the task's files that each reads.
MODES = {"train": "train", "eval": "dev", "predict": "test"}

# Flags that only some tasks read.
TASK_FLAGS = tuple(
    dict.fromkeys(name for names in choices.TASKS.values() for name in names)
)


def check_command(modes: Collection[str]) -> None:
    """Raises UserError unless the command says what to do, and where.

    Args:
        modes: what is asked for: some of `MODES`, and "export".
    """
    if FLAGS.task_name is not None:  # Whatever else is missing or wrong.
        choices.known_task(FLAGS.task_name)
    folder = defaults.run_in_output_dir()
    has_run = bool(folder and run_record.read(folder))
    if "train" not in modes:
        has_run = has_run or bool(folder and FLAGS.init_checkpoint)
        if folder and modes and not has_run:
            refuse_without_run(folder)
    program.require(*(["output_dir"] if has_run else REQUIRED))
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_eval, --do_predict, --do_export "
            "must be given"
        )


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other.

    Args:
        modes: see `check_command`.
    """
    program.require(*REQUIRED)
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    export_flags.check()
    program.require("vocab_file", "bert_config_file")
    check_task_flags(modes)
    few_shot_flags.check("train" in modes)
    distill_flags.check("train" in modes)
    training_checks.check_flags("train" in modes)
    check_class_weights(FLAGS.class_weights)
    program.check_folder("output_dir")


def check_task_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that do not apply to the task.

    Args:
        modes: see `check_command`.
    """
    task = choices.known_task(FLAGS.task_name)
    used = choices.TASKS[task]
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
    calibration_flags.check(used)
    sets = [MODES[mode] for mode in sets_needed(modes)]
    if "data_dir" in used and sets:
        program.require("data_dir")
        program.require_existing("data_dir", folder=True)
    values = FLAGS.flag_values_dict()
    if "train_file" in used:
        check_fractions()
        splits.check_sources(from_flags(splits.FileSettings, values), sets)
    if "text_column" in used:
        labelled_table.check_settings(from_flags(TableSettings, values), task)


def refuse_without_run(folder: str) -> None:
    """Raises UserError for a folder whose run is to be used: it has none."""
    for run in _runs_in(folder):
        if run_record.read(run):
            raise UserError(
                "holds several runs; name one of them, such as "
                f"--output_dir={shlex.quote(run)}",
                setting="output_dir",
                value=folder,
            )
    if FLAGS.task_name is None:
        raise UserError(
            "holds no run to use; give the folder of a training, or --do_train "
            "and --task_name",
            setting="output_dir",
            value=folder,
        )


def _runs_in(folder):
    """Folders of several runs, the best of them first, if it is known."""
    results = run_table.read(folder)
    names = [result.folder for result in results if result.kept]
    if best := run_table.best_folder(folder):
        names.insert(0, best)
    seeds = [n for n in files.entries(folder) if n.startswith("seed-")]
    return [os.path.join(folder, name) for name in [*names, *sorted(seeds)]]


def check_fractions() -> None:
    """Raises UserError if a set is given both a file and a fraction.

    A run's fraction and a file that the command gives go together: the rows of
    the other sets stay the same.
    """
    for name in ("dev", "test"):
        path, fraction = (
            program.value_of(f"{name}_{kind}") for kind in ("file", "fraction")
        )
        is_given = defaults.is_given(f"{name}_fraction")
        if path and fraction and is_given:
            raise UserError(
                f"`{name}_file`={path} and `{name}_fraction`={fraction}: only "
                "one of them can be given"
            )


def check_class_weights(text: str | None) -> None:
    """Raises UserError unless it is "balanced", or numbers."""
    if text in (None, "", "balanced"):
        return
    try:
        tuple(map(float, text.split(",")))
    except ValueError:
        raise UserError(
            "give 'balanced', or a number for each label, separated by commas"
            + suggestions.hint(text, ["balanced"]),
            setting="class_weights",
            value=text,
        ) from None


def sets_needed(modes: Collection[str]) -> list[str]:
    """The modes whose examples are read: training may evaluate, too."""
    evaluates = "train" in modes and FLAGS.eval_steps
    evaluates = evaluates or export_flags.COMPARE in modes
    evaluates = evaluates or calibration_flags.is_asked()
    return [m for m in MODES if m in modes or m == "eval" and evaluates]
