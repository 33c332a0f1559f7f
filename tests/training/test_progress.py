"""Lines about long work, and how often they come."""

import pytest

from bert_tf import progress
from bert_tf.progress import Reporter, with_progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set: clock[0] is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog):
    caplog.set_level("DEBUG", logger="absl")
    return lambda: [record.getMessage() for record in caplog.records]


def values_every_12_seconds(clock, number):
    for value in range(number):
        yield value
        clock[0] += 12.0


def test_a_line_every_thirty_seconds(clock, lines):
    stream = values_every_12_seconds(clock, 8)
    assert list(with_progress(stream, 8)) == list(range(8))
    assert lines() == [
        "4 of 8 texts  0.1 texts/s  0:48 left",
        "7 of 8 texts  0.1 texts/s  0:12 left",
    ]


def test_a_first_value_that_waits_for_a_graph_spoils_no_forecast(clock, lines):
    def values():
        clock[0] += 600.0
        yield from values_every_12_seconds(clock, 4)

    list(with_progress(values(), 4, verb="Reading"))
    assert lines() == [
        "Reading: 1 of 4 texts",
        "Reading: 4 of 4 texts  0.1 texts/s  0:00 left",
    ]


def test_without_a_total_nothing_is_said_of_the_rest(clock, lines):
    list(with_progress(values_every_12_seconds(clock, 5), unit="rows"))
    assert lines() == ["4 rows  0.1 rows/s"]


def test_the_clock_starts_with_the_work(clock, lines):
    reporter = Reporter("texts")
    clock[0] += 1000.0
    reporter.log()  # Nothing has started.
    reporter.add(2)
    clock[0] += 4.0
    reporter.log()
    assert lines() == ["2 texts  0.5 texts/s"]
