"""Checks of columns against each other: which of them hold the same."""

import itertools
from collections.abc import Hashable
from typing import Any

from bert_tf.counts import number_of
from bert_tf.data.plausible.sample import (
    MIN_ROWS,
    MOST,
    NUM_ROWS,
    Finding,
    Sample,
)

# Rows of which most differ end the search for columns that are the same.
NUM_TRIED = 20


def _same(column, other):
    """Rows in which two columns hold the same; none unless it is most."""
    return _most_rows(
        column,
        other,
        lambda text, one: text.strip().casefold() == one.casefold(),
    )


def _most_rows(column, labels, test):
    """Rows whose text and label pass a test; none unless they are most."""
    rows: list[int] = []
    for row, (text, label) in enumerate(zip(column, labels, strict=False)):
        if isinstance(label, str) and label and test(text, label):
            rows.append(row)
        elif row > NUM_TRIED + 2 * len(rows):
            return []
    number = min(len(column), len(labels))
    return rows if MIN_ROWS <= number and len(rows) >= MOST * number else []


def _single_labels(sample):
    """The labels of the first rows; of several labels the only one."""
    return [
        label[0] if isinstance(label, tuple) and len(label) == 1 else label
        for label in sample.labels[:NUM_ROWS]
    ]


def find_leak(sample: Sample) -> Finding | None:
    """Texts that are the label, or start with it."""
    if sample.kind == "tags" or not sample.labels:
        return None
    labels = _single_labels(sample)
    for name, column in sample.texts.items():
        rows = _same(column, labels)
        if rows:
            return Finding(
                rows[0],
                f"{sample.counted(len(rows), len(column))} the "
                f"{_noun(sample)} as the text in {name}",
                "is this the text?",
            )
        if sample.kind == "answers":  # A context may well start with one.
            continue
        rows = _most_rows(column, labels, _starts_with)
        if rows and len({*labels}) > 1:
            return Finding(
                rows[0],
                f"{sample.counted(len(rows), len(column))} a text that starts "
                f"with its label in {name}",
                "the model can read the label there",
            )
    return None


def _noun(sample):
    return "answer" if sample.kind == "answers" else "label"


def _starts_with(text, label):
    text = text.lstrip(" _\"'[(").removeprefix("label__")
    rest = text[len(label) :]
    return text.startswith(label) and not rest[:1].isalnum()


def find_id(sample: Sample) -> Finding | None:
    """Ids that are labels, or that most rows share."""
    ids = sample.ids
    if len(ids) < MIN_ROWS:
        return None
    rows = _same(ids, _single_labels(sample))
    if rows:
        return Finding(
            rows[0],
            f"{sample.counted(len(rows), len(ids))} the label as the id in "
            f"{sample.id_name}",
            "is this the id?",
        )
    number = len({*ids})
    if number > len(ids) / 2:
        return None
    return Finding(
        next(row for row, one in enumerate(ids) if ids.index(one) < row),
        f"{number_of(len(ids), sample.unit)} have "
        f"{number_of(number, 'different id')} in {sample.id_name}",
        "predictions with the same id cannot be told apart",
    )


def find_running_number(sample: Sample) -> Finding | None:
    """Numbers to learn that count the rows."""
    if sample.kind != "regression" or len(sample.labels) < 2 * MIN_ROWS:
        return None
    labels = sample.labels[:NUM_ROWS]
    if any(
        b is None or a is None or b - a != 1
        for a, b in zip(labels, labels[1:], strict=False)
    ):
        return None
    return Finding(
        0,
        f"the numbers in {sample.label_name} count up from row to row",
        "is it an id?",
    )


def find_contradictions(sample: Sample) -> Finding | None:
    """The same text with different labels in a training file."""
    if sample.set_type != "train" or sample.kind not in (
        "single_label",
        "choice",
    ):
        return None
    keys = [*itertools.islice(sample.keys(), NUM_ROWS)]
    # No list or set for each text: thousands of new objects would start a
    # garbage collection, which takes long after a large file.
    seen: dict[Hashable, Any] = {}
    odd = set()
    for key, label in zip(keys, sample.labels, strict=False):
        if seen.setdefault(key, label) != label:
            odd.add(key)
    if len(odd) < 2 or len(odd) < 0.01 * len(seen):
        return None
    rows = [row for row, key in enumerate(keys) if key in odd]
    return Finding(
        rows[0],
        f"{sample.counted(len(rows), len(keys))} a text that comes again with "
        f"another label ({number_of(len(odd), 'text')})",
        "one of the labels may be wrong",
    )


def find_same_pair(sample: Sample) -> Finding | None:
    """A second text that is the first again."""
    if len(sample.texts) < 2:
        return None
    first, second = [*sample.texts.values()][:2]
    rows = [r for r, text in enumerate(first) if text == second[r]]
    if len(first) < MIN_ROWS or len(rows) < MOST * len(first):
        return None
    return Finding(
        rows[0],
        f"{sample.counted(len(rows), len(first))} the same text in "
        f"{' and '.join(sample.texts)}",
        "are these the right columns?",
    )
