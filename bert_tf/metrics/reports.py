"""Reports: precision, recall, F1 and support of each class, and their means.

A report is a dict that JSON can hold:

    labels         {label: scores}, scores as below
    macro_avg      means over the labels
    weighted_avg   means weighted by support
    micro_avg      over all decisions; where several labels, or none, hold
    accuracy       share of the examples that are right
    thresholds     {label: threshold}, where they are tuned, and
    at_0.5         the report of the same model at thresholds of 0.5

where scores are precision, recall, f1 and support, the number of examples (or
entities) that have the label. Undefined scores are 0. Means are over the labels
that occur in the set or among the predictions.

scikit-learn's `classification_report(output_dict=True)` does not fit: its means
are over all labels, and as it puts labels and means in one dict, a label named
"accuracy" would be lost.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sklearn_metrics

AT_DEFAULT = "at_0.5"
SCORES = ("precision", "recall", "f1", "support")

Ints: TypeAlias = npt.NDArray[np.integer]
Report: TypeAlias = dict[str, Any]


def classification_report(
    labels: Sequence[str], label_ids: Ints, predictions: Ints
) -> Report:
    """The report for examples with one label each.

    Args:
        labels: names of the classes.
        label_ids, predictions: int [N], the right and the predicted classes.

    Returns:
        `labels`, `macro_avg`, `weighted_avg` and `accuracy`.
    """
    report = _report(
        labels,
        label_ids,
        predictions,
        averages=("macro", "weighted"),
        all_labels=range(len(labels)),
    )
    is_right = np.asarray(label_ids) == np.asarray(predictions)
    return {**report, "accuracy": float(np.mean(is_right))}


def multi_label_report(
    labels: Sequence[str], truth: Ints, predictions: Ints
) -> Report:
    """The report for examples with several labels or none.

    Args:
        labels: names of the classes.
        truth, predictions: int [N, C], 1 where a label holds.

    Returns:
        `labels`, `micro_avg`, `macro_avg`, `weighted_avg` and `accuracy`, the
        share of the examples whose labels are all right.
    """
    report = _report(
        labels, truth, predictions, averages=("micro", "macro", "weighted")
    )
    is_right = np.all(np.asarray(truth) == np.asarray(predictions), axis=-1)
    return {**report, "accuracy": float(np.mean(is_right))}


def entity_report(scores: dict[str, Any]) -> Report:
    """The report for named entities, from the result of `entity_scores`.

    Returns:
        `labels` with the types, `micro_avg` and `accuracy`, the share of the
        words whose tag is right.
    """
    support = sum(row["support"] for row in scores["types"].values())
    total = {name: scores[name] for name in ("precision", "recall", "f1")}
    return {
        "labels": scores["types"],
        "micro_avg": {**total, "support": support},
        "accuracy": scores["accuracy"],
    }


def _report(
    names: Sequence[str],
    truth: Ints,
    predictions: Ints,
    *,
    averages: Sequence[str],
    all_labels: Iterable[int] | None = None,
) -> Report:
    def scores(average, labels=None):
        return sklearn_metrics.precision_recall_fscore_support(
            truth, predictions, average=average, labels=labels, zero_division=0
        )

    rows = zip(*scores(None, all_labels), strict=True)
    by_name = {
        name: dict(zip(SCORES, _plain(row), strict=True))
        for name, row in zip(names, rows, strict=True)
    }
    support = sum(row["support"] for row in by_name.values())
    report: Report = {"labels": by_name}
    for average in averages:
        values = [*scores(average)[:3], support]
        report[f"{average}_avg"] = dict(
            zip(SCORES, _plain(values), strict=True)
        )
    return report


def _plain(row: Iterable[Any]) -> list[float | int]:
    *shares, support = row
    return [*map(float, shares), int(support)]


def format_report(report: Report) -> list[str]:
    """The lines of a report for people: a table, then single numbers.

    With tuned thresholds, the same at 0.5 follows.
    """
    lines = _table(report)
    if AT_DEFAULT in report:
        lines += ["With thresholds of 0.5 instead of the tuned ones:"]
        lines += _table(report[AT_DEFAULT])
    return lines


def _table(report: Report) -> list[str]:
    rows = dict(report.get("labels", {}))
    means = {
        name.replace("_", " "): row
        for name, row in report.items()
        if name.endswith("_avg")
    }
    width = max(map(len, [*rows, *means, ""]))
    lines = []
    if means:
        lines.append(" " * width + "".join(f"{s:>11}" for s in SCORES))
    for name, row in [*rows.items(), *means.items()]:
        shares = "".join(f"{row[score]:11.4f}" for score in SCORES[:3])
        lines.append(f"{name:<{width}}{shares}{row['support']:11}")
    numbers = [
        f"{name} = {value:.4f}"
        for name, value in report.items()
        if isinstance(value, float)
    ]
    return lines + numbers
