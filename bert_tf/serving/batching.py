"""Rows of many requests in one batch: what makes a server fast.

A model takes little longer for eight short texts than for one. So a thread of
its own runs it, on all that has gathered while it ran the batch before.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from absl import logging


class QueueFull(Exception):
    """So many rows wait already that no more are taken."""


class Job:
    """The rows of one request; `future` gives their results in their order."""

    def __init__(self, num_rows: int):
        self.future = Future()
        self.arrival = time.monotonic()
        self.results = [None] * num_rows
        self.num_missing = num_rows

    @property
    def is_over(self) -> bool:
        """Answered, failed, or nobody waits for it any more."""
        return self.future.done()

    def put(self, index: int, result):
        self.results[index] = result
        self.num_missing -= 1
        if not self.num_missing and self.future.set_running_or_notify_cancel():
            self.future.set_result(self.results)

    def fail(self, error: Exception):
        if not self.is_over and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Row:
    """One text of a request, or what a signature takes instead."""

    def __init__(self, job, index, payload):
        self.job = job
        self.index = index
        self.payload = payload


class Batcher:
    """Runs the rows of all requests in batches of rows with one key.

    A batch starts as soon as the one before has ended. Only where that one
    served more requests than wait now is it put off, by `max_wait_seconds` at
    most after the oldest of them came: the senders of the others have just
    been answered, and are likely to come back. So a lone sender waits for
    nothing.

    Rows are taken by turns: a request's first `max_batch_size` rows have the
    turn of its arrival, and each further batch of it a later one. So a short
    request does not wait for all of a long one.

    Args:
        run: function(key, payloads) that returns {name: array [B, …]}.
        max_batch_size: rows in a batch, each counted as often as it weighs.
        max_wait_seconds: see above.
        max_queue: rows that may wait, each counted as often as it weighs; of
            one request there may be more while nothing else waits.
        weigh: function(key); a row that weighs more than a batch may hold is
            one alone.
        observe: function(number of rows), called for each batch.
    """

    def __init__(
        self,
        run: Callable,
        max_batch_size: int = 32,
        max_wait_seconds: float = 0.002,
        max_queue: int = 4096,
        weigh: Callable = lambda key: 1,
        observe: Callable = lambda num_rows: None,
    ):
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_wait_seconds = max_wait_seconds
        self._max_queue = max_queue
        self._weigh = weigh
        self._observe = observe
        self._changed = threading.Condition()
        self._waiting = {}  # {key: heap of (turn, number, Row)}
        self._jobs = {}  # {job: how many of its rows wait}
        self._weight = 0  # Of all rows that wait.
        self._numbers = itertools.count()
        self._turn = 0  # Batches so far.
        self._jobs_before = 0  # Requests in the batch before.
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Rows that no batch has taken yet."""
        with self._changed:
            return sum(self._jobs.values())

    def submit(self, rows: list) -> Future:
        """Takes the rows of a request.

        Args:
            rows: list of (key, payload); equal keys may share a batch.

        Returns:
            Future of a list: for each row the {name: array […]} of its own.

        Raises:
            QueueFull: nothing of it was taken.
        """
        job = Job(len(rows))
        with self._changed:
            if self._is_closed:
                raise RuntimeError("submitted to a batcher that is closed")
            weight = sum(self._weigh(key) for key, _ in rows)
            if self._weight and self._weight + weight > self._max_queue:
                raise QueueFull(f"{self._weight:,} sequences wait already")
            self._weight += weight
            self._jobs[job] = len(rows)
            for index, (key, payload) in enumerate(rows):
                turn = self._turn + index // self._max_batch_size
                entry = (turn, next(self._numbers), Row(job, index, payload))
                heapq.heappush(self._waiting.setdefault(key, []), entry)
            self._changed.notify()
        return job.future

    @property
    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def close(self):
        """Ends the thread, once all that was submitted is answered."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self):
        while batch := self._next_batch():
            key, rows = batch
            try:
                if rows:
                    self._observe(len(rows))
                    self._answer(key, rows)
            except Exception as error:  # The thread must go on.
                logging.exception("A batch failed")
                for row in rows:
                    row.job.fail(error)

    def _next_batch(self):
        """(key, rows); None at the end. Rows of cancelled jobs are left out,
        so there may be none."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if not self._waiting:
                return None
            self._gather()
            return self._take()

    def _gather(self):
        """Waits for senders that are likely to come back; see the class."""
        first = next(iter(self._jobs)).arrival
        while not self._is_closed and len(self._jobs) < self._jobs_before:
            left = first + self._max_wait_seconds - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                break

    def _take(self):
        key = min(self._waiting, key=lambda key: self._waiting[key][0][:2])
        heap, rows = self._waiting[key], []
        size = max(1, self._max_batch_size // self._weigh(key))
        while heap and len(rows) < size:
            row = heapq.heappop(heap)[-1]
            self._weight -= self._weigh(key)
            self._jobs[row.job] -= 1
            if not self._jobs[row.job]:
                del self._jobs[row.job]
            if not row.job.is_over:
                rows.append(row)
        if not heap:
            del self._waiting[key]
        self._turn += 1
        self._jobs_before = len({row.job for row in rows})
        return key, rows

    def _answer(self, key, rows):
        """Runs a batch; one that fails, each request by itself, so that what
        is wrong with one is not the others' error."""
        try:
            columns = self._run(key, [row.payload for row in rows])
            results = [
                {name: column[place] for name, column in columns.items()}
                for place in range(len(rows))
            ]
        except Exception as error:
            parts = {}
            for row in rows:
                parts.setdefault(row.job, []).append(row)
            if len(parts) > 1:
                logging.warning("A batch failed, it is taken apart: %s", error)
                for part in parts.values():
                    self._answer(key, part)
            else:
                rows[0].job.fail(error)
            return
        for row, result in zip(rows, results, strict=True):
            row.job.put(row.index, result)
