"""Calibration against plain formulas, scikit-learn, and simulated data."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sklearn.calibration
import sklearn.metrics

from bert_tf.metrics import calibration


def drawn(number, num_labels, seed=0, size=2.0):
    """(logits, label ids) of a model whose probabilities are right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(number, num_labels)) * size
    chances = scipy.special.softmax(logits, axis=-1)
    levels = rng.random((number, 1))
    ids = np.sum(levels > np.cumsum(chances, axis=-1), axis=-1)
    return logits, np.minimum(ids, num_labels - 1)


def plain_error(probabilities, label_ids, num_bins):
    """Guo et al. 2017, equation 3, example by example."""
    bins = {}
    for row, label_id in zip(probabilities, label_ids, strict=True):
        place = max(int(np.ceil(row.max() * num_bins)), 1)
        found = bins.setdefault(place, [])
        found.append((row.max(), row.argmax() == label_id))
    total = 0.0
    for pairs in bins.values():
        confidence, accuracy = np.mean(pairs, axis=0)
        total += len(pairs) / len(label_ids) * abs(confidence - accuracy)
    return total


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_error_is_that_of_the_paper(num_bins):
    logits, ids = drawn(700, 3)
    probabilities = scipy.special.softmax(2.5 * logits, axis=-1)
    ids[:9] = 7  # Labels that the model does not know are never right.
    found = calibration.expected_calibration_error(probabilities, ids, num_bins)
    assert found == pytest.approx(plain_error(probabilities, ids, num_bins))


def test_curves_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    p = rng.random((500, 2))
    holds = (rng.random((500, 2)) < p**2).astype(int)
    found = calibration.reliability(p, holds, 10)
    is_there = found.counts > 0
    accuracies, confidences = sklearn.calibration.calibration_curve(
        holds.ravel(), p.ravel(), n_bins=10
    )
    np.testing.assert_allclose(found.accuracies[is_there], accuracies)
    np.testing.assert_allclose(found.confidences[is_there], confidences)
    assert found.counts.sum() == 1000 and found.edges[[0, -1]].tolist() == [
        0,
        1,
    ]


def test_sure_and_right_is_no_error():
    sure = np.eye(3)[[0, 1, 2, 2]]
    assert calibration.expected_calibration_error(sure, [0, 1, 2, 2]) == 0.0
    assert calibration.expected_calibration_error(sure, [1, 2, 0, 0]) == 1.0
    empty = calibration.reliability(np.zeros((0, 2)), np.zeros(0, int))
    assert np.isnan(empty.expected_error) and not empty.counts.any()


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_minimizes_the_loss(several, factor):
    logits, ids = drawn(2000, 4)
    if several:
        rng = np.random.default_rng(3)
        ids = rng.random(logits.shape) < scipy.special.expit(logits)
        ids = ids.astype(int)
    given = factor * logits

    def loss(temperature):
        if several:
            p = scipy.special.expit(given / temperature)
            return sklearn.metrics.log_loss(ids.ravel(), p.ravel())
        p = scipy.special.softmax(given / temperature, axis=-1)
        return sklearn.metrics.log_loss(ids, p)

    expected = scipy.optimize.minimize_scalar(
        loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}
    )
    found = calibration.fit_temperature(given, ids)
    assert found == pytest.approx(expected.x, rel=1e-4)
    assert found == pytest.approx(factor, rel=0.1)
    nll = calibration.negative_log_likelihood(given, ids, found)
    assert nll == pytest.approx(expected.fun, abs=1e-9)
    # It makes what is too sure less sure, and changes no answer.
    assert (given / found).argmax(-1).tolist() == given.argmax(-1).tolist()


def test_a_lower_error_on_other_examples():
    logits, ids = drawn(6000, 3, seed=5)
    fit, test = slice(0, 3000), slice(3000, None)
    temperature = calibration.fit_temperature(4 * logits[fit], ids[fit])
    before, after = (
        calibration.expected_calibration_error(
            scipy.special.softmax(4 * logits[test] / t, axis=-1), ids[test]
        )
        for t in (1.0, temperature)
    )
    assert temperature > 1 and before > 0.1 and after < 0.03


