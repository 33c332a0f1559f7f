"""StoredRun: what a run has left in its folder, as plain data.

train.json, task.json                 see `programs.run_folder`
eval_report.json, test_report.json    scores, see `metrics.reports`
report/steps.jsonl                    a line for each few steps of training
report/data.json                      the sets: rows, labels, lengths
report/eval.jsonl, report/test.jsonl  a line for each example: what it is, and
                                      what the model made of it
report/contexts.jsonl                 of SQuAD: the text of each context
report/masked.jsonl                   of pretraining: pieces and guesses
"""

import dataclasses
import functools
import importlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from bert_tf import extras, files, json_files
from bert_tf.errors import UserError

FOLDER = "report"
STEPS, DATA = "steps.jsonl", "data.json"
SETS = {"eval": "Dev set", "test": "Test set"}
# Lines of other things: SQuAD's contexts, and what [MASK] was taken for.
OTHER_ROWS = ("contexts", "masked")
MODES = {"train": "train", "eval": "eval", "test": "predict"}
# It writes a line several times as fast as Python's json.
_orjson: Any = None
if extras.is_there("orjson"):
    _orjson = importlib.import_module("orjson")
_OUTPUTS = ("logits", "prediction", "scores", "probability")
# The limits of eval.jsonl and of test.jsonl. Both are kept in memory before
# they are written, and read as a whole for the page.
MAX_ROWS = 100_000
MAX_CHARACTERS = 100_000_000

Row = dict[str, Any]


