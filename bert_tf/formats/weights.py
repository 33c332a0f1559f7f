"""Weights of another library's files, under the original's names.

`checkpoints.Checkpoint` reads the original's files; a `ForeignWeights` looks
the same to those who load weights.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from bert_tf.formats.tables import Match, Table


class Arrays(Protocol):
    """Named arrays in files, in their library's own names and layout.

    Attributes:
        path: the path that errors name.
        shapes: {name: shape}.
    """

    path: str
    shapes: Mapping[str, tuple[int, ...]]

    def read(self, name: str) -> np.ndarray:
        """The value of one array.

        Raises:
            UserError: the file is damaged.
        """


class ForeignWeights:
    """The arrays of a file as variables of the original.

    Args:
        arrays: the file's.
        table: what they are called in the original.
        ignored: names that stand for nothing that is learned, such as the
            numbers of positions; they count as neither used nor unused.

    Attributes:
        prefix: the path, for errors.
        shapes: {name in the original: shape}.
        unused: names in the file that the original has no name for.
    """

    def __init__(
        self, arrays: Arrays, table: Table, ignored: Sequence[str] = ()
    ):
        self.prefix = arrays.path
        self._arrays = arrays
        self._matches: dict[str, Match] = table.by_original(arrays.shapes)
        self.shapes = {
            name: match.layout.shape_to_original(
                tuple(arrays.shapes[match.name])
            )
            for name, match in self._matches.items()
        }
        used = {match.name for match in self._matches.values()}
        self.unused = sorted(
            name
            for name in arrays.shapes
            if name not in used
            and name not in ignored
            and table.to_original(name) is None
        )

    def read(self, name: str) -> np.ndarray:
        """The value of a variable of the original.

        Raises:
            UserError: the file is damaged.
        """
        match = self._matches[name]
        return match.layout.to_original(self._arrays.read(match.name))

    def global_step(self) -> int:
        """0: a file of another library says nothing of steps."""
        return 0
