"""Answers a request: reads its body, runs the model, writes the answer."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Protocol, TypeVar

import tensorflow as tf
from absl import logging
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from bert_tf import files
from bert_tf.export.predictor import Predictor
from bert_tf.serving import (
    explain,
    json_bodies,
    open_inference_rest,
    search,
    texts,
)
from bert_tf.serving.batching import Columns, KeyedPayload, QueueFull
from bert_tf.serving.errors import Refusal, model_reason
from bert_tf.serving.limits import Limits, check_count, parse_object, read_body
from bert_tf.serving.models import ServedModel, Version
from bert_tf.serving.rest import Call
from bert_tf.serving.results import stack
from bert_tf.serving.state import Serving

# Bodies of at most this many bytes are parsed and answered at once, and the
# batcher tokenizes their texts together. Larger ones, which take longer, are
# handled in one thread, one after the other, so that they do not delay the
# short ones.
SMALL_BODY = 1 << 12
_LARGE_BODIES = ThreadPoolExecutor(1, "large-bodies")

T = TypeVar("T")


class HasRows(Protocol):
    """A request that was read, such as `rest.Call`."""

    rows: list[KeyedPayload]


C = TypeVar("C", bound=HasRows)
# Reads a body, with the predictor that will answer it.
MakeCall = Callable[[Predictor, dict[str, object], Limits], Call]


async def answer(
    request: Request,
    make_call: MakeCall,
    name: str,
    *,
    number: int | None = None,
    body: bytes | None = None,
) -> Response:
    """Reads a request, waits for its results, and writes the answer.

    Args:
        request: the request, with the server's state in `app.state.serving`.
        make_call: reads the body, such as `rest.predict_call`.
        name: the model's name.
        number: the model's version; None for the newest.
        body: the body, if it was read before.

    Raises:
        Refusal: whatever is wrong with the request.
    """
    serving, model = _model_of(request, name)
    if body is None:
        body = await read_body(request, serving.limits)

    def read(predictor: Predictor) -> Call:
        return make_call(predictor, parse_object(body), serving.limits)

    return await ask_model(
        model,
        number,
        body,
        read=read,
        write=lambda _, call, columns: json_response(call.answer(columns)),
        limits=serving.limits,
        receive=request.receive,
    )


def _model_of(request: Request, name: str) -> tuple[Serving, ServedModel]:
    """The server's state and a model of it, which the log then names.

    Raises:
        Refusal: no model has this name.
    """
    serving = request.app.state.serving
    model = serving.model(name)
    request.state.model = name
    return serving, model


async def inferred(
    request: Request, name: str, number: int | None = None
) -> Response:
    """Answers a request of the Open Inference Protocol.

    Args:
        request, name, number: see `answer`.

    Raises:
        Refusal: whatever is wrong with the request.
    """
    serving, model = _model_of(request, name)
    body = await read_body(request, serving.limits)
    header_length = request.headers.get(open_inference_rest.HEADER_LENGTH)

    def read(predictor: Predictor) -> open_inference_rest.InferCall:
        return open_inference_rest.infer_call(
            predictor, body, header_length, serving.limits
        )

    return await ask_model(
        model,
        number,
        body,
        read=read,
        write=lambda version, call, columns: call.answer(
            name, version.number, columns
        ),
        limits=serving.limits,
        receive=request.receive,
    )


async def ask_model(
    model: ServedModel,
    number: int | None,
    body: bytes,
    *,
    read: Callable[[Predictor], C],
    write: Callable[[Version, C, Columns], T],
    limits: Limits,
    receive: Receive | None = None,
) -> T:
    """Asks a model what a body asks, over HTTP or gRPC.

    Args:
        model: the model.
        number: its version; None for the newest.
        body: of the request.
        read: function(predictor) that reads the rows of the body.
        write: function(version, what `read` returned, {output name: array
            [n, …]}) that returns the answer.
        limits: the limits of requests.
        receive: gives the client's messages, of which "http.disconnect" ends
            the waiting; None if its end cancels this coroutine.

    Raises:
        Refusal: there is no such version, too much waits already, it took too
            long, or a row is wrong.
    """
    with use(model, number) as version:

        def read_rows() -> C:
            call = read(version.predictor)
            if is_large(body):  # So that the short ones are not kept waiting.
                rows = texts.prepare_rows(version.predictor, limits, call.rows)
                call.rows = rows
            return call

        call = await in_thread_if_large(body, read_rows)
        check_count(len(call.rows), limits)
        job = _submitted(lambda: version.batcher.submit(call.rows))
        results = await _result_of(job, limits.request_seconds, receive)
        return await in_thread_if_large(
            body, lambda: write(version, call, stack(results))
        )


@contextlib.contextmanager
def use(model: ServedModel, number: int | None) -> Iterator[Version]:
    """Gives a version as `model.use` does; refuses one that does not exist."""
    with contextlib.ExitStack() as stack:
        try:
            version = stack.enter_context(model.use(number))
        except KeyError:
            raise no_version(model.name, number) from None
        yield version


def no_version(name: str, number: int | None) -> Refusal:
    """The refusal for a version that does not exist, or cannot answer."""
    which = "version" if number is None else f"version {number}"
    return Refusal(404, f"model {name} has no {which} that answers")


def is_large(body: bytes) -> bool:
    """Whether a body is read, and its answer written, in a thread."""
    return len(body) > SMALL_BODY


async def in_thread_if_large(body: bytes, work: Callable[[], T]) -> T:
    """Returns `work()`, which runs in a thread if the body is large."""
    if not is_large(body):
        return work()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_LARGE_BODIES, work)


async def explained(
    request: Request, name: str, number: int | None = None
) -> Response:
    """Reads a request for explanations, waits for them, and writes them.

    Args:
        request, name, number: see `answer`.

    Raises:
        Refusal: whatever is wrong with the request.
    """
    serving, model = _model_of(request, name)
    body = await read_body(request, serving.limits)
    with use(model, number) as version:

        def read() -> explain.ExplainCall:
            values = parse_object(body)
            return explain.explain_call(
                version.predictor, values, serving.limits
            )

        call = await in_thread_if_large(body, read)
        seconds = serving.limits.request_seconds
        job, end = serving.explanations.submit(version, call, seconds)
        try:
            result = await _result_of(job, seconds, request.receive)
            return json_response(result)
        finally:
            end()


async def searched(request: Request, name: str, body: bytes) -> Response:
    """Reads a request for texts of an index, and answers with them.

    Args:
        request: the request.
        name: the name of the model whose index it is.
        body: the body.

    Raises:
        Refusal: whatever is wrong with the request.
    """
    serving, model = _model_of(request, name)
    served = serving.index(name)
    index, number = served.choose()

    def read(predictor: Predictor) -> search.SearchCall:
        return search.search_call(predictor, parse_object(body), serving.limits)

    k, vectors = await ask_model(
        model,
        number,
        body,
        read=read,
        write=lambda _, call, columns: (call.k, columns["embedding"]),
        limits=serving.limits,
        receive=request.receive,
    )
    job = _submitted(lambda: served.submit(index, vectors, k))
    seconds = serving.limits.request_seconds
    found = await _result_of(job, seconds, request.receive)
    return await asyncio.get_running_loop().run_in_executor(
        search.ANSWERS,
        lambda: json_response(search.answer(index, k, found)),
    )


async def _result_of(job, seconds, receive):
    """Waits for what a job returns, but no longer than is allowed, and no
    longer than the client does."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, _end, over)
    client = None
    if receive:
        client = loop.create_task(_end_when_disconnected(receive, over))

    def wake(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # The loop may be closed.
            loop.call_soon_threadsafe(_end, over)

    job.add_done_callback(wake)
    try:
        await over
        if job.done():
            return job.result()
        if client and client.done():
            raise Refusal(400, "the client disconnected")
        raise _too_late(seconds)
    except CancelledError:
        raise _too_late(seconds) from None
    except QueueFull as error:
        raise _queue_full(error) from None
    except tf.errors.InvalidArgumentError as error:
        raise Refusal(400, model_reason(error)) from None
    except tf.errors.ResourceExhaustedError as error:
        logging.error("Out of memory: %s", files.reason(error))
        raise Refusal(
            503, "out of memory: send fewer or shorter texts"
        ) from None
    finally:
        job.cancel()
        timer.cancel()
        if client:
            client.cancel()


def _submitted(submit):
    """The future of what is submitted to a batcher.

    Raises:
        Refusal: too much waits already.
    """
    try:
        return submit()
    except QueueFull as error:
        raise _queue_full(error) from None


def _too_late(seconds):
    return Refusal(504, f"the model did not answer in {seconds:g} s")


def _queue_full(error):
    return Refusal(429, str(error), **{"Retry-After": "1"})


def _end(waiting):
    if not waiting.done():
        waiting.set_result(None)


async def _end_when_disconnected(receive, waiting):
    while (await receive())["type"] != "http.disconnect":
        pass
    _end(waiting)


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Writes a value as JSON; its numbers must be finite."""
    return Response(
        json_bodies.write(value),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
