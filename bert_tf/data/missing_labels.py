"""Says which labels of a file mean that there is no label.

marks_among(["0", "1", "2", "-1"])    {"-1"}
marks_among(["-1", "-2"])             {}
"""

from collections.abc import Collection

# Signs that stand for "no label" beside labels that are words or numbers.
MARKS = ("-", "?", "null", "None", "NaN", "nan", "NULL", "N/A")


def marks_among(
    labels: Collection[str], named: Collection[str] | None = None
) -> frozenset[str]:
    """The marks for "no label" among the labels of a file.

    Args:
        labels: every label of the training file, once.
        named: the marks that a setting names, which then are the only ones;
            None for those that people use: `MARKS`, and -1 beside other whole
            numbers that count from 0 or 1.
    """
    if named is not None:
        return frozenset(labels) & frozenset(named)
    marks = {mark for mark in MARKS if mark in labels}
    others = {label for label in labels if label not in (*MARKS, "-1")}
    numbers = {int(other) for other in others if other.isdecimal()}
    counts = len(numbers) == len(others) and min(numbers, default=2) < 2
    if "-1" in labels and counts:
        marks.add("-1")
    return frozenset(marks)
