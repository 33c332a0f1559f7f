"""Decides which file, and which rows of the training file, each set comes from.

    FileSettings(train_file="all.csv", dev_fraction=0.1, test_file="new.csv")

A set taken from the training file holds each label's share of it, and the same
rows in each run.
"""

import collections
import dataclasses
import fractions
import math
import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from bert_tf import files
from bert_tf.data import plausibility
from bert_tf.data.plausible.sample import Sample
from bert_tf.errors import UserError

SETS = ("train", "dev", "test")

NUM_NEIGHBOURS = 20  # Rows of similar values of which each set gets its share.
HALF = fractions.Fraction(1, 2)

# The label of an example, as `read_sets` divides them.
Label = str | tuple[str, ...] | float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileSettings:
    """The files of the sets.

    Attributes:
        train_file, dev_file, test_file: paths, or None.
        dev_fraction, test_fraction: shares of the training file for sets that
            have no file of their own. If a set has a file as well, the share is
            left out of the training set, as without the file.
        split_seed: random seed that chooses these rows.
        strict: make an error of what would be logged as a warning.
        missing_label: labels that mean that there is none; None for those
            that people use, see `missing_labels`.
    """

    train_file: str | None = None
    dev_file: str | None = None
    test_file: str | None = None
    dev_fraction: float = 0.0
    test_fraction: float = 0.0
    split_seed: int = 12345
    strict: bool = False
    missing_label: Sequence[str] | None = None


def pick_as_they_are(
    examples: Sequence[Any], set_type: str, indices: Iterable[int]
) -> list[Any]:
    """Some of the examples."""
    return [examples[index] for index in indices]


def pick_and_rename(
    examples: Sequence[Any], set_type: str, indices: Iterable[int]
) -> list[Any]:
    """Some of the examples, with the new set in the ids that we gave them."""
    return [
        dataclasses.replace(
            example, guid=example.guid.replace("train-", f"{set_type}-", 1)
        )
        if example.guid.startswith("train-")
        else example
        for example in pick_as_they_are(examples, set_type, indices)
    ]


def read_sets(
    settings: FileSettings,
    sets: Iterable[str],
    read: Callable[[str, str], Sequence[Any]],
    *,
    pick: Callable[[Any, str, Iterable[int]], Sequence[Any]] = pick_and_rename,
    label_of: Callable[[Any], Label] = lambda example: None,
    sample_of: Callable[[Any, str, str], Sample] | None = None,
) -> dict[str, Any]:
    """Reads the sets that are asked for, the training file first.

    Their first rows are checked, see `plausibility`.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
        read: function(path, set_type) that returns the examples of a file,
            which have a length and can be indexed.
        pick: function(examples, set_type, indices) that returns some of the
            training file's examples, as those of another set. It is not
            called without fractions.
        label_of: function(example) that returns its label, a tuple of labels,
            or None: each set gets its share of the examples of each label.
            Of floats it gets its share of each range of values.
        sample_of: function(examples, path, set_type) that returns what is
            checked of a file's examples.

    Returns:
        {set: examples}.

    Raises:
        UserError: a setting or a file cannot be used.
    """
    sets = list(sets)
    check_sources(settings, sets)

    def read_checked(path, set_type):
        examples = read(path, set_type)
        if sample_of is not None:
            sample = sample_of(examples, path, set_type)
            plausibility.warn(sample, settings.strict)
        return examples

    examples = {}
    if any(_source(settings, name) == "train" for name in sets):
        examples = _read_train(settings, sets, read_checked, pick, label_of)
    parts = {*examples} - {"train"}
    for name in sets:
        if name not in examples:
            path = getattr(settings, f"{name}_file")
            examples[name] = read_checked(path, name)
    if sample_of is not None:
        _compare(examples, settings, sample_of, parts)
    return {name: examples[name] for name in sets}


def _compare(examples, settings, sample_of, parts):
    """Warns of sets that hold much of the training set."""
    samples = {}
    for name, several in examples.items():
        path = getattr(settings, f"{_source(settings, name)}_file")
        samples[name] = sample_of(several, path, name)
    plausibility.compare(samples, settings.strict, parts)


def _read_train(settings, sets, read, pick, label_of):
    """{set: examples} of the sets that the training file holds."""
    examples = read(settings.train_file, "train")
    if not settings.dev_fraction and not settings.test_fraction:
        return {"train": examples}
    labels = [label_of(example) for example in examples]
    indices = _split(labels, settings)
    wanted = [name for name in sets if _source(settings, name) == "train"]
    for name in wanted:
        _check_not_empty(indices[name], name, settings, labels)
    return {name: pick(examples, name, indices[name]) for name in wanted}


def check_varied(
    labels: Iterable[Hashable],
    path: str,
    what: str,
    where: str = "",
    advice: str = "",
) -> None:
    """Checks that the examples to train on have more than one label.

    Args:
        labels: the label of each example, or each label once.
        path: the file they come from.
        what: the examples and their label, for the error, such as
            "all 3 rows have the label 'x'".
        where: the setting or the column that holds the label, for the error.
        advice: the end of the error.

    Raises:
        UserError: all labels are the same.
    """
    if len(set(labels)) < 2:
        place = f" in {where}" if where else ""
        raise UserError(
            f"{path}: {what}{place}: there is nothing to learn" + advice
        )


# ---------------------------------------------------------------------------
# Settings.


def needs_ids(settings: FileSettings, set_type: str) -> bool:
    """Whether a file must have the ids that a setting names.

    Predictions have them: those of a test file, or of the rows of the training
    file that are the test set. In other files they may be missing.

    Args:
        settings: the files.
        set_type: "train", "dev" or "test": what the file is read for.
    """
    return set_type == _source(settings, "test")


