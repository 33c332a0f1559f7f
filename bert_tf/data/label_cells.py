"""Reads labels from the cells of a table.

single_label    "ham"                    "ham"
multi_label     "rude, angry"            ("rude", "angry")
                1 and 0, in two columns  ("rude",)
regression      " 2.5"                   2.5
"""

import dataclasses
from typing import Any

from bert_tf.data.csv_files import unescaped
from bert_tf.data.splits import Label
from bert_tf.data.table import is_empty, number

_BOOLEANS = {
    "1": True,
    "1.0": True,
    "true": True,
    "0": False,
    "0.0": False,
    "false": False,
}


def label_columns(
    problem_type: str, label_column: str, names: list[str]
) -> list[str]:
    """The columns of the label, or of several labels.

    Args:
        problem_type: one of `choices.PROBLEM_TYPES`.
        label_column: the setting; of multi_label it may name several columns,
            separated by commas.
        names: all columns of the file.
    """
    is_one = problem_type != "multi_label" or label_column in names
    if is_one:
        return [label_column]
    return [name.strip() for name in label_column.split(",")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelReader:
    """Reads the label of a row.

    Attributes:
        problem_type: one of `choices.PROBLEM_TYPES`.
        label_column: the setting, for errors.
        label_delimiter: the text between two labels in a cell of multi_label.
        columns: of `label_columns`.
        is_test: whether empty cells of several label columns mean that the
            labels are not known, rather than a mistake.
    """

    problem_type: str
    label_column: str
    label_delimiter: str
    columns: list[str]
    is_test: bool

    def read(self, value: Any) -> tuple[Label, str]:
        """The label of a row, None where it has none, and what is wrong.

        Args:
            value: the content of the one label column: a text, or a tuple of
                texts for a list in JSON, or None. Of several label columns a
                tuple of their contents.

        Returns:
            (label, why it cannot be read, or "").
        """
        if self.problem_type == "regression":
            return self._number(value)
        if self.problem_type == "single_label":
            return (None if is_empty(value) else _collapsed(value)), ""
        if len(self.columns) > 1:
            return self._labels_of_marks(value)
        return self._labels(value)

    def _number(self, text):
        if is_empty(text):
            return None, ""
        value = number(text)
        if value is not None:
            return value, ""
        return None, (
            f"label {text!r} in `label_column`={self.label_column} is not a "
            "finite number"
        )

    def _labels(self, value):
        """The labels of a cell, or of a list in JSON."""
        if value is None:
            return (None if self.is_test else ()), ""
        parts = value
        if isinstance(value, str):
            delimiter = unescaped(self.label_delimiter)
            parts = [] if is_empty(value) else value.split(delimiter)
        # A dict keeps the order, and each label once.
        labels = tuple(dict.fromkeys(filter(None, map(_collapsed, parts))))
        return labels, self._undelimited(labels)

    def _undelimited(self, labels):
        """Refuses what could not be read again from a file of predictions."""
        for label in labels:
            if unescaped(self.label_delimiter) in label:
                return (
                    f"label {label!r} has `label_delimiter`="
                    f"{self.label_delimiter} in it; name another delimiter"
                )
        return ""

    def _labels_of_marks(self, cells):
        """The columns whose cells say yes."""
        marks = [(cell or "").strip() for cell in cells]
        if self.is_test and not all(marks):
            return None, ""
        for name, mark in zip(self.columns, marks, strict=True):
            if mark.lower() not in _BOOLEANS:
                return None, (
                    f"{mark!r} in column {name} of `label_column`="
                    f"{self.label_column}: must be 0 or 1"
                )
        labels = tuple(
            name
            for name, mark in zip(self.columns, marks, strict=True)
            if _BOOLEANS[mark.lower()]
        )
        return labels, ""


def _collapsed(text):
    return " ".join(text.split())
