"""Batches the rows of many requests, which is what makes the server fast.

A model takes little longer for eight short texts than for one. So each model
has a thread that runs it on all rows that arrived during the batch before.
"""

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

import numpy as np
from absl import logging

from bert_tf import forks

# {output name: array [B, …]} of a batch, or {output name: array […]} of a row.
Columns = dict[str, np.ndarray]
# A row as `Batcher.submit` takes it; rows with equal keys may share a batch.
KeyedPayload = tuple[Hashable, object]


class QueueFull(Exception):
    """Too many rows are waiting: no more are accepted."""


class Job:
    """The rows of one request; `future` gives their results in their order."""

    def __init__(self, num_rows: int):
        self.future: Future[list[Columns]] = Future()
        self.arrival = time.monotonic()
        self.results: list[Columns] = [{} for _ in range(num_rows)]
        self.num_missing = num_rows

    @property
    def is_over(self) -> bool:
        """Whether it was answered, failed, or nobody waits for it any more."""
        return self.future.done()

    def put(self, index: int, result: Columns) -> None:
        """Sets the result of a row; the last one completes the job."""
        self.results[index] = result
        self.num_missing -= 1
        if not self.num_missing and self.future.set_running_or_notify_cancel():
            self.future.set_result(self.results)

    def fail(self, error: Exception) -> None:
        """Ends the job with an error, unless it is over."""
        if not self.is_over and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Row:
    """A text of a request, or whatever else a signature takes."""

    def __init__(self, job: Job, index: int, payload: object):
        self.job = job
        self.index = index
        self.payload = payload


class Batcher:
    """Runs the rows of all requests in batches; rows of a batch share a key.

    A batch starts as soon as the one before has ended. It waits only if that
    one served more requests than are waiting now: the other clients have just
    been answered and are likely to send again. It waits for them until
    `max_wait_seconds` after the oldest waiting request arrived. So a single
    client never waits.

    Rows take turns: a request's first `max_batch_size` rows have the turn of
    its arrival, and each further batch of them has a later turn. So a short
    request does not wait for all of a long one.

    Each row has a weight, which is 1 by default.

    Args:
        run: function(key, payloads) that returns {name: array [B, …]}.
        max_batch_size: total weight of the rows in a batch. A row that weighs
            more makes a batch by itself.
        max_wait_seconds: see above.
        max_queue: total weight of the rows that may wait. One request may
            exceed it while nothing else waits.
        weigh: function(key) that returns the weight of a row.
        observe: function(number of rows), called for each batch.
    """

    def __init__(
        self,
        run: Callable[[Any, list[Any]], Columns],
        *,
        max_batch_size: int = 32,
        max_wait_seconds: float = 0.002,
        max_queue: int = 4096,
        weigh: Callable[[Any], int] = lambda key: 1,
        observe: Callable[[int], object] = lambda num_rows: None,
    ):
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_wait_seconds = max_wait_seconds
        self._max_queue = max_queue
        self._weigh = weigh
        self._observe = observe
        self._changed = threading.Condition()
        # {key: heap of (turn, number, Row)}
        self._waiting: dict[Hashable, list[tuple[int, int, Row]]] = {}
        self._jobs: dict[Job, int] = {}  # {job: number of its waiting rows}
        self._weight = 0  # The total of all waiting rows.
        self._numbers = itertools.count()
        self._turn = 0  # Number of batches so far.
        self._jobs_before = 0  # Number of requests in the batch before.
        self._is_closed = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Number of rows that no batch has taken yet."""
        with self._changed:
            return sum(self._jobs.values())

    def submit(self, rows: list[KeyedPayload]) -> Future[list[Columns]]:
        """Accepts the rows of a request.

        Args:
            rows: (key, payload) for each; equal keys may share a batch.

        Returns:
            The future of a list, which holds each row's {name: array […]}.

        Raises:
            QueueFull: none of the rows was accepted.
            ForkedProcess: the batcher was made before the process forked.
        """
        forks.check_process(self._pid)  # Its thread is only there.
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
        """Whether its thread runs, so that rows are answered."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread after answering all submitted rows."""
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
            except Exception as error:  # The thread must keep running.
                logging.exception("A batch failed")
                for row in rows:
                    row.job.fail(error)

    def _next_batch(self):
        """Returns (key, rows), or None at the end. Rows of cancelled jobs are
        left out, so that `rows` may be empty."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if not self._waiting:
                return None
            self._gather()
            return self._take()

    def _gather(self):
        """Waits for clients that are likely to send again; see the class."""
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
        """Runs a batch. If it fails, runs each request by itself, so that the
        error of one request is not the others' error."""
        try:
            columns = self._run(key, [row.payload for row in rows])
            results = [
                {name: column[place] for name, column in columns.items()}
                for place in range(len(rows))
            ]
        except Exception as error:
            by_job: dict[Job, list[Row]] = {}
            for row in rows:
                by_job.setdefault(row.job, []).append(row)
            if len(by_job) > 1:
                logging.warning(
                    "A batch failed, its requests are run one by one: %s", error
                )
                for rows_of_job in by_job.values():
                    self._answer(key, rows_of_job)
            else:
                rows[0].job.fail(error)
            return
        for row, result in zip(rows, results, strict=True):
            row.job.put(row.index, result)
