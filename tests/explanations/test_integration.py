"""The integral of a gradient along a path."""

import numpy as np

from bert_tf.explanations.integration import integrate


def path_of(function, rates):
    """An evaluator that counts its points."""
    seen = []

    def evaluate(alphas):
        seen.extend(alphas)
        return function(alphas), np.stack([rates(a) for a in alphas])

    return evaluate, seen


def test_polynomials_are_exact_and_no_point_is_computed_twice():
    evaluate, seen = path_of(
        lambda a: a**7 - 2 * a, lambda a: np.array([7 * a**6, -2.0])
    )
    result = integrate(evaluate)
    np.testing.assert_allclose(result.attributions, [1.0, -2.0], atol=1e-12)
    assert result.is_complete and result.num_steps == len({*seen}) == len(seen)


def test_a_sharp_turn_gets_the_points():
    evaluate, seen = path_of(
        lambda a: np.tanh(200 * (a - 0.03)),
        lambda a: np.array([200 / np.cosh(200 * (a - 0.03)) ** 2]),
    )
    result = integrate(evaluate, tolerance=1e-4)
    assert result.is_complete and result.error < 1e-4
    assert np.mean(np.array(seen) < 0.1) > 0.5 and len(seen) < 150


def test_the_cap_is_kept_and_said():
    evaluate, seen = path_of(
        lambda a: np.sin(500 * a), lambda a: np.array([500 * np.cos(500 * a)])
    )
    result = integrate(evaluate, max_steps=40)
    assert not result.is_complete and len(seen) <= 40 and result.error > 0.01
