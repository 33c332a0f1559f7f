"""Tables of words in int8, with a scale for each row.

The converter of LiteRT chooses one scale for a whole table. As a few rows have
by far the largest numbers, most words then lose accuracy: with MiniLM 4 % of
their size, and 0.7 % with a scale of their own.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from bert_tf.layers import Int8Words

INT8_MAX = 127
# The largest scale, in units; float32 has all whole numbers up to it.
FINENESS = 2**24
TINY = 1e-30


@contextlib.contextmanager
def words_in_int8(model: keras.Model) -> Iterator[None]:
    """Lets graphs that are built look up words in tables of int8.

    Args:
        model: the model, whose variables stay as they are.
    """
    # Keras has no public way to the layers inside layers.
    layers = model._flatten_layers(include_self=False)
    tables = [layer for layer in layers if hasattr(layer, "int8_words")]
    with tf.init_scope():  # Where variables have values.
        for layer in tables:
            layer.int8_words = rounded_rows(layer.word_embeddings.numpy())
    try:
        yield
    finally:
        for layer in tables:
            layer.int8_words = None


def rounded_rows(table: np.ndarray) -> Int8Words:
    """Rounds each row of a table to whole numbers from -127 to 127.

    Args:
        table: float [V, D].

    Returns:
        (int8 [V, D], int32 [V, 1], unit): the product of all is about the
        table. The scales are whole numbers of a unit, because the converter
        would round other numbers to int8, too.
    """
    largest = np.max(np.abs(table), axis=1, keepdims=True)
    unit = max(float(np.max(largest)), TINY) / INT8_MAX / FINENESS
    scales = np.ceil(largest / INT8_MAX / unit)
    rounded = np.rint(table / np.maximum(scales * unit, TINY))
    return rounded.astype(np.int8), scales.astype(np.int32), unit
