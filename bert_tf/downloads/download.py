"""Fetches a released model: from the cache, or from where it was released.

BERT_TF_MIRROR is another base address, http://, https:// or file://, below
which the archives lie at the same paths.
"""

import contextlib
import os
import shutil
import urllib.parse
import urllib.request

from absl import logging

from bert_tf.downloads import cache, releases, transfer, unpacking
from bert_tf.downloads.releases import Release
from bert_tf.errors import UserError

BASE_ADDRESS = "https://storage.googleapis.com/bert_models"
MIRROR_VARIABLE = "BERT_TF_MIRROR"
# What an archive has of the size of its model: numbers hardly get smaller.
PACKED_FRACTION = 0.93


def fetch_named(name: str) -> str:
    """The folder of the released model of a name or alias; see `fetch`."""
    return fetch(releases.named(name))


def fetch(release: Release) -> str:
    """The folder of a released model, which is downloaded if it is absent.

    Several processes may ask for the same model: one of them downloads it, the
    others wait.

    Args:
        release: the model; `releases.named` finds it by its name.

    Returns:
        The folder with vocab.txt, bert_config.json and bert_model.ckpt.*.

    Raises:
        UserError: it cannot be downloaded, is not what it must be, or the
            cache cannot be written. What has arrived of it stays there for the
            next call, unless it is wrong.
    """
    folder = cache.model_folder(release)
    if folder is None:
        address = address_of(release)
        with cache.locked(release), cache.writing():
            cache.clean_up(release)
            # Another process may have downloaded it meanwhile.
            folder = cache.model_folder(release)
            if folder is None:
                folder = _download(release, address)
    elif not release.is_bundled and os.path.exists(cache.partial_file(release)):
        # The process that downloaded it was killed before its last step.
        with contextlib.suppress(OSError):
            cache.discard_partial(release)
    return folder


def address_of(release: Release) -> str:
    """Where the archive of a release is downloaded from.

    Raises:
        UserError: BERT_TF_MIRROR is not a base address.
    """
    base = os.environ.get(MIRROR_VARIABLE, "") or BASE_ADDRESS
    parts = urllib.parse.urlsplit(base)
    if parts.username is not None:  # Not shown: there may be a password.
        raise UserError(
            f"{MIRROR_VARIABLE}: must not hold the name of a user; set a proxy "
            "that knows the password, or download the archive yourself"
        )
    if parts.scheme not in ("http", "https", "file"):
        is_folder = os.path.isabs(base)
        hint = f"; did you mean file://{base}?" if is_folder else ""
        raise UserError(
            f"{MIRROR_VARIABLE}={base}: must start with https://, http:// or "
            f"file://{hint}"
        )
    return f"{base.rstrip('/')}/{release.path}"


def _download(release: Release, address: str) -> str:
    """Downloads a release into the cache, and returns its folder."""
    logging.info("%s: downloading %s", release.name, address)
    is_file = address.startswith("file:")
    receive = _local_archive if is_file else _received_archive
    archive = receive(release, address)
    folder = cache.temporary_folder(release)
    try:
        unpacking.unpack(archive, folder, release)
        cache.put_in_place(folder, release)
    except unpacking.WrongArchive as error:
        if not is_file:
            cache.discard_partial(release)
        raise UserError(
            f"{address}: not the archive of {release.name}: {error}; nothing "
            "of it was kept"
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not is_file:
        cache.discard_partial(release)
    target = cache.folder_of(release)
    logging.info("%s: now in %s", release.name, target)
    return target


def _local_archive(release: Release, address: str) -> str:
    """The path of the archive at a file:// address."""
    parts = urllib.parse.urlsplit(address)
    path = urllib.request.url2pathname(parts.path)
    if parts.netloc not in ("", "localhost"):
        why = "file:// is followed by a folder of this machine, as file:///data"
        raise UserError(_advice(release, address, why))
    if not os.path.isfile(path):
        raise UserError(_advice(release, address, "there is no such file"))
    _check_space(release, 0)
    return path


def _received_archive(release: Release, address: str) -> str:
    """The path of the archive at an address, which has been received."""
    path = cache.partial_file(release)
    have = os.path.getsize(path) if os.path.exists(path) else 0
    _check_space(release, PACKED_FRACTION * release.checkpoint_bytes - have)
    try:
        transfer.receive(
            address, path, release.name, unpacking.max_bytes(release)
        )
    except transfer.TransferError as error:
        if error.is_wrong:
            cache.discard_partial(release)
        raise UserError(_advice(release, address, str(error))) from None
    return path


def _advice(release: Release, address: str, why: str) -> str:
    """An error that says how to get the model in another way."""
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    where = (
        f"below {MIRROR_VARIABLE} there must be {release.path}; or "
        if mirror
        else ""
    )
    return (
        f"{release.name}: not in the cache, and {address} cannot be "
        f"downloaded: {why}; {where}download {BASE_ADDRESS}/{release.path} by "
        f"other means and unpack it into {cache.folder_of(release)} "
        f"({cache.HOME_VARIABLE} moves the cache)"
    )


def _check_space(release: Release, num_packed: float) -> None:
    """Raises UserError if the disk has no room for a model.

    Args:
        num_packed: bytes of the archive that are still to come.
    """
    needed = release.checkpoint_bytes + max(num_packed, 0)
    free = shutil.disk_usage(cache.home()).free
    if free < needed:
        raise UserError(
            f"{cache.home()}: {free / 1e6:.0f} MB are free, {release.name} "
            f"needs about {needed / 1e6:.0f} while it is unpacked; "
            f"{cache.HOME_VARIABLE} names another folder"
        )
