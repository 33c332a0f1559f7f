"""Which of two scores, and which evaluation of a training, is better."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

# An evaluation: {"step": …, metric: …}.
Scores = TypeVar("Scores", bound=Mapping[str, float])


def is_better(value: float, other: float, metric: str) -> bool:
    """Whether a value of a metric is better than another one.

    Lower is better if the metric's name ends in "loss" or "error", higher if
    it does not.
    """
    is_lower_better = metric.endswith(("loss", "error"))
    return value < other if is_lower_better else value > other


def best_of(history: Sequence[Scores], metric: str) -> Scores | None:
    """The best of the evaluations that have the metric; the first of equals."""
    best = None
    for scores in history:
        if metric in scores and (
            best is None or is_better(scores[metric], best[metric], metric)
        ):
            best = scores
    return best
