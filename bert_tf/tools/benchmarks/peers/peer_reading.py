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
from peer_spans import Answer, Outputs, Window, best_answer, softmax, spans_of

NUM_SPECIAL = 3  # [CLS], and [SEP] after the question and after the window.


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
        settings["vocab_file"],
        lowercase=settings["do_lower_case"],
        # Exports of earlier versions do not have them.
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
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
            best_answer(
                items[item][1],
                places[item],
                [windows[number] for number in numbers],
                [outputs[number] for number in numbers],
                self._settings,
            )
            for item, numbers in enumerate(of_items)
        ]


READERS: dict[str, type[Any]] = {
    "single_label": TextReader,
    "question_answering": QuestionReader,
}
