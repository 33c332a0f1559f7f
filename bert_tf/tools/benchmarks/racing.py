"""Fair comparisons of speed: all contestants take turns in one process.

In a round each contestant works once. The figures are medians over the rounds,
and a ratio is the median of the rounds' ratios. So it does little harm if the
machine is busy for a while.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np


def race(
    contestants: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Measures the contestants, after one round that is not measured.

    Args:
        contestants: {name: function() that does the work}.
        rounds: number of rounds.

    Returns:
        {name: seconds of each round}.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


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
    header = "".join(f" | times {name}" for name in names[1:])
    print(f"| | {unit}{header} |")
    print("|---" * (1 + len(names)) + "|")
    for name in names:
        ratios = [
            np.median(np.array(seconds[other]) / np.array(seconds[name]))
            for other in names[1:]
        ]
        cells = [f"{ratio:.2f}" for ratio in ratios]
        speed = amount / np.median(seconds[name])
        print(f"| {' | '.join([name, f'{speed:,.1f}', *cells])} |")
