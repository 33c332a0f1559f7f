"""Several processes that serve the same models on one port.

The process that starts them loads no model and no TensorFlow, so it may start
others at any time. Each worker listens on the same socket: a connection goes to
one that is free to accept it, and waits for another one if a worker dies.

A worker that dies is started again, because the others still answer and may
answer all requests until it is back; one that dies again and again is started
after longer and longer pauses. If a worker cannot start at all, as with a
damaged model, the server ends with that worker's error.
"""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import TYPE_CHECKING

from absl import logging

from bert_tf.errors import UserError
from bert_tf.serving.fleet import Board
from bert_tf.serving.listening import stop_listening

if TYPE_CHECKING:
    from bert_tf.serving.waiting import WaitingRoom

# Seconds until a worker is started again: the first number, doubled each time
# up to the second; the first again if the worker has lived that long.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Time that workers have to end, beyond the one for their requests.
SECONDS_TO_END = 5.0

# function(number of the worker, what it sends its message through): a process
# that was not started. The worker sends "" when it answers, or its error.
MakeProcess = Callable[[int, Connection], BaseProcess]


@dataclasses.dataclass
class _Worker:
    """A worker, and its process.

    Attributes:
        number: its number, from 0.
        process: its process.
        message: where its message arrives.
        start: when its process was started, in seconds of the monotonic clock.
        pause: seconds before it is started again when it dies.
        is_ready: whether it answers.
        error: why it cannot start, if it said so.
        due: when it is started again; None while its process runs.
    """

    number: int
    process: BaseProcess
    message: Connection
    start: float
    pause: float = FIRST_PAUSE
    is_ready: bool = False
    error: str = ""
    due: float | None = None

    @property
    def name(self) -> str:
        return f"worker {self.number + 1} (process {self.process.pid})"

    def read_message(self) -> None:
        """Sets `is_ready`, or `error`, if its message has arrived."""
        with contextlib.suppress(EOFError):  # It has died.
            if not self.is_ready and self.message.poll():
                self.error = self.message.recv()
                self.is_ready = not self.error

    @property
    def end(self) -> str:
        """How its process has ended, for a message."""
        code = self.process.exitcode or 0
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        if self.error:
            return f"could not start: {self.error}"
        return f"ended with status {code}"


