"""Learning rate, optimizer and training step against the original's traces."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import GOLDEN, TINY_CONFIG, read_json, read_npz

from bert_tf import BertConfig, training
from bert_tf.heads import BertClassifier
from bert_tf.losses import CLASSIFIER_LOSS, classifier_loss
from bert_tf.optimization import (
    AdamWeightDecay,
    Lamb,
    WarmupLinearDecay,
    clip_factor,
    layer_rates,
)
from bert_tf.training.trainer import gradient_norm
from bert_tf.training.updating import Update

FOLDER = GOLDEN / "optimization"
TRACE = read_json(FOLDER / "classifier_trace.json")
SCHEDULES = read_json(FOLDER / "lr_schedules.json")


@pytest.mark.parametrize("golden", SCHEDULES, ids=range(len(SCHEDULES)))
def test_learning_rate_is_the_originals(golden):
    schedule = WarmupLinearDecay(
        golden["init_lr"], golden["num_train_steps"], golden["num_warmup_steps"]
    )
    rates = [float(schedule(step)) for step in golden["global_step"]]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-5, atol=1e-12)


def make_trainer():
    config = BertConfig.from_json_file(str(FOLDER / "bert_config.json"))
    initial = read_npz(FOLDER / "init.npz")
    model = BertClassifier(
        config, initial["output_bias"].shape[0], dropout_rate=0.0
    )
    for variable in model.trainable_variables:
        variable.assign(initial[variable.path])
    settings = SCHEDULES[0]
    schedule = WarmupLinearDecay(
        settings["init_lr"],
        settings["num_train_steps"],
        settings["num_warmup_steps"],
    )
    return training.Trainer(model, AdamWeightDecay(), schedule, CLASSIFIER_LOSS)


def golden_batches():
    batches = read_npz(FOLDER / "batches.npz")
    batches["is_real_example"] = np.ones_like(batches["label_ids"])
    for step in range(len(TRACE["trace"])):
        yield {k: tf.constant(v[step], tf.int32) for k, v in batches.items()}


def run(trainer):
    step = tf.function(trainer.replica_step)
    trace = []
    for batch in golden_batches():
        metrics = trainer.strategy.run(step, args=(batch,))
        metrics.pop("losses")  # The same as the loss: there is one term.
        trace.append({name: float(value) for name, value in metrics.items()})
    return trace


def test_thirty_steps_are_the_originals():
    trainer = make_trainer()
    trace, golden = run(trainer), TRACE["trace"]

    def column(rows, name):
        return [row[name] for row in rows]

    for ours, theirs in (
        ("learning_rate", "lr"),
        ("loss", "loss"),
        ("gradient_norm", "global_norm_used_for_clipping"),
    ):
        np.testing.assert_allclose(
            column(trace, ours),
            column(golden, theirs),
            rtol=1e-4,
            atol=1e-9,
            err_msg=ours,
        )
    final = read_npz(FOLDER / "classifier_final.npz")
    for variable in trainer.variables:
        np.testing.assert_allclose(
            variable.numpy(), final[variable.path], atol=1e-4, rtol=0
        )
    tensors = trainer.tensors()
    for name, golden_moment in TRACE["final_adam"].items():
        if "key/bias" not in name:  # Zero but for rounding: softmax ignores it.
            length = np.linalg.norm(tensors[name].numpy())
            np.testing.assert_allclose(
                length, golden_moment["l2"], rtol=1e-3, err_msg=name
            )


def test_decay_applies_to_the_originals_variables():
    trainer = make_trainer()
    decayed = {v.path for v in trainer.variables if trainer.optimizer.decays(v)}
    assert decayed == set(TRACE["weight_decay_applies_to"])


def adam_update(gradient, weight, rate):
    """The first step of Adam without bias correction, with decay."""
    m, v = 0.1 * gradient, 0.001 * gradient**2
    return m / (np.sqrt(v) + 1e-6) + rate * weight


def test_lamb_steps_are_proportional_to_the_weights():
    rng = np.random.default_rng(0)
    kernel, bias, zero = rng.normal(size=(3, 4)), rng.normal(size=4), [0.0, 0.0]
    gradients = [rng.normal(size=(3, 4)), rng.normal(size=4), np.ones(2)]
    variables = [
        keras.Variable(value, dtype="float32", name=name)
        for value, name in ((kernel, "kernel"), (bias, "bias"), (zero, "new"))
    ]
    optimizer = Lamb()
    optimizer.build(variables)
    for gradient, variable in zip(gradients, variables, strict=True):
        optimizer.update_step(
            tf.constant(gradient, tf.float32), variable, tf.constant(0.1)
        )
    update = adam_update(gradients[0], kernel, 0.01)
    ratio = np.linalg.norm(kernel) / np.linalg.norm(update)
    expected = [
        kernel - 0.1 * ratio * update,
        bias - 0.1 * adam_update(gradients[1], bias, 0.0),
        -0.1 * adam_update(np.ones(2), 0.0, 0.01),  # No length.
    ]
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5)


def written_out(kind, weight, m, v, gradient, rate, is_decayed, number=None):
    """The formulas of the optimizers' docstrings, in float64."""
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    mean, square = m, v
    if number is not None:
        mean, square = m / (1 - 0.9**number), v / (1 - 0.999**number)
    update = mean / (np.sqrt(square) + 1e-6)
    if is_decayed:
        update = update + 0.01 * weight
        length = np.linalg.norm(update)
        if kind is Lamb and length > 0:
            update = update * np.linalg.norm(weight) / length
    return weight - rate * update, m, v


