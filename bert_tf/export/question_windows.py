"""Windows of contexts, in which a model looks for answers.

The rules are those of `data/squad/windows.py`, in the graph of a SavedModel.
"""

import dataclasses
import typing

import tensorflow as tf

from bert_tf.data.squad.windows import WINDOW_LENGTH_MULTIPLE

NUM_SPECIAL = 3  # [CLS], and [SEP] after the question and after the window.


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquadSettings:
    """How contexts are read and answers chosen, see the flags of run_squad."""

    doc_stride: int = 128
    max_query_length: int = 64
    n_best_size: int = 20
    max_answer_length: int = 30
    version_2_with_negative: bool = False
    null_score_diff_threshold: float = 0.0


class Windows(typing.NamedTuple):
    """Windows of all contexts, one after the other: int64 [W] each."""

    rows: tf.Tensor  # The number of the window's question.
    indexes: tf.Tensor  # The window's place among those of its question.
    doc_starts: tf.Tensor  # The window's first piece in the context.
    doc_lengths: tf.Tensor


@dataclasses.dataclass(frozen=True)
class WindowSizes:
    """How contexts are cut into windows.

    Attributes:
        max_seq_length: tokens of a window, with the question.
        settings: a `SquadSettings`.
    """

    max_seq_length: int
    settings: SquadSettings

    @property
    def num_best(self) -> int:
        """Starts and ends that are kept; a window has at least this length."""
        return min(self.settings.n_best_size, self.max_seq_length)

    @property
    def num_candidates(self) -> int:
        """Answers of a window that are kept.

        Some candidates have the same text, and only one of those counts. If
        there are too many of them, the n best answers are fewer than n.
        """
        return min(3 * self.settings.n_best_size, self.num_best**2)

    def windows(
        self, query_lengths: tf.Tensor, num_pieces: tf.Tensor
    ) -> Windows:
        """Splits all contexts as `squad.windows.sliding_windows` does."""
        room, step = self.room_and_step(query_lengths)
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
        return Windows(rows, indexes, doc_starts, doc_lengths)

    def room_and_step(
        self, query_lengths: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Counts pieces of a window, and from one to the next: int64 [B]."""
        room = self.max_seq_length - NUM_SPECIAL
        room -= query_lengths
        return room, tf.minimum(room, self.settings.doc_stride)

    def num_places(self, num_tokens: tf.Tensor) -> tf.Tensor:
        """Rounds numbers of tokens up to lengths that windows are padded to."""
        rounded = -(-num_tokens // WINDOW_LENGTH_MULTIPLE)
        rounded *= WINDOW_LENGTH_MULTIPLE
        return tf.minimum(rounded, self.max_seq_length)
