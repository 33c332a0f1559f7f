"""What a task reports, on numbers small enough to check by hand."""

import numpy as np
import pytest

from bert_tf import metrics
from bert_tf.tasks.registry import TASKS, get_task


def evaluate(task, logits, labels, batch_size=8):
    problem = get_task(task).problem
    return problem.evaluate(labels, list(np.array(logits)), batch_size)


def test_evaluation_weighs_examples_and_batches_apart():
    """eval_loss is the mean over examples, loss that over batches."""
    certain, wrong = [50.0, 0.0], [0.0, 2.0]
    found = evaluate(
        "mrpc", [certain, certain, certain, wrong], ["0"] * 4, batch_size=3
    )
    one = np.log1p(np.exp(2.0))  # -log softmax of the wrong answer
    assert found.results["eval_accuracy"] == np.float32(0.75)
    np.testing.assert_allclose(found.results["eval_loss"], one / 4, rtol=1e-6)
    np.testing.assert_allclose(found.results["loss"], one / 2, rtol=1e-6)
    assert found.metrics.pop("balanced_loss") == pytest.approx(one / 4)
    # One of the two labels occurs; its F1 is 6 / 7, and that of the other 0.
    assert found.metrics.pop("macro_f1") == pytest.approx(3 / 7)
    assert found.metrics == {"f1": 0.0, "num_labels_predicted": 2}


def test_balanced_loss():
    """Each label's mean loss counts as much, however rare it is."""
    logits = [[50.0, 0.0], [50.0, 0.0], [50.0, 0.0], [2.0, 0.0]]
    found = evaluate("mrpc", logits, ["0", "0", "0", "1"])
    one = np.log1p(np.exp(2.0))
    assert found.metrics["balanced_loss"] == pytest.approx(one / 2)
    assert get_task("mrpc").problem.metric_names == {*found.scores}


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, -1e4]], "float32")
    found = evaluate("sst-2", logits, ["1"])
    assert np.isfinite(found.results["eval_loss"])


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
    mnli = TASKS["mnli"].problem.labels
    assert mnli == ["contradiction", "entailment", "neutral"]
    assert TASKS["mrpc"].problem.labels == ["0", "1"]
    assert TASKS["sts-b"].problem.labels is None
