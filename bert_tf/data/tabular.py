"""The cells of CSV, TSV and JSON-lines files, and the line of each row.

    table = read_table("mails.csv", "csv")
    table.names              ["text", "label"]
    table.texts("label")     ["ham", "spam"]
    table.line(1)            3

pandas gives the cells, fast; Python's csv module the lines, when they are
asked for. What is wrong with a file, or with the settings it is read by, is
said here.
"""

import array
import codecs
import contextlib
import csv
import dataclasses
import functools
import io
import json
import math
import sys

from absl import logging

from bert_tf import files
from bert_tf.errors import UserError

FORMATS = ("csv", "tsv", "jsonl")

NUM_NAMED = 20  # Names that an error lists at most.


def read_table(
    path: str,
    format: str,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
) -> "Table":
    """Reads a file.

    Args:
        path: of the file; one that ends in .gz is decompressed.
        format: "csv", "tsv", or "jsonl": a JSON object on each line.
        delimiter: what separates the cells; None is a comma in CSV, a tab in
            TSV.
        encoding: of the text in CSV and TSV files.
        header: the first row holds the columns' names; otherwise they are
            numbers from 1 on.

    Raises:
        UserError: a setting or the file cannot be used.
    """
    if format not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}. "
            f"Received: format={format}"
        )
    _check_encoding(encoding)
    if format == "jsonl":
        _check_json_settings(delimiter, encoding, header)
        return _Objects(path)
    _check_delimiter(delimiter)
    if delimiter is None:
        delimiter = "," if format == "csv" else "\t"
    dialect = _Dialect(path, encoding, unescaped(delimiter), format == "csv")
    return _Cells(dialect, header)


class Table:
    """A file's rows, by column; the header is none of them.

    Attributes:
        path: of the file.
        names: of its columns; of JSON objects all keys that occur.
        lines: the `Lines` of its rows.
    """

    path: str
    names: list
    lines: "Lines"

    def __len__(self):
        raise NotImplementedError

    def line(self, row: int) -> int:
        """The line on which a row starts; the first call may read the file."""
        return self.lines.of(row)

    def place(self, row: int) -> str:
        return f"{self.path}:{self.line(row)}"

    def texts(self, name: str, given: str = "", optional: bool = False) -> list:
        """The cells of a column.

        Args:
            name: of the column.
            given: the flag that named it, such as "--text_column=body".
            optional: what is missing is None.

        Returns:
            list of str. JSON's numbers are written out, and null is None.

        Raises:
            UserError: there is no such column, or there are two; a JSON
                object lacks it, or has something else there.
        """
        raise NotImplementedError

    def texts_or_lists(self, name, given="", optional=False) -> list:
        """As `texts`; a list in JSON is a tuple of texts."""
        raise NotImplementedError


class OddRows:
    """Counts odd rows of a table, or makes errors of them under --strict."""

    def __init__(self, table: Table, strict: bool):
        self._table, self._strict = table, strict

    def report(self, rows: list, what: str, where: str, consequence: str):
        """One warning, or the error.

        Args:
            rows: their numbers.
            what: is odd, such as "no text".
            where: the flag or the column.
            consequence: what becomes of them.
        """
        if not rows:
            return
        if self._strict:
            place = self._table.place(rows[0])
            raise UserError(f"{place}: {what} in {where}, under --strict")
        logging.warning(
            "%s: %s %s (row of line %s first): %s",
            self._table.path,
            counted(len(rows), len(self._table)),
            what,
            self._table.line(rows[0]),
            consequence,
        )


def counted(number: int, total: int) -> str:
    return f"{number} of {total} rows {'has' if number == 1 else 'have'}"


def listed(names: list) -> str:
    """Names for an error, the first ones where there are many."""
    shown = ", ".join(map(str, names[:NUM_NAMED]))
    return shown + (", …" if len(names) > NUM_NAMED else "")


