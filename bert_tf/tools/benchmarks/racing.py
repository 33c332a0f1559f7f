"""Fair comparisons of speed: all contestants in turn, in one process.

A round lets each contestant work once; the figures are medians over rounds,
and a ratio is the median of the rounds' ratios, so that a machine which is
busy for a while does little harm.
"""

import time

import numpy as np


def race(contestants: dict, rounds: int) -> dict:
    """{name: seconds of each round}; a first round, not counted, warms up."""
    seconds = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def print_table(title: str, unit: str, amount: float, seconds: dict):
    """Amount of work per second, and how many times the last contestant's."""
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
