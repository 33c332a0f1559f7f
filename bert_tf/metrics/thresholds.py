"""Thresholds of several labels, chosen by the metric that is asked for.

A label is predicted where its probability is at least its threshold. For each
label only the cuts between different probabilities matter: cut k predicts the k
examples with the highest ones. Among them

    macro_f1       is the best where each label's F1 is the best by itself.
    micro_f1       is 2 Σ TP / (Σ P + Σ k), a fraction whose terms are sums over
                   labels. Dinkelbach's method finds the best of all cuts: for a
                   guess λ of the score each label by itself takes the cut with
                   the greatest 2 TP - λ k, and the score of these cuts is the
                   next λ, until it grows no more (W. Dinkelbach, On nonlinear
                   fractional programming, Management Science 13, 1967). That
                   the threshold at the best F1 is half of it, for probabilities
                   that are right, is Lipton et al. 2014,
                   https://arxiv.org/abs/1402.1892.
    exact_match    does not decompose. Coordinate ascent improves one label's
                   cut after the other, from 0.5 and from the cuts above.

No metric becomes worse than at 0.5 on the examples that it is chosen by.

Shape letters: N examples, C labels.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bert_tf.metrics.classification import MULTI_LABEL_NAMES, Floats, Ints

DEFAULT = 0.5
MAX_ROUNDS = 20  # Coordinate ascent ends long before.

Cuts = npt.NDArray[np.int64]  # [C]: how many examples each label is given to.


def best_thresholds(
    truth: Ints,
    probabilities: Floats,
    metric: str = "micro_f1",
    num_unknown: Ints | None = None,
) -> npt.NDArray[np.float64]:
    """The threshold for each label's probability that gives the best score.

    Args:
        truth: int [N, C], 1 where a label holds.
        probabilities: float [N, C].
        metric: one of `MULTI_LABEL_NAMES`.
        num_unknown: int [N], how many labels hold besides the C, which are
            never predicted; None for none.

    Returns:
        float64 [C]: a label is predicted from this probability on; 0.5 for a
        label that no example has. The best is certain for `micro_f1` and
        `macro_f1`.

    Raises:
        ValueError: there is no such metric.
    """
    if metric not in MULTI_LABEL_NAMES:
        raise ValueError(
            f"metric must be one of {', '.join(MULTI_LABEL_NAMES)}. "
            f"Received: metric={metric}"
        )
    holds, probabilities = np.asarray(truth) > 0, np.asarray(probabilities)
    if num_unknown is None:
        num_unknown = np.zeros(len(holds), np.int64)
    occurs = holds.any(axis=0)
    fixed = probabilities[:, ~occurs] >= DEFAULT
    sorted_labels = _SortedLabels(holds[:, occurs], probabilities[:, occurs])
    micro = functools.partial(
        _best_micro_f1,
        sorted_labels,
        num_extra=int(np.sum(num_unknown)) + int(fixed.sum()),
    )
    choose: dict[str, Callable[[], Cuts]] = {
        "micro_f1": micro,
        "macro_f1": lambda: _best_f1_of_each(sorted_labels),
        "exact_match": lambda: _best_exact_match(
            sorted_labels,
            (np.asarray(num_unknown) == 0) & ~fixed.any(axis=1),
            [micro(), _best_f1_of_each(sorted_labels)],
        ),
    }
    thresholds = np.full(holds.shape[1], DEFAULT)
    if occurs.any():
        thresholds[occurs] = sorted_labels.thresholds(choose[metric]())
    return thresholds


@dataclasses.dataclass
class _SortedLabels:
    """The examples of each label in falling order of their probability.

    Attributes:
        truth: bool [N, C].
        probabilities: float [N, C].
    """

    truth: npt.NDArray[np.bool_]
    probabilities: Floats

    @functools.cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """[N, C]: the examples, the likeliest first."""
        return np.argsort(-self.probabilities, axis=0, kind="stable")

    @functools.cached_property
    def values(self) -> Floats:
        """[N, C]: the probabilities in that order."""
        return np.take_along_axis(self.probabilities, self.order, axis=0)

    @functools.cached_property
    def hits(self) -> npt.NDArray[np.int64]:
        """[N + 1, C]: right predictions at each cut."""
        ordered = np.take_along_axis(self.truth, self.order, axis=0)
        return _with_zero(np.cumsum(ordered, axis=0, dtype=np.int64))

    @functools.cached_property
    def is_cut(self) -> npt.NDArray[np.bool_]:
        """[N + 1, C]: false between two equal probabilities."""
        is_cut = np.ones((len(self.values) + 1, self.values.shape[1]), bool)
        is_cut[1:-1] = self.values[1:] != self.values[:-1]
        return is_cut

    @property
    def default(self) -> Cuts:
        """The cuts of the threshold 0.5."""
        return np.sum(self.probabilities >= DEFAULT, axis=0)

    def hits_of(self, cuts: Cuts) -> npt.NDArray[np.int64]:
        """[C]: right predictions of each label."""
        return np.take_along_axis(self.hits, cuts[np.newaxis], axis=0)[0]

    def thresholds(self, cuts: Cuts) -> npt.NDArray[np.float64]:
        """float64 [C]: halfway to the next value, where new texts may lie."""
        # Above the highest probability, 1 at most, and below the lowest.
        padded = np.vstack(
            [
                np.ones(len(cuts)),
                self.values.astype(np.float64),
                np.zeros(len(cuts)),
            ]
        )
        upper, lower = (
            np.take_along_axis(padded, (cuts + i)[np.newaxis], axis=0)[0]
            for i in (0, 1)
        )
        middle = (upper + lower) / 2
        # Between two neighbours among floating-point numbers there is none.
        middle = np.where(middle > lower, middle, upper)
        no_room = (cuts == 0) & (lower >= 1.0)
        return np.where(no_room, np.nextafter(1.0, 2.0), middle)


def _with_zero(rows):
    return np.vstack([np.zeros_like(rows[:1]), rows])


def _best_f1_of_each(labels) -> Cuts:
    numbers = np.arange(len(labels.hits))[:, np.newaxis]
    scores = 2 * labels.hits / (numbers + labels.hits[-1])
    scores[~labels.is_cut] = -1.0
    # Of equal scores the one of the lowest threshold.
    return len(scores) - 1 - np.argmax(scores[::-1], axis=0)


def _best_micro_f1(labels, num_extra) -> Cuts:
    """`num_extra` counts what the cuts do not change in P and k."""
    numbers = np.arange(len(labels.hits), dtype=np.float64)[:, np.newaxis]

    def score(cuts):
        total = labels.hits[-1].sum() + cuts.sum() + num_extra
        return 2 * labels.hits_of(cuts).sum() / total

    best = labels.default
    while True:
        gains = 2.0 * labels.hits
        gains -= score(best) * numbers
        gains[~labels.is_cut] = -np.inf
        cuts = np.argmax(gains, axis=0)
        if score(cuts) <= score(best):
            return best
        best = cuts


def _best_exact_match(labels, is_possible, starts) -> Cuts:
    """Of all starts and of 0.5, the best that coordinate ascent reaches."""
    found = [
        _ascended(labels, is_possible, cuts)
        for cuts in (labels.default, *starts)
    ]
    return max(found, key=lambda pair: pair[0])[1]


def _ascended(labels, is_possible, cuts) -> tuple[int, Cuts]:
    """(examples that are right, cuts), no cut of which can be improved."""
    cuts = cuts.copy()
    ranks = np.empty_like(labels.order)
    places = np.arange(len(ranks))
    for label in range(len(cuts)):
        ranks[labels.order[:, label], label] = places
    is_wrong = (ranks < cuts) != labels.truth
    num_wrong = is_wrong.sum(axis=1) + ~is_possible
    right = int(np.sum(num_wrong == 0))
    for _ in range(MAX_ROUNDS):
        before = right
        for label in range(len(cuts)):
            others = num_wrong - is_wrong[:, label]
            order = labels.order[:, label]
            holds = labels.truth[order, label]
            counts = others[order] == 0
            # With each example more that is predicted, one right or one wrong.
            steps = np.cumsum(np.where(holds, 1, -1) * counts)
            at_cut = np.sum(counts & ~holds) + np.append(0, steps)
            at_cut[~labels.is_cut[:, label]] = -1
            cut = int(np.argmax(at_cut))
            if at_cut[cut] <= right:
                continue
            right, cuts[label] = int(at_cut[cut]), cut
            is_wrong[:, label] = (ranks[:, label] < cut) != labels.truth[
                :, label
            ]
            num_wrong = others + is_wrong[:, label]
        if right == before:
            break
    return right, cuts
