"""Decodes a file's text, with errors that name the wrong byte."""

import codecs
import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

from bert_tf import files
from bert_tf.errors import UserError


class _Bytes(io.RawIOBase):
    """Any reader of bytes as Python's own readers need it."""

    def __init__(self, reader):
        self._reader = reader

    def readable(self):
        return True

    def readinto(self, buffer):
        block = self._reader.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def with_mark(encoding: str) -> str:
    """The encoding that also reads UTF-8 with a byte order mark."""
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    return "utf-8-sig" if is_utf8 else encoding


@contextlib.contextmanager
def decoding(
    reader: IO[bytes], path: str, encoding: str, newline: str
) -> Iterator[IO[str]]:
    """Yields a reader of the text.

    Args:
        reader: of the file's bytes.
        path: of the file, for messages.
        encoding: of the text.
        newline: see `io.TextIOWrapper`.

    Raises:
        UserError: the text is in another encoding.
    """
    buffer = io.BufferedReader(_Bytes(reader), 1 << 20)
    try:
        yield io.TextIOWrapper(buffer, with_mark(encoding), newline=newline)
    except UnicodeError as error:
        raise UserError(
            f"{path}: not {encoding}: {_wrong_byte(error, path, encoding)}; "
            "`encoding`=latin-1 is another common one"
        ) from None


def _wrong_byte(error: UnicodeError, path: str, encoding: str) -> str:
    """The byte, and its line in encodings whose lines end with one byte."""
    if not isinstance(error, UnicodeDecodeError):
        return files.reason(error)
    byte: Any = error.object[error.start]
    if not files.is_regular(path):
        return f"byte 0x{byte:02x}"
    with files.reading(path, encoding) as reader:
        for number, line in enumerate(reader, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as in_line:
                if in_line.object[in_line.start] == byte:
                    return f"byte 0x{byte:02x} in line {number}"
                break
    return f"byte 0x{byte:02x}"
