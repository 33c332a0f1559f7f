"""What a request may cost, and the reading of its body within that."""

import asyncio
import dataclasses
import json
import math

from starlette.requests import ClientDisconnect, Request

from bert_tf import files

# An error's line may quote what was sent, but not all of it.
LONGEST_LINE = 300
# Lines of TensorFlow's errors that say nothing to the sender.
_AROUND = ("Graph execution error", "Detected at node", "<stack traces", "[[")


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one request, but for `max_queue`.

    Attributes:
        max_body_bytes: of a body.
        max_text_bytes: of one text in UTF-8; a model needs many times its
            size to read it.
        max_texts: of a request; `instances`, `examples` and `texts` alike.
        max_sequences: that the model reads for one of them: the windows of a
            long context, the endings of a text.
        max_queue: sequences that wait for a model, of all requests together.
        body_seconds: in which a body must have arrived.
        request_seconds: in which the model must have answered.
    """

    max_body_bytes: int = 8 << 20
    max_text_bytes: int = 1 << 18
    max_texts: int = 1024
    max_sequences: int = 256
    max_queue: int = 4096
    body_seconds: float = 30.0
    request_seconds: float = 60.0


class Refusal(Exception):
    """A request that is not answered; `str` is the line its sender reads."""

    def __init__(self, status: int, message: str, **headers: str):
        super().__init__(one_line(message))
        self.status = status
        self.headers = headers


def one_line(message) -> str:
    text = " ".join(str(message).split())
    if len(text) <= LONGEST_LINE:
        return text
    return text[:LONGEST_LINE] + "…"


def shown(value) -> str:
    """A value as an error quotes it: its start, where it is long."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value[:41] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:40] + "…"


async def read_body(request: Request, limits: Limits) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large, which is known before all of it is there; it
            comes too slowly, or compressed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Refusal(415, f"Content-Encoding {encoding}: send it as it is")
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


def parse_object(body: bytes) -> dict:
    """The JSON object of a body.

    Raises:
        Refusal: it is none. Numbers that JSON does not have, as NaN, or that
            no float holds, as 1e999, are not read either.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
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


def _refuse_constant(name):
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits):
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def check_count(count: int, limits: Limits):
    """Raises Refusal where a request holds nothing or too much."""
    if not count:
        raise Refusal(400, "the list is empty: nothing to answer")
    if count > limits.max_texts:
        raise Refusal(
            413,
            f"{count:,} texts: a request may hold {limits.max_texts:,}",
        )


def check_text(place: int, text: str | bytes, limits: Limits):
    """Raises Refusal where a text of an item is too long.

    Args:
        place: of the item in its request.
        text: str, or bytes of UTF-8.
        limits: see there.
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


def model_reason(error: Exception) -> str:
    """What a model's error says, without what TensorFlow puts around it."""
    for line in files.message_of(error).splitlines():
        line = files.without_additions(line.strip())
        if line and not line.startswith(_AROUND):
            return line
    return "the model cannot read this"
