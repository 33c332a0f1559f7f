"""The listening socket, connections, and an end that loses no request."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bert_tf.errors import UserError
from bert_tf.serving.app import Serving, make_app

# Without a request for so long, a connection is closed: idle ones, and those
# whose next request does not get done.
IDLE_SECONDS = 30.0
# At the end, requests may be on their way for so long.
LINGER_SECONDS = 0.3
BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """A socket of the server; nobody can connect before it listens.

    Raises:
        UserError: the port is taken, or the host is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        # Without its protocol asyncio sets no TCP_NODELAY, and each answer
        # would take 40 ms.
        listener = socket.socket(family, kind, protocol)
        # A server that has just ended keeps nobody from starting the next.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"--host={host} --port={port}: {error.strerror}"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Connection(H11Protocol):
    """uvicorn's, with a limit on the time between requests.

    Its own limit ends with the first byte of the next request, so that half a
    head would hold the connection for ever.
    """

    _timer = None

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
    """Serves until a signal; then answers what it has accepted.

    Args:
        serving: what is served.
        on_start: function(), called when it accepts connections.
        max_connections: at a time; more are answered with 503.
        grace_seconds: after a signal, at most; a second signal ends it at
            once.

    Attributes:
        num_unanswered: requests that `grace_seconds` were too short for.
    """

    num_unanswered = 0

    def __init__(
        self,
        serving: Serving,
        on_start: Callable = lambda: None,
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
    def capture_signals(self):
        """Unlike uvicorn's, does not raise the signal once more at the end:
        being told to end is no failure."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {s: signal.signal(s, self.handle_exit) for s in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig, frame):
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets=None):
        """Stops to accept, and waits for what was accepted.

        For a while connections stay that would be closed as idle: a request
        may be on its way through them. Each answer asks to close them.
        """
        self._serving.is_ending = True
        for listener in sockets or []:
            listener.listen(0)  # No more may wait; those that do are taken.
        await asyncio.sleep(LINGER_SECONDS)
        await super().shutdown(sockets)
        self.num_unanswered = len(self.server_state.tasks)


def end_process(status: int):
    """Ends the process at once, with threads that TensorFlow may still hold.

    The interpreter's own end would pull it from under them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
