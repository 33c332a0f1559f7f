"""The JSON of requests and answers, read and written by orjson.

orjson is several times as fast as Python's json, and differs from it in some
places. There Python's json takes over, so that both read and write the same
values with the same errors:

    reading   lone surrogates ("\\ud800"), which orjson refuses
              whole numbers beyond 64 bits, which orjson makes floats
              whatever orjson refuses: Python's json says why
    writing   lone surrogates, whole numbers beyond 64 bits, deep nesting
              all that is not ASCII: it is escaped, as in the answers of
              earlier versions

orjson would write NaN and infinity as `null`: `rest.to_json` refuses them. Its
answers have no blanks after commas and colons.
"""

import json
import math

import orjson

# Whole numbers of more digits may need more than 64 bits.
MOST_DIGITS = 18
_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_NUMBER = b"0" * (MOST_DIGITS + 1)


def read(body: bytes) -> object:
    """Parses JSON in UTF-8.

    Raises:
        ValueError: the body is not JSON, or holds a number that JSON does not
            have (NaN) or that does not fit a float (1e999).
        RecursionError: it is nested too deep.
    """
    if _LONG_NUMBER not in body.translate(_DIGITS):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return json.loads(
        body.decode("utf-8"),
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_whole,
    )


def _refuse_constant(name):
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits):
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _whole(digits):
    try:
        return int(digits)
    except ValueError:  # Python reads 4,300 digits at most.
        raise ValueError(f"the number {digits[:20]}… is too large") from None


def write(value: object) -> bytes:
    """Writes a value as JSON, in ASCII.

    Args:
        value: dicts with keys of type str, lists, str, bool, None and numbers,
            which must be finite.
    """
    try:
        written = orjson.dumps(value)
        if written.isascii():
            return written
    except orjson.JSONEncodeError:
        pass
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
