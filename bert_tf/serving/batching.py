"""Batches the rows of many requests, which is what makes the server fast.

A model takes little longer for eight short texts than for one. So each model
has a thread that runs it on all rows that arrived during the batch before.
"""

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from absl import logging

from bert_tf import forks

# {output name: array [B, …]} of a batch, or {output name: array […]} of a row.
Columns = dict[str, np.ndarray]
# A row as `Batcher.submit` takes it.
KeyedPayload = tuple[Hashable, Any]
Prepare = Callable[[list[Any], int], Sequence[KeyedPayload]]
# The key of a row that is still as a client sent it.
UNPREPARED = None


class QueueFull(Exception):
    """Too many rows are waiting: no more are accepted."""


class Job:
    """The rows of one request; `future` gives their results in their order."""

    def __init__(self, rows: Sequence[KeyedPayload]):
        self.future: Future[list[Columns]] = Future()
        self.arrival = time.monotonic()
        self.turn = 0  # The turn of its first rows, see `Batcher`.
        self.rows = [Row(self, *entry) for entry in enumerate(rows)]
        self.results: list[Columns] = [{} for _ in rows]
        self.num_missing = len(rows)

    @property
    def is_over(self) -> bool:
        """Whether it was answered, failed, or nobody waits for it any more."""
        return self.future.done()

    @property
    def weight(self) -> int:
        """The number of sequences of its rows."""
        return sum(row.weight for row in self.rows)

    @property
    def unprepared(self) -> list["Row"]:
        """The rows that are still as the client sent them."""
        return [row for row in self.rows if row.key is UNPREPARED]

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

    def __init__(self, job: Job, index: int, row: KeyedPayload):
        self.job = job
        self.index = index
        self.key, self.payload = row
        self.weight = 1
        self.tokens = 0


