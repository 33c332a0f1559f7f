"""Reads an item as a model does, and keeps which word each piece belongs to.

text     Café-bar!
words    Café     -   bar   !
pieces   cafe     -   bar   !
tokens   [CLS] cafe - bar ! [SEP]
owners    -1     0  1  2  3  -1
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.data import relations
from bert_tf.errors import UserError
from bert_tf.explanations.settings import ReadingSettings
from bert_tf.export import given_words
from bert_tf.export.kinds import KINDS
from bert_tf.export.relations import NUM_SPECIAL, kept_lengths, mark_tokens
from bert_tf.text import packing
from bert_tf.text.word_offsets import words_with_offsets
from bert_tf.tokenization import FullTokenizer

NO_WORD = -1  # The owner of [CLS], [SEP], padding and marks of entities.


@dataclasses.dataclass(frozen=True)
class ItemWord:
    """A word of an item.

    Attributes:
        field: the text it stands in: "text", "text_pair", "question" …
        start, end: its place there, in code points.
        text: the same part of the raw text.
    """

    field: str
    start: int
    end: int
    text: str


class Piece(str):
    """A WordPiece that knows the number of its word."""

    word: int

    def __new__(cls, token: str, word: int) -> "Piece":
        piece = super().__new__(cls, token)
        piece.word = word
        return piece


@dataclasses.dataclass(frozen=True)
class ReadItem:
    """An item as the model reads it.

    Attributes:
        inputs: the model's inputs: int32 [S], or [N, S] for windows.
        tokens: the tokens of each of the N sequences, or of the one.
        owners: int [S] or [N, S], the number of the word in `words` that each
            token belongs to, or NO_WORD.
        words: all words of its texts, those that are cut off, too.
        texts: {field: text}, in which the words stand.
        truncated: whether the model does not read all of it.
    """

    inputs: dict[str, np.ndarray]
    tokens: list[list[str]]
    owners: np.ndarray
    words: list[ItemWord]
    texts: dict[str, str]
    truncated: bool

    def first_piece(self, word: int) -> int | None:
        """The place of a word's first piece in the sequence, if it is read."""
        places = np.flatnonzero(self.owners == word)
        return int(places[0]) if len(places) else None


class _Texts:
    """Collects the words and pieces of an item's texts."""

    def __init__(self, tokenizer: FullTokenizer):
        self._tokenizer = tokenizer
        self.words: list[ItemWord] = []
        self.texts: dict[str, str] = {}

    def pieces(
        self, field: str, text: str, part: tuple[int, int] | None = None
    ) -> list[Piece]:
        """The pieces of a text, or of a part of it, as a list of `Piece`."""
        self.texts[field] = text
        start, end = part or (0, len(text))
        cut = self._tokenizer.wordpiece_tokenizer.tokenize_word
        found = []
        for word in words_with_offsets(
            self._tokenizer.basic_tokenizer, text[start:end]
        ):
            place = slice(start + word.start, start + word.end)
            number = len(self.words)
            self.words.append(
                ItemWord(field, place.start, place.stop, text[place])
            )
            found += [Piece(token, number) for token in cut(word.text)]
        return found


