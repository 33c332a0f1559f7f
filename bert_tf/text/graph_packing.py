"""Packs WordPieces into sequences inside the graph: the twin of `packing.py`.

pieces, pair     ids of texts, [B, (pieces)] each
  truncate       the ids that stay, as slices of a list
  lay out        [CLS] a [SEP] b [SEP] padding
"""

import typing

import tensorflow as tf

from bert_tf.text import packing
from bert_tf.text.packing import NUM_SPECIAL, NUM_SPECIAL_OF_PAIR


class Slices(typing.NamedTuple):
    """Parts of a list of ids.

    Attributes:
        ids: int32 [N], the list.
        starts, lengths: int64 [B], of each part.
    """

    ids: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor


class GraphPacker:
    """Packs texts as the model reads them.

    Args:
        vocab: {token: id}, for the special tokens.
        max_seq_length, length_multiple, truncation: see `BertPreprocessor`.

    Raises:
        ValueError: as of `BertPreprocessor`.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        max_seq_length: int,
        length_multiple: int | None,
        truncation: str,
    ):
        packing.check_max_seq_length(max_seq_length)
        packing.check_truncation(truncation)
        if length_multiple is not None and length_multiple < 1:
            raise ValueError(
                f"length_multiple must be positive. "
                f"Received: length_multiple={length_multiple}"
            )
        self._cls_id, self._sep_id = vocab["[CLS]"], vocab["[SEP]"]
        self.max_seq_length = max_seq_length
        self.length_multiple = length_multiple
        self.truncation = truncation

    def pack(
        self, pieces: tf.RaggedTensor, pair: tf.RaggedTensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Truncates, joins and pads ids: see `BertPreprocessor.pack`."""
        if pair is None:
            pair = tf.RaggedTensor.from_row_lengths(
                tf.zeros([0], tf.int32),
                tf.zeros_like(pieces.row_lengths()),
                validate=False,
            )
        num_a, num_b = truncated_lengths(
            pieces.row_lengths(), pair.row_lengths(), self.max_seq_length
        )
        return self.lay_out(
            self._truncate(pieces, num_a),
            self._truncate(pair, num_b),
            self._sequence_length(num_a + num_b + num_special(num_b)),
        )

    def pack_windows(
        self,
        pieces: tf.RaggedTensor,
        max_windows: int,
        stride: int | None = None,
    ) -> dict[str, tf.Tensor]:
        """Packs parts of each text: see `BertPreprocessor.windows`."""
        room, stride = packing.window_room_and_stride(
            self.max_seq_length, max_windows, stride
        )
        num_pieces = pieces.row_lengths()[:, tf.newaxis]
        starts = stride * tf.range(max_windows, dtype=tf.int64)
        lengths = tf.clip_by_value(num_pieces - starts, 0, room)
        # A window is needed if the one before does not reach the text's end.
        is_there = (starts == 0) | (starts - stride + room < num_pieces)
        starts += pieces.row_starts()[:, tf.newaxis]
        starts, lengths = (tf.reshape(x, [-1]) for x in (starts, lengths))
        nothing = tf.zeros_like(lengths)
        packed = self.lay_out(
            Slices(pieces.values, starts, lengths),
            Slices(tf.zeros([0], tf.int32), nothing, nothing),
            tf.constant(self.max_seq_length, tf.int64),
        )
        shape = [-1, max_windows, self.max_seq_length]
        is_there = tf.cast(is_there, tf.int32)[:, :, tf.newaxis]
        return {
            name: tf.reshape(values, shape) * is_there
            for name, values in packed.items()
        }

    def _truncate(self, pieces, lengths) -> Slices:
        """The pieces that stay of each text, as many as `lengths`, [B]."""
        if self.truncation == "head":
            return Slices(pieces.values, pieces.row_starts(), lengths)
        # Like `packing.head_and_tail`: a piece of the tail comes from as many
        # places further back as there are pieces too many.
        head = lengths // packing.HEAD_SHARE
        too_many = pieces.row_lengths() - lengths
        kept = tf.ragged.range(lengths)
        place, rows = kept.values, kept.value_rowids()
        is_head = place < tf.gather(head, rows)
        place = tf.where(is_head, place, place + tf.gather(too_many, rows))
        ids = tf.gather(
            pieces.values, tf.gather(pieces.row_starts(), rows) + place
        )
        return Slices(ids, kept.row_starts(), lengths)

    def lay_out(
        self, first: Slices, second: Slices, length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """[CLS] first [SEP] second [SEP] padding, for slices that fit.

        Args:
            first: ids of the first texts.
            second: ids of the second texts; no id means no second text.
            length: int64 scalar, of the sequences.

        Returns:
            {"input_ids", "input_mask", "segment_ids": int32 [B, length]}.
        """
        sep_a = first.lengths + 1  # Its place; [CLS] is at 0.
        sep_b = sep_a + tf.where(
            second.lengths > 0, second.lengths + 1, second.lengths
        )
        place = tf.range(length)[tf.newaxis]
        sep_a, sep_b, start_a, start_b = (
            x[:, tf.newaxis]
            for x in (sep_a, sep_b, first.starts, second.starts)
        )

        # Every place looks up its id in one list: the special tokens, the
        # ids of the first texts, those of the second.
        padding, cls, sep, num_before = range(4)
        special = tf.constant([0, self._cls_id, self._sep_id], tf.int32)
        ids = tf.concat([special, first.ids, second.ids], axis=0)
        start_a += num_before
        start_b += num_before + tf.size(first.ids, tf.int64)
        index = tf.where(
            place < sep_a, start_a + place - 1, start_b + place - sep_a - 1
        )
        for is_there, which in (
            (place == 0, cls),
            ((place == sep_a) | (place == sep_b), sep),
            (place > sep_b, padding),
        ):
            index = tf.where(is_there, tf.constant(which, tf.int64), index)
        return {
            "input_ids": tf.gather(ids, index),
            "input_mask": tf.cast(place <= sep_b, tf.int32),
            "segment_ids": tf.cast(
                (place > sep_a) & (place <= sep_b), tf.int32
            ),
        }

    def _sequence_length(self, lengths):
        """int64: the length of sequences with these numbers of tokens, [B]."""
        # A batch may have no rows, and then no longest one.
        longest = tf.reduce_max(tf.concat([[1], lengths], axis=0))
        return self.padded_length(longest)

    def padded_length(self, longest: tf.Tensor) -> tf.Tensor:
        """int64: the length of sequences whose longest has `longest` tokens."""
        if self.length_multiple is None:
            return tf.constant(self.max_seq_length, tf.int64)
        rounded = -(-longest // self.length_multiple) * self.length_multiple
        return tf.minimum(rounded, self.max_seq_length)


def num_special(num_b: tf.Tensor) -> tf.Tensor:
    """int64 [B]: special tokens of sequences whose second texts have `num_b`
    pieces, [B]."""
    number = tf.where(num_b > 0, NUM_SPECIAL_OF_PAIR, NUM_SPECIAL)
    return tf.cast(number, tf.int64)


def truncated_lengths(
    num_a: tf.Tensor, num_b: tf.Tensor, max_seq_length: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The pieces that stay of two texts, counted: `truncate_seq_pair` at once.

    Args:
        num_a, num_b: int64 [B], pieces of the first and the second text; no
            piece means no second text.
        max_seq_length: with the special tokens.

    Returns:
        (num_a, num_b), int64 [B]. The longer text is cut down to the shorter
        one, then both alternately, the second first.
    """
    room = max_seq_length - num_special(num_b)
    half = room - room // 2  # The first text has the odd piece.
    kept_a = tf.minimum(num_a, tf.maximum(room - num_b, half))
    return kept_a, tf.minimum(num_b, room - kept_a)
