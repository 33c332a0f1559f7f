"""The cells of CSV and TSV files, row by row.

In CSV a cell may be in quotes, and then may hold delimiters and line ends; a
line ends at \\n, \\r or both. In TSV quotes are characters like others, and a
line ends at \\n alone, as everywhere in this package, unless the file has none.

What a file's start shows for certain is understood: `sep=;` on the first line,
blanks before quotes, quotes around the names of a TSV file, and backslashes
before the quotes in a cell.
"""

import contextlib
import csv
import dataclasses
import io
import itertools
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from absl import logging

from bert_tf.counts import number_of
from bert_tf.data.tabular.decoding import decoding, nul_error, with_mark
from bert_tf.errors import UserError
from bert_tf.file_formats import HEAD_BYTES, decoded_start

CHARACTERS_AT_ONCE = 1 << 20  # Read from a file, in whole lines.
NUM_LINES_COMPARED = 200
NUM_BLOCKS_CHECKED = 16  # In which quotes around cells of TSV are looked for.
NUM_LINES_IN_A_ROW = 5  # A row of more lines may have a quote too few.
_SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(.)"?\r?\n', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_ESCAPED_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
_CURLY = re.compile(r"[“„«].*[”“»]")


@dataclasses.dataclass
class CellReader:
    """Reads the cells of a file.

    Attributes:
        path: of the file, for messages.
        encoding: of its text.
        delimiter: the character between cells; None for the usual one, or the
            one that the file's first line names.
        has_quotes: whether cells may be in quotes: CSV.
        has_header: whether the first row holds names.
        strict: whether oddities are errors.
        format_setting: the setting that says how a file is written.
        first_line: the line of the first row.
        looks_like: another format that the file may have, and what reads it.
    """

    path: str
    encoding: str = "utf-8"
    delimiter: str | None = None
    has_quotes: bool = True
    has_header: bool = True
    strict: bool = False
    format_setting: str = "task_name"
    first_line: int = 1
    looks_like: str = ""

    def __post_init__(self):
        self._used = self.delimiter or ("," if self.has_quotes else "\t")
        self._line_end = "\n"
        self._skips_blanks = False
        self._width = 0
        # Whether \" in a cell is a quote; None until a line shows it.
        self._has_escapes: bool | None = None
        self._escaped: list[int] = []
        self._doubtful: list[int] = []
        self._unclear: list[int] = []
        self._quoted_in_tsv: list[int] = []
        self._num_always_quoted = 0
        self._long_rows: list[int] = []
        self._loose: list[int] = []

    @property
    def used_delimiter(self) -> str:
        """The delimiter that the file is read with."""
        return self._used

    def rows(self, reader: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
        """Yields (line, cells) of each row; an empty line has no cells.

        Args:
            reader: of the file's bytes, from its start, with `peek`.
        """
        self._look(reader)
        newline = "" if self.has_quotes else self._line_end  # Ends stay.
        with decoding(reader, self.path, self.encoding, newline) as decoded:
            # Lines pass through C code alone.
            lines = itertools.chain.from_iterable(self._blocks(decoded))
            for _ in range(1, self.first_line):
                next(lines, None)
            if self.has_quotes:
                yield from self._quoted_rows(lines)
            else:
                numbered = enumerate(lines, start=self.first_line)
                for number, line in numbered:
                    line = line.removesuffix("\n").removesuffix("\r")
                    yield number, line.split(self._used) if line else []
        self._report()

    # -- What the start shows.

    def _look(self, reader):
        head = reader.peek(HEAD_BYTES)[:HEAD_BYTES]
        text = decoded_start(head, with_mark(self.encoding)) or ""
        if match := _SEPARATOR_LINE.match(text):
            self.first_line = 2
            self._used = self.delimiter or match[1]
            text = text[match.end() :]
        lines = io.StringIO(text, newline="").readlines()
        if len(head) == HEAD_BYTES:
            lines = lines[:-1]
        lines = lines[:NUM_LINES_COMPARED]
        if not lines:
            return
        if "\n" not in text and "\r" in text:
            self._line_end = "\r"  # Old Macs and some of Excel's files.
        if not self.has_quotes:
            self._look_for_quotes(lines)
        elif f'{self._used} "' in text:
            self._look_for_blanks(lines)
        if self.has_quotes:
            self._look_for_loose_quotes(lines)
        self._width = len(self._parsed(lines[:1], is_strict=False)[0])
        curly = [line for line in lines if self._is_in_curly_quotes(line)]
        if len(curly) > len(lines) // 2:
            logging.warning(
                "%s: cells are in curly quotes, which are characters like "
                "others; only straight ones hold a cell together",
                self.path,
            )

    def _is_in_curly_quotes(self, line):
        cells = line.strip().split(self._used)
        return any(_CURLY.fullmatch(cell.strip()) for cell in cells[:20])

    def _look_for_quotes(self, lines):
        """Reads TSV as CSV if all its cells or names are in quotes."""
        cells = [line.rstrip("\r\n").split(self._used) for line in lines]
        quoted = [[bool(_QUOTED.fullmatch(c)) for c in row] for row in cells]
        if self.has_header:
            is_certain = all(quoted[0])
        else:
            is_certain = all(map(self._is_quoted_row, lines))
        if is_certain and self._are_rows(lines):
            self.has_quotes = True
            logging.info(
                "%s: its cells are in quotes, which are taken off", self.path
            )
        elif len(lines) > 5 and all(map(any, quoted[1:])):
            self._num_always_quoted = len(lines) - 1

    def _is_quoted_row(self, line):
        """Whether all cells of a line but numbers are in quotes."""
        cell = r'("([^"]|"")*"|[-+.0-9eE]*)'
        row = rf"{cell}({re.escape(self._used)}{cell})*"
        return '"' in line and re.fullmatch(row, line.rstrip("\r\n"))

    def _look_for_blanks(self, lines):
        if self._are_rows(lines):
            return
        self._skips_blanks = True
        if self._are_rows(lines):
            logging.info(
                "%s: blanks before the quotes around cells do not count",
                self.path,
            )
        else:
            self._skips_blanks = False

    def _look_for_loose_quotes(self, lines):
        """Finds quotes within cells that are not doubled, near the start."""
        blanks = re.compile(f'" +(?={re.escape(self._used)}|$)')
        place = 0
        while place < len(lines):
            rows = csv.reader(
                (blanks.sub('"', line) for line in lines[place:]),
                delimiter=self._used,
                skipinitialspace=self._skips_blanks,
                strict=True,
            )
            try:
                for _ in rows:
                    pass
                return
            except csv.Error as error:
                if "expected after" not in str(error):
                    return
                place += rows.line_num
                if '\\"' not in lines[place - 1]:
                    self._loose.append(self.first_line + place - 1)

    def _are_rows(self, lines, width=None):
        """Whether lines are whole rows of the same width, properly quoted.

        A row that the end of the lines cuts does not count.
        """
        rows = self._parsed(lines)
        if len(rows) > 1 and sum(map(len, rows[-1:])) and _is_open(lines):
            rows = rows[:-1]
        width = width or len(rows[0]) if rows else 0
        return bool(rows) and all(
            len(row) in (0, width)
            and not any(cell.startswith(' "') for cell in row)
            for row in rows
        )

    def _parsed(self, lines: Iterable[str], is_strict=True) -> list[list[str]]:
        """The rows of some lines; [] where one is not written properly."""
        found: list[list[str]] = []
        rows = csv.reader(
            lines,
            delimiter=self._used,
            skipinitialspace=self._skips_blanks,
            strict=is_strict,
        )
        try:
            for row in rows:
                found.append(row)
        except csv.Error as error:
            if "unexpected end" not in str(error):
                return []
        return found if found or is_strict else [[]]

    # -- Lines and rows.

    def _blocks(self, reader) -> Iterator[list[str]]:
        """Yields lists of lines with their ends."""
        num_lines = num_blocks = 0
        while lines := reader.readlines(CHARACTERS_AT_ONCE):
            block = "".join(lines)
            if "\0" in block:
                place = next(i for i, line in enumerate(lines) if "\0" in line)
                raise nul_error(self.path, num_lines + place + 1)
            # A search for one character in a whole block costs little.
            if self.has_quotes:
                if "\\" in block and '\\"' in block:
                    self._unescape(lines, num_lines)
            elif num_blocks < NUM_BLOCKS_CHECKED and '""' in block:
                self._find_quoted(lines, num_lines)
            num_blocks += 1
            num_lines += len(lines)
            yield lines

    def _unescape(self, lines: list[str], before: int):
        r"""Writes "" for \" in the lines if this is what it means."""
        if self._has_escapes is False:
            return
        pairs = [
            (i, _ESCAPED_QUOTE.sub(r'\1""', line))
            for i, line in enumerate(lines)
            if '\\"' in line
        ]
        pairs = [(i, changed) for i, changed in pairs if changed != lines[i]]
        if not pairs:
            return
        if self._has_escapes is None and not before and self._are_rows(lines):
            self._has_escapes = False  # They are rows as they stand.
        elif self._has_escapes is None:
            pro, contra = self._votes(lines, pairs, before)
            if contra:
                self._has_escapes = False
                # A few lines may be odd in a file whose quotes are doubled.
                self._doubtful += pro if len(pro) > contra else []
            elif pro:
                self._has_escapes = True
            else:
                self._unclear += [before + i + 1 for i, _ in pairs]
        if self._has_escapes:
            for i, changed in pairs:
                lines[i] = changed
            self._escaped += [before + i + 1 for i, _ in pairs]

    def _votes(self, lines, pairs, before):
        r"""Lines that are rows only if \" is a quote, and how many are not."""
        pro, contra = [], 0
        for i, changed in pairs[: 10 * NUM_LINES_COMPARED]:
            is_row = self._is_row(lines[i])
            if self._is_row(changed) and not is_row:
                pro.append(before + i + 1)
            contra += is_row and not self._is_row(changed)
        if not pro and not contra and not before:
            # All of them may be in cells of several lines.
            first = [*lines[: pairs[0][0] + NUM_LINES_COMPARED]]
            changed = [_ESCAPED_QUOTE.sub(r'\1""', line) for line in first]
            if self._are_rows(changed) and not self._are_rows(first):
                pro = [pairs[0][0] + 1]
        return pro, contra

    def _is_row(self, line):
        rows = self._parsed([line])
        return (
            len(rows) == 1
            and len(rows[0]) == self._width
            and not _is_open([line])
        )

    def _find_quoted(self, lines: list[str], before: int):
        for place, line in enumerate(lines, start=before + 1):
            if '""' not in line:
                continue
            cells = line.rstrip("\r\n").split(self._used)
            if any('""' in c[1:-1] and _QUOTED.fullmatch(c) for c in cells):
                self._quoted_in_tsv.append(place)

    def _quoted_rows(self, lines):
        is_over = False

        def until_over():
            nonlocal is_over
            yield from lines
            is_over = True

        rows = csv.reader(
            until_over(),
            delimiter=self._used,
            skipinitialspace=self._skips_blanks,
        )
        line = offset = self.first_line
        for cells in rows:
            if is_over:  # csv makes a row of an open cell at the end.
                raise UserError(
                    f"{self.path}:{line}: a quote is opened and never closed"
                )
            next_line = rows.line_num + offset
            if next_line - line > NUM_LINES_IN_A_ROW:
                if self._holds_rows(cells):
                    self._long_rows.append(line)
            yield line, cells
            line = next_line

    def _holds_rows(self, cells: Sequence[str]) -> bool:
        """Whether the lines in a cell look like rows."""
        for cell in cells:
            inner = cell.split("\n")[1:-1]
            alike = [x for x in inner if x.count(self._used) == len(cells) - 1]
            if len(cells) > 1 and len(alike) > max(3, 0.8 * len(inner)):
                return True
        return False

    # -- Oddities.

    def _report(self):
        if self._num_always_quoted:
            self._quoted_in_tsv = [*range(2, 2 + self._num_always_quoted)]
        self._warn(
            self._escaped,
            r"with \" in a cell",
            r"\" is read as a quote",
            is_certain=True,
        )
        self._warn(
            self._doubtful,
            r"in which \" seems to be a quote within a cell",
            r'other lines end a cell so; "" is the quote in CSV',
        )
        self._warn(
            [] if self._has_escapes is False else self._unclear,
            r"with \" in a cell",
            r'the backslash stays; "" is the quote in CSV',
        )
        self._warn(
            self._loose,
            "with text after the quote that ends a cell",
            "a quote within a cell in quotes must be doubled",
        )
        self._warn(
            self._quoted_in_tsv,
            "with a cell in quotes, as in CSV",
            "in TSV quotes are characters like others; "
            f"`{self.format_setting}`=csv with `delimiter`=\\t takes them off",
        )
        self._warn(
            self._long_rows,
            "at which a cell starts that holds lines like rows",
            "is a quote opened and never closed?",
        )

    def _warn(self, lines, what, why, is_certain=False):
        if not lines:
            return
        if self.strict and not is_certain:
            raise UserError(
                f"{self.path}:{lines[0]}: a line {what}, under `strict`; {why}"
            )
        number = number_of(len(lines), "line")
        where = f"{self.path}: {number} {what} (line {lines[0]} first)"
        logging.warning("%s", UserError(f"{where}: {why}"))


def _is_open(lines: Sequence[str]) -> bool:
    """Whether the last row's cell is in quotes that are not closed."""
    return "".join(lines).count('"') % 2 == 1


class _NoLimit:
    """Whether some reader needs cells of any length.

    The limit is the process's, and readers in other threads may end earlier.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._num_readers = 0
        self._limit = csv.field_size_limit()

    def __enter__(self):
        with self._lock:
            if not self._num_readers:
                self._limit = csv.field_size_limit(sys.maxsize)
            self._num_readers += 1

    def __exit__(self, *_):
        with self._lock:
            self._num_readers -= 1
            if not self._num_readers:
                csv.field_size_limit(self._limit)


_NO_LIMIT = _NoLimit()


def without_limit() -> contextlib.AbstractContextManager[None]:
    """Allows cells of any length, which the csv module takes for mistakes."""
    return _NO_LIMIT
