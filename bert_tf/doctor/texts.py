"""Checks of texts: what the tokenizer makes of them, and odd characters."""

import itertools
from collections.abc import Sequence

import numpy as np

from bert_tf.counts import counted
from bert_tf.data.plausible import texts as odd_texts
from bert_tf.doctor.findings import Finding
from bert_tf.doctor.rows import RowSet
from bert_tf.tokenization import FullTokenizer

NUM_TOKENIZED = 2_000  # Rows of a set that are tokenized, evenly spread.
# A few per cent are names, emojis and foreign words; more are another script
# or another casing than the vocabulary's.
MAX_UNKNOWN = 0.05
# A few long texts lose their ends in every data set: 99 % are the rule by which
# the length is chosen where nobody gives it.
MAX_TRUNCATED = 0.05
KEPT = 99  # Per cent of the texts that the suggested length keeps whole.
MULTIPLE = 8  # Lengths are rounded up to it.
MAX_EMPTY = 0.01
# 3 odd texts may be somebody's own signs; the share is that of `plausible`.
MIN_ODD, ODD_SHARE = 3, 0.02
ODD_TEXTS = (
    (
        "mojibake",
        odd_texts.is_mojibake,
        "characters such as Ã© or â€™: UTF-8 that was read in another encoding",
        "repair the file where it was written; the setting `encoding` says how "
        "it is read",
    ),
    (
        "lost characters",
        odd_texts.has_replacement,
        "the character U+FFFD",
        "letters were lost when the file was written: write it again in UTF-8",
    ),
    (
        "control characters",
        odd_texts.has_control,
        "control characters such as U+0096",
        "in a file in cp1252 these are dashes and quotes: give "
        "`encoding`=cp1252",
    ),
)


def tokenize(
    rows: RowSet, tokenizer: FullTokenizer, number: int = NUM_TOKENIZED
) -> tuple[RowSet, list[list[str]]]:
    """The tokens of some rows, evenly spread, of both texts.

    Returns:
        (these rows, a list of tokens for each).
    """
    some = rows.some(number)
    pairs = some.pairs or itertools.repeat("")
    pieces = [
        tokenizer.tokenize(text) + (tokenizer.tokenize(pair) if pair else [])
        for text, pair in zip(some.texts, pairs, strict=False)
    ]
    return some, pieces


def sequence_lengths(rows: RowSet, pieces: Sequence[list[str]]) -> np.ndarray:
    """The tokens of each sequence, special tokens included, int [N].

    Args:
        rows, pieces: of `tokenize`.
    """
    special = 2
    if rows.pairs is not None and rows.kind != "relations":
        special = 3
    return np.array([len(piece) + special for piece in pieces], np.int64)


def check_unknown(
    rows: RowSet, pieces: Sequence[list[str]], unk_token: str = "[UNK]"
) -> list[Finding]:
    """Says so where many tokens are [UNK].

    Args:
        rows, pieces: of `tokenize`.
        unk_token: the token for what the vocabulary does not have.
    """
    total = sum(map(len, pieces))
    unknown = [piece.count(unk_token) for piece in pieces]
    share = sum(unknown) / total if total else 0.0
    if share <= MAX_UNKNOWN:
        return []
    worst = np.argsort(-np.array(unknown), kind="stable")
    return [
        Finding(
            severity="warning",
            name="unknown words",
            subject=rows.set_type,
            what=f"{100 * share:.0f} % of the tokens are {unk_token}",
            advice="is it the vocabulary of this language, and its casing? "
            "`bert_tf.tools.build_vocab` adds words to a model",
            where=rows.places(map(int, worst)),
        )
    ]


def length_that_keeps(lengths: np.ndarray, longest: int) -> int:
    """The length that keeps `KEPT` per cent of the texts whole.

    Args:
        lengths: tokens of each sequence, special tokens included.
        longest: the longest sequence that the model reads.
    """
    needed = int(np.ceil(np.percentile(lengths, KEPT, method="higher")))
    return min(longest, -(-needed // MULTIPLE) * MULTIPLE)


def check_lengths(
    rows: RowSet,
    lengths: np.ndarray,
    capacity: int,
    longest: int,
    max_seq_length: int,
) -> list[Finding]:
    """Compares the lengths of sequences with what is read of them.

    Args:
        rows: the rows.
        lengths: int [N], their tokens, special tokens included.
        capacity: tokens of the longest sequence of which nothing is cut off.
        longest: the longest sequence that the model reads.
        max_seq_length: the setting.
    """
    if not len(lengths):
        return []
    cut = np.flatnonzero(lengths > capacity)
    best = length_that_keeps(lengths, longest)
    if len(cut) > MAX_TRUNCATED * len(lengths):
        advice = f"`max_seq_length`={best} keeps {KEPT} % of them"
        if np.percentile(lengths, KEPT) > longest:
            advice = (
                f"the model reads {longest} tokens at most; "
                "`long_documents`=windows or head_tail reads other parts, too"
            )
        return [
            Finding(
                severity="warning",
                name="truncated texts",
                subject=rows.set_type,
                what=f"{100 * len(cut) / len(lengths):.0f} % of the texts are "
                f"longer than {capacity} tokens, and lose their ends (the "
                f"longest has {lengths.max()})",
                advice=advice,
                where=rows.places(cut),
            )
        ]
    return []


def check_room(
    rows: RowSet, lengths: np.ndarray, max_seq_length: int, is_padded: bool
) -> list[Finding]:
    """Says so where sequences are padded far beyond what texts need.

    Args:
        rows: the rows.
        lengths: int [N], their tokens, special tokens included.
        max_seq_length: the setting.
        is_padded: whether each batch is padded to it.
    """
    if not is_padded or not len(lengths):
        return []
    best = length_that_keeps(lengths, max_seq_length)
    if max_seq_length < 2 * best:
        return []
    return [
        Finding(
            severity="note",
            name="padding",
            subject=rows.set_type,
            what=f"{KEPT} % of the texts have at most {best} tokens, and all "
            f"are padded to {max_seq_length}",
            advice=f"`max_seq_length`={best} is faster",
        )
    ]


def check_empty(rows: RowSet) -> list[Finding]:
    """Says so where texts are empty."""
    empty = [
        row
        for row, text in enumerate(rows.texts)
        if (not text or text.isspace()) and rows.is_empty(row)
    ]
    if not empty:
        return []
    share = len(empty) / len(rows)
    return [
        Finding(
            severity="warning" if share >= MAX_EMPTY else "note",
            name="empty texts",
            subject=rows.set_type,
            what=f"{counted(len(empty), len(rows), rows.unit)} no text",
            advice="the model learns and answers them from nothing; take "
            "them out",
            where=rows.places(empty),
        )
    ]


def check_odd(rows: RowSet) -> list[Finding]:
    """Finds texts that a wrong encoding has spoilt."""
    columns = [rows.texts, *([rows.pairs] if rows.pairs is not None else [])]
    strange = [
        row
        for row, several in enumerate(zip(*columns, strict=True))
        if not all(map(str.isascii, several))
    ]
    findings = []
    for name, test, what, advice in ODD_TEXTS:
        found = [
            row
            for row in strange
            if any(test(column[row]) for column in columns)
        ]
        if len(found) >= max(MIN_ODD, ODD_SHARE * len(rows)):
            findings.append(
                Finding(
                    severity="warning",
                    name=name,
                    subject=rows.set_type,
                    what=f"{counted(len(found), len(rows), rows.unit)} {what}",
                    advice=advice,
                    where=rows.places(found),
                )
            )
    return findings
