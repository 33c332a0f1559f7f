"""Keys of clients: a file of them, and the check of each request."""

import hashlib
import hmac
import os
import time
from collections.abc import Iterable

from absl import logging

from bert_tf.errors import UserError

SECONDS_BETWEEN_LOOKS = 2.0
LONGEST_KEY = 512


class ApiKeys:
    """The keys in a file, which is read again when it changes.

    Each line is a key; empty lines and those that start with # are left out.

    Args:
        file: its path.

    Raises:
        UserError: the file cannot be read, or holds no keys.
    """

    def __init__(self, file: str):
        self._file = file
        self._stamp = _stamp(file)
        self._digests = _read(file)
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS

    def allows(self, key: str | None) -> bool:
        """Whether a key is one of them.

        The time that it takes says nothing about the keys.

        Args:
            key: what the client sent; None if it sent none.
        """
        self._look()
        digest = _digest(key or "")
        found = [hmac.compare_digest(digest, each) for each in self._digests]
        return key is not None and any(found)

    def _look(self) -> None:
        """Reads the file again if it has changed; else the old keys stay."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = _read(self._file)
        except UserError as error:
            logging.error("the keys stay as they are: %s", error)
        else:
            logging.info("the keys were read again: %d", len(self._digests))


def key_in(headers: Iterable[tuple[str, str]]) -> str | None:
    """The key that a request has; None if it has none.

    It is sent as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.

    Args:
        headers: (name in lower case, value) of each header, or of the metadata
            of a call of gRPC.
    """
    for name, value in headers:
        if name == "x-api-key":
            return value.strip()
        if name == "authorization":
            scheme, _, key = value.partition(" ")
            if scheme.lower() == "bearer":
                return key.strip()
    return None


def _stamp(file: str) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: str) -> list[bytes]:
    """The digests of the keys in a file."""
    digests = []
    try:
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                key = line.strip()
                if not key or key.startswith("#"):
                    continue
                # Only these can be sent in a header.
                if not (key.isascii() and key.isprintable()) or " " in key:
                    raise UserError(
                        f"{file}:{number}: a key has letters, digits and "
                        "signs of ASCII, without blanks"
                    )
                if len(key) > LONGEST_KEY:
                    raise UserError(
                        f"{file}:{number}: a key has at most {LONGEST_KEY} "
                        "characters"
                    )
                digests.append(_digest(key))
    except UnicodeDecodeError:
        raise UserError(
            "is not a text in UTF-8", setting="api_key_file", value=file
        ) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(why, setting="api_key_file", value=file) from None
    if not digests:
        raise UserError("holds no key", setting="api_key_file", value=file)
    return digests


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
