"""task.json: what must be known of a run's task besides the weights.

    {"problem": "single_label", "labels": ["ham", "spam"]}

It has the kind of the problem and `Problem.record`: labels, thresholds, mean
and deviation. A later run with the same weights reads it.
"""

import dataclasses
import json
import os
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.formats.heads import SCOPES
from bert_tf.formats.model import StoredModel
from bert_tf.tasks.problem import Problem, Record
from bert_tf.tasks.registry import PROBLEMS

NAME = "task.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """The content of task.json.

    Attributes:
        kind: name of the kind of the problem's answers.
        values: what `Problem.record` returned.
    """

    kind: str
    values: Record

    @classmethod
    def of(cls, problem: Problem) -> "TaskRecord":
        return cls(kind=problem.kind, values=problem.record())

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TaskRecord":
        """Checks and returns the content of a file.

        Raises:
            UserError: how sure answers are is damaged.
            ValueError, TypeError, LookupError: the content is not a record.
        """
        values = {**content}
        kind = values.pop("problem")
        PROBLEMS[kind].check_record(values)
        return cls(kind=kind, values=values)

    def to_json(self) -> dict[str, Any]:
        return {"problem": self.kind, **self.values}


def of_stored(stored: StoredModel) -> TaskRecord | None:
    """What a model without a task.json says of its task, as a record.

    Args:
        stored: the model.

    Returns:
        None where its head is of no problem, or its labels have no names.

    Raises:
        UserError: how sure its answers are is damaged.
    """
    values: Record = {"labels": stored.labels}
    if stored.kind == "regression":
        values = {"mean": 0.0, "deviation": 1.0}
    if stored.kind not in PROBLEMS:
        return None
    # An exported model has what its run knew: thresholds, the scale of numbers.
    content = {**values, **stored.task, "problem": stored.kind}
    try:
        return TaskRecord.from_json(content)
    except UserError as error:
        raise UserError(f"{stored.path}: {error}") from None
    except (ValueError, TypeError, LookupError):
        return None


def read(folder: str) -> TaskRecord | None:
    """Reads the file in a folder; returns None if there is no such file.

    None, too, if it is that of a model of pretraining, which answers nothing.

    Raises:
        UserError: the file is damaged.
    """
    path = os.path.join(folder, NAME)
    if not files.exists(path):
        return None
    try:
        content = json.loads(files.read_text(path))
        if content["problem"] in SCOPES and content["problem"] not in PROBLEMS:
            return None
        return TaskRecord.from_json(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (ValueError, TypeError, LookupError):
        raise UserError(
            f"{path}: damaged; train again, or name another folder"
        ) from None
