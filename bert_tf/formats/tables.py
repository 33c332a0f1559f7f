"""Tables of names: the original's variables beside those of another library.

A table is a list of rules, each of which names one kind of variable in both
libraries, and says how the arrays differ:

    Rule("bert/encoder/layer_{n}/output/dense/kernel",
         "encoder.layer.{n}.output.dense.weight", TRANSPOSED)

Each rule can be read in both directions, so a model that was read can be
written again.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How an array of the original lies in another library.

    Attributes:
        to_original: the original's array, from the other library's.
        shape_to_original: the same for its shape.
        to_foreign: function(array, num_heads): the way back.
    """

    to_original: Callable[[np.ndarray], np.ndarray]
    shape_to_original: Callable[[Shape], Shape]
    to_foreign: Callable[[np.ndarray, int], np.ndarray]


def _joined_last(shape: Shape) -> Shape:
    return (*shape[:-2], shape[-2] * shape[-1])


def _joined_first(shape: Shape) -> Shape:
    return (shape[0] * shape[1], *shape[2:])


SAME = Layout(lambda x: x, lambda shape: shape, lambda x, _: x)
# A matrix that PyTorch keeps as [outputs, inputs].
TRANSPOSED = Layout(lambda x: x.T, lambda shape: shape[::-1], lambda x, _: x.T)
# A kernel [D, N, K] or a bias [N, K] with an axis for the N heads, which the
# original joins to [D, N K] and [N K].
HEADS_LAST = Layout(
    lambda x: x.reshape(_joined_last(x.shape)),
    _joined_last,
    lambda x, num_heads: x.reshape((*x.shape[:-1], num_heads, -1)),
)
# A kernel [N, K, D], which the original joins to [N K, D].
HEADS_FIRST = Layout(
    lambda x: x.reshape(_joined_first(x.shape)),
    _joined_first,
    lambda x, num_heads: x.reshape((num_heads, -1, *x.shape[1:])),
)


@dataclasses.dataclass(frozen=True)
class Rule:
    """One kind of variable in both libraries.

    Attributes:
        original: its name in the original; `{n}` is the number of a layer.
        foreign: its name in the other library, likewise.
        layout: how the arrays differ.
        is_written: False for a name that is read, and of which another rule
            is the one to write.
    """

    original: str
    foreign: str
    layout: Layout = SAME
    is_written: bool = True


@dataclasses.dataclass(frozen=True)
class Match:
    """A variable that a rule names in the other library."""

    name: str
    layout: Layout


class Table:
    """Rules, read in both directions.

    Args:
        rules: the rules. Of two that fit a name, the first counts.
    """

    def __init__(self, rules: Sequence[Rule]):
        self._readers = [(_pattern(r.foreign), r.original, r) for r in rules]
        self._writers = [
            (_pattern(r.original), r.foreign, r) for r in rules if r.is_written
        ]

    def to_original(self, foreign: str) -> Match | None:
        """The original's name of another library's variable, if it has one."""
        return _find(self._readers, foreign)

    def to_foreign(self, original: str) -> Match | None:
        """The other library's name of a variable of the original."""
        return _find(self._writers, original)

    def by_original(self, foreign: Iterable[str]) -> dict[str, Match]:
        """{original name: the other library's variable}, of known names.

        Args:
            foreign: the other library's names.
        """
        found: dict[str, Match] = {}
        for name in foreign:
            if match := self.to_original(name):
                found.setdefault(match.name, Match(name, match.layout))
        return found


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{n\}", r"(\d+)"))


def _find(entries, name: str) -> Match | None:
    for pattern, template, rule in entries:
        if found := pattern.fullmatch(name):
            number = found.group(1) if found.groups() else ""
            return Match(template.replace("{n}", number), rule.layout)
    return None
