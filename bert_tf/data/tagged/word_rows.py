"""Lines of a file with a word in each row, cut into cells.

Columns are separated by spaces and tabs as in CoNLL's files; by tabs alone,
where words may hold spaces; or by commas or semicolons as in CSV. The lines
show which.

    # sent_id = 7                comment
    -DOCSTART- -X- O O           start of a document
    EU NNP B-NP B-ORG            row
                                 blank line: the end of a sentence
"""

import collections
import csv
import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

from bert_tf import files
from bert_tf.data.tabular.csv_files import unescaped
from bert_tf.data.tabular.decoding import other_encoding
from bert_tf.data.tagged.sentences import DOCUMENT_START, WordColumns
from bert_tf.errors import UserError
from bert_tf.file_contents import with_line_ends

# Names of columns, without case and signs.
WORD_NAMES = (
    "word words token tokens form text surface wordform tokentext".split()
)
TAG_NAMES = (
    "ner nertag nertags nerlabel tag tags label labels entity entities ne "
    "netag iob iobtag bio biotag bioes iob2 namedentity entitytag entitytype "
    "wordlabels labelname".split()
)
OTHER_TAG_NAMES = "upos pos postag xpos chunk chunktag".split()
SENTENCE_NAMES = (
    "sentence sentenceid sentenceidx sentenceno sentencenumber sentencenum "
    "sentid sentidx sentno sid sent sentences".split()
)
OTHER_NAMES = "id idx index lemma docid document doc".split()
CONLLU_NAMES = "ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC".split()
CSV_DELIMITERS = (",", ";", "|")
NUM_ROWS_COMPARED = 1000  # To choose the separator.

# A word may hold what Unicode calls a space.
_MARKUP = re.compile(
    r"</?(s|p|g|doc|text|sentence|file|corpus)\b[^<>]*>|#(begin|end) document.*"
)
_CELL = re.compile("[^ \t]+")


@dataclasses.dataclass(slots=True)
class Row:
    """A line.

    Attributes:
        line: its number.
        cells: its columns; none of a blank line.
        text: the row as it is written back.
    """

    line: int
    cells: list[str]
    text: str


@dataclasses.dataclass
class Block:
    """A sentence: the lines before its words, and its rows."""

    before: list[str]
    rows: list[Row]


@dataclasses.dataclass
class Rows:
    """The rows of a file.

    Attributes:
        path: of the file.
        separator: what parts the cells: " " for spaces and tabs.
        names: those of a header; [] without one.
        header: the header's line, or "".
        blocks: at least one; the last may have no rows.
        num_columns: that of most rows.
        is_even: whether all rows have as many.
    """

    path: str
    separator: str
    names: list[str]
    header: str
    blocks: list[Block]
    num_columns: int
    is_even: bool

    @property
    def rows(self) -> Iterator[Row]:
        """All rows."""
        return (row for block in self.blocks for row in block.rows)


def name_of(cell: str) -> str:
    """A column's name without case, blanks and signs: "Sentence #"."""
    return re.sub(r"[\W_]+", "", cell.lower())


def read_lines(path: str, encoding: str) -> list[str]:
    """The lines of a file.

    Raises:
        UserError: it is not text in this encoding.
    """
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        try:
            return [line for _, line in files.read_lines(path)]
        except UserError as error:
            if ": not UTF-8" not in str(error):
                raise
            raise UserError(
                f"{error}; `encoding`={other_encoding(str(error))} is another "
                "common one"
            ) from None
    try:
        with files.reading(path) as reader:
            text = with_line_ends(reader).read().decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise UserError(
            f"{path}: {files.reason(error)}", setting="encoding", value=encoding
        ) from None
    lines = text.removeprefix("\ufeff").replace("\r", "").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def cut(path: str, lines: Sequence[str], columns: WordColumns) -> Rows:
    """Cuts the lines of a file into cells.

    Args:
        path: of the file, for errors.
        lines: of `read_lines`.
        columns: the settings.

    Raises:
        UserError: a row of CSV has an open quote.
    """
    separator, names = _layout(path, lines, columns)
    parsed = _parsed(path, lines, separator)
    header = ""
    if names:
        place = next(i for i, row in enumerate(parsed) if row.cells)
        header = parsed.pop(place).text
    is_comment = None
    words = [
        row
        for row in parsed
        if row.cells and row.cells[0][:1] != "#"
        if row.cells[0] != DOCUMENT_START and not _is_markup(row)
    ]
    sizes = collections.Counter([len(row.cells) for row in words])
    num_columns = sizes.most_common(1)[0][0] if sizes else 0
    if any("#" in line for line in lines):
        is_comment = _comment_finder(words, num_columns)
    blocks = [*_blocks(parsed, is_comment, num_columns)]
    is_even = len(sizes) == 1 and is_comment is None
    return Rows(path, separator, names, header, blocks, num_columns, is_even)


def _parsed(path, lines, separator):
    """The lines as rows; blank ones have no cells."""
    if separator != " ":
        return [
            Row(number, _cells(line, separator, path, number), line)
            for number, line in enumerate(lines, start=1)
        ]
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = line.split(" ")
        if "" in cells or "\t" in line:
            cells = _CELL.findall(line)
            line = " ".join(cells)
        rows.append(Row(number, cells, line))
    return rows


def _blocks(parsed, is_comment, num_columns):
    before: list[str] = []
    rows: list[Row] = []
    for row in parsed:
        cells = row.cells
        if cells and cells[0] != DOCUMENT_START:
            if len(cells) != num_columns and _is_markup(row):
                pass  # <s> and </s> are around sentences.
            elif rows or is_comment is None or not is_comment(cells):
                rows.append(row)
                continue
        if rows:
            yield Block(before, rows)
            before, rows = [], []
        before.append(row.text if cells else "")
    yield Block(before, rows)


