"""Packs several short examples into each row of a batch, inside the graph.

    examples   one after the other, in the order of training
      batch    the next ones, as many as fit, but not more than `batch_size`
      group    the share of a replica, or of one of its micro-batches
      row      a sequence, in which some examples of the group lie

A batch depends only on where its first example is in that order. So what does
not fit starts the next batch, and a training that resumes needs to know one
number: how many examples the batches before took.

Within a group the packing is first-fit decreasing (Johnson 1973, "Near-optimal
bin packing algorithms"): from the longest example to the shortest, each goes
to the first row that has room.

Shape letters: K batches, E examples of a batch, G groups, N examples of a
group, R rows of a group, S length of a row.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import tensorflow as tf

Features = dict[str, tf.Tensor]

# The share of a batch's examples that may have to wait for the next batch. One
# row less is worth that much: of 32 sentences of CoLA, 2.4 % do not fit into 6
# rows of 64 places, and all fit into 7.
MAX_LEFT_OVER = 0.03
# Batches that are drawn to find out how many rows they need.
MAX_BATCHES_DRAWN, MAX_EXAMPLES_DRAWN = 512, 1 << 16


def lengths_of(input_mask: tf.Tensor) -> tf.Tensor:
    """The places of each example up to its last token: [B, S] -> int32 [B]."""
    numbers = tf.range(1, tf.shape(input_mask)[1] + 1)
    return tf.reduce_max(tf.where(input_mask != 0, numbers, 0), axis=1)


class Placement(NamedTuple):
    """The places of examples in batches, each int32 [K, E].

    The second dimension has the examples in the order in which the groups
    share them: group g has those from g N on.

    Attributes:
        example: its place in the batch that was given.
        row: the row of its group, from 0; R if it does not fit.
        offset: the place at which it starts in the row.
    """

    example: tf.Tensor
    row: tf.Tensor
    offset: tf.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowPacking:
    """How the examples of a batch are packed.

    Attributes:
        batch_size: E, examples of a batch at most, over all replicas.
        num_groups: G, replicas times the micro-batches of each.
        num_rows: R, rows of a group.
        row_length: S, places of a row. No example is longer.
    """

    batch_size: int
    num_groups: int
    num_rows: int
    row_length: int

    @property
    def group_size(self) -> int:
        """N, examples of a group at most."""
        return self.batch_size // self.num_groups

    @property
    def saves_rows(self) -> bool:
        """Whether there are fewer rows than examples."""
        return self.num_rows < self.group_size

    @classmethod
    def fitting(
        cls,
        lengths: np.ndarray,
        *,
        batch_size: int,
        num_groups: int,
        row_length: int,
    ) -> Self:
        """A packing with as few rows as most batches need.

        Batches are drawn at random. No more than `MAX_LEFT_OVER` of their
        examples do not fit.

        Args:
            lengths: int [any], the lengths of examples.
            batch_size, num_groups, row_length: see the attributes.
        """
        number = min(MAX_BATCHES_DRAWN, -(-MAX_EXAMPLES_DRAWN // batch_size))
        drawn = np.random.default_rng(0).choice(lengths, [number, batch_size])
        packing = cls(
            batch_size=batch_size,
            num_groups=num_groups,
            num_rows=batch_size // num_groups,
            row_length=row_length,
        )
        # A dataset compiles what would be slow otherwise.
        batches = tf.data.Dataset.from_tensors(drawn.astype(np.int32))
        rows = batches.map(packing.place).get_single_element().row.numpy()
        # The first rows hold the same, however many rows come after them.
        left_over = [np.mean(rows > last) for last in range(packing.num_rows)]
        num_rows = 1 + int(np.argmax(np.array(left_over) <= MAX_LEFT_OVER))
        return dataclasses.replace(packing, num_rows=num_rows)

    def fill(self, lengths: np.ndarray) -> float:
        """The share of places that hold a token, for such lengths."""
        places = self.num_groups * self.num_rows * self.row_length
        return min(1.0, self.batch_size * float(np.mean(lengths)) / places)

    def place(self, lengths: tf.Tensor) -> Placement:
        """Packs batches, all at once.

        Args:
            lengths: int32 [K, E]; 0 where there is no example.
        """
        order = tf.argsort(-lengths, stable=True)
        # From the longest to the shortest, there and back again, so that
        # groups have about as many tokens: [K, N, G].
        turns = np.arange(self.batch_size).reshape(-1, self.num_groups)
        turns[1::2] = turns[1::2, ::-1]
        order = tf.gather(order, turns, axis=1)
        lengths = tf.gather(lengths, order, batch_dims=1)
        rows, offsets = self._first_fit(tf.transpose(lengths, [1, 0, 2]))

        def by_group(x, axes):  # -> [K, E]
            return tf.reshape(tf.transpose(x, axes), [-1, self.batch_size])

        return Placement(
            by_group(order, [0, 2, 1]),
            by_group(rows, [1, 2, 0]),
            by_group(offsets, [1, 2, 0]),
        )

    def _first_fit(self, lengths):
        """Rows and offsets of examples, in turn: int32 [N, K, G] each."""
        shape = tf.concat([tf.shape(lengths)[1:], [self.num_rows]], 0)
        room = tf.fill(shape, self.row_length)
        written = [tf.TensorArray(tf.int32, self.group_size) for _ in range(2)]

        def place_next(turn, room, rows, offsets):
            length = lengths[turn]
            has_room = room >= length[..., tf.newaxis]
            row = tf.argmax(
                tf.cast(has_room, tf.int8), axis=-1, output_type=tf.int32
            )
            is_placed = tf.reduce_any(has_room, axis=-1)
            row = tf.where(is_placed, row, self.num_rows)
            # The one-hot form of a row that is not there is all zeros.
            is_row = tf.one_hot(row, self.num_rows, dtype=tf.int32)
            left = tf.reduce_sum(is_row * room, axis=-1)
            return (
                turn + 1,
                room - is_row * length[..., tf.newaxis],
                rows.write(turn, row),
                offsets.write(turn, self.row_length - left),
            )

        _, _, rows, offsets = tf.while_loop(
            lambda turn, *_: turn < self.group_size,
            place_next,
            (tf.constant(0), room, *written),
            parallel_iterations=1,
        )
        return rows.stack(), offsets.stack()

    def counts(self, lengths: tf.Tensor) -> tf.Tensor:
        """How many examples each of the next batches takes: int32 [K].

        Args:
            lengths: int32 [any], of the next examples. A batch is chosen from
                E of them, so the last ones may belong to no batch yet.
        """
        counts = tf.fill([tf.size(lengths) // self.batch_size], self.batch_size)

        def shorten(counts, excess):
            # All batches after the first one that is too long will change.
            first = tf.argmax(excess > 0)
            is_first = tf.one_hot(first, tf.size(counts), dtype=tf.int32)
            counts -= is_first * excess
            return counts, self._excess(lengths, counts)

        counts, _ = tf.while_loop(
            lambda _, excess: tf.reduce_any(excess > 0),
            shorten,
            (counts, self._excess(lengths, counts)),
        )
        return counts

    def _excess(self, lengths, counts):
        """How many examples to take from each batch next: int32 [K].

        It is 0 if all fit, and no more than what must go, or a half of what
        the rows have no room for.
        """
        in_batches = self._in_batches(lengths, counts)
        is_left_over = self.place(in_batches).row == self.num_rows
        num_left_over = tf.reduce_sum(tf.cast(is_left_over, tf.int32), axis=1)
        capacity = self.num_groups * self.num_rows * self.row_length
        is_too_much = tf.cumsum(in_batches, axis=1) > capacity
        is_too_much &= tf.range(self.batch_size) < counts[:, tf.newaxis]
        num_too_many = tf.reduce_sum(tf.cast(is_too_much, tf.int32), axis=1)
        return tf.maximum(num_too_many, (num_left_over + 1) // 2)

    def _in_batches(self, lengths, counts):
        """The lengths of the examples of batches, int32 [K, E], 0 for none."""
        index = self._indices(counts)
        is_there = tf.range(self.batch_size) < counts[:, tf.newaxis]
        return tf.where(is_there, tf.gather(lengths, index), 0)

    def _indices(self, counts):
        """The next E examples from each batch's first one on: int32 [K, E]."""
        starts = tf.cumsum(counts, exclusive=True)
        return starts[:, tf.newaxis] + tf.range(self.batch_size)

    def pack(
        self, features: Features, counts: tf.Tensor, lengths: tf.Tensor
    ) -> Features:
        """Batches of examples, and where each example lies.

        Args:
            features: of the next examples, {name: [any, …]}.
            counts: int32 [K], of `counts`.
            lengths: int32 [any], of the examples.

        Returns:
            {name: [K, E, …]}, all zeros for what only fills up a batch; and
            `packed_row` and `packed_offset`, int32 [K, E], see
            `places.PackedPlaces`.
        """
        placed = self.place(self._in_batches(lengths, counts))
        index = tf.gather(self._indices(counts), placed.example, batch_dims=1)
        is_there = placed.example < counts[:, tf.newaxis]

        def in_batches(values):
            chosen = tf.gather(values, index)
            shape = tf.concat(
                [tf.shape(index), tf.ones([values.shape.rank - 1], tf.int32)], 0
            )
            return tf.where(
                tf.reshape(is_there, shape), chosen, tf.zeros([], values.dtype)
            )

        return {
            **{name: in_batches(values) for name, values in features.items()},
            "packed_row": tf.where(is_there, placed.row, 0),
            "packed_offset": tf.where(is_there, placed.offset, 0),
        }

    def training_batches(
        self,
        rows_from: Callable[[int], tf.data.Dataset],
        to_lengths: Callable[..., tf.Tensor],
        to_features: Callable[..., Features],
        first_step: int,
    ) -> tf.data.Dataset:
        """Packed batches without end.

        Args:
            rows_from: function(n) -> the examples after the first n, some at
                a time, not converted yet.
            to_lengths: function(some of them) -> int32 [any], their lengths.
            to_features: function(some of them) -> {name: [any, …]}.
            first_step: batches to leave out at the start.
        """
        first = 0
        if first_step:
            lengths = rows_from(0).map(
                to_lengths,
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            first = self.num_examples(lengths, first_step)
        windows = rows_from(first).map(
            to_features,
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return self.batches(windows).prefetch(tf.data.AUTOTUNE)

    def batches(self, windows: tf.data.Dataset) -> tf.data.Dataset:
        """Packed batches of examples, in their order.

        Args:
            windows: features of some examples at a time, {name: [any, …]}.
        """
        rest = {
            name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
            for name, spec in windows.element_spec.items()
        }

        def pack(rest, window):
            features = {
                name: tf.concat([rest[name], values], 0)
                for name, values in window.items()
            }
            lengths = lengths_of(features["input_mask"])
            counts = self.counts(lengths)
            taken = tf.reduce_sum(counts)
            rest = {name: values[taken:] for name, values in features.items()}
            return rest, self.pack(features, counts, lengths)

        return windows.scan(rest, pack).unbatch()

    def num_examples(self, lengths: tf.data.Dataset, num_batches: int) -> int:
        """How many examples the first batches take.

        It does not compute these batches, only their examples' lengths.

        Args:
            lengths: of the examples in their order, int32 [any] at a time.
            num_batches: how many batches.
        """

        def count(rest, window):
            lengths = tf.concat([rest, window], 0)
            counts = self.counts(lengths)
            return lengths[tf.reduce_sum(counts) :], counts

        all_counts = lengths.scan(tf.zeros([0], tf.int32), count).unbatch()
        return int(
            all_counts.take(num_batches).reduce(
                np.int64(0), lambda total, n: total + tf.cast(n, tf.int64)
            )
        )
