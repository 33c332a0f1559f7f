"""Where the tokens of a batch are: rows for dense layers, and sequences.

A dense layer, a normalization or a dropout reads each token by itself, so it
computes rows [T, D], one for each token. Attention reads whole sequences
[B, S, D]. `Places` turns one form into the other:

    AllPlaces    every place is a row, T = B S: shapes stay static
    TokenPlaces  the rows of padding are left out: T changes with the batch

Shape letters: B batch, S sequence, T rows, P places of a sequence.
"""

import abc

from keras import ops

from bert_tf.backend import Tensor, indices_where, with_gradient


class Places(abc.ABC):
    """How the rows of a batch lie in its sequences.

    Args:
        input_mask: int [B, S], 1 for tokens and 0 for padding.

    Attributes:
        input_mask: the same.
    """

    def __init__(self, input_mask: Tensor):
        self.input_mask = input_mask

    @abc.abstractmethod
    def rows(self, x: Tensor) -> Tensor:
        """[B, S, ...] -> [T, ...]."""

    @abc.abstractmethod
    def sequences(self, rows: Tensor) -> Tensor:
        """[T, ...] -> [B, S, ...]; zeros where no row is."""

    def first(self, rows: Tensor) -> Tensor:
        """The rows of [CLS]: [T, D] -> [B, D]."""
        return self.sequences(rows)[:, 0]

    def at(self, rows: Tensor, positions: Tensor) -> Tensor:
        """The rows at places of each sequence.

        Args:
            rows: float [T, D].
            positions: int [B, P].

        Returns:
            float [B, P, D].
        """
        return ops.take_along_axis(
            self.sequences(rows), positions[:, :, None], axis=1
        )


class AllPlaces(Places):
    """Every place is a row, those of padding too."""

    def rows(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (-1, *x.shape[2:]))

    def sequences(self, rows: Tensor) -> Tensor:
        batch, length = ops.shape(self.input_mask)
        return ops.reshape(rows, (batch, length, *rows.shape[1:]))


class TokenPlaces(Places):
    """Tokens alone are rows, and the first place of each sequence.

    A sequence without a token, which fills up a batch, keeps its first place:
    each sequence has a vector at [CLS].
    """

    def __init__(self, input_mask: Tensor, training: bool | None = None):
        super().__init__(input_mask)
        self.training = training
        is_first = ops.arange(ops.shape(input_mask)[1], dtype="int32") == 0
        is_row = ops.logical_or(ops.not_equal(input_mask, 0), is_first[None])
        is_row = ops.reshape(is_row, (-1,))
        number = ops.cumsum(ops.cast(is_row, "int32"))
        # Of each row its place, and of each place its row: T is none.
        self.place_of = indices_where(is_row)
        self.row_of = ops.where(is_row, number - 1, number[-1])

    def rows(self, x: Tensor) -> Tensor:
        x = ops.reshape(x, (-1, *x.shape[2:]))
        return self._move(x, _taken, self.place_of, _spread, self.row_of)

    def sequences(self, rows: Tensor) -> Tensor:
        x = self._move(rows, _spread, self.row_of, _taken, self.place_of)
        batch, length = ops.shape(self.input_mask)
        return ops.reshape(x, (batch, length, *rows.shape[1:]))

    def _move(self, x, move, indices, move_back, indices_back):
        """Moves rows; the gradient is what moves them back."""
        if not self.training or ops.dtype(x).startswith("int"):
            return move(x, indices)

        def forward(x):
            return move(x, indices), lambda g: move_back(g, indices_back)

        return with_gradient(forward, x)


def _taken(x, indices):
    return ops.take(x, indices, axis=0)


def _spread(x, indices):
    """Rows at the places that they have, and zeros elsewhere."""
    zeros = ops.zeros_like(x[:1])
    return ops.take(ops.concatenate([x, zeros]), indices, axis=0)
