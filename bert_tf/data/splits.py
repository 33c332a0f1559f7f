"""Which file, or which part of the training file, each set is read from.

    --train_file=all.csv --dev_fraction=0.1 --test_file=new.csv

A part of the training file holds each label's share of it, and the same rows
in each run.
"""

import collections
import dataclasses
import fractions
import math
import random

from bert_tf import files
from bert_tf.errors import UserError

SETS = ("train", "dev", "test")

NUM_NEIGHBOURS = 20  # Rows of similar values of which a split takes its share.
HALF = fractions.Fraction(1, 2)


@dataclasses.dataclass(frozen=True)
class FileSettings:
    """Where each set is, named as the flags.

    Attributes:
        train_file, dev_file, test_file: paths, or None.
        dev_fraction, test_fraction: shares of the training file for sets that
            have no file of their own.
        split_seed: says which rows these are.
        strict: what would be logged as a warning is an error.
    """

    train_file: str | None = None
    dev_file: str | None = None
    test_file: str | None = None
    dev_fraction: float = 0.0
    test_fraction: float = 0.0
    split_seed: int = 12345
    strict: bool = False


def pick_as_they_are(examples, set_type: str, indices) -> list:
    """Some of the examples."""
    return [examples[index] for index in indices]


def pick_and_rename(examples, set_type: str, indices) -> list:
    """Some of the examples; the ids that we gave them say the set."""
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
    sets,
    read,
    pick=pick_and_rename,
    label_of=lambda example: None,
) -> dict:
    """Reads the sets that are asked for, the training file first.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
        read: function(path, set_type) to the examples of a file: they have a
            length, and can be indexed.
        pick: function(examples, set_type, indices) to some of the training
            file's examples, as those of another set. Without fractions it is
            not called.
        label_of: function(example) to what the parts of a training file have
            equal shares of: its label, a tuple of labels, a float that is
            near to others, or always None.

    Returns:
        {set: examples}.

    Raises:
        UserError: a setting or a file cannot be used.
    """
    _check_fractions(settings)
    for name in sets:
        _check_source(settings, name)
    found = {}
    if any(_source(settings, name) == "train" for name in sets):
        found = _read_train(settings, sets, read, pick, label_of)
    for name in sets:
        if name not in found:
            found[name] = read(getattr(settings, f"{name}_file"), name)
    return {name: found[name] for name in sets}


def _read_train(settings, sets, read, pick, label_of):
    """{set: examples} of those that the training file holds."""
    examples = read(settings.train_file, "train")
    if not settings.dev_fraction and not settings.test_fraction:
        return {"train": examples}
    parts = _split([label_of(example) for example in examples], settings)
    wanted = [name for name in sets if _source(settings, name) == "train"]
    for name in wanted:
        _check_not_empty(parts[name], name, settings)
    return {name: pick(examples, name, parts[name]) for name in wanted}


# ---------------------------------------------------------------------------
# Settings.


def _source(settings, name):
    """The set whose file a set is read from."""
    return "train" if getattr(settings, f"{name}_fraction", 0) else name


def _check_fractions(settings):
    for name in ("dev", "test"):
        fraction = getattr(settings, f"{name}_fraction")
        path = getattr(settings, f"{name}_file")
        if not 0 <= fraction < 1:
            raise UserError(
                f"--{name}_fraction={fraction}: must be at least 0 and below 1"
            )
        if path and fraction:
            raise UserError(
                f"--{name}_file={path} and --{name}_fraction={fraction}: only "
                "one of them can be given"
            )
    dev, test = settings.dev_fraction, settings.test_fraction
    if _exact(dev) + _exact(test) >= 1:
        raise UserError(
            f"--dev_fraction={dev} and --test_fraction={test}: together they "
            "must be below 1"
        )


def _check_source(settings, name):
    """Raises UserError where a set has no file that could be there."""
    source = _source(settings, name)
    path = getattr(settings, f"{source}_file")
    if not path and source != name:
        fraction = getattr(settings, f"{name}_fraction")
        raise UserError(
            f"--{name}_fraction={fraction}: takes rows of --train_file, which "
            "must be given"
        )
    if not path:
        other = "" if name == "train" else f" or --{name}_fraction"
        raise UserError(f"--{name}_file{other} must be given")
    if not files.exists(path):
        raise UserError(f"--{source}_file={path}: no such file or folder")
    if files.is_folder(path):
        raise UserError(f"--{source}_file={path}: is a folder, not a file")


def _check_not_empty(indices, name, settings):
    if indices:
        return
    given = " and ".join(
        f"--{other}_fraction={fraction}"
        for other in (["dev", "test"] if name == "train" else [name])
        if (fraction := getattr(settings, f"{other}_fraction"))
    )
    raise UserError(
        f"{given}: no row of {settings.train_file} is in the {name} set then"
    )


def _exact(fraction):
    """0.1 is a tenth, not the binary number next to it."""
    return fractions.Fraction(str(fraction))


# ---------------------------------------------------------------------------
# The split of a training file.


def _split(labels, settings) -> dict:
    """{set: indices in order}; each group of rows gives each set its share.

    A share is rounded up or down, so that all groups together come near to
    it, too. Of a label with few rows the training set gets one first: what
    was not learned cannot be evaluated.
    """
    test, dev = _exact(settings.test_fraction), _exact(settings.dev_fraction)
    owed = {"test": 0, "dev": 0}

    def take(name, share, low, high):
        owed[name] += share
        number = max(low, min(high, math.floor(owed[name] + HALF)))
        owed[name] -= number
        return number

    parts = {name: [] for name in SETS}
    for group in _groups(labels, settings.split_seed):
        size = len(group)
        reserved = int(isinstance(labels[group[0]], str))
        share = size * test
        # Whatever dev is, these are the same.
        num_test = take("test", share, *_around(share, size - reserved))
        rest = size - num_test
        low, high = _around(size * (1 - test - dev), rest)
        least, most = _around(size * dev, rest - max(low, reserved))
        num_dev = take("dev", size * dev, max(least, rest - high), most)
        parts["test"] += group[:num_test]
        parts["dev"] += group[num_test : num_test + num_dev]
        parts["train"] += group[num_test + num_dev :]
    return {name: sorted(indices) for name, indices in parts.items()}


def _around(share, limit):
    """A share rounded down and up, the latter to no more than a limit."""
    return math.floor(share), min(math.ceil(share), limit)


def _groups(labels, seed):
    """Indices of the same label, or of neighbours in value; both shuffled."""
    generator = random.Random(seed)
    if isinstance(labels[0], float):
        order = sorted(range(len(labels)), key=labels.__getitem__)
        starts = range(0, len(order), NUM_NEIGHBOURS)
        groups = [order[start : start + NUM_NEIGHBOURS] for start in starts]
    else:
        by_label = collections.defaultdict(list)
        for index, label in enumerate(labels):
            # The order of several labels says nothing.
            key = tuple(sorted(label)) if isinstance(label, tuple) else label
            by_label[key].append(index)
        groups = [by_label[label] for label in sorted(by_label)]
        generator.shuffle(groups)  # Each rare label gets its chance.
    for group in groups:
        generator.shuffle(group)
    return groups
