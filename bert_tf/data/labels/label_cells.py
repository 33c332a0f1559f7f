"""Reads labels from the cells of a table.

single_label    "ham", ["ham"]           "ham"
multi_label     "rude, angry"            ("rude", "angry")
                ["rude", "angry"]        ("rude", "angry")
                1 and 0, in two columns  ("rude",)
                [0, 1, 1]                ("1", "2")
regression      " 2.5"                   2.5

`label_notation` has the notations of other programs, and `missing_labels` the
marks for "no label".
"""

import collections
import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import Any

from absl import logging

from bert_tf.data.labels import file_labels, missing_labels
from bert_tf.data.labels.file_labels import Cells, shown
from bert_tf.data.labels.yes_no_cells import YesNoReader
from bert_tf.data.tabular import label_notation
from bert_tf.data.tabular.csv_files import unescaped
from bert_tf.data.tabular.label_notation import Marked
from bert_tf.data.tabular.table import Table, is_empty, listed, number
from bert_tf.errors import UserError


def label_columns(
    problem_type: str, label_column: str, names: list[str]
) -> list[str]:
    """The columns of the label, or of several labels.

    Args:
        problem_type: one of `choices.PROBLEM_TYPES`.
        label_column: the setting; unless of regression it may name several
            columns, separated by commas.
        names: all columns of the file.
    """
    if problem_type == "regression" or label_column in names:
        return [label_column]
    several = [name.strip() for name in label_column.split(",")]
    is_several = problem_type == "multi_label" or {*several} <= {*names}
    return several if is_several else [label_column]


def answers(table: Table, used: Collection[str]) -> list[str | None]:
    """The column `answer` of Prodigy's files; [] of all others.

    It says of each row whether its label was accepted, rejected or ignored.

    Args:
        table: the table.
        used: columns that have another meaning.
    """
    name = "answer"
    if table.names.count(name) != 1 or name in used:
        return []
    found = table.label_values(name, optional=True)
    kinds = {"accept", "reject", "ignore"}
    return found if "accept" in found and {*found} <= kinds else []


