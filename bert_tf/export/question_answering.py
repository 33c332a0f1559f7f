"""QuestionServing: answers questions on contexts of any length.

    question, context   strings
      tokenize          WordPieces, and their places in the context
      windows           of the context's pieces, each after the question
      model             start and end logits, some windows at a time
      candidates        in each window: best starts with best ends
      answer            the best of all windows, as a part of the raw context

All of it is in the graph of a SavedModel. The rules are those of
`data/squad/windows.py` and `data/squad/answers.py`.
"""

import dataclasses
import typing
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf.data.squad.windows import WINDOW_LENGTH_MULTIPLE
from bert_tf.export import kinds, serving_modules
from bert_tf.export.chunks import WindowIds, map_chunks
from bert_tf.export.serving_modules import SAMPLES, Function, Tensors
from bert_tf.preprocessing import BertPreprocessor, Slices
from bert_tf.text.packing import ID_NAMES

NUM_SPECIAL = 3  # [CLS], and [SEP] after the question and after the window.
NOWHERE = -1  # Start and end where there is no answer.
MINUS_INFINITY = np.float64(-np.inf)
WHITE_SPACE = r"[ \t\r\n\x{202F}]+"  # Between the words of SQuAD's contexts.


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquadSettings:
    """How contexts are read and answers chosen, see the flags of run_squad."""

    doc_stride: int = 128
    max_query_length: int = 64
    n_best_size: int = 20
    max_answer_length: int = 30
    version_2_with_negative: bool = False
    null_score_diff_threshold: float = 0.0


class _Windows(typing.NamedTuple):
    """Windows of all contexts, one after the other: int64 [W] each."""

    rows: tf.Tensor  # The number of the window's question.
    indexes: tf.Tensor  # The window's place among those of its question.
    doc_starts: tf.Tensor  # The window's first piece in the context.
    doc_lengths: tf.Tensor


class _Candidates(typing.NamedTuple):
    """Candidates, the best first; with the score -inf where there are fewer.

    `firsts` and `lasts` are pieces of the context, int64; `scores` float64.
    """

    scores: tf.Tensor
    firsts: tf.Tensor
    lasts: tf.Tensor


