"""The status of an answer, seen as it passes by."""

from collections.abc import Callable

from starlette.types import Message, Send


class AnswerStatus:
    """Passes an answer on, and keeps its status.

    Args:
        send: what takes the answer's messages.
        on_start: function(message), which may change the answer's headers.

    Attributes:
        status: the answer's; 500 until it starts, because a request that
            ends without an answer is a defect.
    """

    def __init__(
        self, send: Send, on_start: Callable[[Message], None] | None = None
    ):
        self._send = send
        self._on_start = on_start
        self.status = 500

    async def __call__(self, message: Message) -> None:
        """Passes a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._on_start:
                self._on_start(message)
        await self._send(message)
