"""The cells of a CSV or TSV file as a table, and errors in its rows."""

import array
import re
from typing import IO, Any

from absl import logging

from bert_tf import suggestions
from bert_tf.counts import number_of
from bert_tf.data.tabular import file_shape
from bert_tf.data.tabular.cell_values import Kind
from bert_tf.data.tabular.cells import CellReader, without_limit
from bert_tf.data.tabular.file_shape import cleaned_name
from bert_tf.data.tabular.table import (
    COLUMN_SYNONYMS,
    RowWarnings,
    Table,
    listed,
)
from bert_tf.errors import UserError


def check_no_header(reader: CellReader, first: list[str]) -> None:
    """Warns of a header where none is expected."""
    if not file_shape.is_header(first):
        return
    error = UserError(
        f"{reader.path}:{reader.first_line}: the first row looks like a header "
        f"({listed(first)}), and is read as data because of `header`=false"
    )
    if reader.strict:
        raise error
    logging.warning("%s", error)


def check_width(
    reader: CellReader, line: int, cells: list[str], first: list[str]
) -> None:
    """Raises UserError if a row has more or fewer cells than the first."""
    if len(cells) != len(first):
        what = "header" if reader.has_header else "first row"
        number = number_of(len(cells), "cell")
        raise UserError(
            f"{reader.path}:{line}: {number}, but the {what} has {len(first)}"
            + (
                _format_hint(reader, first)
                or _width_hint(reader, line, cells, first)
                or _quote_hint(reader, cells)
            )
        )


def _format_hint(reader, first, wanted=()):
    """The end of an error, for a first row that looks like another format."""
    in_use = reader.used_delimiter
    header = in_use.join(first)
    found = file_shape.likely_delimiter(header, in_use, wanted)
    if found is None and reader.looks_like:
        return f"; the file looks like {reader.looks_like}"
    if found is None and len(first) == 1 and _SPACED.fullmatch(first[0]):
        found = " "
    if found is None:
        return ""
    if found == "," and not reader.has_quotes:
        return "; the file looks like CSV, with commas between cells"
    if len(found) > 1:
        return (
            f"; its cells seem to be separated by {found!r}: replace it by one "
            "character, such as a tab"
        )
    return f"; its cells seem to be separated by {found!r}: see `delimiter`"


def _quote_hint(reader, cells):
    """The end of an error, for cells whose quotes are not read as such."""
    if not reader.has_quotes and any(cell.startswith('"') for cell in cells):
        return (
            "; if a cell in quotes holds tabs or line ends, "
            f"`{reader.format_setting}`=csv with `delimiter`=\\t reads it"
        )
    if any("\u201c" in cell or "\u201e" in cell for cell in cells):
        return "; curly quotes do not hold a cell together"
    if reader.has_quotes and any(c.lstrip().startswith("'") for c in cells):
        return "; only double quotes hold a cell together"
    return ""


