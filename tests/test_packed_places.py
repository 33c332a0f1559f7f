"""Examples that share sequences: the same loss and gradients as alone."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import TINY_CONFIG

from bert_tf import losses
from bert_tf.heads import (
    BertClassifier,
    BertPretrainer,
    BertRelationClassifier,
    BertSpanLabeler,
    BertTokenClassifier,
)

CONFIG = dataclasses.replace(
    TINY_CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
LENGTH, NUM_ROWS = 12, 3
# The last one fills up the batch.
LENGTHS = np.array([5, 12, 4, 3, 7, 2, 0])
ROWS = np.array([0, 1, 0, 0, 2, 2, 0], "int32")
OFFSETS = np.array([0, 0, 5, 9, 2, 0, 0], "int32")
IS_REAL = (LENGTHS > 0).astype("int32")


def features():
    rng = np.random.default_rng(5)
    number = len(LENGTHS)
    mask = (np.arange(LENGTH) < LENGTHS[:, np.newaxis]).astype("int32")

    def places(*shape):
        """Places of tokens; 0 where there is none."""
        chosen = rng.integers(0, 100, (number, *shape))
        last = np.maximum(LENGTHS, 1).reshape(-1, *[1] * len(shape))
        return (chosen % last).astype("int32")

    return {
        "input_ids": rng.integers(1, 20, mask.shape).astype("int32") * mask,
        "input_mask": mask,
        "segment_ids": rng.integers(0, 2, mask.shape).astype("int32") * mask,
        "is_real_example": IS_REAL,
        "label_mask": rng.integers(0, 2, mask.shape).astype("int32") * mask,
        "tags": rng.integers(0, 3, mask.shape).astype("int32") * mask,
        "label_ids": rng.integers(0, 3, number).astype("int32"),
        "start_positions": places(),
        "end_positions": places(),
        "entity_positions": places(2),
        "masked_lm_positions": places(4),
        "masked_lm_ids": rng.integers(0, 20, (number, 4)).astype("int32"),
        "masked_lm_weights": np.float32(
            rng.integers(0, 2, (number, 4)) * IS_REAL[:, np.newaxis]
        ),
        "next_sentence_labels": rng.integers(0, 2, number).astype("int32"),
    }


BATCH = features()
# {kind: (model, terms of its loss)}.
KINDS = {
    "classifier": (
        lambda: BertClassifier(CONFIG, 3, dropout_rate=0.0),
        losses.classifier_loss([1.0, 2.0, 0.5]),
    ),
    "tags": (
        lambda: BertTokenClassifier(CONFIG, 3, dropout_rate=0.0),
        losses.tagging_loss(label_smoothing=0.1),
    ),
    "relations": (
        lambda: BertRelationClassifier(CONFIG, 3, dropout_rate=0.0),
        losses.classifier_loss(),
    ),
    "questions": (lambda: BertSpanLabeler(CONFIG), losses.span_loss()),
    "pretraining": (lambda: BertPretrainer(CONFIG), losses.pretraining_loss()),
}


def batch_of(kind):
    batch = dict(BATCH)
    tags = batch.pop("tags")
    return {**batch, "label_ids": tags} if kind == "tags" else batch


def loss_and_gradients(model, terms, parts, whole):
    """Of the examples in `parts`, as shares of the loss of all."""
    with tf.GradientTape() as tape:
        loss = tf.zeros([])
        for part in parts:
            outputs = model(part, training=True, seed=tf.constant([1, 2]))
            for term in terms:
                loss += term.numerator(outputs, part) / term.denominator(whole)
    return loss, tape.gradient(
        loss,
        [v.value for v in model.trainable_variables],
        unconnected_gradients="zero",
    )


@pytest.fixture(
    params=[
        name
        if name in ("classifier", "pretraining")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in KINDS
    ],
    scope="module",
)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    keras.utils.set_random_seed(4)
    model = KINDS[kind][0]()
    rng = np.random.default_rng(6)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    model.bert.packed_rows = NUM_ROWS
    return model


@pytest.fixture(scope="module")
def alone(kind, model):
    """Loss and gradients with each example at its own length."""
    batch, parts = batch_of(kind), []
    for place in np.flatnonzero(IS_REAL):
        end = LENGTHS[place]
        part = {n: x[place : place + 1] for n, x in batch.items()}
        parts.append(
            {
                n: x[:, :end] if x.shape[1:] == (LENGTH,) else x
                for n, x in part.items()
            }
        )
    return loss_and_gradients(model, KINDS[kind][1], parts, batch)


@pytest.mark.parametrize(
    "recompute, jit_compile",
    [
        (False, False),
        pytest.param(True, True, marks=pytest.mark.slow),
    ],
)
def test_packed_is_as_alone(kind, model, alone, recompute, jit_compile):
    packed = {**batch_of(kind), "packed_row": ROWS, "packed_offset": OFFSETS}
    packed = {name: tf.constant(x) for name, x in packed.items()}
    model.bert.encoder.recompute = recompute
    compute = tf.function(
        lambda batch: loss_and_gradients(model, KINDS[kind][1], [batch], batch),
        jit_compile=jit_compile,
    )
    loss, gradients = compute(packed)
    np.testing.assert_allclose(loss, alone[0], atol=1e-5, rtol=1e-5)
    names = [variable.path for variable in model.trainable_variables]
    for name, ours, theirs in zip(names, gradients, alone[1], strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(ours),
            tf.convert_to_tensor(theirs),
            atol=1e-5,
            rtol=1e-5,
            err_msg=name,
        )
        # The gradients' norm takes slices one by one.
        kinds = [isinstance(x, tf.IndexedSlices) for x in (ours, theirs)]
        assert kinds[0] == kinds[1], name