class QuestionServing(serving_modules.ServingModule):
    """Answers questions on contexts.

    Args:
        model: a `BertSpanLabeler`.
        preprocess: a `BertPreprocessor`; its `max_seq_length` is the length
            of a window.
        settings: a `SquadSettings`.
    """

    kind = kinds.QUESTION_ANSWERING.name

    def __init__(
        self,
        model: keras.Model,
        preprocess: BertPreprocessor,
        settings: SquadSettings,
    ):
        shape = serving_modules.InputShape()
        super().__init__(model, preprocess.max_seq_length, shape)
        self._preprocess = preprocess
        self._settings = settings
        # Starts and ends that are kept; a window has at least this length.
        self._num_best = min(settings.n_best_size, preprocess.max_seq_length)
        # Some candidates have the same text, and only one of those counts. If
        # there are too many of them, the n best answers are fewer than n.
        self._num_candidates = min(3 * settings.n_best_size, self._num_best**2)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="question"),
            tf.TensorSpec([None], tf.string, name="context"),
        ]
    )
    def answer(self, question: tf.Tensor, context: tf.Tensor) -> Tensors:
        """Answers each question on its context.

        Args:
            question, context: tf.string [B].

        Returns:
            A dict of [B]:
                answer: tf.string, a part of the context; "" for none.
                score: float32, its probability among the n best answers.
                start, end: int32, its place in characters of the context
                    (Unicode code points), the end not included; -1 for none.
                start_byte, end_byte: int32, the same in bytes of UTF-8.
                null_probability: float32, the probability of "no answer";
                    with `version_2_with_negative`.
        """
        read = self._read_all(question, context)
        return self._finish(read, self._logits(read))

    def _read_all(self, question, context):
        """The ids of all windows, and what must be known of the texts.

        Returns:
            A dict:
                input_ids, input_mask, segment_ids: int32 [W, S].
                lengths: int32 [W], the places of each window that count.
                rows, indexes, doc_starts, doc_lengths: of `_Windows`.
                query_lengths, context_lengths: int64 [B], in pieces.
                starts, limits: [pieces of all contexts], in bytes.
                context: tf.string [B].
        """
        tf.debugging.assert_equal(
            tf.size(question),
            tf.size(context),
            "question and context must have the same number of rows",
        )
        queries = self._preprocess.tokenize(question)
        queries = queries[:, : self._settings.max_query_length]
        pieces, starts, limits = self._preprocess.tokenize_with_offsets(context)
        query_lengths, lengths = queries.row_lengths(), pieces.row_lengths()
        windows = self._windows(query_lengths, lengths)
        inputs = self._inputs(queries, pieces, windows)
        num_tokens = tf.reduce_sum(inputs["input_mask"], axis=1)
        return {
            **inputs,
            "lengths": self._num_places(num_tokens),
            **windows._asdict(),
            "query_lengths": query_lengths,
            "context_lengths": lengths,
            "starts": starts.values,
            "limits": limits.values,
            "context": context,
        }

    def _finish(self, read, numbers):
        context = read["context"]
        windows = _Windows(*(read[name] for name in _Windows._fields))
        candidates, null_scores = self._candidates(read, windows, numbers)
        num_windows = tf.math.bincount(
            tf.cast(windows.rows, tf.int32),
            minlength=tf.size(context),
            maxlength=tf.size(context),
        )
        best = self._best_of_rows(candidates, num_windows)
        # The lowest score for "no answer" of a question's windows, if any.
        null_scores = tf.math.unsorted_segment_min(
            null_scores, windows.rows, tf.size(context)
        )
        null_scores = tf.where(num_windows > 0, null_scores, 0.0)

        # Pieces to bytes of the context.
        has_answer = best.scores > MINUS_INFINITY
        first_of_row = tf.cumsum(read["context_lengths"], exclusive=True)
        first_of_row = first_of_row[:, tf.newaxis]
        first = tf.where(has_answer, first_of_row + best.firsts, 0)
        last = tf.where(has_answer, first_of_row + best.lasts, 0)
        # There may be no piece at all.
        starts = tf.gather(tf.concat([read["starts"], [0]], axis=0), first)
        limits = tf.gather(tf.concat([read["limits"], [0]], axis=0), last)
        lengths = tf.where(has_answer, limits - starts, 0)
        texts = tf.strings.substr(
            tf.repeat(context[:, tf.newaxis], self._num_candidates, axis=1),
            tf.where(has_answer, starts, 0),
            lengths,
        )
        return self._choose(
            context, best.scores, texts, starts, lengths, null_scores
        )

    @property  # The others set an attribute.
    def serve(self) -> Function:  # type: ignore[override]
        return self.answer

    def description(self) -> dict[str, Any]:
        return {
            "max_seq_length": self._preprocess.max_seq_length,
            "do_lower_case": self._preprocess.do_lower_case,
            **dataclasses.asdict(self._settings),
        }

    def _string_specs(self):
        return [
            tf.TensorSpec([None], tf.string, name=name)
            for name in ("question", "context")
        ]

    def _lengths(self, question, context):
        queries, contexts = (
            self._preprocess.tokenize(text).row_lengths()
            for text in (question, context)
        )
        # Windows take contexts of any length, and the start of a question.
        return {
            "num_tokens": queries + contexts + NUM_SPECIAL,
            "truncated": queries > self._settings.max_query_length,
        }

    def _answer_to(self, ids):
        """{"start_logits", "end_logits": float32 [B, S]}."""
        return self._traced_network(ids)

    def _network(self, ids):
        logits = self._outputs_of_model(ids)
        return {n: tf.cast(values, tf.float32) for n, values in logits.items()}

    def samples(self) -> list[Tensors]:
        """Returns contexts of one window, of several, and of none."""
        contexts = [SAMPLES[2], " ".join(SAMPLES), *SAMPLES]
        questions = ["Which one?", SAMPLES[3], *SAMPLES[::-1]]
        return [
            {
                "question": tf.constant(questions),
                "context": tf.constant(contexts),
            }
        ]

    # -----------------------------------------------------------------------
    # Windows.

    def _windows(self, query_lengths, num_pieces) -> _Windows:
        """Splits all contexts as `squad.windows.sliding_windows` does."""
        room, step = self._room_and_step(query_lengths)
        num_windows = tf.where(
            num_pieces > 0,
            1 + tf.maximum(-(-(num_pieces - room) // step), 0),
            0,
        )
        rows = tf.range(tf.size(num_pieces, tf.int64))
        rows = tf.repeat(rows, num_windows)
        indexes = tf.ragged.range(num_windows).values
        doc_starts = indexes * tf.gather(step, rows)
        doc_lengths = tf.minimum(
            tf.gather(room, rows), tf.gather(num_pieces, rows) - doc_starts
        )
        return _Windows(rows, indexes, doc_starts, doc_lengths)

    def _room_and_step(self, query_lengths):
        """Counts pieces of a window, and from one to the next: int64 [B]."""
        room = self._preprocess.max_seq_length - NUM_SPECIAL
        room -= query_lengths
        return room, tf.minimum(room, self._settings.doc_stride)

    def _logits(self, read):
        """Computes the logits of all windows, float32 [W, S] each."""
        ids = WindowIds(*(read[name] for name in ID_NAMES))
        spec = tf.TensorSpec([None, None], tf.float32)
        names = ("start_logits", "end_logits")

        def logits(chunk):
            numbers = self._traced_network(chunk._asdict())
            return [numbers[name] for name in names]

        values = map_chunks(logits, ids, [spec, spec])
        return dict(zip(names, values, strict=True))

    def _inputs(self, queries, pieces, windows) -> dict:
        """Lays out [CLS] question [SEP] window [SEP] padding: int32 [W, S]."""
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
        num_tokens = query.lengths + document.lengths + NUM_SPECIAL
        # There may be no window.
        longest = tf.reduce_max(
            tf.concat([num_tokens, [self._num_best]], axis=0)
        )
        return self._preprocess.lay_out(
            query, document, self._num_places(longest)
        )

    def _num_places(self, num_tokens):
        """Rounds numbers of tokens up to lengths that windows are padded to."""
        rounded = -(-num_tokens // WINDOW_LENGTH_MULTIPLE)
        rounded *= WINDOW_LENGTH_MULTIPLE
        return tf.minimum(rounded, self._preprocess.max_seq_length)

    # -----------------------------------------------------------------------
    # Candidates.

    def _candidates(self, read, windows, logits):
        """Returns `_Candidates` of [W, c] and null scores, float64 [W]."""
        doc_offset = tf.gather(read["query_lengths"], windows.rows) + 2
        start_logits, starts = self._best_places(
            logits["start_logits"], read["input_mask"], doc_offset
        )
        end_logits, ends = self._best_places(
            logits["end_logits"], read["input_mask"], doc_offset
        )
        lengths = windows.doc_lengths[:, tf.newaxis]
        can_start = (starts >= 0) & (starts < lengths)
        can_start &= self._has_most_context(read, windows, starts)
        can_end = (ends >= 0) & (ends < lengths)
        # Every start with every end: [W, n, n].
        num_pieces = ends[:, tf.newaxis] - starts[:, :, tf.newaxis] + 1
        is_valid = can_start[:, :, tf.newaxis] & can_end[:, tf.newaxis]
        is_valid &= num_pieces >= 1
        is_valid &= num_pieces <= self._settings.max_answer_length
        scores = start_logits[:, :, tf.newaxis] + end_logits[:, tf.newaxis]
        scores = tf.where(is_valid, scores, MINUS_INFINITY)
        # top_k prefers the first of equal scores, as a stable sort does.
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
        """Finds the best logits, float64 [W, n], and their places."""
        num_places = self._num_places(tf.reduce_sum(input_mask, axis=1))
        is_counted = tf.range(tf.shape(logits)[1]) < num_places[:, tf.newaxis]
        logits = tf.where(is_counted, logits, -np.inf)
        logits, places = tf.math.top_k(logits, self._num_best)
        places = tf.cast(places, tf.int64) - doc_offset[:, tf.newaxis]
        return tf.cast(logits, tf.float64), places

    def _has_most_context(self, read, windows, starts):
        """Whether places are in the window of `max_context`: bool [W, n]."""
        room, step = (
            tf.gather(values, windows.rows)[:, tf.newaxis, tf.newaxis]
            for values in self._room_and_step(read["query_lengths"])
        )
        num_pieces = tf.gather(read["context_lengths"], windows.rows)
        num_pieces = num_pieces[:, tf.newaxis, tf.newaxis]
        piece = windows.doc_starts[:, tf.newaxis] + starts
        piece = piece[:, :, tf.newaxis]
        # The windows that hold the piece follow each other.
        first = tf.maximum(-(-(piece - room + 1) // step), 0)
        at_most = tf.reduce_max(tf.concat([[1], -(-room // step)[:, 0, 0]], 0))
        index = first + tf.range(at_most)
        start = index * step
        length = tf.minimum(room, num_pieces - start)
        # A window starts only where the one before does not reach the end.
        is_there = (start == 0) | (start - step + room < num_pieces)
        left, right = piece - start, start + length - 1 - piece
        is_there &= (left >= 0) & (right >= 0)
        score = tf.cast(tf.minimum(left, right), tf.float64)
        score += 0.01 * tf.cast(length, tf.float64)
        score = tf.where(is_there, score, MINUS_INFINITY)
        best = first[:, :, 0] + tf.argmax(score, axis=-1)  # The first if equal.
        return best == windows.indexes[:, tf.newaxis]

    # -----------------------------------------------------------------------
    # Answers.

    def _best_of_rows(self, candidates, num_windows) -> _Candidates:
        """Merges the candidates of each question's windows: [B, c]."""
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
        """Computes the outputs of `answer` from each question's candidates.

        Args:
            context: tf.string [B].
            scores, texts, starts, lengths: [B, c], best first; places in
                bytes.
            null_scores: float64 [B].
        """
        has_answer = scores[:, 0] > MINUS_INFINITY
        # Only the best of several answers with the same text counts.
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
