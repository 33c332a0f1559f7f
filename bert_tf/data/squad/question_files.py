"""Files of questions, item by item, whatever the form of the file.

    {"data": [ITEM, …]}       SQuAD's own; "rows", "examples" and the like, too
    [ITEM, …]                 an array
    ITEM ⏎ ITEM ⏎ …           JSON lines, or objects over several lines
    {"question": [cell, …], "context": [cell, …], …}    columns
    question,context,…        a table: CSV, TSV, Parquet, Arrow, Excel

An item is an article, a paragraph, or a single question. `questions.py` reads
them. One item at a time is in memory; columns are there as a whole.
"""

import codecs
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

import ijson

from bert_tf import files
from bert_tf.data.squad.keys import canonical
from bert_tf.data.tabular import spreadsheets, text_rows
from bert_tf.data.tabular.json_objects import read_objects
from bert_tf.errors import UserError

Item = tuple[str, dict[str, Any]]

HEAD_BYTES = 1 << 16  # The part of a file by which a table is recognized.
# Lists that hold the items, in an object around them.
_LISTS = ("data", "rows", "examples", "instances", "records", "items")


def read_items(path: str) -> Iterator[Item]:
    """Yields (place, object) of each item of a file.

    A place is such as "train.json: data[3]" or "train.jsonl:7".

    Raises:
        UserError: the file does not hold items.
    """
    with files.naming(path):
        number = 0
        try:
            for item in _items(path):
                yield item
                number += 1
        except ijson.JSONError as error:
            raise UserError(f"{path}: not JSON: {_reason(error)}") from None
        except UnicodeDecodeError:
            raise UserError(
                f"{path}: data[{number}] has half a surrogate pair, such as "
                "\\ud800 alone: no text in UTF-8"
            ) from None
    if not number:
        raise UserError(
            f"{path}: not a SQuAD file: it must be an object with the list "
            '"data", which must not be empty'
        )


def _items(path: str) -> Iterator[Item]:
    with files.looking(path) as content:
        if content.kind is not None and content.kind.role == "table":
            for number, row in spreadsheets.read_objects(content):
                yield f"{path}:{number}", row
            return
    first = _first_character(path)
    if first == b"[":
        yield from _list_items(path, "")
        return
    if first != b"{":
        if table := _table_format(path):
            yield from _table_items(path, table)
            return
        if files.uncompressed_name(path).lower().endswith((".csv", ".tsv")):
            raise UserError(
                f"{path}: a table of questions needs a header with the columns "
                "question and context"
            )
        yield from _list_items(path, "data")  # Says what is wrong.
        return
    name, is_list = _shape(path)
    if is_list:
        yield from _list_items(path, name)
    elif name:
        yield from _column_items(path)
    elif _first_line_is_object(path):
        for line, item in read_objects(path):
            yield f"{path}:{line}", item
    else:
        yield from _object_items(path)


class _WithoutMark:
    """A reader of bytes without a byte order mark at the start."""

    def __init__(self, reader: IO[bytes]):
        self._reader = reader
        self._head: bytes = reader.read(len(codecs.BOM_UTF8))
        self._head = self._head.removeprefix(codecs.BOM_UTF8)

    def read(self, size: int = -1) -> bytes:
        """Reads at most `size` bytes; b"" at the end."""
        if self._head and size:
            head, self._head = self._head, b""
            return head
        return self._reader.read(size)


def _first_character(path: str) -> bytes:
    with files.reading(path) as reader:
        text = _WithoutMark(reader)
        while block := text.read(1 << 12):
            if block.strip():
                return block.strip()[:1]
    return b""


def _shape(path: str) -> tuple[str, bool]:
    """Finds what the first object of a file holds.

    Returns:
        (name, whether it is a list of items): the name of the list; that of a
        column of cells; "" if the object is an item.
    """
    key = ""
    depth = 0
    with files.reading(path) as reader:
        events = ijson.basic_parse(
            _WithoutMark(reader),
            use_float=True,
            multiple_values=True,
            buf_size=1 << 10,  # The first keys say it.
        )
        # Errors are for those who read all of the file: Python's JSON lines
        # may have NaN.
        with contextlib.suppress(ijson.JSONError, UnicodeDecodeError):
            for event, value in events:
                if event == "map_key" and depth == 1:
                    key = value
                    continue
                is_start = event in ("start_array", "start_map")
                if is_start and depth == 1:
                    if event == "start_array" and key.casefold() in _LISTS:
                        return key, True
                    if canonical((key,)).get("question") == key:
                        return key, False
                depth += is_start
                depth -= event in ("end_array", "end_map")
                if not depth:
                    break
    return "", False


