r"""Says which labels of a file mean that there is no label.

    marks_among(["0", "1", "2", "-1"])        {"-1"}
    marks_among(["-1", "-2"])                 {}
    marks_among(["yes", "no", "?", "null"])   {"?", "null"}
    marks_among(["+", "-"])                   {}

Programs write some marks where a value is missing, and nobody names a class so
(`WRITTEN`). Others can be real labels (`SIGNS`, `WORDS`, `NUMBERS`): they are
marks beside labels of another kind. `in_doubt` finds those that as many rows
have as a real label would.
"""

import re
from collections.abc import Collection, Mapping

# Texts that programs write for a missing value: databases, Excel and the
# libraries of Python and R, whose list is the one of `pandas.read_csv`.
WRITTEN = (
    "",
    "null",
    "NULL",
    "Null",
    "NaN",
    "nan",
    "NAN",
    "NaT",
    "<NA>",
    "<null>",
    "(null)",
    "\\N",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "#VALUE!",
    "#REF!",
    "#NAME?",
    "#DIV/0!",
    "#NULL!",
    "#NUM!",
    "1.#IND",
    "1.#QNAN",
    "-1.#IND",
    "-1.#QNAN",
    "undefined",
)
# Words that mean "none", and that people also give to a class.
WORDS = ("None", "NA", "N/A", "n/a")
# Signs beside labels that are words or numbers.
SIGNS = ("-", "--", "---", "–", "—", "?", "??", "???")
# Numbers beside others that count from 0 or 1: -1 is Hugging Face's, -100
# PyTorch's.
NUMBERS = (-1, -100)
MARKS = (*WRITTEN, *WORDS, *SIGNS)

REAL_SHARE = 0.2  # A mark in so many rows may be a class of its own.

_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:\.0*)?")


def marks_among(
    labels: Collection[str],
    named: Collection[str] | None = None,
    known: Collection[str] | None = None,
) -> frozenset[str]:
    """The marks for "no label" among the labels of a file.

    Args:
        labels: every label of the file, once.
        named: the marks that a setting names, which then are the only ones;
            None for those that people use. A number also names its other
            spellings: -1 and -1.0 are the same.
        known: for a file to evaluate or to label, the labels of training; a
            mark among them is a label. None for a file to train on.

    Returns:
        Some of the labels, as they are spelt.
    """
    found = {*labels}
    if named is not None:
        numbers = {whole_number(mark) for mark in named} - {None}
        return frozenset(
            label
            for label in found
            if label in named or whole_number(label) in numbers
        )
    if known is not None:
        return _beside_known(found, {*known})
    others = {label for label in found if not _may_be_mark(label)}
    marks = {label for label in found if label in WRITTEN}
    if len(others) < 2:
        # Without the mark there would be nothing to tell apart.
        return frozenset(marks)
    marks |= {label for label in found if label in WORDS}
    if "NA" in marks and all(re.fullmatch("[A-Z]{2}", x) for x in others):
        marks.remove("NA")  # A code such as that of Namibia.
    if not any(map(_is_sign, others)):
        marks |= {label for label in found if label in SIGNS}
    if _count_from_0_or_1(others):
        marks |= {label for label in found if whole_number(label) in NUMBERS}
    return frozenset(marks)


def in_doubt(counts: Mapping[str, int], marks: Collection[str]) -> str | None:
    """A mark that may be a label: so many rows have it.

    It is one of `WORDS`, or -1 beside exactly 0 and 1, which is how sentiment
    is often coded, and at least `REAL_SHARE` of the rows has it.

    Args:
        counts: {label: how many rows of the training file have it}.
        marks: of `marks_among`.
    """
    total = sum(counts.values())
    numbers = {
        whole_number(label)
        for label in counts
        if label not in MARKS and whole_number(label) != -100
    }
    is_sentiment = numbers == {-1, 0, 1}
    for mark in sorted(marks):
        may_be_label = mark in WORDS
        may_be_label |= is_sentiment and whole_number(mark) == -1
        if may_be_label and counts[mark] >= REAL_SHARE * total:
            return mark
    return None


def taken_for_labels(
    labels: Collection[str], marks: Collection[str]
) -> list[str]:
    """Labels of a training file that others use as marks, beside other kinds.

    They are `WORDS`, or numbers of `NUMBERS` where other labels are not
    numbers: worth a word in the log, since they are kept.

    Args:
        labels: every label of the file, once.
        marks: of `marks_among`.
    """
    others = {label for label in labels if not _may_be_mark(label)}
    has_words = any(whole_number(label) is None for label in others)
    return sorted(
        label
        for label in {*labels}.difference(marks)
        if label in WORDS or (has_words and whole_number(label) in NUMBERS)
    )


def whole_number(label: str) -> int | None:
    """The whole number that a label is, as in "2" and "2.0", or None."""
    match = _WHOLE.fullmatch(label.strip())
    return int(match[1]) if match else None


def _beside_known(found, known):
    """The marks among labels, where those of training are known."""
    unknown = found - known
    below_0 = any((whole_number(label) or 0) < 0 for label in known)
    return frozenset(
        label
        for label in unknown
        if label in MARKS or (whole_number(label) in NUMBERS and not below_0)
    )


def _may_be_mark(label):
    return label in MARKS or whole_number(label) in NUMBERS


def _is_sign(label):
    return not any(map(str.isalnum, label))


def _count_from_0_or_1(labels):
    numbers = [whole_number(label) for label in labels]
    return None not in numbers and min(numbers) in (0, 1)
