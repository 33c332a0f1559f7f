"""Pictures of lines over an axis; and the marks at places of an axis."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf.report.canvas import (
    SERIES,
    SOFT,
    drawing,
    short_label,
    thinned,
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line in a picture.

    Attributes:
        name: what it shows, for the legend; "" for none.
        x, y: float [N]; a point that is not finite leaves a gap.
        style: "-", "--", ":" or "o", dots with a line.
        color: one of this module's; default: the next of `SERIES`.
    """

    name: str
    x: Any
    y: Any
    style: str = "-"
    color: str = ""


# Lines of the same picture differ in more than their colour: not everyone sees
# all colours, and paper has none.
_LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (9, 2)),
)


def _colored(curves: Sequence[Curve]) -> list[tuple[Curve, str]]:
    colors = itertools.cycle(SERIES)
    return [(curve, curve.color or next(colors)) for curve in curves]


def draw_curves(
    axes: Any, curves: Sequence[Curve], legend: str = "best"
) -> None:
    """Draws lines, thinned out, with a legend if more than one has a name.

    Args:
        axes: matplotlib's.
        curves: the lines.
        legend: where it is: "above" or "outside" the axes, or one of
            matplotlib's places.
    """
    styles = {"o": {"marker": "o", "markersize": 3.5}}
    plain = itertools.cycle(_LINES)
    for curve, color in _colored(curves):
        x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
        some = thinned(len(x))
        line = "-" if curve.style == "o" else curve.style
        line = next(plain) if line == "-" else line
        axes.plot(
            x[some],
            y[some],
            linestyle=line,
            color=color,
            linewidth=1.6,
            label=short_label(curve.name, 32) or "_",
            **styles.get(curve.style, {}),
        )
    if sum(bool(curve.name) for curve in curves) > 1:
        longest = max(len(curve.name) for curve in curves)
        if legend == "outside":
            axes.figure.legend(loc="outside right upper")
        elif legend == "above":
            number = 3 if longest < 14 else 2
            axes.figure.legend(loc="outside upper center", ncols=number)
        else:
            axes.legend(loc=legend)


def curves(
    title: str,
    description: str,
    several: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    is_log: bool = False,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, str]] = (),
    size: tuple[float, float] = (4.8, 3.0),
) -> str:
    """Lines over an axis.

    Args:
        title, description, size: see `drawing`.
        several: the lines.
        x_label, y_label: what the axes show, with the unit.
        is_log: whether the y axis is logarithmic.
        x_range, y_range: the ends of the axes; default: those of the data.
        marks: (x, text) of vertical lines, such as the best step.
    """
    with drawing(title, description, size=size) as picture:
        axes = picture.axes
        draw_curves(axes, several, "above")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if is_log:
            _use_log_scale(axes)
        if x_range:
            axes.set_xlim(*x_range)
        if y_range:
            axes.set_ylim(*y_range)
        for x, text in marks:
            mark_x(axes, x, text)
    return picture.svg


def _use_log_scale(axes):
    """A logarithmic y axis with plain numbers; few of them have labels."""
    from matplotlib import ticker

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    several = (1, 2, 5) if high < 300 * low else (1,)
    axes.yaxis.set_major_locator(ticker.LogLocator(10, several))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))


def mark_x(axes: Any, x: float, text: str) -> None:
    """Draws a dashed vertical line with a text above it."""
    axes.axvline(x, color=SOFT, linewidth=1, linestyle="--")
    low, high = axes.get_xlim()
    place = (x - low) / (high - low)
    side = "left" if place < 0.2 else "right" if place > 0.8 else "center"
    axes.annotate(
        short_label(text),
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=9,
        color=SOFT,
    )
