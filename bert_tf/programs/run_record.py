"""train.json: what a run did last in each mode, with which flags.

    {"task_name": "csv", "train": {"flags": {…}, …}, "eval": {…}, …}

`run_folder` writes it. This module reads it without loading TensorFlow, so
that a program knows its flags before anything else.
"""

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError

NAME = "train.json"
MODES = ("train", "eval", "predict")
WORKING_FOLDER = "working_folder"
# Ends of the names of flags that are paths.
PATH_ENDINGS = ("_file", "_dir", "_checkpoint")
PATTERNS = ("input_file", "eval_input_file")  # Several paths, with commas.
MODELS = ("pretrained", "teacher")  # A path, or the name of a released model.


def read(folder: str) -> dict[str, Any]:
    """Reads the train.json of a folder; returns {} if there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    path = os.path.join(folder, NAME)
    if not files.exists(path):
        return {}
    try:
        record = json.loads(files.read_text(path))
    except ValueError:
        record = None
    if not _is_record(record):
        raise UserError(
            f"{path}: damaged; remove it if the run in `output_dir` is this "
            "task's"
        )
    return record


def check_task(
    record: Mapping[str, Any], task_names: Collection[str], folder: str
) -> None:
    """Raises UserError if a record is that of another task's run.

    Args:
        record: of `read`.
        task_names: the tasks that it may have.
        folder: the run's.
    """
    name = record.get("task_name")
    if name is None or name in task_names:
        return
    other = f", not {next(iter(task_names))!r}" if len(task_names) == 1 else ""
    raise UserError(
        f"holds a run of the task {name!r}{other}; name another folder",
        setting="output_dir",
        value=folder,
    )


def flags_of(
    record: Mapping[str, Any], modes: Collection[str] = MODES
) -> dict[str, Any]:
    """The flags of a run: those of its training, if it has trained.

    Relative paths are those of the folder in which the run was started. From
    another folder they become absolute ones.

    Args:
        record: of `read`.
        modes: some of `MODES`; the first one that the run has counts.
    """
    for mode in modes:
        of_mode = record.get(mode, {})
        if values := of_mode.get("flags"):
            folder = of_mode.get(WORKING_FOLDER)
            if folder in (None, os.getcwd()):
                return values
            return {n: _moved(n, v, folder) for n, v in values.items()}
    return {}


def _moved(name: str, value: Any, folder: str) -> Any:
    """The value of a flag; a relative path is taken from a folder."""
    if not isinstance(value, str):
        return value
    if name in MODELS:
        joined = _path_from(folder, value)
        is_there = files.exists(joined) or files.exists(f"{joined}.index")
        return joined if is_there else value
    if not name.endswith(PATH_ENDINGS):
        return value
    if name in PATTERNS:
        return ",".join(_path_from(folder, p) for p in value.split(","))
    return _path_from(folder, value)


def _path_from(folder: str, path: str) -> str:
    if not path or files.is_remote(path):
        return path
    joined = os.path.join(folder, path)
    # A run and its data may have been moved together.
    return joined if os.path.isdir(os.path.dirname(joined)) else path


def _is_record(value: object) -> bool:
    """Whether a value has the form of a train.json."""
    if not isinstance(value, dict):
        return False
    modes = [value.get(mode, {}) for mode in MODES]
    return all(
        isinstance(mode, dict)
        and isinstance(mode.get("flags", {}), dict)
        and isinstance(mode.get(WORKING_FOLDER, ""), str)
        and isinstance(mode.get("evaluations", []), list)
        and all(map(_is_evaluation, mode.get("evaluations", [])))
        for mode in modes
    )


def _is_evaluation(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("step"), int)
        and all(isinstance(number, int | float) for number in value.values())
    )
