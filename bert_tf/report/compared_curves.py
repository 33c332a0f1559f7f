"""The curves of several runs, laid over each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.report import common, pictures
from bert_tf.report.blocks import Block, Paragraph, Picture, Side, number
from bert_tf.report.page import Section
from bert_tf.report.pictures import Curve
from bert_tf.report.stored import StoredRun

NUM_CURVES = 16  # Runs whose curves are drawn.
LINES = ("-", "--", ":")  # For more runs than colours.


def section(runs: Sequence[StoredRun], names: Sequence[str]) -> Section:
    """The curves of all runs, laid over each other."""
    shown = list(zip(runs, names, strict=True))[:NUM_CURVES]
    blocks: list[Block] = []
    losses = [(name, run.steps) for run, name in shown if len(run.steps) > 1]
    blocks += _overlaid("Loss of training", losses, "loss", "loss")
    metric = _common_metric([run for run, _ in shown])
    dev = [
        (name, [e for e in run.evaluations if metric in e])
        for run, name in shown
    ]
    dev = [(name, rows) for name, rows in dev if rows]
    if metric:
        title = f"{common.metric_name(metric)} on the dev set"
        blocks += _overlaid(title, dev, metric, common.metric_name(metric))
    blocks += _overlaid(
        "Norm of the gradient", losses, "gradient_norm", "gradient norm", True
    )
    if len({str(run.flags.get("learning_rate")) for run in runs}) > 1:
        blocks += _overlaid(
            "Learning rate", losses, "learning_rate", "learning rate"
        )
    if blocks and len(runs) > NUM_CURVES:
        text = f"Curves are those of the first {NUM_CURVES} runs."
        return Section("Curves", [Side(blocks), Paragraph(text, "note")])
    return Section("Curves", [Side(blocks)] if blocks else [])


def _common_metric(runs: Sequence[StoredRun]) -> str:
    """The metric whose evaluations are drawn."""
    there = {m for run in runs for e in run.evaluations for m in e}
    wanted = dict.fromkeys([runs[0].metric, *common.HEADLINE, "eval_loss"])
    return next((m for m in wanted if m in there), "")


def _overlaid(
    title: str,
    several: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    key: str,
    y_label: str,
    is_log: bool = False,
) -> list[Block]:
    """A picture with a curve for each run; none if no run has values."""
    curves, last = [], []
    for place, (name, rows) in enumerate(several):
        values = common.column([*map(dict, rows)], key)
        if not np.isfinite(values).any():
            continue
        steps = common.column([*map(dict, rows)], "step")
        line = LINES[place // len(pictures.SERIES) % len(LINES)]
        curves.append(Curve(name, steps, values, line))
        end = values[np.isfinite(values)][-1]
        last.append(f"{name} {number(float(end))}")
    if not curves:
        return []
    text = f"{title}; at the end: {', '.join(last)}."
    is_positive = all(np.nanmin(curve.y) > 0 for curve in curves)
    svg = pictures.curves(
        title,
        text,
        curves,
        x_label="step",
        y_label=y_label,
        is_log=is_log and bool(is_positive),
    )
    return [Picture(svg, text, title + ".")]
