"""The no-answer threshold of SQuAD 2.0: the scores that each would give."""

from collections.abc import Sequence

import numpy as np

from bert_tf import metrics
from bert_tf.report import pictures
from bert_tf.report.blocks import Block, Paragraph, Picture
from bert_tf.report.page import Section
from bert_tf.report.pictures import Curve
from bert_tf.report.question_rows import (
    Row,
    has_unanswerable,
    is_scored,
    scores_of,
)

# Null odds beyond these percentiles make the curve hard to read.
CURVE_PERCENTILES = (0.5, 99.5)


def threshold_section(rows: Sequence[Row], chosen: float) -> Section:
    """Scores over the threshold, with the chosen and the best one.

    Args:
        rows: of SQuAD 2.0.
        chosen: the threshold of the run.
    """
    if not is_scored(rows) or not has_unanswerable(rows):
        return Section("No-answer threshold", [])
    x, exact, f1 = map(
        np.asarray,
        metrics.squad_threshold_curve(
            {row["id"]: row["gold"] for row in rows},
            {row["id"]: row["best_text"] for row in rows},
            {row["id"]: row["null_odds"] for row in rows},
        ),
    )
    place = int(f1.argmax())
    # Between the null odds of two questions, as `squad_usable_thresholds`.
    best, best_f1 = float(x[place : place + 2].mean()), float(f1[place])
    now = scores_of(rows)[1]
    alt = (
        f"F1 is {now:.1f} at the threshold {chosen:.3f} of this run, and "
        f"{best_f1:.1f} at the best one, {best:.3f}."
    )
    svg = _threshold_picture(alt, x, exact, f1, chosen=chosen, best=best)
    blocks: list[Block] = [
        Paragraph(
            "A question gets no answer if its null odds, the score of “no "
            "answer” minus that of the best answer, are larger than the "
            "threshold. " + alt
        ),
        Picture(svg, alt),
    ]
    if best_f1 > now + 0.05:
        blocks.append(
            Paragraph(
                f"null_score_diff_threshold={best:.4f} would raise F1 from "
                f"{now:.1f} to {best_f1:.1f} on these questions. It is chosen "
                "on them, so expect a little less on others."
            )
        )
    return Section("No-answer threshold", blocks)


def _threshold_picture(
    alt: str,
    x: np.ndarray,
    exact: np.ndarray,
    f1: np.ndarray,
    *,
    chosen: float,
    best: float,
) -> str:
    low, high = np.percentile(x, CURVE_PERCENTILES)
    low, high = min(low, chosen, best), max(high, chosen, best)
    some = (x >= low) & (x <= high)
    with pictures.drawing(
        "Scores over the no-answer threshold", alt, size=(6.4, 3.2)
    ) as picture:
        axes = picture.axes
        curves = [
            Curve(name, x[some], values[some])
            for name, values in (("exact", exact), ("F1", f1))
        ]
        pictures.draw_curves(axes, curves)
        # The texts stand beside the lines, away from each other.
        for value, text, is_left in (
            (chosen, f"this run: {chosen:.2f} ", chosen < best),
            (best, f" best F1: {best:.2f}", chosen >= best),
        ):
            axes.axvline(
                value, color=pictures.SOFT, linewidth=1, linestyle="--"
            )
            axes.annotate(
                f"{text.strip()} " if is_left else f" {text.strip()}",
                (value, 0.02),
                xycoords=("data", "axes fraction"),
                ha="right" if is_left else "left",
                fontsize=9,
                color=pictures.INK,
            )
        axes.set_xlabel("threshold of the null odds")
        axes.set_ylabel("per cent")
    return picture.svg
