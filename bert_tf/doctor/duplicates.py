"""Texts that come again: within a set, and in the training set, too."""

import collections
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from bert_tf.counts import counted
from bert_tf.doctor import near_duplicates
from bert_tf.doctor.findings import Finding
from bert_tf.doctor.rows import RowSet

# Phrases and short messages come again by nature: in SST-2 every eighth row.
# From a quarter on, a file was probably joined twice.
MAX_COPIES = 0.25
# Where rows contradict each other, one label must be wrong. In published sets
# 0.1 to 0.5 per cent of the rows do.
MAX_CONTRADICTING = 0.01
# A dev set drawn from the same texts shares as many rows with the training set
# as that has copies of its own rows. More than twice this, and one per cent,
# is too much for chance.
USUAL_TIMES, MIN_OVERLAP = 2, 0.01
MIN_ROWS = 5  # Fewer common rows are not a finding.
# From here on scores are clearly too good, and it is worth a note in any case.
MUCH_OVERLAP = 0.05
NUM_NEAR = 2_000  # Rows of a set that are looked for among near duplicates.


def copies_of(rows: RowSet) -> list[int]:
    """The rows whose text stands in an earlier row."""
    seen: set[Any] = set()
    copies = []
    for row, key in enumerate(rows.keys):
        if key in seen:
            copies.append(row)
        seen.add(key)
    return copies


def share_repeated(rows: RowSet) -> float:
    """The share of rows whose text stands in another row, too."""
    counts = collections.Counter(rows.keys)
    again = sum(number for number in counts.values() if number > 1)
    return again / max(1, len(rows))


def contradictions(rows: RowSet) -> list[int]:
    """The rows whose text stands in another row with another label."""
    if rows.kind not in ("single_label", "choice"):
        return []
    labels: dict[Any, Any] = {}
    odd = set()
    for key, label in zip(rows.keys, rows.labels, strict=True):
        if label is not None and labels.setdefault(key, label) != label:
            odd.add(key)
    if not odd:
        return []
    return [row for row, key in enumerate(rows.keys) if key in odd]


def check_copies(rows: RowSet) -> list[Finding]:
    """Says so where many rows of a set are copies of others."""
    copies = copies_of(rows)
    if len(copies) < max(MIN_ROWS, MAX_COPIES * len(rows)):
        return []
    return [
        Finding(
            severity="warning",
            name="duplicates",
            subject=rows.set_type,
            what=f"{counted(len(copies), len(rows), rows.unit)} a text that "
            "stands in an earlier one",
            advice="they count twice in training and in scores; take them out",
            where=rows.places(copies),
        )
    ]


def check_contradictions(rows: RowSet) -> list[Finding]:
    """Says so where the same text has different labels."""
    odd = contradictions(rows)
    if len(odd) < max(2, MAX_CONTRADICTING * len(rows)):
        return []
    return [
        Finding(
            severity="warning",
            name="contradicting labels",
            subject=rows.set_type,
            what=f"{counted(len(odd), len(rows), rows.unit)} a text that "
            "comes again with another label",
            advice="one of the labels is wrong, or the text does not decide it",
            where=rows.places(odd),
        )
    ]


def common_rows(rows: RowSet, train: Collection[Any]) -> list[int]:
    """The rows whose text the training set has, too.

    Args:
        rows: a dev or test set.
        train: the keys of the training set.
    """
    return [row for row, key in enumerate(rows.keys) if key in train]


def is_too_much(common: float, repeated: float) -> bool:
    """Whether a share of common rows is too large to be chance.

    Args:
        common: the share of rows that the training set has, too.
        repeated: the share of its own rows that come again in it.
    """
    return common > USUAL_TIMES * repeated + MIN_OVERLAP


def check_overlap(rows: RowSet, train: RowSet) -> list[Finding]:
    """Compares a dev or test set with the training set."""
    if not len(rows):
        return []
    keys = {*train.keys}
    common = common_rows(rows, keys)
    share, repeated = len(common) / len(rows), share_repeated(train)
    is_leak = len(common) >= MIN_ROWS and is_too_much(share, repeated)
    if not is_leak and share < MUCH_OVERLAP:
        return []
    train_row = {key: row for row, key in enumerate(train.keys)}
    first = rows.keys[common[0]]
    advice = "its scores are too good; take these rows out of one of the sets"
    if not is_leak:
        advice = (
            f"{100 * repeated:.0f} % of the training rows come again in "
            "training, too, so this may be chance; scores are better than on "
            "new texts all the same"
        )
    return [
        Finding(
            severity="warning" if is_leak else "note",
            name="overlap",
            subject=rows.set_type,
            what=f"{counted(len(common), len(rows), rows.unit)} a text that "
            "is in the training set, too, apart from case, punctuation and "
            "blanks",
            advice=advice,
            where=[*rows.places(common, 1), train.place(train_row[first])],
        )
    ]


def check_near(rows: RowSet, train: RowSet) -> list[Finding]:
    """Finds rows that are nearly those of the training set.

    Exact copies do not count. What is usual is seen in training rows that are
    nearly other training rows.
    """
    some = rows.some(NUM_NEAR)
    index = near_duplicates.Index(_joined(train))
    keys = {*train.keys}
    pairs = [
        (row, other)
        for row, other in index.find(_joined(some))
        if some.keys[row] not in keys
    ]
    near = {row: other for row, other in pairs}
    share = len(near) / max(1, len(some))
    if len(near) < MIN_ROWS or share <= MIN_OVERLAP:
        return []
    usual = _usual_share(index, _joined(train))
    if not is_too_much(share, usual):
        return []
    found = [*near]
    return [
        Finding(
            severity="warning",
            name="near duplicates",
            subject=rows.set_type,
            what=f"{counted(len(near), len(some), rows.unit)} nearly the text "
            "of a training row (four fifths of their words in a row are the "
            "same)",
            advice="its scores are too good if these are versions of one text",
            where=[*some.places(found, 1), train.place(near[found[0]])],
        )
    ]


def _usual_share(index, joined):
    """The share of training rows that are nearly another training row."""
    number = min(NUM_NEAR, len(joined))
    rows = np.linspace(0, len(joined) - 1, number).astype(int)
    again = {
        row
        for row, other in index.find([joined[row] for row in rows], rows)
        if joined[rows[row]] != joined[other]
    }
    return len(again) / max(1, number)


def _joined(rows: RowSet) -> Sequence[str]:
    return [
        key if isinstance(key, str) else "\n".join(key) for key in rows.keys
    ]
