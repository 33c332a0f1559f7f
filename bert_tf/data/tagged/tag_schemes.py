"""How tags are spelled, and which scheme they follow.

Inside the package a tag is O, or B, I, E or S with a hyphen and a type. Files
spell the same tags in other ways. The spelling is found by all tags of a file:

    B-PER L-PER U-LOC       BILOU; also BMES and BMEW
    B_PER B:PER B/PER       other separators
    PER-B PER-I             the letter after the type
    b-per o                 lower case
    PER PER O               types alone
    B I O                   letters alone: entities of one type
    NOUN VERB               plain tags: no entities

A scheme says which letter each word of an entity has:

    John  Smith  Ann          two entities that follow each other
    I     I      B            IOB1: B only where it parts two entities
    B     I      B            BIO, also called IOB2
    B     E      S            BIOES
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_tf.metrics.entities import entity_spans

OUTSIDE = "O"  # The tag of a word that is in no entity.
LETTERS = "BIES"
SEPARATORS = "-_:/|."
ONE_TYPE = "entity"  # The type of entities whose tags are letters alone.
# {letter of a file: one of `LETTERS` with the same meaning}.
MEANINGS = {"L": "E", "U": "S", "M": "I", "W": "S", **{x: x for x in LETTERS}}
# Files without O may write one of these for it.
OTHER_OUTSIDES = tuple("o _ - 0 OTHER Other other NONE None none OUT".split())

PREFIX, SUFFIX, TYPES, BARE, PLAIN = (
    "prefix",
    "suffix",
    "types",
    "bare",
    "plain",
)
FORMS = (PREFIX, SUFFIX, TYPES, BARE, PLAIN)
SCHEMES = ("IOB1", "BIO", "BIOE", "BIOS", "BIOES")


@dataclasses.dataclass(frozen=True)
class Spelling:
    """How a file spells its tags.

    Attributes:
        form: one of `FORMS`: a letter before the type or after it, types
            alone, letters alone, or plain tags.
        separator: the character between letter and type.
        letters: the file's letters for B, I, E and S, in capitals.
        outside: the tag of words in no entity.
        lower_case: whether the letters are small; both are read.
    """

    form: str = PREFIX
    separator: str = "-"
    letters: str = LETTERS
    outside: str = OUTSIDE
    lower_case: bool = False

    def read(self, tag: str) -> str | None:
        """The tag as the package spells it; None if it is spelled otherwise."""
        if self.form == PLAIN:
            return tag
        if tag == self.outside:
            return OUTSIDE
        if self.form == TYPES:
            return f"I-{tag}"
        letter, kind = self._parts(tag)
        if not letter or not kind:
            return None
        place = self.letters.find(letter.upper())
        return None if place < 0 else f"{LETTERS[place]}-{kind}"

    def _parts(self, tag: str) -> tuple[str, str]:
        """A letter and a type, or two empty strings."""
        if self.form == BARE:
            letter, kind = tag, ONE_TYPE
        elif self.form == PREFIX:
            letter, _, kind = tag.partition(self.separator)
        else:
            kind, _, letter = tag.rpartition(self.separator)
        return (letter, kind) if len(letter) == 1 else ("", "")

    def write(self, tag: str) -> str:
        """Spells one of the package's tags as the file does."""
        if self.form == PLAIN:
            return tag
        if tag == OUTSIDE:
            return self.outside
        prefix, _, kind = tag.partition("-")
        letter = self.letters[LETTERS.index(prefix)]
        letter = letter.lower() if self.lower_case else letter
        if self.form == TYPES:
            return kind
        if self.form == BARE:
            return letter
        parts = (letter, kind) if self.form == PREFIX else (kind, letter)
        return self.separator.join(parts)

    def __str__(self) -> str:
        """Its name in messages."""
        if self.form == PLAIN:
            return "plain tags"
        if self.form == TYPES:
            return f"types alone, {self.outside} for no entity"
        letters = self.letters.lower() if self.lower_case else self.letters
        if self.form == BARE:
            return f"the letters {', '.join(letters)} alone"
        first = self.write("B-type")
        return f"{first} with the letters {', '.join(letters)}"

    def to_json(self) -> dict[str, Any]:
        """Its fields, for task.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Spelling":
        """Reads `to_json`'s result.

        Raises:
            ValueError, TypeError: it is something else.
        """
        spelling = cls(**value)
        if spelling.form not in FORMS or len(spelling.letters) != 4:
            raise ValueError(f"no spelling: {value}")
        return spelling


def find_spelling(counts: Mapping[str, int]) -> Spelling | None:
    """How all tags of a file are spelled.

    Args:
        counts: {tag: number of words}.

    Returns:
        None if some have a letter and a type, and others do not.
    """
    outside = _outside(counts)
    kinds = [tag for tag in counts if tag != outside]
    written = outside or OUTSIDE
    if not kinds:
        return Spelling(outside=written, lower_case=written == "o")
    candidates = [*_candidates(kinds, written)]
    for spelling in candidates:
        if all(spelling.read(tag) for tag in kinds):
            return spelling
    fitting = max(
        (sum(map(bool, map(s.read, kinds))) for s in candidates), default=0
    )
    if fitting and (outside or 2 * fitting > len(kinds)):
        return None
    if outside and counts[outside] == max(counts.values()):
        return Spelling(form=TYPES, outside=written)
    return Spelling(form=PLAIN)


def likeliest_spelling(counts: Mapping[str, int]) -> Spelling:
    """The spelling of most of the tags, where they have no common one.

    Args:
        counts: {tag: number of words}.
    """
    found = [
        spelling
        for tag in counts
        if (spelling := find_spelling({OUTSIDE: 1, tag: 1})) is not None
        and spelling.form not in (PLAIN, TYPES)
    ]
    return max(
        found or [Spelling()],
        key=lambda s: sum(n for tag, n in counts.items() if s.read(tag)),
    )


def _outside(counts):
    """The tag that stands for no entity, or None."""
    if OUTSIDE in counts:
        return OUTSIDE
    total = sum(counts.values())
    for mark in OTHER_OUTSIDES:
        others = [tag for tag in counts if tag != mark]
        has_letters = others and all(
            any(part.upper() in MEANINGS for part in re.split(r"[-_:/|.]", tag))
            for tag in others
        )
        often = mark == "o" or 2 * counts.get(mark, 0) >= total
        if mark in counts and has_letters and often:
            return mark
    return None


def _candidates(kinds, outside):
    """Spellings with a letter in each tag, the likeliest first."""
    bare = {tag.upper() for tag in kinds}
    if bare <= {*MEANINGS} and ("B" in bare or bare == {"I"}):
        if letters := _letters(bare):
            lower = kinds[0].islower()
            yield Spelling(BARE, "", letters, outside, lower)
    for form in (PREFIX, SUFFIX):
        for separator in SEPARATORS:
            found = [_letter(tag, form, separator) for tag in kinds]
            known = {x.upper() for x in found if x and x.upper() in MEANINGS}
            if not known or not (letters := _letters(known)):
                continue
            lower = all(x.islower() for x in found if x)
            yield Spelling(form, separator, letters, outside, lower)


def _letter(tag, form, separator):
    if form == PREFIX:
        letter, _, kind = tag.partition(separator)
    else:
        kind, _, letter = tag.rpartition(separator)
    return letter if kind and len(letter) == 1 else ""


def _letters(found):
    """The four letters of a file that has some of them; "" if two compete."""
    families = ("BIES", "BILU", "BMES", "BMEW", "BIEW", "BMLU", "BIEU", "BILS")
    for family in families:
        if found <= {*family}:
            return family
    return ""


# ---------------------------------------------------------------------------
# Schemes.


def find_scheme(sentences: Iterable[Sequence[str]]) -> str | None:
    """The scheme of the tags of a file, as the package spells them.

    Args:
        sentences: the tags of each.

    Returns:
        One of `SCHEMES`; None if there is no entity, or if some entities start
        with B and others with I for no reason.
    """
    pairs: collections.Counter[tuple[str, str]] = collections.Counter()
    for tags in sentences:
        pairs.update(zip((OUTSIDE, *tags), tags, strict=False))
    letters: collections.Counter[str] = collections.Counter()
    for (last_tag, tag), number in pairs.items():
        if tag == OUTSIDE:
            continue
        prefix, _, kind = tag.partition("-")
        last_prefix, _, last_kind = last_tag.partition("-")
        goes_on = last_prefix in ("B", "I") and kind == last_kind
        parts = last_tag != OUTSIDE and kind == last_kind
        if prefix == "I" and not goes_on:
            letters["I that starts"] += number
        elif prefix == "B" and not parts:
            letters["B that parts nothing"] += number
        letters[prefix] += number
    if not any(letters[letter] for letter in LETTERS):
        return None
    if letters["I that starts"] and letters["B that parts nothing"]:
        return None
    if letters["E"] or letters["S"]:
        name = "BIO" + "E" * bool(letters["E"]) + "S" * bool(letters["S"])
        return None if letters["I that starts"] else name
    return "IOB1" if letters["I that starts"] else "BIO"


def scheme_of_labels(labels: Iterable[str]) -> str:
    """The likely scheme of a model of which only the labels are known."""
    pairs = {tuple(tag.partition("-")[::2]) for tag in labels}
    prefixes = {prefix for prefix, _ in pairs}
    if "E" in prefixes or "S" in prefixes:
        return "BIO" + "E" * ("E" in prefixes) + "S" * ("S" in prefixes)
    inside = {kind for prefix, kind in pairs if prefix == "I"}
    begins = {kind for prefix, kind in pairs if prefix == "B"}
    return "IOB1" if inside - begins else "BIO"


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """The tags of the same entities in another scheme.

    Args:
        tags: of a sentence, as the package spells them.
        scheme: one of `SCHEMES`.
    """
    return tags_of_spans(entity_spans(tags), len(tags), scheme)


def tags_of_spans(
    spans: Iterable[tuple[str, int, int]], length: int, scheme: str = "BIO"
) -> list[str]:
    """The tags of the words of a sentence.

    Args:
        spans: (type, first word, word after the last), in order, apart.
        length: the number of words.
        scheme: one of `SCHEMES`.
    """
    tags = [OUTSIDE] * length
    last = "E" if "E" in scheme else "I"
    single = "S" if "S" in scheme else "B"
    end_before, kind_before = 0, ""
    for kind, start, end in spans:
        first = "B"
        if scheme == "IOB1":
            follows = start and start == end_before and kind == kind_before
            first = single = "B" if follows else "I"
        size = end - start
        letters = first + "I" * (size - 2) + last if size > 1 else single
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
        end_before, kind_before = end, kind
    return tags
