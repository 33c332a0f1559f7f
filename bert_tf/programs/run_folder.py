"""The files that a run leaves in --output_dir, besides its checkpoints.

eval_results.txt    sorted lines `key = value`, as the original writes them
labels.txt          one label per line: the columns of test_results.tsv
task.json           labels, thresholds, and what else a model needs to answer
train.json          the task's name; for each of "train", "eval" and "predict"
                    flags, the working folder, versions, sizes, seconds,
                    results; for "train" also evaluations, resumed_at_step,
                    num_train_steps and dropout_masks, a version number
vocab.txt, bert_config.json
                    copies of the model's files, so that the folder can move
predictions/NAME/, evaluations/NAME/
                    results of other files, in a folder each
"""

import contextlib
import io
import itertools
import json
import os
import platform
from collections.abc import Iterator, Mapping
from typing import IO, Any

import keras
import numpy as np
import tensorflow as tf

import bert_tf
from bert_tf import files, pretrained
from bert_tf.errors import UserError
from bert_tf.formats import tokenizer_json
from bert_tf.programs import run_record

# The folders for results of other files than the run's.
OTHER_FILES = {"eval": "evaluations", "predict": "predictions"}


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
            run_record.check_task(self.record, [task_name], path)
            self.record["task_name"] = task_name

    def open(
        self,
        labels: list[str] | None = None,
        model_files: Mapping[str, str] | None = None,
    ) -> None:
        """Makes the folder and its first files.

        Args:
            labels: the labels for labels.txt, if the task has any.
            model_files: {name: path} of files to copy into it.
        """
        if not self.writes:
            return
        files.make_folder(self.path)
        for name, path in (model_files or {}).items():
            if not files.is_same(path, self.file(name)):
                _copy_model_file(name, path, self.file(name))
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
            run_record.WORKING_FOLDER: os.getcwd(),
            "versions": _versions(),
        }
        self._write_record()

    def is_of_same_file(
        self, mode: str, flag_values: Mapping[str, Any]
    ) -> bool:
        """Whether the results of a mode are of the file that the flags name.

        They are, too, if there are no results yet. Of a pipe they never are:
        it has other content each time.

        Args:
            mode: "eval" or "predict".
            flag_values: {flag: value} of a command.
        """
        before = run_record.flags_of(self.record, [mode])
        if not before:
            return True
        source = source_of(mode, flag_values)
        if files.exists(source[0]) and not (
            files.is_folder(source[0]) or files.is_regular(source[0])
        ):
            return False
        return source_of(mode, before) == source

    def folder_of_other_file(
        self, mode: str, flag_values: Mapping[str, Any]
    ) -> "RunFolder":
        """The folder in this one for the results of another file.

        Args:
            mode: "eval" or "predict".
            flag_values: {flag: value} of the command that reads the file.
        """
        name = _name_of(source_of(mode, flag_values)[0])
        for number in itertools.count(1):
            path = os.path.join(
                self.path,
                OTHER_FILES[mode],
                name if number == 1 else f"{name}-{number}",
            )
            folder = RunFolder(path, self.record.get("task_name"), self.writes)
            if folder.is_of_same_file(mode, flag_values):
                return folder
        raise AssertionError("count() does not end")

    def _write_record(self):
        self.write_json(run_record.NAME, self.record)


def source_of(mode: str, flag_values: Mapping[str, Any]) -> tuple[str, ...]:
    """The file that a mode reads, and which rows of it.

    Files are compared by their whole paths.

    Args:
        mode: "eval" or "predict".
        flag_values: {flag: value} of a command.
    """
    prefix = {"eval": "dev", "predict": "test"}[mode]
    names = (f"{prefix}_file", "predict_file", "eval_input_file")
    for name in (*names, "retrieval_dir"):
        if path := flag_values.get(name):
            return (_absolute(path),)
    if fraction := flag_values.get(f"{prefix}_fraction"):
        rows = [fraction, flag_values.get("split_seed")]
        if mode == "eval":  # The test set takes its rows before the dev set.
            rows.append(flag_values.get("test_fraction"))
        path = _absolute(flag_values.get("train_file") or "")
        return (path, *map(str, rows))
    path = flag_values.get("data_dir") or flag_values.get("input_file") or ""
    return (_absolute(path),)


def _absolute(path: str) -> str:
    return path if files.is_remote(path) else os.path.abspath(path)


def _name_of(path: str) -> str:
    """A name for the results of a file."""
    name = os.path.basename(files.uncompressed_name(path))
    return os.path.splitext(name)[0] or "other"


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


def _copy_model_file(name: str, path: str, target: str) -> None:
    """Copies a file of a model, in the original's format if in another one."""
    if name == "vocab.txt":
        tokenizer_json.copy_vocab(path, target)
    elif pretrained.is_config_of_original(path):
        files.copy(path, target)
    else:
        config = pretrained.read_config(path).to_dict()
        files.write_text(target, json.dumps(config, indent=2) + "\n")