# What a table is written with where a value is missing: neither text nor label.
MISSING = ("NaN", "nan")


def is_empty(text: str | None) -> bool:
    """Whether a cell holds nothing: white space, or what NumPy writes then."""
    return not text or text.isspace() or text in MISSING


def number(text: str) -> float | None:
    """The finite number that a text is, or None."""
    try:
        found = float(text)
    except ValueError:
        return None
    # Python reads 1_000, too, which is a name rather than a number.
    return found if math.isfinite(found) and "_" not in text else None


def unescaped(delimiter: str) -> str:
    r"""A tab is hard to type: \t is one, too."""
    return "\t" if delimiter == "\\t" else delimiter


# ---------------------------------------------------------------------------
# Settings.


def _check_encoding(encoding):
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
    except LookupError:
        raise UserError(
            f"--encoding={encoding}: no such encoding; utf-8, latin-1, cp1252 "
            "and utf-16 are some"
        ) from None


def _check_json_settings(delimiter, encoding, header):
    if delimiter is not None:
        raise UserError(f"--delimiter={delimiter}: JSON objects have none")
    if not header:
        raise UserError("--header=false: JSON objects name their columns")
    if _marked(encoding) != "utf-8-sig":
        raise UserError(f"--encoding={encoding}: JSON files are always utf-8")


def _check_delimiter(delimiter):
    if delimiter is None:
        return
    letter = unescaped(delimiter)
    if len(letter) != 1 or not letter.isascii() or letter in '"\r\n\0':
        raise UserError(
            f"--delimiter={delimiter}: must be one ASCII character, no quote, "
            "or \\t for a tab"
        )


def _marked(encoding):
    """UTF-8 comes with a byte order mark or without one."""
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    return "utf-8-sig" if is_utf8 else encoding


# ---------------------------------------------------------------------------
# CSV and TSV.


class Lines:
    """The line on which each row of a file starts, found when asked for."""

    def __init__(self, find):
        self._find = find

    def of(self, row: int) -> int:
        return self._starts[row]

    @functools.cached_property
    def _starts(self):
        return self._find()


class _Bytes(io.RawIOBase):
    """What Python's own readers want, around any reader of bytes."""

    def __init__(self, reader):
        self._reader = reader

    def readable(self):
        return True

    def readinto(self, buffer):
        block = self._reader.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


class _NulCharacter(ValueError):
    """Older versions of pandas would cut the cell off there."""


