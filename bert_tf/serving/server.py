"""The listening socket, connections, and a shutdown that loses no request."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bert_tf.errors import UserError
from bert_tf.serving.app import make_app
from bert_tf.serving.state import Serving

# A connection is closed after this time without a complete request: one that
# is idle, and one whose next request does not arrive in full.
IDLE_SECONDS = 30.0
# The time that requests may be on their way when the server shuts down.
LINGER_SECONDS = 0.3
BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """Makes the server's socket. Nobody can connect before it listens.

    Args:
        host: name or address of this machine.
        port: the port; 0 for any that is free.

    Raises:
        UserError: the port is in use, or the host is not this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        # Without the protocol asyncio does not set TCP_NODELAY, and each
        # answer would take 40 ms.
        listener = socket.socket(family, kind, protocol)
        # So that the port can be used again right after a server has ended.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"`host`={host} `port`={port}: {error.strerror}"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Returns the URL of a socket that `bind` made."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Connection(H11Protocol):
    """uvicorn's connection, with a time limit for the next request's head.

    uvicorn has a limit for idle connections, `timeout_keep_alive`, but stops
    it at the first byte of the next request, and does not start it before the
    first request. Half a head would then keep a connection open for ever. The
    missing timeout is in https://github.com/Kludex/uvicorn/issues/157.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport):
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data):
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def on_response_complete(self):
        super().on_response_complete()
        if self.cycle.response_complete:  # Else the next one has begun.
            self._start_timer()

    def connection_lost(self, exc):
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self):
        self._stop_timer()
        self._timer = self.loop.call_later(IDLE_SECONDS, self.transport.close)

    def _stop_timer(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """Serves until a signal comes, then answers all accepted requests.

    Args:
        serving: the models to serve, and the limits.
        on_start: function(), called when the server accepts connections.
        max_connections: connections at a time; more are answered with 503.
        grace_seconds: the longest time to shut down after a signal. A second
            signal ends the server at once.

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
    ):
        self._serving = serving
        self._on_start = on_start
        super().__init__(
            uvicorn.Config(
                make_app(serving),
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=max_connections,
                timeout_keep_alive=int(IDLE_SECONDS),
                timeout_graceful_shutdown=int(grace_seconds),
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
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to accept connections."""
        await super().startup(sockets)
        self._on_start()

    async def shutdown(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Stops accepting connections, and answers all accepted requests.

        Idle connections stay open for `LINGER_SECONDS`, because a request may
        be on its way. Each answer asks the client to close its connection.
        """
        self._serving.is_ending = True
        for listener in sockets or []:
            listener.listen(0)  # Those that wait are accepted, but no others.
        await asyncio.sleep(LINGER_SECONDS)
        await super().shutdown(sockets)
        self.num_unanswered = len(self.server_state.tasks)


def end_process(status: int) -> NoReturn:
    """Ends the process at once, with a status.

    A normal exit would unload Python while TensorFlow's threads still use it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