class Batcher:
    """Runs the rows of all requests in batches; rows of a batch share a group.

    A batch starts as soon as the one before has ended. It waits only if that
    one served more requests than are waiting now: the other clients have just
    been answered and are likely to send again. It waits for them until
    `max_wait_seconds` after the oldest waiting request arrived. So a single
    client never waits.

    Rows that are still as the clients sent them are prepared before the next
    batch, those of all requests together: a tokenizer takes little longer for
    many texts than for one.

    Rows take turns: a request's rows that fill one batch have the turn of its
    arrival, and each further batch of them has a later turn. So a short
    request does not wait for all of a long one.

    Args:
        run: function(key, payloads) that returns {name: array [B, …]}, with
            the key of the first row.
        prepare: function(items, first) that returns (key, payload) for each
            unprepared item; `first` is the place of the first one in its
            request, for errors.
        max_batch_size: total weight of the rows in a batch. A row that weighs
            more makes a batch by itself.
        max_batch_tokens: total tokens of the rows in a batch, in the same way;
            None for any number.
        max_wait_seconds: see above.
        max_queue: total weight of the rows that may wait. One request may
            exceed it while nothing else waits.
        weigh: function(key) that returns the weight of a row. An unprepared
            one weighs 1.
        count_tokens: function(key) that returns the tokens of a row.
        group: function(key) that returns what the rows of a batch have in
            common.
        more_of: function(payload) that returns what the results of a row have
            beside its columns.
        observe: function(number of rows), called for each batch.
    """

    def __init__(
        self,
        run: Callable[[Any, list[Any]], Columns],
        *,
        prepare: Prepare | None = None,
        max_batch_size: int = 32,
        max_batch_tokens: int | None = None,
        max_wait_seconds: float = 0.002,
        max_queue: int = 4096,
        weigh: Callable[[Any], int] = lambda key: 1,
        count_tokens: Callable[[Any], int] = lambda key: 0,
        group: Callable[[Any], Hashable] = lambda key: key,
        more_of: Callable[[Any], Mapping[str, Any]] = lambda payload: {},
        observe: Callable[[int], object] = lambda num_rows: None,
    ):
        self._run = run
        self._prepare = prepare
        self._max_batch_size = max_batch_size
        self._max_batch_tokens = max_batch_tokens
        self._max_wait_seconds = max_wait_seconds
        self._max_queue = max_queue
        self._weigh = weigh
        self._count_tokens = count_tokens
        self._group = group
        self._more_of = more_of
        self._observe = observe
        self._changed = threading.Condition()
        # {group: heap of (turn, number, Row)}
        self._waiting: dict[Hashable, list[tuple[int, int, Row]]] = {}
        self._unprepared: list[Job] = []
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

    def submit(self, rows: Sequence[KeyedPayload]) -> Future[list[Columns]]:
        """Accepts the rows of a request.

        Args:
            rows: (key, payload) for each, or (UNPREPARED, item).

        Returns:
            The future of a list, which holds each row's {name: array […]}. It
            fails with what `prepare` or `run` raised, and with `QueueFull` if
            prepared rows weigh too much.

        Raises:
            QueueFull: none of the rows was accepted.
            ForkedProcess: the batcher was made before the process forked.
        """
        forks.check_process(self._pid)  # Its thread is only there.
        job = Job(rows)
        self._measure(job)
        with self._changed:
            if self._is_closed:
                raise RuntimeError("submitted to a batcher that is closed")
            self._check_room(self._weight, job)
            job.turn = self._turn
            if job.unprepared:
                self._unprepared.append(job)
            else:
                self._push(job)
            self._weight += job.weight
            self._jobs[job] = len(rows)
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

    # -----------------------------------------------------------------------
    # Rows that wait.

    def _measure(self, job: Job) -> None:
        for row in job.rows:
            if row.key is not UNPREPARED:
                row.weight = self._weigh(row.key)
                row.tokens = self._count_tokens(row.key)

    def _check_room(self, weight: int, job: Job) -> None:
        """Raises QueueFull if a job exceeds what waits already, a weight."""
        if weight and weight + job.weight > self._max_queue:
            raise QueueFull(f"{weight:,} sequences wait already")

    def _push(self, job: Job) -> None:
        """Lets the rows of a job wait for their turns."""
        groups = [self._group(row.key) for row in job.rows]
        weight = tokens = 0
        for group, row in zip(groups, job.rows, strict=True):
            num_full = weight // self._max_batch_size
            if self._max_batch_tokens:
                num_full = max(num_full, tokens // self._max_batch_tokens)
            entry = (job.turn + num_full, next(self._numbers), row)
            heapq.heappush(self._waiting.setdefault(group, []), entry)
            weight += row.weight
            tokens += row.tokens

    # -----------------------------------------------------------------------
    # The thread.

    def _work(self):
        while (batch := self._next_batch()) is not None:
            try:
                if batch:
                    self._observe(len(batch))
                    self._answer(batch)
            except Exception as error:  # The thread must keep running.
                logging.exception("A batch failed")
                for row in batch:
                    row.job.fail(error)

    def _next_batch(self) -> list[Row] | None:
        """Returns the rows of a batch, or None at the end.

        Rows of cancelled jobs are left out, so that there may be none.
        """
        with self._changed:
            while not self._jobs and not self._is_closed:
                self._changed.wait()
            if not self._jobs:
                return None
            self._gather()
            unprepared, self._unprepared = self._unprepared, []
        if unprepared:
            self._prepare_jobs(unprepared)
        with self._changed:
            return self._take() if self._waiting else []

    def _gather(self):
        """Waits for clients that are likely to send again; see the class."""
        first = next(iter(self._jobs)).arrival
        while not self._is_closed and len(self._jobs) < self._jobs_before:
            left = first + self._max_wait_seconds - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                break

    def _take(self) -> list[Row]:
        group = min(self._waiting, key=lambda each: self._waiting[each][0][:2])
        heap = self._waiting[group]
        rows: list[Row] = []
        weight = tokens = 0
        while heap:
            row = heap[0][-1]
            if rows and not self._has_room(weight, tokens, row):
                break
            heapq.heappop(heap)
            self._weight -= row.weight
            self._jobs[row.job] -= 1
            if not self._jobs[row.job]:
                del self._jobs[row.job]
            if not row.job.is_over:
                rows.append(row)
                weight += row.weight
                tokens += row.tokens
        if not heap:
            del self._waiting[group]
        self._turn += 1
        self._jobs_before = len({row.job for row in rows})
        return rows

    def _has_room(self, weight: int, tokens: int, row: Row) -> bool:
        """Whether a row fits into a batch of so much."""
        if weight + row.weight > self._max_batch_size:
            return False
        most = self._max_batch_tokens
        return most is None or tokens + row.tokens <= most

    def _answer(self, rows: list[Row]) -> None:
        """Runs a batch. If it fails, runs each request by itself, so that the
        error of one request is not the others' error."""
        try:
            columns = self._run(rows[0].key, [row.payload for row in rows])
            results = [
                {
                    **{name: column[place] for name, column in columns.items()},
                    **self._more_of(row.payload),
                }
                for place, row in enumerate(rows)
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
                    self._answer(rows_of_job)
            else:
                rows[0].job.fail(error)
            return
        for row, result in zip(rows, results, strict=True):
            row.job.put(row.index, result)

    # -----------------------------------------------------------------------
    # Preparing rows.

    def _prepare_jobs(self, jobs: list[Job]) -> None:
        """Prepares the rows of jobs, which then wait for their turns."""
        weights = [job.weight for job in jobs]
        waiting = [job for job in jobs if not job.is_over]
        try:
            self._prepare_rows([r for job in waiting for r in job.unprepared])
        except Exception:
            # One of them is wrong; the others are answered.
            for job in waiting:
                self._prepare_alone(job)
        with self._changed:
            for job, weight in zip(jobs, weights, strict=True):
                self._weight -= weight
                self._push_prepared(job)

    def _prepare_alone(self, job: Job) -> None:
        rows = job.unprepared
        parts = [rows]
        if len(rows) < len(job.rows):  # An error counts rows from the first.
            parts = [[row] for row in rows]
        try:
            for part in parts:
                self._prepare_rows(part)
        except Exception as error:
            job.fail(error)

    def _prepare_rows(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        assert self._prepare is not None
        items = [row.payload for row in rows]
        prepared = self._prepare(items, rows[0].index)
        for row, (key, payload) in zip(rows, prepared, strict=True):
            row.key, row.payload = key, payload

    def _push_prepared(self, job: Job) -> None:
        """Lets the rows of a job wait, unless it is over or they do not fit."""
        try:
            if not job.is_over:
                self._measure(job)
                self._check_room(self._weight, job)
                self._push(job)
                self._weight += job.weight
                return
        except Exception as error:
            job.fail(error)
        del self._jobs[job]
