"""The quick part of the doctor, at the start of every run.

It takes less than half a second for 100,000 rows: of large sets it looks at
some rows, evenly spread.
"""

import dataclasses
from collections.abc import Collection, Sequence

from bert_tf.counts import number_of
from bert_tf.doctor import duplicates, texts
from bert_tf.doctor.findings import Finding
from bert_tf.doctor.rows import RowSet
from bert_tf.tokenization import FullTokenizer

NUM_TRAIN, NUM_OTHER = 20_000, 2_000  # Rows that are looked at.
NUM_TOKENIZED = 100  # Rows whose tokens are looked at.
MAX_CHARACTERS = 200  # A long text is cut in the middle.


def look(
    sets: Sequence[RowSet],
    tokenizer: FullTokenizer | None,
    said: Collection[str] = (),
) -> list[Finding]:
    """Looks at texts, duplicates, and at what sets have in common.

    Args:
        sets: the sets, the training set first.
        tokenizer: of the run.
        said: names of the checks of `plausibility` that have warned already.
    """
    findings = []
    train = next((rows for rows in sets if rows.set_type == "train"), None)
    small = None
    if train is not None:  # Rows that no other set is likely to have chosen.
        small = _shortened(train.some(NUM_TRAIN, seed=1))
    for rows in sets:
        if tokenizer is not None and len(rows):
            some, pieces = texts.tokenize(
                _shortened(rows.some(NUM_TOKENIZED)), tokenizer
            )
            findings += texts.check_unknown(some, pieces)
        if rows is train or small is None or "overlap" in said:
            continue
        findings += _overlap(_shortened(rows.some(NUM_OTHER)), small)
    if small is not None and "contradictions" not in said:
        findings += duplicates.check_contradictions(small)
    return [finding for finding in findings if finding.severity != "note"]


def _overlap(rows: RowSet, train: RowSet) -> list[Finding]:
    """Estimates what a set has in common with some rows of the training set.

    Where every third training row is looked at, a third of the common rows is
    found.
    """
    times = max(1.0, (train.number or len(train)) / max(1, len(train)))
    common = duplicates.common_rows(rows, {*train.keys})
    share = times * len(common) / max(1, len(rows))
    if len(common) < duplicates.MIN_ROWS:
        return []
    # So many copies of a row are found, too.
    repeated = min(1.0, times * duplicates.share_repeated(train))
    if not duplicates.is_too_much(share, repeated):
        return []
    about = "about " if times > 1 or rows.number > len(rows) else ""
    return [
        Finding(
            severity="warning",
            name="overlap",
            subject=rows.set_type,
            what=f"{about}{100 * min(1.0, share):.0f} % of the "
            f"{number_of(rows.number or len(rows), rows.unit)} are in the "
            "training set, too, apart from case, punctuation and blanks",
            advice="its scores are too good",
            where=rows.places(common, 1),
        )
    ]


def _shortened(rows: RowSet) -> RowSet:
    """The rows with the beginning and the end of long texts alone."""

    def shorten(column):
        half = MAX_CHARACTERS // 2
        return [
            text
            if len(text) <= MAX_CHARACTERS
            else f"{text[:half]} {text[-half:]}"
            for text in column
        ]

    return dataclasses.replace(
        rows,
        texts=shorten(rows.texts),
        pairs=shorten(rows.pairs) if rows.pairs is not None else None,
        number=rows.number or len(rows),
    )
