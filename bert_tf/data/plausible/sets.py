"""Compares the rows of sets: a dev or test set must not be the training set."""

import itertools
import os
from collections.abc import Mapping

from absl import logging

from bert_tf import files
from bert_tf.data.plausible.sample import MIN_ROWS, Finding, Sample
from bert_tf.errors import UserError

NUM_COMPARED = 100_000  # The first rows of a set, which are compared.
SAME = 0.99  # Share of rows from which on a set is the training set.
HEAVY = 0.2  # Share of rows from which on it is worth a warning.
NAMES = {"dev": "development", "test": "test"}


def same_file(samples: Mapping[str, Sample], name: str, is_part: bool) -> str:
    """Says that a set's file is the training file, or "".

    Args:
        samples: {set: its sample}.
        name: the set.
        is_part: whether it holds rows that were taken from the training file.
    """
    path, train = samples[name].path, samples["train"].path
    if is_part or not _is_one_file(path, train):
        return ""
    return (
        f"{path} is the training file, too: the scores of the {NAMES[name]} "
        "set say nothing about new texts"
    )


def _is_one_file(path, other):
    """Whether two paths, or two hard links, name one file."""
    if files.is_same(path, other):
        return True
    if files.is_remote(path) or files.is_remote(other):
        return False
    return os.path.exists(other) and os.path.samefile(path, other)


def find_overlap(samples: Mapping[str, Sample], name: str) -> Finding | None:
    """Finds texts of a set that are in the training set, too, if many are.

    Args:
        samples: {set: its sample}.
        name: the set.
    """
    keys = [*itertools.islice(samples[name].keys(), NUM_COMPARED)]
    texts = {*keys}
    if len(texts) < MIN_ROWS:
        return None
    train = itertools.islice(samples["train"].keys(), NUM_COMPARED)
    common = texts.intersection(train)
    if len(common) < HEAVY * len(texts):
        return None
    row = next(row for row, key in enumerate(keys) if key in common)
    what = (
        f"{len(common)} of {len(texts)} different texts of the {NAMES[name]} "
        "set are in the training set, too"
    )
    if len(common) < SAME * len(texts):
        return Finding(row, what, "its scores are too good")
    return Finding(
        row,
        what,
        "it is the training set, and its scores say nothing about new texts",
    )


def say_same(message: str, strict: bool) -> None:
    """Logs what `same_file` found, or raises an error under `strict`."""
    if strict:
        raise UserError(f"{message}, under `strict`")
    logging.warning("%s", message)
