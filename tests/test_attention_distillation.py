"""Relations of a teacher: the formula, what does not count, and a step."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import numpy_bert
from support.common import TINY_CONFIG

from bert_tf import training
from bert_tf.attention_distillation import (
    RelationStudent,
    RelationTeacher,
    relation_divergence,
    relation_loss,
    relation_sums,
)
from bert_tf.choices import TEACHER_RELATIONS
from bert_tf.optimization import AdamWeightDecay

STUDENT = dataclasses.replace(
    TINY_CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
# Wider, deeper, with another number of heads.
TEACHER = dataclasses.replace(
    STUDENT, hidden_size=12, num_hidden_layers=3, num_attention_heads=3
)
LENGTH, HEADS = 7, 4
NUM_TOKENS = np.array([7, 3, 0, 4])
IS_REAL = np.array([1, 1, 0, 1])


@pytest.fixture(autouse=True)
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def make(kind, config, seed, **settings):
    """A model with weights that are not small."""
    keras.utils.set_random_seed(seed)
    model = kind(config, **settings)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(weight + 0.5 * rng.normal(size=weight.shape))
    return model


def make_batch(length=LENGTH):
    """Four examples, padded to a length; padding has ids, too."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (4, 2 * LENGTH))[:, :length]
    segments = rng.integers(0, 2, (4, 2 * LENGTH))[:, :length]
    places = np.array([[1, 2], [0, 2], [0, 0], [3, 1]])
    batch = {
        "input_ids": ids,
        "input_mask": np.arange(length) < NUM_TOKENS[:, None],
        "segment_ids": segments,
        "is_real_example": IS_REAL,
        "masked_lm_positions": places,
        "masked_lm_ids": rng.integers(0, 20, (4, 2)),
        "next_sentence_labels": rng.integers(0, 2, 4),
    }
    weights = tf.constant(IS_REAL[:, None] * [1.0, 0.5])
    return {
        **{name: tf.constant(x, tf.int32) for name, x in batch.items()},
        "masked_lm_weights": weights,
    }


def plain_projections(model, layer, batch):
    """Q, K and V of a layer, [B, S, D], by the second witness."""
    variables = {v.path: np.float64(v) for v in model.bert.weights}
    config = {**model.config.to_dict(), "hidden_act": "gelu"}
    inputs = [batch[n].numpy() for n in ("input_ids", "input_mask")]
    found = numpy_bert.bert(
        config, variables, *inputs, batch["segment_ids"].numpy()
    )
    rows = [found["embedding_output"], *found["all_encoder_layers"]][layer]
    scope = f"bert/encoder/layer_{layer}/attention/self/"
    return {
        name[0]: numpy_bert.dense(variables, scope + name, rows)
        for name in ("query", "key", "value")
    }


def plain_relation(parts, relation, example, head, num_heads):
    """softmax(X Y^T / sqrt(H)) of an example's tokens in a head."""
    x, y = (
        np.split(parts[n][example, : NUM_TOKENS[example]], num_heads, axis=-1)
        for n in relation
    )
    scores = x[head] @ y[head].T / np.sqrt(x[head].shape[-1])
    return numpy_bert.softmax(scores)


def plain_loss(teacher, student, relation, num_heads):
    """Mean of KL(teacher, student) over heads and tokens."""
    divergences = []
    for example in np.flatnonzero(IS_REAL):
        for head in range(num_heads):
            p, q = (
                plain_relation(parts, relation, example, head, num_heads)
                for parts in (teacher, student)
            )
            divergences += [*np.sum(p * np.log(p / q), axis=-1)]
    return np.mean(divergences)


@pytest.mark.parametrize(
    ("layer", "num_heads"),
    [(-1, HEADS), pytest.param(0, 2, marks=pytest.mark.slow)],
)
def test_the_loss_is_that_of_the_papers(layer, num_heads):
    teacher = make(RelationTeacher, TEACHER, 1, layer=layer)
    student = make(RelationStudent, STUDENT, 2)
    batch = make_batch()
    theirs = plain_projections(teacher, layer % 3, batch)
    ours = plain_projections(student, 1, batch)
    whole = {**batch, **teacher(batch)}
    outputs = student(batch)
    terms = relation_loss([*TEACHER_RELATIONS], num_heads)
    assert [term.name for term in terms] == [*TEACHER_RELATIONS.values()]
    for relation, term in zip(TEACHER_RELATIONS, terms, strict=True):
        found = term.numerator(outputs, whole) / term.denominator(batch)
        expected = plain_loss(theirs, ours, relation, num_heads)
        assert expected > 0.01
        # TensorFlow rounds a constant of gelu to float32.
        assert float(found) == pytest.approx(expected, abs=1e-8)


