"""Decodes a file's text, with errors that name the wrong byte."""

import codecs
import contextlib
import io
import re
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


def known(encoding: str) -> str | None:
    """The encoding if files are not UTF-8, and their text is in no other."""
    return None if with_mark(encoding) == "utf-8-sig" else encoding


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
        byte = _wrong_byte(error, path, encoding)
        raise UserError(
            f"{path}: not {encoding}: {byte}; `encoding`="
            f"{other_encoding(byte)} is another common one"
        ) from None


def nul_error(path: str, line: int) -> UserError:
    """The error that a line, counted from 1, has a NUL character."""
    return UserError(
        f"{path}:{line}: a NUL character, which is not in any text; files in "
        "`encoding`=utf-16 have some"
    )


def other_encoding(message: str) -> str:
    """The likeliest encoding of a file that is not UTF-8.

    Args:
        message: names the byte that is wrong, such as "byte 0x96".
    """
    found = re.search(r"byte 0x([89][0-9a-f])", message)
    # latin-1 has control characters there, cp1252 dashes and quotes.
    return "cp1252" if found else "latin-1"


def _wrong_byte(error: UnicodeError, path: str, encoding: str) -> str:
    """The byte, and its line in encodings whose lines end with one byte."""
    if not isinstance(error, UnicodeDecodeError):
        return files.reason(error)
    byte: Any = error.object[error.start]
    if not files.is_regular(path):
        return f"byte 0x{byte:02x}"
    with files.reading(path, encoding) as reader:
        others = 0  # Line ends of a carriage return alone.
        for number, line in enumerate(reader, start=1):
            try:
                line.decode(encoding)
                others += line.rstrip().count(b"\r")
            except UnicodeDecodeError as in_line:
                if in_line.object[in_line.start] == byte:
                    others += in_line.object[: in_line.start].count(b"\r")
                    number += others
                    return f"byte 0x{byte:02x} in line {number}"
                break
    return f"byte 0x{byte:02x}"
