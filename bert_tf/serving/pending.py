"""Requests of a client that nobody waits for, and their answers."""

import concurrent.futures
import itertools
import threading
import time
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Response(typing.NamedTuple):
    """The answer to a request that was not waited for.

    Attributes:
        id: the number of the request, from 1.
        embedding: what `EncodeClient.encode` returns.
        tokens: the tokens of each text, if they were asked for; else "".
    """

    id: int
    embedding: Any
    tokens: Any


class PendingRequests:
    """Sends requests one after the other in a thread, and keeps their answers.

    Attributes:
        numbers: of the requests whose answers were not fetched, in order.
    """

    def __init__(self):
        self._futures: dict[int, concurrent.futures.Future[Response]] = {}
        self._senders = 0  # Threads that still make requests.
        self._changed = threading.Condition()
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None

    @property
    def numbers(self) -> list[int]:
        """The numbers of the requests that were not fetched, in order."""
        with self._changed:
            return sorted(self._futures)

    def submit(self, number: int, ask: Callable[[], Response]) -> None:
        """Sends a request when those before it are answered.

        Args:
            number: of the request.
            ask: function that sends it, and returns its answer.
        """
        with self._changed:
            if self._executor is None:
                self._executor = concurrent.futures.ThreadPoolExecutor(1)
            self._futures[number] = self._executor.submit(ask)
            self._changed.notify_all()

    def answers(self) -> Iterator[Response]:
        """Yields the answers as they come, until no request is left.

        Raises:
            Exception: what a request raised.
        """
        while (future := self._next_answered()) is not None:
            yield future.result()

    def _next_answered(self):
        """Waits for an answer; None if nothing is to come."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._futures or not self._senders
                )
                waiting = dict(self._futures)
            if not waiting:
                return None
            done, _ = concurrent.futures.wait(
                waiting.values(),
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
            with self._changed:  # Another thread may fetch, too.
                for number, future in waiting.items():
                    if future in done and self._futures.pop(number, None):
                        return future

    def send_all(
        self,
        batches: Iterable[Any],
        most: int | None,
        send: Callable[[Any], object],
        delay: float,
    ) -> Iterator[Response]:
        """Yields the answers to batches, while a thread sends the next ones.

        Args:
            batches: the texts of each request.
            most: number of requests at most; None or 0 for all.
            send: function(batch) that submits a request.
            delay: seconds to wait before the first answer.

        Raises:
            Exception: what a request, `batches` or `send` raised.
        """
        failed: list[BaseException] = []

        def work() -> None:
            try:
                for batch in itertools.islice(batches, most or None):
                    send(batch)
            except BaseException as error:  # Raised where answers are read.
                failed.append(error)
            finally:
                with self._changed:
                    self._senders -= 1
                    self._changed.notify_all()

        with self._changed:
            self._senders += 1
        threading.Thread(target=work, daemon=True).start()
        time.sleep(delay)
        yield from self.answers()
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Forgets the requests that were not sent."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