def _list_items(path: str, name: str) -> Iterator[Item]:
    """Yields the items of the list that an object holds under a name."""
    prefix = f"{name}.item" if name else "item"
    with files.reading(path) as reader:
        items = ijson.items(_WithoutMark(reader), prefix, use_float=True)
        for index, item in enumerate(items):
            place = f"{path}: {name}[{index}]"
            if not isinstance(item, dict):
                raise UserError(
                    f"{place}: must be an object; not a SQuAD file?"
                )
            yield place, item


def _object_items(path: str) -> Iterator[Item]:
    """Yields objects that are written one after the other."""
    with files.reading(path) as reader:
        items = ijson.items(
            _WithoutMark(reader), "", use_float=True, multiple_values=True
        )
        for index, item in enumerate(items):
            place = f"{path}: object {index + 1}"
            if not isinstance(item, dict):
                raise UserError(
                    f"{place}: must be an object; not a SQuAD file?"
                )
            yield place, item


def _first_line_is_object(path: str) -> bool:
    """Whether the first line that holds anything is an object by itself."""
    with files.reading(path) as reader:
        for line in reader:
            line = line.removeprefix(codecs.BOM_UTF8).strip()
            if line:
                try:
                    return isinstance(json.loads(line), dict)
                except (ValueError, RecursionError):
                    return False
    return False


# ---------------------------------------------------------------------------
# Columns and tables.


def _column_items(path: str) -> Iterator[Item]:
    """Yields the rows of columns: {"question": [cell, …], …}."""
    with files.reading(path) as reader:
        (columns,) = ijson.items(_WithoutMark(reader), "", use_float=True)
    yield from rows_of_columns(columns, f"{path}: ")


def rows_of_columns(columns: Mapping[str, Any], place: str) -> Iterator[Item]:
    """Yields the rows of columns, lists of cells or objects by row number.

    Args:
        columns: {name: cells}.
        place: what comes before the place of a row.

    Raises:
        UserError: the columns do not have the same rows.
    """
    numbers: list[Any] = []
    names = {
        name: value
        for name, value in columns.items()
        if isinstance(value, list | dict)
    }
    for name, cells in names.items():
        keys = [*cells] if isinstance(cells, dict) else [*range(len(cells))]
        if numbers and keys != numbers:
            raise UserError(
                f"{place}{name} has other rows than {next(iter(names))}: "
                f"{len(keys)} and {len(numbers)}; columns of a table have the "
                "same"
            )
        numbers = keys
    for number in numbers:
        row = {name: cells[number] for name, cells in names.items()}
        yield f"{place}row[{number}]", row


def _table_format(path: str) -> text_rows.Format | None:
    """How a table with a column of questions is written; None for others."""
    with files.reading(path) as reader:
        head = _WithoutMark(reader).read(HEAD_BYTES)
        head += reader.read(HEAD_BYTES)
    lines = head.decode("utf-8", "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    for delimiter in text_rows.DELIMITERS:
        cells = [cell.strip().strip('"') for cell in first.split(delimiter)]
        names = canonical(tuple(cells))
        if {"question", "context"} <= {*names}:
            is_tsv = delimiter == "\t" and not path.lower().endswith(".csv")
            return text_rows.Format(
                name="tsv" if is_tsv else "csv", delimiter=delimiter
            )
    return None


def _table_items(path: str, table: text_rows.Format) -> Iterator[Item]:
    try:
        for row in text_rows.read_rows(path, table):
            yield row.place, row.values
    except UserError as error:
        # Its advice is to change settings, which tables of texts have.
        why = error.message_for(lambda name: f"`{name}`")
        if "`" not in why:
            raise
        raise UserError(
            f"{why.partition(';')[0]}; write it as CSV in UTF-8"
        ) from None


def _reason(error: Exception) -> str:
    """One line: what is wrong, and the text around it."""
    message = str(error).removeprefix("b'").replace("\\n", "\n")
    what, *excerpt = message.split("\n")
    found = excerpt[0].split("(right here)")[0].strip() if excerpt else ""
    found = re.sub(r"\s+", " ", found)
    return f"{what} near {found!r}" if found else what