def _unquoted(cell):
    """A cell without quotes around it."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _width_hint(reader, line, cells, first):
    """The end of an error, for rows with one cell more than the header."""
    if not reader.has_header or len(cells) != len(first) + 1:
        return ""
    if not cells[-1].strip():
        return "; a delimiter ends the row, but not the header"
    is_first = line == reader.first_line + 1
    if is_first and cells[0].strip('"').isdecimal():
        return (
            "; does the header lack the name of the rows' numbers, as R's "
            "write.table leaves it out? Add one, or write with col.names=NA"
        )
    return ""


_SPACED = re.compile(r'"?[^"]*"?( +"[^"]*"?)+')  # "text" "label"
MARK = "\ufeff"  # The byte order mark.
MOST_WORDS_IN_A_NAME = 4  # A header with more is hardly one.


class CellTable(Table):
    """The cells of a CSV or TSV file.

    Raises:
        UserError: a row has more or fewer cells than the first, or the file
            has no rows or cannot be read.
    """

    def __init__(self, reader: CellReader, content: IO[bytes]):
        self.path = reader.path
        self.lines = array.array("q")
        self._reader = reader
        self._header = reader.has_header
        with without_limit():
            rows = reader.rows(content)
            first = self._first(rows)
            self._first_cells = first
            self._columns: list[list[str]] = [[] for _ in first]
            self.names = [str(i) for i in range(1, len(first) + 1)]
            if self._header:
                self.names = [*map(cleaned_name, first)]
            else:
                check_no_header(reader, first)
                self._add(reader.first_line, first)
            self._add_all(rows)
        self._drop_marks()
        if self._header:
            self._leave_out_headers()

    def _first(self, rows):
        cells = next((cells for _, cells in rows), [])
        if cells:
            return cells
        if any(cells for _, cells in rows):
            raise UserError(
                f"{self.path}:1: an empty line at the start of the file"
            )
        raise UserError(f"{self.path}: the file is empty")

    def _add_all(self, rows):
        width = len(self._columns)
        empty = []
        for line, cells in rows:
            if not cells:
                empty.append(line)  # Dropped unless a row follows.
                continue
            for line_before in empty:
                # With one column, it is a row whose cell is empty.
                self._check(line_before, [""] if width == 1 else [])
                self._add(line_before, [""])
            empty.clear()
            if len(cells) != width:
                self._check(line, cells)
            self._add(line, cells)

    def _drop_marks(self):
        """Drops byte order marks within: files were put together."""
        cells = self._columns[0]
        for row, cell in enumerate(cells):
            if cell[:1] == MARK:
                # The mark has kept the reader from seeing the quotes.
                cells[row] = _unquoted(cell.lstrip(MARK))

    def _leave_out_headers(self):
        """Drops rows that are the header again: files were put together."""
        first = self._first_cells
        if first[0] not in self._columns[0]:
            return
        rows = [*zip(*self._columns, strict=True)]
        again = [i for i, row in enumerate(rows) if [*row] == first]
        RowWarnings(self, self._reader.strict).report(
            again,
            what="the names of the columns again",
            where="its cells",
            consequence="left out",
        )
        for row in reversed(again):
            del self.lines[row]
            for column in self._columns:
                del column[row]

    def _check(self, line, cells):
        check_width(self._reader, line, cells, self._first_cells)

    def _add(self, line, cells):
        self.lines.append(line)
        for column, cell in zip(self._columns, cells, strict=True):
            column.append(cell)

    def _read(
        self,
        kind: Kind,
        name: str,
        setting: str,
        value: str | None,
        optional: bool,
    ) -> list[Any]:
        # Every cell is a text, whatever is asked for.
        if optional and cleaned_name(name) not in self.names:
            return [None] * len(self)
        return list(self._columns[self._index(name, setting, value)])

    def _index(self, name, setting, value):
        """The number of a column from 0."""
        if value is None:
            value = name

        def error(why):
            return UserError(why, setting=setting, value=value)

        if not self._header and not name.isdecimal():
            raise error("with `header`=false columns are numbers from 1 on")
        # The value that is the name is in the error already.
        is_shown = setting and value == name
        wanted = cleaned_name(name)
        if wanted not in self.names:
            called = "such column" if is_shown else f"column {name}"
            raise error(
                f"{self.path} has no {called}; it has {listed(self.names)}"
                + self._hint_of(wanted)
            )
        if (times := self.names.count(wanted)) > 1:
            called = "of that name" if is_shown else name
            raise error(f"{self.path} has {times} columns {called}")
        return self.names.index(wanted)

    def _hint_of(self, wanted):
        """The end of an error for a column that is not there."""
        if end := _format_hint(self._reader, self._first_cells, [wanted]):
            return end
        is_data = file_shape.is_data(self._first_cells) or any(
            len(cell.split()) > MOST_WORDS_IN_A_NAME
            for cell in self._first_cells
        )
        if self._header and is_data:
            return (
                "; if this is not a header, `header`=false numbers the columns "
                "from 1"
            )
        return suggestions.hint(wanted, self.names, COLUMN_SYNONYMS)
