"""Scores of runs that differ in their seed alone: mean and spread."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from bert_tf.metrics.comparing import is_better
from bert_tf.report import common
from bert_tf.report.blocks import Block, Cell, Paragraph, Table, number
from bert_tf.report.page import Section
from bert_tf.report.stored import SETS, StoredRun

BEST = " ★"
SEED = "seed"


def main_metrics(runs: Sequence[StoredRun], name: str) -> list[str]:
    """The metrics of a set that a first table shows, the main one first."""
    there = {metric for run in runs for metric in run.scores(name)}
    wanted = dict.fromkeys([runs[0].metric, *common.HEADLINE, *sorted(there)])
    not_scores = ("global_step", "loss", "total", "HasAns_total", "NoAns_total")
    return [m for m in wanted if m in there and m not in not_scores]


def best_value(values: Sequence[float | None], metric: str) -> float | None:
    """The best of the values of a metric; None without any."""
    best = None
    for value in values:
        if value is None or value != value:
            continue
        if best is None or is_better(value, best, metric):
            best = value
    return best


def seed_groups(
    runs: Sequence[StoredRun], flags: Mapping[str, Sequence[str]]
) -> list[tuple[str, list[StoredRun]]]:
    """(setting, runs) of the runs that differ in nothing but the seed.

    Args:
        runs: all runs.
        flags: {flag: its value in each run} of the flags that differ.
    """
    odd = {n: v for n, v in flags.items() if n != SEED}
    groups: dict[tuple[str, ...], list[StoredRun]] = collections.defaultdict(
        list
    )
    for place, run in enumerate(runs):
        groups[tuple(values[place] for values in odd.values())].append(run)
    return [
        (
            ", ".join(f"{n}={v}" for n, v in zip(odd, key, strict=True))
            or "all runs",
            several,
        )
        for key, several in groups.items()
    ]


def mean_and_spread(values: Sequence[float]) -> str:
    """ "0.8412 ± 0.0031": the mean and the standard deviation of a sample."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return number(mean)
    return f"{number(mean)} ± {number(float(np.std(values, ddof=1)))}"


def section(
    runs: Sequence[StoredRun], flags: Mapping[str, Sequence[str]]
) -> Section:
    """The mean ± standard deviation of each score over the seeds.

    The section is empty unless some runs differ in their seed alone.

    Args:
        runs, flags: see `seed_groups`.
    """
    groups = seed_groups(runs, flags)
    if all(len(several) < 2 for _, several in groups):
        return Section("Over the seeds", [])
    blocks: list[Block] = []
    for name, title in SETS.items():
        metrics = main_metrics(runs, name)
        if not metrics:
            continue
        rows: list[list[Cell]] = []
        means: dict[str, list[float | None]] = {m: [] for m in metrics}
        for setting, several in groups:
            row: list[Cell] = [setting, len(several)]
            for metric in metrics:
                values = [
                    value
                    for run in several
                    if (value := run.scores(name).get(metric)) is not None
                ]
                row.append(mean_and_spread(values) if values else None)
                means[metric].append(float(np.mean(values)) if values else None)
            rows.append(row)
        _mark_best(rows, means)
        header = ["Setting", "Runs", *map(common.metric_name, metrics)]
        blocks.append(Table(header, rows, title))
    note = "Each score is the mean ± the standard deviation over the seeds."
    return Section("Over the seeds", [*blocks, Paragraph(note, "note")])


def _mark_best(
    rows: Sequence[list[Cell]], means: Mapping[str, Sequence[float | None]]
) -> None:
    """Marks the best mean of each metric in a table of settings."""
    if len(rows) < 2:
        return
    for column, (metric, values) in enumerate(means.items(), start=2):
        best = best_value(values, metric)
        for row, value in zip(rows, values, strict=True):
            if value is not None and value == best:
                row[column] = f"{row[column]}{BEST}"
