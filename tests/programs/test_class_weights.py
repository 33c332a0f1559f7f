"""Weights of labels, by hand and by scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest

from bert_tf.errors import UserError
from bert_tf.programs.class_weights import class_weights


def examples(text):
    return [SimpleNamespace(label=label) for label in text]


def test_balanced_labels_count_the_same():
    weights = class_weights("balanced", ["b", "a", "c"], examples("aabacbaaab"))
    by_hand = [10 / 3 / count for count in (3, 6, 1)]
    # Their type in the loss.
    assert np.array_equal(np.float32(weights), np.float32(by_hand))


def test_numbers_are_taken_as_they_are(warnings, caplog):
    caplog.set_level("DEBUG", logger="absl")
    assert class_weights("1,0.25", ["a", "b"], examples("ab")) == [1.0, 0.25]
    assert warnings() == ["Weights    of the classes: a 1, b 0.25"]


def test_nothing_asked_or_nothing_to_train_on():
    assert class_weights(None, ["a", "b"], examples("ab")) is None
    assert class_weights("balanced", ["a", "b"], []) is None


def test_a_label_without_examples():
    with pytest.raises(UserError, match="no example has the label 'c'"):
        class_weights("balanced", ["a", "c", "b"], examples("ab"))
