"""Files of texts to label, read row by row: tables, JSON objects or lines.

    format = detect_format("new.csv", head, columns)
    for row in read_rows("new.csv", format):
        row.place       "new.csv:2"
        row.values      {"id": "7", "message": "Where is my parcel?"}

The format is found by the content, together with the file's name: a table is
never taken for lines of text without a word. Files may have any size.
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from absl import logging

from bert_tf import files
from bert_tf.data.tabular import csv_files, file_shape, spreadsheets
from bert_tf.data.tabular.annotation_tasks import rows_of_tasks
from bert_tf.data.tabular.csv_files import Opening
from bert_tf.data.tabular.decoding import decoding, known, nul_error
from bert_tf.data.tabular.file_shape import cleaned_name
from bert_tf.data.tabular.json_objects import objects_of
from bert_tf.errors import UserError
from bert_tf.file_contents import Content, content_of, with_line_ends
from bert_tf.file_formats import Kind

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
DELIMITERS = (",", ";", "\t", "|")
NUM_LINES_COMPARED = 20
# A column's name. Texts have other signs, or are longer.
NAME = re.compile(r"[A-Za-z_][\w .-]{0,30}")
# The kinds of tables whose rows are like those of CSV; others may hold lists.
_SHEETS = ("xlsx", "xls", "ods")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """How a file is written.

    Attributes:
        name: one of `choices.INPUT_FORMATS`.
        delimiter, header, encoding: see `csv_files.read_table`. Lines have the
            encoding alone.
    """

    name: str
    delimiter: str | None = None
    header: bool = True
    encoding: str = "utf-8"

    @property
    def has_columns(self) -> bool:
        """Whether rows are cells, which have the order of the columns."""
        return self.name in ("csv", "tsv")

    @property
    def csv_delimiter(self) -> str:
        """The character between cells of CSV that is like this file."""
        if self.name != "csv" or not self.delimiter:
            return ","
        return csv_files.unescaped(self.delimiter)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a file.

    Attributes:
        place: "path:line".
        values: {column: value}: str, and of JSON objects any value. A line of
            text is {"": line}.
    """

    place: str
    values: dict[str, Any]

    @property
    def line(self) -> int:
        """The number of its line."""
        return int(self.place.rpartition(":")[2])


def format_of_name(path: str) -> str:
    """The format that the ending of a file's name says; "" for another."""
    name = files.uncompressed_name(path).lower()
    return next((f for end, f in ENDINGS.items() if name.endswith(end)), "")


def detect_format(
    path: str,
    head: str,
    columns: Collection[str],
    *,
    delimiter: str | None = None,
    kind: Kind | None = None,
) -> Format:
    """Finds how a file is written.

    Args:
        path: its name; the endings of `ENDINGS` decide where the content does
            not.
        head: the start of its text, some lines.
        columns: names of which a table's header has at least one.
        delimiter: the character between cells, if it is known.
        kind: of a file that does not hold text; its rows are then like those
            of CSV, or like JSON objects where they may hold lists.
    """
    if kind is not None and kind.role == "table":
        return Format(name="csv" if kind.id in _SHEETS else "jsonl")
    by_name = format_of_name(path)
    lines = [line for line in head.splitlines() if line.strip()]
    first = lines[0].removeprefix("\ufeff") if lines else ""
    shape = file_shape.shape_of(head)
    if shape.is_json:
        return Format(name="jsonl")
    if shape.name == "fasttext" and lines:
        return Format(name="csv")
    if by_name == "jsonl":
        return Format(name="jsonl")
    if delimiter is None:
        delimiter = _delimiter_of(first, columns)
    if by_name:
        return Format(name=by_name, delimiter=delimiter)
    if delimiter is not None or cleaned_name(first) in columns:
        is_tsv = delimiter == "\t" or delimiter == "\\t"
        return Format(name="tsv" if is_tsv else "csv", delimiter=delimiter)
    names = _names_of_a_table(lines)
    if names or shape.name != "text" and lines:
        logging.warning(
            "%s: read as lines of text, but it looks like %s; if it is one, "
            "give its format and the column of the text",
            path,
            f"a table with the columns {', '.join(names)}"
            if names
            else shape.described(),
        )
    return Format(name="lines")