def test_it_is_right_in_float32():
    rng = np.random.default_rng(3)
    sizes = (12, 12, 8, 8)
    parts = [rng.normal(size=(4, LENGTH, size)) for size in sizes]
    mask = make_batch()["input_mask"]
    found = []
    for dtype in ("float32", "float64"):
        x = [tf.constant(part, dtype) for part in parts]
        found.append(relation_divergence(x[:2], x[2:], mask, HEADS))
    assert found[0].dtype == "float32"
    np.testing.assert_allclose(*found, atol=1e-6, rtol=1e-6)


def test_nothing_is_left_to_learn_from_oneself():
    student = make(RelationStudent, STUDENT, 2)
    teacher = RelationTeacher(STUDENT)
    for ours, theirs in zip(
        teacher.bert.weights, student.bert.weights, strict=True
    ):
        ours.assign(theirs)
    batch = make_batch()
    whole = {**batch, **teacher(batch)}
    sums = relation_sums(student(batch), whole, [*TEACHER_RELATIONS], HEADS)
    np.testing.assert_array_equal(sums.pop("num_tokens"), NUM_TOKENS * IS_REAL)
    for name, values in sums.items():
        np.testing.assert_allclose(values, 0.0, atol=1e-12, err_msg=name)


def sums_of(trainer, batch):
    """[losses, squares, *gradients] of a batch."""
    denominators = [term.denominator(batch) for term in trainer.loss_terms]
    found = trainer._sum_over_micro_batches(
        batch,
        tf.constant([1, 2]),
        denominators,
        tf.constant(1.0, denominators[0].dtype),
    )
    return [np.array(value) for value in found]


def make_trainer(has_answers=False, **settings):
    """A trainer of the last layer's qq and vv."""
    teacher = make(RelationTeacher, TEACHER, 1)
    student = make(RelationStudent, STUDENT, 2, has_answers=has_answers)
    trainer = training.Trainer(
        student,
        AdamWeightDecay(),
        lambda _: 1e-3,
        relation_loss(["qq", "vv"], HEADS, 0.5 * has_answers),
        teacher=teacher,
        **settings,
    )
    return trainer, teacher


@functools.cache
def of_whole_batch(has_answers):
    """[losses, squares, *gradients], with the masked LM's or without."""
    return sums_of(make_trainer(has_answers)[0], make_batch())


def packed(batch):
    """Two sequences of all examples."""
    places = {"packed_row": [0, 1, 0, 1], "packed_offset": [0, 0, 0, 3]}
    places = {n: tf.constant(v, tf.int32) for n, v in places.items()}
    return {**batch, **places}


SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("what", "has_answers"),
    [
        ("more padding", False),
        SLOW("no padding", False),
        ("packed", False),
        SLOW("parts", False),
        SLOW("recomputed", False),
        SLOW("parts", True),
        SLOW("packed", True),
    ],
)
def test_how_a_batch_is_computed_changes_nothing(what, has_answers):
    batch = make_batch(LENGTH + 3 * (what == "more padding"))
    trainer, teacher = make_trainer(
        has_answers, num_micro_batches=2 if what == "parts" else 1
    )
    bert = trainer.model.bert
    bert.encoder.recompute = what == "recomputed"
    bert.compute_padding = what != "no padding"
    if what == "packed":
        batch, bert.packed_rows = packed(batch), 2
    teacher.read_as(trainer.model)
    found = sums_of(trainer, batch)
    for ours, theirs in zip(found, of_whole_batch(has_answers), strict=True):
        if what == "packed" and ours.shape == found[1].shape:
            continue  # Squares of slices, which differ.
        np.testing.assert_allclose(ours, theirs, atol=1e-11, rtol=1e-11)


def test_what_no_relation_depends_on_is_not_trained():
    trainer, teacher = make_trainer()
    names = [variable.path for variable in trainer.variables]
    last = "bert/encoder/layer_1/"
    of_last = {n.removeprefix(last) for n in names if n.startswith(last)}
    assert {n.split("/")[0] for n in names} == {"bert"}
    assert {name.split("/")[1] for name in of_last} == {"self"}
    assert not [name for name in names if "pooler" in name]
    gradients = of_whole_batch(False)[2:]
    for name, gradient in zip(names, gradients, strict=True):
        # No relation of the keys is learned here.
        is_zero = name.startswith(f"{last}attention/self/key")
        is_zero |= name.endswith("key/bias")  # Softmax ignores it.
        assert np.any(np.abs(gradient) > 1e-9) != is_zero, name
    assert not {id(v) for v in teacher.weights} & {
        id(v) for v in trainer.model.weights
    }
    assert not teacher.trainable_variables
