"""Rows of questions, see `programs.squad_report`: what a page asks of them."""

from collections.abc import Sequence

import numpy as np

from bert_tf.report.stored import Row


def is_scored(rows: Sequence[Row]) -> bool:
    """Whether the right answers of the questions are known."""
    return bool(rows) and "exact" in rows[0]


def has_unanswerable(rows: Sequence[Row]) -> bool:
    """Whether questions may have no answer, as in SQuAD 2.0."""
    return bool(rows) and rows[0].get("null_odds") is not None


def scores_of(rows: Sequence[Row]) -> tuple[float, float]:
    """(exact match, F1) of some questions, in per cent."""
    exact = 100.0 * float(np.mean([row["exact"] for row in rows]))
    return exact, 100.0 * float(np.mean([row["f1"] for row in rows]))
