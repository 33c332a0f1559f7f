"""A line in the log for each request, and the id that belongs to it.

The id is the client's `X-Request-Id`, or a new one. The answer has it, and so
has each line that is logged while the request is answered.
"""

import re
import time
import uuid

from absl import logging
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_tf.serving.answer_status import AnswerStatus
from bert_tf.serving.log_formats import REQUEST_ID

# Others would be hard to find again, or would change how the log looks.
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
# Probes come every few seconds: they are logged when they fail.
PROBES = (
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/v2/health/live",
    "/v2/health/ready",
)
LONGEST_PATH = 200


class RequestLog:
    """Logs each request when it is answered.

    Args:
        app: what answers the requests.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers a request, and logs it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.monotonic()
        name = request_id(scope)
        before = REQUEST_ID.set(name)

        def name_answer(message: Message) -> None:
            message["headers"].append((b"x-request-id", name.encode()))

        answer = AnswerStatus(send, name_answer)
        try:
            await self._app(scope, receive, answer)
        finally:
            if answer.status >= 400 or scope["path"] not in PROBES:
                _log(scope, answer.status, time.monotonic() - start)
            REQUEST_ID.reset(before)


def request_id(scope: Scope) -> str:
    """The id that a client has given its request, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and sane_id(value):
            return value.decode("ascii")
    return new_id()


def sane_id(value: bytes) -> bool:
    """Whether a client's id is taken over."""
    return _SANE.fullmatch(value) is not None


def new_id() -> str:
    """Makes an id."""
    return uuid.uuid4().hex


def _log(scope, status, seconds):
    # As it was sent: escaped, so without line ends.
    path = (scope.get("raw_path") or b"").decode("ascii", "backslashreplace")
    client, _ = scope.get("client") or ("", 0)
    log_answer(
        scope["method"],
        path if len(path) <= LONGEST_PATH else path[:LONGEST_PATH] + "…",
        status,
        seconds,
        client=client,
        model=scope.get("state", {}).get("model"),
    )


def log_answer(
    method: str,
    path: str,
    status: int,
    seconds: float,
    *,
    client: str,
    model: str | None,
) -> None:
    """Logs a request that was answered.

    Args:
        method: HTTP's, or "gRPC".
        path: what was asked, in one line.
        status: HTTP's, or the one that says the same.
        seconds: from its start to its answer.
        client: who asked.
        model: the model's name; None or "" where there is none.
    """
    fields = {
        "method": method,
        "path": path,
        "status": status,
        "seconds": round(seconds, 6),
        "client": client,
    }
    if model:
        fields["model"] = model
    logging.get_absl_logger().info(
        "%s %s %d in %.1f ms",
        method,
        path,
        status,
        1000 * seconds,
        extra={"fields": fields},
    )
