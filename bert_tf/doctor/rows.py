"""RowSet: the rows of one set, as all checks of texts and labels see them."""

import dataclasses
import functools
import itertools
import re
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

_NOT_WORDS = re.compile(r"[\W_]+")
_ASCII_MARKS = str.maketrans(dict.fromkeys(string.punctuation, " "))


def normalized(text: str) -> str:
    """A text without case, punctuation and the width of its white space.

    A text without any letter or digit is only stripped.
    """
    if text.isascii():
        words = " ".join(text.lower().translate(_ASCII_MARKS).split())
    else:
        words = _NOT_WORDS.sub(" ", text.casefold()).strip()
    return words or text.strip()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowSet:
    """The rows of one set.

    Attributes:
        set_type: "train", "dev" or "test".
        path: of the file.
        texts: the text of each row; words are joined.
        pairs: the second text of each row, or None.
        labels: the label of each row: a text, a number, a tuple or list of
            texts, or None.
        kind: of the problem, see `plausible.sample.Sample`.
        place: function(row) -> "path:line".
        unit: what a row is called.
        number: of all rows, where these are only some of them.
    """

    set_type: str
    path: str
    texts: Sequence[str]
    labels: Sequence[Any]
    kind: str
    place: Callable[[int], str]
    pairs: Sequence[str] | None = None
    unit: str = "row"
    number: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    @functools.cached_property
    def keys(self) -> list[Any]:
        """What rows with the same text share, after normalization."""
        keys: list[Any] = [*map(normalized, self.texts)]
        if self.pairs is not None:
            return [*zip(keys, map(normalized, self.pairs), strict=True)]
        return keys

    def is_empty(self, row: int) -> bool:
        """Whether a row has no text at all."""
        pair = self.pairs[row] if self.pairs is not None else ""
        return not self.texts[row].strip() and not pair.strip()

    def places(self, rows: Iterable[int], number: int = 3) -> list[str]:
        """The places of the first of some rows."""
        return [self.place(row) for row in itertools.islice(rows, number)]

    def some(self, number: int, seed: int | None = None) -> "RowSet":
        """At most so many rows, in their order.

        Args:
            number: how many.
            seed: chooses them at random; None for evenly spread ones.
        """
        if len(self) <= number:
            return self
        step = len(self) / number
        rows = [int(index * step) for index in range(number)]
        if seed is not None:
            draw = np.random.default_rng(seed)
            chosen = draw.choice(len(self), number, replace=False)
            rows = np.sort(chosen).tolist()
        return dataclasses.replace(
            self,
            texts=[self.texts[row] for row in rows],
            pairs=self.pairs and [self.pairs[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            place=lambda index: self.place(rows[index]),
            number=self.number or len(self),
        )


def of_examples(
    examples: Iterable[Any], set_type: str, kind: str, path: str = ""
) -> RowSet:
    """The rows of examples of any kind.

    Args:
        examples: `InputExample`s, `Sentence`s, `ChoiceExample`s,
            `RelationExample`s or `SquadExample`s, or what reads them.
        set_type: "train", "dev" or "test".
        kind: of the problem.
        path: of their file, where they do not say it.
    """
    several = [*examples]
    path = getattr(examples, "path", path) or path
    first: Any = several[0] if several else None
    if hasattr(first, "text_a"):
        texts = [example.text_a for example in several]
        pairs = None
        if first.text_b is not None:
            pairs = [example.text_b or "" for example in several]
    elif hasattr(first, "question_text"):
        texts = [example.question_text for example in several]
        pairs = [" ".join(example.doc_tokens) for example in several]
    elif hasattr(first, "words"):
        texts = [" ".join(example.words) for example in several]
        pairs = None
    else:
        texts = [getattr(example, "text", "") for example in several]
        pairs = None
        if hasattr(first, "endings"):
            pairs = ["\n".join(example.endings) for example in several]
        elif hasattr(first, "e1"):
            pairs = [f"{example.e1} {example.e2}" for example in several]
    labels = [_label_of(example) for example in several]
    return RowSet(
        set_type=set_type,
        path=path,
        texts=texts,
        pairs=pairs,
        labels=labels,
        kind=kind,
        place=_places_of(examples, several, path),
        unit=_UNITS.get(kind, "row"),
    )


_UNITS = {"answers": "question", "tags": "sentence"}


def _label_of(example):
    if hasattr(example, "question_text"):
        return example.orig_answer_text or None
    if hasattr(example, "words"):
        return example.labels
    return example.label


def _places_of(examples, several, path) -> Callable[[int], str]:
    """A function that names the place of a row as well as it is known."""

    def place(row: int) -> str:
        if hasattr(examples, "place"):  # A `TableSet`.
            return examples.place(row)
        example = several[row]
        if hasattr(example, "place"):
            return str(example.place)
        if lines := getattr(example, "lines", None):
            return f"{path}:{lines[0]}"
        if line := getattr(example, "line", None):
            return f"{path}:{line}"
        if places := getattr(examples, "places", None):
            return places[row] if row < len(places) else f"{path}: {row + 1}"
        if sample := getattr(examples, "sample", None):
            try:
                return f"{path or sample.path}:{sample.line(row)}"
            except IndexError:
                pass
        return f"{path}: row {row + 1}"

    return place
