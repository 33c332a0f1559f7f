"""Windows of a sentence's WordPieces, in which a model tags the words.

The model tags the first piece of each word; `label_mask` is 1 there, if the
word's tag is known or none is:

    tokens      [CLS] john johan ##son visited paris [SEP]
    label_mask    0    1     1     0      1      1     0
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.data.features import FeatureSpec, sequence_specs
from bert_tf.data.tagged.sentences import Sentence
from bert_tf.text import packing
from bert_tf.tokenization import UNKNOWN, FullTokenizer

WORDS_REMEMBERED = 1 << 17  # Together with their pieces.


@dataclasses.dataclass
class Window:
    """Words of a sentence that the model reads at once.

    Attributes:
        sentence: the sentence.
        first: place of the window's first word in it.
        num_words: the number of words.
        pieces: a list of WordPieces for each of them, never an empty list.
        num_cut: pieces of a word too long for any window that were cut off.
    """

    sentence: Sentence
    first: int
    num_words: int
    pieces: list[list[str]]
    num_cut: int = 0

    @property
    def guid(self) -> str:
        """The window's name in the log."""
        return f"{self.sentence.guid}, from word {self.first + 1} on"

    @property
    def label(self) -> Sequence[str | None] | None:
        """The tags of its words, or None where they are not known."""
        if self.sentence.labels is None:
            return None
        return self.sentence.labels[self.first : self.first + self.num_words]


def split_into_windows(
    sentences: Iterable[Sentence], tokenizer: FullTokenizer, max_seq_length: int
) -> list[Window]:
    """Each sentence as one window, or as several where it is too long.

    A window takes as many whole words as fit; each word is in one window.
    Words are tokenized one by one. One that the tokenizer drops, such as a
    control character, becomes [UNK], as each word must be tagged; one that
    is too long for any window is cut.

    Args:
        sentences: the sentences.
        tokenizer: cuts the words.
        max_seq_length: number of tokens at most, special ones included.

    Returns:
        The windows, those of a sentence one after the other.

    Raises:
        ValueError: not even one piece fits.
    """
    room = max_seq_length - packing.NUM_SPECIAL
    if room < 1:
        raise ValueError(
            f"max_seq_length must be at least {packing.NUM_SPECIAL + 1}. "
            f"Received: max_seq_length={max_seq_length}"
        )

    @functools.lru_cache(WORDS_REMEMBERED)
    def pieces_of(word):
        return tokenizer.tokenize(word) or [UNKNOWN]

    windows = []
    for sentence in sentences:
        pieces = [pieces_of(word) for word in sentence.words]
        sizes = [min(len(of_word), room) for of_word in pieces]
        for first, last in _cut(sizes, room):
            number = sum(map(len, pieces[first:last]))
            windows.append(
                Window(
                    sentence,
                    first,
                    last - first,
                    [of_word[:room] for of_word in pieces[first:last]],
                    number - sum(sizes[first:last]),
                )
            )
    return windows


def _cut(lengths, room):
    """Yields (first, last + 1) of the words that fit together."""
    first = used = 0
    for word, length in enumerate(lengths):
        if used + length > room:
            yield first, word
            first, used = word, 0
        used += length
    yield first, len(lengths)


def tagging_specs(max_seq_length: int) -> list[FeatureSpec]:
    """The features of a window."""
    shape = (max_seq_length,)
    return [
        *sequence_specs(max_seq_length),
        FeatureSpec("label_ids", shape),
        FeatureSpec("label_mask", shape),
        FeatureSpec("is_real_example", ()),
    ]


def convert_window(
    window: Window,
    label_ids: Mapping[str, int],
    max_seq_length: int,
    tokenizer: FullTokenizer,
) -> tuple[dict[str, Any], list[str]]:
    """A window as numbers.

    Args:
        window: the window.
        label_ids: {label: id}.
        max_seq_length: length of the sequences, as for `split_into_windows`.
        tokenizer: of the same vocabulary.

    Returns:
        (features, tokens): a dict with a value for each of `tagging_specs`,
        and the tokens without padding. `label_mask` is 0 as well at words
        without a tag, or with one that is not among the ids, in a sentence
        that has tags. Where it is 0, and where no labels are known,
        `label_ids` are 0.
    """
    labels = window.sentence.labels
    ids, mask = [0], [0]  # [CLS] has no tag.
    for word, pieces in enumerate(window.pieces, start=window.first):
        rest = [0] * (len(pieces) - 1)
        label_id = (
            0 if labels is None else label_ids.get(labels[word] or "", -1)
        )
        ids += [max(label_id, 0), *rest]
        mask += [int(label_id >= 0), *rest]
    tokens, segment_ids, _ = packing.pack_sequences(
        [*itertools.chain.from_iterable(window.pieces)], [], max_seq_length
    )
    input_ids = tokenizer.convert_tokens_to_ids(tokens)
    converted = {
        "input_ids": packing.pad(input_ids, max_seq_length),
        "input_mask": packing.pad([1] * len(tokens), max_seq_length),
        "segment_ids": packing.pad(segment_ids, max_seq_length),
        "label_ids": packing.pad(ids, max_seq_length),
        "label_mask": packing.pad(mask, max_seq_length),
        "is_real_example": 1,
    }
    return converted, tokens


def first_piece_rows(logits: np.ndarray, window: Window) -> np.ndarray:
    """The logits of a window's words, those of their first pieces.

    Args:
        logits: float [S, C], of pieces.
        window: the window.

    Returns:
        float [num words, C].
    """
    places = np.cumsum([1, *map(len, window.pieces[:-1])])  # After [CLS].
    return np.asarray(logits)[places]


def join_windows(
    pairs: Iterable[tuple[Window, np.ndarray]],
) -> Iterator[tuple[Sentence, np.ndarray]]:
    """Puts the windows of each sentence together again.

    Args:
        pairs: (window, array [num_words, C]) each, in the order of
            `split_into_windows`.

    Yields:
        (sentence, array [number of its words, C]).
    """
    parts = []
    for window, rows in pairs:
        parts.append(rows)
        if window.first + window.num_words == len(window.sentence.words):
            yield window.sentence, np.concatenate(parts)
            parts = []