class _Text(io.TextIOWrapper):
    """What pandas reads."""

    def read(self, size=-1):
        text = super().read(size)
        if "\0" in text:
            raise _NulCharacter
        return text


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """How the cells stand in a file."""

    path: str
    encoding: str
    delimiter: str
    has_quotes: bool

    @property
    def quoting(self):
        return csv.QUOTE_MINIMAL if self.has_quotes else csv.QUOTE_NONE

    @contextlib.contextmanager
    def opened(self):
        """Gives a reader of the text; lines keep their ends."""
        # In TSV a line ends at \n alone, as everywhere in this package.
        newline = "" if self.has_quotes else "\n"
        encoding = _marked(self.encoding)
        with files.reading(self.path) as reader:
            buffer = io.BufferedReader(_Bytes(reader), 1 << 20)
            try:
                yield _Text(buffer, encoding, newline=newline)
            except _NulCharacter:
                raise UserError(
                    f"{self.path}:{self._line_of_nul()}: a NUL character, "
                    "which is in no text; --encoding=utf-16 files have some"
                ) from None
            except UnicodeError as error:
                raise UserError(
                    f"{self.path}: not {self.encoding}: "
                    f"{self._what_is_wrong(error)}; --encoding=latin-1 is "
                    "another common one"
                ) from None

    def _what_is_wrong(self, error):
        """The byte, and its line in encodings whose lines end with one byte."""
        if not isinstance(error, UnicodeDecodeError):
            return files.reason(error)
        byte = error.object[error.start]
        with files.reading(self.path) as reader:
            for number, line in enumerate(reader, start=1):
                try:
                    line.decode(self.encoding)
                except UnicodeDecodeError as found:
                    if found.object[found.start] == byte:
                        return f"byte 0x{byte:02x} in line {number}"
                    break
        return f"byte 0x{byte:02x}"

    def _line_of_nul(self):
        with self.opened() as reader:
            numbered = enumerate(reader, start=1)
            return next(number for number, line in numbered if "\0" in line)

    def frame(self):
        """All cells as texts, the header's among them.

        It knows no line numbers, fills up short rows and takes empty lines
        for rows: `scan` tells these apart.
        """
        # It takes half a second, which those who read no table need not wait.
        import pandas as pd

        with self.opened() as reader:
            return pd.read_csv(
                reader,
                sep=self.delimiter,
                header=None,  # As a row: names may stand twice.
                index_col=False,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                quoting=self.quoting,
                lineterminator=None if self.has_quotes else "\n",
                engine="c",
                low_memory=False,
            )

    def scan(self):
        """(line, number of cells) of each row; an empty line has no cell."""
        lines, counts = array.array("q"), array.array("q")
        with self.opened() as reader, _without_limit():
            rows = csv.reader(
                reader if self.has_quotes else map(_without_end, reader),
                delimiter=self.delimiter,
                quoting=self.quoting,
            )
            line = 1
            for cells in rows:
                lines.append(line)
                counts.append(len(cells))
                line = rows.line_num + 1
        return lines, counts


def _without_end(line):
    # A lone \r is an error to csv, and a character like others in TSV.
    return line.rstrip("\r\n").replace("\r", " ")


