"""One call of a method: its message is read, answered, counted or refused.

It does for gRPC what `handler` and `app` do for HTTP, with the same queues,
batches, limits and counters. A refusal's HTTP status becomes gRPC's code. The
counters keep the HTTP status, so that one number counts what is the same.
"""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from absl import logging
from google.protobuf.message import DecodeError

from bert_tf.export.predictor import Predictor
from bert_tf.forks import ForkedProcess
from bert_tf.serving.batching import Columns
from bert_tf.serving.errors import Refusal
from bert_tf.serving.handler import C, ask_model, in_thread_if_large
from bert_tf.serving.limits import Limits
from bert_tf.serving.models import Version
from bert_tf.serving.rpc.access import Door
from bert_tf.serving.rpc.messages import Message, MessageClass
from bert_tf.serving.state import Serving

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


@dataclasses.dataclass
class Asked:
    """A call of a method.

    Attributes:
        serving: the models, limits and counters.
        body: the message as it came; b"" before.
        message: the message.
        model: the model's name, once it is known, for the counters.
    """

    serving: Serving
    body: bytes = b""
    message: Message = None
    model: str = ""


# Answers a call; what it raises is for the client.
Method = Callable[[Asked], Awaitable[Message]]
# {service: {method: (class of its messages or None, what answers them)}}
Methods = Mapping[str, Mapping[str, tuple[MessageClass | None, Method]]]


class Exchange:
    """Answers calls, and knows how many are not answered yet.

    Args:
        serving: the models, limits and counters.

    Attributes:
        num_open: calls that are being answered.
        is_closed: whether calls that come now are refused.
        last_end: when the last call was answered, refusals of a closed one
            aside, in seconds of the monotonic clock.
    """

    def __init__(self, serving: Serving):
        self.serving = serving
        self._door = Door(serving.web, serving.tracing)
        self.num_open = 0
        self.is_closed = False
        self.last_end = 0.0

    def handlers(self, methods: Methods) -> list[grpc.GenericRpcHandler]:
        """Makes gRPC's handlers of services."""
        return [
            grpc.method_handlers_generic_handler(
                service,
                {
                    name: self.handler(f"/{service}/{name}", *method)
                    for name, method in table.items()
                },
            )
            for service, table in methods.items()
        ]

    def handler(
        self, route: str, request: MessageClass | None, method: Method
    ) -> grpc.RpcMethodHandler:
        """Makes gRPC's handler of a method.

        gRPC would answer a message that cannot be read with an internal error,
        so the handler takes bytes; and it would wait for a message for ever,
        so it takes a stream of them, of which there is one.

        Args:
            route: the method's full name, "/package.Service/Method".
            request: the class of its messages; None if they are not read.
            method: answers them.
        """

        async def handle(messages: AsyncIterator[bytes], context: Any) -> bytes:
            with self._door.span(route, context) as span:
                return await self._answer(
                    route, request, method, messages, context, span
                )

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _answer(self, route, request, method, messages, context, span):
        asked = Asked(self.serving)
        is_accepted = False
        start, status = time.monotonic(), 500
        try:
            self._door.check(route, context)
            asked.body = await _body(messages, self.serving.limits)
            if self.is_closed:
                raise Refusal(503, "the server is shutting down")
            is_accepted = True
            self.num_open += 1
            reply = await _reply(asked, request, method)
            status = 200
            return reply
        except asyncio.CancelledError:  # The client's end, or its deadline.
            left = context.time_remaining()
            status = 400 if left is None or left > 0 else 504
            raise
        except Exception as error:
            refusal = _refusal_of(error)
            status = refusal.status
        finally:  # Before the client has the answer and asks again.
            now = time.monotonic()
            what = (asked.model, status, now - start)
            self.serving.count_request(route, *what)
            self._door.note(route, context, *what)
            if span:
                span.end(asked.model, status)
            if is_accepted:
                self.num_open -= 1
                self.last_end = now
        code = CODES.get(status, grpc.StatusCode.INTERNAL)
        await context.abort(code, str(refusal))
        raise AssertionError("abort raises")


async def _body(messages: AsyncIterator[bytes], limits: Limits) -> bytes:
    """The message of a call."""
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await anext(messages)
    except TimeoutError:
        raise Refusal(
            408, f"the message did not arrive in {limits.body_seconds:g} s"
        ) from None
    except StopAsyncIteration:
        raise Refusal(400, "the call has no message") from None


async def _reply(asked, request, method) -> bytes:
    """The bytes of the answer to a call."""

    def read() -> Message:
        if request is None:
            return None
        try:
            return request.FromString(asked.body)
        except DecodeError:
            name = request.DESCRIPTOR.name
            raise Refusal(400, f"the message is not a {name}") from None

    asked.message = await in_thread_if_large(asked.body, read)
    answer = await method(asked)
    return await in_thread_if_large(asked.body, answer.SerializeToString)


def _refusal_of(error: Exception) -> Refusal:
    """What a client is told about an error."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ForkedProcess):
        return Refusal(503, str(error))
    logging.error("A call failed", exc_info=error)
    return Refusal(500, "internal error; see the server's log")


async def answered(
    asked: Asked,
    name: str,
    number: int | None,
    read: Callable[[Predictor], C],
    write: Callable[[Version, C, Columns], Message],
) -> Message:
    """Runs a model on what a call asks; see `handler.ask_model`.

    Args:
        asked: the call.
        name: the model's name.
        number: the model's version; None for the newest.
        read: function(predictor) that returns the request's rows.
        write: function(version, request, {output name: array [n, …]}) that
            returns the answer.

    Raises:
        Refusal: whatever is wrong with the request.
    """
    model = asked.serving.model(name)
    asked.model = name
    if not model.available():
        raise Refusal(503, f"model {name} is being loaded")
    return await ask_model(
        model,
        number,
        asked.body,
        read=read,
        write=write,
        limits=asked.serving.limits,
    )
