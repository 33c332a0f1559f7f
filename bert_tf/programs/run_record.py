"""train.json: what a run did last in each mode, with which flags.

    {"task_name": "csv", "train": {"flags": {…}, …}, "eval": {…}, …}

`run_folder` writes it. This module reads it without loading TensorFlow, so
that a program knows its flags before anything else.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError

NAME = "train.json"
MODES = ("train", "eval", "predict")


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


def flags_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of a run: those of its training, if it has trained."""
    for mode in MODES:
        if values := record.get(mode, {}).get("flags"):
            return values
    return {}


def _is_record(value: object) -> bool:
    """Whether a value has the form of a train.json."""
    if not isinstance(value, dict):
        return False
    modes = [value.get(mode, {}) for mode in MODES]
    return all(
        isinstance(mode, dict)
        and isinstance(mode.get("flags", {}), dict)
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
