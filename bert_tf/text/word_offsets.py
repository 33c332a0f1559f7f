"""Where the words of a tokenizer stand in the raw text.

    text      "Café-bar!"
    words     cafe [0, 4]   - [4, 5]   bar [5, 8]   ! [8, 9]

The words are those of `BasicTokenizer.tokenize`. Their places are counted in
Unicode code points, as Python counts, whatever became of the characters.
"""

from collections.abc import Iterator
from typing import NamedTuple

from bert_tf.tokenization import (
    BasicTokenizer,
    is_punctuation,
    rule_of_words,
)


class Word(NamedTuple):
    """A word of a tokenizer.

    Attributes:
        text: the word as the tokenizer makes it, in lower case for example.
        start: the place of its first character in the raw text.
        end: the place after its last.
    """

    text: str
    start: int
    end: int


def words_with_offsets(tokenizer: BasicTokenizer, text: str) -> list[Word]:
    """The words of a text, with their places.

    Args:
        tokenizer: makes the words.
        text: the raw text.

    Returns:
        One `Word` for each word of `tokenizer.tokenize(text)`, in order.
    """
    change = rule_of_words(tokenizer.settings)
    words: list[Word] = []
    for chars, places in _chunks(tokenizer, text):
        changed = change(chars)
        # Case and accents concern each character by itself, but for the final
        # sigma, which is as long as any other.
        lengths = [len(change(char)) for char in chars]
        if sum(lengths) != len(changed):
            lengths = [len(changed), *[0] * (len(chars) - 1)]
        origins = [
            place
            for place, length in zip(places, lengths, strict=True)
            for _ in range(length)
        ]
        words += _parts(changed, [*origins, places[-1] + 1])
    return words


def _chunks(
    tokenizer: BasicTokenizer, text: str
) -> Iterator[tuple[str, list[int]]]:
    """Yields what is between spaces: clean characters, and their places."""
    chars: list[str] = []
    places: list[int] = []
    for place, raw in enumerate(text):
        for char in tokenizer.clean_table[ord(raw)]:
            if not char.isspace():
                chars.append(char)
                places.append(place)
            elif chars:
                yield "".join(chars), places
                chars, places = [], []
    if chars:
        yield "".join(chars), places


def _parts(chunk: str, origins: list[int]) -> Iterator[Word]:
    """Yields the words of a chunk, which ends at punctuation.

    Args:
        chunk: characters as the tokenizer changes them.
        origins: the place of each, and that of the chunk's end.
    """
    start = 0
    for place, char in enumerate(chunk):
        if is_punctuation(char) or char.isspace():
            yield from _word(chunk, origins, start, place)
            start = place + 1
            if not char.isspace():
                yield from _word(chunk, origins, place, start)
    yield from _word(chunk, origins, start, len(chunk))


def _word(chunk, origins, first, limit):
    if first < limit:
        # An accent that was dropped belongs to the letter before it.
        end = max(origins[limit], origins[limit - 1] + 1)
        yield Word(chunk[first:limit], origins[first], end)
