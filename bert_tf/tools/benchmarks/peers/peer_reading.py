"""How the peers read texts and choose answers: with `tokenizers` and NumPy.

    items      texts, pairs, or questions with their contexts
      read     sequences of ids, each with its own length
      network  logits, in a library of the peer
      answers  labels or texts, and probabilities

`tokenizers` is the library of Hugging Face's fast tokenizers. Windows of
contexts, and answers in them, follow the original's rules, as ours do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from tokenizers import BertWordPieceTokenizer, Encoding

# The folder of this file is the first where Python looks.
from answer_task import Item

NUM_SPECIAL = 3  # [CLS], and [SEP] after the question and after the window.

# The outputs of a network for one sequence.
Outputs = tuple[np.ndarray, ...]
Answer = tuple[str, list[float]]


class Ids(NamedTuple):
    """A sequence: its tokens, and the segment of each."""

    input_ids: list[int]
    segment_ids: list[int]


class Reader(Protocol):
    """Reads items, and chooses their answers."""

    def read(self, items: Sequence[Item]) -> tuple[list[Ids], Any]:
        """The sequences of items, and what `answers` needs of them."""
        ...

    def answers(
        self, items: Sequence[Item], read: Any, outputs: Sequence[Outputs]
    ) -> list[Answer]:
        """The answers to items, from what `read` returned of them.

        Args:
            items: the items.
            read: the second value of `read`.
            outputs: for each sequence, with the places of padding, if any.
        """
        ...


def tokenizer_of(settings: Mapping[str, Any]) -> BertWordPieceTokenizer:
    """The tokenizer of a model, as its model.json describes it."""
    return BertWordPieceTokenizer(
        settings["vocab_file"], lowercase=settings["do_lower_case"]
    )


def encoded(
    tokenizer: BertWordPieceTokenizer, items: Sequence[Any], special: bool
) -> list[Encoding]:
    """Tokenizes texts or pairs; several of them on all cores."""
    if len(items) > 1:
        pairs = [item if isinstance(item, str) else (*item,) for item in items]
        return tokenizer.encode_batch(pairs, add_special_tokens=special)
    (item,) = items
    texts = [item] if isinstance(item, str) else item
    return [tokenizer.encode(*texts, add_special_tokens=special)]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class TextReader:
    """Reads a text or a pair as one sequence; answers with a label.

    Args:
        settings: model.json, with `vocab_file`.
    """

    def __init__(self, settings: Mapping[str, Any]):
        self._labels = settings["labels"]
        self._tokenizer = tokenizer_of(settings)
        self._tokenizer.enable_truncation(settings["max_seq_length"])

    def read(self, items: Sequence[Item]) -> tuple[list[Ids], Any]:
        found = encoded(self._tokenizer, items, True)
        return [Ids(each.ids, each.type_ids) for each in found], None

    def answers(
        self, items: Sequence[Item], read: Any, outputs: Sequence[Outputs]
    ) -> list[Answer]:
        logits = np.stack([row for (row,) in outputs])
        best = logits.argmax(axis=-1)
        probabilities = softmax(logits).tolist()
        return [
            (self._labels[place], row)
            for place, row in zip(best, probabilities, strict=True)
        ]


class Window(NamedTuple):
    """A part of a context, which follows the question in a sequence.

    Attributes:
        item: the number of its item.
        start: its first piece in the context.
        length: its number of pieces.
        offset: the place of its first piece in the sequence.
    """

    item: int
    start: int
    length: int
    offset: int


class QuestionReader:
    """Reads a context in windows after a question; answers with a span.

    Args:
        settings: model.json, with `vocab_file`.
    """

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings
        self._tokenizer = tokenizer_of(settings)
        self._start, self._end = (
            self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")
        )

    def read(self, items: Sequence[Item]) -> tuple[list[Ids], Any]:
        questions, contexts = (
            encoded(self._tokenizer, texts, False)
            for texts in zip(*items, strict=True)
        )
        places = [context.offsets for context in contexts]
        sequences, windows = [], []
        for number, context in enumerate(contexts):
            query = questions[number].ids[: self._settings["max_query_length"]]
            first = [self._start, *query, self._end]
            pieces = context.ids
            room = self._settings["max_seq_length"] - NUM_SPECIAL - len(query)
            for start, length in spans_of(
                len(pieces), room, self._settings["doc_stride"]
            ):
                second = [*pieces[start : start + length], self._end]
                segments = [0] * len(first) + [1] * len(second)
                sequences.append(Ids([*first, *second], segments))
                windows.append(Window(number, start, length, len(first)))
        return sequences, (windows, places)

    def answers(
        self, items: Sequence[Item], read: Any, outputs: Sequence[Outputs]
    ) -> list[Answer]:
        windows, places = read
        of_items: list[list[int]] = [[] for _ in items]
        for number, window in enumerate(windows):
            of_items[window.item].append(number)
        return [
            self._answer(
                items[item][1],
                places[item],
                [windows[number] for number in numbers],
                [outputs[number] for number in numbers],
            )
            for item, numbers in enumerate(of_items)
        ]

    def _answer(
        self,
        context: str,
        places: Sequence[tuple[int, int]],
        windows: Sequence[Window],
        outputs: Sequence[Outputs],
    ) -> Answer:
        """The best span of a context's windows, and its probability."""
        settings = self._settings
        number = settings["n_best_size"]
        is_best = most_context(windows)
        spans = []
        for place, (window, (starts, ends)) in enumerate(
            zip(windows, outputs, strict=True)
        ):
            found = spans_in(window, starts, ends, settings)
            spans += [
                (score, first, last)
                for score, first, last in found
                if is_best[place][first - window.start]
            ]
        spans.sort(key=lambda span: -span[0])
        texts: dict[str, float] = {}
        for score, first, last in spans:
            texts.setdefault(context[places[first][0] : places[last][1]], score)
            if len(texts) == number:
                break
        best = next(iter(texts), "")
        has_null = settings["version_2_with_negative"]
        if has_null and windows:
            null = min(float(starts[0] + ends[0]) for starts, ends in outputs)
            threshold = settings["null_score_diff_threshold"]
            if not texts or null - texts[best] > threshold:
                best = ""
            texts[""] = null
        if not texts:
            return "", [0.0]
        scores = softmax(np.array([*texts.values()], np.float64))
        return best, [float(scores[[*texts].index(best)])]


