"""A training step on rows of tokens alone, against the one with padding."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import TINY_CONFIG

from bert_tf import (
    activations,
    attention,
    dropout,
    heads,
    layer_norm,
    losses,
    places,
    training,
)
from bert_tf.modeling import needs_padding
from bert_tf.optimization import AdamWeightDecay

CONFIG = dataclasses.replace(
    TINY_CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
LENGTH, NUM_LABELS = 7, 3
# Sequences that are full, short, of one token, and of none. Examples that are
# not real fill up the batch.
NUM_TOKENS = (7, 3, 1, 5, 6, 2, 0, 4)
IS_REAL = np.array([1, 1, 1, 1, 1, 1, 0, 0])
# Several sequences of each example; nobody has a third, some have no second.
TURNED = NUM_TOKENS[-3:] + NUM_TOKENS[:-3]
SEVERAL = (*zip(NUM_TOKENS, TURNED, [0] * 8, strict=True),)
FULL = (LENGTH,) * 8


@dataclasses.dataclass(frozen=True)
class Head:
    """A head, its loss, and the number of tokens of its sequences."""

    kind: type
    settings: dict
    loss_terms: tuple
    num_tokens: tuple = NUM_TOKENS


NO_DROPOUT = {"dropout_rate": 0.0}
CLASSES = {"num_labels": NUM_LABELS, **NO_DROPOUT}
CROSS_ENTROPY = losses.CLASSIFIER_LOSS
HEADS = {
    "classifier": Head(heads.BertClassifier, CLASSES, CROSS_ENTROPY),
    "windows": Head(
        heads.BertClassifier,
        {**CLASSES, "hidden_units": 4},
        CROSS_ENTROPY,
        SEVERAL,
    ),
    "tags": Head(heads.BertTokenClassifier, CLASSES, losses.tagging_loss()),
    "relations": Head(heads.BertRelationClassifier, CLASSES, CROSS_ENTROPY),
    "choices": Head(
        heads.BertMultipleChoice, NO_DROPOUT, CROSS_ENTROPY, SEVERAL
    ),
    "pretraining": Head(heads.BertPretrainer, {}, losses.pretraining_loss()),
    # Its loss reads every place, so it is equal where all are tokens.
    "questions": Head(heads.BertSpanLabeler, {}, losses.span_loss(), FULL),
}


def batch_of(name):
    """Inputs and labels of a head; padding has ids, too."""
    num_tokens = np.array(HEADS[name].num_tokens)
    rng = np.random.default_rng(0)
    is_token = np.arange(LENGTH) < num_tokens[..., None]
    shape = is_token.shape
    size = (8, 2)
    places = rng.integers(0, np.maximum(NUM_TOKENS, 1)[:, None], size)
    labels = {
        "tags": rng.integers(0, NUM_LABELS, shape),
        "choices": 0 * IS_REAL,  # One that is there.
    }
    batch = {
        "input_ids": rng.integers(0, 20, shape),
        "input_mask": is_token,
        "segment_ids": rng.integers(0, 2, shape),
        "is_real_example": IS_REAL,
        "label_ids": labels.get(name, rng.integers(0, NUM_LABELS, 8)),
        "label_mask": (is_token.T * IS_REAL).T,
        "entity_positions": places,
        "masked_lm_positions": places,
        "masked_lm_ids": rng.integers(0, 20, size),
        "next_sentence_labels": rng.integers(0, 2, 8),
        "start_positions": rng.integers(0, LENGTH, 8),
        "end_positions": rng.integers(0, LENGTH, 8),
    }
    weights = tf.constant(IS_REAL[:, None] * [1, 0], keras.config.floatx())
    return {
        **{n: tf.constant(v, tf.int32) for n, v in batch.items()},
        "masked_lm_weights": weights,
    }


@contextlib.contextmanager
def numbers(floatx, policy=None):
    """Makes models of `floatx`, or of a policy, until the block ends."""
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy or floatx)
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


FROZEN = ("bert/embeddings/", "bert/encoder/layer_0/")


def make_trainer(name, frozen=False, config=CONFIG, **settings):
    head = HEADS[name]
    keras.utils.set_random_seed(1)
    model = head.kind(config, **head.settings)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
    if frozen:
        model.bert.embeddings.trainable = False
        model.bert.encoder.transformer_layers[0].trainable = False
    return training.Trainer(
        model, AdamWeightDecay(), lambda _: 1e-3, head.loss_terms, **settings
    )


def sums(trainer, batch, computes_padding, scale=1.0):
    """[losses, squares, *gradients] of a batch."""
    trainer.model.bert.compute_padding = computes_padding
    denominators = [term.denominator(batch) for term in trainer.loss_terms]
    found = trainer._sum_over_micro_batches(
        batch,
        tf.constant([1, 2]),
        denominators,
        tf.constant(scale, denominators[0].dtype),
    )
    return [value.numpy() / scale for value in found]


def assert_equal(ours, theirs, tolerance):
    assert np.any(theirs[0] > 1e-3) and len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        size = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * size)


TOLERANCES = {"float64": 1e-12, "float32": 1e-6}


@pytest.mark.parametrize(
    ("name", "floatx"),
    [
        pytest.param(name, floatx, marks=pytest.mark.slow)
        if floatx == "float32" and name != "classifier"
        else (name, floatx)
        for name in HEADS
        for floatx in TOLERANCES
    ],
)
def test_loss_and_gradients_are_those_with_padding(name, floatx):
    with numbers(floatx):
        trainer, batch = make_trainer(name), batch_of(name)
        assert needs_padding(trainer.model) == (name == "questions")
        with_padding = sums(trainer, batch, True)
        assert_equal(
            sums(trainer, batch, False), with_padding, TOLERANCES[floatx]
        )


@pytest.fixture(scope="module")
def with_padding():
    """[losses, squares, *gradients] of the classifier, in float64."""
    with numbers("float64"):
        return sums(make_trainer("classifier"), batch_of("classifier"), True)


@pytest.mark.parametrize(
    ("num_micro_batches", "recomputes"), [(1, True), (2, False), (4, True)]
)
def test_in_parts_and_recomputed(with_padding, num_micro_batches, recomputes):
    with numbers("float64"):
        trainer = make_trainer(
            "classifier", num_micro_batches=num_micro_batches
        )
        trainer.model.bert.encoder.recompute = recomputes
        found = sums(trainer, batch_of("classifier"), False)
    assert_equal(found, with_padding, 1e-12)


def test_frozen_layers(with_padding):
    with numbers("float64"):
        trainer = make_trainer("classifier", frozen=True)
        found = sums(trainer, batch_of("classifier"), False)
    is_trained = [
        not path.startswith(FROZEN)
        for path in (v.path for v in make_trainer("classifier").variables)
    ]
    losses, squares, *gradients = with_padding
    kept = [g for g, keep in zip(gradients, is_trained, strict=True) if keep]
    assert len(kept) < len(gradients)
    assert_equal(found, [losses, squares[is_trained], *kept], 1e-12)


def test_float16_and_a_loss_scale():
    with numbers("float32", "mixed_float16"):
        trainer = make_trainer("classifier")
        batch = batch_of("classifier")
        theirs = sums(trainer, batch, True, scale=2.0**7)
        ours = sums(trainer, batch, False, scale=2.0**7)
    assert_equal(ours, theirs, 1e-6)


WITH_DROPOUT = dataclasses.replace(
    TINY_CONFIG, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3
)


@pytest.mark.parametrize(
    ("computes_padding", "settings"),
    [
        (True, {}),
        (False, {"num_attention_heads": 1, "hidden_dropout_prob": 0.0}),
        (True, {"hidden_act": "gelu_exact", "layer_norm_eps": 0.01}),
        pytest.param(
            True,
            {"hidden_act": "relu", "attention_probs_dropout_prob": 0.0},
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.parametrize(
    "in_a_graph", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_written_out_gradients_are_those_that_tensorflow_derives(
    monkeypatch, computes_padding, settings, in_a_graph
):
    """Dropout draws the same masks in both; a graph's parts are compiled."""
    config = dataclasses.replace(WITH_DROPOUT, **settings)

    def compute():
        trainer, batch = (
            make_trainer("pretraining", config=config),
            batch_of("pretraining"),
        )
        trainer.model.bert.compute_padding = computes_padding
        forward_backward = trainer.forward_backward
        if in_a_graph:
            forward_backward = tf.function(forward_backward)
        # The squares are left out: they depend on which gradients are slices.
        shares, _, *gradients = forward_backward(
            batch,
            tf.constant([1, 2]),
            [term.denominator(batch) for term in trainer.loss_terms],
            tf.constant(1.0, tf.float64),
        )
        return [value.numpy() for value in (shares, *gradients)]

    def derived(forward, *inputs):
        calls.append(forward)
        return forward(*map(tf.convert_to_tensor, inputs))[0]

    with numbers("float64"):
        ours, calls = compute(), []
        for module in (activations, attention, dropout, layer_norm, places):
            monkeypatch.setattr(module, "with_gradient", derived)
        theirs = compute()
    assert calls
    assert_equal(ours, theirs, 1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_normalization_of_half_precision_has_the_digits_of_float32(dtype):
    """Where weights are of half precision, too."""
    half, exact = layer_norm.LayerNorm(dtype=dtype), layer_norm.LayerNorm()
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(30.0, 1.0, (5, 64)), dtype)
    upstream = tf.constant(rng.normal(size=(5, 64)), dtype)
    found = []
    for norm in (half, exact):
        norm.build((None, 64))
        wide = tf.cast(x, norm.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(wide)
            y = norm(wide, training=True)
        sources = [wide, norm.gamma.value, norm.beta.value]
        gradients = tape.gradient(
            y, sources, tf.cast(upstream, norm.compute_dtype)
        )
        assert [g.dtype for g in gradients] == [s.dtype for s in sources]
        found.append([tf.cast(value, "float32") for value in (y, *gradients)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3)
