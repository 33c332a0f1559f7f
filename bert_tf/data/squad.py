"""SQuAD files: questions on paragraphs, and the windows that a model reads.

    {"data": [{"paragraphs": [{"context": "…", "qas": [
        {"id": "…", "question": "…",
         "answers": [{"text": "…", "answer_start": 17}]}]}]}]}

A context that is too long for the model is read through a window that slides
over its WordPieces. Each window becomes one sequence:

    [CLS] who wrote it ? [SEP] the book was written by [SEP]
    [CLS] who wrote it ? [SEP]      was written by some ##body [SEP]

Most pieces are in several windows. An answer is looked for where its first
piece has most context: the model knows more there.

`squad_answers.py` is the way back, from the model's outputs to answers.
"""

import bisect
import dataclasses
import functools
import itertools
import re

import ijson
import numpy as np

from bert_tf import files
from bert_tf.data.squad_answers import compute_predictions
from bert_tf.errors import UserError
from bert_tf.tokenization import FullTokenizer

__all__ = [
    "FeatureConverter",
    "InputFeatures",
    "SquadExample",
    "SquadExamples",
    "compute_predictions",
    "convert_examples_to_features",
    "read_squad_examples",
]

FIRST_UNIQUE_ID = 1_000_000_000
# Windows are padded to a multiple of this where all need not be of one length.
# Like the original we let the padding compete with the tokens for a place
# among the best starts and ends, so it must not depend on the batch.
LENGTH_MULTIPLE = 32
# The original's idea of white space; all of it is white space for the
# tokenizer, too, which knows more kinds.
_WORD = re.compile("[^ \t\r\n\u202f]+")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WORDS_REMEMBERED = 1 << 17  # With their pieces.


# ---------------------------------------------------------------------------
# Examples.


@dataclasses.dataclass
class SquadExample:
    """One question on a paragraph.

    Attributes:
        qas_id: the question's id.
        question_text: the question, not tokenized.
        doc_tokens: the words of the context, as white space parts them; the
            questions of a paragraph share the list.
        orig_answer_text: the answer, where it is read; "" if there is none.
        start_position: place of its first word, -1 if there is none.
        end_position: place of its last word, likewise.
        is_impossible: whether the context does not hold the answer.
    """

    qas_id: str
    question_text: str
    doc_tokens: list
    orig_answer_text: str | None = None
    start_position: int | None = None
    end_position: int | None = None
    is_impossible: bool = False


class SquadExamples:
    """The examples of a file, read from it whenever they are iterated.

    One article after the other is held in memory. Making the object reads the
    file once, so that mistakes are found before anything is written.

    Args:
        path: of the file, SQuAD 1.1 or 2.0.
        is_training: also read the answers, of several the first one. Examples
            whose answer is not found in the context are left out.
        version_2_with_negative: the file has questions without an answer.
        on_skip: function(question id, place in the file, answer's text),
            called for each example that is left out.

    Attributes:
        num_skipped: examples that were left out.
        num_with_several_answers: those of which the first one was taken.
        num_marked_impossible: questions marked as having no answer.

    Raises:
        UserError: the file is none of SQuAD's.
    """

    def __init__(
        self,
        path: str,
        is_training: bool,
        version_2_with_negative: bool = False,
        on_skip=lambda qas_id, place, text: None,
    ):
        self.path = path
        self.is_training = is_training
        self.version_2_with_negative = version_2_with_negative
        self.num_skipped = self.num_with_several_answers = 0
        self.num_marked_impossible = 0
        self._number = 0
        ids = set()
        for context, question in _questions(path):
            if not is_training:
                if question.qas_id in ids:
                    raise UserError(
                        f"{question.place}: the id {question.qas_id!r} stands "
                        "twice; predictions have one place for each id"
                    )
                ids.add(question.qas_id)
            self.num_marked_impossible += question.is_impossible
            if self._example(context, question) is None:
                self.num_skipped += 1
                on_skip(
                    question.qas_id, question.place, question.answers[0]["text"]
                )
                continue
            self._number += 1
            if is_training and len(question.answers) > 1:
                self.num_with_several_answers += 1
        if not self._number:
            raise UserError(
                f"{path}: no question"
                + (" with an answer in its context" if self.num_skipped else "")
            )

    def __len__(self):
        return self._number

    def __iter__(self):
        for context, question in _questions(self.path):
            example = self._example(context, question)
            if example is not None:
                yield example

    def _example(self, context: "_Context", question: "_Question"):
        """The example of a question, or None where its answer is not found."""
        example = SquadExample(
            question.qas_id, question.text, context.doc_tokens
        )
        if not self.is_training:
            return example
        if question.is_impossible and self.version_2_with_negative:
            example.orig_answer_text, example.is_impossible = "", True
            example.start_position = example.end_position = -1
            return example
        if question.is_impossible or not question.answers:
            wrong = (
                "is_impossible is true"
                if question.is_impossible
                else "no answer to learn from"
            )
            raise UserError(
                f"{question.place}: {wrong}: for questions without an answer "
                "give --version_2_with_negative, and mark them in the file "
                'with "is_impossible": true'
            )
        answer = question.answers[0]
        span = context.words_of(answer["answer_start"], answer["text"])
        if span is None:
            return None
        example.orig_answer_text = answer["text"]
        example.start_position, example.end_position = span
        return example