def file_of(folder: str, name: str) -> str:
    """The path of a file that a report is made of."""
    return os.path.join(folder, FOLDER, name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run, as its folder holds it. What a run has not left is empty.

    Attributes:
        folder: the run's, absolute unless it is remote.
        record: train.json.
        task: task.json.
        data: report/data.json, see `programs.run_report`.
        steps: report/steps.jsonl, see `training.step_log`.
        rows: {"eval" or "test": its lines}, see `Problem.report_row`; and
            those of OTHER_ROWS.
        reports: {"eval" or "test": its report}, see `metrics.reports`; with
            the key "scores": {name: number}.
        not_finite: {"eval" or "test": how many lines are not in `rows`,
            because an output of the model was not a finite number}.
    """

    folder: str
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    task: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    rows: dict[str, list[Row]] = dataclasses.field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    not_finite: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return os.path.basename(self.folder.rstrip("/")) or self.folder

    @property
    def task_name(self) -> str:
        """The name of its task, such as "sms", "squad" or "pretraining"."""
        return str(self.record.get("task_name", ""))

    @property
    def kind(self) -> str:
        """The kind of its answers; of SQuAD and pretraining the task's name."""
        return str(self.task.get("problem") or self.task_name)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the model's outputs; [] without any."""
        return list(self.task.get("labels") or ())

    @functools.cached_property
    def flags(self) -> dict[str, Any]:
        """{flag: value} of its training, or else of its last other mode."""
        for mode in ("train", "eval", "predict"):
            if flags := self.record.get(mode, {}).get("flags"):
                return flags
        return {}

    @property
    def given_flags(self) -> list[str]:
        """The names of the flags that the command line gave."""
        return list(self.data.get("given_flags", ()))

    @property
    def versions(self) -> dict[str, str]:
        """{name: version} of the libraries."""
        for mode in ("train", "eval", "predict"):
            if versions := self.record.get(mode, {}).get("versions"):
                return versions
        return {}

    @property
    def evaluations(self) -> list[dict[str, float]]:
        """The evaluations while it trained: {"step": …, metric: …}."""
        return list(self.record.get("train", {}).get("evaluations", ()))

    @property
    def metric(self) -> str:
        """The metric that makes a checkpoint the best; "" if none does."""
        return str(self.flags.get("metric_for_best") or "")

    def scores(self, name: str) -> dict[str, float]:
        """{metric: number} of a set.

        Args:
            name: "eval" or "test".
        """
        if name == "test" and self.task_name == "squad":
            return {}  # Predictions are those of the set that is evaluated.
        scores = self.reports.get(name, {}).get("scores", {})
        if not scores:
            mode = self.record.get(MODES[name], {})
            scores = mode.get("results") or {}
        return {k: v for k, v in scores.items() if isinstance(v, int | float)}

    def file_of_set(self, name: str) -> str:
        """The path of the file of a set; "" if it is not known.

        Args:
            name: "eval" or "test".
        """
        if paths := self.set_data(name).get("files"):
            return str(paths[0])
        record = self.record.get(MODES[name], {})
        flags = record.get("flags") or {}
        prefix = {"eval": "dev", "test": "test"}[name]
        for flag in (f"{prefix}_file", "predict_file", "eval_input_file"):
            if path := flags.get(flag):
                if files.is_remote(path):
                    return str(path)
                return os.path.join(record.get("working_folder", ""), path)
        return ""

    def set_data(self, name: str) -> dict[str, Any]:
        """What data.json says of a set: "train", "eval" or "test"."""
        return self.data.get("sets", {}).get(name, {})


def check_folder(folder: str) -> None:
    """Raises UserError unless a folder is that of a run."""
    if not files.is_folder(folder):
        raise UserError(f"{folder}: no such folder")
    if not files.exists(os.path.join(folder, "train.json")):
        raise UserError(
            f"{folder}: not the folder of a run: it has no train.json"
        )


def read(folder: str) -> StoredRun:
    """Reads a run's folder.

    Raises:
        UserError: there is no such folder, it is not that of a run, or a file
            in it is damaged.
    """
    check_folder(folder)
    if not files.is_remote(folder):
        folder = os.path.abspath(folder)
    rows = {
        name: [*_lines(file_of(folder, f"{name}.jsonl"))]
        for name in (*SETS, *OTHER_ROWS)
    }
    finite = {n: [r for r in rows[n] if _is_finite(r)] for n in rows}
    return StoredRun(
        folder=folder,
        record=_object(folder, "train.json"),
        task=_task(folder),
        data=_object(folder, os.path.join(FOLDER, DATA)),
        steps=[*_lines(file_of(folder, STEPS))],
        rows={name: there for name, there in finite.items() if there},
        not_finite={
            name: missing
            for name in SETS
            if (missing := len(rows[name]) - len(finite[name]))
        },
        reports={
            name: report
            for name in SETS
            if (report := _object(folder, f"{name}_report.json"))
        },
    )


def _is_finite(row: Row) -> bool:
    """Whether a row's outputs are numbers; `to_line` writes nan as null."""
    for key in _OUTPUTS:
        value = row.get(key, 0)
        if value is None or (isinstance(value, list) and None in value):
            return False
    return True


def _task(folder: str) -> dict[str, Any]:
    """task.json; the results of another file are in a folder of the run's."""
    for place in (folder, os.path.join(folder, os.pardir, os.pardir)):
        if task := _object(place, "task.json"):
            return task
    return {}


def _object(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    return json_files.read_object(path) if files.exists(path) else {}


def _lines(path: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one on each line."""
    if not files.exists(path):
        return
    with files.open_binary(path) as reader:
        for number, line in enumerate(reader, start=1):
            try:
                value = (_orjson or json).loads(line)
            except ValueError as error:
                raise UserError(f"{path}:{number}: not JSON: {error}") from None
            if not isinstance(value, dict):
                raise UserError(f"{path}:{number}: a JSON object is needed")
            yield value


def plain(value: Any) -> Any:
    """Makes Python's numbers and lists of NumPy's, which JSON does not know."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def to_line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSON; numbers that are not finite become null."""
    if _orjson is None:
        return _without_orjson(row) + "\n"
    options = _orjson.OPT_SERIALIZE_NUMPY | _orjson.OPT_NON_STR_KEYS
    line: bytes = _orjson.dumps(row, default=plain, option=options)
    return line.decode() + "\n"


def _without_orjson(row: Mapping[str, Any]) -> str:
    """The line as Python's json writes it."""

    def finite(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: finite(one) for key, one in value.items()}
        if hasattr(value, "tolist"):
            return finite(value.tolist())
        if isinstance(value, list | tuple):
            return [finite(one) for one in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    return json.dumps(
        finite(row),
        default=plain,
        ensure_ascii=False,
        separators=(",", ":"),
    )


def to_json(value: Any) -> str:
    """A value as JSON for people."""
    return json.dumps(value, indent=1, default=plain, ensure_ascii=False) + "\n"
