"""Finds the rows of a training file whose label is probably wrong.

Two methods work together:

    Confident learning counts the errors, from probabilities of models that
    were not trained on the row: Northcutt, Jiang and Chuang, "Confident
    Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021.

    The area under the margin ranks the rows: Pleiss et al., "Identifying
    Mislabeled Data using the Area Under the Margin Ranking", 2020,
    https://arxiv.org/abs/2001.10528. A model that trains learns what most
    rows agree on first, and a wrong label last, so its margin, averaged over
    the training, is low. Here the margins are of probabilities, not of
    logits, so that all models count alike.

Shape letters: N rows, C labels.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class LabelErrors:
    """The rows of a set, the least likely label first.

    Attributes:
        order: int [N], the rows.
        scores: float [N], the mean margin of each row, from -1 to 1.
        likely: int [N], the likeliest label of each row.
        is_error: bool [N], whether confident learning counts the row as an
            error, see `find`.
    """

    order: np.ndarray
    scores: np.ndarray
    likely: np.ndarray
    is_error: np.ndarray


def margins(probabilities: np.ndarray, label_ids: np.ndarray) -> np.ndarray:
    """The probability of each row's label minus that of the likeliest other.

    Args:
        probabilities: float [N, C].
        label_ids: int [N], the given labels.

    Returns:
        float [N], from -1 to 1.
    """
    rows = np.arange(len(label_ids))
    others = np.array(probabilities, np.float64)
    own = others[rows, label_ids]
    others[rows, label_ids] = -1.0
    return own - others.max(axis=1)


def find(
    probabilities: np.ndarray, mean_margins: np.ndarray, label_ids: np.ndarray
) -> LabelErrors:
    """Ranks rows by how unlikely their label is.

    A row counts as an error if a label other than its own reaches that label's
    threshold, and is the likeliest of those that do. The threshold of a label
    is the mean probability that the rows with this label give it: equation 2
    of confident learning. The rows are ranked by their mean margins.

    Args:
        probabilities: float [N, C], of models not trained on the row.
        mean_margins: float [N], of `margins`, averaged over models and over
            their training.
        label_ids: int [N], the given labels.
    """
    probabilities = np.asarray(probabilities, np.float64)
    label_ids = np.asarray(label_ids)
    rows = np.arange(len(label_ids))
    own = probabilities[rows, label_ids]
    thresholds = np.array(
        [
            own[label_ids == label].mean() if (label_ids == label).any() else 1
            for label in range(probabilities.shape[1])
        ]
    )
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    choice = confident.argmax(axis=1)
    is_error = (confident.max(axis=1) >= 0) & (choice != label_ids)
    order = np.lexsort((rows, mean_margins))
    likely = np.where(is_error, choice, probabilities.argmax(axis=1))
    return LabelErrors(order, np.asarray(mean_margins), likely, is_error)


def folds(
    keys: Sequence[Hashable], label_ids: Sequence[int], number: int, seed: int
) -> np.ndarray:
    """Divides rows into folds with about the same labels.

    Rows with the same key come into the same fold: a model would only repeat
    the label that it has seen with the same text.

    Args:
        keys: what the same texts share.
        label_ids: the label of each row.
        number: how many folds.
        seed: of the division.

    Returns:
        int [N], the fold of each row.
    """
    first: dict[Hashable, int] = {}
    group = np.array([first.setdefault(k, i) for i, k in enumerate(keys)])
    leaders = np.flatnonzero(group == np.arange(len(group)))
    shuffled = np.random.default_rng(seed).permutation(leaders)
    by_label = shuffled[
        np.argsort(np.asarray(label_ids)[shuffled], kind="stable")
    ]
    fold = np.zeros(len(group), np.int64)
    fold[by_label] = np.arange(len(by_label)) % number
    return fold[group]
