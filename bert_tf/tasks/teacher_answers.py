"""What the answers of a teacher mean for a student of the same task.

Both have the same labels, but perhaps in another order, or numbers of the same
unit, but on another scale.
"""

from collections.abc import Callable
from typing import Any

from absl import logging
from keras import ops

from bert_tf.backend import Tensor, at_least_float32
from bert_tf.data.tabular.table import listed
from bert_tf.errors import UserError
from bert_tf.tasks.problem import Problem, Record
from bert_tf.tasks.regression import Regression

# Function from a teacher's logits to the same in the student's terms.
Translation = Callable[[Tensor], Tensor]


def translation(problem: Problem, record: Record) -> Translation:
    """Returns what turns a teacher's logits into those of a student.

    Args:
        problem: the student's.
        record: `Problem.record` of the teacher, of the same kind.

    Raises:
        UserError: the teacher has other labels.
    """
    if isinstance(problem, Regression):
        return _on_scale_of(problem, record["mean"], record["deviation"])
    if problem.labels is None:
        return _unchanged
    order = _places(problem.labels, record["labels"])
    if order == [*range(len(order))]:
        return _unchanged
    return lambda logits: ops.take(logits, order, axis=-1)


def _unchanged(logits: Tensor) -> Tensor:
    return logits


def _on_scale_of(
    student: Regression, mean: float, deviation: float
) -> Translation:
    """Both give (number - mean) / deviation, each with its own."""
    factor = deviation / student.deviation
    summand = (mean - student.mean) / student.deviation
    return lambda logits: at_least_float32(logits) * factor + summand


def _places(own: list[str], others: list[str]) -> list[int]:
    """Where the teacher has each label of the student."""
    unnamed: list[Any] = [f"LABEL_{index}" for index in range(len(own))]
    if others == unnamed and own != others:
        logging.warning(
            "The teacher's labels have no names; they are taken for %s",
            ", ".join(own),
        )
        return [*range(len(own))]
    if {*own} != {*others} or len(own) != len(others):
        raise UserError(
            f"its labels are {listed(others)}; those of this run are "
            f"{listed(own)}"
        )
    return [others.index(label) for label in own]
