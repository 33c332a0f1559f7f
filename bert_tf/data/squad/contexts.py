"""The words of a context, and the place of an answer among them.

The original reads an answer where its file says it starts, and leaves the
question out where the text is not there. This also finds answers of other
tools, as long as there is one place that they can mean:

    starts that count bytes, or UTF-16 units as JavaScript and Java do
    no start, or a wrong one, of a text that the context holds once
"""

import bisect
import functools
import re
from typing import NamedTuple

# The original's white space, between words. The tokenizer knows more kinds.
_WORD = re.compile("[^ \t\r\n\u202f]+")

# Scripts in which words are not separated, or have endings that are not part
# of an answer: South-East Asia, and from CJK on.
_NO_BLANKS = re.compile("[\u0e00-\u109f\u1780-\u17ff\u2e80-\U0003ffff]")
# {encoding: bytes of a unit} in which other tools count.
_UNITS = {"utf-16-le": 2, "utf-8": 1}


class Found(NamedTuple):
    """An answer in its context.

    Attributes:
        first: place of its first word.
        last: place of its last word.
        text: the answer as the context has it.
        how: "" where the file says, in characters; "utf-16-le" or "utf-8"
            where it says, in units of this encoding; "case" where it says, but
            for upper and lower case; "moved" elsewhere; "searched" without a
            start in the file.
    """

    first: int
    last: int
    text: str
    how: str = ""


class Context:
    """A text with answers, and its words.

    Args:
        text: the text.
    """

    def __init__(self, text: str):
        self.text = text

    @functools.cached_property
    def doc_tokens(self) -> list[str]:
        """The words, split at white space."""
        matches = list(_WORD.finditer(self.text))
        self._starts = [match.start() for match in matches]
        return [match[0] for match in matches]

    @property
    def length(self) -> int:
        """The number of its characters."""
        return len(self.text)

    def find(self, text: str, start: int | None) -> Found | None:
        """Returns an answer's place, or None where it is in doubt.

        Args:
            text: of the answer.
            start: its first character's place; None where it is not known.
        """
        if start is not None:
            if words := self.words_of(text, start):
                return Found(*words, text)
            if start >= 0 and self.text.startswith(text, start):
                # Its white space differs from the original's, which does not
                # find it.
                return None
        if not text.strip():
            return None
        how, places = self._places_by_search(text, start)
        if len(places) != 1:
            return None
        ((first, end),) = places
        text = self.text[first:end]
        words = self.words_of(text, first)
        return Found(*words, text, how) if words else None

    def _places_by_search(
        self, text: str, start: int | None
    ) -> tuple[str, list[tuple[int, int]]]:
        """(how they were found, (start, end) of each place of a text)."""
        if start is None:
            return "searched", self._places_of(text)
        by_unit = {
            unit: place
            for unit in _UNITS
            if (place := self._place_in_units(start, text, unit)) is not None
        }
        if len({*by_unit.values()}) == 1:
            unit, place = next(iter(by_unit.items()))
            return unit, [(place, place + len(text))]
        if self._is_there_in_other_case(start, text):
            return "case", [(start, start + len(text))]
        return "moved", self._places_of(text)

    def words_of(self, text: str, start: int) -> tuple[int, int] | None:
        """(first, last) word of an answer, or None where it is not there.

        These are the original's rules: words before and after the answer's own
        do not matter.

        Args:
            text: of the answer.
            start: its first character's place.
        """
        last = start + len(text) - 1
        answer = " ".join(text.split())
        if not answer or start < 0 or last >= self.length:
            return None
        words = self.doc_tokens  # Also finds the starts.
        first = bisect.bisect_right(self._starts, start) - 1
        last = bisect.bisect_right(self._starts, last) - 1
        if first < 0 or answer not in " ".join(words[first : last + 1]):
            return None
        return first, last

    def _is_there_in_other_case(self, start: int, text: str) -> bool:
        there = self.text[start : start + len(text)] if start >= 0 else ""
        return there.casefold() == text.casefold()

    def _place_in_units(self, start: int, text: str, unit: str) -> int | None:
        """The place where a text starts, if its start counts units."""
        if self.text.isascii() or start < 0:
            return None
        size = _UNITS[unit]
        encoded = self.text.encode(unit)
        if not encoded.startswith(text.encode(unit), start * size):
            return None
        try:
            place = len(encoded[: start * size].decode(unit))
        except UnicodeDecodeError:  # In the middle of a character.
            return None
        # Characters are the units, so the file's start is wrong.
        return None if place == start else place

    def _places_of(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of a text wherever the context has it, as words."""
        words = text.split()
        pattern = r"\s+".join(map(re.escape, words))
        if _has_bounds(words[0][0]):
            pattern = rf"(?<!\w){pattern}"
        if _has_bounds(words[-1][-1]):
            pattern = rf"{pattern}(?!\w)"
        # Also places that overlap.
        matches = re.finditer(f"(?=({pattern}))", self.text)
        return [match.span(1) for match in matches]


def _has_bounds(char: str) -> bool:
    """Whether a word that starts or ends with a character is known by that."""
    return char.isalnum() and not _NO_BLANKS.match(char)