def spans_of(
    num_pieces: int, room: int, doc_stride: int
) -> list[tuple[int, int]]:
    """(start, length) of each window of a context."""
    spans, start = [], 0
    while start < num_pieces:
        length = min(room, num_pieces - start)
        spans.append((start, length))
        if start + length == num_pieces:
            break
        start += min(length, doc_stride)
    return spans


def spans_in(
    window: Window,
    starts: np.ndarray,
    ends: np.ndarray,
    settings: Mapping[str, Any],
) -> list[tuple[float, int, int]]:
    """(score, first piece, last piece) of the best spans of a window.

    Args:
        window: the window.
        starts, ends: its logits, float [S].
        settings: model.json.
    """
    number = settings["n_best_size"]
    num_tokens = window.offset + window.length + 1
    firsts, lasts = (
        np.argsort(-logits[:num_tokens], kind="stable")[:number]
        for logits in (starts, ends)
    )
    firsts, lasts = (
        places[
            (places >= window.offset) & (places < window.offset + window.length)
        ]
        for places in (firsts, lasts)
    )
    lengths = lasts - firsts[:, np.newaxis] + 1
    is_span = (lengths >= 1) & (lengths <= settings["max_answer_length"])
    scores = starts[firsts].astype(np.float64)[:, np.newaxis] + ends[lasts]
    to_context = window.start - window.offset
    return [
        (
            float(scores[row, column]),
            int(firsts[row]) + to_context,
            int(lasts[column]) + to_context,
        )
        for row, column in np.argwhere(is_span)
    ]


def most_context(windows: Sequence[Window]) -> list[np.ndarray]:
    """Whether a piece has most context in a window: bool [length] for each.

    A piece that several windows have counts in one of them.
    """
    if len(windows) < 2:
        return [np.ones(window.length, bool) for window in windows]
    num_pieces = max(window.start + window.length for window in windows)
    scores = np.full((len(windows), num_pieces), -1.0)
    for row, window in enumerate(windows):
        left = np.arange(window.length)
        least = np.minimum(left, left[::-1])
        end = window.start + window.length
        scores[row, window.start : end] = least + 0.01 * window.length
    best = scores.argmax(axis=0)
    return [
        best[window.start : window.start + window.length] == row
        for row, window in enumerate(windows)
    ]


READERS: dict[str, type[Any]] = {
    "single_label": TextReader,
    "question_answering": QuestionReader,
}