def _is_markup(row):
    return row.text[:1] in ("<", "#") and _MARKUP.fullmatch(row.text.strip())


def _comment_finder(words, num_columns):
    """Returns function(cells): whether they are a comment, not a word.

    A comment starts with "#", comes before a sentence, and has another number
    of columns than the rows, or no number where rows have one.
    """
    numbers = sum(row.cells[0][:1].isdigit() for row in words)
    are_numbered = num_columns > 1 and 10 * numbers > 9 * len(words)
    lasts = {row.cells[-1] for row in words if len(row.cells) == num_columns}

    def is_comment(cells):
        if not cells[0].startswith("#"):
            return False
        if len(cells) != num_columns or are_numbered:
            return True
        # "# newdoc" in a file of two columns, in which "# O" is a word.
        return (
            num_columns > 1
            and cells[0] == "#"
            and cells[-1] not in lasts
            and len(cells[-1]) > 1
            and not re.match(r"[A-Za-z][-_:/|.]|[A-Z]+$", cells[-1])
        )

    return is_comment


# ---------------------------------------------------------------------------
# The separator, and the header.


def _layout(path, lines, columns):
    """(separator, names of the header)."""
    content = [*_content(lines)]
    first = content[0] if content else ""
    asked = [columns.word_column, columns.tag_column]
    asked = [name for name in asked if name and not is_place(name)]
    if columns.delimiter is not None:
        separator = unescaped(columns.delimiter)
        cells = _cells(first, separator, path, 1)
        return separator, cells if _is_header(cells, asked) else []
    for separator in ("\t", *CSV_DELIMITERS, " "):
        if separator in first:
            cells = _cells(first, separator, path, 1)
            if _is_header(cells, asked):
                return separator, cells
    rows = [
        line for line in content if not line.startswith((DOCUMENT_START, "#"))
    ]
    return "\t" if _is_by_tabs(rows) else _csv_delimiter(path, rows), []


def _content(lines):
    """The first lines that are not blank."""
    filled = (line for line in lines if line.strip(" \t"))
    return itertools.islice(filled, NUM_ROWS_COMPARED)


def _unquoted(cells):
    """Cells without quotes, where all have them, or pandas doubles a quote."""
    if all(len(c) > 1 and c[0] == c[-1] == '"' for c in cells):
        return [cell[1:-1].replace('""', '"') for cell in cells]
    return ['"' if cell == '""""' else cell for cell in cells]


def is_place(name: str) -> bool:
    """Whether a setting is a number of a column rather than a name."""
    return bool(re.fullmatch(r"-?[0-9]+", name))


def _is_header(cells, asked):
    if len(cells) < 2:
        return False
    names = [name_of(cell) for cell in cells]
    if asked and all(name_of(name) in names for name in asked):
        return True
    has_word = any(name in WORD_NAMES for name in names)
    others = (*TAG_NAMES, *OTHER_TAG_NAMES, *SENTENCE_NAMES, *OTHER_NAMES)
    known = sum(name in others and name not in WORD_NAMES for name in names)
    is_sentence = {"sentence", "text"} & {*names} and {
        "wordlabels",
        "tag",
        "tags",
        "labels",
        "ner",
    } & {*names}
    return bool(has_word and known) or bool(is_sentence)


def _is_by_tabs(rows):
    """Whether tabs alone part the columns, so that words may hold spaces."""
    with_tabs = [line for line in rows if "\t" in line.strip(" \t")]
    if not with_tabs:
        return False
    without = sum(" " in line.strip() and "\t" not in line for line in rows)
    last = sum(
        " " in line.rstrip(" \t").rpartition("\t")[2].strip()
        for line in with_tabs
    )
    return 10 * without <= len(with_tabs) and 10 * last <= len(with_tabs)


def _csv_delimiter(path, rows):
    """The delimiter of CSV without a header; " " if it is not CSV."""
    ending = re.search(r"\.csv(\.\w+)?$", path.lower())
    for delimiter in CSV_DELIMITERS:
        if not rows or not all(delimiter in line for line in rows):
            continue
        if not ending and any(" " in line or "\t" in line for line in rows):
            continue
        try:
            sizes = {
                len(next(csv.reader([r], delimiter=delimiter))) for r in rows
            }
        except csv.Error:
            continue
        if len(sizes) == 1 and sizes != {1} and len(rows) > 1:
            return delimiter
    return " "


def is_conllu(rows: Rows) -> bool:
    """Whether rows are those of a CoNLL-U file: ten columns, numbered words."""
    return (
        rows.separator == "\t"
        and not rows.names
        and rows.num_columns == len(CONLLU_NAMES)
        and all(
            re.fullmatch(r"[0-9]+([-.][0-9]+)?", row.cells[0])
            for row in rows.rows
        )
    )


def _cells(line, separator, path, number):
    if separator == " ":
        return _CELL.findall(line)
    if separator == "\t":
        if not line.strip(" \t"):
            return []
        cells = [cell.strip(" ") for cell in line.split("\t")]
        if '"' in line:
            cells = _unquoted(cells)
        return cells if any(cells) else []
    if not line.strip(" \t" + separator):
        return []  # A blank row of a table.
    try:
        (cells,) = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        if line.startswith(DOCUMENT_START):
            return [line]
        raise UserError(
            f"{path}:{number}: not a row of a table with {separator!r} between "
            "the columns: a quote is open, or text follows one"
        ) from None
    return cells
