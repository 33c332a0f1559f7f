"""Clients that send the requests of a soak, and what they have seen."""

import dataclasses
import http.client
import json
import math
import socket
import threading
import time
from typing import Any

from bert_tf.tools.soaking.requests import Friendly, Hostile, Traffic

HEADERS = {"Content-Type": "application/json"}
SECONDS = 60  # The longest time that a client waits.
# Numbers of an answer depend a little on the other rows of its batch.
TOLERANCE = 1e-3
MAX_FAILURES = 20  # Failures that are kept as texts.
# Statuses by which the server refuses a request that is wrong.
REFUSALS = range(400, 500)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a client saw of a request.

    Attributes:
        at: seconds since the start of the soak.
        kind: that of the request.
        is_hostile: whether it was hostile.
        status: of the answer; 0 for none.
        seconds: until the answer was read.
        failure: what was wrong, in one line; "" for nothing.
    """

    at: float
    kind: str
    is_hostile: bool
    status: int
    seconds: float
    failure: str = ""


class Clients:
    """Threads that send requests without a pause.

    Args:
        port: the server's port.
        traffic: makes the requests.
        number: number of threads.
        num_requests: number of requests.
        end: the time, of `time.monotonic`, at which they stop in any case.
    """

    def __init__(
        self,
        port: int,
        traffic: Traffic,
        *,
        number: int,
        num_requests: int,
        end: float,
    ):
        self._port = port
        self._traffic = traffic
        self._lock = threading.Lock()
        self._num_requests = self._num_left = num_requests
        self._end = end
        self._start = time.monotonic()
        self._right: list[Any] = []
        self._threads = [
            threading.Thread(target=self._work) for _ in range(number)
        ]
        self.seen: list[Seen] = []

    def learn(self) -> None:
        """Asks for each instance alone, and keeps the answers as right."""
        connection = self._connect()
        path = f"/v1/models/{self._traffic.model}:predict"
        for row in self._traffic.instances:
            body = json.dumps({"instances": [row]}).encode()
            connection.request("POST", path, body, HEADERS)
            reply = connection.getresponse()
            answer = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{reply.status}: {answer[:200]!r}")
            self._right += json.loads(answer)["predictions"]
        connection.close()

    def run(self) -> None:
        """Sends all requests, and returns when they are answered."""
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    @property
    def seconds(self) -> float:
        """Seconds since the start of the soak."""
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """The part of the requests, or of the time, that is over: 0 to 1."""
        of_requests = 1 - self._num_left / self._num_requests
        return max(of_requests, self.seconds / (self._end - self._start))

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=SECONDS
        )

    def _next(self) -> Friendly | Hostile | None:
        with self._lock:
            if not self._num_left or time.monotonic() > self._end:
                return None
            self._num_left -= 1
            return self._traffic.next()

    def _work(self) -> None:
        connection = self._connect()
        while (request := self._next()) is not None:
            begin = time.monotonic()
            if isinstance(request, Friendly):
                status, failure = self._ask(connection, request)
            else:
                status, failure = self._attack(request)
            self.seen.append(
                Seen(
                    at=begin - self._start,
                    kind=request.kind,
                    is_hostile=isinstance(request, Hostile),
                    status=status,
                    seconds=time.monotonic() - begin,
                    failure=failure,
                )
            )
        connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, request: Friendly
    ) -> tuple[int, str]:
        """Sends a friendly request; returns its status and what is wrong."""
        try:
            connection.request(
                request.method, request.path, request.body or None, HEADERS
            )
            reply = connection.getresponse()
            answer = reply.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # The next request opens it again.
            return 0, f"{request.kind}: {type(error).__name__}: {error}"
        if reply.status != 200:
            shown = answer[:200].decode(errors="replace")
            return reply.status, f"{request.kind}: {reply.status}: {shown}"
        if request.places:
            expected = [self._right[place] for place in request.places]
            if not nearly_equal(json.loads(answer)["predictions"], expected):
                return 200, f"{request.kind}: another answer than at the start"
        return 200, ""

    def _attack(self, request: Hostile) -> tuple[int, str]:
        """Sends a hostile request; returns its status and what is wrong."""
        try:
            with socket.create_connection(
                ("127.0.0.1", self._port), SECONDS
            ) as raw:
                raw.sendall(request.data)
                if request.leaves:
                    return 0, ""
                start = raw.recv(64)
        except (ConnectionResetError, BrokenPipeError):
            return 0, ""  # The server need not read it to its end.
        except OSError as error:
            return 0, f"{request.kind}: {type(error).__name__}: {error}"
        parts = start.split(b" ", 2)
        status = int(parts[1]) if parts[1:] and parts[1].isdigit() else 0
        if status in REFUSALS or not start:
            return status, ""
        return status, f"{request.kind}: {start!r} instead of a refusal"


def nearly_equal(one: Any, other: Any) -> bool:
    """Whether two answers in JSON differ by rounding only."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            nearly_equal(one[name], other[name]) for name in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            nearly_equal(a, b) for a, b in zip(one, other, strict=True)
        )
    return one == other
