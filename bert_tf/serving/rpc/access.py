"""Who may call over gRPC, and what is noted of it: as with HTTP."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import grpc

from bert_tf.serving.api_keys import key_in
from bert_tf.serving.errors import Refusal
from bert_tf.serving.log_formats import REQUEST_ID
from bert_tf.serving.request_log import log_answer, new_id, sane_id
from bert_tf.serving.web_settings import WebSettings

if TYPE_CHECKING:
    from bert_tf.serving.tracing import CallSpan, Tracing

# Probes have no keys, and are logged when they fail.
PROBES = (
    "/grpc.health.v1.Health/Check",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)


class Door:
    """Checks keys, and logs calls, where the settings ask for that.

    Args:
        settings: the server's.
        tracing: makes spans of calls; None for none.
    """

    def __init__(self, settings: WebSettings, tracing: "Tracing | None" = None):
        self._keys = settings.keys
        self._has_log = settings.log_format is not None
        self._tracing = tracing

    def span(
        self, route: str, context: Any
    ) -> AbstractContextManager["CallSpan | None"]:
        """Returns what a call is traced in; see `check`."""
        if self._tracing is None:
            return nullcontext()
        return self._tracing.of_call(route, context.invocation_metadata() or ())

    def check(self, route: str, context: Any) -> None:
        """Lets a call in.

        Args:
            route: the method's full name.
            context: gRPC's, of the call.

        Raises:
            Refusal: it has no key that is known.
        """
        if self._has_log:
            name = _request_id(context)
            REQUEST_ID.set(name)  # Each call is a task of its own.
            context.set_trailing_metadata((("x-request-id", name),))
        if self._keys is None or route in PROBES:
            return
        if not self._keys.allows(key_in(context.invocation_metadata() or ())):
            raise Refusal(
                401,
                "a valid API key is needed: send the metadata authorization: "
                "Bearer KEY, or x-api-key: KEY",
            )

    def note(
        self, route: str, context: Any, model: str, status: int, seconds: float
    ) -> None:
        """Logs a call that was answered.

        Args:
            route, context: see `check`.
            model: the model's name; "" where there is none.
            status: the HTTP status that says the same.
            seconds: from its message to its answer.
        """
        if not self._has_log or (status < 400 and route in PROBES):
            return
        log_answer(
            "gRPC", route, status, seconds, client=context.peer(), model=model
        )


def _request_id(context: Any) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and sane_id(value.encode()):
            return value
    return new_id()


def credentials(settings: WebSettings) -> grpc.ServerCredentials | None:
    """Reads the server's certificate; None for no TLS."""
    if not settings.tls_cert or not settings.tls_key:
        return None
    with open(settings.tls_key, "rb") as file:
        key = file.read()
    with open(settings.tls_cert, "rb") as file:
        chain = file.read()
    return grpc.ssl_server_credentials([(key, chain)])