@dataclasses.dataclass
class FileLabels:
    """The labels of a file.

    Attributes:
        labels: the label of each row; None where it has none.
        marked: {mark: its rows}: rows whose label is a mark for "no label".
        unreadable: rows of a test file whose label cannot be read.
        names: the label of each column, or of each place of a vector, in
            order; None where labels are written out.
    """

    labels: list[Any]
    marked: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    unreadable: list[int] = dataclasses.field(default_factory=list)
    names: list[str] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelReader:
    """Reads the labels of a file.

    Attributes:
        problem_type: one of `choices.PROBLEM_TYPES`.
        label_column: the setting, for errors.
        label_delimiter: the text between two labels in a cell of multi_label.
        columns: of `label_columns`.
        set_type: "train", "dev" or "test". The marks among the labels of the
            last two are found where training's labels are known.
        missing_label: see `splits.FileSettings`.
    """

    problem_type: str
    label_column: str
    label_delimiter: str
    columns: list[str]
    set_type: str
    missing_label: Sequence[str] | None = None

    def read(self, table: Table, contents: Sequence[Any]) -> FileLabels:
        """The label of each row.

        Args:
            table: the table.
            contents: of the one label column: a text, a tuple or a `Marked`
                for a list or an object in JSON, or None. Of several label
                columns a tuple of their texts.

        Raises:
            UserError: a cell cannot be read; the message has its place.
        """
        cells = Cells.of(table, contents)
        if self.problem_type == "regression":
            return self._numbers(cells)
        names: list[str] | None = self.columns
        if len(self.columns) > 1:
            found = self._checked(cells, self._marks.of_columns(cells))
        else:
            parsed = self._parse(cells)
            found, names = self._of_parsed(cells, parsed)
            found = self._checked(cells, found)
            self._log_notation(cells, parsed, names)
        marked: dict[str, list[int]] = {}
        if names is None and self.set_type == "train":
            marks = file_labels.marks_of_cells(cells, found, self.missing_label)
            found = file_labels.same_numbers(found)
            found, marked = _without_marks(cells, found, marks)
        labels = [found[cell] for cell in contents]
        if self.set_type == "test" and not any(labels):
            # A column of empty cells says nothing, not that no label holds.
            labels = [None] * len(labels)
        return FileLabels(labels, marked, names=names)

    @property
    def _marks(self):
        return YesNoReader(
            label_column=self.label_column,
            columns=self.columns,
            set_type=self.set_type,
            missing_label=self.missing_label,
        )

    # --- Numbers ------------------------------------------------------------

    def _numbers(self, cells):
        """The labels of regression; unknown ones are None."""
        found, marked, unreadable = {}, {}, set()
        marks = frozenset(missing_labels.MARKS)
        if self.missing_label is not None:
            texts = [x for x in map(_unwrapped, cells.distinct) if x]
            marks = missing_labels.marks_among(texts, self.missing_label)
        for cell in cells.distinct:
            text = _unwrapped(cell)
            value = number(text) if isinstance(text, str) else None
            found[cell] = None if text in marks else value
            if found[cell] is not None or text is None or self._is_blank(text):
                continue
            if isinstance(text, str) and text.strip() in marks:
                marked[cell] = text
            elif self.set_type == "test":
                unreadable.add(cell)
            else:
                raise UserError(
                    f"{cells.place(cell)}: label {shown(text)} in "
                    f"`label_column`={self.label_column} is not a finite "
                    f"number{file_labels.number_hint(text)}"
                )
        if self._is_constant(cells, found):
            marked |= {cell: _unwrapped(cell) for cell, x in found.items() if x}
            found = dict.fromkeys(found)
        return FileLabels(
            [found[cell] for cell in cells.rows],
            _rows_of(cells, marked),
            [r for r, x in enumerate(cells.rows) if x in unreadable]
            if unreadable
            else [],
        )

    def _is_constant(self, cells, found):
        """Whether -1 is all that a set to evaluate or to label has."""
        numbers = {*found.values()} - {None}
        is_named = self.missing_label is not None
        if is_named or self.set_type == "train" or len(cells.rows) < 2:
            return False
        return numbers in ({-1.0}, {-100.0})

    def _is_blank(self, text):
        """Whether a text is nothing, or NaN where that is not a label."""
        if not isinstance(text, str):
            return False
        return not text.strip() or (
            self.missing_label is None and is_empty(text)
        )

    # --- One column ---------------------------------------------------------

    def _parse(self, cells):
        """{cell: its text, a tuple, a `Marked` or None}."""
        parsed = {}
        for cell in cells.distinct:
            try:
                parsed[cell] = _parsed(cell)
            except ValueError as error:
                raise UserError(f"{cells.place(cell)}: {error}") from None
        return parsed

    def _log_notation(self, cells, parsed, names):
        """Says that labels were in the notation of another program."""
        is_one = self.problem_type == "single_label"
        odd = (
            cell
            for cell, value in parsed.items()
            if value is not cell or (is_one and _is_single(cell))
        )
        start = f"{cells.table.path}: `label_column`={self.label_column}"
        if (example := next(odd, None)) is not None:
            logging.info(
                "%s: labels are read without brackets and quotes (%s in line "
                "%s first)",
                start,
                shown(example),
                cells.line(example),
            )
        if names and not any(isinstance(v, Marked) for v in parsed.values()):
            size = len(names)
            logging.info("%s: vectors of %d labels from 0 on", start, size)

    def _of_parsed(self, cells, parsed):
        """({cell: labels}, names); labels are tuples, or None."""
        if any(isinstance(value, Marked) for value in parsed.values()):
            return self._of_objects(cells, parsed)
        split = self._split(parsed)
        if size := file_labels.vector_size(split.values()):
            return self._of_vectors(cells, split, size)
        self._check_soft(cells, split)
        if self.problem_type == "multi_label" and self.set_type == "train":
            delimiter = unescaped(self.label_delimiter)
            file_labels.check_delimiter(cells, parsed, delimiter)
        labels = {
            cell: value and tuple(dict.fromkeys(filter(None, value)))
            for cell, value in split.items()
        }
        return labels, None

    def _split(self, parsed):
        """{cell: its labels as a tuple, or None where it has none}."""
        has_lists = any(
            isinstance(cell, str) and isinstance(value, tuple)
            for cell, value in parsed.items()
        )
        # Where other cells are lists, [] says that no label holds.
        nothing = None if has_lists else ()
        delimiter = unescaped(self.label_delimiter)
        split = {}
        for cell, value in parsed.items():
            if value is None:
                split[cell] = None
            elif isinstance(value, tuple):
                labels = tuple(map(_collapsed, value))
                # [null] says less than [].
                split[cell] = labels if any(labels) or not labels else None
            elif self.problem_type == "single_label":
                is_none = self._is_blank(value)
                split[cell] = None if is_none else (_collapsed(value),)
            elif not value.strip():
                split[cell] = nothing
            else:
                parts = label_notation.spaced_vector(value.strip())
                parts = parts or map(_collapsed, value.split(delimiter))
                split[cell] = tuple(parts)
        return split

    def _of_vectors(self, cells, split, size):
        """Vectors of 0 and 1; the labels are their places from 0."""
        names = [str(place) for place in range(size)]
        start = next(c for c, v in split.items() if v and len(v) == size)
        found = {}
        for cell, values in split.items():
            if values and len(values) != size:
                raise UserError(
                    f"{cells.place(cell)}: {shown(cell)} in `label_column`="
                    f"{self.label_column} has {len(values)} places, but the "
                    f"vector in line {cells.line(start)} has {size}"
                )
            found[cell] = None
            if values:
                place = functools.partial(cells.place, cell)
                found[cell] = self._marks.labels(names, values, place)
        return found, names

    def _check_soft(self, cells, split):
        """Refuses lists of probabilities."""
        for cell, values in split.items():
            if not values or len(values) < 2:
                continue
            numbers = [number(value) for value in values]
            if None in numbers or not all(0 <= x <= 1 for x in numbers):
                continue
            if any(x % 1 for x in numbers):
                raise UserError(
                    f"{cells.place(cell)}: {shown(cell)} in `label_column`="
                    f"{self.label_column} holds probabilities: each must be 0 "
                    "or 1"
                )

    def _of_objects(self, cells, parsed):
        """Objects that say of each label whether it holds."""
        names: dict[str, None] = {}
        found = {}
        for cell, value in parsed.items():
            found[cell] = None
            if isinstance(value, Marked):
                keys = [_collapsed(key) for key, _ in value.items]
                names.update(dict.fromkeys(keys))
                marks = [mark for _, mark in value.items]
                place = functools.partial(cells.place, cell)
                found[cell] = self._marks.labels(keys, marks, place)
            elif value and not (isinstance(value, str) and is_empty(value)):
                raise UserError(
                    f"{cells.place(cell)}: {shown(cell)} in `label_column`="
                    f"{self.label_column}, where other rows have an object"
                )
        return found, [*names]

    def _checked(self, cells, found):
        """The labels as the problem has them: one, or several."""
        check = self._only if self.problem_type == "single_label" else None
        result = {}
        for cell, labels in found.items():
            result[cell], why = (check or self._undelimited)(labels)
            if why:
                raise UserError(f"{cells.place(cell)}: {why}")
        return result

    def _only(self, labels):
        """(the one label, "") or (None, what is wrong)."""
        if labels and len(labels) > 1:
            return None, (
                f"{len(labels)} labels in `label_column`={self.label_column}: "
                f"{listed([*map(repr, labels)])}; `problem_type`=multi_label "
                "reads several"
            )
        return (labels[0] if labels else None), ""

    def _undelimited(self, labels):
        """Refuses what could not be read again from a file of predictions."""
        for label in labels or ():
            if unescaped(self.label_delimiter) in label:
                return None, (
                    f"label {label!r} has `label_delimiter`="
                    f"{self.label_delimiter} in it; name another delimiter"
                )
        return labels, ""


