"""Compares the labels of a set with those of training.

A label of a development or test set may be
    known        "spam"
    a twin       1.0 for 1, True for 1: the same label, spelt otherwise
    a mark       -1, ?, null: the row has no label, see `missing_labels`
    unknown      a model cannot give this answer: it counts as wrong
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

from absl import logging

from bert_tf import suggestions
from bert_tf.counts import counted
from bert_tf.data.labelled_set import TableSet
from bert_tf.data.labels import file_labels, missing_labels
from bert_tf.data.splits import Label
from bert_tf.data.tabular.table import listed
from bert_tf.errors import UserError

_BOOLEANS = {"true": 1, "false": 0}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How the labels of a set compare with those of training.

    Attributes:
        twins: {label of the set: the same label of training}.
        marks: labels that mean that there is none.
        unknown: the other labels that training did not have.
    """

    twins: Mapping[str, str]
    marks: frozenset[str]
    unknown: frozenset[str]

    @property
    def is_equal(self) -> bool:
        """Whether all labels are known, and spelt as in training."""
        return not (self.twins or self.marks or self.unknown)

    def renamed(self, label: Label) -> Label:
        """A label as training spells it, without numbers that fill a list."""
        if isinstance(label, tuple):
            rest = file_labels.without_fillers(label, self.marks)
            return tuple(dict.fromkeys(self.twins.get(x, x) for x in rest))
        return self.twins.get(label, label) if isinstance(label, str) else label

    def first_unknown(self, label: Label) -> str | None:
        """The first of an example's labels that training did not have."""
        several = file_labels.several(label)
        return next((one for one in several if one in self.unknown), None)


def compare(
    found: Collection[str],
    known: Sequence[str],
    named: Sequence[str] | None = None,
) -> Comparison:
    """Compares labels.

    Args:
        found: each label of a set.
        known: the labels of training.
        named: see `splits.FileSettings.missing_label`.
    """
    others = {*found}.difference(known)
    if named is not None:
        marks = missing_labels.marks_among({*found}, named)
    elif others:
        marks = missing_labels.marks_among({*found}, known={*known})
    else:
        marks = frozenset()
    twins = {
        label: twin
        for label in others - marks
        if (twin := _twin(label, tuple(known))) is not None
    }
    return Comparison(twins, marks, frozenset(others - marks - {*twins}))


def check_labels(
    table: TableSet,
    labels: Sequence[str],
    set_type: str,
    strict: bool,
    missing_label: Sequence[str] | None = None,
) -> TableSet:
    """Compares a set's labels with those of training.

    The log names the labels that training did not have, with their numbers.

    Args:
        table: a set of single_label or multi_label.
        labels: the labels of training.
        set_type: "train", "dev" or "test".
        strict: whether a label that was not in training is an error, as it
            always is in the training set.
        missing_label: see `splits.FileSettings`.

    Returns:
        The set. Rows whose label is a mark for "no label" are left out of a
        development set; in a test set their label is None. Labels that were
        not in training stay as they are. If a test set has no others, it is
        taken for one without labels.

    Raises:
        UserError: a label was not in training, and the set is the training
            set, or `strict`, or no label of the development set was.
    """
    _check_names(table, labels)
    found = {x for label in {*table.labels} for x in file_labels.several(label)}
    comparison = compare(found, labels, missing_label)
    if comparison.is_equal:
        return table
    _log_twins(table.path, comparison)
    table = _without_marks(table, comparison, set_type, strict)
    odd = {
        index: label
        for index, several in enumerate(table.labels)
        if (label := comparison.first_unknown(several)) is not None
    }
    if not odd:
        return table
    found -= comparison.marks
    has_known = not found.isdisjoint({*labels, *comparison.twins})
    index, label = next(iter(odd.items()))
    if strict or set_type == "train" or (set_type == "dev" and not has_known):
        raise UserError(f"{table.place(index)}: {_not_known(label, labels)}")
    each = itertools.chain.from_iterable(map(file_labels.several, table.labels))
    warn_of_unknown(
        table.place(index),
        counted(len(odd), len(table), "row"),
        [x for x in each if x in comparison.unknown],
        labels,
        is_scored=has_known,
        is_several=any(isinstance(label, tuple) for label in table.labels),
    )
    if has_known:
        return table
    return table.with_labels([None] * len(table))


