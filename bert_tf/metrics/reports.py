"""Reports: precision, recall, F1 and support of each class, and their means.

A report is a dict that JSON can hold:

    labels         {label: scores}, scores as below
    macro_avg      means over the labels
    weighted_avg   means weighted by support
    micro_avg      over all decisions; where several labels, or none, hold
    accuracy       share of the examples that are right

where scores are precision, recall, f1 and support, the number of examples (or
entities) that have the label. What is undefined is 0. Means are over the
labels that are in the set, or are predicted.
"""

import numpy as np
from sklearn import metrics as sklearn_metrics

SCORES = ("precision", "recall", "f1", "support")


def classification_report(labels: list, label_ids, predictions) -> dict:
    """The report of one label for each example.

    Args:
        labels: names of the classes.
        label_ids, predictions: int [N].
    """
    report = _report(
        labels,
        label_ids,
        predictions,
        averages=("macro", "weighted"),
        all_labels=range(len(labels)),
    )
    right = np.asarray(label_ids) == np.asarray(predictions)
    return {**report, "accuracy": float(np.mean(right))}


def multi_label_report(labels: list, truth, predictions) -> dict:
    """The report of several labels for each example.

    Args:
        labels: names of the classes.
        truth, predictions: int [N, C], 1 where a label holds.
    """
    report = _report(
        labels, truth, predictions, averages=("micro", "macro", "weighted")
    )
    right = np.all(np.asarray(truth) == np.asarray(predictions), axis=-1)
    return {**report, "accuracy": float(np.mean(right))}


def entity_report(scores: dict) -> dict:
    """The report of `entities.entity_scores`."""
    support = sum(found["support"] for found in scores["types"].values())
    total = {name: scores[name] for name in ("precision", "recall", "f1")}
    return {
        "labels": scores["types"],
        "micro_avg": {**total, "support": support},
        "accuracy": scores["accuracy"],
    }


def _report(names, truth, predictions, averages, all_labels=None):
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
    report = {"labels": by_name}
    for average in averages:
        values = [*scores(average)[:3], support]
        report[f"{average}_avg"] = dict(
            zip(SCORES, _plain(values), strict=True)
        )
    return report


def _plain(row):
    *shares, support = row
    return [*map(float, shares), int(support)]


def format_report(report: dict) -> list:
    """The lines of a report as a person reads it."""
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
