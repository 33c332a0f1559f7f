"""What people see of scores: a small table, with four digits.

    Dev set    723 examples  precision   recall       f1  support
               ham              0.9410   0.9735   0.9570      377
               spam             0.9700   0.9335   0.9514      346
               eval_accuracy 0.9544  eval_loss 0.1603  f1 0.9514

Of many labels the commonest have a row. The files of results have all.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

from bert_tf.counts import format_score, number_of
from bert_tf.metrics import reports
from bert_tf.programs import console

NUM_ROWS = 8  # At most so many labels have a row.
WIDTH = 66  # A line of scores, without the first column.
MIN_NAME, MAX_NAME = 12, 30  # Characters of a label.
# These are not useful as scores, or say the same twice.
NOT_SHOWN = ("global_step", "num_labels_predicted")


def show(
    key: str,
    report: Mapping[str, Any],
    scores: Mapping[str, Any],
    number: int,
    unit: str = "example",
) -> None:
    """Shows the scores of a set.

    Args:
        key: the name of the set, for the first column.
        report: see `metrics.reports`; the problem may have none, {}.
        scores: {name: number}.
        number: how many examples are scored.
        unit: what one of them is called.
    """
    size = number_of(number, unit)
    for line in [*_table(size, report), *_scores(scores)]:
        console.show(key, line)
        key = ""


def _table(size: str, report: Mapping[str, Any]) -> list[str]:
    rows = dict(report.get("labels", {}))
    if not rows:
        return [size]
    names = sorted(rows, key=lambda name: -rows[name]["support"])
    shown = {*names[:NUM_ROWS]}
    width = max([len(size), MIN_NAME, *map(len, shown)])
    width = min(width, max(MAX_NAME, len(size)))
    columns = "".join(f"{name:>11}" for name in reports.SCORES)
    lines = [f"{size:<{width}}{columns}"]
    for name, row in rows.items():  # In the order of the labels.
        if name in shown:
            cut = name if len(name) <= width else f"{name[: width - 1]}…"
            shares = "".join(f"{row[s]:11.4f}" for s in reports.SCORES[:3])
            lines.append(f"{cut:<{width}}{shares}{row['support']:11,}")
    if len(rows) > len(shown):
        others = number_of(len(rows) - len(shown), "more label")
        lines.append(f"… and {others}, see the report")
    return lines


def _scores(scores: Mapping[str, Any]) -> list[str]:
    """The lines with `name value`, as many as fit in each."""
    words = [
        f"{name}\u00a0{format_score(value)}"
        for name, value in sorted(scores.items())
        if name not in NOT_SHOWN
    ]
    lines = textwrap.wrap("  ".join(words), WIDTH, break_long_words=False)
    return [line.replace("\u00a0", " ") for line in lines]
