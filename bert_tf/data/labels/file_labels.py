"""Judges the labels of a file together: marks, numbers, delimiters.

A label is a text or, of problems with several labels, a tuple of texts; None
where a row has no label. Here they come as {cell: label}, each cell once.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from absl import logging

from bert_tf.counts import counted
from bert_tf.data.labels import missing_labels
from bert_tf.data.splits import Label
from bert_tf.data.tabular import label_notation
from bert_tf.data.tabular.label_notation import Marked
from bert_tf.data.tabular.table import Table
from bert_tf.errors import UserError

LABEL_DELIMITER = ","  # The default between two labels in a cell.
OTHER_DELIMITERS = (";", "|", "\t", ",", "#", " ")


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells of a file's label column.

    Attributes:
        table: the file.
        rows: the content of each row.
        distinct: each content once, in the order of the file.
    """

    table: Table
    rows: Sequence[Any]
    distinct: Collection[Any]

    @classmethod
    def of(cls, table: Table, rows: Sequence[Any]) -> "Cells":
        """Finds the distinct contents."""
        return cls(table, rows, dict.fromkeys(rows))

    def place(self, cell: Any) -> str:
        """ "path:line" of the first row with this content, for messages."""
        return self.table.place(self.rows.index(cell))

    def line(self, cell: Any) -> int:
        """The line of the first row with this content, for messages."""
        return self.table.line(self.rows.index(cell))


def several(label: Label) -> tuple[Any, ...]:
    """The labels of an example, whether it may have several or not."""
    if label is None:
        return ()
    return label if isinstance(label, tuple) else (label,)


def find_marks(
    counts: Mapping[str, int],
    num_rows: int,
    place_of: Callable[[str], str],
    named: Sequence[str] | None,
) -> frozenset[str]:
    """The marks for "no label" in a training file.

    The log names labels that are not marks here, and often are elsewhere.

    Args:
        counts: {label: how many rows have it}.
        num_rows: of the file.
        place_of: function(label) -> "path:line" of the first row that has it.
        named: see `splits.FileSettings.missing_label`.

    Raises:
        UserError: a label may be a mark, or as well a label.
    """
    marks = missing_labels.marks_among(counts, named)

    def rows(label):
        return f"{counted(counts[label], num_rows, 'row')} the label {label!r}"

    if named:
        for label in sorted(missing_labels.marks_among(counts) - marks):
            logging.warning(
                "%s: %s, which counts as a label like others, because "
                "`missing_label` does not name it",
                place_of(label),
                rows(label),
            )
    if named is not None:
        return marks
    if doubt := missing_labels.in_doubt(counts, marks):
        raise UserError(
            f"{place_of(doubt)}: {rows(doubt)}: `missing_label`={doubt} leaves "
            "them out, and an empty `missing_label` makes it a label like "
            "others"
        )
    for label in missing_labels.taken_for_labels(counts, marks):
        logging.warning(
            "%s: %s, which counts as a label like others; if it means that "
            "there is none, `missing_label`=%s leaves them out",
            place_of(label),
            rows(label),
            label,
        )
    return marks


def marks_of_cells(
    cells: Cells, labels: Mapping[Any, Label], named: Sequence[str] | None
) -> frozenset[str]:
    """`find_marks` of a label column, {cell: label}."""
    rows = collections.Counter(cells.rows)
    counts: collections.Counter[str] = collections.Counter()
    first: dict[str, Any] = {}
    for cell, label in labels.items():
        for one in several(label):
            counts[one] += rows[cell]
            first.setdefault(one, cell)
    return find_marks(
        counts,
        len(cells.rows),
        lambda label: cells.place(first[label]),
        named,
    )


def is_filler(mark: str) -> bool:
    """Whether a mark also fills up lists of labels, as -1 does."""
    return missing_labels.whole_number(mark) in missing_labels.NUMBERS


def mark_of(label: Label, marks: Collection[str]) -> str | None:
    """The mark because of which a label is not known, or None."""
    found = [one for one in several(label) if one in marks]
    if all(map(is_filler, found)) and len(found) < len(several(label)):
        return None
    return next(iter(found), None)


