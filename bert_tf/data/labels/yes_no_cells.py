"""Reads cells that say of each label whether it holds.

text,rude,angry
a,1,0                  ("rude",)
b,0,0                  ()
c,-1,                  None: it is not known
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from absl import logging

from bert_tf.data.labels import file_labels, missing_labels
from bert_tf.data.labels.file_labels import Cells
from bert_tf.data.tabular.label_notation import NO, YES
from bert_tf.errors import UserError

_MARKS = frozenset(map(str.lower, missing_labels.MARKS))


@dataclasses.dataclass(frozen=True, kw_only=True)
class YesNoReader:
    """Reads labels from cells, or other values, that say yes or no.

    Attributes:
        label_column, columns, set_type, missing_label: see
            `label_cells.LabelReader`.
    """

    label_column: str
    columns: Sequence[str]
    set_type: str
    missing_label: Sequence[str] | None = None

    def of_columns(
        self, cells: Cells
    ) -> dict[tuple[str, ...], tuple[str, ...] | None]:
        """{cells of a row: the columns that say yes}, None if not known.

        Where no cell of the file says no, empty ones do.

        Raises:
            UserError: a cell is neither yes nor no, or -1 may be both.
        """
        marks = {mark for row in cells.distinct for mark in map(_mark, row)}
        if not any(mark in NO for mark in marks):
            if self._is_sparse(cells, marks):
                return {row: self._not_empty(row) for row in cells.distinct}
            if self.missing_label is None:
                self._check_signs(cells)
        found = {}
        for row in cells.distinct:
            place = functools.partial(cells.place, row)
            found[row] = self.labels(self.columns, row, place)
        return found

    def labels(
        self,
        names: Sequence[str],
        values: Sequence[str | None],
        place: Callable[[], str],
    ) -> tuple[str, ...] | None:
        """The names whose value says yes; None if one of them says nothing.

        Args:
            names: of the labels.
            values: what is said of each, such as "1" or "false".
            place: function() -> "file:line", for errors.

        Raises:
            UserError: a value is neither yes nor no.
        """
        found, is_known = [], True
        for name, value in zip(names, values, strict=True):
            mark = _mark(value)
            if mark in YES:
                found.append(name)
            elif self._is_missing(mark):
                is_known = False
            elif mark not in NO:
                what = "column " if len(self.columns) > 1 else ""
                raise UserError(
                    f"{place()}: {value!r} in {what}{name} of `label_column`="
                    f"{self.label_column}: must be 0 or 1"
                )
        return tuple(dict.fromkeys(found)) if is_known else None

    def _is_sparse(self, cells, marks):
        """Whether only the labels that hold have a mark, as x or 1."""
        is_sparse = {""} < marks <= {"", "x", *YES}
        if self.set_type == "test":
            # A row without any mark may have no label yet.
            is_sparse = is_sparse and all(map(any, cells.distinct))
        if is_sparse:
            logging.info(
                "%s: no cell of `label_column`=%s says no, so that an empty "
                "cell does",
                cells.table.path,
                self.label_column,
            )
        return is_sparse

    def _not_empty(self, row):
        pairs = zip(self.columns, row, strict=True)
        return tuple(name for name, cell in pairs if _mark(cell))

    def _check_signs(self, cells):
        """Refuses 1 and -1 without any 0: is -1 no, or not known?"""
        for row in cells.distinct:
            marks = {*map(_mark, row)}
            if not marks.isdisjoint(YES) and marks & {"-1", "-1.0"}:
                raise UserError(
                    f"{cells.place(row)}: 1 and -1 in `label_column`="
                    f"{self.label_column}, and no cell of the file is 0; write "
                    "0 where a label does not hold, or name "
                    "`missing_label`=-1 where it is not known"
                )

    def _is_missing(self, mark):
        """Whether a mark that should be 0 or 1 means "not known"."""
        if not mark or self.missing_label is None:
            return mark in _MARKS or file_labels.is_filler(mark)
        named = [name.lower() for name in self.missing_label]
        return bool(missing_labels.marks_among([mark], named))


def _mark(cell):
    return (cell or "").strip().lower()
