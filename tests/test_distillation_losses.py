"""The losses of a student, against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, rel_entr, softmax
from support.common import TINY_CONFIG

from bert_tf import distillation_losses, losses
from bert_tf.heads import BertClassifier
from bert_tf.modeling import layers_kept
from bert_tf.pooling import NO_CHOICE
from bert_tf.programs.teaching import Teacher, forward_with

RNG = np.random.default_rng(11)
IDS = {
    "input_ids": np.array([[2, 5, 6, 3], [2, 7, 3, 0], [2, 9, 4, 3]], "int32"),
    "input_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], "int32"),
    "segment_ids": np.zeros((3, 4), "int32"),
    "label_ids": np.array([0, 1, 1], "int32"),
    "is_real_example": np.array([1, 1, 0], "int32"),
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def value_of(terms, outputs, batch):
    """{name of a term: its value}."""
    batch = {name: tf.constant(value) for name, value in batch.items()}
    return {
        term.name: float(term.numerator(outputs, batch))
        / float(term.denominator(batch))
        for term in terms
    }


def plain_softmax(teacher, student, t):
    p, q = softmax(teacher / t, axis=-1), softmax(student / t, axis=-1)
    return t * t * rel_entr(p, q).sum(axis=-1)


def plain_sigmoid(teacher, student, t):
    p, q = expit(teacher / t), expit(student / t)
    each = rel_entr(p, q) + rel_entr(1 - p, 1 - q)
    return t * t * each.mean(axis=-1)


@pytest.mark.parametrize("t", [0.5, 1.0, 4.0])
def test_of_one_label_of_several_and_of_numbers(t):
    real = np.array([1, 0, 1, 1])
    for name, size, plain in (
        ("softmax_loss", 5, plain_softmax),
        ("sigmoid_loss", 3, plain_sigmoid),
        ("number_loss", 1, lambda a, b, t: (a - b)[:, 0] ** 2),
    ):
        teacher, student = 3 * RNG.normal(size=(2, 4, size))
        terms = getattr(distillation_losses, name)(t)
        batch = {"teacher_logits": teacher, "is_real_example": real}
        found = value_of(terms, tf.constant(student), batch)
        expected = plain(teacher, student, t)[real > 0].mean()
        assert found == {"loss": pytest.approx(expected, abs=1e-6)}


def test_of_endings_that_are_not_there():
    teacher, student = RNG.normal(size=(2, 2, 3)).astype(np.float32)
    teacher[1, 2] = student[1, 2] = NO_CHOICE
    batch = {"teacher_logits": teacher, "is_real_example": np.ones(2, int)}
    terms = distillation_losses.softmax_loss(2.0)
    each = [
        plain_softmax(teacher[0], student[0], 2.0),
        plain_softmax(teacher[1, :2], student[1, :2], 2.0),
    ]
    found = value_of(terms, tf.constant(student), batch)
    assert found["loss"] == pytest.approx(np.mean(each), abs=1e-6)


def test_of_tags_and_of_questions():
    teacher, student = RNG.normal(size=(2, 2, 6, 4))
    mask = RNG.integers(0, 2, (2, 6))
    batch = {"teacher_logits": teacher, "label_mask": mask}
    terms = distillation_losses.tags_loss(3.0)
    expected = plain_softmax(teacher, student, 3.0)[mask > 0].mean()
    found = value_of(terms, tf.constant(student), batch)
    assert found["loss"] == pytest.approx(expected, abs=1e-6)

    names = ("start_logits", "end_logits")
    of_teacher, own = RNG.normal(size=(2, 2, 3, 7))
    batch = {f"teacher_{n}": x for n, x in zip(names, of_teacher, strict=True)}
    batch["is_real_example"] = real = np.array([1, 1, 0])
    expected = plain_softmax(of_teacher, own, 3.0).mean(axis=0)[real > 0].mean()
    outputs = dict(zip(names, map(tf.constant, own), strict=True))
    found = value_of(distillation_losses.span_loss(3.0), outputs, batch)
    assert found["loss"] == pytest.approx(expected, abs=1e-6)


def test_texts_without_labels_count_in_the_teachers_term_alone():
    teacher, student = RNG.normal(size=(2, 4, 3))
    batch = {
        "label_ids": np.array([2, 0, 0, 1]),
        "is_real_example": np.array([1, 1, 1, 0]),
        "is_labelled": np.array([1, 0, 1, 1]),
        "teacher_logits": teacher,
    }
    own = losses.classifier_loss([1.0, 2.0, 3.0], 0.1)
    terms = distillation_losses.distilled(
        own, distillation_losses.softmax_loss(2.0), 0.75
    )
    found = value_of(terms, tf.constant(student), batch)
    labelled = {
        name: value[[0, 2]]
        for name, value in batch.items()
        if name != "is_labelled"
    }
    labels = value_of(own, tf.constant(student[[0, 2]]), labelled)["loss"]
    each = plain_softmax(teacher, student, 2.0)[:3].mean()
    assert found == {
        "labels_loss": pytest.approx(0.25 * labels, abs=1e-6),
        "teacher_loss": pytest.approx(0.75 * each, abs=1e-6),
    }
    # A batch without any label has no share in the labels' term.
    batch["is_labelled"][:] = 0
    assert float(terms[0].numerator(tf.constant(student), batch)) == 0.0


def test_terms_without_a_share_are_left_out():
    own, other = losses.CLASSIFIER_LOSS, distillation_losses.softmax_loss(1.0)
    names = [
        [t.name for t in distillation_losses.distilled(own, other, weight, n)]
        for weight, n in ((0.0, 1), (1.0, 0), (0.5, 2))
    ]
    assert names == [
        ["labels_loss", "layers_loss"],
        ["teacher_loss"],
        ["labels_loss", "teacher_loss", "layers_loss"],
    ]


def test_half_precision_and_large_logits_stay_finite():
    teacher = np.array([[80.0, -80.0, 0.0]])
    for function in (
        distillation_losses.softmax_divergence,
        distillation_losses.sigmoid_divergence,
    ):
        found = function(
            tf.constant(teacher, tf.float16),
            tf.constant(-teacher, tf.float16),
            1.0,
        )
        assert found.dtype == tf.float32 and np.isfinite(found).all()
        assert float(function(teacher, teacher, 2.0)[0]) == 0.0


# ---------------------------------------------------------------------------
# Models.


@pytest.fixture(scope="module")
def model():
    config = TINY_CONFIG.__class__(**{**vars(TINY_CONFIG), **NO_DROPOUT})
    return BertClassifier(config, 3, dropout_rate=0.0)


@pytest.mark.parametrize("compute_padding", [True, False])
def test_kept_layers_are_those_of_the_encoder(model, compute_padding):
    batch = {name: tf.constant(value) for name, value in IDS.items()}
    expected, states = model(batch), model.bert(batch)["all_encoder_layers"]
    model.bert.compute_padding = compute_padding
    try:
        with layers_kept(model) as kept:
            logits = model(batch)
    finally:
        model.bert.compute_padding = True
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    (encoded,) = kept
    mask = IDS["input_mask"][..., None]
    for rows, state in zip(encoded.all_rows, states, strict=True):
        found = encoded.places.sequences(rows)
        np.testing.assert_allclose(found * mask, state * mask, atol=1e-6)
    assert model.bert.keep is None


def test_a_student_like_its_teacher_learns_nothing(model):
    teacher = Teacher(model, lambda x: {"teacher_logits": x}, ((0, 0), (1, -1)))
    batch = {name: tf.constant(value) for name, value in IDS.items()}
    batch |= teacher(batch)
    terms = distillation_losses.distilled(
        (), distillation_losses.softmax_loss(2.0), 1.0, 2
    )
    forward = forward_with(model, [0, -1])
    seed = tf.constant([1, 2])
    with tf.GradientTape() as tape:
        outputs = forward(batch, seed=seed)
        loss = tf.add_n([term.numerator(outputs, batch) for term in terms])
    gradients = tape.gradient(loss, [v.value for v in model.variables])
    for gradient in gradients:
        if gradient is not None:
            assert np.abs(tf.convert_to_tensor(gradient)).max() < 1e-6
    # And from another layer it does: the mean over tokens, of all places.
    batch["teacher_layer_0"] = batch["teacher_layer_1"]
    states = model.bert(batch)["all_encoder_layers"]
    error = np.square(states[0] - states[1]).mean(axis=-1)
    expected = error[IDS["input_mask"] > 0].mean()
    (_, layers) = terms
    found = value_of([layers], outputs, batch)["layers_loss"]
    assert found == pytest.approx(expected, rel=1e-5)
