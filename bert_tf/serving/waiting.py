"""Answers probes while the models load.

Loading takes seconds, and importing TensorFlow before it, too. From the start a
thread accepts connections: it says that the process lives, and that it is not
ready. All other requests get status 503 and when to come again. The server then
accepts connections on the same socket: those that arrive in between wait for
it, so none is refused or lost.

It needs no TensorFlow, and no web framework.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Sequence

from bert_tf.serving.listening import BACKLOG, cannot_listen

RETRY_SECONDS = 2
# {address: what it answers with status 200}
ALIVE: dict[str, dict[str, object]] = {
    "/livez": {"status": "ok"},
    "/v2/health/live": {"live": True},
}
LARGEST_HEAD = 1 << 14
HEAD_SECONDS = 5.0
LINGER_SECONDS = 1.0  # For the rest of a request that is not read.
MOST_CONNECTIONS = 256


class WaitingRoom:
    """The thread that answers until the server does; see the module.

    Args:
        listener: the server's socket, bound to its address.
        names: the models that are loading.
        context: the server's certificate; None for plain HTTP.

    Raises:
        UserError: another process listens at this address.
    """

    def __init__(
        self,
        listener: socket.socket,
        names: Sequence[str],
        context: ssl.SSLContext | None = None,
    ):
        try:
            listener.listen(BACKLOG)
        except OSError as error:
            host, port = listener.getsockname()[:2]
            raise cannot_listen(host, port, error) from None
        self._reason = f"not ready: loading {', '.join(names)}"
        self._context = context
        # It is closed with the thread's; the server's own stays open.
        self._listener = listener.dup()
        self._answers: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._has_begun = threading.Event()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="waiting-room", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> "WaitingRoom":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Accepts no more connections; those it has are still answered.

        The server need not wait for them, and may accept the next ones.
        """
        self._has_begun.wait()
        if self._loop and self._over and not self._has_ended.is_set():
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                self._loop.call_soon_threadsafe(self._over.set)
            self._has_ended.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._has_ended.set()
            self._has_begun.set()

    async def _serve(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._listener.setblocking(False)
        # Not asyncio's own server: it forgets a connection that arrives while
        # it is closed.
        loop.add_reader(self._listener, self._accept)
        self._has_begun.set()
        await self._over.wait()
        loop.remove_reader(self._listener)
        self._listener.close()
        self._has_ended.set()
        if self._answers:
            await asyncio.wait(
                self._answers, timeout=HEAD_SECONDS + LINGER_SECONDS
            )

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # A worker has it, or the client has gone.
            return
        if len(self._answers) >= MOST_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        answer = asyncio.ensure_future(self._answer(connection))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def _answer(self, connection: socket.socket) -> None:
        """Answers one request, and closes its connection."""
        with contextlib.suppress(OSError, TimeoutError, EOFError):
            async with asyncio.timeout(HEAD_SECONDS):
                reader, writer = await self._streams(connection)
            with contextlib.closing(writer):
                async with asyncio.timeout(HEAD_SECONDS):
                    writer.write(self._response(await _head(reader)))
                    await writer.drain()
                await _end(reader, writer)

    async def _streams(
        self, connection: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LARGEST_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self._context
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _response(self, head: bytes) -> bytes:
        method, path = _first_line(head)
        status, body = "200 OK", ALIVE.get(path)
        more = ""
        if body is None or method not in ("GET", "HEAD"):
            status, body = "503 Service Unavailable", {"error": self._reason}
            more = f"Retry-After: {RETRY_SECONDS}\r\n"
        content = json.dumps(body, separators=(",", ":")).encode()
        lines = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n{more}"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        return lines.encode() + (b"" if method == "HEAD" else content)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Reads a request's head; b"" if it is too long."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return b""


def _first_line(head: bytes) -> tuple[str, str]:
    """(method, path) of a request; "" where there is none."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3:
        return "", ""
    return words[0], words[1].partition("?")[0]


async def _end(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Reads what the client still sends: else it may miss the answer."""
    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(1 << 16):
                pass
