"""Computes the answers of a SavedModel from the model's logits, in the graph.

Shape letters: B rows of a request, C labels, N endings.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from bert_tf.export.serving_modules import Tensors

THRESHOLD = 0.5  # The least probability of a label that applies.


def label(logits: tf.Tensor, labels: Sequence[str]) -> Tensors:
    """Answers with one of several labels: float [B, C]."""
    return labelled(tf.nn.softmax(tf.cast(logits, tf.float32)), labels)


def label_set(
    logits: tf.Tensor, labels: Sequence[str], thresholds: Mapping[str, float]
) -> Tensors:
    """Answers with any number of labels: float [B, C].

    Args:
        logits: those of each label by itself.
        labels: the names of the C columns.
        thresholds: see `thresholds_of`.
    """
    probabilities = tf.sigmoid(tf.cast(logits, tf.float32))
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


def choice(logits: tf.Tensor) -> Tensors:
    """Answers with the place of the best ending: float [B, N]."""
    probabilities = tf.nn.softmax(logits)
    return {
        "label": tf.argmax(probabilities, axis=-1, output_type=tf.int32),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
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