# {path: (shape, whether it is decayed, factor of its rate)}
UPDATED = {
    "bert/embeddings/word_embeddings": ((7, 4), True, 0.25),
    "bert/embeddings/LayerNorm/beta": ((4,), False, 0.25),
    "bert/encoder/layer_0/output/dense/kernel": ((5, 4), True, 0.5),
    "bert/encoder/layer_0/output/dense/bias": ((4,), False, 0.5),
    "bert/encoder/layer_1/output/dense/kernel": ((5, 4), True, 1.0),
    "bert/encoder/layer_1/output/dense/bias": ((4,), False, 1.0),
    "output_weights": ((2, 4), True, 1.0),
}


def variable_of(path, value):
    *scopes, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope))
        return keras.Variable(value, dtype="float32", name=name)


@pytest.mark.parametrize("corrects", [False, True])
@pytest.mark.parametrize("kind", [AdamWeightDecay, Lamb])
def test_the_update_is_the_formula(kind, corrects):
    """In steps of a training, and in those of `fit` with slices."""
    rng = np.random.default_rng(0)
    shapes, decayed, factors = zip(*UPDATED.values(), strict=True)
    values = [[0.3 * rng.normal(size=s), 0.0, 0.0] for s in shapes]
    variables = [
        variable_of(path, weight)
        for path, (weight, _, _) in zip(UPDATED, values, strict=True)
    ]
    assert [v.path for v in variables] == [*UPDATED]
    optimizer = kind(bias_correction=corrects)
    assert kind.from_config(optimizer.get_config()).bias_correction == corrects
    optimizer.build(variables)
    update = Update(optimizer, variables, factors, tf.distribute.get_strategy())
    for step in range(3):
        rate, clip = 1e-3 * (step + 1), 0.7 - 0.1 * step
        gradients = [rng.normal(size=shape) for shape in shapes]
        dense = [tf.constant(g, tf.float32) for g in gradients]
        number = tf.constant(step + 1.0) if corrects else None
        update(dense, tf.constant(clip), tf.constant(rate), number)
        for index, gradient in enumerate(gradients):
            values[index] = written_out(
                kind,
                *values[index],
                clip * gradient,
                rate * factors[index],
                decayed[index],
                step + 1 if corrects else None,
            )
    # A word of the table that occurs twice, and words that do not occur.
    places, slices = [3, 0, 3], rng.normal(size=(3, 4))
    gradient = np.zeros((7, 4))
    np.add.at(gradient, places, slices)
    optimizer.iterations.assign(3)  # `fit` counts here.
    optimizer.update_step(
        tf.IndexedSlices(tf.constant(slices, tf.float32), places, [7, 4]),
        variables[0],
        tf.constant(1e-3),
    )
    number = 4 if corrects else None
    values[0] = written_out(kind, *values[0], gradient, 1e-3, True, number)
    for index, expected in enumerate(values):
        moments = [slots[index] for slots in optimizer.slots.values()]
        for ours, value in zip(
            [variables[index], *moments], expected, strict=True
        ):
            np.testing.assert_allclose(ours.numpy(), value, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_rates_fall_from_layer_to_layer():
    model = BertClassifier(TINY_CONFIG, 2)  # It has two layers.
    rates = layer_rates(model.trainable_variables, 0.5, 2)
    by_part = {
        "bert/embeddings/word_embeddings": 0.125,
        "bert/embeddings/LayerNorm/beta": 0.125,
        "bert/encoder/layer_0/output/dense/bias": 0.25,
        "bert/encoder/layer_1/attention/self/key/kernel": 0.5,
        "bert/pooler/dense/kernel": 1.0,
        "output_weights": 1.0,
    }
    paths = [variable.path for variable in model.trainable_variables]
    for path, rate in by_part.items():
        assert rates[paths.index(path)] == rate
    assert set(rates) == set(by_part.values())
    # The trainer moves each variable by its rate.
    variables = model.trainable_variables
    factors = [0.0 if "layer_0" in path else 1.0 for path in paths]
    before = [variable.numpy() for variable in variables]
    trainer = training.Trainer(
        model,
        AdamWeightDecay(),
        lambda step: 1e-3,
        CLASSIFIER_LOSS,
        rate_factors=factors,
    )
    ids = np.ones((2, 6), "int32")
    batch = {
        "input_ids": tf.constant(ids),
        "label_ids": tf.constant([0, 1]),
        "is_real_example": tf.ones(2, tf.int32),
    }
    trainer.strategy.run(tf.function(trainer.replica_step), args=(batch,))
    for variable, value, factor in zip(variables, before, factors, strict=True):
        moved = np.abs(variable.numpy() - value).max()
        assert (moved > 0) == (factor > 0), variable.path


def test_classifier_loss_with_weights_and_smoothing():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 3)), np.array([0, 1, 2, 1, 0])
    real, weights = np.array([1, 1, 1, 1, 0]), np.array([1.0, 2.0, 0.5])
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = np.eye(3)[labels] * 0.7 + 0.3 / 3
    losses = -(target * np.log(probs)).sum(axis=1)
    per_example = weights[labels] * real
    (term,) = classifier_loss(weights.tolist(), label_smoothing=0.3)
    batch = {
        "label_ids": tf.constant(labels, tf.int32),
        "is_real_example": tf.constant(real, tf.int32),
    }
    total = float(term.numerator(tf.constant(logits, tf.float32), batch))
    np.testing.assert_allclose(total, (losses * per_example).sum(), rtol=1e-5)
    assert float(term.denominator(batch)) == per_example.sum() == 5.5


