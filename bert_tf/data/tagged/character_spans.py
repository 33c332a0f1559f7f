"""Entities as places in a text, and as tags of its words.

    text     Anna Smith's in Rome.        spans  (0, 10, PER), (16, 20, LOC)
    words    Anna Smith ' s in Rome .
    tags     B-PER I-PER O O O B-LOC O

Places are characters, Unicode code points as in Python; the end is not
included. A text is cut into words at white space and at punctuation, as the
tokenizer cuts it: so an entity seldom ends inside a word.
"""

import bisect
import collections
import dataclasses
import itertools
from collections.abc import Sequence

from bert_tf.data.tagged.tag_schemes import tags_of_spans
from bert_tf.tokenization import (
    is_cjk,
    is_control,
    is_punctuation,
    is_whitespace,
)

Place = tuple[int, int]
SPACE, ALONE, IGNORED, LETTER = range(4)


class _Kinds(dict):
    """{character: its kind}, filled as characters are met."""

    def __missing__(self, char):
        if is_whitespace(char):
            kind = SPACE
        elif is_punctuation(char) or is_cjk(char):
            kind = ALONE
        elif is_control(char) or char in "\0\ufffd":
            kind = IGNORED
        else:
            kind = LETTER
        self[char] = kind
        return kind


_KINDS = _Kinds()


def words_of(text: str) -> list[Place]:
    """Finds the places of the words of a text.

    Punctuation marks and Chinese characters are words of their own. Control
    characters, which the tokenizer drops, belong to the word around them; they
    are not a word alone.
    """
    places = []
    kinds = [_KINDS[char] for char in text]
    start = 0
    for is_alone_or_space, group in itertools.groupby(
        kinds, lambda kind: kind in (SPACE, ALONE)
    ):
        run = list(group)
        end = start + len(run)
        if is_alone_or_space:
            places += [
                (place, place + 1)
                for place, kind in enumerate(run, start)
                if kind == ALONE
            ]
        elif LETTER in run:
            places.append((start, end))
        start = end
    return places


@dataclasses.dataclass(frozen=True)
class Span:
    """An entity of a text.

    Attributes:
        start, end: its place.
        label: its type.
        text: what the file says is there, or None.
    """

    start: int
    end: int
    label: str
    text: str | None = None


@dataclasses.dataclass
class SpanCounts:
    """Counts what is odd about the spans of a file.

    Attributes:
        counts: {what is odd: how many spans}.
        lines: {what is odd: the line of the first}.
        total: the number of all spans.
    """

    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    lines: dict[str, int] = dataclasses.field(default_factory=dict)
    total: int = 0

    def add(self, what: str, line: int) -> None:
        """Counts a span."""
        self.counts[what] += 1
        self.lines.setdefault(what, line)


# Each starts with a verb, as of many.
WIDENED = "cut a word: the whole word is taken"
TRIMMED = "have a blank at an end: it is left out"
EMPTY = "hold no word: left out"
OVERLAP = "overlap a longer one: left out"
DIFFERS = "hold another text than the file says: left out"


def to_tags(
    text: str,
    words: Sequence[Place],
    spans: Sequence[Span],
    counts: SpanCounts,
    line: int,
) -> list[str]:
    """The tags of a text's words, in BIO.

    Of spans that overlap, the longest stays, and of equally long ones the first
    in the text.

    Args:
        text: the text.
        words: of `words_of`.
        spans: inside the text.
        counts: what is odd about spans is added to it.
        line: of the text in its file.
    """
    starts = [start for start, _ in words]
    ends = [end for _, end in words]
    found: dict[tuple[int, int], str] = {}
    for span in dict.fromkeys(spans):
        counts.total += 1
        covered = text[span.start : span.end]
        if span.text is not None and not _is_same(span.text, covered):
            counts.add(DIFFERS, line)
            continue
        first = bisect.bisect_right(ends, span.start)
        last = bisect.bisect_left(starts, span.end)  # After the last word.
        if first >= last:
            counts.add(EMPTY, line)
            continue
        inside = (
            starts[first] < span.start < ends[first]
            or starts[last - 1] < span.end < ends[last - 1]
        )
        if inside:
            counts.add(WIDENED, line)
        elif covered != covered.strip():
            counts.add(TRIMMED, line)
        if (first, last) in found:
            if found[first, last] != span.label:
                counts.add(OVERLAP, line)
            continue
        found[first, last] = span.label
    chosen: list[tuple[str, int, int]] = []
    taken = [False] * len(words)
    for first, last in sorted(found, key=lambda p: (p[0] - p[1], p[0])):
        if any(taken[first:last]):
            counts.add(OVERLAP, line)
            continue
        taken[first:last] = [True] * (last - first)
        chosen.append((found[first, last], first, last))
    chosen.sort(key=lambda span: span[1])
    return tags_of_spans(chosen, len(words))


def _is_same(said: str, found: str) -> bool:
    """Whether two texts are the same but for white space."""
    return said == found or "".join(said.split()) == "".join(found.split())
