"""What a task reports, on numbers small enough to check by hand."""

import numpy as np
import pytest

from bert_tf import metrics
from bert_tf.tasks import TASKS, get_task


def rows(logits, labels):
    for row, label in zip(np.array(logits), labels, strict=True):
        yield row, {"label_ids": np.int32(label)}


def test_evaluation_weighs_examples_and_batches_apart():
    """eval_loss is the mean over examples, loss that over batches."""
    certain, wrong = [50.0, 0.0], [0.0, 2.0]
    results, extra = get_task("mrpc").evaluate(
        rows([certain, certain, certain, wrong], [0, 0, 0, 0]), batch_size=3
    )
    one = np.log1p(np.exp(2.0))  # -log softmax of the wrong answer
    assert results["eval_accuracy"] == np.float32(0.75)
    np.testing.assert_allclose(results["eval_loss"], one / 4, rtol=1e-6)
    np.testing.assert_allclose(results["loss"], one / 2, rtol=1e-6)
    assert extra == {"f1": 0.0, "num_labels_predicted": 2}


def test_probabilities():
    found = list(get_task("cola").probabilities(rows([[0.0, 9.0]], [1])))
    assert len(found) == 1 and found[0].dtype == np.float32
    assert found[0].argmax() == 1 and abs(found[0].sum() - 1) < 1e-6


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, -1e4]], "float32")
    results, _ = get_task("sst-2").evaluate(rows(logits, [1]), batch_size=8)
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
