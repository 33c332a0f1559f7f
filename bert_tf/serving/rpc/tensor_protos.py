"""TensorFlow's TensorProto: read with care, and written.

A TensorProto may say that it is huge and hold one value, which TensorFlow
repeats. So all sizes are checked before an array is made.
"""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.limits import Limits
from bert_tf.serving.rpc.messages import Message, message_class
from bert_tf.serving.tensors import MOST_AXES, Tensor

TensorProto = message_class("tensorflow.TensorProto")
# Elements that a message may leave out, in all its tensors together: two
# inputs of 1,024 rows of 512 tokens. More would let a few bytes fill memory.
MOST_LEFT_OUT = 1 << 20
# The fields that hold the values of each type.
_FIELDS = {
    tf.string: "string_val",
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.int16: "int_val",
    tf.uint16: "int_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
}
_TYPES = {dtype.as_datatype_enum: dtype for dtype in _FIELDS}


def tensors_of(protos: Mapping[str, Message], limits: Limits) -> list[Tensor]:
    """Reads the tensors of a message.

    Args:
        protos: {name of an input: a TensorProto}.
        limits: the limits of a request.

    Raises:
        Refusal: one cannot be read, or they leave out too many values.
    """
    left_out = sum(map(_num_left_out, protos.values()))
    if left_out > MOST_LEFT_OUT:
        raise Refusal(
            400,
            f"the inputs leave out {left_out:,} values of their shapes: at "
            f"most {MOST_LEFT_OUT:,} are repeated",
        )
    return [tensor_of(name, proto, limits) for name, proto in protos.items()]


def _num_left_out(proto: Message) -> int:
    """Number of values that are not there; the last one stands for them."""
    dtype, axes = _TYPES.get(proto.dtype), proto.tensor_shape.dim
    if dtype is None or proto.tensor_content or len(axes) > MOST_AXES:
        return 0  # It is refused, or must have them all.
    number = math.prod(axis.size for axis in axes)
    return max(0, number - len(getattr(proto, _FIELDS[dtype])))


def tensor_of(name: str, proto: Message, limits: Limits) -> Tensor:
    """Reads a tensor.

    Args:
        name: the name of the input.
        proto: a TensorProto.
        limits: the limits of a request.

    Returns:
        The tensor; strings are bytes.

    Raises:
        Refusal: the type is not read, or the values do not fit the shape.
    """
    dtype = _TYPES.get(proto.dtype)
    if dtype is None:
        names = ", ".join(f"DT_{_type_name(each)}" for each in _FIELDS)
        raise _refusal(name, f"dtype {proto.dtype}: known are {names}")
    sizes = _sizes(name, proto.tensor_shape)
    number = math.prod(sizes)
    if number > limits.max_body_bytes:
        raise _refusal(name, f"a shape of {number:,} elements is too large")
    if dtype == tf.string:
        array = _strings(name, proto, number, limits)
    else:
        array = _numbers(name, proto, dtype, number)
    return Tensor(name, array.reshape(sizes))


def _type_name(dtype: tf.DType) -> str:
    return "FLOAT" if dtype == tf.float32 else dtype.name.upper()


def _refusal(name, why):
    return Refusal(400, f"{shown(name)}: {why}")


def _sizes(name, shape) -> tuple[int, ...]:
    """The size of each axis."""
    sizes = tuple(dim.size for dim in shape.dim)
    if shape.unknown_rank or not 1 <= len(sizes) <= MOST_AXES:
        raise _refusal(name, f"needs a shape of 1 to {MOST_AXES} axes")
    if min(sizes) < 1:
        raise _refusal(name, "each axis of its shape must have 1 or more")
    return sizes


def _strings(name, proto, number, limits):
    if proto.tensor_content:
        raise _refusal(name, "strings belong in string_val")
    values = _filled(name, proto.string_val, number, b"")
    size = sum(map(len, values))
    if size > limits.max_body_bytes:
        raise _refusal(name, f"{size:,} bytes of strings are too many")
    array = np.empty(number, object)
    array[:] = values
    return array


def _numbers(name, proto, dtype, number):
    numpy_dtype = np.dtype(dtype.as_numpy_dtype).newbyteorder("<")
    if proto.tensor_content:
        if len(proto.tensor_content) != number * numpy_dtype.itemsize:
            raise _refusal(
                name,
                f"tensor_content has {len(proto.tensor_content):,} bytes: "
                f"{number * numpy_dtype.itemsize:,} belong to its shape",
            )
        return np.frombuffer(proto.tensor_content, numpy_dtype)
    values = _filled(name, getattr(proto, _FIELDS[dtype]), number, 0)
    try:
        return np.array(values, numpy_dtype)
    except OverflowError:
        raise _refusal(
            name, f"a number does not fit DT_{_type_name(dtype)}"
        ) from None


def _filled(name, given, number, default):
    """A list of `number` values, of which the last may stand for more."""
    if len(given) > number:
        raise _refusal(
            name, f"{len(given):,} values: its shape has {number:,} elements"
        )
    last = given[-1] if given else default
    return [*given, *[last] * (number - len(given))]


def proto_of(array: np.ndarray) -> Message:
    """Writes an array as a TensorProto.

    The values are in the field of their type, where clients look for them.
    """
    if array.dtype.hasobject:
        dtype = tf.string
    else:
        dtype = tf.as_dtype(array.dtype)
        if dtype not in _FIELDS:  # bfloat16, float16.
            dtype, array = tf.float32, array.astype(np.float32)
    proto = TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _FIELDS[dtype]).extend(array.ravel().tolist())
    return proto
