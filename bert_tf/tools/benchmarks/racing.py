"""Fair comparisons of speed: all contestants take turns in one process.

In a round each contestant works once. The figures are medians over the rounds,
and a ratio is the median of the rounds' ratios. So it does little harm if the
machine is busy for a while.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def race(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    pause: float = 0.0,
) -> dict[str, list[float]]:
    """Measures the contestants, after one round that is not measured.

    Args:
        contestants: {name: function() that does the work}.
        rounds: number of rounds.
        pause: seconds to wait before each turn.

    Returns:
        {name: seconds of each round}.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            time.sleep(pause)
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, other: str) -> float:
    """How many times as fast a contestant is as another.

    Args:
        seconds: what `race` returned.
        name: the contestant.
        other: the other one.

    Returns:
        The median of the rounds' ratios.
    """
    times = np.array(seconds[other]) / np.array(seconds[name])
    return float(np.median(times))


def print_cells(
    header: Sequence[str], rows: Sequence[Sequence[str]], num_left: int = 1
) -> None:
    """Prints a Markdown table whose numbers are aligned to the right.

    Args:
        header: the columns' names.
        rows: the cells of each row.
        num_left: the number of columns, from the left, that are texts.
    """
    kinds = ["---"] * num_left + ["--:"] * (len(header) - num_left)
    for cells in (header, kinds, *rows):
        print(f"| {' | '.join(cells)} |")


def print_table(
    title: str, unit: str, amount: float, seconds: dict[str, list[float]]
) -> None:
    """Prints the speed of each contestant, and its ratios to the others'.

    Args:
        title: what is measured, and where.
        unit: unit of the speed, such as "examples/s".
        amount: the work of a round, such as the number of examples.
        seconds: what `race` returned.
    """
    print(f"\n{title}\n")
    names = list(seconds)
    rows = [
        [
            name,
            f"{amount / np.median(seconds[name]):,.1f}",
            *(f"{ratio(seconds, name, other):.2f}" for other in names[1:]),
        ]
        for name in names
    ]
    header = ["", unit, *(f"times {name}" for name in names[1:])]
    print_cells(header, rows)
