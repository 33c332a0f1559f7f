"""The places of a batch's tokens: rows for dense layers, and sequences.

A dense layer, a normalization or a dropout reads each token by itself, so it
computes rows [T, D], one for each token. Attention reads sequences [A, S, D],
and a head what belongs to an example, [B, S, D]. `Places` turns one form into
the other:

    AllPlaces     every place is a row, T = B S: shapes stay static
    TokenPlaces   the rows of padding are left out: T changes with the batch
    OneSequence   a single sequence without padding: nothing is masked
    PackedPlaces  several short examples share a sequence, T = A S with fewer
                  sequences than examples: static shapes with little padding

Shape letters: B examples, S sequence, T rows, A sequences that attention
reads, Q places of an example, M rows of a table.
"""

import abc

from keras import ops

from bert_tf.backend import Tensor, indices_where, with_gradient


class Places(abc.ABC):
    """How the rows of a batch lie in its sequences.

    An example is a sequence of its own for attention, A = B, unless a class
    says otherwise.

    Args:
        input_mask: int [B, S], 1 for tokens and 0 for padding.

    Attributes:
        input_mask: the same.
        attention_mask: int or bool [A, 1 or S, S], which places (the last
            dimension) each place (the one before it) attends to; None for all.
        has_row: bool [B, S], which places have a row; None if all have.
        offsets: int [T], the place of each row in its example.
    """

    has_row: Tensor | None = None
    offsets: Tensor

    def __init__(self, input_mask: Tensor):
        self.input_mask = input_mask
        self.attention_mask = input_mask[:, None]

    @abc.abstractmethod
    def rows(self, x: Tensor) -> Tensor:
        """Takes what the examples have at each row: [B, S, ...] -> [T, ...]."""

    @abc.abstractmethod
    def sequences(self, rows: Tensor) -> Tensor:
        """[T, ...] -> [B, S, ...]; zeros where no row is."""

    def to_attention(self, rows: Tensor) -> Tensor:
        """[T, ...] -> [A, S, ...]."""
        return self.sequences(rows)

    def from_attention(self, x: Tensor) -> Tensor:
        """[A, S, ...] -> [T, ...]."""
        return self.rows(x)

    def positions(self, table: Tensor) -> Tensor:
        """The position embedding of each row, that of its place in its example.

        Args:
            table: float [M, D], M >= S.

        Returns:
            float [T, D].
        """
        # A part of the table has a dense gradient. That of the table itself
        # would be one of slices, which count otherwise in the gradients' norm.
        length = ops.shape(self.input_mask)[1]
        return ops.take(table[:length], self.offsets, axis=0)

    def first(self, rows: Tensor) -> Tensor:
        """The rows of [CLS]: [T, D] -> [B, D]."""
        batch = ops.shape(self.input_mask)[0]
        return self.at(rows, ops.zeros((batch, 1), "int32"))[:, 0]

    @abc.abstractmethod
    def at(self, rows: Tensor, positions: Tensor) -> Tensor:
        """The rows at places of each example.

        Args:
            rows: float [T, D].
            positions: int32 [B, Q].

        Returns:
            float [B, Q, D]; zeros where no row is.
        """

    def _place_indices(self, positions):
        """int [B, Q], counted from the first place of the batch."""
        batch, length = ops.shape(self.input_mask)
        return ops.arange(batch, dtype="int32")[:, None] * length + positions


class AllPlaces(Places):
    """Every place is a row, those of padding too."""

    def rows(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (-1, *x.shape[2:]))

    def sequences(self, rows: Tensor) -> Tensor:
        batch, length = ops.shape(self.input_mask)
        return ops.reshape(rows, (batch, length, *rows.shape[1:]))

    def at(self, rows: Tensor, positions: Tensor) -> Tensor:
        return ops.take(rows, self._place_indices(positions), axis=0)

    def positions(self, table: Tensor) -> Tensor:
        batch, length = ops.shape(self.input_mask)
        shape = (batch, length, table.shape[-1])
        return self.rows(ops.broadcast_to(table[:length], shape))


class OneSequence(AllPlaces):
    """A single sequence without padding, B = 1: each place is a token.

    Attention needs no mask, and an axis of examples less. LiteRT files are
    made so, whose networks read one sequence at a time.
    """

    def __init__(self, input_mask: Tensor):
        super().__init__(input_mask)
        self.attention_mask = None

    def positions(self, table: Tensor) -> Tensor:
        return table[: ops.shape(self.input_mask)[1]]


