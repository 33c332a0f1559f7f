"""Weights of another library's files, under the original's names.

`checkpoints.Checkpoint` reads the original's files; a `ForeignWeights` looks
the same to those who load weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from bert_tf.formats.tables import Match, Table


class Arrays(Protocol):
    """Named arrays in files, in their library's own names and layout.

    Attributes:
        path: the path that errors name.
        shapes: {name: shape}.
    """

    @property
    def path(self) -> str: ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def read(self, name: str) -> np.ndarray:
        """The value of one array.

        Raises:
            UserError: the file is damaged.
        """


class Weights(Protocol):
    """Variables by the original's names, open for reading.

    Attributes:
        prefix: what errors name: the path of a file or a folder, or a
            checkpoint's prefix.
        shapes: {name: shape}.
    """

    @property
    def prefix(self) -> str: ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def read(self, name: str) -> np.ndarray:
        """The value of one variable.

        Raises:
            UserError: the file is damaged.
        """


class Renamed:
    """Arrays under other names.

    Args:
        arrays: the arrays.
        name_of: function(name in the file) -> the new name, or several, or
            none for an array that stands for nothing that is learned. Of
            arrays that get the same name, the first counts: they are one
            variable, which the file holds twice.

    Attributes:
        path, shapes: see `Arrays`.
    """

    def __init__(
        self, arrays: Arrays, name_of: Callable[[str], str | tuple[str, ...]]
    ):
        self.path = arrays.path
        self._arrays = arrays
        self._old: dict[str, str] = {}
        for old in arrays.shapes:
            names = name_of(old)
            for name in (names,) if isinstance(names, str) else names:
                self._old.setdefault(name, old)
        self.shapes = {
            new: tuple(arrays.shapes[old]) for new, old in self._old.items()
        }

    def read(self, name: str) -> np.ndarray:
        """The value of one array.

        Raises:
            UserError: the file is damaged.
        """
        return self._arrays.read(self._old[name])


class Joined:
    """The arrays of several files as one.

    Args:
        path: what errors about the whole name.
        parts: {start of names: arrays}, such as {"": …, "head/": …}.

    Attributes:
        path, shapes: see `Arrays`.
    """

    def __init__(self, path: str, parts: Mapping[str, Arrays]):
        self.path = path
        self._places = {
            start + name: (part, name)
            for start, part in parts.items()
            for name in part.shapes
        }
        self.shapes = {
            name: tuple(part.shapes[old])
            for name, (part, old) in self._places.items()
        }

    def read(self, name: str) -> np.ndarray:
        """The value of one array.

        Raises:
            UserError: the file is damaged.
        """
        part, old = self._places[name]
        return part.read(old)


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


class ArraysInMemory:
    """Variables under the original's names that are in memory already.

    Args:
        prefix: what errors name.
        arrays: {name: array}.

    Attributes:
        prefix, shapes: see `Weights`.
    """

    def __init__(self, prefix: str, arrays: Mapping[str, np.ndarray]):
        self.prefix = prefix
        self._arrays = arrays
        self.shapes = {name: a.shape for name, a in arrays.items()}

    def read(self, name: str) -> np.ndarray:
        """The value of one variable."""
        return self._arrays[name]
