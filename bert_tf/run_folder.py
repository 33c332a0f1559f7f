"""The files that a run leaves in --output_dir, beside its checkpoints.

eval_results.txt    `key = value` lines, sorted; the original's
labels.txt          one label a line: the columns of test_results.tsv
train.json          what was run: flags, versions, sizes, seconds, results
"""

import json
import os
import platform

import keras
import numpy as np
import tensorflow as tf

import bert_tf
from bert_tf import files
from bert_tf.errors import UserError


class RunFolder:
    """The folder of one run: one task, one model.

    Making the object writes nothing; `open` does.

    Args:
        path: the folder; it need not exist.
        task_name: of the run.
        labels: of the task, or None for a task without labels.

    Raises:
        UserError: the folder holds a run of another task.
    """

    def __init__(self, path: str, task_name: str, labels: list | None = None):
        self.path = path
        self.labels = labels
        self.record = self._earlier_record()
        self._check_is_ours(task_name, labels)
        self.record["task_name"] = task_name

    def open(self, flag_values: dict, num_examples: dict):
        """Makes the folder, labels.txt and train.json.

        A run that only evaluates or predicts leaves the flags of the training
        that is recorded there.

        Args:
            flag_values: {flag: value} of this run.
            num_examples: {mode: number}; a "train" among them is a training.
        """
        files.make_folder(self.path)
        if self.labels is not None:
            lines = "".join(f"{label}\n" for label in self.labels)
            self.write("labels.txt", lines)
        if "train" in num_examples or "flags" not in self.record:
            self.record.update(flags=flag_values, versions=_versions())
        earlier = self.record.get("num_examples", {})
        self.update_record(num_examples={**earlier, **num_examples})

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def write(self, name: str, text: str):
        files.write_text(self.file(name), text)

    def write_eval_results(self, results: dict):
        lines = [f"{key} = {value!s}\n" for key, value in results.items()]
        self.write("eval_results.txt", "".join(sorted(lines)))

    def update_record(self, **values):
        """Adds to train.json, or changes what it says."""
        self.record.update(values)
        text = json.dumps(self.record, indent=2, default=_plain)
        self.write("train.json", text + "\n")

    def _check_is_ours(self, task_name, labels):
        earlier = self.record.get("task_name")
        if earlier not in (None, task_name):
            raise UserError(
                f"--output_dir={self.path}: holds a run of the task "
                f"{earlier!r}, not {task_name!r}; name another folder"
            )
        path = self.file("labels.txt")
        if labels is not None and files.exists(path):
            found = files.read_text(path).split("\n")
            if found != labels:
                raise UserError(
                    f"--output_dir={self.path}: holds a run with the labels "
                    f"{', '.join(found)}, not {', '.join(labels)}; name "
                    "another folder"
                )

    def _earlier_record(self):
        path = self.file("train.json")
        if not files.exists(path):
            return {}
        try:
            record = json.loads(files.read_text(path))
            return record if isinstance(record, dict) else {}
        except ValueError:  # Not ours, or damaged: the next write mends it.
            return {}


def _versions():
    return {
        "bert_tf": bert_tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }


def _plain(value):
    """NumPy numbers as JSON knows them."""
    return value.item() if hasattr(value, "item") else str(value)
