"""Shows how far long work is: a bar on a terminal, lines in a log elsewhere.

Reporter          counts work of any kind
DocumentReporter  counts documents and their characters
ByteReporter      counts bytes that arrive
with_progress     reports on what an iterable yields
working           reports that work without a count is not over
bars_on           shows bars on a terminal; programs ask for them

A line comes every 30 seconds. Where there is a bar, the lines are details.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, TypeVar

from absl import logging

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_BARS = 0.1
SECONDS_OF_A_CLOCK = 1.0  # How often the bar of `working` changes.
BAR_WIDTH, DEFAULT_WIDTH = 20, 100
ERASE = "\r\033[K"  # What a terminal understands: back, and clear the line.
T = TypeVar("T")


class _Terminal:
    """The terminal with bars, if there is one."""

    stream: TextIO | None = None
    # Of what writes lines to the stream: no line begins within a bar.
    lock: Any = contextlib.nullcontext()
    drawn_at: float | None = None  # None if the last line is not a bar.

    def draw(self, text: str, share: float | None) -> None:
        """Draws a bar in front of a text; a narrow terminal has the text."""
        if self.stream is None:
            return
        room = _width_of(self.stream) - 1
        width = min(BAR_WIDTH, room - len(text) - len("[] "))
        if share is not None and width >= BAR_WIDTH // 4:
            done = int(width * share)
            text = f"[{'=' * done}{'.' * (width - done)}] {text}"
        with self.lock:
            self.stream.write(f"\r{text[:room]}\033[K")
            self.stream.flush()
            self.drawn_at = time.monotonic()

    def is_due(self, seconds: float = SECONDS_BETWEEN_BARS) -> bool:
        """Whether a bar is not there, or was drawn some seconds ago."""
        if self.drawn_at is None:
            return True
        return time.monotonic() - self.drawn_at >= seconds


def _width_of(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or DEFAULT_WIDTH  # Some terminals do not say it.


_terminal = _Terminal()


@contextlib.contextmanager
def bars_on(stream: TextIO, lock: Any = None) -> Iterator[None]:
    """Shows bars on a terminal while it lasts; on no other stream.

    Args:
        stream: the terminal, perhaps.
        lock: a context manager; what writes lines to the stream holds it
            meanwhile. It may be entered again in the same thread.
    """
    before = _terminal.stream, _terminal.lock
    _terminal.stream = stream if stream.isatty() else None
    _terminal.lock = lock or contextlib.nullcontext()
    try:
        yield
    finally:
        erase_bar()
        _terminal.stream, _terminal.lock = before


def erase_bar() -> None:
    """Makes room for a line where a bar is; the bar comes again below it."""
    if _terminal.drawn_at is not None and _terminal.stream is not None:
        _terminal.stream.write(ERASE)
        _terminal.stream.flush()
    _terminal.drawn_at = None


def keep_bar() -> None:
    """Leaves a bar as it is; what follows is below it."""
    if _terminal.drawn_at is not None and _terminal.stream is not None:
        _terminal.stream.write("\n")
        _terminal.stream.flush()
    _terminal.drawn_at = None


def format_seconds(seconds: float) -> str:
    """3 725 s -> "1:02:05"; 65 s -> "1:05"."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"


class Reporter:
    """Counts work while it is done, and shows it now and then.

    Its clock starts with `start`, or else with the first `add`. A subclass
    that has more to say overrides `text`, and `share` for its bar.

    Args:
        unit: what is counted, in the plural.
        total: how much of it there will be; None if that is unknown.
        verb: what is done, such as "Reading"; "" says nothing of it.

    Attributes:
        done: how much of it is done.
        num_before: how much was done before the clock started.
    """

    def __init__(self, unit: str, total: int | None = None, verb: str = ""):
        self.unit = unit
        self.total = total
        self.verb = verb
        self.done = self.num_before = 0
        self.started_at: float | None = None
        self.last_line_at = 0.0

    def start(self) -> None:
        """Starts the clock."""
        self.started_at = self.last_line_at = time.monotonic()

    def add(self, number: int = 1) -> None:
        """Counts work that was done, and shows it if that is due."""
        if self.started_at is None:
            self.start()
        self.done += number
        self.show()

    def show(self) -> None:
        """Draws the bar, or logs a line, if the last one is long ago."""
        if _terminal.stream is not None and self.needs_bar():
            _terminal.draw(self.text(), self.share())
        if self.is_due():
            self.last_line_at = time.monotonic()
            log = logging.info if _terminal.stream is None else logging.debug
            log("%s", self.text())

    def needs_bar(self) -> bool:
        """Whether a bar is missing, or old."""
        return _terminal.is_due()

    def is_due(self) -> bool:
        """Whether the last line is long ago."""
        return time.monotonic() - self.last_line_at > SECONDS_BETWEEN_LINES

    def log(self) -> None:
        """Logs a line now, if anything has started."""
        if self.started_at is not None:
            self.last_line_at = time.monotonic()
            logging.info("%s", self.text())

    def seconds(self) -> float:
        """How long the work has taken so far; never 0."""
        return max(time.monotonic() - (self.started_at or 0.0), 1e-6)

    def rate(self) -> float:
        """How much is done in a second."""
        return (self.done - self.num_before) / self.seconds()

    def share(self) -> float | None:
        """The share of the work that is done; None if that is unknown."""
        return min(self.done / self.total, 1.0) if self.total else None

    def text(self) -> str:
        """The line: `Reading: 30 of 90 texts  10.0 texts/s  0:06 left`."""
        verb = f"{self.verb}: " if self.verb else ""
        rate = self.rate()
        total = "" if self.total is None else f" of {self.total:,}"
        text = f"{verb}{self.done:,}{total} {self.unit}"
        if not rate:
            return text
        text += f"  {rate:,.1f} {self.unit}/s"
        if self.total is None:
            return text
        return f"{text}  {format_seconds((self.total - self.done) / rate)} left"


