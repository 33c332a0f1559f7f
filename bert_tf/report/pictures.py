"""Pictures of all kinds; each function returns an SVG as a string.

`canvas` says what all of them have in common.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bert_tf.report.canvas import (
    BAD,
    GOOD,
    INK,
    LINE,
    PAPER,
    SERIES,
    SOFT,
    Drawing,
    drawing,
    is_available,
    preload,
    short_label,
    thinned,
)
from bert_tf.report.curve_pictures import Curve, curves, draw_curves, mark_x

__all__ = [
    "BAD",
    "GOOD",
    "INK",
    "LINE",
    "PAPER",
    "SERIES",
    "SOFT",
    "Curve",
    "Drawing",
    "bars",
    "curves",
    "draw_curves",
    "drawing",
    "histogram",
    "is_available",
    "mark_x",
    "matrix",
    "preload",
    "reliability_bars",
    "scatter",
    "short_label",
    "thinned",
]

OUTLINES = ("-", "--", ":")  # One for each set, also without colours.
MAX_DOTS = 1000  # In a scatter plot.

Floats = npt.ArrayLike


def bars(
    title: str,
    description: str,
    names: Sequence[str],
    groups: Sequence[tuple[str, Floats]],
    *,
    x_label: str,
    x_range: tuple[float, float] | None = (0.0, 1.0),
) -> str:
    """Horizontal bars: a group of bars for each name.

    Args:
        title, description: see `drawing`.
        names: of the rows, from the top.
        groups: (name, a value for each row).
        x_label: what the bars show.
        x_range: the ends of the axis; None for those of the data.
    """
    number, each = len(names), len(groups)
    height = 0.8 + number * (0.16 + 0.13 * each)
    with drawing(title, description, size=(4.8, height)) as picture:
        axes = picture.axes
        middle = np.arange(number, dtype=float)
        thick = 0.8 / max(each, 1)
        for index, (name, values) in enumerate(groups):
            offset = (index - (each - 1) / 2) * thick
            axes.barh(
                middle + offset,
                np.asarray(values, float),
                height=thick * 0.9,
                color=SERIES[index % len(SERIES)],
                label=name,
            )
        axes.set_yticks(middle, [short_label(name) for name in names])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(number - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.set_xlabel(x_label)
        if x_range:
            axes.set_xlim(*x_range)
        if each > 1:
            picture.figure.legend(loc="outside upper right", ncols=each)
    return picture.svg


def histogram(
    title: str,
    description: str,
    edges: Floats,
    groups: Sequence[tuple[str, Floats]],
    *,
    x_label: str,
    y_label: str = "examples",
    marks: Sequence[tuple[float, str]] = (),
    is_stacked: bool = False,
    colors: Sequence[str] = SERIES,
    size: tuple[float, float] = (4.8, 2.8),
) -> str:
    """Counts of bins.

    Args:
        title, description, size: see `drawing`.
        edges: float [B + 1], the ends of the bins.
        groups: (name, float [B]) of each set.
        x_label, y_label: what the axes show.
        marks: see `curves`.
        is_stacked: whether sets stand on each other; else they are outlines.
        colors: of the sets.
    """
    edges = np.asarray(edges, float)
    with drawing(title, description, size=size) as picture:
        axes = picture.axes
        below = np.zeros(len(edges) - 1)
        for (name, counts), color, line in zip(
            groups,
            itertools.cycle(colors),
            itertools.cycle(OUTLINES),
            strict=False,
        ):
            heights = below + np.asarray(counts, float)
            is_filled = is_stacked or len(groups) == 1
            axes.stairs(
                heights,
                edges,
                baseline=below if is_stacked else 0,
                fill=is_filled,
                color=color,
                linewidth=0 if is_filled else 1.6,
                linestyle="-" if is_filled else line,
                label=name,
            )
            if is_stacked:
                below = heights
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, None)
        for x, text in marks:
            mark_x(axes, x, text)
        if len(groups) > 1:
            axes.legend(loc="best")
    return picture.svg


def matrix(
    title: str,
    description: str,
    counts: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    x_label: str = "predicted",
    y_label: str = "true",
    max_numbers: int = 20,
) -> str:
    """A confusion matrix; the shade of a cell is its share of its row.

    Args:
        title, description: see `drawing`.
        counts: int [R, C].
        rows, columns: names.
        x_label, y_label: what the axes show.
        max_numbers: with more rows than this, cells show no numbers.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    number = max(counts.shape)
    has_numbers = number <= max_numbers
    longest = max(len(short_label(name, 20)) for name in (*rows, *columns))
    edge = 0.5 + 0.075 * longest
    # As wide as a page, if the labels can then be read.
    cell = min(max((10.2 - edge) / number, 0.105), 0.46 if has_numbers else 0.3)
    wide = max(counts.shape[1] * cell, 1.6) + edge + 0.3
    high = max(counts.shape[0] * cell, 1.6) + edge
    with drawing(title, description, size=(wide, high)) as picture:
        axes = picture.axes
        for row, column in zip(*np.nonzero(counts), strict=True):
            _matrix_cell(
                axes, row, column, counts, shares, has_numbers=has_numbers
            )
        font = 9 if has_numbers else 6.5
        axes.set_xticks(
            range(len(columns)),
            [short_label(name, 20) for name in columns],
            rotation=90 if longest > 4 or number > 12 else 0,
            fontsize=font,
        )
        axes.set_yticks(
            range(len(rows)),
            [short_label(name, 20) for name in rows],
            fontsize=font,
        )
        axes.tick_params(length=0, labelcolor=INK)
        axes.set_xlim(-0.5, counts.shape[1] - 0.5)
        axes.set_ylim(counts.shape[0] - 0.5, -0.5)
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(True)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
    return picture.svg


