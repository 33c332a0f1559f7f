"""Words that are given to a model of tags, in place of a text.

    {"words": ["New York", "'s", "mayor"]}

The signature `words` reads them with spaces between. Its answers have a tag for
each word, and places in the text that joins the words by a space.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NAME = "words"
# The tokenizer drops the first, and the words' signature keeps it; it takes the
# second for a space, at which that signature does not split.
DROPPED = "\u200b"
BLANK = "\u00a0"
_CHANGES = str.maketrans({"\0": "", **dict.fromkeys(" \t\r\n", BLANK)})


def are_given(item: object) -> bool:
    """Whether an item has words in place of a text."""
    return isinstance(item, Mapping) and {*item} == {NAME}


def words_of(item: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of an item.

    Raises:
        ValueError: they are not a list of strings, or there is none.
    """
    words = item[NAME]
    if not isinstance(words, list | tuple) or not words:
        raise ValueError("words must be a list of str, and not empty")
    for word in words:
        if not isinstance(word, str):
            raise ValueError(
                f"each of words must be str, not {type(word).__name__}"
            )
    return tuple(words)


def joined(words: Sequence[str]) -> bytes:
    """The text in which the signature `words` finds just these words."""
    changed = (word.translate(_CHANGES) for word in words)
    text = " ".join(word or DROPPED for word in changed)
    return text.encode("utf-8", "replace")


def answer(
    columns: Mapping[str, np.ndarray], words: Sequence[Sequence[str]]
) -> dict[str, np.ndarray]:
    """The outputs of the signature with the words as they were given.

    Args:
        columns: {output: array [B, W]}.
        words: those of each row.
    """
    found = {name: np.array(column) for name, column in columns.items()}
    for row, of_row in enumerate(words):
        start = 0
        for place, word in enumerate(of_row):
            found["words"][row, place] = word.encode("utf-8", "replace")
            found["starts"][row, place] = start
            found["ends"][row, place] = start + len(word)
            start += len(word) + 1
    return found


def merged(
    parts: Sequence[tuple[Sequence[int], Mapping[str, np.ndarray]]],
) -> dict[str, np.ndarray]:
    """Outputs of several calls as those of one.

    Args:
        parts: (rows, {output: array [number of rows, W]}) of each call.
    """
    number = sum(len(rows) for rows, _ in parts)
    longest = max(columns["words"].shape[1] for _, columns in parts)
    empty = {"words": b"", "tags": b"", "scores": 0.0, "starts": -1, "ends": -1}
    first = parts[0][1]
    found = {
        name: np.full((number, longest), empty[name], column.dtype)
        for name, column in first.items()
    }
    for rows, columns in parts:
        for name, column in columns.items():
            found[name][list(rows), : column.shape[1]] = column
    return found
