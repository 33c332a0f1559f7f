"""What people see of the examples that a run reads: a line or two for each set.

    Train set    3,375 rows of train.tsv: ham 52.0 %, spam 48.0 %
    Lengths    train set: up to 61 tokens, none is cut

Of many labels, the commonest are named and the others counted.
"""

import collections
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bert_tf.counts import number_of
from bert_tf.data.labelled_set import TableSet
from bert_tf.programs import console

NUM_LABELS = 5  # At most so many are named.
NUM_COUNTED = 100_000  # Examples whose labels are counted.


def show_set(name: str, examples: Sequence[Any]) -> None:
    """Shows a line about a set: its size, its file and its labels.

    Args:
        name: "train", "dev" or "test".
        examples: its examples, which have a `label`.
    """
    first = [*itertools.islice(_labels_of(examples), NUM_COUNTED)]
    size = f"{len(examples):>7,} {_unit_of(examples)}"
    start = "the first " if len(first) < len(examples) else ""
    number = f"{start}{len(first):,}: " if start else ""
    console.show(
        f"{name.capitalize()} set",
        f"{size}{_file_of(examples)}: {number}{describe(first)}",
    )


def show_lengths(
    name: str, lengths: NDArray[np.integer], num_texts: int, capacity: int
) -> int:
    """Shows how long the texts of a set are, and how many of them are cut.

    Args:
        name: of the set: "dev set".
        lengths: int [N], the tokens of N of the texts.
        num_texts: how many texts the set has.
        capacity: the most tokens that the model reads of a text.

    Returns:
        How many of the N are cut.
    """
    longest, num_cut = int(np.max(lengths)), int(np.sum(lengths > capacity))
    measured = " measured" if len(lengths) < num_texts else ""
    cut = "none is cut"
    if num_cut:
        share = 100 * num_cut / len(lengths)
        verb = "is" if num_cut == 1 else "are"
        cut = (
            f"{num_cut:,} of {len(lengths):,}{measured} ({share:.1f} %) "
            f"{verb} cut at {capacity:,}"
        )
    console.show("Lengths", f"{name}: up to {longest:,} tokens, {cut}")
    return num_cut


def describe(labels: Sequence[Any]) -> str:
    """The labels of some examples, in a few words.

    Args:
        labels: of each example: a label, several, a tag for each word, a
            number, or None.
    """
    known = [label for label in labels if label is not None]
    if not known:
        return "without labels"
    missing = len(labels) - len(known)
    rest = f", {missing:,} without a label" if missing else ""
    first = known[0]
    if isinstance(first, (float, int, np.number)):
        numbers = np.asarray(known, np.float64)
        return (
            f"from {numbers.min():.4g} to {numbers.max():.4g}, "
            f"mean {numbers.mean():.4g}{rest}"
        )
    if isinstance(first, str):
        return _shares(collections.Counter(known), len(known)) + rest
    each = collections.Counter(itertools.chain.from_iterable(known))
    return _shares(each, sum(each.values())) + rest


def _shares(counts: "collections.Counter[str]", total: int) -> str:
    """`ham 52.0 %, spam 48.0 %`, with the others as a number."""
    named = counts.most_common(NUM_LABELS)
    text = ", ".join(f"{n} {100 * c / total:.1f} %" for n, c in named)
    if len(counts) > NUM_LABELS:
        others = number_of(len(counts) - NUM_LABELS, "more label")
        text += f" and {others}"
    return text or "no labels"


def _labels_of(examples: Sequence[Any]) -> Iterable[Any]:
    if isinstance(examples, TableSet):  # Without making the examples.
        return examples.labels
    return (_label_of(example) for example in examples)


def _label_of(example: Any) -> Any:
    if hasattr(example, "label"):
        return example.label
    labels = example.labels  # The tags of words.
    return None if labels is None else [t for t in labels if t is not None]


def _unit_of(examples: Sequence[Any]) -> str:
    is_words = bool(len(examples)) and hasattr(next(iter(examples)), "words")
    return "sentences" if is_words else "rows"


def _file_of(examples: Any) -> str:
    path = getattr(examples, "path", None)
    if path is None:
        path = getattr(getattr(examples, "sample", None), "path", None)
    return f" of {os.path.basename(path)}" if isinstance(path, str) else ""
