"""gRPC's own check of health, which load balancers and Kubernetes ask.

The service "" is the whole server. It, and each other service, is serving
while all models answer and the server is not ending.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.probes import check_ready
from bert_tf.serving.rpc.exchange import Asked, Methods
from bert_tf.serving.rpc.messages import Message, message_class
from bert_tf.serving.state import Serving

HEALTH = "grpc.health.v1.Health"
WATCH_SECONDS = 0.5  # Between two looks at what `Watch` reports.
# HealthCheckResponse.ServingStatus.
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3

_Request = message_class("grpc.health.v1.HealthCheckRequest")
_Response = message_class("grpc.health.v1.HealthCheckResponse")


def is_ready(serving: Serving) -> bool:
    """Whether all models answer, and the server is not ending."""
    try:
        check_ready(serving)
    except Refusal:
        return False
    return True


class Health:
    """Says whether services answer.

    Args:
        serving: the models.
        services: the names of the services.

    Attributes:
        ending: set when the server ends, so that nobody watches it any more.
    """

    def __init__(self, serving: Serving, services: Collection[str]):
        self._serving = serving
        self._services = {"", HEALTH, *services}
        self.ending = asyncio.Event()

    def methods(self) -> Methods:
        """Returns the methods that answer once."""
        return {HEALTH: {"Check": (_Request, self.check)}}

    async def check(self, asked: Asked) -> Message:
        """Says whether a service answers.

        Raises:
            Refusal: there is no such service.
        """
        service = asked.message.service
        if service not in self._services:
            raise Refusal(404, f"no service {shown(service)}")
        return _Response(status=self._status(service))

    def _status(self, service: str) -> int:
        if service not in self._services:
            return SERVICE_UNKNOWN
        return SERVING if is_ready(self._serving) else NOT_SERVING

    def watch_handler(self) -> grpc.RpcMethodHandler:
        """Makes gRPC's handler of `Watch`, which answers again and again."""
        return grpc.unary_stream_rpc_method_handler(self._watch)

    async def _watch(self, body: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            service = _Request.FromString(body).service
        except DecodeError:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "the message is not a HealthCheckRequest",
            )
        before = None
        while True:
            status = self._status(service)
            if status != before:
                yield _Response(status=status).SerializeToString()
            if self.ending.is_set():
                return
            before = status
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self.ending.wait()
