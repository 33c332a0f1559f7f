"""Computes the answers of a SavedModel from the model's logits, in the graph.

Shape letters: B rows of a request, C labels, N endings.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from bert_tf.export.confidence import NOT_FITTED, Confidence
from bert_tf.export.serving_modules import Tensors

THRESHOLD = 0.5  # The least probability of a label that applies.


def label(
    logits: tf.Tensor,
    labels: Sequence[str],
    confidence: Confidence = NOT_FITTED,
) -> Tensors:
    """Answers with one of several labels: float [B, C]."""
    scaled = confidence.scaled(tf.cast(logits, tf.float32))
    probabilities = tf.nn.softmax(scaled)
    return {
        **labelled(probabilities, labels),
        **in_set(probabilities, confidence),
    }


def in_set(probabilities: tf.Tensor, confidence: Confidence) -> Tensors:
    """Which labels are in the set of each row, if there are sets.

    Args:
        probabilities: float32 [B, C], those with the temperature.
        confidence: has the least probability of a label in a set.
    """
    least = confidence.set_threshold
    if least is None:
        return {}
    return {"in_set": tf.cast(probabilities, tf.float64) >= least}


def label_set(
    logits: tf.Tensor,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    confidence: Confidence = NOT_FITTED,
) -> Tensors:
    """Answers with any number of labels: float [B, C].

    Args:
        logits: those of each label by itself.
        labels: the names of the C columns.
        thresholds: see `thresholds_of`.
        confidence: has the temperature.
    """
    scaled = confidence.scaled(tf.cast(logits, tf.float32))
    probabilities = tf.sigmoid(scaled)
    least = thresholds_of(labels, thresholds)
    return {
        **labelled(probabilities, labels),
        "is_given": tf.cast(probabilities, tf.float64) >= least,
    }


def thresholds_of(
    labels: Sequence[str], thresholds: Mapping[str, float]
) -> np.ndarray:
    """The least probability at which each label applies, float64 [C].

    Args:
        labels: all labels.
        thresholds: {label: probability}; `THRESHOLD` for the others.
    """
    return np.array([thresholds.get(label, THRESHOLD) for label in labels])


def number(logits: tf.Tensor, mean: float, deviation: float) -> Tensors:
    """Answers with a number, output * deviation + mean: float [B, 1]."""
    output = tf.cast(logits, tf.float32)[:, 0]
    return {"prediction": output * deviation + mean}


def choice(logits: tf.Tensor, confidence: Confidence = NOT_FITTED) -> Tensors:
    """Answers with the place of the best ending: float [B, N]."""
    probabilities = tf.nn.softmax(confidence.scaled(logits))
    return {
        "label": tf.argmax(probabilities, axis=-1, output_type=tf.int32),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        **in_set(probabilities, confidence),
    }


def labelled(probabilities: tf.Tensor, labels: Sequence[str]) -> Tensors:
    """Returns the likeliest label, its probability, and all probabilities.

    Args:
        probabilities: float32 [B, C].
        labels: the names of the C columns. They are an output, too, repeated
            for each row, because TensorFlow Serving splits outputs into rows.
    """
    names = tf.constant(labels)
    return {
        "label": tf.gather(names, tf.argmax(probabilities, axis=-1)),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "labels": tf.repeat(names[tf.newaxis], tf.shape(probabilities)[0], 0),
    }
