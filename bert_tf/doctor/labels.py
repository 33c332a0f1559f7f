"""Checks of labels: how many rows each has, and which a model cannot learn."""

import collections
from collections.abc import Sequence
from typing import Any

from bert_tf.counts import counted, number_of
from bert_tf.data.tabular.table import listed
from bert_tf.doctor.findings import Finding
from bert_tf.doctor.rows import RowSet

# From here on, the answer that is always the same looks like a good score.
MAX_SHARE = 0.9
MIN_EXAMPLES = 10  # A label with fewer training rows is hardly learned.
SMALL_TEST = 50  # Rows below which one answer is more than 2 points.


def counts_of(rows: RowSet) -> collections.Counter[Any]:
    """{label: its number of rows}, of several labels each; None left out."""
    if rows.kind == "single_label":
        counts = collections.Counter(rows.labels)
    else:
        counts = collections.Counter(
            label
            for several in rows.labels
            if isinstance(several, (tuple, list))
            for label in several
        )
    counts.pop(None, None)
    return counts


def check_balance(rows: RowSet) -> list[Finding]:
    """Says what the answer that is always the same would score."""
    counts = counts_of(rows)
    total = sum(counts.values())
    if rows.kind != "single_label" or total < 2:
        return []
    (label, most), *_ = counts.most_common(1)
    if most == total and rows.set_type != "train":
        return [_constant(rows, label, total)]
    if most <= MAX_SHARE * total:
        return []
    share = 100 * most / total
    return [
        Finding(
            severity="warning",
            name="label balance",
            subject=rows.set_type,
            what=f"{share:.1f} % of the {rows.unit}s have the label "
            f"{str(label)[:40]!r}: to answer always the same has an accuracy "
            f"of {share:.1f} %",
            advice="look at macro_f1 or at the scores of each label; "
            "`class_weights`=balanced makes rare labels count more",
        )
    ]


def _constant(rows, label, total):
    return Finding(
        severity="warning",
        name="constant label",
        subject=rows.set_type,
        what=f"all {total} {rows.unit}s have the label {str(label)[:40]!r}",
        advice="its scores say nothing about the other labels",
        where=rows.places([0]),
    )


def check_rare(rows: RowSet, labels: Sequence[str]) -> list[Finding]:
    """Finds labels that have hardly any training rows.

    Args:
        rows: the training set.
        labels: every label of the problem.
    """
    if rows.kind not in ("single_label", "multi_label") or len(labels) < 2:
        return []
    counts = counts_of(rows)
    rare = [name for name in labels if counts[name] < MIN_EXAMPLES]
    # In a small file all labels are rare, and its owner knows that.
    if not rare or len(rows) < MIN_EXAMPLES * len(labels):
        return []
    shown = [f"{name} ({counts[name]})" for name in rare]
    return [
        Finding(
            severity="warning",
            name="rare labels",
            subject=rows.set_type,
            what=f"{counted(len(rare), len(labels), 'label')} fewer than "
            f"{MIN_EXAMPLES} {rows.unit}s: {listed(shown)}",
            advice="they are hardly learned: find more, or join labels",
        )
    ]


def check_unknown(
    rows: RowSet, train_labels: Sequence[str], train_path: str
) -> list[Finding]:
    """Finds labels of a dev or test set that the training set does not have.

    Args:
        rows: the dev or test set.
        train_labels: the labels that are trained.
        train_path: of the training file.
    """
    known = {*train_labels}
    odd = [name for name in counts_of(rows) if name not in known]
    if not odd or rows.kind not in ("single_label", "multi_label", "tags"):
        return []
    first = [
        row
        for row, label in enumerate(rows.labels)
        if not known.issuperset(
            label if isinstance(label, (tuple, list)) else [label]
        )
        and label is not None
    ]
    return [
        Finding(
            severity="warning",
            name="unknown labels",
            subject=rows.set_type,
            what=f"{number_of(len(first), rows.unit)} with a label that "
            f"{train_path} does not have: {listed([*map(str, sorted(odd))])}",
            advice="the model cannot give these answers: they count as wrong",
            where=rows.places(first),
        )
    ]


def check_size(rows: RowSet) -> list[Finding]:
    """Says so where a dev or test set is too small for its scores."""
    if rows.set_type == "train" or len(rows) >= SMALL_TEST:
        return []
    return [
        Finding(
            severity="note",
            name="small set",
            subject=rows.set_type,
            what=f"{number_of(len(rows), rows.unit)}: one answer more or less "
            f"is {100 / max(1, len(rows)):.0f} points of its scores",
            advice="differences between runs may be chance",
        )
    ]
