"""Thresholds of several labels: the best of the metric that is asked for."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf import metrics
from bert_tf.metrics import MULTI_LABEL_NAMES, best_thresholds


def scored(truth, probabilities, thresholds, num_unknown=None):
    """The scores, with a column for each label that is never predicted."""
    predictions = (probabilities >= thresholds).astype(int)
    if num_unknown is not None:
        most = int(num_unknown.max())
        extra = (np.arange(most) < num_unknown[:, np.newaxis]).astype(int)
        truth = np.hstack([truth, extra])
        predictions = np.hstack([predictions, np.zeros_like(extra)])
    right = (truth & predictions).sum(axis=0)
    total = truth.sum(axis=0) + predictions.sum(axis=0)
    return {
        "micro_f1": 2 * right.sum() / max(total.sum(), 1),
        "macro_f1": np.mean(2 * right / np.maximum(total, 1)),
        "exact_match": np.mean((truth == predictions).all(axis=1)),
    }


def test_the_plain_scores_are_those_of_the_package():
    truth, probabilities = np.random.default_rng(0).random([2, 30, 3])
    truth = (truth < 0.3).astype(int)
    expected = metrics.multi_label_scores(
        truth, (probabilities >= 0.6).astype(int)
    )
    assert scored(truth, probabilities, 0.6) == pytest.approx(expected)


@st.composite
def problems(draw, most=12):
    """(truth, probabilities, unknown labels) with ties, 0 and 1."""
    n, c = draw(st.integers(1, most)), draw(st.integers(2, 3))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = draw(
        st.sampled_from(
            [
                np.array([0.0, 0.25, 0.5, 0.75, 1.0], np.float32),
                np.linspace(0, 1, 101, dtype=np.float32),
                np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))]),
            ]
        )
    )
    truth = (generator.random([n, c]) < draw(st.floats(0, 1))).astype(int)
    unknown = None
    if draw(st.booleans()):
        unknown = generator.integers(0, 3, n)
    return truth, generator.choice(values, [n, c]), unknown


@pytest.mark.parametrize("metric", MULTI_LABEL_NAMES)
@settings(max_examples=100, deadline=None)
@given(problems())
def test_never_worse_than_one_half(metric, problem):
    truth, probabilities, unknown = problem
    tuned = best_thresholds(truth, probabilities, metric, unknown)
    found = scored(truth, probabilities, tuned, unknown)[metric]
    before = scored(truth, probabilities, 0.5, unknown)[metric]
    assert found >= before - 1e-15
    assert np.all(tuned[~truth.any(axis=0)] == 0.5)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1"])
@settings(max_examples=30, deadline=None)
@given(problems(most=6))
def test_no_other_thresholds_are_better(metric, problem):
    """All cuts of all labels, tried one by one."""
    truth, probabilities, unknown = problem
    tuned = best_thresholds(truth, probabilities, metric, unknown)
    choices = [
        [*np.unique(column), 2.0] if holds.any() else [0.5]
        for column, holds in zip(probabilities.T, truth.T, strict=True)
    ]
    best = max(
        scored(truth, probabilities, np.array(cuts), unknown)[metric]
        for cuts in itertools.product(*choices)
    )
    found = scored(truth, probabilities, tuned, unknown)[metric]
    assert found == pytest.approx(best, abs=1e-12)


def test_each_metric_has_its_own_thresholds():
    """A rare label that is hard helps macro F1, and harms micro F1."""
    generator = np.random.default_rng(1)
    truth = (generator.random([400, 2]) < [0.5, 0.02]).astype(int)
    noise = generator.random([400, 2])
    probabilities = 0.45 * truth * [1.0, 0.2] + 0.5 * noise
    scores = {
        metric: scored(
            truth, probabilities, best_thresholds(truth, probabilities, metric)
        )
        for metric in MULTI_LABEL_NAMES
    }
    for metric in MULTI_LABEL_NAMES:
        best = max(scores.values(), key=lambda row: row[metric])
        assert best[metric] == scores[metric][metric]
    assert scores["micro_f1"]["micro_f1"] > scores["macro_f1"]["micro_f1"]
    assert scores["macro_f1"]["macro_f1"] > scores["micro_f1"]["macro_f1"]


def test_thresholds_lie_halfway_to_the_next_value():
    truth = np.array([[1], [1], [0], [0]])
    probabilities = np.array([[0.9], [0.3], [0.2], [0.1]])
    assert best_thresholds(truth, probabilities) == pytest.approx([0.25])
    # Nothing may be predicted, even where a probability is 1.
    truth = np.array([[1, 1]] + [[1, 0]] * 30)
    probabilities = np.array([[1.0, 0.1]] + [[1.0, 1.0]] * 30)
    for metric in ("micro_f1", "exact_match"):
        tuned = best_thresholds(truth, probabilities, metric)
        assert (probabilities >= tuned)[:, 1].sum() == 0


def test_unknown_metrics_are_named():
    with pytest.raises(ValueError, match="one of micro_f1, .*: metric=x"):
        best_thresholds(np.ones([1, 1]), np.ones([1, 1]), "x")


def test_f1_of_class_1_beside_other_classes():
    generator = np.random.default_rng(0)
    for _ in range(20):
        truth, found = generator.integers(0, 2, [2, 30])
        right = np.sum(truth & found)
        expected = 2 * right / (truth.sum() + found.sum())
        assert metrics.f1(truth, found) == pytest.approx(expected, abs=1e-15)
    assert metrics.f1(np.array([1, 2, 0]), np.array([1, 1, 0])) == 2 / 3
