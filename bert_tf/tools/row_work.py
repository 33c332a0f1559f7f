"""The work on rows of files, as a pipeline gets it.

A tool describes its work by a `RowWork`, which travels to the workers, and the
workers do it by the `RowWorker` that it loads, with a model in it. `beam_rows`
is the pipeline.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from bert_tf.counts import number_of
from bert_tf.errors import UserError


class Written(NamedTuple):
    """What the output has for a row.

    Attributes:
        content: its bytes.
        is_truncated: whether the model has read only a part of the row's text;
            None if that is not known.
    """

    content: bytes
    is_truncated: bool | None = None


class RowWorker(Protocol):
    """Does the work on a worker; its model may be used by several threads."""

    @property
    def block_size(self) -> int:
        """The number of rows of a file that are answered together."""

    def rows(self, path: str) -> Iterator[Any]:
        """Yields the rows of a file, which can be pickled.

        Raises:
            UserError: a row cannot be answered.
        """

    def head(self, num_rows: int) -> bytes:
        """Returns what the output has before its rows, `num_rows` of them."""

    def answers(self, rows: Sequence[Any], first: int) -> Iterator[Written]:
        """Yields what the output has for rows that follow one another.

        Args:
            rows: at most `block_size`.
            first: the number of the first row, of those of all files.
        """


class RowWork(Protocol):
    """Describes the work. It is pickled, and so has no model."""

    def load(self) -> RowWorker:
        """Loads the model."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which rows are in which shard.

    Attributes:
        starts: {number of a file: number of its first row}.
        num_rows: of all files.
        num_shards: K, at most `num_rows`.
    """

    starts: dict[int, int]
    num_rows: int
    num_shards: int

    def shard_of(self, row: int) -> int:
        """The shard of a row: shards differ by one row at most."""
        return row * self.num_shards // self.num_rows


def make_plan(sizes: Sequence[tuple[int, int]], num_shards: int) -> Plan:
    """Makes the plan of all files.

    Args:
        sizes: (number of a file, number of its rows) in any order.
        num_shards: K.

    Raises:
        UserError: there are more shards than rows.
    """
    starts, num_rows = {}, 0
    for file_number, size in sorted(sizes):
        starts[file_number] = num_rows
        num_rows += size
    if not num_rows:
        raise UserError("the input has no text")
    if num_rows < num_shards:
        raise UserError(
            f"is more than {number_of(num_rows, 'row')} of the input",
            setting="num_shards",
            value=num_shards,
        )
    return Plan(starts, num_rows, num_shards)
