"""Scores of relations between two entities, as SemEval-2010 task 8 has them.

A label names a relation and its direction, as in `Cause-Effect(e1,e2)` and
`Cause-Effect(e2,e1)`, or is a relation without direction. `Other` means that
no relation of interest holds. For each relation X in either direction:

    P(X) = c / p        c: examples of X whose relation and direction are right
    R(X) = c / g        p: all examples that are predicted as X
    F1(X) = 2 P R / (P + R)                   g: all examples that are X

An example with the right relation and the wrong direction counts in p and in
g, and not in c. The score is the mean of F1(X) over the relations that occur
in the labels, `Other` excluded. A prediction of a relation that occurs in no
label counts as `Other`.

These are the rules of the task's scorer, semeval2010_task8_scorer-v1.2.pl by
Preslav Nakov, for its official score: "(9+1)-way evaluation with
directionality taken into account: macro-averaged F1". The task is described
in Hendrickx et al. 2010, https://aclanthology.org/S10-1006.
"""

import collections
import re
from collections.abc import Sequence
from typing import Any

OTHER = "Other"

_DIRECTION = re.compile(r"\(e[12],e[12]\)$")


def relation_of(label: str) -> str:
    """Returns the relation of a label, without its direction."""
    return _DIRECTION.sub("", label)


def relation_report(
    labels: Sequence[str], predictions: Sequence[str]
) -> dict[str, Any]:
    """Computes the scores of each relation, and their means.

    Args:
        labels: the label of each example.
        predictions: the predicted label of each example.

    Returns:
        A report as in `metrics.reports`: `labels`, the scores of each relation
        that occurs in `labels`, with `Other` where it occurs; `macro_avg`,
        the means over the relations except `Other`, whose `f1` is the official
        score; and `accuracy`, direction included. All are from 0 to 1, and 0
        where there is nothing to count.

    Raises:
        ValueError: there are not as many predictions as labels.
    """
    right: collections.Counter[str] = collections.Counter()
    predicted: collections.Counter[str] = collections.Counter()
    support: collections.Counter[str] = collections.Counter()
    for label, prediction in zip(labels, predictions, strict=True):
        support[relation_of(label)] += 1
        predicted[relation_of(prediction)] += 1
        right[relation_of(label)] += label == prediction
    by_relation = {
        name: _scores(right[name], predicted[name], support[name])
        for name in sorted(support, key=lambda name: (name == OTHER, name))
    }
    rows = [row for name, row in by_relation.items() if name != OTHER]
    means = {
        name: sum(row[name] for row in rows) / len(rows) if rows else 0.0
        for name in ("precision", "recall", "f1")
    }
    return {
        "labels": by_relation,
        "macro_avg": {**means, "support": sum(row["support"] for row in rows)},
        "accuracy": right.total() / len(labels) if labels else 0.0,
    }


def _scores(right: int, predicted: int, support: int) -> dict[str, Any]:
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / support,
        # The harmonic mean of the two.
        "f1": 2 * right / (predicted + support),
        "support": support,
    }