def _delimiter_of(header: str, columns: Collection[str]) -> str | None:
    """The delimiter with which a header has one of the columns."""
    for delimiter in DELIMITERS:
        names = [*map(cleaned_name, header.split(delimiter))]
        if len(names) > 1 and not {*columns}.isdisjoint(names):
            return delimiter
    return None


def _names_of_a_table(lines: list[str]) -> list[str]:
    """The columns that lines seem to have; [] if they look like texts."""
    lines = lines[:NUM_LINES_COMPARED]
    if len(lines) < 2:
        return []
    for delimiter in DELIMITERS:
        counts = {line.count(delimiter) for line in lines}
        names = [name.strip().strip('"') for name in lines[0].split(delimiter)]
        if (
            len(names) > 1
            and len(counts) == 1
            and all(map(NAME.fullmatch, names))
        ):
            return names
    return []


def read_rows(
    path: str,
    format: Format,
    reading: Opening | None = None,
    needed: Collection[str] = (),
) -> Iterator[Row]:
    """Yields the rows of a file.

    Args:
        path: the file.
        format: how it is written.
        reading: function(path) that gives the file's content, or a reader of
            its bytes; None opens the file.
        needed: columns that are read, which a table may have once. Other
            columns that have a name again get a number: "note", "note_2".

    Raises:
        UserError: the file is not written so; the message has the line.
    """
    if format.has_columns:
        yield from _table_rows(path, format, reading, needed)
        return
    csv_files.check_encoding(format.encoding)
    with (reading or files.looking)(path) as content:
        if not isinstance(content, Content):
            content = content_of(content, path, known(format.encoding))
        if format.name != "lines":
            for number, values in _objects(content):
                yield Row(place=f"{path}:{number}", values=values)
            return
        for number, line in _lines(content, format.encoding):
            yield Row(place=f"{path}:{number}", values={"": line})


def _lines(content: Content, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines of text; those of UTF-8 have errors with their line."""
    if known(encoding) is None or content.is_converted:
        content.check_text()
        yield from files.decode_lines(content.reader, content.path)
        return
    reader = with_line_ends(content.reader)
    with decoding(reader, content.path, encoding, newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if "\0" in line:
                raise nul_error(content.path, number)
            yield number, line.rstrip("\n").replace("\r", "")


def _objects(content: Content) -> Iterator[tuple[int, dict[str, Any]]]:
    if content.kind is not None and content.kind.role == "table":
        return spreadsheets.read_objects(content)
    content.check_text()
    objects = objects_of(content.reader, content.path, skip_empty_lines=True)
    return rows_of_tasks(content.path, objects)


def _table_rows(
    path: str,
    format: Format,
    reading: Opening | None,
    needed: Collection[str],
) -> Iterator[Row]:
    rows = csv_files.stream_rows(
        path,
        format.name,
        delimiter=format.delimiter,
        encoding=format.encoding,
        header=format.header,
        reading=reading,
        setting="input_format",
    )
    names: list[str] | None = None
    for line, cells in rows:
        if names is None:
            if twice := [n for n in needed if cells.count(n) > 1]:
                raise UserError(f"{path}: it has several columns {twice[0]}")
            names = unique_names(cells)
            continue
        values = dict(zip(names, cells, strict=True))
        yield Row(place=f"{path}:{line}", values=values)


def unique_names(names: Iterable[str]) -> list[str]:
    """Adds numbers to names that were there before: "a", "a_2", "a_3"."""
    names = list(names)
    unique: list[str] = []
    for name in names:
        is_new = name not in unique
        unique.append(name if is_new else free_name(name, {*unique, *names}))
    return unique


def free_name(name: str, taken: Collection[str]) -> str:
    """Adds a number to a name that is taken: "a", "a_2", "a_3"."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
