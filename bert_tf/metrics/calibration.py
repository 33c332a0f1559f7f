"""What probabilities are worth: calibration, temperature, sets of labels.

A model is calibrated if of the answers that it gives with a probability of 0.8
a share of 0.8 is right. Fine-tuned models are often too sure.

    expected_calibration_error  how far confidence and accuracy lie apart, in
                                bins of equal width (Guo et al. 2017, On
                                calibration of modern neural networks,
                                https://arxiv.org/abs/1706.04599)
    fit_temperature             the number by which logits are divided so that
                                they fit labels best (the same paper)
    conformal_threshold         the least probability of a label in a set that
                                holds the right label at a given rate: split
                                conformal prediction with the score 1 - p of
                                the right label (Sadinle, Lei and Wasserman
                                2019, https://arxiv.org/abs/1609.00451;
                                Angelopoulos and Bates 2021,
                                https://arxiv.org/abs/2107.07511)

`label_ids` has one of two shapes throughout: int [N], the one right label of
each example, whose probabilities are a softmax; or [N, C] of 0 and 1, whether
each label holds, whose probabilities are sigmoids and are judged one by one.

Shape letters: N examples, C labels, B bins.
"""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from bert_tf.metrics.classification import Floats, Ints

NUM_BINS = 15  # As in Guo et al. 2017.
SET_SCORES = ("coverage", "mean_set_size", "empty_sets")
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in bins of equal width, from 0 to 1.

    A value on the edge between two bins belongs to the lower one.

    Attributes:
        edges: float64 [B + 1].
        counts: int64 [B], the number of answers in each bin.
        confidences: float64 [B], their mean probability; nan in empty bins.
        accuracies: float64 [B], the share that is right; nan in empty bins.
    """

    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float64]
    accuracies: npt.NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        """The mean of |accuracy - confidence| over answers; nan without any."""
        if not self.counts.sum():
            return math.nan
        gaps = np.abs(self.accuracies - self.confidences)
        return float(np.average(np.nan_to_num(gaps), weights=self.counts))


def reliability(
    probabilities: Floats, label_ids: Ints, num_bins: int = NUM_BINS
) -> Reliability:
    """Compares probabilities with how often they are right.

    Args:
        probabilities: float [N, C].
        label_ids: int [N]: the likeliest label of each example is judged. A
            label beyond the C ones is never right. Or [N, C] of 0 and 1: the
            probability of each label of each example is judged.
        num_bins: the number of bins.
    """
    probabilities = np.asarray(probabilities, np.float64)
    label_ids = np.asarray(label_ids)
    if label_ids.ndim == 2:
        confidence, is_right = probabilities.ravel(), label_ids.ravel() > 0
    else:
        confidence = probabilities.max(axis=-1)
        is_right = probabilities.argmax(axis=-1) == label_ids
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, confidence) - 1, 0, num_bins - 1)
    counts, sums, hits = (
        np.bincount(bins, weights, num_bins)
        for weights in (None, confidence, is_right.astype(np.float64))
    )
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins.
        means, shares = sums / counts, hits / counts
    return Reliability(edges, counts.astype(np.int64), means, shares)


def expected_calibration_error(
    probabilities: Floats, label_ids: Ints, num_bins: int = NUM_BINS
) -> float:
    """The expected calibration error, from 0 to 1 (Guo et al. 2017, eq. 3).

    The mean over answers of |accuracy - mean confidence| of their bins, which
    have equal widths. On few examples it is above 0 by chance alone.

    Args:
        probabilities, label_ids, num_bins: see `reliability`.
    """
    return reliability(probabilities, label_ids, num_bins).expected_error


def negative_log_likelihood(
    logits: Floats, label_ids: Ints, temperature: float = 1.0
) -> float:
    """The mean of -log(probability of what is right) of logits / temperature.

    Args:
        logits: float [N, C].
        label_ids: int [N]; or [N, C], and the mean is over labels, too.
        temperature: see above.
    """
    logits, label_ids = np.asarray(logits, np.float64), np.asarray(label_ids)
    if not len(logits):
        return math.nan
    scaled = logits / temperature
    if label_ids.ndim == 2:
        each = np.logaddexp(0.0, scaled) - (label_ids > 0) * scaled
        return float(each.mean())
    right = np.take_along_axis(scaled, label_ids[:, np.newaxis], axis=-1)
    return float(np.mean(scipy.special.logsumexp(scaled, -1) - right[:, 0]))


def fit_temperature(logits: Floats, label_ids: Ints) -> float:
    """The temperature that minimizes the negative log-likelihood.

    The likelihood is that of softmax(logits / T), or of sigmoid(logits / T)
    where several labels may hold. It is convex in 1 / T. Division changes no
    order, so the likeliest label stays the same.

    Where the model makes no mistake the likelihood grows for ever as T falls to
    0. Then, and only then, targets are those of Laplace's rule of succession:
    the right label has 1 - 1 / (N + 2), and the others share the rest.

    Args:
        logits: float [N, C]; -inf for a label that an example cannot have.
        label_ids: int [N], each below C; or [N, C] of 0 and 1.

    Returns:
        From `MIN_TEMPERATURE` to `MAX_TEMPERATURE`; above 1 for a model that
        is too sure. 1.0 where all logits of each example are the same, and
        without examples. `MAX_TEMPERATURE` where chance knows more than the
        model.

    Raises:
        ValueError: the shapes differ, or a logit is not a number.
    """
    logits, label_ids = np.asarray(logits, np.float64), np.asarray(label_ids)
    if label_ids.shape not in (logits.shape, logits.shape[:1]):
        raise ValueError(
            f"label_ids must have the shape {list(logits.shape[:1])} or "
            f"{list(logits.shape)}. Received: {list(label_ids.shape)}"
        )
    if not (logits < np.inf).all():
        raise ValueError("logits must be finite, or -inf")
    targets = _targets(logits, label_ids)
    if label_ids.ndim == 2:
        # A sigmoid is the softmax of a logit and 0.
        logits = np.stack([logits.ravel(), np.zeros(logits.size)], axis=-1)
    logits = logits - logits.max(axis=-1, initial=-np.inf, keepdims=True)
    distances = np.where(logits > -np.inf, logits, 0.0)
    if not distances.any():
        return 1.0

    def slope(log_temperature):
        """The derivative of the likelihood's negative by 1 / T."""
        shares = scipy.special.softmax(logits / np.exp(log_temperature), -1)
        return float(np.sum((shares - targets) * distances))

    # The slope falls with the temperature; its only zero is the minimum.
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    if slope(low) <= 0.0:
        return MIN_TEMPERATURE
    if slope(high) >= 0.0:
        return MAX_TEMPERATURE
    return float(np.exp(scipy.optimize.brentq(slope, low, high, xtol=1e-10)))


