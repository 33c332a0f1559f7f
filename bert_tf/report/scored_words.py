"""A text whose words are coloured by what they add to a number."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from bert_tf.report.blocks import Block
from bert_tf.report.markup import Child, Markup, tag

# A word with less than this share of the largest score shows no number.
LEAST_SHOWN = 0.1


class Scored(Protocol):
    """A word in a text, as `explanations.ScoredWord` is one."""

    @property
    def start(self) -> int:
        """The place of its first character."""

    @property
    def end(self) -> int:
        """The place after its last character."""

    @property
    def score(self) -> float:
        """What it adds; below 0 it takes something away."""


def signed(score: float) -> str:
    """A score with its sign, as "+0.42"."""
    return f"{score:+.2f}"


@dataclasses.dataclass(frozen=True)
class ScoredText(Block):
    """A text whose words are coloured by their scores.

    A word that adds something is green with a solid line below, one that takes
    something away is red with a dotted line. Large scores are also written.

    Attributes:
        text: the raw text.
        words: its words, in order; other characters stay as they are.
        largest: the score of the strongest colour.
        name: what the text is, such as "question"; "" for nothing.
    """

    text: str
    words: Sequence[Scored]
    largest: float
    name: str = ""

    def html(self) -> Markup:
        parts: list[Child] = []
        at = 0
        for word in self.words:
            parts.append(self.text[at : word.start])
            parts.append(self._marked(word))
            at = word.end
        parts.append(self.text[at:])
        name = tag("b", self.name, " ") if self.name else None
        return tag("p", name, parts, class_="text scored", dir="auto")

    def _marked(self, word):
        share = abs(word.score) / (self.largest or 1.0)
        score = signed(word.score)
        return tag(
            "mark",
            self.text[word.start : word.end],
            tag("small", score) if share >= LEAST_SHOWN else None,
            class_="right" if word.score >= 0 else "wrong",
            style=f"color:inherit;--weight:{min(share, 1.0):.3f}",
            title=score,
        )
