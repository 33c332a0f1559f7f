"""The limits of requests, and the checks of their sizes.

`signatures` enforces `max_sequences`, `batching` `max_queue`, and `handler`
`request_seconds`. `server.Server` limits the number of connections.

Flags need `Limits` where the extra `serving` is not installed, too: packages of
it are imported when a request comes.
"""

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from bert_tf.serving.errors import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request


MAX_HITS = 20_000  # Texts in an answer to /search, so that it is bounded.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits per request, except `max_queue`, which is per model.

    Attributes:
        max_body_bytes: bytes in a request's body.
        max_text_bytes: bytes of one text in UTF-8. A model needs many times
            as much memory to read it.
        max_texts: texts in a request, in `instances`, `examples` or `texts`.
        max_sequences: sequences that the model reads for one text: the windows
            of a long context, or the endings of a text.
        max_queue: sequences of all requests that wait for a model.
        body_seconds: time for the body to arrive.
        request_seconds: time for the model to answer.
    """

    max_body_bytes: int = 8 << 20
    max_text_bytes: int = 1 << 18
    max_texts: int = 1024
    max_sequences: int = 256
    max_queue: int = 4096
    body_seconds: float = 30.0
    request_seconds: float = 60.0


async def read_body(request: "Request", limits: Limits) -> bytes:
    """Reads the whole body.

    Raises:
        Refusal: the body is too large (which is noticed before all of it has
            arrived), too slow, cut off, or compressed.
    """
    from starlette.requests import ClientDisconnect

    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Refusal(
            415, f"Content-Encoding {encoding}: send the body uncompressed"
        )
    # uvicorn has checked that it is a number.
    _check_size(int(request.headers.get("content-length", 0)), limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                _check_size(len(body) + len(chunk), limits)
                body += chunk
    except TimeoutError:
        raise Refusal(
            408,
            f"the body did not arrive in {limits.body_seconds:g} s",
            Connection="close",
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "the body ends too early") from None
    return bytes(body)


def _check_size(num_bytes, limits):
    if num_bytes > limits.max_body_bytes:
        raise Refusal(413, f"the body exceeds {limits.max_body_bytes:,} bytes")


def parse_object(body: bytes) -> dict[str, object]:
    """Parses a body that is a JSON object.

    Raises:
        Refusal: the body is something else, or holds a number that JSON does
            not have (NaN) or that does not fit a float (1e999).
    """
    from bert_tf.serving import json_bodies

    try:
        value = json_bodies.read(body)
    except UnicodeDecodeError as error:
        raise Refusal(
            400, f"the body is not UTF-8: byte {error.start + 1}"
        ) from None
    except RecursionError:
        raise Refusal(400, "the body is not JSON: nested too deep") from None
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "the body must be a JSON object, {…}")
    return value


def check_count(count: int, limits: Limits) -> None:
    """Raises Refusal if a request holds no texts, or too many."""
    if not count:
        raise Refusal(400, "the list is empty: nothing to answer")
    if count > limits.max_texts:
        raise Refusal(
            413,
            f"{count:,} texts: at most {limits.max_texts:,} are allowed in a "
            "request",
        )


def check_text(place: int, text: str | bytes, limits: Limits) -> None:
    """Raises Refusal if a text of an item is too long.

    Args:
        place: the item's place in its request, from 0.
        text: a str, or bytes in UTF-8.
        limits: the server's limits.
    """
    size = len(text)
    if isinstance(text, str) and 4 * size > limits.max_text_bytes:
        size = len(text.encode("utf-8", "replace"))
    if size > limits.max_text_bytes:
        raise Refusal(
            413,
            f"item {place}: a text has {size:,} bytes: "
            f"{limits.max_text_bytes:,} are allowed",
        )