def warn_of_unknown(
    place: str,
    rows: str,
    unknown: Sequence[str],
    labels: Sequence[str],
    *,
    is_scored: bool,
    is_several: bool = False,
    what: str = "label",
) -> None:
    """Logs labels that were not in training.

    Args:
        place: "path:line" of the first.
        rows: the subject and verb, such as "2 of 5 rows have".
        unknown: the labels, each as often as it occurs.
        labels: those of training.
        is_scored: whether they count as wrong.
        is_several: whether an example has several labels: its loss is that of
            those that training had.
        what: what labels are called.
    """
    path, _, line = place.rpartition(":")
    counts = collections.Counter(unknown).most_common()
    is_one = len(counts) == 1
    subject = "it counts" if is_one else "they count"
    loss = f"leaves {'it' if is_one else 'them'} out"
    if is_several:
        loss = f"is that of the other {what}s"
    logging.warning(
        "%s: %s a %s that was not in training (line %s first): %s%s; %s",
        path,
        rows,
        what,
        line,
        listed([f"{label!r} ({number})" for label, number in counts]),
        suggestions.hint(counts[0][0], labels),
        f"{subject} as wrong, and eval_loss {loss}"
        if is_scored
        else f"no {what} of the file was, and nothing is scored",
    )


def _not_known(label, labels):
    return (
        f"label {label!r} was not in training, which had {listed(labels)}"
        f"{suggestions.hint(label, labels)}"
    )


def _check_names(table, labels):
    """Raises UserError for vectors of another length than training's."""
    names = table.label_columns
    if names is None or names != [str(place) for place in range(len(names))]:
        return
    is_vector = [*labels] == [str(place) for place in range(len(labels))]
    if is_vector and len(names) != len(labels) and any(table.labels):
        raise UserError(
            f"{table.place(0)}: vectors of {len(names)} labels, but training "
            f"had {len(labels)}"
        )


def _log_twins(path, comparison):
    if comparison.twins:
        one, other = min(comparison.twins.items())
        logging.info(
            "%s: the label %r is %r of training, spelt otherwise%s",
            path,
            one,
            other,
            " (and others)" if len(comparison.twins) > 1 else "",
        )


def _without_marks(table, comparison, set_type, strict):
    """The set as training spells its labels, without marks."""
    labels = table.labels
    marked = {}
    for index, label in enumerate(labels):
        mark = file_labels.mark_of(label, comparison.marks)
        labels[index] = None if mark else comparison.renamed(label)
        if mark:
            marked.setdefault(mark, []).append(index)
    for mark, indices in marked.items():
        what = f"the label {mark!r}, which means that there is none"
        if strict and set_type != "test":
            raise UserError(
                f"{table.place(indices[0])}: {what}, under `strict`"
            )
        log: Callable = logging.info if set_type == "test" else logging.warning
        log(
            "%s: %s %s (row of line %s first): %s",
            table.path,
            counted(len(indices), len(table), "row"),
            what,
            table.line(indices[0]),
            "not scored" if set_type == "test" else "left out",
        )
    table = table.with_labels(labels)
    if set_type == "test" or not marked:
        return table
    rows = [index for index, label in enumerate(labels) if label is not None]
    if not rows:
        raise UserError(f"{table.path}: no row has a label")
    return table.pick(table.set_type, rows)


def _twin(label, known) -> str | None:
    """The known label that is the same number, or the same truth value."""
    return _by_number(known).get(_number(label, known))


@functools.lru_cache(maxsize=8)
def _by_number(known: tuple[str, ...]) -> dict[int | None, str]:
    """{number: label}; {} unless all labels are whole numbers, or booleans."""
    numbers = [_number(label, known) for label in known]
    if None in numbers or len({*numbers}) < len(numbers):
        return {}
    return dict(zip(numbers, known, strict=True))


def _number(label, known):
    """The number of a label; true is 1 and false is 0 beside such."""
    if len(known) == 2 and label.lower() in _BOOLEANS:
        return _BOOLEANS[label.lower()]
    return file_labels.plain_number(label)
