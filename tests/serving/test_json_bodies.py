"""Bodies are read and written as Python's json does it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tf.serving import json_bodies

NUMBERS = [
    b"0", b"-0", b"-0.0", b"1E5", b"1e23", b"1e-400", b"0.1e1", b"1.0",
    b"999999999999999999", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809",
    b"123456789.123456789123456789", b"2.2250738585072014e-308", b"9" * 400,
    b"1" + b"0" * 4000, b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity",
    b"01", b"1.", b".5", b"+1", b"-", b"1e", b"0x1", b"1_0", b"\xd9\xa1",
]  # fmt: skip
STRINGS = [
    b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\ud83d\\ude00"', b'"a\tb"',
    b'"\x7f"', b'"\\u0000"', b'"\\/"', b'"\\x"', b'"\xff"', b'"\xed\xa0\x80"',
    b'"a', "\"ä漢🙂\u2028\"".encode(), b"'a'", b'"0000000000000000000000"',
]  # fmt: skip
OTHERS = [
    b"", b" ", b"{", b"[1,]", b'{"a":1,}', b'{"a" 1}', b"{1:2}", b"nul",
    b"\xef\xbb\xbf{}", b"{}x", b"{}\x0b", b"\x00", b' {"a":\r\n[1 ,2]}\t',
    b'{"a":1,"b":2,"a":3}', b'{"\\ud800":1}', b"[" * 400 + b"]" * 400,
]  # fmt: skip


def read_by_json(body):
    """What the server did before it had orjson."""

    def refuse(name):
        raise ValueError(f"{name} is not a JSON number")

    def finite(digits):
        if not math.isfinite(float(digits)):
            raise ValueError(f"the number {digits[:20]} is too large")
        return float(digits)

    return json.loads(
        body.decode("utf-8"), parse_constant=refuse, parse_float=finite
    )


def outcome(read, body):
    """A value with its types and the order of its keys, or an error."""
    try:
        return repr(read(body))
    except ValueError as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize("body", NUMBERS + STRINGS + OTHERS, ids=repr)
def test_reading_is_as_python_reads(body):
    for whole in (body, b'{"a": [' + body + b"]}"):
        expected = outcome(read_by_json, whole)
        assert outcome(json_bodies.read, whole) == expected


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.data())
def test_values_and_damaged_bodies(value, ensure_ascii, data):
    body = json.dumps(value, ensure_ascii=ensure_ascii)
    body = body.encode("utf-8", "surrogatepass")
    assert outcome(json_bodies.read, body) == outcome(read_by_json, body)
    place = data.draw(st.integers(0, len(body)))
    new = data.draw(st.binary(max_size=2))
    body = body[:place] + new + body[place + 1 :]
    assert outcome(json_bodies.read, body) == outcome(read_by_json, body)


@given(VALUES)
def test_what_is_written_is_ascii_and_read_back_as_it_was(value):
    written = json_bodies.write(value)
    assert written.isascii()
    assert repr(json.loads(written)) == repr(value)


def test_odd_values_are_written():
    deep = "end"
    for _ in range(400):
        deep = [deep]
    for value in (deep, 10**400, {"\ud800": ["\udfff", "漢"]}, -0.0, 5e-324):
        assert repr(json.loads(json_bodies.write(value))) == repr(value)


def test_deep_nesting_is_an_error_and_not_a_crash():
    for depth in (1020, 1024, 1025, 100_000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            body = opening * depth + b"1" + closing * depth
            try:
                json_bodies.read(body)
            except (RecursionError, ValueError):
                assert depth > 900


def test_a_number_that_python_does_not_read_is_too_large():
    for body in (b"9" * 5000, b"[-" + b"9" * 5000 + b"]"):
        with pytest.raises(ValueError, match=r"number -?9{19}.*… is too large"):
            json_bodies.read(body)
