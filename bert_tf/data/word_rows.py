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
import re
from collections.abc import Iterator, Sequence

from bert_tf import files
from bert_tf.data.csv_files import unescaped
from bert_tf.data.sentences import DOCUMENT_START, WordColumns
from bert_tf.errors import UserError

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
_CELL = re.compile("[^ \t]+")


@dataclasses.dataclass
class Row:
    """A line that is not blank.

    Attributes:
        line: its number.
        cells: its columns.
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
    """

    path: str
    separator: str
    names: list[str]
    header: str
    blocks: list[Block]
    num_columns: int

    @property
    def rows(self) -> Iterator[Row]:
        """All rows."""
        return (row for block in self.blocks for row in block.rows)


def name_of(cell: str) -> str:
    """A column's name without case, blanks and signs: "Sentence #"."""
    return re.sub(r"[\W_]+", "", cell.lower())


def read_lines(path: str, encoding: str) -> list[tuple[int, str]]:
    """The lines of a file with their numbers from 1.

    Raises:
        UserError: it is not text in this encoding.
    """
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        return list(files.read_lines(path))
    try:
        with files.reading(path) as reader:
            text = reader.read().decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise UserError(
            f"{path}: {files.reason(error)}", setting="encoding", value=encoding
        ) from None
    lines = text.removeprefix("\ufeff").replace("\r", "").split("\n")
    if not lines[-1]:
        lines.pop()
    return list(enumerate(lines, start=1))


def cut(
    path: str, lines: Sequence[tuple[int, str]], columns: WordColumns
) -> Rows:
    """Cuts the lines of a file into cells.

    Args:
        path: of the file, for errors.
        lines: of `read_lines`.
        columns: the settings.

    Raises:
        UserError: a row of CSV has an open quote.
    """
    separator, names = _layout(path, lines, columns)
    parsed = [
        (number, line, _cells(line, separator, path, number))
        for number, line in lines
    ]
    header = ""
    if names:
        place = next(i for i, (_, _, cells) in enumerate(parsed) if any(cells))
        _, header, _ = parsed.pop(place)
    sizes = collections.Counter(
        len(cells)
        for _, _, cells in parsed
        if cells and cells[0] != DOCUMENT_START and cells[0][:1] != "#"
    )
    num_columns = sizes.most_common(1)[0][0] if sizes else 0
    is_comment = _comment_finder(parsed, num_columns)
    blocks = [*_blocks(parsed, separator, is_comment)]
    return Rows(path, separator, names, header, blocks, num_columns)


def _blocks(parsed, separator, is_comment):
    before: list[str] = []
    rows: list[Row] = []
    for number, line, cells in parsed:
        is_row = any(cells) and cells[0] != DOCUMENT_START
        if is_row and (rows or not is_comment(line, cells)):
            text = " ".join(cells) if separator == " " else line
            rows.append(Row(number, cells, text))
            continue
        if rows:
            yield Block(before, rows)
            before, rows = [], []
        if not any(cells):
            before.append("")
        else:
            before.append(line if is_row else " ".join(_CELL.findall(line)))
            if not is_row and separator == "\t":
                before[-1] = line
    yield Block(before, rows)


def _comment_finder(parsed, num_columns):
    """Returns function(line, cells): whether it is a comment, not a word.

    A comment starts with "#", comes before a sentence, and has another number
    of columns than the rows, or no number where rows have one.
    """
    firsts = [c[0] for _, _, c in parsed if any(c) and c[0][:1] != "#"]
    numbered = num_columns > 1 and firsts and _share(firsts, _is_number) > 0.9
    lasts = {
        c[-1]
        for _, _, c in parsed
        if c and len(c) == num_columns and c[0][:1] != "#"
    }

    def is_comment(line, cells):
        if not cells[0].startswith("#"):
            return False
        if len(cells) != num_columns or numbered:
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


def _is_number(cell):
    return cell[:1].isdigit()


def _share(values, test):
    return sum(map(bool, map(test, values))) / len(values)


# ---------------------------------------------------------------------------
# The separator, and the header.


def _layout(path, lines, columns):
    """(separator, names of the header)."""
    content = [line for _, line in lines if line.strip(" \t")]
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
        line
        for line in content[:NUM_ROWS_COMPARED]
        if not line.startswith((DOCUMENT_START, "#"))
    ]
    return "\t" if _is_by_tabs(rows) else _csv_delimiter(path, rows), []


def is_place(name: str) -> bool:
    """Whether a setting is a number of a column rather than a name."""
    return bool(re.fullmatch(r"-?[0-9]+", name))


def _is_header(cells, asked):
    if len(cells) < 2:
        return False
    if asked and all(name in [c.strip() for c in cells] for name in asked):
        return True
    names = [name_of(cell) for cell in cells]
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
    """The delimiter of CSV without a header; " " if it is none."""
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
        return cells
    if not line.strip(" \t" + separator):
        return []
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
