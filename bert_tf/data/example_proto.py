"""tf.train.Example and TFRecord files, written without TensorFlow.

For processes that write many small examples: they start at once, and a list of
whole numbers costs a table look-up for each. The messages, by the rules of
https://protobuf.dev/programming-guides/encoding:

    Example   {1: Features}
    Features  {1: entry, repeated}         entry {1: name, 2: Feature}
    Feature   {2: FloatList, 3: Int64List}        each {1: packed values}
"""

import struct
from collections.abc import Iterable, Sequence

import google_crc32c

# A field's number, and its type: a length, followed by that number of bytes.
_FIELD_1, _FIELD_2, _FIELD_3 = b"\x0a", b"\x12", b"\x1a"
_REMEMBERED = 1 << 20  # Smaller numbers, such as ids, come again and again.
_64_BITS = (1 << 64) - 1


def varint(number: int) -> bytes:
    """An int64, seven bits a byte, the lowest first.

    Negative numbers are written as 2⁶⁴ more.
    """
    number &= _64_BITS
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class _Varints(dict):
    """{number: its bytes}, filled as small numbers are met."""

    def __missing__(self, number):
        encoded = varint(number)
        if 0 <= number < _REMEMBERED:
            self[number] = encoded
        return encoded


_encoded = _Varints().__getitem__


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _encoded(len(content)) + content


def int64_feature(name: str, values: Iterable[int]) -> bytes:
    """A feature of whole numbers, for `example`."""
    packed = b"".join(map(_encoded, values))
    return _entry(name, _field(_FIELD_3, _field(_FIELD_1, packed)))


def float_feature(name: str, values: Sequence[float]) -> bytes:
    """A feature of float32 numbers, for `example`."""
    packed = struct.pack(f"<{len(values)}f", *values)
    return _entry(name, _field(_FIELD_2, _field(_FIELD_1, packed)))


def _entry(name, feature):
    entry = _field(_FIELD_1, name.encode()) + _field(_FIELD_2, feature)
    return _field(_FIELD_1, entry)


def example(*encoded_features: bytes) -> bytes:
    """A serialized tf.train.Example."""
    return _field(_FIELD_1, b"".join(encoded_features))


def record(content: bytes) -> bytes:
    """A record of a TFRecord file: length, content, and a checksum of each.

    https://www.tensorflow.org/tutorials/load_data/tfrecord
    """
    length = struct.pack("<Q", len(content))
    return b"".join([length, _checksum(length), content, _checksum(content)])


def _checksum(content):
    crc = google_crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)
