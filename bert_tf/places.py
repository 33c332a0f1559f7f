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

from bert_tf.backend import (
    Tensor,
    gather_places,
    places_where,
    scatter_places,
)


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

    def __init__(self, input_mask: Tensor):
        super().__init__(input_mask)
        is_token = ops.not_equal(input_mask, 0)
        is_first = ops.arange(ops.shape(input_mask)[1], dtype="int32") == 0
        self.places = places_where(ops.logical_or(is_token, is_first[None]))

    def rows(self, x: Tensor) -> Tensor:
        return gather_places(x, self.places)

    def sequences(self, rows: Tensor) -> Tensor:
        batch, length = ops.shape(self.input_mask)
        return scatter_places(rows, self.places, batch, length)
