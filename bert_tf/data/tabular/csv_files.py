"""The rows of CSV, TSV and JSON files, and the line of each row.

    table = read_table("mails.csv", "csv")
    table.names              ["text", "label"]
    table.texts("label")     ["ham", "spam"]
    table.line(1)            3

What a file holds is seen before it is read: books of Excel, Parquet files and
fastText's lines are tables, too, whatever the format that was asked for. Errors
in a file, or in the settings it is read by, are reported here, with the line
where they are.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO

from absl import logging

from bert_tf import files
from bert_tf.data.tabular import fasttext, file_shape, spreadsheets
from bert_tf.data.tabular.cell_table import (
    CellTable,
    check_no_header,
    check_width,
)
from bert_tf.data.tabular.cells import CellReader, without_limit
from bert_tf.data.tabular.decoding import known, with_mark
from bert_tf.data.tabular.file_shape import Shape, cleaned_name
from bert_tf.data.tabular.json_lines import ObjectTable
from bert_tf.data.tabular.json_objects import objects_of
from bert_tf.data.tabular.table import Table
from bert_tf.errors import UserError
from bert_tf.file_contents import Content, content_of
from bert_tf.file_formats import HEAD_BYTES, HTML, XML, decoded_start

FORMATS = ("csv", "tsv", "jsonl")

# Gives a reader of a file's bytes, or its content.
Opening = Callable[[str], AbstractContextManager[IO[bytes] | Content]]


def read_table(
    path: str,
    format: str,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
    strict: bool = False,
    setting: str = "task_name",
) -> Table:
    """Reads a file.

    Args:
        path: of the file, which may be compressed.
        format: "csv", "tsv", or "jsonl": JSON objects, on lines, in a list or
            as columns. Spreadsheets, Parquet and Arrow files and fastText's
            lines are seen by their content.
        delimiter: the character between two cells; None is a comma in CSV, a
            tab in TSV.
        encoding: of the text in CSV and TSV files.
        header: whether the first row holds the columns' names; otherwise they
            are numbers from 1 on.
        strict: make an error of what would be logged as a warning.
        setting: the one that says how a file is written, for errors.

    Raises:
        UserError: a setting or the file cannot be used.
    """
    if format not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}. "
            f"Received: format={format}"
        )
    check_settings(format, delimiter, encoding, header)
    with files.looking(path, known(encoding)) as content:
        encoding = "utf-8" if content.is_converted else encoding
        found = _other_table(content, encoding, header)
        if found is not None:
            return found
        shape = _check_shape(content, format, encoding, header, setting)
        if format == "jsonl":
            return ObjectTable(path, objects_of(content.reader, path))
        reader = _cell_reader(path, format, delimiter, encoding, header, strict)
        reader.format_setting = setting
        if shape.name == "conll":
            reader.looks_like = "words with tags, which `task_name`=ner reads"
        return CellTable(reader, content.reader)


def read_any_table(
    path: str,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    strict: bool = False,
) -> Table:
    """Reads a file as JSON objects if it holds them, and as CSV otherwise.

    Args:
        path, delimiter, encoding, strict: see `read_table`; JSON objects need
            no delimiter.

    Raises:
        UserError: see `read_table`.
    """
    check_settings("csv", delimiter, encoding, True)
    with files.looking(path, known(encoding)) as content:
        found = _objects(content, files.is_json_lines(path), encoding)
        encoding = "utf-8" if content.is_converted else encoding
        if found is None:
            found = _other_table(content, encoding, True)
        if found is not None:
            return found
        _check_shape(content, "csv", encoding, True)
        reader = _cell_reader(path, "csv", delimiter, encoding, True, strict)
        return CellTable(reader, content.reader)


def read_object_table(path: str) -> Table | None:
    """Reads a file of JSON objects, or of typed columns; None for others.

    Raises:
        UserError: see `read_table`.
    """
    is_json = files.is_json_lines(path)
    if not is_json and not files.is_regular(path):
        return None
    with files.looking(path) as content:
        if content.kind is not None and content.kind.role == "table":
            return spreadsheets.read_table(content)
        content.check_text()
        return _objects(content, is_json)


def _objects(
    content: Content, is_json: bool, encoding: str = "utf-8"
) -> Table | None:
    """The table of JSON objects; None for other files."""
    if content.kind is not None:
        return None
    if is_json or file_shape.shape_of(_head(content, "utf-8")).is_json:
        check_settings("jsonl", None, encoding, True)
        return ObjectTable(
            content.path, objects_of(content.reader, content.path)
        )
    return None


def _cell_reader(path, format, delimiter, encoding, header, strict=False):
    return CellReader(
        path,
        encoding,
        unescaped(delimiter) if delimiter else None,
        format == "csv",
        header,
        strict,
    )


def _head(content: Content, encoding: str) -> str:
    """The start of the text."""
    head = content.reader.peek(HEAD_BYTES)[:HEAD_BYTES]
    text = decoded_start(head, with_mark(encoding)) or ""
    return text if len(head) == HEAD_BYTES else text + "\n"


def _other_table(content: Content, encoding: str, header: bool) -> Table | None:
    """The table of a file that is neither CSV, TSV nor JSON."""
    if content.kind is not None and content.kind.role == "table":
        return spreadsheets.read_table(content, header)
    content.check_text()
    lines = file_shape.whole_lines(_head(content, encoding))
    if lines and file_shape.is_fasttext(lines):
        logging.info("%s: read as fastText's lines", content.path)
        return fasttext.read_table(content.reader, content.path)
    return None


def _check_shape(
    content: Content,
    format: str,
    encoding: str,
    header: bool,
    setting: str = "task_name",
) -> Shape:
    """Raises UserError for what is surely not in the format."""
    path, kind = content.path, content.kind
    if kind in (HTML, XML) and header:
        raise UserError(f"{path}: {kind.name}, not a table: {kind.advice}")
    shape = file_shape.shape_of(_head(content, encoding))
    if shape.is_json and format != "jsonl":
        raise UserError(
            f"{path}: it is {shape.described()}, not a table; "
            f"`{setting}`=jsonl reads it"
        )
    if format == "jsonl" and shape.name in ("table", "conll"):
        reads = f"`{setting}`=csv with `delimiter`={shape.delimiter}"
        if shape.name == "conll":
            reads = "`task_name`=ner"
        elif shape.delimiter in (",", "\t"):
            reads = f"`{setting}`={'csv' if shape.delimiter == ',' else 'tsv'}"
        raise UserError(
            f"{path}: it is {shape.described()}, not JSON; {reads} reads it"
        )
    return shape


def stream_rows(
    path: str,
    format: str,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
    reading: Opening | None = None,
    setting: str = "task_name",
) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a CSV or TSV file of any size, one after the other.

    Args:
        path, format, delimiter, encoding, header: see `read_table`.
        reading: function(path) that gives the file's content, or a reader of
            its bytes.
        setting: the one that says how a file is written, for errors.

    Yields:
        (line on which the row starts, cells). The first row holds the names
        of the columns, on line 0 if the file has no header.

    Raises:
        UserError: see `read_table`.
    """
    check_encoding(encoding)
    _check_delimiter(delimiter)
    opening = reading or (lambda p: files.looking(p, known(encoding)))
    with opening(path) as content, without_limit():
        if not isinstance(content, Content):
            content = content_of(content, path, known(encoding))
        encoding = "utf-8" if content.is_converted else encoding
        found = _other_table(content, encoding, header)
        if found is not None:
            yield from _rows_of_table(found)
            return
        _check_shape(content, format, encoding, header, setting)
        reader = _cell_reader(path, format, delimiter, encoding, header)
        reader.format_setting = setting
        yield from _stream(reader, content.reader)


