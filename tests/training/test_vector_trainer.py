"""Steps on all vectors of a batch: the same on replicas and in parts."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.common import ROOT, TESTS
from support.vector_steps import COMPARED, CONFIG, batches

from bert_tf import vector_losses
from bert_tf.backend import fold_in
from bert_tf.optimization import AdamWeightDecay
from bert_tf.pooling import BertEmbedder
from bert_tf.training.vector_trainer import INPUTS, VectorTrainer

# Softmax ignores it: its true gradient is zero, and Adam makes steps of noise.
NOT_COMPARED = "key/bias"


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    path = tmp_path_factory.mktemp("steps") / "steps.npz"
    subprocess.run(
        [sys.executable, "-m", "support.vector_steps", str(path)],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"},
    )
    return np.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("name, loss", COMPARED)
def test_replicas_and_parts_change_nothing(arrays, name, loss):
    prefix = f"one/{loss}/"
    expected = {
        key.removeprefix(prefix): arrays[key]
        for key in arrays.files
        if key.startswith(prefix)
    }
    assert len(np.unique(expected["loss"])) > 1  # It has moved.
    for what, array in expected.items():
        if NOT_COMPARED not in what:
            found = arrays[f"{name}/{loss}/{what}"]
            np.testing.assert_allclose(
                found, array, atol=1e-6, rtol=1e-6, err_msg=what
            )


def test_the_second_pass_drops_what_the_first_has_dropped():
    """The gradients in parts are those of one pass with the same masks."""
    config = dataclasses.replace(
        CONFIG, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2
    )
    loss = vector_losses.in_batch_negatives()
    trainer = VectorTrainer(
        BertEmbedder(config, layers=(-1,)),
        AdamWeightDecay(),
        lambda step: tf.constant(1e-3),
        loss,
        num_micro_batches=2,
    )
    (batch,) = batches(num_texts=2).take(1)
    # SimCSE: a text twice, with different masks.
    inputs = {name: tf.repeat(batch[name][:, :1], 2, axis=1) for name in INPUTS}
    seed = tf.constant([3, 4])
    with tf.GradientTape() as tape:
        halves = [
            {n: tf.split(x, 2)[i] for n, x in inputs.items()} for i in (0, 1)
        ]
        vectors = tf.concat(
            [
                trainer.vectors(half, fold_in(seed, i))
                for i, half in enumerate(halves)
            ],
            axis=0,
        )
        expected_loss = loss(vectors, batch)
    expected = tape.gradient(
        expected_loss,
        [variable.value for variable in trainer.variables],
        unconnected_gradients="zero",
    )
    assert np.abs(vectors[:, 0] - vectors[:, 1]).max() > 0.1
    share, _, *gradients = trainer._in_two_passes(
        inputs, batch, seed, tf.constant(1.0)
    )
    np.testing.assert_allclose(share[0], expected_loss, rtol=1e-6)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(
            one, tf.convert_to_tensor(other), atol=1e-6, rtol=1e-5
        )