def read_squad_examples(
    path: str, is_training: bool, version_2_with_negative: bool = False
) -> list:
    """All `SquadExamples` of a file."""
    return list(SquadExamples(path, is_training, version_2_with_negative))


def read_answers(path: str) -> dict:
    """{question id: list of answers' texts}, of a file to evaluate on.

    Raises:
        UserError: the file is none of SQuAD's, or has a question without the
            list `answers`.
    """
    found = {}
    for _, question in _questions(path):
        if question.answers is None:
            raise UserError(
                f"{question.place}: `answers` is missing: without them there "
                "is nothing to evaluate with"
            )
        found[question.qas_id] = [answer["text"] for answer in question.answers]
    return found


def check_answered(path: str, answers: dict):
    """Raises UserError where a question of SQuAD 1.1 has no answer."""
    without = [qas_id for qas_id, texts in answers.items() if not texts]
    if without:
        raise UserError(
            f"{path}: {len(without)} of {len(answers)} questions have no "
            f"answer, {without[0]} first: to evaluate on SQuAD 2.0 give "
            "--version_2_with_negative"
        )


class _Context:
    """The words of a paragraph's context, and where they start."""

    def __init__(self, text: str):
        matches = list(_WORD.finditer(text))
        self.doc_tokens = [match[0] for match in matches]
        self.starts = [match.start() for match in matches]
        self.length = len(text)

    def words_of(self, answer_start: int, text: str):
        """(first, last) word of an answer, or None where it is not there."""
        last = answer_start + len(text) - 1
        answer = " ".join(text.split())
        if not answer or answer_start < 0 or last >= self.length:
            return None
        first, last = (
            bisect.bisect_right(self.starts, place) - 1
            for place in (answer_start, last)
        )
        if first < 0 or answer not in " ".join(
            self.doc_tokens[first : last + 1]
        ):
            return None
        return first, last


@dataclasses.dataclass
class _Question:
    """A question as it stands in the file; `answers` None if not there."""

    qas_id: str
    text: str
    answers: list | None
    is_impossible: bool
    place: str


def _questions(path):
    """Yields (_Context, _Question) of a file, checked."""
    for index, article in enumerate(_articles(path)):
        paragraphs = _items(article, "paragraphs", f"{path}: data[{index}]")
        for paragraph_place, paragraph in paragraphs:
            context = _value(paragraph, "context", str, paragraph_place)
            context = _Context(context)
            for place, question in _items(paragraph, "qas", paragraph_place):
                yield context, _question(question, place)


def _question(question, place):
    answers = None
    if question.get("answers") is not None:
        answers = []
        for where, answer in _items(question, "answers", place):
            _value(answer, "text", str, where)
            _value(answer, "answer_start", int, where)
            answers.append(answer)
    is_impossible = question.get("is_impossible", False)
    if not isinstance(is_impossible, bool):
        raise UserError(f"{place}: `is_impossible` must be true or false")
    return _Question(
        _value(question, "id", str, place),
        _value(question, "question", str, place),
        answers,
        is_impossible,
        place,
    )


_KINDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


def _value(parent, key, kind, place):
    if key not in parent:
        raise UserError(f"{place}: `{key}` is missing; not a SQuAD file?")
    value = parent[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f"{place}: `{key}` must be {_KINDS[kind]}; not a SQuAD file?"
        )
    return value


def _items(parent, key, place):
    """Yields (place, object) of a list of objects."""
    for index, item in enumerate(_value(parent, key, list, place)):
        inner = f"{place}.{key}[{index}]"
        if not isinstance(item, dict):
            raise UserError(f"{inner}: must be an object; not a SQuAD file?")
        yield inner, item


