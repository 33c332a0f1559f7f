"""Who may call over gRPC, and what is noted of it: as with HTTP."""

from collections.abc import Iterable
from typing import Any

import grpc
from absl import logging

from bert_tf.serving.api_keys import ApiKeys
from bert_tf.serving.errors import Refusal
from bert_tf.serving.log_formats import REQUEST_ID
from bert_tf.serving.request_log import new_id, sane_id
from bert_tf.serving.web_settings import WebSettings

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

    Raises:
        UserError: the file of keys cannot be used.
    """

    def __init__(self, settings: WebSettings):
        self._keys = None
        if settings.api_key_file:
            self._keys = ApiKeys(settings.api_key_file)
        self._has_log = settings.log_format is not None

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
        if not self._keys.allows(_key_of(context.invocation_metadata())):
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
        fields = {
            "method": "gRPC",
            "path": route,
            "status": status,
            "seconds": round(seconds, 6),
            "client": context.peer(),
        }
        if model:
            fields["model"] = model
        logging.get_absl_logger().info(
            "gRPC %s %d in %.1f ms",
            route,
            status,
            1000 * seconds,
            extra={"fields": fields},
        )


def _request_id(context: Any) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and sane_id(value.encode()):
            return value
    return new_id()


def _key_of(metadata: Iterable[tuple[str, Any]] | None) -> str | None:
    """The key that a call has; None if it has none."""
    for name, value in metadata or ():
        if name == "x-api-key":
            return value.strip()
        if name == "authorization":
            scheme, _, key = value.partition(" ")
            if scheme.lower() == "bearer":
                return key.strip()
    return None


def credentials(settings: WebSettings) -> grpc.ServerCredentials | None:
    """Reads the server's certificate; None for no TLS."""
    if not settings.tls_cert or not settings.tls_key:
        return None
    with open(settings.tls_key, "rb") as file:
        key = file.read()
    with open(settings.tls_cert, "rb") as file:
        chain = file.read()
    return grpc.ssl_server_credentials([(key, chain)])