def _matrix_cell(axes, row, column, counts, shares, *, has_numbers):
    from matplotlib.patches import Rectangle

    is_right = row == column
    share = float(shares[row, column])
    axes.add_patch(
        Rectangle(
            (column - 0.5, row - 0.5),
            1,
            1,
            facecolor=SERIES[0] if is_right else SERIES[1],
            # A single mistake among thousands must be seen, too.
            alpha=0.08 + 0.92 * share,
            linewidth=0,
        )
    )
    if has_numbers:
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=9,
            color=PAPER if share > 0.55 else INK,
        )


def scatter(
    title: str,
    description: str,
    x: Floats,
    y: Floats,
    *,
    x_label: str,
    y_label: str,
    has_diagonal: bool = False,
    has_zero_line: bool = False,
    size: tuple[float, float] = (4.8, 4.0),
) -> str:
    """Dots; of very many, some.

    Args:
        title, description, size: see `drawing`.
        x, y: float [N].
        x_label, y_label: what the axes show.
        has_diagonal: whether the line y = x is drawn.
        has_zero_line: whether the line y = 0 is drawn.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    some = thinned(len(x), MAX_DOTS)
    with drawing(title, description, size=size) as picture:
        axes = picture.axes
        _draw_dots(axes, x[some], y[some])
        if has_diagonal:
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axes.plot(ends, ends, "--", color=SOFT, linewidth=1)
        if has_zero_line:
            axes.axhline(0, linestyle="--", color=SOFT, linewidth=1)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
    return picture.svg


def _draw_dots(axes, x, y):
    """Draws dots as one path, a fifth of the size of as many markers."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners = np.repeat(np.stack([x, y], axis=-1), 2, axis=0)
    path = Path(corners, [Path.MOVETO, Path.LINETO] * len(x))
    path.should_simplify = False
    axes.add_patch(
        PathPatch(
            path,
            fill=False,
            edgecolor=SERIES[0],
            alpha=0.6,
            linewidth=4,
            capstyle="round",
        )
    )
    axes.update_datalim(corners)
    axes.autoscale_view()


def reliability_bars(
    title: str,
    description: str,
    edges: Floats,
    shares_right: Floats,
    confidences: Floats,
    counts: Floats,
    y_label: str = "share that is right",
) -> str:
    """A reliability diagram: how often answers of each confidence are right.

    Args:
        title, description: see `drawing`.
        edges: float [B + 1], the ends of the bins of confidence.
        shares_right: float [B], the share of right answers in each bin.
        confidences: float [B], the mean confidence in each bin.
        counts: int [B], the examples in each bin: the more, the stronger is
            the colour; bins of 0 are not drawn.
        y_label: what the bars show.
    """
    edges = np.asarray(edges, float)
    counts = np.asarray(counts)
    is_there = counts > 0
    shares_right = np.asarray(shares_right, float)[is_there]
    confidences = np.asarray(confidences, float)[is_there]
    with drawing(title, description, size=(4.2, 3.8)) as picture:
        axes = picture.axes
        drawn = axes.bar(
            edges[:-1][is_there],
            shares_right,
            width=np.diff(edges)[is_there] * 0.94,
            align="edge",
            color=SERIES[0],
        )
        weights = np.sqrt(counts[is_there] / counts.max(initial=1))
        for bar, weight in zip(drawn, weights, strict=True):
            bar.set_alpha(0.15 + 0.5 * float(weight))
        axes.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1)
        axes.plot(
            confidences,
            shares_right,
            "o",
            color=INK,
            markersize=3.5,
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence")
        axes.set_ylabel(y_label)
    return picture.svg
