"""Ends a program that somebody stops, by Ctrl-C or SIGTERM."""

import contextlib
import signal
import types
from collections.abc import Iterator

# A block that is left for the signal has this time to clean up, in seconds.
SECONDS_TO_END = 5.0


class Stopped(KeyboardInterrupt):
    """Somebody stopped the program.

    Args:
        number: the signal that came.
    """

    def __init__(self, number: int = signal.SIGINT):
        super().__init__()
        self.number = number

    @property
    def message(self) -> str:
        """The line that the program prints at its end."""
        if self.number == signal.SIGINT:
            return "interrupted"
        return f"stopped by {signal.Signals(self.number).name}"

    @property
    def exit_status(self) -> int:
        """The status with which the program ends, as shells have it."""
        return 128 + self.number


class StopSignals:
    """Raises `Stopped` in the main thread when a signal comes.

    An exception may be lost where a library calls Python back. So it is raised
    again if the program has not ended `SECONDS_TO_END` later.
    """

    def __init__(self) -> None:
        self._received: int | None = None

    def install(self) -> None:
        """Handles SIGINT and SIGTERM from now on.

        A signal that is ignored, as SIGINT by a job in the background, stays
        so.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._stop_again)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Raises `Stopped` at the end of a block in which a signal came.

        Its exception may have been lost, or made another one.
        """
        try:
            yield
        except BaseException:
            if self._received is None:
                raise
        if self._received is not None:
            raise Stopped(self._received)

    def end(self) -> None:
        """Lets the next signal end the process at once, without a word."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)

    def _stop(self, number: int, frame: types.FrameType | None) -> None:
        self._received = number
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_END)
        raise Stopped(number)

    def _stop_again(self, number: int, frame: types.FrameType | None) -> None:
        if self._received is not None:
            self._stop(self._received, frame)
