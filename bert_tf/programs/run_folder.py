"""The files that a run leaves in --output_dir, besides its checkpoints.

eval_results.txt    sorted lines `key = value`, as the original writes them
labels.txt          one label per line: the columns of test_results.tsv
task.json           labels, thresholds, and what else a model needs to answer
train.json          the task's name; for each of "train", "eval" and "predict"
                    flags, versions, sizes, seconds, results; for "train" also
                    evaluations, resumed_at_step and num_train_steps
"""

import contextlib
import io
import json
import os
import platform
from collections.abc import Iterator, Mapping
from typing import IO, Any

import keras
import numpy as np
import tensorflow as tf

import bert_tf
from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.programs import run_record


class RunFolder:
    """The folder of one run: one task, one model.

    Making the object writes nothing; `open` does.

    Args:
        path: the folder; it need not exist.
        task_name: the run's task; None if any task will do.
        writes: whether this process writes; of several processes one does.

    Attributes:
        record: what train.json holds.

    Raises:
        UserError: the folder holds a run of another task.
    """

    def __init__(
        self,
        path: str,
        task_name: str | None,
        writes: bool = True,
    ):
        self.path = path
        self.writes = writes
        if files.exists(path) and not files.is_folder(path):
            raise UserError("this is a file", setting="output_dir", value=path)
        self.record: dict[str, Any] = run_record.read(path)
        if task_name is not None:
            self._check_is_ours(task_name)
            self.record["task_name"] = task_name

    def open(self, labels: list[str] | None = None) -> None:
        """Makes the folder, train.json, and labels.txt if there are labels."""
        if not self.writes:
            return
        files.make_folder(self.path)
        if labels is not None:
            lines = "".join(f"{label}\n" for label in labels)
            self.write("labels.txt", lines)
        self._write_record()

    def check_labels(self, labels: list[str] | None) -> None:
        """Raises UserError if the folder holds a run with other labels."""
        path = self.file("labels.txt")
        if labels is not None and files.exists(path):
            earlier = files.read_text(path).split("\n")
            if earlier != labels:
                raise UserError(
                    f"holds a run with the labels {', '.join(earlier)}, not "
                    f"{', '.join(labels)}; name another folder",
                    setting="output_dir",
                    value=self.path,
                )

    def file(self, name: str) -> str:
        """The path of a file in the folder."""
        return os.path.join(self.path, name)

    def write(self, name: str, text: str) -> None:
        """Writes a file, if this process writes."""
        if self.writes:
            files.write_text(self.file(name), text)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[str]]:
        """Gives a writer of a file that appears when the block ends."""
        if not self.writes:
            yield io.StringIO()
            return
        with files.writing_text(self.file(name)) as writer:
            yield writer

    def remove(self, *names: str) -> None:
        """Removes outdated files of an earlier run."""
        if self.writes:
            for name in names:
                files.remove_if_there(self.file(name))

    def write_json(self, name: str, value: Any) -> None:
        """Writes a value as JSON; NumPy's numbers become Python's."""
        self.write(name, json.dumps(value, indent=2, default=_plain) + "\n")

    def write_results(
        self, results: Mapping[str, Any], name: str = "eval_results.txt"
    ) -> None:
        """Writes {name: number} as sorted lines."""
        lines = [f"{key} = {value!s}\n" for key, value in results.items()]
        self.write(name, "".join(sorted(lines)))

    def earlier(self, mode: str) -> dict[str, Any]:
        """The record of the last "train", "eval" or "predict", or {}."""
        return self.record.get(mode, {})

    def record_mode(
        self, mode: str, flag_values: Mapping[str, Any], **values: Any
    ) -> None:
        """Writes to train.json what was done last in a mode.

        Args:
            mode: "train", "eval" or "predict".
            flag_values: {flag: value} of all flags.
            **values: num_examples, seconds, results, …
        """
        self.record[mode] = {
            **values,
            "flags": flag_values,
            "versions": _versions(),
        }
        self._write_record()

    def _write_record(self):
        self.write_json(run_record.NAME, self.record)

    def _check_is_ours(self, task_name):
        earlier = self.record.get("task_name")
        if earlier not in (None, task_name):
            raise UserError(
                f"holds a run of the task {earlier!r}, not {task_name!r}; "
                "name another folder",
                setting="output_dir",
                value=self.path,
            )


def _versions():
    return {
        "bert_tf": bert_tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }


def _plain(value):
    """Makes Python's numbers of NumPy's, which JSON does not know."""
    return value.item() if hasattr(value, "item") else str(value)
