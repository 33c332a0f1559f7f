"""Texts as a client sends them: checked, and cut into requests."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bert_tf.serving.connection import EncodeError

# Texts in a request, unless the server allows fewer.
MAX_TEXTS = 256
AROUND = 1000  # Bytes of a body that are left for what is around the texts.


def listed(texts: Any, is_tokenized: bool = False, name: str = "texts") -> list:
    """The texts as JSON has them: a list of str, or of lists of str.

    Args:
        texts: what the user gave.
        is_tokenized: whether each text is a list of tokens.
        name: of the argument, for errors.

    Raises:
        ValueError: a text is something else; the message says which.
    """
    texts = _items(texts)
    if not texts:
        raise ValueError(f"{name} must be a list of one text or more")
    if is_tokenized:
        texts = [_items(words) for words in texts]
    for place, text in enumerate(texts):
        words = text if is_tokenized else [text]
        if words is None or not all(isinstance(w, str) for w in words):
            kind = "a list of str" if is_tokenized else "str"
            raise ValueError(f"{name}[{place}] must be {kind}")
    return texts


def _items(values: Any) -> list | None:
    """The items of a list, an array or a generator; None for all else."""
    if isinstance(values, str | bytes | Mapping):
        return None
    try:
        return list(values)
    except TypeError:
        return None


def in_parts(
    texts: Sequence[Any],
    limits: Mapping[str, int],
    most: int = MAX_TEXTS,
    name: str = "texts",
) -> Iterator[list[Any]]:
    """Yields the texts in lists that the server accepts.

    Args:
        texts: of `listed`.
        limits: the server's, as its status has them.
        most: texts in a list at most.
        name: see `listed`.

    Raises:
        EncodeError: the server would refuse a text as too long.
    """
    most = min(most, limits["max_texts"])
    max_bytes = limits["max_body_bytes"] - AROUND
    part: list[Any] = []
    num_bytes = 0
    for place, text in enumerate(texts):
        size = len(json.dumps(text)) + 2
        longest = limits.get("max_text_bytes", max_bytes)
        _check_size(f"{name}[{place}]", text, size, longest, max_bytes)
        if part and (len(part) == most or num_bytes + size > max_bytes):
            yield part
            part, num_bytes = [], 0
        part.append(text)
        num_bytes += size
    yield part


def _check_size(
    name: str, text: Any, size: int, longest: int, max_bytes: int
) -> None:
    """Raises EncodeError if the server would refuse a text as too long."""
    text = text if isinstance(text, str) else " ".join(text)
    num_bytes = len(text.encode("utf-8", "replace"))
    if num_bytes > longest:
        raise EncodeError(
            f"{name} has {num_bytes:,} bytes: the server allows {longest:,}"
        )
    if size > max_bytes:
        raise EncodeError(
            f"{name} has {size:,} bytes in JSON: the server allows "
            f"{max_bytes:,}"
        )


def joined(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The vectors of several answers, [N, D] or [N, S, D] each, as one array.

    In each answer S is the length of its own longest text; shorter texts are
    padded with zeros.
    """
    if len({part.shape[1:] for part in vectors}) > 1:
        longest = max(part.shape[1] for part in vectors)
        vectors = [
            np.pad(part, [(0, 0), (0, longest - part.shape[1]), (0, 0)])
            for part in vectors
        ]
    return np.concatenate(vectors)
