"""The labels of a published data set, which its files alone may hold.

is_label("1", ["0", "1"])                                     True
checked("-", "train.tsv:7", "train", labels=["yes", "no"])    None: no label
checked("2.5", "train.tsv:7", "train", labels=None)           2.5
"""

import contextlib
import math
from collections.abc import Sequence

from bert_tf.data.labels import missing_labels
from bert_tf.data.tabular.table import number
from bert_tf.errors import UserError

_MARKS = frozenset(missing_labels.MARKS)


def is_label(text: str, labels: Sequence[str] | None) -> bool:
    """Whether a text is a label, or a mark for a missing one.

    Args:
        text: the text.
        labels: every label; None where labels are numbers.
    """
    text = text.strip()
    if labels is not None and text in labels:
        return True
    is_number = labels is None and number(text) is not None
    return is_number or text in ("", "-", "-1", "?")


def checked(
    label: str,
    place: str,
    set_type: str,
    *,
    labels: Sequence[str] | None,
    missing_label: Sequence[str] | None = None,
) -> str | float | None:
    """The label of a row; None where the row has none.

    In a test set a label that is not known counts as none: these sets are
    published with all sorts of placeholders.

    Args:
        label: what the row has.
        place: "path:line" of the row.
        set_type: "train", "dev" or "test".
        labels: every label; None where labels are numbers.
        missing_label: see `splits.FileSettings`.

    Raises:
        UserError: it is not a label, and the set is not a test set.
    """
    value: str | float | None
    if labels is None:
        value = _finite(label)
    else:
        value = label if label in labels else None
    # -1 is a number, but test sets without labels have it.
    is_filler = value == -1 and set_type == "test"
    if missing_label is None and value is not None and not is_filler:
        return value
    if _is_missing(label, set_type, labels, missing_label):
        return None
    if value is not None:
        return value
    if set_type == "test":
        return None
    allowed = "a number" if labels is None else f"one of {', '.join(labels)}"
    hint = ""
    if place.endswith(":1"):
        hint = " (is this a header row? This file is read without one)"
    raise UserError(f"{place}: label {label!r} is not {allowed}{hint}")


def _finite(label):
    """The number that a label is; None if it is not a finite one."""
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(label)):
            return value
    return None


def _is_missing(label, set_type, labels, missing_label):
    """Whether a label means that there is none."""
    if missing_label is not None:
        return bool(missing_labels.marks_among([label], missing_label))
    if labels is None:
        # -1 is a number, but test sets without labels have it.
        is_filler = missing_labels.whole_number(label) == -1
        return label in _MARKS or (is_filler and set_type == "test")
    return bool(missing_labels.marks_among([label], known=labels))
