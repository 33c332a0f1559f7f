"""Connections, and a shutdown that loses no request."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn, Protocol

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bert_tf.serving.app import make_app
from bert_tf.serving.fleet import Fleet
from bert_tf.serving.layers import around
from bert_tf.serving.listening import (
    BACKLOG,
    address_of,
    bind,
    cannot_listen,
    stop_listening,
)
from bert_tf.serving.state import Serving

__all__ = ["Server", "address_of", "bind", "end_process"]

# A connection is closed after this time without a complete request: one that
# is idle, and one whose next request does not arrive in full.
IDLE_SECONDS = 30.0
# Bytes of an answer up to which its parts are sent together.
LARGEST_JOINED = 1 << 16
# The time that requests may be on their way when the server shuts down.
LINGER_SECONDS = 0.3


class _Joined:
    """A transport that sends what is written at once by one system call.

    uvicorn writes the head of an answer and its body one after the other. Each
    call takes as long as making the answer, and would wake the client.

    Args:
        transport: asyncio's transport.
        loop: the event loop that it is of.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ):
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Sends data, together with what is written before the next event."""
        if not data:
            return
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > LARGEST_JOINED:
            self.flush()

    def flush(self) -> None:
        """Sends what was written so far."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        """Closes the connection when all that was written is sent."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Connection(H11Protocol):
    """uvicorn's connection, with a time limit for the next request's head.

    uvicorn has a limit for idle connections, `timeout_keep_alive`, but stops
    it at the first byte of the next request, and does not start it before the
    first request. Half a head would then keep a connection open for ever. The
    missing timeout is in https://github.com/Kludex/uvicorn/issues/157.

    Args:
        fleet: the server's workers, whose connections have one limit together;
            None if this process is the server.
        *settings, **others: uvicorn's.
    """

    _timer: asyncio.TimerHandle | None = None

    def __init__(
        self, *settings: Any, fleet: Fleet | None = None, **others: Any
    ):
        self._fleet = fleet
        super().__init__(*settings, **others)

    @property
    def limit_concurrency(self) -> int:  # uvicorn sets and reads it.
        others = self._fleet.connections_of_others if self._fleet else 0
        return self._most_connections - others

    @limit_concurrency.setter
    def limit_concurrency(self, number: int) -> None:
        self._most_connections = number

    def connection_made(self, transport):
        super().connection_made(_Joined(transport, self.loop))
        self._note_connections()
        self._start_timer()

    def _note_connections(self):
        if self._fleet:
            self._fleet.set_connections(len(self.connections))

    def data_received(self, data):
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def send_400_response(self, msg):
        """Ends a connection on which something else than HTTP has arrived.

        Some of it may be the body of a request that the application has begun
        to answer, or has answered. uvicorn would then send a second answer.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # It drops its answer.
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_response_complete(self):
        self.transport.flush()
        super().on_response_complete()
        if self.cycle.response_complete:  # Else the next one has begun.
            self._start_timer()

    def connection_lost(self, exc):
        self._stop_timer()
        super().connection_lost(exc)
        self._note_connections()

    def _start_timer(self):
        self._stop_timer()
        self._timer = self.loop.call_later(IDLE_SECONDS, self.transport.close)

    def _stop_timer(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Companion(Protocol):
    """What a server runs in its event loop beside HTTP, such as gRPC."""

    @property
    def num_open(self) -> int:
        """Number of requests that it is answering."""

    async def start(self) -> None:
        """Starts to accept connections."""

    async def stop(self, grace_seconds: float) -> int:
        """Answers what was accepted; returns how many it could not."""


class Server(uvicorn.Server):
    """Serves until a signal comes, then answers all accepted requests.

    A worker of a fleet accepts one connection at a time, so that the others
    get their share, and does not count signals: several processes may send it
    one, and `workers` ends it when it must end at once.

    Args:
        serving: the models to serve, and the limits.
        on_start: function(), called when the server accepts connections.
        max_connections: connections at a time; more are answered with 503.
        grace_seconds: the longest time to shut down after a signal. A second
            signal ends the server at once.
        companion: what it starts and ends together with itself, if anything.

    Attributes:
        num_unanswered: number of requests that `grace_seconds` was too short
            for.
    """

    num_unanswered = 0

    def __init__(
        self,
        serving: Serving,
        *,
        on_start: Callable[[], None] = lambda: None,
        max_connections: int = 512,
        grace_seconds: float = 30.0,
        companion: Companion | None = None,
    ):
        self._serving = serving
        self._companion = companion
        self._grace_seconds = grace_seconds
        self._fleet = serving.fleet
        self._on_start = on_start
        # uvicorn calls it, and does not need a class.
        connection: Any = functools.partial(_Connection, fleet=serving.fleet)
        super().__init__(
            uvicorn.Config(
                around(make_app(serving), serving.web, serving.tracing),
                http=connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                # asyncio also accepts up to this many connections at a time.
                backlog=1 if serving.fleet else BACKLOG,
                limit_concurrency=max_connections,
                timeout_keep_alive=int(IDLE_SECONDS),
                timeout_graceful_shutdown=int(grace_seconds),
                ssl_certfile=serving.web.tls_cert,
                ssl_keyfile=serving.web.tls_key,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, does not raise the signal again at the end: being
        asked to end is not a failure."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {s: signal.signal(s, self.handle_exit) for s in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Starts to shut down; at the second call, ends at once."""
        self.force_exit = self.should_exit and not self._fleet
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to accept connections.

        Raises:
            UserError: the port is in use. Two servers that start at the same
                time can both bind it, but only one can listen.
        """
        if self._companion:  # Before `started` says that all is there.
            await self._companion.start()
        try:
            await super().startup(sockets)
            for listener in sockets or []:
                listener.listen(BACKLOG)
        except OSError as error:
            host, port = (sockets or [])[0].getsockname()[:2]
            raise cannot_listen(host, port, error) from None
        self._on_start()

    async def on_tick(self, counter: int) -> bool:
        """Does what must be done about ten times a second."""
        if self._fleet:
            for name, model in self._serving.models.items():
                self._fleet.set_waiting(name, model.num_waiting)
        return await super().on_tick(counter)

    async def shutdown(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Stops accepting connections, and answers all accepted requests.

        Idle connections stay open for `LINGER_SECONDS`, because a request may
        be on its way. Each answer asks the client to close its connection.
        """
        self._serving.is_ending = True
        if not self._fleet:  # Its other workers may still accept some.
            for listener in sockets or []:
                stop_listening(listener)
        companion = asyncio.create_task(self._stop_companion())
        await asyncio.sleep(LINGER_SECONDS)
        await super().shutdown(sockets)
        self.num_unanswered = len(self.server_state.tasks) + await companion

    async def _stop_companion(self) -> int:
        """Returns how many of its requests are not answered."""
        if not self._companion:
            return 0
        stopping = asyncio.create_task(
            self._companion.stop(self._grace_seconds)
        )
        while not stopping.done() and not self.force_exit:
            await asyncio.wait({stopping}, timeout=0.1)
        if stopping.done():
            return stopping.result()
        stopping.cancel()
        return self._companion.num_open


def end_process(status: int) -> NoReturn:
    """Ends the process at once, with a status.

    A normal exit would unload Python while TensorFlow's threads still use it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
