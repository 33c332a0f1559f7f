"""Reads and writes files, local or remote (gs://…).

Errors name the file, and a file is written whole or not at all. TensorFlow is
imported for remote paths alone: configs, vocabularies and the model itself also
work without it, under Keras' JAX backend.
"""

import codecs
import contextlib
import fnmatch
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from bert_tf.errors import UserError
from bert_tf.file_contents import Content, content_of, with_line_ends
from bert_tf.file_formats import HEAD_BYTES


def is_remote(path: str) -> bool:
    """Whether TensorFlow has to read the path, such as gs://…"""
    return "://" in path


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


def reason(error: Exception) -> str:
    """The first line of an error's message, without TensorFlow's additions."""
    return without_additions(message_of(error).split("\n")[0])


def message_of(error: Exception) -> str:
    """The whole message of an error, also of TensorFlow's errors."""
    return getattr(error, "message", None) or str(error)


def without_additions(line: str) -> str:
    """A line without the node and the operation that TensorFlow adds to it."""
    return re.sub(r"^\{\{.*?\}\} | \[Op:\w+\]$", "", line)


@contextlib.contextmanager
def naming(
    path: str, action: str = "cannot be used", scratch: str = ""
) -> Iterator[None]:
    """Turns each file error of the block into an OSError that names `path`.

    Python names no file when a disk is full, TensorFlow has its own errors for
    remote file systems, and the name of a scratch file means nothing to a user.

    Args:
        path: the file that the message names.
        action: what failed.
        scratch: start of the names of scratch files, which are not shown.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        if name is not None and not (scratch and str(name).startswith(scratch)):
            raise
        why = error.strerror or reason(error)  # TensorFlow has OSErrors, too.
        why = why.removeprefix(f"{action}: ")  # Of a scratch file in another.
        raise OSError(error.errno, f"{action}: {why}", path) from None
    except Exception as error:
        if not type(error).__module__.startswith("tensorflow"):
            raise
        why = reason(error)
        if scratch and scratch in why:
            why = why.rpartition("; ")[2]  # After the file's name.
        raise OSError(None, f"{action}: {why}", path) from None


def exists(path: str) -> bool:
    """Whether there is a file or a folder."""
    if not is_remote(path):
        return os.path.exists(path)
    with naming(path):
        return _gfile().exists(path)


def glob(pattern: str) -> list[str]:
    """The sorted paths that match."""
    if not is_remote(pattern):
        folder, name = os.path.split(pattern)
        # Only the name is a pattern: a folder's name may contain brackets.
        return sorted(
            os.path.join(folder, entry)
            for entry in fnmatch.filter(entries(folder), name)
        )
    with naming(pattern):
        return sorted(_gfile().glob(pattern))


def pattern_matches(pattern: str) -> list[str]:
    """The sorted paths that match; folders' names may be patterns, too."""
    with naming(pattern):
        return sorted(_gfile().glob(pattern))


def entries(folder: str) -> list[str]:
    """The names in a folder, "" for the current one; [] if it is missing."""
    if not is_remote(folder):
        folder = folder or "."
        return os.listdir(folder) if os.path.isdir(folder) else []
    with naming(folder):
        is_there = _gfile().isdir(folder)
        return _gfile().listdir(folder) if is_there else []


def is_same(path: str, other: str) -> bool:
    """Whether two paths name one file, which need not exist yet."""
    if is_remote(path) or is_remote(other):
        return path == other
    return os.path.realpath(path) == os.path.realpath(other)


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    if not is_remote(path):
        return os.path.isdir(path)
    with naming(path):
        return _gfile().isdir(path)


def is_regular(path: str) -> bool:
    """Whether it is a file that can be read twice, not a pipe or a device."""
    return is_remote(path) or os.path.isfile(path)


def is_json_lines(path: str) -> bool:
    """Whether the name of a file says that it holds JSON."""
    name = uncompressed_name(path).lower()
    return name.endswith((".json", ".jsonl", ".ndjson"))


def uncompressed_name(path: str) -> str:
    """The path without the ending that says how the file is compressed."""
    return re.sub(r"\.(gz|bz2|xz|zst|zip)$", "", path, flags=re.IGNORECASE)


def stamp(path: str) -> list[int]:
    """[size in bytes, time of the last change in ns] of a file."""
    if not is_remote(path):
        status = os.stat(path)
        return [status.st_size, status.st_mtime_ns]
    with naming(path):
        remote = _gfile().stat(path)
        return [remote.length, remote.mtime_nsec]


def make_folder_of(path: str) -> None:
    """Creates the folder for a file."""
    if folder := os.path.dirname(path):
        make_folder(folder)


def make_folder(path: str) -> None:
    """Creates a folder and those above it, unless they exist."""
    if not is_remote(path):
        os.makedirs(path, exist_ok=True)
        return
    with naming(path):
        _gfile().makedirs(path)


def remove(path: str) -> None:
    """Removes a file."""
    if is_remote(path):
        _gfile().remove(path)
    else:
        os.remove(path)


def remove_if_there(path: str) -> None:
    """Removes a file if it exists."""
    if exists(path):
        remove(path)


def open_binary(path: str, mode: str = "rb") -> IO[bytes]:
    """Opens a file of bytes, local or remote."""
    if is_remote(path):
        return _gfile().GFile(path, mode)
    return open(path, mode, HEAD_BYTES)


