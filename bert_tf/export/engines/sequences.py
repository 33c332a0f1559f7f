"""Sequences that a network reads, and numbers that it computes for them."""

import abc
import dataclasses
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bert_tf.errors import UserError
from bert_tf.text.packing import ID_NAMES

Numbers = dict[str, np.ndarray]  # {output of a network: float32 [R, …]}
# {output: shape}, with None for R and for S.
OutputShapes = Mapping[str, tuple[int | None, ...]]


def has_places(shape: tuple[int | None, ...]) -> bool:
    """Whether an output of this shape has numbers for each place."""
    return len(shape) > 1 and shape[1] is None


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sequences, R of them, padded to the same length S.

    Attributes:
        ids: {"input_ids", "input_mask", "segment_ids": int32 [R, S]}.
        lengths: int [R], the first places, which the network must read; 0 for
            a sequence that is not one and gets zeros.
    """

    ids: Mapping[str, np.ndarray]
    lengths: np.ndarray

    @classmethod
    def of_ones(cls, number: int, length: int) -> "Sequences":
        """Makes sequences of full length, for trying a network."""
        ids = dict.fromkeys(ID_NAMES, np.ones([number, length], np.int32))
        return cls(ids, np.full(number, length))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def length(self) -> int:
        """S."""
        return self.ids["input_ids"].shape[1]

    def in_order(self) -> np.ndarray:
        """Returns the rows of those that are sequences, the longest first."""
        order = np.argsort(-self.lengths, kind="stable")
        return order[: np.count_nonzero(self.lengths)]

    def batches(
        self, max_batch_tokens: int, max_rows: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the rows of batches of about the same length.

        Args:
            max_batch_tokens: places of a batch, padding included; a longer
                sequence is a batch by itself.
            max_rows: rows of a batch at most.
        """
        order = self.in_order()
        first = 0
        while first < len(order):
            most = max(1, max_batch_tokens // self.lengths[order[first]])
            limit = first + min(most, max_rows or most)
            yield order[first:limit]
            first = limit

    def empty_numbers(self, shapes: OutputShapes) -> Numbers:
        """Returns zeros for the numbers of all sequences."""
        return {
            name: np.zeros(
                [
                    len(self),
                    *(
                        self.length if size is None else size
                        for size in shape[1:]
                    ),
                ],
                np.float32,
            )
            for name, shape in shapes.items()
        }


def check_sizes(**settings: Any) -> None:
    """Raises UserError unless each setting is None or a whole number from 1."""
    for name, value in settings.items():
        is_whole = isinstance(value, numbers.Integral)
        if value is not None and not (is_whole and value >= 1):
            raise UserError(
                "must be a whole number from 1", setting=name, value=value
            )


class Network(abc.ABC):
    """Computes numbers for sequences. Several threads may use it.

    Args:
        shapes: those of its outputs.
    """

    def __init__(self, shapes: OutputShapes):
        self.shapes = shapes

    @abc.abstractmethod
    def run(self, sequences: Sequences) -> Numbers:
        """Computes the numbers of all sequences, in their order.

        Numbers of places are float32 [R, S, …], with zeros after the end of
        each sequence.
        """

    @abc.abstractmethod
    def warm_up(self, longest: int) -> None:
        """Does what would make a later answer wait.

        Args:
            longest: length of the longest sequence.
        """