def without_fillers(
    labels: tuple[str, ...], marks: Collection[str]
) -> tuple[str, ...]:
    """Several labels without the numbers that fill up their list."""
    return tuple(x for x in labels if x not in marks or not is_filler(x))


def plain_number(label: str) -> int | None:
    """The whole number that a label is, but not of "01", or None."""
    number = missing_labels.whole_number(label)
    return number if label.partition(".")[0] == str(number) else None


def same_numbers(labels: Mapping[Any, Label]) -> dict[Any, Label]:
    """Makes "1.0" the label "1" where a file of whole numbers has both."""
    numbers = {
        one: plain_number(one)
        for label in labels.values()
        for one in several(label)
        if one not in missing_labels.MARKS
    }
    has_twins = len({*numbers.values()}) < len(numbers)
    if None in numbers.values() or not has_twins:
        return {**labels}
    plain = {one: str(value) for one, value in numbers.items()}

    def renamed(label):
        if isinstance(label, tuple):
            return tuple(dict.fromkeys(plain.get(x, x) for x in label))
        return plain.get(label, label)

    return {cell: renamed(label) for cell, label in labels.items()}


def check_delimiter(
    cells: Cells, texts: Mapping[Any, Any], delimiter: str
) -> None:
    """Finds cells with several labels and another delimiter between them.

    Args:
        cells: the label column.
        texts: {cell: its text}; other values do not count.
        delimiter: the setting `label_delimiter`, a tab as a tab.

    A space is a warning, because labels may have several words. Where somebody
    chose the delimiter, `plausibility` warns of others.

    Raises:
        UserError: most cells seem to have another one, and the setting has
            its default.
    """
    found = {
        text: cell
        for cell, text in texts.items()
        if isinstance(text, str) and text.strip()
    }
    if not found or any(delimiter in text for text in found):
        return
    for sign in OTHER_DELIMITERS:
        with_sign = [text for text in found if sign in text]
        parts = [part.strip() for text in found for part in text.split(sign)]
        # Parts that occur again are labels of their own.
        if 2 * len(with_sign) < len(found) or len({*parts}) == len(parts):
            continue
        other = {"\t": "\\t", " ": "' '"}.get(sign, sign)
        message = (
            f"{cells.place(found[with_sign[0]])}: label {with_sign[0]!r}, and "
            f"no cell has `label_delimiter`={delimiter} in it; is it "
            f"`label_delimiter`={other}"
        )
        if sign == " ":
            logging.warning("%s", message)
        elif delimiter == LABEL_DELIMITER:
            raise UserError(message)
        return


def vector_size(values: Collection[tuple[str, ...] | None]) -> int:
    """How long the vectors of 0 and 1 are; 0 if values are lists of labels.

    A list of labels does not name one of them twice, and a vector of three or
    more must repeat a number.
    """
    lists = [labels for labels in values if labels]
    vectors = [labels for labels in lists if label_notation.is_vector(labels)]
    if any(len({*vector}) < len(vector) for vector in vectors):
        return collections.Counter(map(len, vectors)).most_common(1)[0][0]
    return 2 if {*lists} == {("0", "1"), ("1", "0")} else 0


def number_hint(text: Any) -> str:
    """The end of an error, for a number that is written otherwise."""
    plain = text.strip().replace("\u2212", "-") if isinstance(text, str) else ""
    if re.fullmatch(r"[-+]?\d+,\d+", plain):
        return f": write {plain.replace(',', '.')}, with a decimal point"
    if re.fullmatch(r"[-+]?\d{1,3}([,. '\u2019]\d{3})+([.,]\d+)?", plain):
        return ": write it without signs between thousands"
    if re.fullmatch(r"[-+]?\d+([.,]\d+)? ?[%$€£¥]|[$€£¥] ?\d.*", plain):
        return ": write it without a unit"
    return ""


def shown(cell: Any) -> str:
    """A cell for a message, not too long."""
    text = repr(cell)
    if isinstance(cell, Marked):
        text = repr(dict(cell.items))
    elif isinstance(cell, tuple):
        text = repr([*cell])
    return text if len(text) <= 60 else text[:57] + "…"
