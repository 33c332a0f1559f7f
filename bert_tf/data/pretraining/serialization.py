"""Pretraining instances as serialized tf.train.Examples.

They have the original's features. TensorFlow is not imported here: processes
that create data start without it.
"""

import functools

from bert_tf.data import example_proto
from bert_tf.data.pretraining.instances import (
    InstanceSettings,
    TrainingInstance,
)
from bert_tf.text.packing import pad


def serialized_example(
    instance: TrainingInstance, settings: InstanceSettings
) -> bytes:
    """A tf.train.Example with the original's features."""
    return example_proto.example(
        _padded("input_ids", instance.tokens, settings.max_seq_length),
        *_layout(
            instance.length_a, len(instance.tokens), settings.max_seq_length
        ),
        *_predictions(instance, settings.max_predictions_per_seq),
        _next_sentence_label(instance.is_random_next),
    )


def _padded(name, values, length):
    return example_proto.int64_feature(name, pad(values, length))


@functools.lru_cache(maxsize=10_000)
def _layout(length_a, length, max_seq_length):
    """The features that depend on the lengths alone, which often repeat."""
    segment_ids = [0] * length_a + [1] * (length - length_a)
    return (
        _padded("input_mask", [1] * length, max_seq_length),
        _padded("segment_ids", segment_ids, max_seq_length),
    )


def _predictions(instance, length):
    positions = instance.masked_lm_positions
    return (
        _padded("masked_lm_positions", positions, length),
        _padded("masked_lm_ids", instance.masked_lm_labels, length),
        _weights(len(positions), length),
    )


@functools.cache
def _weights(number, length):
    weights = [1.0] * number + [0.0] * (length - number)
    return example_proto.float_feature("masked_lm_weights", weights)


@functools.cache
def _next_sentence_label(is_random_next):
    return example_proto.int64_feature(
        "next_sentence_labels", [int(is_random_next)]
    )