@contextlib.contextmanager
def reading(path: str, encoding: str | None = None) -> Iterator[IO[bytes]]:
    """Yields a reader of a file's text, in UTF-8.

    Its first bytes decide what is done, whatever its name: a file compressed
    by gzip, bzip2, xz or zstd is decompressed, and so is a zip archive of one
    file; UTF-16 and UTF-32 become UTF-8. The reader's `peek` returns the first
    bytes. `open_binary` is for other files.

    Args:
        path: of the file, which may be a pipe.
        encoding: of its text, if it is known to be another than UTF-8; then it
            is not converted.

    Raises:
        OSError: the file cannot be read.
        UserError: it does not hold text, or is compressed and damaged.
    """
    with looking(path, encoding) as content:
        content.check_text()
        yield content.reader


@contextlib.contextmanager
def looking(path: str, encoding: str | None = None) -> Iterator[Content]:
    """Yields a file's content, text or not; see `reading`."""
    with naming(path), open_binary(path) as reader:
        yield content_of(reader, path, encoding)


def decode_line(line: bytes, path: str, number: int) -> str:
    """A line of a UTF-8 file, without its end.

    Every `\\r` is dropped, as by the original's file reader, and so is a byte
    order mark at the start of the file.

    Args:
        line: the bytes of the line.
        path: the file's path, for the message.
        number: the number of the line, from 1.

    Raises:
        UserError: the line is not UTF-8.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number}: not UTF-8: byte 0x{line[error.start]:02x} at "
            f"position {error.start + 1} of the line"
        ) from None
    return text.rstrip("\n").replace("\r", "")


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, text) for each line of a UTF-8 file.

    Only `\\n` ends a line; in a file without it, `\\r` does.

    Raises:
        OSError: the file cannot be read.
        UserError: see `reading` and `decode_line`.
    """
    with reading(path) as reader:
        yield from decode_lines(reader, path)


def decode_lines(
    reader: Iterable[bytes], path: str
) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, text) of lines of bytes; see `read_lines`."""
    for number, line in enumerate(with_line_ends(reader), start=1):
        yield number, decode_line(line, path, number)


def count_lines(path: str) -> int:
    """The number of a file's lines, without empty ones at its end.

    It reads bytes without decoding them, some gigabytes a second unless they
    are compressed.
    """
    number, empty, last = 0, 0, 0
    with reading(path) as text:
        reader = with_line_ends(text)
        while block := reader.read(1 << 22):
            content = block.rstrip(b"\r\n")
            if content:
                number += empty + content.count(b"\n")
                empty, last = 0, 1
            empty += block.count(b"\n", len(content))
    return number + last


def read_text(path: str) -> str:
    """The text of a UTF-8 file; see `read_lines`."""
    return "\n".join(text for _, text in read_lines(path))


def copy(source: str, target: str) -> None:
    """Copies a file byte by byte, whole or not at all."""
    with replacing(target) as scratch:
        with naming(source), open_binary(source) as reader:
            content = reader.read()
        with open_binary(scratch, "wb") as writer:
            writer.write(content)


def is_temporary(name: str) -> bool:
    """Whether `replacing` gives a file such a name."""
    return bool(re.fullmatch(r"\..+\.\d+\.tmp", name))


def _temporary_name(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.getpid()}.tmp")


def check_writable(path: str) -> None:
    """Raises OSError if no file can be created there; leaves no file."""
    probe = _temporary_name(path)
    with naming(path, "could not be written", scratch=probe):
        open_binary(probe, "wb").close()
        remove(probe)


def check_creatable(path: str) -> None:
    """Raises OSError if no file or folder can be made there; leaves nothing.

    Unlike `check_writable` it is for paths whose folder may not exist yet. A
    folder that exists is one in which files are to be made. Remote paths are
    not tried.
    """
    if is_remote(path):
        return
    folder = os.path.abspath(path)
    if not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    try:
        descriptor, probe = tempfile.mkstemp(
            prefix=".probe.", suffix=f".{os.getpid()}.tmp", dir=folder
        )
        os.close(descriptor)
        os.remove(probe)
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from None


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a temporary path, whose file becomes `path` when the block ends.

    If the block raises, `path` is left as it was and the temporary file is
    removed. A reader sees the old file or the new one, never a part.
    """
    temporary = _temporary_name(path)
    try:
        with naming(path, "could not be written", scratch=temporary):
            yield temporary
            move(temporary, path)
    except BaseException:
        with contextlib.suppress(Exception):
            remove(temporary)
        raise


def move(source: str, target: str) -> None:
    """Renames a file to `target`, which may exist.

    The file's bytes are on the disk before its name, and the name is on the
    disk before this returns.
    """
    if is_remote(target):
        _gfile().rename(source, target, overwrite=True)
        return
    with open(source, "rb") as reader:
        os.fsync(reader.fileno())
    os.replace(source, target)
    folder = os.open(os.path.dirname(target) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def writing_text(path: str) -> Iterator[IO[str]]:
    """Yields a writer of a UTF-8 file that appears when the block ends."""
    with replacing(path) as temporary:
        with open_binary(temporary, "wb") as writer:
            yield cast(IO[str], codecs.getwriter("utf-8")(writer))


def write_text(path: str, text: str) -> None:
    """Writes a whole UTF-8 file, or leaves the old one in place."""
    with writing_text(path) as writer:
        writer.write(text)