def test_clip_factor_leaves_short_gradients_alone():
    assert float(clip_factor(tf.constant(0.5), 1.0)) == 1.0
    np.testing.assert_allclose(float(clip_factor(tf.constant(4.0), 1.0)), 0.25)


def test_norm_counts_slices_as_the_original():
    gradients = [tf.constant([3.0, 0.0]), tf.constant([4.0])]
    squares = tf.constant([9.0 + 11.0, 0.0])
    assert float(gradient_norm(gradients, squares, ())) == 5.0
    assert float(gradient_norm(gradients, squares, {0})) == 6.0


@pytest.mark.slow
def test_fit_makes_the_same_update():
    """`compile` and `fit` work with our optimizer, for notebooks."""
    keras.utils.set_random_seed(1)
    model = BertClassifier(
        BertConfig(
            **{
                **TINY_CONFIG.to_dict(),
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            }
        ),
        2,
        dropout_rate=0.0,
    )
    initial = model.get_weights()
    ids = np.random.default_rng(0).integers(0, 20, (8, 6)).astype("int32")
    labels = (ids[:, 0] > 9).astype("int32")
    model.compile(
        AdamWeightDecay(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit({"input_ids": ids}, labels, batch_size=8, epochs=1, verbose=0)
    fitted = model.get_weights()

    model.set_weights(initial)
    trainer = training.Trainer(
        model,
        AdamWeightDecay(),
        lambda step: 1e-3,
        CLASSIFIER_LOSS,
        clip_norm=1e9,
    )
    batch = {
        "input_ids": tf.constant(ids),
        "label_ids": tf.constant(labels),
        "is_real_example": tf.ones(8, tf.int32),
    }
    trainer.strategy.run(tf.function(trainer.replica_step), args=(batch,))
    for variable, expected in zip(model.weights, fitted, strict=True):
        if not variable.path.endswith("key/bias"):
            np.testing.assert_allclose(variable.numpy(), expected, atol=1e-6)
