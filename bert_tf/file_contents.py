"""The text in a file's bytes: decompressed and in UTF-8, whatever its name.

    with open("train.csv", "rb") as raw:
        content = content_of(raw, "train.csv")
        content.kind        None, or the kind of a file without text
        content.reader      its text, in UTF-8

`files.reading` opens files with it.
"""

import bz2
import codecs
import contextlib
import dataclasses
import gzip
import io
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bert_tf import extras, file_formats
from bert_tf.errors import UserError
from bert_tf.file_formats import HEAD_BYTES, Kind

BLOCK_BYTES = 1 << 18
MOST_LAYERS = 3  # Compressed files within compressed files.
NUM_NAMES_SHOWN = 10


class Blocks(io.RawIOBase):
    """A file whose bytes come from an iterable of blocks."""

    def __init__(self, blocks: Iterable[bytes]):
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = 0
        while size < len(buffer):
            if not self._rest:
                block = next(self._blocks, None)
                if block is None:
                    break
                self._rest = memoryview(block)
                continue
            part = self._rest[: len(buffer) - size]
            buffer[size : size + len(part)] = part
            self._rest = self._rest[len(part) :]
            size += len(part)
        return size


class _Stream(io.RawIOBase):
    """A pipe or device: its first bytes again, then the others as they come."""

    def __init__(self, start: bytes, reader: Any):
        self._start, self._reader = start, reader
        self._read = getattr(reader, "read1", reader.read)

    def readable(self):
        return True

    def readinto(self, buffer):
        block = self._start[: len(buffer)] or self._read(len(buffer))
        self._start = self._start[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)


@dataclasses.dataclass
class Content:
    """The bytes of a file, unpacked.

    Attributes:
        path: of the file.
        reader: its bytes, decompressed; text in UTF-16 or UTF-32 comes as
            UTF-8. `peek` gives the first ones.
        kind: of a file that does not hold text; pages (`HTML`, `XML`) are
            texts as well.
        layers: what was unpacked, the outermost first.
        is_converted: whether the text was in UTF-16 or UTF-32.
    """

    path: str
    reader: io.BufferedReader
    kind: Kind | None = None
    layers: list[Kind] = dataclasses.field(default_factory=list)
    is_converted: bool = False

    def check_text(self) -> None:
        """Raises UserError if it does not hold text."""
        if self.kind is not None and self.kind.role != "page":
            raise self.error()

    def error(self, advice: str = "") -> UserError:
        """The error that says what it is.

        Args:
            advice: what helps, if it is not the usual.
        """
        kind = self.kind or file_formats.BINARY
        within = "".join(f", {layer.name}" for layer in self.layers)
        advice = advice or kind.advice
        return UserError(
            f"{self.path}: {kind.name}{within}, not text"
            + (f": {advice}" if advice else "")
        )


def content_of(raw: Any, path: str, encoding: str | None = None) -> Content:
    """Looks at a file's first bytes, and unpacks it as they say.

    Args:
        raw: a reader at the file's start.
        path: its path, for messages.
        encoding: of its text, if it is known to be another than UTF-8: then
            it is not converted.

    Raises:
        UserError: it is compressed, and damaged or not one file.
    """
    content = Content(path, _with_head(raw))
    for _ in range(MOST_LAYERS):
        kind = file_formats.kind_of(_head(content.reader))
        if kind is file_formats.ZIP:
            content.reader = _seekable(content.reader)
            with _naming_damage(path, kind):
                kind = file_formats.kind_of_zip(content.reader)
            content.reader.seek(0)
        content.kind = kind
        if kind is None or kind.role != "compressed":
            break
        content.reader = _unpacked(content.reader, kind, path)
        content.layers.append(kind)
    kind = content.kind
    if kind is not None and kind.role == "encoding":
        content.kind = None
        if encoding is None:
            content.reader = _buffered(_in_utf8(content.reader, kind, path))
            content.is_converted = True
    elif kind is file_formats.BINARY and encoding is not None:
        content.kind = None  # The encoding decides.
    return content


def _buffered(blocks: Iterable[bytes]) -> io.BufferedReader:
    return io.BufferedReader(Blocks(blocks), HEAD_BYTES)


def _head(reader: io.BufferedReader) -> bytes:
    return reader.peek(HEAD_BYTES)[:HEAD_BYTES]