def _rows_of_table(table: Table) -> Iterator[tuple[int, list[str]]]:
    yield 0, table.names
    columns = [table.texts_or_lists(name) for name in table.names]
    for row, cells in enumerate(zip(*columns, strict=True)):
        yield (
            table.line(row),
            [" ".join(c) if isinstance(c, tuple) else c or "" for c in cells],
        )


def _stream(reader: CellReader, content: IO[bytes]):
    path, header = reader.path, reader.has_header
    width = 0
    first: list[str] = []
    empty: list[int] = []  # Empty lines, dropped unless a row follows.
    for line, cells in reader.rows(content):
        if not width and not cells:
            raise UserError(f"{path}:{line}: an empty line at the start")
        if not width:
            first, width = cells, len(cells)
            if header:
                yield line, [*map(cleaned_name, cells)]
                continue
            check_no_header(reader, first)
            yield 0, [str(i) for i in range(1, width + 1)]
        if not cells:
            # With several columns, csv.reader, too, leaves them out.
            empty += [line] if width == 1 else []
            continue
        # With one column, it is a row whose cell is empty.
        yield from ((line_before, [""]) for line_before in empty)
        empty.clear()
        check_width(reader, line, cells, first)
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
    check_encoding(encoding)
    if format == "jsonl":
        _check_json_settings(delimiter, encoding, header)
    else:
        _check_delimiter(delimiter)


def check_encoding(encoding: str) -> None:
    """Raises UserError unless Python knows the encoding."""
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
    if known(encoding) is not None:
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
