"""The rows of CSV, TSV and JSON-lines files, and the line of each row.

    table = read_table("mails.csv", "csv")
    table.names              ["text", "label"]
    table.texts("label")     ["ham", "spam"]
    table.line(1)            3

Errors in a file, or in the settings it is read by, are reported here, with the
line where they are.
"""

import array
import codecs
import contextlib
import csv
import dataclasses
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO

from bert_tf import files, suggestions
from bert_tf.data.json_lines import ObjectTable
from bert_tf.data.table import COLUMN_SYNONYMS, Table, listed
from bert_tf.errors import UserError

FORMATS = ("csv", "tsv", "jsonl")

CHARACTERS_AT_ONCE = 1 << 20  # Read from a file, in whole lines.


def read_table(
    path: str,
    format: str,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
) -> Table:
    """Reads a file.

    Args:
        path: of the file; one that ends in .gz is decompressed.
        format: "csv", "tsv", or "jsonl": a JSON object on each line.
        delimiter: the character between two cells; None is a comma in CSV, a
            tab in TSV.
        encoding: of the text in CSV and TSV files.
        header: whether the first row holds the columns' names; otherwise they
            are numbers from 1 on.

    Raises:
        UserError: a setting or the file cannot be used.
    """
    if format not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}. "
            f"Received: format={format}"
        )
    check_settings(format, delimiter, encoding, header)
    if format == "jsonl":
        return ObjectTable(path)
    if delimiter is None:
        delimiter = "," if format == "csv" else "\t"
    dialect = _Dialect(path, encoding, unescaped(delimiter), format == "csv")
    return _Cells(dialect, header)


