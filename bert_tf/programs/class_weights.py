"""How much the examples of each label count, as --class_weights asks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from bert_tf.errors import UserError
from bert_tf.programs import console


def class_weights(
    text: str | None, labels: Sequence[str] | None, examples: Sequence[Any]
) -> list[float] | None:
    """A weight for each label; None if all examples count the same.

    Args:
        text: value of --class_weights: "balanced", numbers, or None.
        labels: the labels, in the order of the weights; None if the task has
            none.
        examples: the examples to train on; there may be none.

    Raises:
        UserError: the text cannot be used.
    """
    if not text or not examples or labels is None:
        return None
    if text == "balanced":
        weights = _balanced(labels, examples)
    else:
        weights = _numbers(text, labels)
    console.show(
        "Weights",
        "of the classes: %s",
        ", ".join(
            f"{label} {weight:.4g}"
            for label, weight in zip(labels, weights, strict=True)
        ),
    )
    return weights


def _balanced(labels, examples):
    """Weights by which all labels count the same."""
    ids = {label: index for index, label in enumerate(labels)}
    label_ids = [ids[example.label] for example in examples]
    counts = np.bincount(label_ids, minlength=len(labels))
    if not counts.all():
        missing = labels[np.argmin(counts)]
        raise UserError(
            f"no example has the label {missing!r}",
            setting="class_weights",
            value="balanced",
        )
    classes = np.arange(len(labels))
    return compute_class_weight(
        "balanced", classes=classes, y=label_ids
    ).tolist()


def _numbers(text, labels):
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    with np.errstate(over="ignore"):
        numbers = np.array(weights, np.float32)  # Their type in the loss.
    usable = np.isfinite(numbers).all() and numbers.any()
    if len(weights) != len(labels) or min(weights) < 0 or not usable:
        raise UserError(
            "give 'balanced', or a number for each of the labels "
            f"{', '.join(labels)}",
            setting="class_weights",
            value=text,
        )
    return weights