def _without_marks(cells, found, marks):
    """({cell: label, None if it is a mark}, {mark: its rows})."""
    if not marks:
        return found, {}
    by_cell = {
        cell: mark
        for cell, label in found.items()
        if (mark := file_labels.mark_of(label, marks)) is not None
    }
    labels = {**found}
    for cell, label in found.items():
        if cell in by_cell:
            labels[cell] = None
        elif isinstance(label, tuple) and not marks.isdisjoint(label):
            labels[cell] = file_labels.without_fillers(label, marks)
    changed = (c for c in labels if labels[c] not in (None, found[c]))
    shorter = next(changed, None)
    if shorter is not None:
        logging.info(
            "%s: -1 and -100 in lists of labels are taken for no label (%s in "
            "line %s first)",
            cells.table.path,
            shown(shorter),
            cells.line(shorter),
        )
    return labels, _rows_of(cells, by_cell)


def _rows_of(cells, marks) -> dict[str, list[int]]:
    """{mark: its rows}, of {cell: mark}."""
    rows: dict[str, list[int]] = collections.defaultdict(list)
    for row, cell in enumerate(cells.rows if marks else ()):
        if cell in marks:
            rows[marks[cell]].append(row)
    return dict(rows)


def _parsed(cell):
    """A text without foreign notation, a tuple, a `Marked` or None."""
    if not isinstance(cell, str):
        return cell
    value = label_notation.parse(cell)
    return cell if value == cell.strip() else value


def _unwrapped(cell):
    """The one item of a list."""
    return cell[0] if _is_single(cell) else cell


def _is_single(cell):
    return isinstance(cell, tuple) and len(cell) == 1


def _collapsed(text):
    return " ".join(text.split())