def with_progress(
    stream: Iterable[T],
    total: int | None = None,
    unit: str = "texts",
    verb: str = "",
) -> Iterator[T]:
    """Yields what `stream` yields, and shows now and then how far it is.

    Args:
        stream: values of any kind.
        total: how many there will be; None if that is unknown.
        unit, verb: see `Reporter`.
    """
    reporter = Reporter(unit, total, verb)
    reporter.start()
    try:
        for value in stream:
            yield value
            if not reporter.done:
                # The first one may have waited for a graph: it says nothing
                # of the others.
                reporter.started_at = time.monotonic()
                reporter.num_before = 1
            reporter.add()
    finally:
        erase_bar()


class _Clock(Reporter):
    """Shows how long work has taken: `Exporting: 1:30`."""

    def needs_bar(self) -> bool:
        # What counts a part of the work has a bar that says more.
        return _terminal.is_due(SECONDS_OF_A_CLOCK)

    def text(self) -> str:
        return f"{self.verb}: {format_seconds(self.seconds())}"


@contextlib.contextmanager
def working(verb: str) -> Iterator[None]:
    """Shows now and then how long the block has taken so far.

    It is for work that cannot be counted, such as a call of another library.

    Args:
        verb: what is done, such as "Exporting".
    """
    clock = _Clock("", verb=verb)
    clock.start()
    is_over = threading.Event()

    def show() -> None:
        while not is_over.wait(SECONDS_OF_A_CLOCK):
            clock.show()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        erase_bar()


class DocumentReporter(Reporter):
    """Shows, now and then, how many documents are done, and how fast.

    Args:
        verb: what is done with documents, in the past tense.
    """

    def __init__(self, verb: str):
        super().__init__("documents", verb=verb)
        self.num_characters = 0
        self.share_done: float | None = None

    def add_documents(
        self,
        number: int = 1,
        num_characters: int = 0,
        share_done: float | None = None,
    ) -> None:
        """Counts documents.

        Args:
            number: how many.
            num_characters: in these documents, if that is counted.
            share_done: share of the whole work that is done, if it is known.
        """
        self.num_characters += num_characters
        self.share_done = share_done
        self.add(number)

    def share(self) -> float | None:
        return self.share_done

    def text(self) -> str:
        """The line: `Read 1,200 documents, 400/s, 2.10 MB/s`."""
        text = f"{self.verb} {self.done:,} {self.unit}, {self.rate():,.0f}/s"
        seconds = self.seconds()
        if self.num_characters:
            text += f", {self.num_characters / seconds / 1e6:.2f} MB/s"
        if self.share_done:
            left = format_seconds(seconds / self.share_done - seconds)
            text += f", {100 * self.share_done:.0f} %, {left} left"
        return text


class ByteReporter(Reporter):
    """Shows, now and then, how much of a file has arrived.

    Args:
        name: of the file.
        first: bytes that arrived before the clock starts.
        total: bytes of the whole file; None if that is unknown.
    """

    def __init__(self, name: str, first: int, total: int | None):
        super().__init__("bytes", total, name)
        self.done = self.first = first
        self.start()

    def so_far(self) -> str:
        """How much has arrived: `0.2 of 0.4 MB (50 %)`."""
        if not self.total:
            return f"{self.done / 1e6:.1f} MB"
        return (
            f"{self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB "
            f"({100 * self.done // self.total} %)"
        )

    def text(self) -> str:
        """The line: `NAME: 0.2 of 0.4 MB (50 %), 1.2 MB/s, 0:01 left`."""
        speed = (self.done - self.first) / self.seconds()
        text = f"{self.verb}: {self.so_far()}, {speed / 1e6:.1f} MB/s"
        if self.total:
            left = (self.total - self.done) / max(speed, 1.0)
            text += f", {format_seconds(left)} left"
        return text
