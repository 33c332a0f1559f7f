"""Receives a file over HTTP, and resumes where an earlier try ended.

What has arrived lies in PATH. PATH.json says where it comes from, so that the
rest is asked for only as long as the server still has the same file.
"""

import contextlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import IO, Any

from absl import logging

from bert_tf.progress import ByteReporter, erase_bar

TIMEOUT_SECONDS = 30.0  # For a connection, and for each part of an answer.
PAUSES = (1.0, 2.0, 4.0, 8.0)  # Seconds before the second, … fifth try.
BLOCK_BYTES = 1 << 18
# The server may answer later: time-outs, too many requests, its own errors.
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class TransferError(Exception):
    """A file cannot be received; the message says why, in one line.

    Attributes:
        is_wrong: whether what has arrived is of no use.
    """

    def __init__(self, why: str, is_wrong: bool = False):
        super().__init__(why)
        self.is_wrong = is_wrong


class _Cut(Exception):
    """A try has ended early, and another one may resume."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, but not from HTTPS to HTTP."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        is_safe = newurl.lower().startswith("https:")
        if not is_safe and req.full_url.lower().startswith("https:"):
            raise TransferError(f"it leads to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def receive(address: str, path: str, name: str, max_bytes: int) -> None:
    """Receives a file, or the rest of it; tries several times.

    Proxies are those of the environment: https_proxy, no_proxy.

    Args:
        address: where the file is, http:// or https://.
        path: the file to write, in which an earlier call may have left a part.
            A part stays there if the connection ends.
        name: what the log calls the file.
        max_bytes: the most that are taken.

    Raises:
        OSError: `path` cannot be written.
        TransferError: the file cannot be received.
    """
    for number, pause in enumerate((*PAUSES, None), start=1):
        try:
            _receive_rest(address, path, name, max_bytes, number > 1)
            return
        except _Cut as error:
            if pause is None:
                raise TransferError(
                    f"the connection failed {number} times: {error}"
                ) from None
            logging.warning(
                "%s: %s; next try in %g seconds", name, error, pause
            )
            time.sleep(pause)


def _receive_rest(
    address: str, path: str, name: str, max_bytes: int, is_again: bool
) -> None:
    """Tries once; see `receive`.

    Raises:
        _Cut: another try may help.
    """
    have, known = _read_state(address, path)
    if have and have == known.get("total"):
        return  # Only its check is left.
    headers = {"User-Agent": "bert_tf"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if known.get("validator"):
            headers["If-Range"] = known["validator"]
    request = urllib.request.Request(address, headers=headers)
    with contextlib.ExitStack() as stack:
        try:
            response = stack.enter_context(_opened(request, is_again))
        except urllib.error.HTTPError as error:
            with error:
                whole = _total_of(error.headers)
            if error.code == 416 and have and have == whole:
                return  # Nothing is missing.
            why = "the server has another file now"
            raise _start_again(path, why) from None
        start, total = _place_of(response, have)
        if start and total is None:
            total = known.get("total")
        if start is None or (start and known.get("total", total) != total):
            raise _start_again(path, "the server has another file now")
        if total is not None and total > max_bytes:
            raise TransferError(_too_large(total, max_bytes), is_wrong=True)
        if not start:
            _write_state(address, path, response.headers, total)
        progress = ByteReporter(name, start, total)
        if start:
            logging.info("%s: %s have arrived", name, progress.so_far())
        stack.callback(erase_bar)
        with open(path, "ab") as writer:
            for block in _blocks(response):
                writer.write(block)
                progress.add(len(block))
                if progress.done > max_bytes:
                    why = _too_large(progress.done, max_bytes)
                    raise TransferError(why, is_wrong=True)
    if total is not None and progress.done > total:
        raise _start_again(path, f"more than {total} bytes came")
    if total is not None and progress.done < total:
        raise _Cut(
            f"the connection ended after {progress.done} of {total} bytes"
        )


def _start_again(path: str, why: str) -> _Cut:
    """Discards what has arrived; returns the end of the try."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    return _Cut(f"{why}; the download starts again")


def _too_large(size: int, max_bytes: int) -> str:
    return (
        f"the file has {size} bytes or more, at most {max_bytes} are expected"
    )


def _opened(request: urllib.request.Request, is_again: bool) -> Any:
    """The server's answer to a request.

    Args:
        is_again: whether the server has answered before; then a failure may
            pass.

    Raises:
        HTTPError: status 416: the server has no more bytes.
        TransferError: another try would not help.
        _Cut: another try may help.
    """
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and request.has_header("Range"):
            raise
        error.close()
        # A reason of several lines reports redirections.
        reason = str(error.reason).partition("\n")[0]
        why = f"the server answers {error.code} {reason}"
        if error.code in _PASSING:
            raise _Cut(why) from None
        raise TransferError(why) from None
    except urllib.error.URLError as error:
        why = f"it cannot be reached: {_words_of(error.reason)}"
        if is_again or isinstance(error.reason, ConnectionResetError):
            raise _Cut(why) from None
        raise TransferError(why) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"the server does not answer: {_words_of(error)}") from None
    except ValueError as error:
        raise TransferError(f"not an address: {error}") from None


def _words_of(error: object) -> str:
    """What an error of the network says, without its number."""
    return getattr(error, "strerror", None) or str(error) or repr(error)


def _place_of(
    response: http.client.HTTPResponse, have: int
) -> tuple[int | None, int | None]:
    """Where an answer's bytes begin in the file, and the file's size.

    Args:
        response: the answer to a request for all bytes from `have` on.

    Returns:
        (begin, size); begin is None if these are not the bytes asked for, size
        if the server does not say it.
    """
    if response.status == 206:
        given = response.headers.get("Content-Range", "")
        begins = given.startswith(f"bytes {have}-") and have > 0
        return have if begins else None, _total_of(response.headers)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _total_of(headers: Message) -> int | None:
    """The size of the whole file after the / of Content-Range."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yields an answer's bytes.

    Raises:
        _Cut: the connection has ended.
    """
    while True:
        try:
            # What is there, without waiting for more: it is not lost then.
            block = response.read1(BLOCK_BYTES)
        except http.client.IncompleteRead as error:
            yield error.partial
            raise _Cut("the connection ended early") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"the connection ended: {_words_of(error)}") from None
        if not block:
            return
        yield block


# ---------------------------------------------------------------------------
# What has arrived.


def _read_state(address: str, path: str) -> tuple[int, dict[str, Any]]:
    """How many bytes have arrived, and what is known of the file.

    A part that comes from another address, or from somewhere unknown, is not
    used.
    """
    if not os.path.exists(path):
        return 0, {}
    try:
        with open(f"{path}.json", encoding="utf-8") as reader:
            known = json.load(reader)
    except (OSError, ValueError):
        known = None
    if not isinstance(known, dict) or known.get("address") != address:
        return 0, {}
    return os.path.getsize(path), known


def _write_state(
    address: str, path: str, headers: Message, total: int | None
) -> None:
    """Empties the file, and notes what its bytes will be."""
    with open(path, "wb"):
        pass
    validator = headers.get("ETag", "")
    if not validator or validator.startswith("W/"):
        # A weak one may stand for two files of different bytes.
        validator = headers.get("Last-Modified", "")
    state: dict[str, Any] = {"address": address, "validator": validator}
    if total is not None:
        state["total"] = total
    with open(f"{path}.json", "w", encoding="utf-8") as writer:
        json.dump(state, writer)
