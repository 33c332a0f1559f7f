"""Tensors of the Open Inference Protocol: their types, shapes and bytes.

A tensor has a name, a datatype such as "FP32", a shape, and its elements in
row-major order. In binary form numbers are little-endian, and each element of
BYTES has its length before it, in 4 bytes.
"""

import dataclasses
import itertools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert_tf.serving.errors import Refusal, shown

BYTES = "BYTES"
NUMBERS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in NUMBERS.items()}
MOST_AXES = 8
LARGEST_AXIS = 1 << 31


def datatype_of(dtype: Any) -> str:
    """Returns the protocol's name of a NumPy type; types it lacks are FP32."""
    dtype = np.dtype(dtype)
    return BYTES if dtype.hasobject else _NAMES.get(dtype, "FP32")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a request or an answer.

    Attributes:
        name: its name.
        array: its elements; those of BYTES are objects, each str or bytes.
    """

    name: str
    array: np.ndarray

    @property
    def datatype(self) -> str:
        """The protocol's name of its type."""
        return datatype_of(self.array.dtype)

    @property
    def shape(self) -> list[int]:
        """The size of each axis."""
        return list(self.array.shape)

    def to_bytes(self) -> bytes:
        """Returns the elements in binary form."""
        if self.datatype != BYTES:
            return self.array.astype(NUMBERS[self.datatype]).tobytes()
        parts = []
        for value in self.array.ravel().tolist():
            encoded = _encoded(value)
            parts += [struct.pack("<I", len(encoded)), encoded]
        return b"".join(parts)


def _encoded(value: str | bytes) -> bytes:
    return (
        value if isinstance(value, bytes) else value.encode("utf-8", "replace")
    )


def text_of(value: str | bytes) -> str:
    """Returns an element of BYTES as text.

    Raises:
        ValueError: it is not UTF-8.
    """
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start + 1}") from None


def tensor_of_values(
    name: str, datatype: str, shape: Sequence[object], values: object
) -> Tensor:
    """Makes a tensor of a list.

    Args:
        name: its name.
        datatype: the protocol's name of its type.
        shape: the size of each axis.
        values: its elements, in one list or nested as the shape says: str or
            bytes for BYTES, else numbers or bool.

    Raises:
        Refusal: the elements do not fit the type or the shape.
    """
    sizes = _checked_shape(name, datatype, shape)
    flat = _flat(name, sizes, values)
    if datatype == BYTES:
        _check_types(name, datatype, flat, {str, bytes})
        array = np.empty(len(flat), object)
        array[:] = flat
    else:
        array = _numbers(name, datatype, flat)
    return Tensor(name, array.reshape(sizes))


def tensor_of_bytes(
    name: str, datatype: str, shape: Sequence[object], data: bytes
) -> Tensor:
    """Makes a tensor of its binary form; see `tensor_of_values`."""
    sizes = _checked_shape(name, datatype, shape)
    number = math.prod(sizes)
    if datatype == BYTES:
        flat = _split(name, number, data)
        array = np.empty(number, object)
        array[:] = flat
        return Tensor(name, array.reshape(sizes))
    dtype = NUMBERS[datatype]
    if len(data) != number * dtype.itemsize:
        raise Refusal(
            400,
            f"{shown(name)}: {len(data):,} bytes are not the {number:,} "
            f"elements of its shape as {datatype}",
        )
    return Tensor(name, np.frombuffer(data, dtype).reshape(sizes))


def _split(name, number, data):
    """The elements of BYTES in binary form."""
    elements, place = [], 0
    while place + 4 <= len(data) and len(elements) < number:
        (size,) = struct.unpack_from("<I", data, place)
        place += 4
        if size > len(data) - place:
            break
        elements.append(data[place : place + size])
        place += size
    if len(elements) != number or place != len(data):
        raise Refusal(
            400,
            f"{shown(name)}: the bytes are not the {number:,} elements of its "
            "shape, each with its length before it in 4 bytes",
        )
    return elements


def _checked_shape(name, datatype, shape):
    if datatype != BYTES and datatype not in NUMBERS:
        names = ", ".join([BYTES, *NUMBERS])
        raise Refusal(
            400,
            f"{shown(name)}: datatype {shown(datatype)} is unknown; known are "
            f"{names}",
        )
    if not 1 <= len(shape) <= MOST_AXES or not all(
        # JSON's true is an int in Python.
        type(size) is int and 0 <= size < LARGEST_AXIS
        for size in shape
    ):
        raise Refusal(
            400,
            f"{shown(name)}: shape must be a list of 1 to {MOST_AXES} whole "
            "numbers",
        )
    return tuple(shape)


def _flat(name, sizes, values):
    """The elements of a list that may be nested as its shape says."""
    if not isinstance(values, list):
        raise Refusal(400, f"{shown(name)}: data must be a list")
    number = math.prod(sizes)
    if not (values and isinstance(values[0], list)):
        if len(values) != number:
            raise Refusal(
                400,
                f"{shown(name)}: data has {len(values):,} elements: the shape "
                f"has {number:,}",
            )
        return values
    level: list[Any] = [values]
    for size in sizes:
        if not all(
            isinstance(inner, list) and len(inner) == size for inner in level
        ):
            raise Refusal(
                400, f"{shown(name)}: data is not nested as its shape says"
            )
        level = [*itertools.chain.from_iterable(level)]
    return level


def _check_types(name, datatype, values, allowed):
    if not {*map(type, values)} <= allowed:
        wrong = next(each for each in values if type(each) not in allowed)
        raise Refusal(
            400, f"{shown(name)}: data holds {_quoted(wrong)}, not {datatype}"
        )


def _quoted(value):
    return "null" if value is None else shown(value)


def _numbers(name, datatype, values):
    dtype = NUMBERS[datatype]
    if dtype.kind == "f":
        _check_types(name, datatype, values, {int, float})
        try:
            with np.errstate(over="ignore"):
                return np.array(values, np.float64).astype(dtype)
        except OverflowError:
            raise Refusal(
                400, f"{shown(name)}: data holds a number that is too large"
            ) from None
    if dtype.kind == "b":
        _check_types(name, datatype, values, {bool})
        return np.array(values, dtype)
    _check_types(name, datatype, values, {int})
    limits = np.iinfo(dtype)
    for end in (min, max):
        _check_range(name, datatype, values, end, limits)
    return np.array(values, dtype)


def _check_range(
    name: str,
    datatype: str,
    values: list[int],
    end: Callable[..., int],
    limits: Any,
) -> None:
    value = end(values, default=0)
    if not limits.min <= value <= limits.max:
        raise Refusal(
            400, f"{shown(name)}: {shown(value)} does not fit {datatype}"
        )
