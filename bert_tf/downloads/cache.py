"""The folder in which released models are kept, each in a folder of its name.

    HOME/NAME/             vocab.txt, bert_config.json, bert_model.ckpt.*
    HOME/NAME.zip.part     a download that is not whole yet
    HOME/NAME.zip.part.json  where it comes from
    HOME/.NAME.lock        locked by the process that downloads or removes NAME
    HOME/.NAME.PID.tmp     a model that is being unpacked or removed

HOME is the environment variable BERT_TF_HOME, or else `bert_tf` in the
platform's folder for caches. A folder NAME appears and goes in one step.
"""

import contextlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from typing import IO

from absl import logging

from bert_tf import files
from bert_tf.downloads.releases import DEMO_FOLDER, RELEASES, Release
from bert_tf.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

HOME_VARIABLE = "BERT_TF_HOME"
CONFIG, VOCABULARY, CHECKPOINT = (
    "bert_config.json",
    "vocab.txt",
    "bert_model.ckpt",
)
_SHARD = re.compile(re.escape(CHECKPOINT) + r"\.data-(\d{5})-of-(\d{5})")
# Seconds between two looks at a lock, and between two messages about it.
_BETWEEN_LOOKS, _BETWEEN_MESSAGES = 0.1, 60.0


def home() -> str:
    """The cache's folder, which need not exist yet.

    Raises:
        UserError: BERT_TF_HOME is an address, not a folder of this machine.
    """
    given = os.environ.get(HOME_VARIABLE, "")
    if files.is_remote(given):
        raise UserError(
            f"{HOME_VARIABLE}={given}: must be a folder of this machine"
        )
    if given:
        return os.path.abspath(os.path.expanduser(given))
    return os.path.join(_platform_caches(), "bert_tf")


def _platform_caches() -> str:
    """The platform's folder for caches."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        return local or os.path.expanduser(r"~\AppData\Local")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches")
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The standard says that a relative path is not used.
    return given if os.path.isabs(given) else os.path.expanduser("~/.cache")


# ---------------------------------------------------------------------------
# Where things lie.


def folder_of(release: Release) -> str:
    """The folder in which a release lies, or will lie."""
    if release.is_bundled:
        return DEMO_FOLDER
    return os.path.join(home(), release.name)


def partial_file(release: Release) -> str:
    """The file of a download that is not whole yet."""
    return os.path.join(home(), f"{release.name}.zip.part")


def temporary_folder(release: Release) -> str:
    """The folder in which this process unpacks or removes a release."""
    return os.path.join(home(), f".{release.name}.{os.getpid()}.tmp")


def model_folder(release: Release) -> str | None:
    """The folder with the files of a release; None if it is not in the cache.

    A user who unpacks an archive in the folder of its name has an inner folder
    of that name, which is found, too.

    Raises:
        UserError: its folder exists and lacks a file.
    """
    folder = folder_of(release)
    if not os.path.lexists(folder):
        return None
    inner = os.path.join(folder, release.archive or release.name)
    candidates = [folder, inner] if os.path.isdir(inner) else [folder]
    for candidate in candidates:
        if not missing_files(candidate):
            return candidate
    raise UserError(
        f"{folder}: not the whole model {release.name}: "
        f"{missing_files(candidates[-1])[0]} is missing; "
        "remove the folder, and the model is downloaded again"
    )


def missing_files(folder: str) -> list[str]:
    """The names of the files that a folder lacks to be a model's."""
    names = set(files.entries(folder))
    needed = [CONFIG, VOCABULARY, f"{CHECKPOINT}.index"]
    shards = [found for name in names if (found := _SHARD.fullmatch(name))]
    number = max((int(found[2]) for found in shards), default=1)
    needed += [
        f"{CHECKPOINT}.data-{shard:05}-of-{number:05}"
        for shard in range(number)
    ]
    return [name for name in needed if name not in names]


def is_cached(release: Release) -> bool:
    """Whether all files of a release are there."""
    try:
        return model_folder(release) is not None
    except UserError:
        return False


def cached() -> list[Release]:
    """The releases that are there, in the order of the table."""
    return [release for release in RELEASES if is_cached(release)]


