"""Finds out from the start of a text how a file is written.

shape_of("text;label\\nhello;ham\\n")     Shape("table", ";", ("text", "label"))
shape_of('[\\n {"text": …')               Shape("json_list")
shape_of("__label__ham hello\\n")         Shape("fasttext")
"""

import csv
import dataclasses
import json
import re
from collections.abc import Collection, Sequence

from absl import logging

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.data.tabular.table import COLUMN_SYNONYMS, listed
from bert_tf.data.tabular.table import number as to_number
from bert_tf.file_formats import HEAD_BYTES

# Characters between cells, the usual ones first.
DELIMITERS = (",", ";", "\t", "|", "^", "~", "\x01", ":")
# Others that people use, which `delimiter` cannot be.
LONG_DELIMITERS = ("|||", "||", "::", "\\t", "@@", "##", "  ")
NUM_LINES_COMPARED = 20
MOST_IN_A_NAME = 40  # Characters.
# A column's name. Texts have other signs, or are longer.
NAME = re.compile(r"[^\W\d][\w .#/()-]{0,39}")
# A comma right after a label is that of a CSV file.
FASTTEXT = re.compile(r"\s*__label__[^\s,]+(,__label__[^\s,]+)*(\s|$)")
KNOWN_NAMES = {
    *("id", "idx", "index", "guid", "text_b", "sentence2", "hypothesis"),
    *("context", "answer", "sent1", "sent2", "ending0", "gold_label"),
    *("quality", *COLUMN_SYNONYMS),
    *(name for names in COLUMN_SYNONYMS.values() for name in names),
}
_TIMES = re.compile(r"[\d:]+:\d\d[.,]\d{3} --> [\d:]+:\d\d[.,]\d{3}")
_TAG = re.compile(r"O|[BIESLU][-_]\S+|\S+[-_][BIESLU]")


@dataclasses.dataclass(frozen=True)
class Shape:
    """How a file is written.

    Attributes:
        name: "json_lines", "json_list", "json_object", "page" for HTML and XML,
            "fasttext", "subtitles", "conll", "table", or "text" for everything
            else.
        delimiter: of a table, the character between its cells.
        names: of a table's columns, if its first row is a header.
    """

    name: str
    delimiter: str = ""
    names: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether it holds JSON."""
        return self.name.startswith("json")

    def described(self) -> str:
        """The name of the shape for people: "JSON lines"."""
        if self.name == "table":
            kind = {",": "CSV", "\t": "TSV"}.get(
                self.delimiter, f"CSV with {self.delimiter!r} between cells"
            )
            columns = f" with the columns {listed(self.names)}"
            return kind + (columns if self.names else "")
        return {
            "json_lines": "JSON lines",
            "json_list": "a list in JSON",
            "json_object": "JSON",
            "page": "HTML or XML",
            "fasttext": "fastText's lines",
            "subtitles": "subtitles with their times",
            "conll": "words with tags",
        }.get(self.name, "text")


def shape_of(head: str) -> Shape:
    """How a file is written.

    Args:
        head: its text, or the first `HEAD_BYTES` of it.
    """
    head = head.removeprefix("\ufeff")
    start = head.lstrip()
    if re.match(r"<(!doctype|html|\?xml|doc\s)", start, re.IGNORECASE):
        return Shape("page")
    lines = whole_lines(head)
    first = next((line for line in lines if line.strip()), "")
    if start.startswith("{"):
        if _is_object(first):
            return Shape("json_lines")
        if re.match(r'\{\s*("(\\.|[^"\\])*"\s*:|\}|$)', start):
            return Shape("json_object")
    if re.match(r'\[\s*(\{\s*("|\}|$)|\[\s*"|$)', start):
        return Shape("json_list")
    if is_fasttext(lines):
        return Shape("fasttext")
    if sum(bool(_TIMES.match(line)) for line in lines) > 2:
        return Shape("subtitles")
    return _table(lines) or (
        Shape("conll") if _is_conll(lines) else Shape("text")
    )


def whole_lines(head: str) -> list[str]:
    """The lines of a file's start, without one that is cut."""
    lines = head.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if len(lines) == 1:
        lines = lines[0].split("\r")  # Old Macs end lines so.
    if len(lines) > 1 or not head:
        lines.pop()  # The text after the last line's end.
    return lines


