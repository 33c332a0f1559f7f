"""Unpacks the archive of a release, whatever somebody has put into it.

Names in a zip archive may lead out of the folder, sizes may be those of a bomb,
and an archive may hold another model. Nothing of such an archive is kept.
"""

import errno
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.downloads import cache
from bert_tf.downloads.releases import Release
from bert_tf.errors import UserError

# For the vocabulary, the config and TensorFlow 1's graph (bert_model.ckpt.meta,
# about 2 MB), and names in the archive.
SLACK_BYTES = 16 << 20
MAX_ENTRIES = 1000
BLOCK_BYTES = 1 << 20
_KEPT = re.compile(
    rf"{re.escape(cache.VOCABULARY)}|{re.escape(cache.CONFIG)}"
    rf"|{re.escape(cache.CHECKPOINT)}\.[\w-]+"
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for damaged archives, besides its own exception.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, UnicodeDecodeError),
)


class WrongArchive(UserError):
    """An archive is damaged, dangerous, or not that of the release."""


def max_bytes(release: Release) -> int:
    """The most bytes that a release may have, packed or unpacked."""
    return release.checkpoint_bytes + SLACK_BYTES


def unpack(path: str, folder: str, release: Release) -> None:
    """Unpacks an archive into a folder that it makes, and checks the model.

    Only the model's files are kept, which the archive has at its top or in one
    folder. They are on the disk when this returns.

    Args:
        path: of the archive.
        folder: does not exist yet. After an error it may hold a part.
        release: the model that the archive must hold.

    Raises:
        OSError: the folder cannot be written.
        WrongArchive: nothing of the archive may be used.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _kept(_checked(archive.infolist(), release))
            os.makedirs(folder)
            left = max_bytes(release)
            for name, entry in entries.items():
                target = os.path.join(folder, name)
                left -= _write(archive, entry, target, left)
    except _DAMAGE as error:
        why = str(error) or "it ends early"
        raise WrongArchive(f"not a whole zip archive ({why})") from None
    except OSError as error:
        # A place before the archive's first byte. Files that cannot be written
        # have other numbers.
        if error.errno != errno.EINVAL:
            raise
        raise WrongArchive("not a whole zip archive") from None
    check(folder, release)


def _checked(
    entries: Sequence[zipfile.ZipInfo], release: Release
) -> Sequence[zipfile.ZipInfo]:
    """The entries of an archive, none of which can do harm."""
    if len(entries) > MAX_ENTRIES:
        raise WrongArchive(f"holds {number_of(len(entries), 'file')}")
    seen = set()
    for entry in entries:
        name = entry.orig_filename
        if why := _danger(entry):
            raise WrongArchive(f"holds {name!r}, {why}")
        # Case does not count on every file system.
        if name.casefold() in seen:
            raise WrongArchive(f"holds {name!r} twice")
        seen.add(name.casefold())
    declared = sum(entry.file_size for entry in entries)
    if declared > max_bytes(release):
        raise WrongArchive(_too_large(declared, release))
    return entries


def _danger(entry: zipfile.ZipInfo) -> str:
    """Why an entry of an archive must not be unpacked; "" if it may."""
    name = entry.orig_filename
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "an absolute path"
    if "\\" in name or not name.isprintable():
        return "a name with a backslash or a control character"
    if ".." in name.split("/"):
        return "a path that leads out of the folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a special file"
    if entry.flag_bits & 0x1:
        return "an encrypted file"
    if entry.compress_type not in _METHODS:
        return f"packed by method {entry.compress_type}, not by deflate"
    return ""


def _too_large(size: int, release: Release) -> str:
    return (
        f"unpacks to {size / 1e6:.0f} MB or more, {release.name} has at most "
        f"{max_bytes(release) / 1e6:.0f}"
    )


def _kept(
    entries: Sequence[zipfile.ZipInfo],
) -> dict[str, zipfile.ZipInfo]:
    """{name: entry} of the model's files, which are all in one folder."""
    folders = [
        entry.filename.removesuffix(cache.CONFIG)
        for entry in entries
        if os.path.basename(entry.filename) == cache.CONFIG
    ]
    if len(folders) != 1:
        raise WrongArchive(f"holds {len(folders)} files {cache.CONFIG}, not 1")
    return {
        name: entry
        for entry in entries
        if entry.filename.startswith(folders[0])
        and _KEPT.fullmatch(name := entry.filename[len(folders[0]) :])
    }


def _write(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: str, left: int
) -> int:
    """Writes one file of an archive, and returns its size in bytes.

    Args:
        left: how many bytes may be written; the archive's own sizes may lie.
    """
    size = 0
    with archive.open(entry) as reader, open(target, "wb") as writer:
        while block := reader.read(BLOCK_BYTES):
            size += len(block)
            if size > min(left, entry.file_size):
                raise WrongArchive(
                    f"{entry.filename!r} is larger than the archive says"
                )
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return size


def check(folder: str, release: Release) -> None:
    """Raises WrongArchive unless a folder holds the files of a release."""
    if missing := cache.missing_files(folder):
        raise WrongArchive(f"{missing[0]} is missing")
    try:
        config = BertConfig.from_json_file(os.path.join(folder, cache.CONFIG))
        num_lines = files.count_lines(os.path.join(folder, cache.VOCABULARY))
    except UserError as error:
        # The folder is a temporary one.
        raise WrongArchive(str(error).replace(folder + os.sep, "")) from None
    for name, size in release.sizes.items():
        if (found := getattr(config, name)) != size:
            raise WrongArchive(
                f"{cache.CONFIG} is of another model: {name} is {found}, not "
                f"{size}"
            )
    if num_lines != release.vocab_size:
        raise WrongArchive(
            f"{cache.VOCABULARY} has {number_of(num_lines, 'line')}, not "
            f"{release.vocab_size}"
        )
