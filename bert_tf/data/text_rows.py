"""Files of texts to label, read row by row: tables, JSON objects or lines.

    format = detect_format("new.csv", head, columns)
    for row in read_rows("new.csv", format):
        row.place       "new.csv:2"
        row.values      {"id": "7", "message": "Where is my parcel?"}

The format is found by the content, together with the file's name: a table is
never taken for lines of text without a word. Files may have any size.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import IO, Any

from absl import logging

from bert_tf import files
from bert_tf.data import csv_files
from bert_tf.errors import UserError

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

Reading = Callable[[str], AbstractContextManager[IO[bytes]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """How a file is written.

    Attributes:
        name: one of `choices.INPUT_FORMATS`.
        delimiter, header, encoding: see `csv_files.read_table`.
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


def detect_format(
    path: str,
    head: str,
    columns: Collection[str],
    *,
    delimiter: str | None = None,
) -> Format:
    """Finds how a file is written.

    Args:
        path: its name; the endings of `ENDINGS` decide.
        head: the start of its text, some lines.
        columns: names of which a table's header has at least one.
        delimiter: the character between cells, if it is known.
    """
    name = path.removesuffix(".gz").lower()
    by_name = next((f for end, f in ENDINGS.items() if name.endswith(end)), "")
    lines = [line for line in head.splitlines() if line.strip()]
    first = lines[0].removeprefix("\ufeff") if lines else ""
    if by_name == "jsonl" or not by_name and _json_object(first) is not None:
        return Format(name="jsonl")
    if delimiter is None:
        delimiter = _delimiter_of(first, columns)
    if by_name:
        return Format(name=by_name, delimiter=delimiter)
    if delimiter is not None or first.strip() in columns:
        is_tsv = delimiter == "\t" or delimiter == "\\t"
        return Format(name="tsv" if is_tsv else "csv", delimiter=delimiter)
    if names := _names_of_a_table(lines):
        logging.warning(
            "%s: read as lines of text, but it looks like a table with the "
            "columns %s; if it is one, give its format and the column of the "
            "text",
            path,
            ", ".join(names),
        )
    return Format(name="lines")


def _delimiter_of(header: str, columns: Collection[str]) -> str | None:
    """The delimiter with which a header has one of the columns."""
    for delimiter in DELIMITERS:
        names = [cell.strip().strip('"') for cell in header.split(delimiter)]
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
    reading: Reading = files.reading,
    needed: Collection[str] = (),
) -> Iterator[Row]:
    """Yields the rows of a file.

    Args:
        path: the file.
        format: how it is written.
        reading: function(path) that gives a reader of the file's bytes.
        needed: columns that are read, which a table may have once. Other
            columns that have a name again get a number: "note", "note_2".

    Raises:
        UserError: the file is not written so; the message has the line.
    """
    if format.has_columns:
        yield from _table_rows(path, format, reading, needed)
        return
    with reading(path) as reader:
        for number, line in files.decode_lines(reader, path):
            place = f"{path}:{number}"
            if format.name == "lines":
                yield Row(place=place, values={"": line})
            elif line.strip():
                values = _json_object(line)
                if values is None:
                    raise UserError(f"{place}: not a JSON object")
                yield Row(place=place, values=values)


def _table_rows(
    path: str, format: Format, reading: Reading, needed: Collection[str]
) -> Iterator[Row]:
    rows = csv_files.stream_rows(
        path,
        format.name,
        delimiter=format.delimiter,
        encoding=format.encoding,
        header=format.header,
        reading=reading,
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


def _json_object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is; None if it is something else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