def test_without_a_mistake_one_of_n_plus_2_is_expected_to_be_wrong():
    logits = np.array([[9.0, 0], [0, 9], [9, 0]])
    found = calibration.fit_temperature(logits, [0, 1, 0])
    p = scipy.special.softmax(logits / found, axis=-1).max(axis=-1)
    np.testing.assert_allclose(p, 1 - 1 / 5)
    several = calibration.fit_temperature(logits - 4.5, logits > 0)
    np.testing.assert_allclose(scipy.special.expit(4.5 / several), 4 / 5)
    # One label alone, always right, is the same; one mistake is enough data.
    one = calibration.fit_temperature(logits[[0, 2]], [0, 0])
    assert one == pytest.approx(9 / np.log(3))
    mixed = calibration.fit_temperature(logits[[0, 2, 1]], [0, 0, 0])
    assert mixed == pytest.approx(9 / np.log(2))


def test_what_cannot_be_fitted():
    assert calibration.fit_temperature(np.zeros((5, 3)), [0, 1, 2, 0, 1]) == 1
    assert calibration.fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1
    always_wrong = [[9.0, 0], [0, 9]]
    assert calibration.fit_temperature(always_wrong, [1, 0]) == 100.0
    tiny = [[1e-9, 0], [0, 1e-9], [1e-9, 0]]
    assert calibration.fit_temperature(tiny, [0, 1, 1]) == 0.01
    for logits in ([[np.nan, 0]], [[np.inf, 0]]):
        with pytest.raises(ValueError, match="must be finite"):
            calibration.fit_temperature(logits, [0])
    with pytest.raises(ValueError, match=r"shape \[2\] or \[2, 3\]"):
        calibration.fit_temperature(np.zeros((2, 3)), [0, 1, 2])


def test_endings_that_are_not_there_change_nothing():
    logits, ids = drawn(300, 2)
    absent = np.full((300, 1), -np.inf)
    for given in (ids, logits.argmax(axis=-1)):
        found = calibration.fit_temperature(np.hstack([logits, absent]), given)
        assert found == pytest.approx(
            calibration.fit_temperature(logits, given)
        )


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.95])
def test_sets_hold_the_right_label_at_the_rate(coverage):
    """It holds for a wrong model, too: over many draws, not for each."""
    number, rounds = 99, 1500
    logits, ids = drawn((number + 1) * rounds, 5, seed=2)
    p = scipy.special.softmax(1.7 * logits + [1, 0, 0, 0, 0], axis=-1)
    p, ids = p.reshape(rounds, number + 1, 5), ids.reshape(rounds, number + 1)
    hits = []
    for rows, labels in zip(p, ids, strict=True):
        threshold = calibration.conformal_threshold(
            rows[:-1], labels[:-1], coverage
        )
        hits.append(calibration.label_sets(rows[-1], threshold)[labels[-1]])
    deviation = np.sqrt(coverage * (1 - coverage) / rounds)
    assert coverage - 4 * deviation < np.mean(hits)
    assert np.mean(hits) < coverage + 1 / (number + 1) + 4 * deviation


def test_the_threshold_is_a_quantile_of_scores():
    logits, ids = drawn(250, 4)
    p = scipy.special.softmax(logits, axis=-1)
    scores = 1 - p[np.arange(250), ids]
    level = np.ceil(251 * 0.9) / 250
    quantile = np.quantile(scores, level, method="inverted_cdf")
    threshold = calibration.conformal_threshold(p, ids, 0.9)
    inside = calibration.label_sets(p, threshold)[np.arange(250), ids]
    np.testing.assert_array_equal(inside, scores <= quantile)
    found = calibration.set_scores(p, ids, threshold)
    assert found["coverage"] == inside.mean()
    assert found["mean_set_size"] == (p >= threshold).sum() / 250
    assert found["empty_sets"] == np.mean(p.max(axis=-1) < threshold)
    # A label that the model does not know is in no set.
    unknown = np.where(np.arange(250) < 100, 4, ids)
    lower = calibration.conformal_threshold(p, unknown, 0.9)
    assert lower == 0.0
    assert calibration.set_scores(p, unknown, 0.0)["coverage"] == 0.6


def test_the_fewest_examples():
    assert [*map(calibration.examples_needed, (0.5, 0.9, 0.95, 0.99))] == [
        1,
        9,
        19,
        99,
    ]
    p, ids = np.full((9, 2), 0.5), np.zeros(9, int)
    assert calibration.conformal_threshold(p, ids, 0.9) == 0.5
    with pytest.raises(ValueError, match="needs 9 examples for coverage=0.9"):
        calibration.conformal_threshold(p[:8], ids[:8], 0.9)
    for wrong in (0.0, 1.0, -1, np.nan):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            calibration.examples_needed(wrong)
