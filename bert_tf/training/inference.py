"""Runs a model over batches, on all replicas."""

import contextlib
import re

import tensorflow as tf

from bert_tf.errors import UserError
from bert_tf.training import distribution


@contextlib.contextmanager
def user_errors():
    """Raises errors of the input pipeline about files as UserErrors.

    Files are read while training runs, by Python inside TensorFlow, which
    makes an error of its own of any exception.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"\bUserError: (.*)", error.message)
        if found:
            raise UserError(found[1]) from None
        # As Python shows an OSError.
        found = re.search(r"Error: \[Errno \d+\] (.*): '(.*)'", error.message)
        if found:
            raise UserError(f"{found[2]}: {found[1]}") from None
        raise


class Predictor:
    """Runs a model over batches, on all replicas.

    Its graph is made once, for any number of data sets.

    Args:
        model: a Keras model.
        strategy: as for `Trainer`.
    """

    def __init__(self, model, strategy=None):
        self.model = model
        self.strategy = strategy or tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def predict_step(self, batch):
        outputs = self.strategy.run(
            lambda part: self.model(part, training=False), args=(batch,)
        )
        return tf.nest.map_structure(
            lambda value: self.strategy.gather(value, axis=0),
            (outputs, batch),
        )

    def __call__(self, dataset: tf.data.Dataset):
        """Yields (outputs, batch) of NumPy arrays for each batch, in order.

        Args:
            dataset: batches, dicts of tensors; all of the same size if there
                are several replicas.
        """
        with user_errors(), distribution.lost_processes(self.strategy):
            for batch in distribution.distribute(self.strategy, dataset):
                outputs, batch = self.predict_step(batch)
                yield tf.nest.map_structure(
                    lambda value: value.numpy(), (outputs, batch)
                )
