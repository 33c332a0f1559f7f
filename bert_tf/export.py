"""SavedModels: raw text in, answers out, with nothing but TensorFlow between.

Question answering on a context of any length, all inside the graph:

    question, context   strings
      tokenize          WordPieces, and where in the context they are
      windows           of the context's pieces, each behind the question
      model             start and end logits, some windows at a time
      candidates        in each window: best starts with best ends
      answer            the best of all windows, as a part of the raw context

The rules are those of `data/squad_windows.py` and `data/squad_answers.py`.
"""

import contextlib
import dataclasses
import os
import typing

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  Its ops are in the SavedModel.
from absl import logging

from bert_tf import files
from bert_tf.data.squad_windows import LENGTH_MULTIPLE
from bert_tf.errors import UserError
from bert_tf.preprocessing import Slices

TEXTS = tf.TensorSpec([None], tf.string)
WINDOWS_AT_ONCE = 16  # That the model reads together.
NOWHERE = -1  # Start and end of no answer.
MINUS_INFINITY = np.float64(-np.inf)
WHITE_SPACE = r"[ \t\r\n\x{202F}]+"  # Between the words of SQuAD's contexts.


@dataclasses.dataclass(frozen=True)
class SquadSettings:
    """How contexts are read and answers chosen; as run_squad.py's flags."""

    doc_stride: int = 128
    max_query_length: int = 64
    n_best_size: int = 20
    max_answer_length: int = 30
    version_2_with_negative: bool = False
    null_score_diff_threshold: float = 0.0


class _Windows(typing.NamedTuple):
    """Windows of all contexts, one after the other: int64 [W] each."""

    rows: tf.Tensor  # The question that each belongs to.
    indexes: tf.Tensor  # Its place among that question's windows.
    doc_starts: tf.Tensor  # Its first piece.
    doc_lengths: tf.Tensor

    def take(self, places) -> "_Windows":
        return _Windows(*(tf.gather(values, places) for values in self))


class _Candidates(typing.NamedTuple):
    """The best candidates, best first; -inf is the score of none.

    `firsts` and `lasts` are pieces of the context, int64; `scores` float64.
    """

    scores: tf.Tensor
    firsts: tf.Tensor
    lasts: tf.Tensor