def is_fasttext(lines: Sequence[str]) -> bool:
    """Whether lines start with labels such as `__label__ham`."""
    lines = [line for line in lines if line.strip()]
    # A table whose labels are written so has a header.
    if not lines or not FASTTEXT.match(lines[0]):
        return False
    num_labelled = sum(bool(FASTTEXT.match(line)) for line in lines)
    return num_labelled > 0.9 * len(lines)


def is_header(cells: Sequence[str]) -> bool:
    """Whether cells are surely names of columns, most of them usual ones."""
    names = [cleaned_name(cell).lower() for cell in cells]
    return (
        len(names) > 1
        and all(NAME.fullmatch(name) or not name for name in names)
        and 2 * sum(name in KNOWN_NAMES for name in names) >= len(names)
    )


def is_data(cells: Sequence[str]) -> bool:
    """Whether cells are surely no names of columns."""
    return any(
        to_number(cell) is not None or len(cell) > MOST_IN_A_NAME
        for cell in cells
    )


def cleaned_name(name: str) -> str:
    """A column's name without blanks, marks and quotes around it."""
    name = name.strip().strip("\ufeff\u200b").strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].strip()
    return name


def _is_object(line):
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _table(lines: Sequence[str]) -> Shape | None:
    """The table that lines are; None if they may be running text."""
    lines = [line for line in lines if line.strip()][:NUM_LINES_COMPARED]
    found = []
    for delimiter in DELIMITERS:
        rows = rows_of(lines, delimiter)
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and len(rows[0]) > 1:
            names = tuple(map(cleaned_name, rows[0]))
            # Lines of text have one comma each by chance.
            if is_header(names) or len(rows) > 9 and delimiter in ",;\t":
                found.append((is_header(names), delimiter, names))
    if not found:
        return None
    has_header, delimiter, names = max(found, key=lambda entry: entry[0])
    return Shape("table", delimiter, names if has_header else ())


def rows_of(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The cells of some lines; [] if they cannot be read so."""
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return []


def _is_conll(lines: Sequence[str]) -> bool:
    rows = [line.split() for line in lines[:200]]
    rows = [row for row in rows if row and not row[0].startswith("#")]
    tagged = [row for row in rows if len(row) > 1 and _TAG.fullmatch(row[-1])]
    return len(rows) > 1 and len(tagged) > 0.9 * len(rows)


def likely_delimiter(
    header: str, in_use: str, wanted: Collection[str] = ()
) -> str | None:
    """The delimiter that a header seems to have.

    Args:
        header: the file's first line.
        in_use: the delimiter with which it was read.
        wanted: names of columns that it should have.
    """
    likely = None
    for delimiter in LONG_DELIMITERS + DELIMITERS:
        if delimiter == in_use or delimiter not in header:
            continue
        names = [cleaned_name(name) for name in header.split(delimiter)]
        if not {*wanted}.isdisjoint(names):
            return delimiter
        # The wrong delimiter leaves the others within names.
        is_usual = is_header(names) or delimiter not in ":^~"
        is_usual = is_usual and bool(delimiter.strip(" "))
        if likely is None and in_use not in header and is_usual:
            likely = delimiter
    return likely


def warn_unless_text(path: str) -> None:
    """Logs a warning if a file that is read as lines of text holds others.

    Args:
        path: of the file; a pipe is not looked into.

    Raises:
        UserError: the file cannot be read.
    """
    if not files.is_regular(path):
        return
    with files.reading(path) as reader:
        head = reader.peek(HEAD_BYTES)  # type: ignore[attr-defined]
    text = head.decode("utf-8", "ignore")
    shape = shape_of(text if len(head) >= HEAD_BYTES else text + "\n")
    if shape.name != "text" and text.strip():
        logging.warning(
            "%s: it looks like %s, and is read as lines of text, with all its "
            "signs",
            path,
            shape.described(),
        )


def warn_of_few_documents(
    what: str, num_documents: int, num_lines: int
) -> None:
    """Logs a warning if a text holds no pairs of sentences.

    Args:
        what: the text, for the message.
        num_documents, num_lines: of the text; a line is a sentence.
    """
    if num_lines and num_documents == num_lines:
        why = "a line is a sentence, and a pair needs two of a document"
    elif num_documents == 1:
        why = (
            "an empty line ends a document, and random next sentences come "
            "from other documents"
        )
    else:
        return
    logging.warning(
        "%s: %s with %s of text: %s",
        what,
        number_of(num_documents, "document"),
        number_of(num_lines, "line"),
        why,
    )