def _articles(path):
    """Yields what the list `data` holds, one item in memory at a time."""
    found = False
    with files.naming(path), files.open_binary(path) as reader:
        if reader.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
            reader.seek(0)
        try:
            for article in ijson.items(reader, "data.item", use_float=True):
                found = True
                if not isinstance(article, dict):
                    break
                yield article
            else:
                if found:
                    return
        except ijson.JSONError as error:
            raise UserError(f"{path}: not JSON: {_reason(error)}") from None
    raise UserError(
        f"{path}: not a SQuAD file: it must be an object with the list "
        "`data`, of objects with the list `paragraphs`"
    )


def _reason(error):
    """One line: what is wrong, and the text around it."""
    message = str(error).removeprefix("b'").replace("\\n", "\n")
    what, *excerpt = message.split("\n")
    excerpt = excerpt[0].strip() if excerpt else ""
    return f"{what} near {excerpt!r}" if excerpt else what


# ---------------------------------------------------------------------------
# Windows.


class Document:
    """The WordPieces of a context.

    Attributes:
        pieces: list of str.
        ids: int32 [N].
        words: int32 [N], the place of each piece's word.
        first_pieces: list of int, the place of each word's first piece; one
            more at the end, N.
    """

    def __init__(self, doc_tokens: list, tokenize, vocab: dict):
        self.doc_tokens = doc_tokens
        pieces_of_words = [*map(tokenize, doc_tokens)]
        self.pieces = [*itertools.chain.from_iterable(pieces_of_words)]
        self.ids = np.array([vocab[p] for p in self.pieces], np.int32)
        lengths = [*map(len, pieces_of_words)]
        self.words = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self.first_pieces = [0, *itertools.accumulate(lengths)]

    def pieces_of_answer(self, example: SquadExample, answer_pieces: list):
        """(first, last) piece of an answer.

        The words that hold the answer may hold more, such as a bracket in
        front of it. Within them the answer's own pieces are looked for; where
        they are not found, as in "Japanese" for "Japan", the words remain.
        """
        first = self.first_pieces[example.start_position]
        last = self.first_pieces[example.end_position + 1] - 1
        length = len(answer_pieces)
        for start in range(first, last + 2 - length) if length else ():
            if self.pieces[start : start + length] == answer_pieces:
                return start, start + length - 1
        return first, last


