"""Sums a trace of TensorFlow over operations: where the time of a step goes.

A trace has a line for each thread, with nested events. An event's own time is
its duration without those of the events inside it. The time of an event that
is not an operation of the graph, such as a loop inside it, belongs to the
operation around it.
"""

import collections
import glob
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bert_tf.tools.benchmarks.racing import print_cells

OPERATION = re.compile(r"(?<!:):(_?[A-Z]\w*)$")
# oneDNN's forms of TensorFlow's operations.
PREFIX = re.compile(r"^_Mkl(Native)?|^_")
EXECUTOR = "TensorFlow's executor"
COMPILED = "compiled by XLA"
WAITING = ("BlockUntilReady",)
# Names of the parts of XLA's programs, and of the functions that run them.
OF_XLA = re.compile(r"^[a-z][\w.-]*$|Thunk|CpuExecutable")
NUM_ROWS = 16
PICOSECONDS_PER_MS = 1e9


class Event(NamedTuple):
    """A stretch of time of a thread.

    Attributes:
        name: what it did.
        start, end: in picoseconds.
    """

    name: str
    start: int
    end: int


class Sum(NamedTuple):
    """The events of one kind.

    Attributes:
        milliseconds: their time, summed over all threads.
        calls: their number.
    """

    milliseconds: float
    calls: int


def read_trace(folder: str) -> list[list[Event]]:
    """The events of each thread that computes, of the trace in a folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    pattern = os.path.join(folder, "**", "*.xplane.pb")
    (path,) = glob.glob(pattern, recursive=True)
    space = xplane_pb2.XSpace()
    with open(path, "rb") as reader:
        space.ParseFromString(reader.read())
    threads = []
    for plane in space.planes:
        names = plane.event_metadata
        for line in plane.lines:
            # Python's thread waits while others compute.
            if line.name == "python" or line.name.startswith("tf_data"):
                continue
            threads.append(
                [
                    Event(
                        names[event.metadata_id].name,
                        event.offset_ps,
                        event.offset_ps + event.duration_ps,
                    )
                    for event in line.events
                ]
            )
    return threads


def kind_of(name: str, around: str | None) -> str | None:
    """The kind of an event: its operation's name, or what is around it.

    Args:
        name: the event's name, such as "dense_1/MatMul:_MklMatMul".
        around: the kind of the event around it, or None.

    Returns:
        The kind; None if the event only waits for others.
    """
    if operation := OPERATION.search(name):
        return PREFIX.sub("", operation[1])
    if name in WAITING:
        return None
    if name.startswith("ExecutorState"):
        return EXECUTOR
    if around in (None, EXECUTOR):
        return COMPILED if OF_XLA.search(name) else EXECUTOR
    return around


def own_times(
    events: Sequence[Event],
) -> Iterator[tuple[str | None, int, bool]]:
    """The kind and own time of each event of a thread.

    Args:
        events: of one thread, in any order.

    Yields:
        (kind, picoseconds, whether it is an operation itself); the kind is
        None where the thread waits.
    """
    # (event, kind, times of the events inside it), from the outermost.
    open_events: list[tuple[Event, str | None, list[int]]] = []

    def close():
        event, kind, inside = open_events.pop()
        duration = event.end - event.start
        if open_events:
            open_events[-1][2].append(duration)
        is_operation = bool(OPERATION.search(event.name))
        return kind, max(0, duration - sum(inside)), is_operation

    for event in sorted(events, key=lambda e: (e.start, -e.end)):
        while open_events and open_events[-1][0].end <= event.start:
            yield close()
        around = open_events[-1][1] if open_events else None
        open_events.append((event, kind_of(event.name, around), []))
    while open_events:
        yield close()


def sums_of(threads: Sequence[Sequence[Event]]) -> dict[str, Sum]:
    """{kind: the sum of its events over all threads}, the largest first."""
    times: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[str] = collections.Counter()
    for events in threads:
        for kind, time, is_operation in own_times(events):
            if kind is None:
                continue
            times[kind] += time
            calls[kind] += is_operation
    return {
        kind: Sum(time / PICOSECONDS_PER_MS, calls[kind])
        for kind, time in times.most_common()
    }


def print_sums(sums: dict[str, Sum], num_steps: int, seconds: float) -> None:
    """Prints the sums of a step as a table.

    Args:
        sums: of `num_steps` steps.
        num_steps: how many steps were traced.
        seconds: the time of one step that is not traced.
    """
    total = sum(each.milliseconds for each in sums.values())
    print(
        "\nWhere our step's time goes. Sums are over threads, so together "
        f"they may exceed the step's {seconds * 1000:.0f} ms.\n"
    )
    rows = list(sums.items())
    rest = [each for _, each in rows[NUM_ROWS:]]
    if rest:
        others = Sum(
            sum(each.milliseconds for each in rest),
            sum(each.calls for each in rest),
        )
        rows = [*rows[:NUM_ROWS], (f"{len(rest)} others", others)]
    print_cells(
        ["operation", "ms a step", "of the sum", "calls a step"],
        [
            [
                kind,
                f"{each.milliseconds / num_steps:.1f}",
                f"{each.milliseconds / total if total else 0.0:.1%}",
                f"{each.calls / num_steps:.0f}" if each.calls else "",
            ]
            for kind, each in rows
        ],
    )
