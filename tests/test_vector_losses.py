"""Losses on vectors, against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from bert_tf import vector_losses

SCALE = 20.0
RNG = np.random.default_rng(7)


def batch_of(num_rows=7, num_texts=2, size=6, **features):
    vectors = RNG.normal(size=(num_rows, num_texts, size))
    is_real = np.ones(num_rows, np.int32)
    is_real[-2:] = 0  # They must not count.
    return vectors, {"is_real_example": is_real, **features}


def computed(loss, vectors, batch):
    batch = {name: tf.constant(value) for name, value in batch.items()}
    return float(loss(tf.constant(vectors), batch))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def plain_in_batch(vectors, batch, symmetric=False):
    real = batch["is_real_example"] > 0
    vectors = unit(vectors)[real]
    labels = batch.get("label_ids", np.arange(len(real)))[real]

    def direction(anchors, candidates, groups):
        losses = []
        for i, anchor in enumerate(anchors):
            logits, own = [], None
            for group in range(groups):
                for j in range(len(anchors)):
                    if j == i or labels[j] != labels[i]:
                        if group == 0 and j == i:
                            own = len(logits)
                        logits.append(SCALE * anchor @ candidates[group][j])
            losses.append(logsumexp(logits) - logits[own])
        return np.mean(losses)

    rest = [vectors[:, place] for place in range(1, vectors.shape[1])]
    forward = direction(vectors[:, 0], rest, len(rest))
    if not symmetric:
        return forward
    backward = direction(vectors[:, 1], [vectors[:, 0]], 1)
    return (forward + backward) / 2


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("num_texts", [2, 4])
@pytest.mark.parametrize("with_labels", [False, True])
def test_in_batch_negatives(num_texts, symmetric, with_labels):
    features = {}
    if with_labels:
        features["label_ids"] = np.array([0, 1, 0, 2, 2, 0, 1], np.int32)
    vectors, batch = batch_of(num_texts=num_texts, **features)
    loss = vector_losses.in_batch_negatives(symmetric=symmetric)
    expected = plain_in_batch(vectors, batch, symmetric)
    assert computed(loss, vectors, batch) == pytest.approx(expected, abs=1e-6)


def test_cosent():
    scores = np.array([0.1, 0.9, 0.9, 0.5, 0.0, 1.0, 0.2], np.float32)
    vectors, batch = batch_of(label_values=scores)
    pairs = unit(vectors)
    cosines = (pairs[:, 0] * pairs[:, 1]).sum(-1)
    terms = [
        SCALE * (cosines[j] - cosines[i])
        for i in range(5)
        for j in range(5)
        if scores[i] > scores[j]
    ]
    expected = np.log1p(np.exp(terms).sum())
    found = computed(vector_losses.cosent(), vectors, batch)
    assert found == pytest.approx(expected, abs=1e-6)


def test_cosine_regression():
    scores = np.array([0.1, 0.9, 0.9, 0.5, 0.0, 1.0, 0.2], np.float32)
    vectors, batch = batch_of(label_values=scores)
    pairs = unit(vectors)[:5]
    cosines = (pairs[:, 0] * pairs[:, 1]).sum(-1)
    expected = np.mean((cosines - scores[:5].astype(np.float64)) ** 2)
    found = computed(vector_losses.cosine_regression(), vectors, batch)
    assert found == pytest.approx(expected, abs=1e-6)


def test_triplet():
    vectors, batch = batch_of(num_texts=4)
    a, p, *negatives = np.moveaxis(unit(vectors)[:5], 1, 0)
    expected = np.mean(
        [
            np.maximum((1 - (a * p).sum(-1)) - (1 - (a * n).sum(-1)) + 0.5, 0)
            for n in negatives
        ]
    )
    found = computed(vector_losses.triplet(0.5), vectors, batch)
    assert found == pytest.approx(expected, abs=1e-6)


def test_matryoshka_is_the_sum_over_the_first_components():
    vectors, batch = batch_of()
    loss = vector_losses.in_batch_negatives()
    nested = vector_losses.matryoshka(loss, [6, 3, 2], [1.0, 0.5, 0.25])
    expected = (
        plain_in_batch(vectors, batch)
        + 0.5 * plain_in_batch(vectors[..., :3], batch)
        + 0.25 * plain_in_batch(vectors[..., :2], batch)
    )
    assert computed(nested, vectors, batch) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        vector_losses.in_batch_negatives(symmetric=True),
        vector_losses.cosent(),
        vector_losses.cosine_regression(),
        vector_losses.triplet(),
    ],
)
def test_rows_that_fill_up_and_vectors_of_zeros_give_finite_gradients(loss):
    vectors, batch = batch_of(
        num_texts=3, label_values=np.linspace(0, 1, 7, dtype="float32")
    )
    vectors[5:] = 0.0
    vectors[0, 1] = 0.0
    x = tf.constant(vectors)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x, {k: tf.constant(v) for k, v in batch.items()})
    gradient = tape.gradient(value, x).numpy()
    assert np.isfinite(gradient).all() and np.isfinite(value)
    assert not gradient[5:].any()  # They fill up the batch.
