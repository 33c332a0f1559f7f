"""Runs a model over batches, on all replicas."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from bert_tf import forks
from bert_tf.errors import UserError
from bert_tf.training import distribution
from bert_tf.training.distribution import Batch

# A tensor, or a dict of tensors.
Outputs = Any


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Raises errors of the input pipeline about files as UserErrors.

    Files are read while training runs, by Python code inside TensorFlow.
    TensorFlow turns every exception of that code into an error of its own.
    """
    try:
        yield
    except tf.errors.OpError as error:
        user_error = re.search(r"\bUserError: (.*)", error.message)
        if user_error:
            raise UserError(user_error[1]) from None
        # Python shows an OSError like this.
        os_error = re.search(
            r"Error: \[Errno \d+\] (.*): '(.*)'", error.message
        )
        if os_error:
            raise UserError(f"{os_error[2]}: {os_error[1]}") from None
        raise


class BatchRunner:
    """Runs a model over batches, on all replicas.

    Its graph is built once, for any number of data sets.

    Args:
        model: a Keras model, or a function(batch, training) -> outputs.
        strategy: as for `Trainer`.
    """

    def __init__(
        self,
        model: keras.Model | Callable[..., Outputs],
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.model = model
        self.strategy = strategy or tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True, autograph=False)
    def run_batch(self, batch: Batch) -> tuple[Outputs, Batch]:
        """(outputs, batch), each gathered from all replicas."""
        outputs = self.strategy.run(
            lambda part: self.model(part, training=False), args=(batch,)
        )
        return tf.nest.map_structure(
            lambda value: self.strategy.gather(value, axis=0),
            (outputs, batch),
        )

    def __call__(
        self, dataset: tf.data.Dataset
    ) -> Iterator[tuple[Outputs, dict[str, Any]]]:
        """Yields (outputs, batch) of NumPy arrays for each batch, in order.

        Args:
            dataset: batches, dicts of tensors. With several replicas all
                batches must have the same size.

        Raises:
            UserError: a file of the data set is wrong or cannot be read.
        """
        forks.check()
        with user_errors(), distribution.lost_processes(self.strategy):
            for batch in distribution.distribute(self.strategy, dataset):
                outputs, batch = self.run_batch(batch)
                yield tf.nest.map_structure(
                    lambda value: value.numpy(), (outputs, batch)
                )
