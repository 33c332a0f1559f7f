"""A client of `python -m bert_tf.tools.serve`: texts in, vectors out.

    with EncodeClient("localhost", port=8501) as client:
        client.encode(["a text", "another"])  # float32 [2, D]

It needs NumPy alone.
"""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping

import numpy as np

# What a request holds unless the server takes less.
MAX_TEXTS = 256
RETRIES = 5  # Where the server is busy.


class EncodeError(RuntimeError):
    """The server did not answer, or refused; one line that says why."""


class EncodeClient:
    """Args:
    ip: name or address of the server's machine.
    port: of the server.
    model: name of the embedding model; needed where it serves several.
    timeout: seconds to wait for an answer.
    """

    def __init__(
        self,
        ip: str = "localhost",
        port: int = 8501,
        model: str | None = None,
        timeout: float = 60.0,
    ):
        host = f"[{ip}]" if ":" in ip else ip
        self._address = f"http://{host}:{port}"
        self._model = model
        self._timeout = timeout
        # No proxy: the server is near.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )
        self._limits = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Lets go of what it holds; connections last for one answer alone."""
        self._opener.close()

    def encode(self, texts: Iterable, is_tokenized: bool = False) -> np.ndarray:
        """Vectors of the texts: float32 [N, D], in their order.

        Args:
            texts: strings, in a list, an array, a generator; lists of words
                where `is_tokenized`.
            is_tokenized: see there.

        Raises:
            EncodeError: the server refuses, or there is none; or it would not
                take one of the texts, which is known before any is sent.
            ValueError: `texts` are no such, or there are none.
        """
        texts = _listed(texts, is_tokenized)
        parts = [
            self._encode_part(part, is_tokenized)
            for part in [*self._parts(texts)]
        ]
        if len({part.shape[1:] for part in parts}) > 1:
            parts = _equally_long(parts)
        return np.concatenate(parts)

    def server_status(self) -> dict:
        """What the server tells of itself and its models."""
        return self._ask("/status/server")

    def _parts(self, texts):
        """The texts in lists that the server takes."""
        if self._limits is None:
            self._limits = self.server_status()["limits"]
        max_texts = min(MAX_TEXTS, self._limits["max_texts"])
        # Room for what stands around the texts.
        max_bytes = self._limits["max_body_bytes"] - 1000
        part, num_bytes = [], 0
        for place, text in enumerate(texts):
            size = len(json.dumps(text)) + 2
            self._check_size(place, text, size, max_bytes)
            if part and (
                len(part) == max_texts or num_bytes + size > max_bytes
            ):
                yield part
                part, num_bytes = [], 0
            part.append(text)
            num_bytes += size
        yield part

    def _check_size(self, place, text, size, max_bytes):
        """Raises EncodeError where the server would not take one text."""
        text = text if isinstance(text, str) else " ".join(text)
        num_bytes = len(text.encode("utf-8", "replace"))
        longest = self._limits.get("max_text_bytes", max_bytes)
        if num_bytes > longest:
            raise EncodeError(
                f"texts[{place}] has {num_bytes:,} bytes: the server takes "
                f"{longest:,}"
            )
        if size > max_bytes:
            raise EncodeError(
                f"texts[{place}] has {size:,} bytes in JSON: the server takes "
                f"{max_bytes:,}"
            )

    def _encode_part(self, texts, is_tokenized):
        query = ""
        if self._model is not None:
            query = "?" + urllib.parse.urlencode({"model": self._model})
        body = {"texts": texts, "is_tokenized": is_tokenized}
        answer = self._ask("/encode" + query, body)
        return np.array(answer["results"], np.float32)

    def _ask(self, path, body=None):
        """The server's answer; asks again where it is busy for a while."""
        for retry in range(RETRIES + 1):
            try:
                return self._send(path, body)
            except urllib.error.HTTPError as error:
                wait = error.headers.get("Retry-After", "")
                if error.code != 429 or not wait.isdigit() or retry == RETRIES:
                    raise EncodeError(_reason(error)) from None
                time.sleep(min(int(wait) + retry, self._timeout))
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = getattr(error, "reason", None) or error
                why = why or type(error).__name__
                raise EncodeError(f"{self._address}: {why}") from None

    def _send(self, path, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path,
            data=data,
            headers={"Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=self._timeout) as reply:
            return json.load(reply)


def _listed(texts, is_tokenized) -> list:
    """The texts as JSON has them: a list of str, or of lists of str.

    Raises:
        ValueError: they are no such; the message tells which.
    """
    texts = _items(texts)
    if not texts:
        raise ValueError("texts must be a list of one text or more")
    if is_tokenized:
        texts = [_items(words) for words in texts]
    for place, text in enumerate(texts):
        words = text if is_tokenized else [text]
        if words is None or not all(isinstance(w, str) for w in words):
            kind = "a list of str" if is_tokenized else "str"
            raise ValueError(f"texts[{place}] must be {kind}")
    return texts


def _items(values) -> list | None:
    """What is in a list, an array, a generator; None where it is no such."""
    if isinstance(values, str | bytes | Mapping):
        return None
    try:
        return list(values)
    except TypeError:
        return None


def _reason(error):
    """The server's own line, where it sent one."""
    try:
        why = json.load(error)["error"]
    except Exception:
        why = error.reason
    return f"{error.code}: {why}"


def _equally_long(parts):
    """Vectors of tokens, [N, S, D]: each answer is as long as its longest."""
    longest = max(part.shape[1] for part in parts)
    return [
        np.pad(part, [(0, 0), (0, longest - part.shape[1]), (0, 0)])
        for part in parts
    ]
