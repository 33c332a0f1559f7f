"""The relations of a file: which are known, and which mean that there is none.

The rules are those of `missing_labels` and `known_labels`, but for words such
as None and NA: they name the relation of entities that have no other.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Protocol, TypeVar

from absl import logging

from bert_tf import suggestions
from bert_tf.counts import counted
from bert_tf.data.labels import file_labels, known_labels, missing_labels
from bert_tf.data.tabular.table import listed
from bert_tf.errors import UserError


class Labelled(Protocol):
    """A dataclass with a relation, such as `relations.RelationExample`."""

    @property
    def label(self) -> str | None:
        """The relation; None where it is not known."""

    @property
    def place(self) -> str:
        """The "file:line"."""


Example = TypeVar("Example", bound=Labelled)


def without_marks(
    examples: list[Example], missing_label: Sequence[str] | None
) -> list[Example]:
    """The sentences of a training file; marks become None.

    Args:
        examples: all of the file.
        missing_label: see `splits.FileSettings`.

    Raises:
        UserError: see `file_labels.find_marks`.
    """
    counts: collections.Counter[str] = collections.Counter()
    places: dict[str, str] = {}
    for example in examples:
        if example.label is not None:
            counts[example.label] += 1
            places.setdefault(example.label, example.place)
    if missing_label is None:
        for word in missing_labels.WORDS:
            counts.pop(word, None)
    marks = file_labels.find_marks(
        counts, len(examples), places.__getitem__, missing_label
    )
    return [_relabelled(e, None) if e.label in marks else e for e in examples]


def check_labels(
    examples: list[Example],
    labels: Sequence[str],
    set_type: str,
    strict: bool,
    missing_label: Sequence[str] | None = None,
) -> list[Example]:
    """Compares the relations of a set with those of training.

    Args:
        examples: the sentences.
        labels: the relations of training.
        set_type: "train", "dev" or "test".
        strict: whether a relation that was not in training is an error.
        missing_label: see `splits.FileSettings`.

    Returns:
        The sentences. Those whose relation is a mark for "not known" are left
        out of a dev set, and have None in a test set. Relations that were not
        in training stay. If a test set has no others, all are None.

    Raises:
        UserError: a relation was not in training, and the set is the training
            set, or `strict`, or no relation of the dev set was.
    """
    comparison = _compared(examples, labels, missing_label)
    examples = _without(comparison.marks, examples, set_type, strict)
    odd = [e for e in examples if e.label in comparison.unknown]
    if not odd:
        return examples
    has_known = any(example.label in labels for example in examples)
    is_mistake = set_type == "dev" and not has_known
    if strict or set_type == "train" or is_mistake:
        raise UserError(
            f"{odd[0].place}: relation {odd[0].label!r} was not in training, "
            f"which had {listed([*labels])}"
            f"{suggestions.hint(odd[0].label or '', labels)}"
        )
    known_labels.warn_of_unknown(
        odd[0].place,
        counted(len(odd), len(examples), "sentence"),
        [example.label for example in odd if example.label],
        labels,
        is_scored=has_known,
        what="relation",
    )
    if has_known:
        return examples
    return [_relabelled(example, None) for example in examples]


def _compared(examples, labels, missing_label):
    found = {e.label for e in examples if e.label is not None}
    comparison = known_labels.compare([*found], labels, missing_label)
    if missing_label is not None:
        return comparison
    words = comparison.marks & {*missing_labels.WORDS}
    return dataclasses.replace(
        comparison,
        marks=comparison.marks - words,
        unknown=comparison.unknown | words,
    )


def _without(marks, examples, set_type, strict):
    """The sentences of a set without marks, as `check_labels` has them."""
    marked = [example for example in examples if example.label in marks]
    is_test = set_type == "test"
    report_missing(
        marked,
        examples,
        "not scored" if is_test else "left out",
        strict and not is_test,
    )
    if not is_test:
        return [e for e in examples if e.label not in marks]
    return [_relabelled(e, None) if e.label in marks else e for e in examples]


def report_missing(
    odd: Sequence[Labelled],
    examples: Sequence[Labelled],
    consequence: str,
    strict: bool,
) -> None:
    """Logs one warning for sentences without a relation, or raises an error.

    Args:
        odd: the sentences; there may be none.
        examples: all of the file.
        consequence: what is done with them.
        strict: whether they are an error.

    Raises:
        UserError: there is one, under `strict`.
    """
    if not odd:
        return
    if strict:
        raise UserError(f"{odd[0].place}: no relation, under `strict`")
    path, _, line = odd[0].place.rpartition(":")
    logging.warning(
        "%s: %s no relation (line %s first): %s",
        path,
        counted(len(odd), len(examples), "sentence"),
        line,
        consequence,
    )


def _relabelled(example, label):
    return dataclasses.replace(example, label=label)