@contextlib.contextmanager
def _without_limit():
    """The csv module takes long cells for a mistake."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


class _Cells(Table):
    """The cells of a CSV or TSV file."""

    def __init__(self, dialect: _Dialect, header: bool):
        self.path = dialect.path
        self.lines = Lines(functools.partial(_starts, dialect, header))
        self._has_quotes, self._header = dialect.has_quotes, header
        self._frame = _checked_frame(dialect, header)
        self._width = self._frame.shape[1]
        self.names = [str(number + 1) for number in range(self._width)]
        if header:
            self.names = self._frame.iloc[0].tolist()
            if not dialect.has_quotes:
                self.names[-1] = self.names[-1].removesuffix("\r")

    def __len__(self):
        return len(self._frame) - self._header

    def texts(self, name, given="", optional=False):
        if optional and name not in self.names:
            return [None] * len(self)
        index = self._find(name, given)
        values = self._frame.iloc[:, index].tolist()[self._header :]
        if self._has_quotes or index < self._width - 1:
            return values
        # In TSV the \r of a line's end is pandas' last character.
        return [value.removesuffix("\r") for value in values]

    texts_or_lists = texts

    def _find(self, name, given):
        """The number of a column from 0."""
        prefix = f"{given}: " if given else ""
        if not self._header and not name.isdecimal():
            raise UserError(
                f"{prefix}with --header=false columns are numbers from 1 on"
            )
        is_given = given.endswith(f"={name}")
        called = "such column" if is_given else f"column {name}"
        if name not in self.names:
            raise UserError(
                f"{prefix}{self.path} has no {called}; it has "
                f"{listed(self.names)}"
            )
        if (times := self.names.count(name)) > 1:
            called = "of that name" if is_given else name
            raise UserError(f"{prefix}{self.path} has {times} columns {called}")
        return self.names.index(name)


def _starts(dialect, header):
    return dialect.scan()[0][header:]


def _checked_frame(dialect, header):
    """The cells of a file without the empty lines at its end.

    Raises:
        UserError: a row has more or fewer cells than the first, a quote is
            not closed, or the file is empty.
    """
    import pandas as pd

    try:
        frame = dialect.frame()
    except pd.errors.EmptyDataError:
        is_empty = not any(dialect.scan()[1])
        raise UserError(
            f"{dialect.path}: the file is empty"
            if is_empty
            else f"{dialect.path}:1: an empty line at the start of the file"
        ) from None
    except pd.errors.ParserError as error:
        raise UserError(_damage(dialect, header, str(error))) from None
    is_wide = frame.shape[1] > 1
    # The usual file needs no second look.
    last_row = [cell.removesuffix("\r") for cell in frame.iloc[-1]]
    last_column = frame.iloc[1:, -1]
    if any(last_row) and not (is_wide and last_column.isin(["", "\r"]).any()):
        return frame
    lines, counts = dialect.scan()
    number = len(counts)
    while number and not counts[number - 1]:
        number -= 1
    if is_wide:
        _check_counts(dialect.path, lines, counts[:number], header)
    return frame.iloc[:number]


def _check_counts(path, lines, counts, header):
    first = counts[0]
    for line, count in zip(lines, counts, strict=False):
        if count != first:
            what = "header" if header else "first row"
            cells = "1 cell" if count == 1 else f"{count} cells"
            raise UserError(
                f"{path}:{line}: {cells}, but the {what} has {first}"
            )


def _damage(dialect, header, reason):
    """What is wrong with a file that cannot be parsed, and where."""
    lines, counts = dialect.scan()
    if "EOF inside string" in reason:
        return f"{dialect.path}:{lines[-1]}: a quote is opened and never closed"
    _check_counts(dialect.path, lines, counts, header)
    return f"{dialect.path}: {files.reason(ValueError(reason))}"


# ---------------------------------------------------------------------------
# JSON.


class _Objects(Table):
    """A JSON object on each line."""

    def __init__(self, path: str):
        self.path = path
        lines, self._objects, names = array.array("q"), [], {}
        for line, value in _read_objects(path):
            lines.append(line)
            self._objects.append(value)
            names.update(dict.fromkeys(value))
        self.names = list(names)
        self.lines = Lines(functools.partial(list, lines))

    def __len__(self):
        return len(self._objects)

    def texts(self, name, given="", optional=False):
        return self._converted(name, optional, _text)

    def texts_or_lists(self, name, given="", optional=False):
        return self._converted(name, optional, _text_or_list)

    def _converted(self, name, optional, convert):
        found = []
        for row, value in enumerate(self._objects):
            if name not in value and not optional:
                raise UserError(
                    f'{self.place(row)}: no "{name}"; the keys are '
                    f"{listed(list(value))}"
                )
            try:
                found.append(convert(value.get(name)))
            except _WrongValue as error:
                raise UserError(
                    f'{self.place(row)}: "{name}" {error}'
                ) from None
        return found


def _read_objects(path):
    """Yields (line, dict) for each line; empty ones at the end are none."""
    empty = None
    for number, line in files.read_lines(path):
        if not line.strip():
            empty = empty or number
            continue
        if empty:
            raise UserError(f"{path}:{empty}: not JSON: an empty line")
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not JSON: {error.msg} at position "
                f"{error.colno} of the line"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}:{number}: not JSON: {files.reason(error)}"
            ) from None
        if not isinstance(value, dict):
            raise UserError(
                f"{path}:{number}: not an object such as "
                '{"text": "…", "label": "…"}'
            )
        yield number, value


class _WrongValue(ValueError):
    """What stands there instead of a text."""


def _text(value, allowed="text, a number or null"):
    if value is None or value != value:  # NaN differs from itself.
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise _WrongValue(f"must be {allowed}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _WrongValue(
                "has half a surrogate pair, such as \\ud800 alone: no text in "
                "UTF-8"
            ) from None
    return value


def _text_or_list(value):
    if not isinstance(value, list):
        return _text(value, "text, a list or null")
    allowed = "a list of texts or numbers"
    return tuple(_text(item, allowed) or "" for item in value)
