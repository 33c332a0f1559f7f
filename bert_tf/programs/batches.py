"""Makes batches of examples as the flags ask, and logs their features."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import choices
from bert_tf.data import pipeline
from bert_tf.data.features import FeatureSpec
from bert_tf.programs import devices, packed_rows
from bert_tf.programs.program import value_of

FLAGS = flags.FLAGS
XLA_LENGTH_MULTIPLE = 64

# {name: tensor [N, …]}.
Tensors = dict[str, tf.Tensor]
# (rows, function that computes the features of N rows).
Rows = tuple[tf.data.Dataset, Callable[[Tensors], Tensors]]


def batch_size(mode: str) -> int:
    """The batch size of "train", "eval" or "predict"."""
    return value_of(f"{mode}_batch_size")


def training_batches(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    rows: Rows,
    num_rows: int,
    seed: int,
) -> Callable[[int], tf.data.Dataset]:
    """Makes `pipeline.training_batches`, packed or not, as the flags ask.

    Args:
        strategy: the strategy that trains on them.
        model: the model that is trained; for --pack_sequences its
            `packed_rows` are set.
        rows: see `Rows`.
        num_rows: how many there are.
        seed: seed of their order.

    Returns:
        Function(first step) -> dataset, as `training.train` takes it.
    """
    dataset, to_features = rows
    packing = None
    if FLAGS.pack_sequences:
        lengths = pipeline.some_lengths(dataset, to_features, num_rows)
        packing = packed_rows.choose(model, strategy, lengths)

    def batches(first_step: int) -> tf.data.Dataset:
        order = {
            "num_examples": num_rows,
            "seed": seed,
            "first_step": first_step,
        }
        if packing:
            return pipeline.packed_batches(
                dataset, to_features, packing, **order
            )
        return pipeline.training_batches(
            dataset,
            to_features,
            batch_size=FLAGS.train_batch_size,
            fixed_length=devices.needs_full_length(strategy),
            # XLA compiles again for each length.
            length_multiple=(
                XLA_LENGTH_MULTIPLE if FLAGS.xla else pipeline.LENGTH_MULTIPLE
            ),
            group_by_length=FLAGS.group_by_length,
            **order,
        )

    return batches


def max_batch_tokens(strategy: tf.distribute.Strategy) -> int | None:
    """The most tokens of a batch that is evaluated; None for no such limit.

    Several replicas need batches of one size.
    """
    is_fixed = devices.needs_full_batches(strategy)
    return None if is_fixed else choices.MAX_BATCH_TOKENS


def evaluation_batches(
    strategy: tf.distribute.Strategy,
    rows: Rows,
    batch_size: int,
    **settings: Any,
) -> tf.data.Dataset:
    """Makes `pipeline.evaluation_batches` with the settings of the flags.

    Args:
        strategy: the strategy that evaluates them.
        rows: see `Rows`.
        batch_size: examples in a batch.
        **settings: other arguments of `pipeline.evaluation_batches`.
    """
    dataset, to_features = rows
    return pipeline.evaluation_batches(
        dataset,
        to_features,
        batch_size=batch_size,
        fixed_length=devices.needs_full_length(strategy),
        fill_last_batch=devices.needs_full_batches(strategy),
        max_batch_tokens=max_batch_tokens(strategy),
        **settings,
    )


def log_features(specs: Iterable[FeatureSpec], batch_size: int) -> None:
    """Logs name and shape of each feature of a batch."""
    logging.debug("*** Features ***")
    for spec in sorted(specs, key=lambda spec: spec.name):
        shape = (batch_size, *spec.shape)
        logging.debug("  name = %s, shape = %s", spec.name, shape)