def _targets(logits, label_ids):
    """float64 [N, C], or [N C, 2]: how likely each label shall be."""
    if label_ids.ndim == 2:
        holds = (label_ids > 0).ravel()
        targets = np.stack([holds, ~holds], axis=-1).astype(np.float64)
        is_right = np.where(holds, 1.0, -1.0) * logits.ravel() >= 0.0
    else:
        targets = np.zeros(logits.shape)
        targets[np.arange(len(targets)), label_ids] = 1.0
        right = logits[np.arange(len(targets)), label_ids]
        is_right = right >= logits.max(axis=-1, initial=-np.inf)
    if is_right.all():
        is_possible = np.ones(targets.shape, bool)
        if label_ids.ndim == 1:
            is_possible = logits > -np.inf
        others = is_possible.sum(axis=-1, keepdims=True) - 1
        wrong = np.where(others > 0, 1.0 / (len(logits) + 2), 0.0)
        share = is_possible * wrong / np.maximum(others, 1)
        targets = np.where(targets > 0, 1.0 - wrong, share)
    return targets


def conformal_threshold(
    probabilities: Floats, label_ids: Ints, coverage: float
) -> float:
    """The least probability of the labels in sets that hold the right one.

    The set of a new example, see `label_sets`, holds its right label with a
    probability of at least `coverage`, and at most 1 / (N + 1) more if no two
    probabilities are the same: over draws of the N examples and the new one,
    if these are exchangeable. It does not hold for each kind of text, or each
    label, by itself.

    With the score 1 - p of the right label the sets are the smallest on
    average. The threshold is the k-th greatest probability of a right label,
    k = ceil((N + 1) coverage), or rather halfway to the next one, so that no
    rounding decides.

    Args:
        probabilities: float [N, C].
        label_ids: int [N]. A label beyond the C ones has the probability 0.
        coverage: the rate, above 0 and below 1.

    Raises:
        ValueError: there are fewer than `examples_needed` examples, or the
            coverage is not between 0 and 1.
    """
    needed = examples_needed(coverage)
    probabilities, ids = np.asarray(probabilities), np.asarray(label_ids)
    if len(ids) < needed:
        raise ValueError(
            f"needs {needed} examples for coverage={coverage}. "
            f"Received: {len(ids)}"
        )
    is_known = ids < probabilities.shape[-1]
    index = np.where(is_known, ids, 0)[:, np.newaxis]
    right = np.take_along_axis(probabilities, index, axis=-1)[:, 0]
    right = np.where(is_known, right, 0.0).astype(np.float64)
    rank = math.ceil((len(ids) + 1) * _exact(coverage))
    threshold = np.sort(right)[-rank]
    below = right[right < threshold]
    return float((threshold + below.max()) / 2 if len(below) else threshold)