def bytes_of(folder: str) -> int:
    """Bytes of all files in a folder and the folders below it."""
    return sum(
        os.path.getsize(os.path.join(where, name))
        for where, _, names in os.walk(folder)
        for name in names
        if os.path.isfile(os.path.join(where, name))
    )


# ---------------------------------------------------------------------------
# Changes. Each needs the lock of its release.


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turns an error of the disk into a UserError that names the cache."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or home()}: the cache cannot be written "
            f"({error.strerror or error}); {HOME_VARIABLE} names another folder"
        ) from None


@contextlib.contextmanager
def locked(release: Release) -> Iterator[None]:
    """Keeps other processes from changing a release in the cache.

    Waits for a process that does, and says so. The lock ends with the process,
    in whatever way that ends.

    Raises:
        UserError: the cache cannot be written.
    """
    with writing():
        os.makedirs(home(), exist_ok=True)
        path = os.path.join(home(), f".{release.name}.lock")
        lock = open(path, "a+b", buffering=0)
    with lock:
        is_locked = _wait_for(lock, release)
        try:
            yield
        finally:
            if is_locked:
                _unlock(lock)


def _wait_for(lock: IO[bytes], release: Release) -> bool:
    """Locks a file; False if its file system knows no locks."""
    next_message = 0.0
    while not (is_locked := _try_to_lock(lock)):
        if is_locked is None:
            logging.warning(
                "%s: its file system has no locks: let only one process "
                "download a model at a time",
                home(),
            )
            return False
        if time.monotonic() >= next_message:
            next_message = time.monotonic() + _BETWEEN_MESSAGES
            lock.seek(0)
            owner = lock.read(20).decode("ascii", "replace").strip()
            logging.info(
                "%s: process %s is downloading or removing it; waiting for it",
                release.name,
                owner or "(another one)",
            )
        time.sleep(_BETWEEN_LOOKS)
    with contextlib.suppress(OSError):  # A full disk; the number is a help.
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
    return True


def _try_to_lock(lock: IO[bytes]) -> bool | None:
    """Whether a file is now locked; None if its file system knows no locks."""
    try:
        if sys.platform == "win32":
            lock.seek(1 << 20)  # What is locked there cannot be read.
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _unlock(lock: IO[bytes]) -> None:
    """Ends a lock, also in processes that were forked meanwhile."""
    if sys.platform == "win32":
        lock.seek(1 << 20)
        msvcrt.locking(lock.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(lock, fcntl.LOCK_UN)


def put_in_place(folder: str, release: Release) -> None:
    """Gives an unpacked model its name, in one step.

    Args:
        folder: a folder of the cache with the whole model.
        release: the model.
    """
    try:
        os.rename(folder, folder_of(release))
    except OSError:
        # Without locks, another process may have been faster.
        if not is_cached(release):
            raise
    if sys.platform != "win32":
        _write_through(home())


def _write_through(folder: str) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(release: Release) -> int:
    """Removes a release from the cache, and what is there of its download.

    Returns:
        The number of bytes that were removed; 0 if nothing was there.

    Raises:
        UserError: it comes with the package, or cannot be removed.
    """
    if release.is_bundled:
        raise UserError(
            f"{release.name}: comes with the package and cannot be removed"
        )
    folder, partial = folder_of(release), partial_file(release)
    if not os.path.lexists(folder) and not os.path.exists(partial):
        return 0
    with locked(release), writing():
        size = os.path.getsize(partial) if os.path.exists(partial) else 0
        discard_partial(release)
        if os.path.islink(folder):  # What it leads to is not the cache's.
            os.remove(folder)
        elif os.path.lexists(folder):
            size += bytes_of(folder)
            os.rename(folder, temporary_folder(release))
        clean_up(release)
    return size


def discard_partial(release: Release) -> None:
    """Removes what is there of a download."""
    partial = partial_file(release)
    for path in (partial, f"{partial}.json"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def clean_up(release: Release) -> None:
    """Removes what processes that were killed have left of a release."""
    pattern = re.compile(rf"\.{re.escape(release.name)}\.\d+\.tmp")
    for name in files.entries(home()):
        if pattern.fullmatch(name):
            shutil.rmtree(os.path.join(home(), name))
