"""The tags that a model knows, and how its training file has them."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from bert_tf.data.tagged.sentences import Sentence
from bert_tf.data.tagged.tag_schemes import (
    LETTERS,
    OUTSIDE,
    Spelling,
    scheme_of_labels,
)


@dataclasses.dataclass(frozen=True)
class LearnedTags:
    """The tags that a model knows.

    Attributes:
        labels: in the order of its outputs, as the package spells them.
        spelling: how the training file spells them.
        scheme: of the training file; None where it has none.
    """

    labels: list[str]
    spelling: Spelling = Spelling()
    scheme: str | None = "BIO"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "LearnedTags | None":
        """Reads `record`'s result, or that of an earlier version.

        Raises:
            ValueError, TypeError: it is something else.
        """
        labels = record.get("labels")
        if not labels:
            return None
        spelling = Spelling.from_json(record.get("tag_spelling", {}))
        scheme = scheme_of_labels(labels)
        return cls(labels, spelling, record.get("tag_scheme", scheme))

    def record(self) -> dict[str, Any]:
        """Returns what a later run must know besides the weights."""
        record: dict[str, Any] = {"labels": self.labels}
        if self.spelling != Spelling():
            record["tag_spelling"] = self.spelling.to_json()
        if self.scheme != scheme_of_labels(self.labels):
            record["tag_scheme"] = self.scheme
        return record


def infer_labels(
    sentences: Iterable[Sentence], are_plain: bool = False
) -> list[str]:
    """The tags of sentences, in the order of the model's outputs.

    O is the first. The others are in the order of their types, and within a
    type in the order B, I, E, S.

    Args:
        sentences: with labels, as the package spells them.
        are_plain: whether tags have no types: they are in alphabetical order.
    """
    tags = {
        tag
        for sentence in sentences
        for tag in sentence.labels or ()
        if tag is not None
    }
    if are_plain:
        return sorted(tags)
    tags.discard(OUTSIDE)

    def order(tag):
        prefix, _, kind = tag.partition("-")
        return kind, LETTERS.index(prefix)

    return [OUTSIDE, *sorted(tags, key=order)]