def _with_head(raw: Any) -> io.BufferedReader:
    """A reader that can be peeked into, from any reader of bytes."""
    if isinstance(raw, io.BufferedReader) and raw.seekable():
        return raw
    if not hasattr(raw, "fileno"):  # A remote file.
        return _buffered(iter(lambda: raw.read(BLOCK_BYTES), b""))
    # Enough to know what it is, without waiting for more than a line.
    read = getattr(raw, "read1", raw.read)
    start = b""
    while len(start) < 1000 and b"\n" not in start:
        block = read(HEAD_BYTES)
        if not block:
            break
        start += block
    return io.BufferedReader(_Stream(start, raw), HEAD_BYTES)


def with_line_ends(reader: Any) -> Any:
    """A reader of text whose lines end in \\n, where all end in \\r.

    Old Macs wrote such lines, and some of Excel's exports have them.

    Args:
        reader: of bytes, at the start of a file.
    """
    if not hasattr(reader, "peek"):
        return reader
    head = _head(reader)
    if head.count(b"\r") < 2 or b"\n" in head:
        return reader
    blocks = iter(lambda: reader.read(BLOCK_BYTES), b"")
    return _buffered(block.replace(b"\r", b"\n") for block in blocks)


def _seekable(reader: Any) -> Any:
    """The reader, or a copy of what it reads where a place must be found."""
    if reader.seekable():
        return reader
    copy = tempfile.TemporaryFile(buffering=HEAD_BYTES)
    shutil.copyfileobj(reader, copy, BLOCK_BYTES)
    copy.seek(0)
    return copy


@contextlib.contextmanager
def _naming_damage(path: str, kind: Kind) -> Iterator[None]:
    """Turns what decompression raises into one line."""
    try:
        yield
    except UserError:
        raise
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        why = str(error)
    except (NotImplementedError, RuntimeError) as error:
        why = str(error)  # A method of zip that Python does not have.
    except OSError as error:
        if error.errno is not None:  # The disk's, not the format's.
            raise
        why = str(error)
    else:
        return
    raise UserError(
        f"{path}: cannot be decompressed ({kind.id}): {why}"
    ) from None


def _unpacked(reader: Any, kind: Kind, path: str) -> io.BufferedReader:
    openers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: gzip.GzipFile(fileobj=reader),
        "bz2": lambda: bz2.BZ2File(reader),
        "xz": lambda: lzma.LZMAFile(reader),
        "zip": lambda: _only_member(reader, path),
    }

    def blocks() -> Iterator[bytes]:
        with _naming_damage(path, kind):
            stream = openers[kind.id]()
            while block := stream.read(BLOCK_BYTES):
                yield block

    if kind is file_formats.ZSTD:
        return _buffered(_zstd_blocks(reader, path))
    return _buffered(blocks())


def _only_member(reader: Any, path: str) -> Any:
    """Opens the one file that a zip archive should have."""
    archive = zipfile.ZipFile(reader)
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and not member.filename.rpartition("/")[2].startswith(".")
    ]
    if len(members) != 1:
        names = [member.filename for member in members]
        shown = ", ".join(names[:NUM_NAMES_SHOWN])
        shown += ", …" if len(names) > NUM_NAMES_SHOWN else ""
        what = f"with {len(names)} files: {shown}" if names else "without files"
        raise UserError(
            f"{path}: a zip archive {what}; unpack it, and name one of them"
            if names
            else f"{path}: a zip archive {what}"
        )
    if members[0].flag_bits & 1:
        raise UserError(
            f"{path}: a zip archive with a password; unpack it first"
        )
    return archive.open(members[0])


def _zstd_blocks(reader: Any, path: str) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise UserError(
            f"{path}: compressed by zstd, which needs the package zstandard "
            f"({extras.how_to_install('tables')}); or unpack it first"
        ) from None
    frame, rest = None, b""
    try:
        while block := rest or reader.read(BLOCK_BYTES):
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(block)
            rest = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    except zstandard.ZstdError as error:
        raise UserError(
            f"{path}: cannot be decompressed (zstd): {error}"
        ) from None
    if frame is not None:
        raise UserError(
            f"{path}: cannot be decompressed (zstd): its end is missing"
        )


def _in_utf8(reader: Any, kind: Kind, path: str) -> Iterator[bytes]:
    """Yields text of UTF-16 or UTF-32 in UTF-8."""
    decoder = codecs.getincrementaldecoder(kind.id)()
    is_over = False
    while not is_over:
        block = reader.read(BLOCK_BYTES)
        is_over = not block
        try:
            yield decoder.decode(block, is_over).encode()
        except UnicodeError as error:
            raise UserError(
                f"{path}: starts as {kind.name}, but is not: {error}"
            ) from None