def _source(settings, name):
    """The set whose file a set is read from."""
    if getattr(settings, f"{name}_file"):
        return name
    return "train" if getattr(settings, f"{name}_fraction", 0) else name


def check_sources(settings: FileSettings, sets: Iterable[str]) -> None:
    """Raises UserError unless each set has a file, or a part of one.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
    """
    _check_fractions(settings)
    for name in sets:
        _check_source(settings, name)


def _check_fractions(settings):
    for name in ("dev", "test"):
        fraction = getattr(settings, f"{name}_fraction")
        if not 0 <= fraction < 1:
            raise UserError(
                "must be at least 0 and below 1",
                setting=f"{name}_fraction",
                value=fraction,
            )
    dev, test = settings.dev_fraction, settings.test_fraction
    if _exact(dev) + _exact(test) >= 1:
        raise UserError(
            f"`dev_fraction`={dev} and `test_fraction`={test}: together they "
            "must be below 1"
        )


def _check_source(settings, name):
    """Raises UserError unless the file that a set comes from is there."""
    source = _source(settings, name)
    path = getattr(settings, f"{source}_file")
    if not path and source != name:
        raise UserError(
            "takes rows of `train_file`, which must be given",
            setting=f"{name}_fraction",
            value=getattr(settings, f"{name}_fraction"),
        )
    if not path:
        other = "" if name == "train" else f" or `{name}_fraction`"
        raise UserError(f"`{name}_file`{other} must be given")
    if not files.exists(path):
        why = "no such file or folder"
        raise UserError(why, setting=f"{source}_file", value=path)
    if files.is_folder(path):
        why = "is a folder, not a file"
        raise UserError(why, setting=f"{source}_file", value=path)


def _check_not_empty(indices, name, settings, labels):
    if indices:
        return
    fractions_given = " and ".join(
        f"`{other}_fraction`={fraction}"
        for other in (["dev", "test"] if name == "train" else [name])
        if (fraction := getattr(settings, f"{other}_fraction"))
    )
    raise UserError(
        f"{fractions_given}: no row of {settings.train_file} is in the {name} "
        "set then" + _hint_for_ids(labels)
    )


def _hint_for_ids(labels):
    """The end of an error, if labels are ids: they cannot be split."""
    if not isinstance(labels[0], str) or len({*labels}) < len(labels):
        return ""
    return "; each row has another label: is it the right column?"


def _exact(fraction):
    """Takes 0.1 for a tenth, not for the binary number next to it."""
    return fractions.Fraction(str(fraction))


# ---------------------------------------------------------------------------
# The split of a training file.


def _split(labels, settings) -> dict[str, list[int]]:
    """{set: indices of its rows, in order}.

    The rows are split group by group: those of one label, or of similar
    values. In every group each of the three sets gets its share, rounded up or
    down. The test set takes its rows first, so that they do not depend on
    `dev_fraction`; the training set keeps what is left.
    """
    test = _Share(_exact(settings.test_fraction))
    dev = _Share(_exact(settings.dev_fraction))
    rows: dict[str, list[int]] = {name: [] for name in SETS}
    for group in _groups(labels, settings.split_seed):
        size = len(group)
        # A label that is not in the training set cannot be learned, and what
        # was not learned cannot be evaluated.
        reserved = 1 if isinstance(labels[group[0]], str) else 0
        num_test = test.take(size, at_most=size - reserved)
        rest = size - num_test
        train_share = size * (1 - test.fraction - dev.fraction)
        num_dev = dev.take(
            size,
            at_least=rest - math.ceil(train_share),
            at_most=rest - max(math.floor(train_share), reserved),
        )
        rows["test"] += group[:num_test]
        rows["dev"] += group[num_test : num_test + num_dev]
        rows["train"] += group[num_test + num_dev :]
    return {name: sorted(indices) for name, indices in rows.items()}


class _Share:
    """A set's share of groups of rows.

    Of a group the set gets its share rounded up or down. What the rounding
    leaves over is added to the next group's share: 0.3 rows of each of ten
    groups are three rows together.
    """

    def __init__(self, fraction: fractions.Fraction):
        self.fraction = fraction
        self._left_over = fractions.Fraction(0)

    def take(self, size: int, *, at_most: int, at_least: int = 0) -> int:
        """The number of rows to take from a group of `size` rows."""
        share = size * self.fraction
        wanted = share + self._left_over
        number = math.floor(wanted + HALF)  # The nearest whole number.
        number = min(number, math.ceil(share), at_most)
        number = max(number, math.floor(share), at_least)
        self._left_over = wanted - number
        return number


def _groups(labels, seed) -> list[list[int]]:
    """Indices of the same label, or of neighbours in value; both shuffled."""
    generator = random.Random(seed)
    if isinstance(labels[0], float):
        order = sorted(range(len(labels)), key=labels.__getitem__)
        starts = range(0, len(order), NUM_NEIGHBOURS)
        groups = [order[start : start + NUM_NEIGHBOURS] for start in starts]
    else:
        by_label = collections.defaultdict(list)
        for index, label in enumerate(labels):
            # Several labels have no order.
            key = tuple(sorted(label)) if isinstance(label, tuple) else label
            by_label[key].append(index)
        groups = [by_label[label] for label in sorted(by_label)]
        # In order, the same rare labels would be held out with every seed.
        generator.shuffle(groups)
    for group in groups:
        generator.shuffle(group)
    return groups
