"""A client for `python -m bert_tf.tools.serve`: texts in, vectors out.

    with EncodeClient("localhost", port=8501) as client:
        client.encode(["a text", "another"])  # float32 [2, D]

It needs only NumPy.
"""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping

import numpy as np

# Texts in a request, unless the server allows fewer.
MAX_TEXTS = 256
RETRIES = 5  # If the server is busy.


class EncodeError(RuntimeError):
    """The server cannot be reached or refuses; the message is one line."""


class EncodeClient:
    """Asks a server for the vectors of texts, as bert-as-service's BertClient.

        client = EncodeClient("localhost", port=8501)
        client.encode(["a text", "another"])  # float32 [2, D]

    Args:
        ip: name or address of the server's machine.
        port: the server's port.
        model: name of the embedding model; needed if the server has several.
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
        # No proxy: the server is on a local network.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )
        self._limits: dict[str, int] | None = None

    def __enter__(self) -> "EncodeClient":
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Frees what the client holds. No connection outlasts its answer."""
        self._opener.close()

    def encode(
        self,
        texts: Iterable[str] | Iterable[Iterable[str]],
        is_tokenized: bool = False,
    ) -> np.ndarray:
        """Returns the vectors of texts, in their order.

        Args:
            texts: a list, an array or a generator of str; or of lists of
                words if `is_tokenized`.
            is_tokenized: whether each text is a list of words.

        Returns:
            float32 [N, D]; [N, S, D] from a model with a vector per token.

        Raises:
            EncodeError: the server cannot be reached, refuses, or does not
                accept texts as long as one of these. The lengths are checked
                before anything is sent.
            ValueError: `texts` is empty, or is not what it must be.
        """
        texts = _listed(texts, is_tokenized)
        vectors = [
            self._encode_part(part, is_tokenized)
            for part in [*self._parts(texts)]
        ]
        if len({part.shape[1:] for part in vectors}) > 1:
            vectors = _equally_long(vectors)
        return np.concatenate(vectors)

    def server_status(self) -> dict[str, object]:
        """Returns the server's description of itself and its models."""
        return self._ask("/status/server")

    def _parts(self, texts):
        """Yields the texts in lists that the server accepts."""
        if self._limits is None:
            self._limits = self.server_status()["limits"]
        max_texts = min(MAX_TEXTS, self._limits["max_texts"])
        # Leaves room for the rest of the body, around the texts.
        max_bytes = self._limits["max_body_bytes"] - 1000
        part: list = []
        num_bytes = 0
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
        """Raises EncodeError if the server would refuse a text as too long."""
        text = text if isinstance(text, str) else " ".join(text)
        num_bytes = len(text.encode("utf-8", "replace"))
        longest = self._limits.get("max_text_bytes", max_bytes)
        if num_bytes > longest:
            raise EncodeError(
                f"texts[{place}] has {num_bytes:,} bytes: the server allows "
                f"{longest:,}"
            )
        if size > max_bytes:
            raise EncodeError(
                f"texts[{place}] has {size:,} bytes in JSON: the server allows "
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
        """Returns the server's answer; asks again while the server is busy."""
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
    """Returns the texts as JSON has them: a list of str, or of lists of str.

    Raises:
        ValueError: a text is something else; the message says which.
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
    """The items of a list, an array or a generator; None for all else."""
    if isinstance(values, str | bytes | Mapping):
        return None
    try:
        return list(values)
    except TypeError:
        return None


def _reason(error):
    """The server's own message, if it sent one."""
    try:
        why = json.load(error)["error"]
    except Exception:
        why = error.reason
    return f"{error.code}: {why}"


def _equally_long(vectors):
    """Pads vectors of tokens, [N, S, D], to the largest S with zeros.

    In each answer S is the length of its own longest text.
    """
    longest = max(part.shape[1] for part in vectors)
    return [
        np.pad(part, [(0, 0), (0, longest - part.shape[1]), (0, 0)])
        for part in vectors
    ]
