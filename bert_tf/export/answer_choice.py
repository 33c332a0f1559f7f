"""AnswerChooser: from the logits of windows to answers.

      candidates        in each window: best starts with best ends
      answer            the best of all windows, as a part of the raw context

The rules are those of `data/squad/answers.py`, in the graph of a SavedModel.
"""

import typing

import numpy as np
import tensorflow as tf

from bert_tf.export.question_windows import Windows, WindowSizes

NOWHERE = -1  # Start and end where there is no answer.
MINUS_INFINITY = np.float64(-np.inf)
WHITE_SPACE = r"[ \t\r\n\x{202F}]+"  # Between the words of SQuAD's contexts.

Tensors = dict[str, tf.Tensor]


class _Candidates(typing.NamedTuple):
    """Candidates, the best first; with the score -inf where there are fewer.

    `firsts` and `lasts` are pieces of the context, int64; `scores` float64.
    """

    scores: tf.Tensor
    firsts: tf.Tensor
    lasts: tf.Tensor


class AnswerChooser:
    """Chooses the answers to questions.

    Args:
        sizes: how the contexts were cut into windows.
    """

    def __init__(self, sizes: WindowSizes):
        self._sizes = sizes
        self._settings = sizes.settings
        self._num_best = sizes.num_best
        self._num_candidates = sizes.num_candidates

    def answers(self, read: Tensors, numbers: Tensors) -> Tensors:
        """Returns the outputs of `QuestionServing.answer`.

        Args:
            read: what `QuestionServing` read.
            numbers: {"start_logits", "end_logits": float32 [W, S]}.
        """
        context = read["context"]
        windows = Windows(*(read[name] for name in Windows._fields))
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
        num_places = self._sizes.num_places(tf.reduce_sum(input_mask, axis=1))
        is_counted = tf.range(tf.shape(logits)[1]) < num_places[:, tf.newaxis]
        logits = tf.where(is_counted, logits, -np.inf)
        logits, places = tf.math.top_k(logits, self._num_best)
        places = tf.cast(places, tf.int64) - doc_offset[:, tf.newaxis]
        return tf.cast(logits, tf.float64), places

    def _has_most_context(self, read, windows, starts):
        """Whether places are in the window of `max_context`: bool [W, n]."""
        room, step = (
            tf.gather(values, windows.rows)[:, tf.newaxis, tf.newaxis]
            for values in self._sizes.room_and_step(read["query_lengths"])
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