def examples_needed(coverage: float) -> int:
    """The fewest examples that a `conformal_threshold` is fitted on.

    (N + 1) (1 - coverage) must be 1 at least: 9 examples for 0.9, 99 for 0.99.

    Raises:
        ValueError: the coverage is not between 0 and 1.
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(
            f"coverage must be above 0 and below 1. Received: {coverage}"
        )
    return math.ceil(1 / (1 - _exact(coverage))) - 1


def _exact(coverage):
    """The number that was meant: 0.9 is 9/10, not the double next to it."""
    return Fraction(repr(float(coverage)))


def label_sets(
    probabilities: Floats, threshold: float
) -> npt.NDArray[np.bool_]:
    """Which labels are in the set of each example, bool [..., C].

    A set may be empty: the model is less sure than it should be of a right
    answer. Where the model is right more often than the coverage asks for,
    there must be such sets.

    Args:
        probabilities: float [..., C].
        threshold: that of `conformal_threshold`.
    """
    return np.asarray(probabilities, np.float64) >= threshold


def set_scores(
    probabilities: Floats, label_ids: Ints, threshold: float
) -> dict[str, float]:
    """How good sets are: {"coverage", "mean_set_size", "empty_sets"}.

    Args:
        probabilities: float [N, C].
        label_ids: int [N]; a label beyond the C ones is in no set.
        threshold: see `label_sets`.

    Returns:
        The share of sets with the right label, the mean number of labels, and
        the share of sets without a label; nan without examples.
    """
    sets, ids = label_sets(probabilities, threshold), np.asarray(label_ids)
    if not len(ids):
        return dict.fromkeys(SET_SCORES, math.nan)
    is_known = ids < sets.shape[-1]
    index = np.where(is_known, ids, 0)[:, np.newaxis]
    holds = np.take_along_axis(sets, index, axis=-1)[:, 0] & is_known
    sizes = sets.sum(axis=-1)
    return {
        "coverage": float(holds.mean()),
        "mean_set_size": float(sizes.mean()),
        "empty_sets": float(np.mean(sizes == 0)),
    }
