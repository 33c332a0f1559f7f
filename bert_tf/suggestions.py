"""Finds what a misspelt name was meant to be."""

import difflib
import re
from collections.abc import Iterable, Mapping

# Two names that are as alike as this are taken for one, misspelt.
LEAST_SIMILARITY = 0.6

# {what people write: the names that it may mean}.
Synonyms = Mapping[str, tuple[str, ...]]


def nearest(
    word: str, names: Iterable[str], synonyms: Synonyms | None = None
) -> str | None:
    """The name that a word was meant to be; None if no name is near.

    Args:
        word: what was written.
        names: what could have been written; of names that are equally near
            the first is taken.
        synonyms: what else the names are called. They count before spelling.
    """
    names = [name for name in names if name != word]
    for meant in (synonyms or {}).get(words_of(word), ()):
        if meant in names:
            return meant
    best = max(names, key=lambda name: similarity(word, name), default=None)
    if best is None or similarity(word, best) < LEAST_SIMILARITY:
        return None
    return best


def similarity(word: str, name: str) -> float:
    """How much two names are alike, from 0 to 1: by letters, or by words.

    Case and the characters between words do not count.
    """
    ours, theirs = words_of(word).split("_"), words_of(name).split("_")
    by_letters = difflib.SequenceMatcher(
        None, "".join(ours), "".join(theirs), autojunk=False
    ).ratio()
    shared = len({*ours} & {*theirs} - {""})
    by_words = 2 * shared / (len({*ours}) + len({*theirs}))
    return max(by_letters, by_words)


def hint(
    word: str,
    names: Iterable[str],
    synonyms: Synonyms | None = None,
    form: str = "{!r}",
) -> str:
    """The end of an error: "; did you mean 'text'?", or "" without a name.

    Args:
        word, names, synonyms: see `nearest`.
        form: how a name is written, for `str.format`.
    """
    meant = nearest(word, names, synonyms)
    return "" if meant is None else f"; did you mean {form.format(meant)}?"


def words_of(name: str) -> str:
    """A name in lower case, with one underscore between words."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