class TokenPlaces(Places):
    """Tokens alone are rows, and the first place of each sequence.

    A sequence without a token, which fills up a batch, keeps its first place:
    each sequence has a vector at [CLS].
    """

    def __init__(self, input_mask: Tensor, training: bool | None = None):
        super().__init__(input_mask)
        self.training = training
        is_first = ops.arange(ops.shape(input_mask)[1], dtype="int32") == 0
        is_token = ops.not_equal(input_mask, 0)
        self.has_row = ops.logical_or(is_token, is_first[None])
        is_row = ops.reshape(self.has_row, (-1,))
        number = ops.cumsum(ops.cast(is_row, "int32"))
        # The place of each row, and the row of each place: T for no row.
        self.place_of = indices_where(is_row)
        self.offsets = ops.mod(self.place_of, ops.shape(input_mask)[1])
        num_rows = ops.shape(self.place_of)[0]  # None at all without examples.
        self.row_of = ops.where(is_row, number - 1, num_rows)

    def rows(self, x: Tensor) -> Tensor:
        x = ops.reshape(x, (-1, *x.shape[2:]))
        return self._move(x, _taken, self.place_of, _spread, self.row_of)

    def sequences(self, rows: Tensor) -> Tensor:
        x = self._move(rows, _spread, self.row_of, _taken, self.place_of)
        batch, length = ops.shape(self.input_mask)
        return ops.reshape(x, (batch, length, *rows.shape[1:]))

    def at(self, rows: Tensor, positions: Tensor) -> Tensor:
        indices = ops.take(self.row_of, self._place_indices(positions))
        return _spread(rows, indices)

    def _move(self, x, move, indices, move_back, indices_back):
        """Moves rows; the gradient is what moves them back."""
        if not self.training or ops.dtype(x).startswith("int"):
            return move(x, indices)

        def forward(x):
            return move(x, indices), lambda g: move_back(g, indices_back)

        return with_gradient(forward, x)


class PackedPlaces(Places):
    """Examples share sequences, where they lie one after the other.

        sequence 0    [CLS] a cat [SEP] [CLS] two dogs ran [SEP]
        sequence 1    [CLS] he went home [SEP]    -      -    -

    Every place of a sequence is a row. A place attends to those of the same
    example; places that no example takes attend to each other, and nothing
    reads them. The vectors of an example's padding do not exist.

    Args:
        input_mask: int [B, S]. An example ends at its last token.
        packed_row: int [B], the sequence in which each example lies.
        packed_offset: int [B], the place at which it starts there. No two
            examples may overlap.
        num_sequences: A, the number of sequences.
    """

    def __init__(
        self,
        input_mask: Tensor,
        packed_row: Tensor,
        packed_offset: Tensor,
        num_sequences: int,
    ):
        super().__init__(input_mask)
        batch, length = ops.shape(input_mask)
        place = ops.arange(length, dtype="int32")
        is_token = ops.not_equal(input_mask, 0)
        lengths = ops.max(ops.where(is_token, place + 1, 0), axis=1)
        self.has_row = place < lengths[:, None]
        self.num_sequences = num_sequences
        # A row is a place of all sequences, one after the other.
        self.starts = packed_row * length + packed_offset
        rows = ops.arange(num_sequences * length, dtype="int32")
        distance = rows[:, None] - self.starts  # [T, B]
        holds = ops.logical_and(distance >= 0, distance < lengths)
        # The number of the example that has the row, from 1, and the place in
        # it; 0 and 0 for a row that no example has.
        number = ops.arange(1, batch + 1, dtype="int32")
        example = ops.sum(ops.where(holds, number, 0), axis=1)
        self.offsets = ops.sum(ops.where(holds, distance, 0), axis=1)
        self.sources = ops.maximum(example - 1, 0) * length + self.offsets
        # The mask of an example may have gaps.
        is_hidden = ops.logical_and(
            example > 0, ops.logical_not(self.rows(is_token))
        )
        shape = (num_sequences, length)
        keys = ops.reshape(ops.where(is_hidden, -1, example), shape)
        queries = ops.reshape(example, shape)
        self.attention_mask = queries[:, :, None] == keys[:, None, :]

    def rows(self, x: Tensor) -> Tensor:
        return ops.take(
            ops.reshape(x, (-1, *x.shape[2:])), self.sources, axis=0
        )

    def to_attention(self, rows: Tensor) -> Tensor:
        return ops.reshape(rows, (self.num_sequences, -1, *rows.shape[1:]))

    def from_attention(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (-1, *x.shape[2:]))

    def sequences(self, rows: Tensor) -> Tensor:
        place = ops.arange(ops.shape(self.input_mask)[1], dtype="int32")
        return self._at(rows, place[None], self.has_row)

    def at(self, rows: Tensor, positions: Tensor) -> Tensor:
        has_row = ops.take_along_axis(self.has_row, positions, axis=1)
        return self._at(rows, positions, has_row)

    def _at(self, rows, positions, has_row):
        """[T, ...], int [B, Q], bool [B, Q] -> [B, Q, ...]."""
        index = self.starts[:, None] + positions
        index = ops.minimum(index, ops.shape(rows)[0] - 1)
        has_row = ops.reshape(
            has_row, (*ops.shape(has_row), *[1] * (len(rows.shape) - 1))
        )
        return ops.where(has_row, ops.take(rows, index, axis=0), 0.0)


def _taken(x, indices):
    return ops.take(x, indices, axis=0)


def _spread(x, indices):
    """Rows at the places that they have, and zeros elsewhere."""
    zeros = ops.zeros_like(x[:1])
    return ops.take(ops.concatenate([x, zeros]), indices, axis=0)
