"""What a task reports, on numbers small enough to check by hand."""

import numpy as np
import pytest

from bert_tf import metrics
from bert_tf.tasks import TASKS, get_task


def batch(labels, real=None):
    labels = np.array(labels)
    real = np.ones_like(labels) if real is None else np.array(real)
    return {"label_ids": labels, "is_real_example": real}


def test_evaluation_weighs_examples_and_batches_apart():
    """eval_loss is the mean over examples, loss that over batches."""
    certain, wrong = np.array([[50.0, 0.0]]), np.array([[0.0, 2.0]])
    batches = [
        (np.repeat(certain, 3, axis=0), batch([0, 0, 0])),
        (wrong, batch([0])),
    ]
    results, extra = get_task("mrpc").evaluate(batches)
    one = np.log1p(np.exp(2.0))  # -log softmax of the wrong answer
    assert results["eval_accuracy"] == np.float32(0.75)
    np.testing.assert_allclose(results["eval_loss"], one / 4, rtol=1e-6)
    np.testing.assert_allclose(results["loss"], one / 2, rtol=1e-6)
    assert extra == {"f1": 0.0}


def test_padding_examples_count_nowhere():
    logits = np.array([[0.0, 9.0], [9.0, 0.0]])
    plain = get_task("cola").evaluate([(logits[:1], batch([1]))])
    padded = get_task("cola").evaluate(
        [(logits, batch([1, 1], [1, 0])), (logits, batch([0, 0], [0, 0]))]
    )
    assert plain == padded
    rows = list(
        get_task("cola").probabilities([(logits, batch([1, 1], [0, 1]))])
    )
    assert len(rows) == 1 and rows[0].dtype == np.float32
    assert rows[0].argmax() == 0 and abs(rows[0].sum() - 1) < 1e-6


def test_extreme_logits_stay_finite():
    results, _ = get_task("sst-2").evaluate(
        [(np.array([[1e4, -1e4]], "float32"), batch([1]))]
    )
    assert np.isfinite(results["eval_loss"])


def test_metrics():
    labels, predictions = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    assert metrics.accuracy(labels, predictions) == 0.6
    assert metrics.f1(labels, predictions) == pytest.approx(2 / 3)
    # (2 * 1 - 1 * 1) / sqrt(3 * 3 * 2 * 2)
    assert metrics.matthews_correlation(labels, predictions) == pytest.approx(
        1 / 6
    )
    assert metrics.matthews_correlation([1, 0], [1, 1]) == 0.0


def test_labels_are_the_originals():
    assert TASKS["mnli"].labels == ["contradiction", "entailment", "neutral"]
    assert TASKS["mrpc"].labels == ["0", "1"]
    assert list(TASKS) == ["cola", "mnli", "mrpc", "sms", "sst-2", "xnli"]