class Workers:
    """Starts workers, starts those again that die, and ends them together.

    Args:
        board: what the workers know of each other.
        make_process: makes the process of a worker.
        listener: the socket on which they listen.
        grace_seconds: the longest time to shut down after a signal.
        waiting_room: makes what answers until the first worker does.
    """

    def __init__(
        self,
        board: Board,
        make_process: MakeProcess,
        listener: socket.socket,
        grace_seconds: float,
        waiting_room: Callable[[], "WaitingRoom"] | None = None,
    ):
        self._waiting_room = waiting_room
        self._board = board
        self._make_process = make_process
        self._listener = listener
        self._grace_seconds = grace_seconds
        self._workers: list[_Worker] = []
        self._num_signals = 0
        # A signal writes to it, so that waiting ends.
        self._woken, self._wake = os.pipe()

    def run(self, on_start: Callable[[], None]) -> int:
        """Serves until a signal comes.

        Args:
            on_start: function(), called when all workers answer.

        Returns:
            The status of the program: 0 if all accepted requests were
            answered.

        Raises:
            UserError: a worker cannot start.
        """
        try:
            for number in range(self._board.num_workers):
                self._workers.append(self._started(number))
            self._wait_for_starts()
            with self._signals_counted():
                on_start()
                while not self._num_signals:
                    self._wait(self._seconds_to_next_start())
                    for worker in self._workers:
                        self._look_after(worker)
                return self._end()
        finally:  # After an error, or a signal while they start.
            for worker in self._workers:
                worker.process.kill()

    # -----------------------------------------------------------------------
    # Starts.

    def _started(self, number: int) -> _Worker:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = self._make_process(number, sender)
        # Ctrl-C reaches all processes of a terminal. It stays blocked in the
        # worker, which this process tells to end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sender.close()  # The worker has its own.
        return _Worker(number, process, receiver, time.monotonic())

    def _wait_for_starts(self) -> None:
        """Waits until all workers answer.

        Raises:
            UserError: a worker cannot start.
        """
        with contextlib.ExitStack() as stack:
            if self._waiting_room:  # Made now, so that no start waits for it.
                stack.enter_context(self._waiting_room())
            while not all(worker.is_ready for worker in self._workers):
                self._wait(None)
                for worker in self._workers:
                    self._check_start(worker)
                if any(worker.is_ready for worker in self._workers):
                    stack.close()  # A worker answers for all.

    def _check_start(self, worker: _Worker) -> None:
        """Raises UserError if a worker cannot start."""
        is_alive = worker.process.is_alive()
        worker.read_message()
        if worker.error:
            raise UserError(worker.error)
        if not is_alive:
            raise UserError(f"{worker.name} {worker.end} while it started")

    def _look_after(self, worker: _Worker) -> None:
        """Starts a worker again if it has died, after a pause."""
        if worker.due is None:
            is_alive, was_ready = worker.process.is_alive(), worker.is_ready
            worker.read_message()
            if not is_alive:
                self._bury(worker)
            elif worker.is_ready and not was_ready:
                logging.info("%s answers", worker.name)
        elif worker.due <= time.monotonic():
            new = self._started(worker.number)
            new.pause = worker.pause
            self._workers[worker.number] = new

    def _bury(self, worker: _Worker) -> None:
        worker.message.close()
        self._board.forget(worker.number)
        if time.monotonic() - worker.start > LONGEST_PAUSE:
            worker.pause = FIRST_PAUSE
        logging.error(
            "%s %s; it is started again in %g s",
            worker.name,
            worker.end,
            worker.pause,
        )
        worker.due = time.monotonic() + worker.pause
        worker.pause = min(2 * worker.pause, LONGEST_PAUSE)

    # -----------------------------------------------------------------------
    # Waiting, signals, and the end.

    def _seconds_to_next_start(self) -> float | None:
        dues = [w.due for w in self._workers if w.due is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _wait(self, seconds: float | None) -> None:
        """Waits for a message, the end of a process, or a signal."""
        wanted: list[Connection | int] = []
        for worker in self._workers:
            if worker.due is None:
                wanted.append(worker.process.sentinel)
                if not worker.is_ready:
                    wanted.append(worker.message)
        self._wait_for(wanted, seconds)

    def _wait_for(
        self, wanted: Sequence[Connection | int], seconds: float | None
    ) -> None:
        every = [self._woken, *wanted]
        if self._woken in multiprocessing.connection.wait(every, seconds):
            os.read(self._woken, 1)

    @contextlib.contextmanager
    def _signals_counted(self) -> Iterator[None]:
        """Counts SIGINT and SIGTERM while the block runs."""

        def count(number: int, frame: FrameType | None) -> None:
            self._num_signals += 1
            os.write(self._wake, b".")

        handled = (signal.SIGINT, signal.SIGTERM)
        before = {s: signal.signal(s, count) for s in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self) -> int:
        """Asks the workers to end, and returns the program's status.

        A second signal ends them at once.
        """
        stop_listening(self._listener)
        self._listener.close()  # When the workers close it, nobody can connect.
        running = [worker for worker in self._workers if worker.due is None]
        for worker in running:
            if worker.process.is_alive():
                worker.process.terminate()
        last = time.monotonic() + self._grace_seconds + SECONDS_TO_END
        while self._num_signals < 2 and time.monotonic() < last:
            alive = [w for w in running if w.process.is_alive()]
            if not alive:
                break
            sentinels = [worker.process.sentinel for worker in alive]
            self._wait_for(sentinels, last - time.monotonic())
        for worker in running:
            worker.process.kill()
            worker.process.join()
        # One that did not answer yet had nothing to do before it ended.
        codes = [w.process.exitcode for w in running if w.is_ready]
        return 1 if any(codes) else 0