@dataclasses.dataclass
class InputFeatures:
    """One window of a context, behind its question.

    A view of the document: what it does not hold is computed when asked for.

    Attributes:
        unique_id: from 1,000,000,000 on, over all windows of a file.
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
        max_seq_length: what `input_ids` and the like are padded to.
        start_position: place of the answer's first piece in the sequence; 0,
            that of [CLS], where the window does not hold all of the answer.
            None unless training.
        end_position: of its last piece, likewise.
        is_impossible: of the example.
    """

    unique_id: int
    example_index: int
    doc_span_index: int
    document: Document
    query: list
    query_ids: np.ndarray
    doc_start: int
    doc_length: int
    is_max_context: np.ndarray
    special_ids: tuple
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
        return self.doc_offset + self.doc_length + 1

    @property
    def num_places(self) -> int:
        """Tokens and the padding that goes with them."""
        rounded = -(-self.num_tokens // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        return min(rounded, self.max_seq_length)

    @property
    def tokens(self) -> list:
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
    def input_ids(self) -> list:
        return _pad(self.ids.tolist(), self.max_seq_length)

    @property
    def input_mask(self) -> list:
        return _pad([1] * self.num_tokens, self.max_seq_length)

    @property
    def segment_ids(self) -> list:
        segment_ids = [0] * self.doc_offset + [1] * (self.doc_length + 1)
        return _pad(segment_ids, self.max_seq_length)

    @property
    def token_to_orig_map(self) -> dict:
        """{place in the sequence: place of the word in the context}."""
        words = self.document.words[self.doc_start :][: self.doc_length]
        return dict(enumerate(words.tolist(), start=self.doc_offset))

    @property
    def token_is_max_context(self) -> dict:
        """{place in the sequence: whether the context there is largest}."""
        return dict(
            enumerate(self.is_max_context.tolist(), start=self.doc_offset)
        )


def _pad(values, length):
    return values + [0] * (length - len(values))


class FeatureConverter:
    """Makes windows of examples.

    Args:
        tokenizer: a `FullTokenizer`.
        max_seq_length: length of the sequences, special tokens included.
        doc_stride: pieces from the start of a window to that of the next.
        max_query_length: pieces of a question at most; more are cut off.
        is_training: whether the answers' places are wanted.

    Raises:
        ValueError: a question can be so long that no piece of the context
            fits behind it, or `doc_stride` is not positive.
    """

    def __init__(
        self,
        tokenizer,
        max_seq_length: int,
        doc_stride: int,
        max_query_length: int,
        is_training: bool,
    ):
        if max_seq_length <= max_query_length + 3:
            raise ValueError(
                "max_seq_length must exceed max_query_length by more than the "
                f"3 special tokens. Received: max_seq_length={max_seq_length}, "
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
        self._document = None  # Of the example before.

    def windows(self, examples):
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
    ) -> list:
        """The windows of one example; none for a context without tokens."""
        document = self._document_of(example)
        query = self.tokenizer.tokenize(example.question_text)
        self.num_cut_questions += len(query) > self.max_query_length
        query = query[: self.max_query_length]
        query_ids = np.array([self.vocab[p] for p in query], np.int32)
        room = self.max_seq_length - len(query) - 3
        spans, is_max_context = self._spans(len(document.pieces), room)
        answer = None
        if self.is_training and not example.is_impossible:
            answer = document.pieces_of_answer(
                example, self.tokenizer.tokenize(example.orig_answer_text)
            )
        windows = []
        for index, (start, length) in enumerate(spans):
            window = InputFeatures(
                unique_id + index,
                example_index,
                index,
                document,
                query,
                query_ids,
                start,
                length,
                is_max_context[index],
                self.special_ids,
                self.max_seq_length,
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
        if (
            self._document is None
            or self._document.doc_tokens is not example.doc_tokens
        ):
            self._document = Document(
                example.doc_tokens, self._tokenize, self.vocab
            )
            # Questions of one paragraph mostly have the same windows.
            self._spans = functools.lru_cache(maxsize=None)(self._make_spans)
        return self._document

    def _make_spans(self, num_pieces, room):
        spans = sliding_windows(num_pieces, room, self.doc_stride)
        return spans, max_context(spans, num_pieces)


def convert_examples_to_features(
    examples,
    tokenizer,
    max_seq_length: int,
    doc_stride: int,
    max_query_length: int,
    is_training: bool,
) -> list:
    """All windows of the examples; arguments as of `FeatureConverter`."""
    converter = FeatureConverter(
        tokenizer, max_seq_length, doc_stride, max_query_length, is_training
    )
    return list(converter.windows(examples))


def sliding_windows(num_pieces: int, room: int, doc_stride: int) -> list:
    """(start, length) of each window; the last one reaches the end."""
    step = min(room, doc_stride)
    last = max(0, -(-(num_pieces - room) // step)) if num_pieces else -1
    return [
        (i * step, min(room, num_pieces - i * step)) for i in range(last + 1)
    ]


def max_context(spans: list, num_pieces: int) -> list:
    """For each window bool [length]: whether a piece has most context there.

    The context of a piece in a window is what it has on its poorer side, and
    a little for the window's length: min(left, right) + 0.01 length. Of equal
    windows it is the first.
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


def encode_row(window: InputFeatures) -> tuple:
    """(ids as bytes, doc_offset, start_position, end_position), which is all
    that a model needs; 0 for places that are not known."""
    return (
        window.ids.tobytes(),
        window.doc_offset,
        window.start_position or 0,
        window.end_position or 0,
    )


@dataclasses.dataclass(frozen=True)
class ConverterSettings:
    """What a process needs to make a `FeatureConverter`."""

    vocab_file: str
    do_lower_case: bool
    max_seq_length: int
    doc_stride: int
    max_query_length: int
    is_training: bool

    def make(self) -> FeatureConverter:
        tokenizer = FullTokenizer(self.vocab_file, self.do_lower_case)
        return FeatureConverter(
            tokenizer,
            self.max_seq_length,
            self.doc_stride,
            self.max_query_length,
            self.is_training,
        )


@functools.lru_cache(maxsize=1)
def _converter_of_process(settings: ConverterSettings) -> FeatureConverter:
    return settings.make()


def convert_block(settings, examples) -> tuple:
    """(rows, number of questions that were cut)."""
    converter = _converter_of_process(settings)
    before = converter.num_cut_questions
    rows = [
        encode_row(window)
        for example in examples
        for window in converter.convert(example)
    ]
    return rows, converter.num_cut_questions - before