class QuestionAnswering(tf.Module):
    """Answers questions on contexts, as a part of a SavedModel.

    Args:
        model: a `BertSpanLabeler`.
        preprocess: a `BertPreprocessor`, whose `max_seq_length` is that of a
            window.
        settings: a `SquadSettings`.
    """

    def __init__(self, model, preprocess, settings: SquadSettings):
        super().__init__(name="question_answering")
        self._model = model
        self._preprocess = preprocess
        self._settings = settings
        # Starts and ends in a window, which has at least so many places.
        self._num_best = min(settings.n_best_size, preprocess.max_seq_length)
        # Some candidates have the same text, of which one counts: with more of
        # them than this the last places among the n best stay empty.
        self._num_candidates = min(3 * settings.n_best_size, self._num_best**2)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="question"),
            tf.TensorSpec([None], tf.string, name="context"),
        ]
    )
    def answer(self, question, context) -> dict:
        """Answers each question on its context.

        Args:
            question, context: tf.string [B].

        Returns:
            A dict of [B]:
                answer: tf.string, a part of the context; "" for none.
                score: float32, its probability among the n best answers.
                start, end: int32, where it is, in characters of the context
                    (Unicode code points), the end not included; -1 for none.
                start_byte, end_byte: int32, the same in bytes of UTF-8.
                null_probability: float32, that of "no answer"; in SQuAD 2.0.
        """
        tf.debugging.assert_equal(
            tf.size(question),
            tf.size(context),
            "question and context must have the same number of rows",
        )
        queries = self._preprocess.tokenize(question)
        queries = queries[:, : self._settings.max_query_length]
        pieces, starts, limits = self._preprocess.tokenize_with_offsets(context)
        windows = self._windows(queries, pieces)
        candidates, null_scores = self._read(queries, pieces, windows)
        num_windows = tf.math.bincount(
            tf.cast(windows.rows, tf.int32),
            minlength=tf.size(context),
            maxlength=tf.size(context),
        )
        best = self._best_of_rows(candidates, num_windows)
        # The window that doubts least; there may be none.
        null_scores = tf.math.unsorted_segment_min(
            null_scores, windows.rows, tf.size(context)
        )
        null_scores = tf.where(num_windows > 0, null_scores, 0.0)

        # Pieces to bytes of the context.
        has_answer = best.scores > MINUS_INFINITY
        first_of_row = pieces.row_starts()[:, tf.newaxis]
        first = tf.where(has_answer, first_of_row + best.firsts, 0)
        last = tf.where(has_answer, first_of_row + best.lasts, 0)
        # There may be no piece at all.
        starts = tf.gather(tf.concat([starts.values, [0]], axis=0), first)
        limits = tf.gather(tf.concat([limits.values, [0]], axis=0), last)
        lengths = tf.where(has_answer, limits - starts, 0)
        texts = tf.strings.substr(
            tf.repeat(context[:, tf.newaxis], self._num_candidates, axis=1),
            tf.where(has_answer, starts, 0),
            lengths,
        )
        return self._choose(
            context, best.scores, texts, starts, lengths, null_scores
        )

    # -----------------------------------------------------------------------
    # Windows.

    def _windows(self, queries, pieces) -> _Windows:
        """Those of `squad_windows.sliding_windows`, for all contexts."""
        num_pieces = pieces.row_lengths()
        room, step = self._room_and_step(queries)
        num_windows = tf.where(
            num_pieces > 0,
            1 + tf.maximum(-(-(num_pieces - room) // step), 0),
            0,
        )
        rows = tf.repeat(tf.range(pieces.nrows()), num_windows)
        indexes = tf.ragged.range(num_windows).values
        doc_starts = indexes * tf.gather(step, rows)
        doc_lengths = tf.minimum(
            tf.gather(room, rows), tf.gather(num_pieces, rows) - doc_starts
        )
        return _Windows(rows, indexes, doc_starts, doc_lengths)

    def _room_and_step(self, queries):
        """int64 [B]: pieces of a window, and from one window to the next."""
        room = self._preprocess.max_seq_length - 3 - queries.row_lengths()
        return room, tf.minimum(room, self._settings.doc_stride)

    def _read(self, queries, pieces, windows):
        """Lets the model read the windows, some at a time.

        Returns:
            (`_Candidates` of [W, c], null scores float64 [W]).
        """
        num_windows = tf.size(windows.rows)
        # An array of no chunks has no shape.
        num_chunks = tf.maximum(-(-num_windows // WINDOWS_AT_ONCE), 1)

        def read_chunk(index, arrays):
            first = index * WINDOWS_AT_ONCE
            limit = tf.minimum(first + WINDOWS_AT_ONCE, num_windows)
            chunk = windows.take(tf.range(first, limit))
            inputs = self._inputs(queries, pieces, chunk)
            logits = self._model(inputs, training=False)
            candidates, null_scores = self._candidates(
                queries, pieces, chunk, inputs["input_mask"], logits
            )
            values = (*candidates, null_scores)
            arrays = [
                array.write(index, value)
                for array, value in zip(arrays, values, strict=True)
            ]
            return index + 1, arrays

        shapes = [[None, self._num_candidates]] * 3 + [[None]]
        dtypes = [tf.float64, tf.int64, tf.int64, tf.float64]
        arrays = [
            tf.TensorArray(
                dtype, num_chunks, element_shape=shape, infer_shape=False
            )
            for dtype, shape in zip(dtypes, shapes, strict=True)
        ]
        _, arrays = tf.while_loop(
            lambda index, _: index < num_chunks,
            read_chunk,
            [0, arrays],
            parallel_iterations=1,  # The memory of one chunk.
        )
        *candidates, null_scores = [array.concat() for array in arrays]
        return _Candidates(*candidates), null_scores

    def _inputs(self, queries, pieces, windows) -> dict:
        """[CLS] question [SEP] window [SEP] padding: int32 [W, S]."""
        query = Slices(
            queries.values,
            tf.gather(queries.row_starts(), windows.rows),
            tf.gather(queries.row_lengths(), windows.rows),
        )
        document = Slices(
            pieces.values,
            tf.gather(pieces.row_starts(), windows.rows) + windows.doc_starts,
            windows.doc_lengths,
        )
        num_tokens = query.lengths + document.lengths + 3
        # There may be no window.
        longest = tf.reduce_max(
            tf.concat([num_tokens, [self._num_best]], axis=0)
        )
        return self._preprocess.lay_out(
            query, document, self._num_places(longest)
        )

    def _num_places(self, num_tokens):
        """Of windows: tokens and the padding that goes with them."""
        rounded = -(-num_tokens // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        return tf.minimum(rounded, self._preprocess.max_seq_length)

    # -----------------------------------------------------------------------
    # Candidates.

    def _candidates(self, queries, pieces, windows, input_mask, logits):
        """(`_Candidates` of [W, c], null scores float64 [W])."""
        doc_offset = tf.gather(queries.row_lengths(), windows.rows) + 2
        start_logits, starts = self._best_places(
            logits["start_logits"], input_mask, doc_offset
        )
        end_logits, ends = self._best_places(
            logits["end_logits"], input_mask, doc_offset
        )
        lengths = windows.doc_lengths[:, tf.newaxis]
        can_start = (starts >= 0) & (starts < lengths)
        can_start &= self._has_most_context(queries, pieces, windows, starts)
        can_end = (ends >= 0) & (ends < lengths)
        # Every start with every end: [W, n, n].
        num_pieces = ends[:, tf.newaxis] - starts[:, :, tf.newaxis] + 1
        is_valid = can_start[:, :, tf.newaxis] & can_end[:, tf.newaxis]
        is_valid &= num_pieces >= 1
        is_valid &= num_pieces <= self._settings.max_answer_length
        scores = start_logits[:, :, tf.newaxis] + end_logits[:, tf.newaxis]
        scores = tf.where(is_valid, scores, MINUS_INFINITY)
        # Of equal ones top_k takes the first, as a stable sort does.
        n = self._num_best
        scores, places = tf.math.top_k(
            tf.reshape(scores, [-1, n * n]), self._num_candidates
        )
        doc_starts = windows.doc_starts[:, tf.newaxis]
        candidates = _Candidates(
            scores,
            doc_starts + tf.gather(starts, places // n, batch_dims=1),
            doc_starts + tf.gather(ends, places % n, batch_dims=1),
        )
        null_scores = sum(
            tf.cast(logits[name][:, 0], tf.float64)
            for name in ("start_logits", "end_logits")
        )
        return candidates, null_scores

    def _best_places(self, logits, input_mask, doc_offset):
        """The best logits, float64, and their places in the window: [W, n]."""
        num_places = self._num_places(tf.reduce_sum(input_mask, axis=1))
        is_counted = tf.range(tf.shape(logits)[1]) < num_places[:, tf.newaxis]
        logits = tf.where(is_counted, logits, -np.inf)
        logits, places = tf.math.top_k(logits, self._num_best)
        places = tf.cast(places, tf.int64) - doc_offset[:, tf.newaxis]
        return tf.cast(logits, tf.float64), places

    def _has_most_context(self, queries, pieces, windows, starts):
        """bool [W, n]: `squad_windows.max_context` of some places."""
        room, step = (
            tf.gather(values, windows.rows)[:, tf.newaxis, tf.newaxis]
            for values in self._room_and_step(queries)
        )
        num_pieces = tf.gather(pieces.row_lengths(), windows.rows)
        num_pieces = num_pieces[:, tf.newaxis, tf.newaxis]
        piece = windows.doc_starts[:, tf.newaxis] + starts
        piece = piece[:, :, tf.newaxis]
        # The windows that hold the piece follow each other.
        first = tf.maximum(-(-(piece - room + 1) // step), 0)
        at_most = tf.reduce_max(tf.concat([[1], -(-room // step)[:, 0, 0]], 0))
        index = first + tf.range(at_most)
        start = index * step
        length = tf.minimum(room, num_pieces - start)
        # Not longer than to the end of the context.
        is_there = (start == 0) | (start - step + room < num_pieces)
        left, right = piece - start, start + length - 1 - piece
        is_there &= (left >= 0) & (right >= 0)
        score = tf.cast(tf.minimum(left, right), tf.float64)
        score += 0.01 * tf.cast(length, tf.float64)
        score = tf.where(is_there, score, MINUS_INFINITY)
        best = first[:, :, 0] + tf.argmax(score, axis=-1)  # Of equal: first.
        return best == windows.indexes[:, tf.newaxis]

    # -----------------------------------------------------------------------
    # Answers.

    def _best_of_rows(self, candidates, num_windows) -> _Candidates:
        """The best candidates of all windows of a question: [B, c]."""
        row_lengths = num_windows * self._num_candidates
        rows = tf.repeat(tf.range(tf.size(num_windows)), row_lengths)
        scores, firsts, lasts = (tf.reshape(x, [-1]) for x in candidates)
        # Sorted by score, then by row: both sorts keep the order of equals.
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        order = tf.gather(
            order, tf.argsort(tf.gather(rows, order), stable=True)
        )

        def best(values, default):
            ragged = tf.RaggedTensor.from_row_lengths(
                tf.gather(values, order), row_lengths, validate=False
            )
            return ragged.to_tensor(default, shape=[None, self._num_candidates])

        return _Candidates(
            best(scores, MINUS_INFINITY),
            best(firsts, np.int64(0)),
            best(lasts, np.int64(0)),
        )

    def _choose(self, context, scores, texts, starts, lengths, null_scores):
        """The outputs of `answer`, of the best candidates of each question.

        Args:
            context: tf.string [B].
            scores, texts, starts, lengths: [B, c], best first; places in
                bytes.
            null_scores: float64 [B].
        """
        has_answer = scores[:, 0] > MINUS_INFINITY
        # Of answers of the same text the best one counts.
        words = tf.strings.regex_replace(texts, WHITE_SPACE, " ")
        is_same = words[:, :, tf.newaxis] == words[:, tf.newaxis]
        is_same = tf.linalg.set_diag(is_same, tf.zeros_like(words == ""))
        is_repeated = tf.reduce_any(
            tf.linalg.band_part(is_same, -1, 0), axis=-1
        )
        is_counted = ~is_repeated & (scores > MINUS_INFINITY)
        num_places = self._settings.n_best_size
        if self._settings.version_2_with_negative:
            # "No answer" takes one of the places if it is good enough.
            is_better = is_counted & (scores >= null_scores[:, tf.newaxis])
            num_better = tf.math.count_nonzero(is_better, axis=1, keepdims=True)
            num_places -= tf.cast(num_better < num_places, tf.int32)
        rank = tf.cumsum(tf.cast(is_counted, tf.int32), axis=1)
        is_counted &= rank <= num_places
        best_scores = scores[:, 0]
        scores = tf.where(is_counted, scores, MINUS_INFINITY)
        if self._settings.version_2_with_negative:
            scores = tf.concat([scores, null_scores[:, tf.newaxis]], axis=1)
        probabilities = tf.nn.softmax(scores)
        score = tf.where(has_answer, probabilities[:, 0], 0.0)
        outputs = {}
        if self._settings.version_2_with_negative:
            null_odds = null_scores - best_scores
            has_answer &= null_odds <= self._settings.null_score_diff_threshold
            null_probability = probabilities[:, -1]
            score = tf.where(has_answer, score, null_probability)
            outputs["null_probability"] = tf.cast(null_probability, tf.float32)
        start_byte = tf.where(has_answer, starts[:, 0], 0)
        answer = tf.where(has_answer, texts[:, 0], "")
        start = tf.strings.length(
            tf.strings.substr(context, tf.zeros_like(start_byte), start_byte),
            unit="UTF8_CHAR",
        )
        places = {
            "start": start,
            "end": start + tf.strings.length(answer, unit="UTF8_CHAR"),
            "start_byte": start_byte,
            "end_byte": start_byte + lengths[:, 0],
        }
        return {
            "answer": answer,
            "score": tf.cast(score, tf.float32),
            **{
                name: tf.where(has_answer, tf.cast(place, tf.int32), NOWHERE)
                for name, place in places.items()
            },
            **outputs,
        }


def export_question_answering(
    folder: str, model, preprocess, settings: SquadSettings
):
    """Writes a SavedModel of `QuestionAnswering`, whole or not at all.

    Args:
        folder: which it becomes, instead of what is there.
        model, preprocess, settings: see `QuestionAnswering`.

    Raises:
        RuntimeError: what was written does not answer as the model does.
    """
    module = QuestionAnswering(model, preprocess, settings)
    with replacing_folder(folder) as temporary, _quietly():
        tf.saved_model.save(
            module, temporary, signatures={"serving_default": module.answer}
        )
        _check_same(module, temporary)


def _check_same(module, folder):
    """Both answer the same, contexts of one window and of several included."""
    text = "Two words, or Dvořák's 3rd: 漢字 too. "
    contexts = tf.constant([text, text * 40, ""])
    questions = tf.constant(["Which one?", "How many?", "Why?"])
    expected = module.answer(questions, contexts)
    found = tf.saved_model.load(folder).signatures["serving_default"](
        question=questions, context=contexts
    )
    for name, value in expected.items():
        if value.dtype == tf.float32:
            is_same = np.allclose(value, found[name], atol=1e-5)
        else:
            is_same = np.array_equal(value, found[name])
        if not is_same:
            raise RuntimeError(
                f"the exported model answers otherwise: {name} is "
                f"{found[name].numpy()}, not {value.numpy()}"
            )


def check_replaceable(folder: str):
    """Raises UserError where an export would replace what is none."""
    if files.exists(folder) and not files.exists(
        os.path.join(folder, "saved_model.pb")
    ):
        raise UserError(
            f"{folder}: this is no SavedModel; an export would replace it: "
            "move it away"
        )


@contextlib.contextmanager
def replacing_folder(folder: str):
    """Gives a scratch folder, which takes the place of `folder` at the end.

    At every moment there is the old folder or the new one, under its own name
    or, where a process was killed between two renames, under that of `old`.
    """
    gfile = tf.io.gfile
    parent, name = os.path.split(folder.rstrip("/"))
    scratch = os.path.join(parent, f".{name}.new.tmp")
    old = os.path.join(parent, f".{name}.old.tmp")

    def remove(path):
        if gfile.exists(path):
            gfile.rmtree(path)

    with files.naming(folder, "could not be written", scratch=scratch):
        if gfile.exists(old) and not gfile.exists(folder):
            gfile.rename(old, folder)
        remove(scratch)  # Of a process that was killed.
        remove(old)
        try:
            yield scratch
            if gfile.exists(folder):
                gfile.rename(folder, old)
            gfile.rename(scratch, folder)
        except BaseException:
            if gfile.exists(old) and not gfile.exists(folder):
                gfile.rename(old, folder)
            remove(scratch)
            raise
        remove(old)


@contextlib.contextmanager
def _quietly():
    """TensorFlow tells much of what it writes."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


class QuestionAnswerer:
    """Answers questions with an exported model.

        answerer = QuestionAnswerer("/tmp/squad/export")
        answerer.answer("Who wrote it?", "The book was written by Ada.")
        # {"answer": "Ada", "score": 0.98, "start": 24, "end": 27, …}

    Args:
        folder: of the SavedModel.

    Raises:
        UserError: there is no such model.
    """

    def __init__(self, folder: str):
        if not files.exists(os.path.join(folder, "saved_model.pb")):
            raise UserError(f"{folder}: no SavedModel here")
        with files.naming(folder):
            self._model = tf.saved_model.load(folder)
        self._serve = self._model.signatures.get("serving_default")
        inputs = {}
        if self._serve is not None:
            _, inputs = self._serve.structured_input_signature
        if set(inputs) != {"question", "context"}:
            raise UserError(
                f"{folder}: this model reads {', '.join(sorted(inputs)) or '–'}"
                ", not question and context"
            )

    def answer(self, question: str, context: str) -> dict:
        """The answer to one question.

        Returns:
            A dict: answer, the part of the context, "" for none; score, its
            probability among the n best answers; start and end, such that
            `context[start:end]` is the answer, -1 for none; start_byte and
            end_byte, likewise in UTF-8; and for a model of SQuAD 2.0
            null_probability, that of "no answer". Half a surrogate pair,
            which UTF-8 does not know, is read as "?".
        """
        (found,) = self.answer_all([question], [context])
        return found

    def answer_all(self, questions: list, contexts: list) -> list:
        """The answers to several questions, each on the context beside it."""
        if len(questions) != len(contexts):
            raise ValueError(
                "questions and contexts must have the same length. Received: "
                f"{len(questions)} and {len(contexts)}"
            )
        outputs = self._serve(
            question=tf.constant([*map(_encode, questions)], tf.string),
            context=tf.constant([*map(_encode, contexts)], tf.string),
        )
        columns = {
            name: [
                value.decode() if isinstance(value, bytes) else value
                for value in column.numpy().tolist()
            ]
            for name, column in outputs.items()
        }
        return [
            {name: column[row] for name, column in columns.items()}
            for row in range(len(questions))
        ]


def _encode(text):
    if not isinstance(text, str):
        raise TypeError(
            f"question and context must be str. Received: {type(text).__name__}"
        )
    return text.encode("utf-8", "replace")