class ItemReader:
    """Reads items of one kind of model.

    Args:
        tokenizer: the model's.
        settings: how it reads texts.
    """

    def __init__(self, tokenizer: FullTokenizer, settings: ReadingSettings):
        self.tokenizer = tokenizer
        self.settings = settings

    def read(self, kind: str, item: object) -> list[ReadItem]:
        """Reads an item.

        Args:
            kind: the kind of the model.
            item: a str, a tuple of the kind's inputs, or a dict of them.

        Returns:
            One `ReadItem`; for questions one for each window of the context,
            for several endings one for each.

        Raises:
            ValueError: the item has other parts, or no words.
        """
        values = item_values(kind, item)
        readers: dict[str, Callable[..., list[ReadItem]]] = {
            "question_answering": self._question,
            "multiple_choice": self._choices,
            "relation": self._relation,
        }
        found = readers.get(kind, self._texts)(**values)
        if not any(np.any(read.owners != NO_WORD) for read in found):
            raise ValueError("there is no word to explain")
        return found

    def _texts(self, text: str, text_pair: str | None = None) -> list[ReadItem]:
        texts, settings = _Texts(self.tokenizer), self.settings
        pieces = texts.pieces("text", text)
        other = texts.pieces("text_pair", text_pair) if text_pair else []
        if settings.max_windows is not None:
            windows, truncated = packing.pack_windows(
                pieces,
                settings.max_seq_length,
                settings.max_windows,
                settings.doc_stride,
            )
            segments = [[0] * len(window) for window in windows]
            return [self._item(texts, windows, segments, truncated)]
        tokens, segment_ids, truncated = packing.pack_sequences(
            pieces, other, settings.max_seq_length, settings.truncation
        )
        return [self._item(texts, [tokens], [segment_ids], truncated)]

    def _choices(self, text: str, endings: Sequence[str]) -> list[ReadItem]:
        return [
            _as_choice(read)
            for ending in endings
            for read in self._texts(text, ending)
        ]

    def _relation(self, text: str) -> list[ReadItem]:
        texts = _Texts(self.tokenizer)
        plain, e1, e2 = relations.parse_marked(text)
        bounds = [0, *sorted((*e1, *e2)), len(plain)]
        parts = [
            texts.pieces("text", plain, part)
            for part in zip(bounds, bounds[1:], strict=False)
        ]
        before, first, between, second, after = parts
        room = self.settings.max_seq_length - NUM_SPECIAL
        kept = kept_lengths([*map(len, parts)], room)
        tail = kept[2] // 2
        shown = (
            before[len(before) - kept[0] :],
            first[: kept[1]],
            between[: kept[2] - tail] + between[len(between) - tail :],
            second[: kept[3]],
            after[: kept[4]],
        )
        marks = mark_tokens(self.tokenizer.vocab)
        ordered = relations.in_text_order(marks, e2 < e1)
        tokens: list[str] = ["[CLS]"]
        for part, mark in zip(shown, (*ordered, "[SEP]"), strict=True):
            tokens += [*part, mark]
        is_cut = sum(kept) < sum(map(len, parts))
        read = self._item(texts, [tokens], [[0] * len(tokens)], is_cut)
        places = [tokens.index(marks[0]), tokens.index(marks[2])]
        read.inputs["entity_positions"] = np.array(places, np.int32)
        return [read]

    def _question(self, question: str, context: str) -> list[ReadItem]:
        texts, settings = _Texts(self.tokenizer), self.settings
        whole = texts.pieces("question", question)
        query = whole[: settings.max_query_length]
        pieces = texts.pieces("context", context)
        room = settings.max_seq_length - len(query) - 3
        if room < 1:
            raise UserError(
                "leaves no room for a context after the question",
                setting="max_seq_length",
                value=settings.max_seq_length,
            )
        step = min(room, settings.doc_stride or 128)
        starts = [0, *range(step, len(pieces) - room + step, step)]
        found = []
        for start in starts:
            window = pieces[start : start + room]
            tokens = ["[CLS]", *query, "[SEP]", *window, "[SEP]"]
            segments = [0] * (len(query) + 2) + [1] * (len(window) + 1)
            is_cut = len(query) < len(whole)
            found.append(self._item(texts, [tokens], [segments], is_cut))
        return found

    def _item(
        self,
        texts: _Texts,
        sequences: list[list[str]],
        segment_ids: list[list[int]],
        truncated: bool,
    ) -> ReadItem:
        """An item of sequences that are padded to the longest of them."""
        longest = max(map(len, sequences))
        to_ids = self.tokenizer.convert_tokens_to_ids

        def stacked(rows: list[list[int]], fill: int = 0) -> np.ndarray:
            padded = [row + [fill] * (longest - len(row)) for row in rows]
            array = np.array(padded, np.int32)
            return array if self.settings.max_windows is not None else array[0]

        return ReadItem(
            inputs={
                "input_ids": stacked([to_ids(tokens) for tokens in sequences]),
                "input_mask": stacked([[1] * len(row) for row in sequences]),
                "segment_ids": stacked(segment_ids),
            },
            tokens=sequences,
            owners=stacked(
                [
                    [getattr(token, "word", NO_WORD) for token in tokens]
                    for tokens in sequences
                ],
                NO_WORD,
            ),
            words=texts.words,
            texts=texts.texts,
            truncated=truncated,
        )


def _as_choice(read: ReadItem) -> ReadItem:
    """A pair as the only choice: its inputs are [1, S]."""
    words = [
        dataclasses.replace(word, field="ending")
        if word.field == "text_pair"
        else word
        for word in read.words
    ]
    return dataclasses.replace(
        read,
        inputs={name: x[np.newaxis] for name, x in read.inputs.items()},
        owners=read.owners[np.newaxis],
        words=words,
        texts={
            "text": read.texts["text"],
            "ending": read.texts["text_pair"],
        },
    )


def item_values(kind: str, item: object) -> dict[str, Any]:
    """The values of an item by the names of the kind's inputs.

    Args:
        kind: the kind of the model.
        item: see `ItemReader.read`.

    Raises:
        ValueError: the item has other parts.
    """
    inputs = KINDS[kind].inputs
    if kind == "tags" and given_words.are_given(item):
        words = given_words.words_of(item)  # type: ignore[arg-type]
        item = given_words.joined(words).decode("utf-8")
    names = [entry.name for entry in inputs]
    if isinstance(item, str):
        item = (item,)
    if isinstance(item, tuple | list):
        if len(item) > len(names):
            raise ValueError(
                f"an item has {', '.join(names)}. Received: {len(item)} values"
            )
        item = dict(zip(names, item, strict=False))
    if not isinstance(item, Mapping):
        raise ValueError(
            f"an item must be a str, a list or a dict, not "
            f"{type(item).__name__}"
        )
    values = dict(KINDS[kind].to_inputs(item))
    for name in values:
        if name not in names:
            raise ValueError(f"{name!r} is unknown; known are {names}")
    for entry in inputs:
        value = values.get(entry.name)
        if value is None and entry.may_be_blank:
            continue
        if value is None:
            raise ValueError(f"{entry.name} is missing")
        entry.encode(value)  # It checks the value.
    return values