def stream_rows(
    path: str,
    format: str,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
    reading: Callable[[str], AbstractContextManager[IO[bytes]]] = files.reading,
) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a CSV or TSV file of any size, one after the other.

    Args:
        path, format, delimiter, encoding, header: see `read_table`.
        reading: function(path) that gives a reader of the file's bytes.

    Yields:
        (line on which the row starts, cells). The first row holds the names
        of the columns, on line 0 if the file has no header.

    Raises:
        UserError: see `read_table`.
    """
    _check_encoding(encoding)
    _check_delimiter(delimiter)
    if delimiter is None:
        delimiter = "," if format == "csv" else "\t"
    dialect = _Dialect(
        path, encoding, unescaped(delimiter), format == "csv", reading
    )
    width = 0
    first: list[str] = []
    empty: list[int] = []  # Empty lines, dropped unless a row follows.
    with _without_limit():
        for line, cells in dialect.rows():
            if not width and not cells:
                raise UserError(f"{path}:{line}: an empty line at the start")
            if not width:
                first, width = cells, len(cells)
                if not header:
                    yield 0, [str(i) for i in range(1, width + 1)]
            if not cells:
                # With several columns, csv.reader, too, leaves them out.
                empty += [line] if width == 1 else []
                continue
            # With one column, it is a row whose cell is empty.
            yield from ((line_before, [""]) for line_before in empty)
            empty.clear()
            _check_width(path, line, cells, first, header)
            yield line, cells


def unescaped(delimiter: str) -> str:
    r"""The delimiter, a tab for \t, because a tab is hard to type."""
    return "\t" if delimiter == "\\t" else delimiter


# ---------------------------------------------------------------------------
# Settings.


def check_settings(
    format: str, delimiter: str | None, encoding: str, header: bool
) -> None:
    """Raises UserError if a setting of `read_table` cannot be used."""
    _check_encoding(encoding)
    if format == "jsonl":
        _check_json_settings(delimiter, encoding, header)
    else:
        _check_delimiter(delimiter)


def _check_encoding(encoding):
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
    except LookupError:
        raise UserError(
            "no such encoding; utf-8, latin-1, cp1252 and utf-16 are some",
            setting="encoding",
            value=encoding,
        ) from None


def _check_json_settings(delimiter, encoding, header):
    if delimiter is not None:
        why = "JSON objects do not have one"
        raise UserError(why, setting="delimiter", value=delimiter)
    if not header:
        why = "JSON objects name their columns"
        raise UserError(why, setting="header", value="false")
    if _with_mark(encoding) != "utf-8-sig":
        why = "JSON files are always utf-8"
        raise UserError(why, setting="encoding", value=encoding)


def _check_delimiter(delimiter):
    if delimiter is None:
        return
    letter = unescaped(delimiter)
    if len(letter) != 1 or not letter.isascii() or letter in '"\r\n\0':
        raise UserError(
            "must be one ASCII character, not a quote, or \\t for a tab",
            setting="delimiter",
            value=delimiter,
        )


def _with_mark(encoding):
    """The encoding that also reads UTF-8 with a byte order mark."""
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    return "utf-8-sig" if is_utf8 else encoding


# ---------------------------------------------------------------------------
# CSV and TSV.


class _Bytes(io.RawIOBase):
    """Any reader of bytes as Python's own readers need it."""

    def __init__(self, reader):
        self._reader = reader

    def readable(self):
        return True

    def readinto(self, buffer):
        block = self._reader.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """A file, and how its cells are written.

    In CSV a cell may be in quotes, and then may hold delimiters and line ends;
    a line ends at \\n, \\r or both. In TSV quotes are characters like others,
    and a line ends at \\n alone, as everywhere in this package.
    """

    path: str
    encoding: str
    delimiter: str
    has_quotes: bool
    reading: Callable[[str], AbstractContextManager[IO[bytes]]] = files.reading

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yields (line, cells) of each row; an empty line has no cells."""
        with self._opened() as reader:
            # Lines pass through C code alone.
            lines = itertools.chain.from_iterable(self._blocks(reader))
            if self.has_quotes:
                yield from self._quoted_rows(lines)
                return
            for number, line in enumerate(lines, start=1):
                line = line.removesuffix("\n").removesuffix("\r")
                yield number, line.split(self.delimiter) if line else []

    def _quoted_rows(self, lines):
        is_over = False

        def until_over():
            nonlocal is_over
            yield from lines
            is_over = True

        rows = csv.reader(until_over(), delimiter=self.delimiter)
        line = 1
        for cells in rows:
            if is_over:  # csv makes a row of an open cell at the end.
                raise UserError(
                    f"{self.path}:{line}: a quote is opened and never closed"
                )
            yield line, cells
            line = rows.line_num + 1

    def _blocks(self, reader):
        """Yields lists of lines with their ends."""
        num_lines = 0
        while lines := reader.readlines(CHARACTERS_AT_ONCE):
            if "\0" in "".join(lines):
                place = next(i for i, line in enumerate(lines) if "\0" in line)
                raise UserError(
                    f"{self.path}:{num_lines + place + 1}: a NUL character, "
                    "which is not in any text; files in `encoding`=utf-16 "
                    "have some"
                )
            num_lines += len(lines)
            yield lines

    @contextlib.contextmanager
    def _opened(self):
        """Gives a reader of the text."""
        newline = "" if self.has_quotes else "\n"  # Lines keep their ends.
        with self.reading(self.path) as reader:
            buffer = io.BufferedReader(_Bytes(reader), 1 << 20)
            try:
                yield io.TextIOWrapper(
                    buffer, _with_mark(self.encoding), newline=newline
                )
            except UnicodeError as error:
                raise UserError(
                    f"{self.path}: not {self.encoding}: "
                    f"{self._wrong_byte(error)}; `encoding`=latin-1 is "
                    "another common one"
                ) from None

    def _wrong_byte(self, error):
        """The byte, and its line in encodings whose lines end with one byte."""
        if not isinstance(error, UnicodeDecodeError):
            return files.reason(error)
        byte = error.object[error.start]
        with files.reading(self.path) as reader:
            for number, line in enumerate(reader, start=1):
                try:
                    line.decode(self.encoding)
                except UnicodeDecodeError as in_line:
                    if in_line.object[in_line.start] == byte:
                        return f"byte 0x{byte:02x} in line {number}"
                    break
        return f"byte 0x{byte:02x}"


def _check_width(path, line, cells, first, header):
    """Raises UserError if a row has more or fewer cells than the first."""
    if len(cells) != len(first):
        what = "header" if header else "first row"
        number = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
        raise UserError(
            f"{path}:{line}: {number}, but the {what} has {len(first)}"
            + _format_hint(first)
        )


def _format_hint(first):
    """The end of an error, for a first row that looks like another format."""
    if first[0].lstrip().startswith("{"):
        return "; the file looks like JSON lines, not a table"
    if len(first) == 1:
        for delimiter in (";", "\t", "|"):
            if delimiter in first[0]:
                return (
                    f"; its cells seem to be separated by {delimiter!r}: "
                    "see `delimiter`"
                )
        if "," in first[0]:
            return "; the file looks like CSV, with commas between cells"
    return ""


@contextlib.contextmanager
def _without_limit():
    """Allows cells of any length, which the csv module takes for mistakes."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


class _Cells(Table):
    """The cells of a CSV or TSV file.

    Raises:
        UserError: a row has more or fewer cells than the first, or the file
            has no rows or cannot be read.
    """

    def __init__(self, dialect: _Dialect, header: bool):
        self.path = dialect.path
        self.lines = array.array("q")
        self._header = header
        with _without_limit():
            rows = dialect.rows()
            first = self._first(rows)
            self._columns: list[list[str]] = [[] for _ in first]
            self.names = [str(i) for i in range(1, len(first) + 1)]
            if header:
                self.names = first
            else:
                self._add(1, first)
            self._add_all(rows)

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

    def _check(self, line, cells):
        first = self.names
        if not self._header:
            first = [column[0] for column in self._columns]
        _check_width(self.path, line, cells, first, self._header)

    def _add(self, line, cells):
        self.lines.append(line)
        for column, cell in zip(self._columns, cells, strict=True):
            column.append(cell)

    def texts(self, name, *, setting="", value=None, optional=False):
        if optional and name not in self.names:
            return [None] * len(self)
        return list(self._columns[self._index(name, setting, value)])

    texts_or_lists = texts

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
        if name not in self.names:
            called = "such column" if is_shown else f"column {name}"
            end = suggestions.hint(name, self.names, COLUMN_SYNONYMS)
            raise error(
                f"{self.path} has no {called}; it has {listed(self.names)}"
                + (_format_hint(self.names) or end)
            )
        if (times := self.names.count(name)) > 1:
            called = "of that name" if is_shown else name
            raise error(f"{self.path} has {times} columns {called}")
        return self.names.index(name)
