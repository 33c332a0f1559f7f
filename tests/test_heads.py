"""Heads and losses of labelled texts, against their definitions."""

import numpy as np
import pytest
from support.common import TINY_CONFIG

from bert_tf import losses
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertTokenClassifier,
)
from bert_tf.pooling import NO_CHOICE

RNG = np.random.default_rng(3)
# Three examples of up to three sequences: the second has two, the third one.
LENGTHS = np.array([[6, 6, 3], [6, 2, 0], [4, 0, 0]])


def sequences(lengths=LENGTHS, length=6):
    """Features of any shape, with so many tokens in each sequence."""
    mask = (np.arange(length) < np.array(lengths)[..., None]).astype("int32")
    ids = RNG.integers(1, 20, mask.shape).astype("int32") * mask
    return {"input_ids": ids, "input_mask": mask, "segment_ids": 0 * mask}


def filled(model):
    """Random values where new weights would be zero or tiny."""
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) * 0.3)
    return model


def of_each(model, batch):
    """Logits of each sequence by itself, [B, N, C]."""
    columns = [
        model({name: x[:, i] for name, x in batch.items()})
        for i in range(batch["input_ids"].shape[1])
    ]
    return np.stack([np.array(x) for x in columns], axis=1)


@pytest.mark.parametrize("hidden_units", [None, 5])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_windows_are_pooled_and_empty_ones_are_none(pooling, hidden_units):
    model = filled(
        BertClassifier(
            TINY_CONFIG, 4, hidden_units=hidden_units, pooling=pooling
        )
    )
    batch = sequences()
    pool = {"mean": np.mean, "max": np.max}[pooling]
    expected = [
        pool(logits[: np.count_nonzero(lengths)], axis=0)
        for logits, lengths in zip(of_each(model, batch), LENGTHS, strict=True)
    ]
    np.testing.assert_allclose(model(batch), expected, atol=1e-5)
    # What only fills up the batch has no window at all, and a finite loss.
    empty = {name: 0 * x for name, x in batch.items()}
    assert np.isfinite(np.array(model(empty))).all()


def test_hidden_layer():
    model = filled(BertClassifier(TINY_CONFIG, 2, hidden_units=5))
    batch = sequences([6, 3])
    x = np.array(model.bert(batch)["pooled_output"])
    kernel, bias = (np.array(v) for v in model.hidden.variables)
    x = np.maximum(x @ kernel + bias, 0)
    x = x @ np.array(model.output_weights).T + np.array(model.output_bias)
    np.testing.assert_allclose(model(batch), x, atol=1e-5)
    paths = {variable.path for variable in model.variables}
    assert {"hidden/kernel", "hidden/bias", "output_weights"} <= paths
    with pytest.raises(ValueError, match="mean, max. Received: pooling=sum"):
        BertClassifier(TINY_CONFIG, 2, pooling="sum")


def test_token_classifier():
    model = filled(BertTokenClassifier(TINY_CONFIG, 3))
    batch = sequences([6, 3])
    x = np.array(model.bert(batch)["sequence_output"])
    x = x @ np.array(model.output_weights).T + np.array(model.output_bias)
    np.testing.assert_allclose(model(batch), x, atol=1e-5)


def test_multiple_choice():
    model = filled(BertMultipleChoice(TINY_CONFIG))
    batch = sequences()
    logits = np.array(model(batch))
    scorer = BertClassifier(TINY_CONFIG, 1)
    for target, source in zip(scorer.variables, model.variables, strict=True):
        target.assign(source)
    expected = of_each(scorer, batch)[..., 0]
    is_there = LENGTHS > 0
    np.testing.assert_allclose(logits[is_there], expected[is_there], atol=1e-5)
    assert (logits[~is_there] == NO_CHOICE).all()


@pytest.mark.parametrize(
    "model",
    [
        BertClassifier(TINY_CONFIG, 3, 0.2, hidden_units=4, pooling="max"),
        BertTokenClassifier(TINY_CONFIG, 3, 0.2),
        BertMultipleChoice(TINY_CONFIG, 0.2),
    ],
    ids=lambda model: model.name,
)
def test_configs_make_the_same_model(model):
    copy = type(model).from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    shapes = [(v.path, v.shape) for v in model.trainable_variables]
    assert [(v.path, v.shape) for v in copy.trainable_variables] == shapes


def value_of(terms, outputs, batch):
    (term,) = terms
    numerator = np.array(term.numerator(outputs, batch))
    return numerator / np.array(term.denominator(batch))


REAL = np.array([1, 1, 0])


def test_multi_label_loss():
    logits = RNG.normal(size=(3, 4)).astype("float32") * 5
    labels = RNG.integers(0, 2, (3, 4)).astype("int32")
    batch = {"label_ids": labels, "is_real_example": REAL}
    right = 1 / (1 + np.exp(-logits))
    each = -np.log(np.where(labels == 1, right, 1 - right))[:2].mean()
    found = value_of(losses.multi_label_loss(), logits, batch)
    np.testing.assert_allclose(found, each, rtol=1e-5)


def test_regression_loss():
    outputs = np.array([[1.0], [2.0], [9.0]], "float32")
    values = np.array([0.0, 4.0, 0.0], "float32")
    batch = {"label_values": values, "is_real_example": REAL}
    found = value_of(losses.regression_loss(), outputs, batch)
    np.testing.assert_allclose(found, (1 + 4) / 2)


def test_tagging_loss_counts_the_first_pieces():
    logits = RNG.normal(size=(2, 3, 4)).astype("float32")
    labels = np.array([[1, 0, 3], [2, 0, 0]], "int32")
    mask = np.array([[1, 0, 1], [1, 0, 0]], "int32")
    batch = {"label_ids": labels, "label_mask": mask}
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    each = [log_probs[0, 0, 1], log_probs[0, 2, 3], log_probs[1, 0, 2]]
    found = value_of(losses.tagging_loss(), logits, batch)
    np.testing.assert_allclose(found, -np.mean(each), rtol=1e-5)
