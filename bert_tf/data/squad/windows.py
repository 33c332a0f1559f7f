"""Makes the windows that a model reads of SQuAD's examples.

A context that is too long for the model is read through a window that slides
over its WordPieces. Each window becomes one sequence:

    [CLS] who wrote it ? [SEP] the book was written by [SEP]
    [CLS] who wrote it ? [SEP]      was written by some ##body [SEP]

Most pieces are in several windows. An answer is taken from the window where
its first piece has most context: the model knows more there.

TensorFlow is not imported here: processes that convert start without it.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bert_tf.data.squad.document import Document
from bert_tf.data.squad.examples import SquadExample
from bert_tf.text.packing import NUM_SPECIAL_OF_PAIR, pad
from bert_tf.tokenization import FullTokenizer, TokenizerSettings

FIRST_UNIQUE_ID = 1_000_000_000
# Windows are padded to a multiple of this where all need not be of one length.
# Like the original we let the padding compete with the tokens for a place
# among the best starts and ends, so it must not depend on the batch.
WINDOW_LENGTH_MULTIPLE = 32
WORDS_REMEMBERED = 1 << 17  # Together with their pieces.

# All that a model needs of a window: its ids as bytes of int32, `doc_offset`,
# `start_position`, `end_position`.
Row = tuple[bytes, int, int, int]


@dataclasses.dataclass
class InputFeatures:
    """One window of a context, after its question.

    It is a view of the document: lists such as `input_ids` are computed when
    they are asked for.

    Attributes:
        unique_id: number of the window in its file, from 1,000,000,000 on.
        example_index: place of the example among all.
        doc_span_index: place of the window among those of the example.
        document: the whole context.
        query: WordPieces of the question, cut to the longest allowed.
        query_ids: int32, their ids.
        doc_start: the window's first piece in the document.
        doc_length: its number of pieces.
        is_max_context: bool [doc_length], whether no other window has more
            context around a piece.
        special_ids: ids of [CLS] and [SEP].
        max_seq_length: the length that `input_ids` and the like are padded to.
        start_position: place of the answer's first piece in the sequence; 0,
            that of [CLS], where the window does not hold all of the answer.
            None unless training.
        end_position: place of its last piece, by the same rules.
        is_impossible: whether the context does not hold the answer.
    """

    unique_id: int
    example_index: int
    doc_span_index: int
    document: Document
    query: list[str]
    query_ids: np.ndarray
    doc_start: int
    doc_length: int
    is_max_context: np.ndarray
    special_ids: tuple[int, int]
    max_seq_length: int
    start_position: int | None = None
    end_position: int | None = None
    is_impossible: bool = False

    @property
    def doc_offset(self) -> int:
        """Place of the window's first piece in the sequence."""
        return len(self.query) + 2

    @property
    def num_tokens(self) -> int:
        """Tokens of the sequence, special ones included."""
        return self.doc_offset + self.doc_length + 1

    @property
    def num_places(self) -> int:
        """Tokens and the padding that goes with them."""
        rounded = -(-self.num_tokens // WINDOW_LENGTH_MULTIPLE)
        rounded *= WINDOW_LENGTH_MULTIPLE
        return min(rounded, self.max_seq_length)

    @property
    def tokens(self) -> list[str]:
        """The sequence without padding."""
        doc = slice(self.doc_start, self.doc_start + self.doc_length)
        return [
            "[CLS]",
            *self.query,
            "[SEP]",
            *self.document.pieces[doc],
            "[SEP]",
        ]

    @property
    def ids(self) -> np.ndarray:
        """int32 [num_tokens], `input_ids` without padding."""
        cls, sep = self.special_ids
        doc = slice(self.doc_start, self.doc_start + self.doc_length)
        return np.concatenate(
            [[cls], self.query_ids, [sep], self.document.ids[doc], [sep]],
            dtype=np.int32,
        )

    @property
    def input_ids(self) -> list[int]:
        """The ids of the tokens, padded."""
        return pad(self.ids.tolist(), self.max_seq_length)

    @property
    def input_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        return pad([1] * self.num_tokens, self.max_seq_length)

    @property
    def segment_ids(self) -> list[int]:
        """0 for the question, 1 for the context, 0 for padding."""
        segment_ids = [0] * self.doc_offset + [1] * (self.doc_length + 1)
        return pad(segment_ids, self.max_seq_length)

    @property
    def token_to_orig_map(self) -> dict[int, int]:
        """{place in the sequence: place of the word in the context}."""
        words = self.document.words[self.doc_start :][: self.doc_length]
        return dict(enumerate(words.tolist(), start=self.doc_offset))

    @property
    def token_is_max_context(self) -> dict[int, bool]:
        """{place in the sequence: whether the piece has most context here}."""
        return dict(
            enumerate(self.is_max_context.tolist(), start=self.doc_offset)
        )


class FeatureConverter:
    """Makes windows of examples.

    Args:
        tokenizer: of the model.
        max_seq_length: length of the sequences, special tokens included.
        doc_stride: pieces from the start of a window to that of the next.
        max_query_length: pieces of a question at most; more are cut off.
        is_training: whether to find the answers' places.

    Attributes:
        num_cut_questions: questions longer than `max_query_length`.

    Raises:
        ValueError: a question can be so long that no piece of the context
            fits after it, or `doc_stride` is not positive.
    """

    def __init__(
        self,
        tokenizer: FullTokenizer,
        *,
        max_seq_length: int,
        doc_stride: int,
        max_query_length: int,
        is_training: bool,
    ):
        if max_seq_length <= max_query_length + NUM_SPECIAL_OF_PAIR:
            raise ValueError(
                "max_seq_length must exceed max_query_length by more than the "
                f"{NUM_SPECIAL_OF_PAIR} special tokens. Received: "
                f"max_seq_length={max_seq_length}, "
                f"max_query_length={max_query_length}"
            )
        if doc_stride < 1:
            raise ValueError(
                f"doc_stride must be positive. Received: {doc_stride}"
            )
        self.tokenizer = tokenizer
        self.vocab = tokenizer.vocab
        self.special_ids = self.vocab["[CLS]"], self.vocab["[SEP]"]
        self.max_seq_length = max_seq_length
        self.doc_stride = doc_stride
        self.max_query_length = max_query_length
        self.is_training = is_training
        self.num_cut_questions = 0
        # Most words of a text have been seen before.
        self._tokenize = functools.lru_cache(WORDS_REMEMBERED)(
            tokenizer.tokenize
        )
        # The document of the last example.
        self._document: Document | None = None

    def windows(
        self, examples: Iterable[SquadExample]
    ) -> Iterator[InputFeatures]:
        """Yields the `InputFeatures` of examples, one after the other."""
        unique_id = FIRST_UNIQUE_ID
        for example_index, example in enumerate(examples):
            for window in self.convert(example, example_index, unique_id):
                yield window
                unique_id += 1

    def convert(
        self,
        example: SquadExample,
        example_index: int = 0,
        unique_id: int = FIRST_UNIQUE_ID,
    ) -> list[InputFeatures]:
        """The windows of one example; none for a context without tokens."""
        document = self._document_of(example)
        query = self.tokenizer.tokenize(example.question_text)
        self.num_cut_questions += len(query) > self.max_query_length
        query = query[: self.max_query_length]
        query_ids = np.array([self.vocab[p] for p in query], np.int32)
        room = self.max_seq_length - len(query) - NUM_SPECIAL_OF_PAIR
        spans, is_max_context = self._spans(len(document.pieces), room)
        answer = None
        if self.is_training and example.answer_words:
            answer = document.pieces_of_answer(
                *example.answer_words,
                self.tokenizer.tokenize(example.orig_answer_text or ""),
            )
        windows = []
        for index, (start, length) in enumerate(spans):
            window = InputFeatures(
                unique_id=unique_id + index,
                example_index=example_index,
                doc_span_index=index,
                document=document,
                query=query,
                query_ids=query_ids,
                doc_start=start,
                doc_length=length,
                is_max_context=is_max_context[index],
                special_ids=self.special_ids,
                max_seq_length=self.max_seq_length,
                is_impossible=example.is_impossible,
            )
            if self.is_training:
                window.start_position = window.end_position = 0
                if answer and start <= answer[0] and answer[1] < start + length:
                    shift = window.doc_offset - start
                    window.start_position = answer[0] + shift
                    window.end_position = answer[1] + shift
            windows.append(window)
        return windows

    def _document_of(self, example):
        document = self._document
        if document is None or document.doc_tokens is not example.doc_tokens:
            document = Document(example.doc_tokens, self._tokenize, self.vocab)
            # Questions of one paragraph mostly have the same windows.
            self._spans = functools.lru_cache(maxsize=None)(self._make_spans)
            self._document = document
        return document

    def _make_spans(self, num_pieces, room):
        spans = sliding_windows(num_pieces, room, self.doc_stride)
        return spans, max_context(spans, num_pieces)


def convert_examples_to_features(
    examples: Iterable[SquadExample],
    tokenizer: FullTokenizer,
    max_seq_length: int,
    doc_stride: int,
    max_query_length: int,
    is_training: bool,
) -> list[InputFeatures]:
    """All windows of the examples; for the arguments see `FeatureConverter`."""
    converter = FeatureConverter(
        tokenizer,
        max_seq_length=max_seq_length,
        doc_stride=doc_stride,
        max_query_length=max_query_length,
        is_training=is_training,
    )
    return list(converter.windows(examples))


def sliding_windows(
    num_pieces: int, room: int, doc_stride: int
) -> list[tuple[int, int]]:
    """(start, length) of each window; the last one reaches the end."""
    step = min(room, doc_stride)
    last = max(0, -(-(num_pieces - room) // step)) if num_pieces else -1
    return [
        (i * step, min(room, num_pieces - i * step)) for i in range(last + 1)
    ]


def max_context(
    spans: Sequence[tuple[int, int]], num_pieces: int
) -> list[np.ndarray]:
    """For each window bool [length]: whether a piece has most context there.

    The context of a piece in a window is the number of pieces on its poorer
    side, and a little for the window's length: min(left, right) + 0.01 length.
    Of equal windows the first counts.
    """
    best_score = np.full(num_pieces, -1.0)
    best_span = np.zeros(num_pieces, np.int32)
    for index, (start, length) in enumerate(spans):
        left = np.arange(length)
        score = np.minimum(left, left[::-1]) + 0.01 * length
        pieces = slice(start, start + length)
        is_better = score > best_score[pieces]
        best_score[pieces][is_better] = score[is_better]
        best_span[pieces][is_better] = index
    return [
        best_span[start : start + length] == index
        for index, (start, length) in enumerate(spans)
    ]


# ---------------------------------------------------------------------------
# In several processes, which do without TensorFlow.


def encode_row(window: InputFeatures) -> Row:
    """The row of a window; places that are not known are 0."""
    return (
        window.ids.tobytes(),
        window.doc_offset,
        window.start_position or 0,
        window.end_position or 0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConverterSettings(TokenizerSettings):
    """The settings from which a process makes its `FeatureConverter`.

    Attributes:
        vocab_file: see `FullTokenizer`.
        do_lower_case, strip_accents, tokenize_chinese_chars: see
            `TokenizerSettings`.
        max_seq_length, doc_stride, max_query_length, is_training: see
            `FeatureConverter`.
    """

    vocab_file: str
    max_seq_length: int
    doc_stride: int
    max_query_length: int
    is_training: bool

    def make(self) -> FeatureConverter:
        """A new converter."""
        return FeatureConverter(
            FullTokenizer(self.vocab_file, **self.tokenizer_arguments()),
            max_seq_length=self.max_seq_length,
            doc_stride=self.doc_stride,
            max_query_length=self.max_query_length,
            is_training=self.is_training,
        )


# Training and the evaluations between its steps alternate: two settings.
@functools.lru_cache(maxsize=2)
def _converter_of_process(settings: ConverterSettings) -> FeatureConverter:
    return settings.make()


def convert_block(
    settings: ConverterSettings, examples: Iterable[SquadExample]
) -> tuple[list[Row], int]:
    """(rows, number of questions that were cut) of some examples."""
    converter = _converter_of_process(settings)
    before = converter.num_cut_questions
    rows = [
        encode_row(window)
        for example in examples
        for window in converter.convert(example)
    ]
    return rows, converter.num_cut_questions - before
