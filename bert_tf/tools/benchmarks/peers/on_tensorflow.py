"""Datasets, products and memory: shared by the workers on TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# The folder of this file is the first where Python looks.
import worker_loop


def device() -> str:
    """The kind of device that TensorFlow computes on."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def endless(batches: Sequence[Any]) -> tf.data.Dataset:
    """The batches in turn, without end; their lengths may differ."""
    dataset = None
    for batch in batches:
        one = tf.data.Dataset.from_tensors(batch)
        dataset = one if dataset is None else dataset.concatenate(one)
    assert dataset is not None, "there are batches"
    options = tf.data.Options()
    # There is nothing to tune, and its thread would disturb others.
    options.autotune.enabled = False
    return dataset.repeat().prefetch(2).with_options(options)


def product(size: int, dtype: str) -> Callable[[], object]:
    """Work that multiplies two matrices [size, size]."""
    a, b = (tf.cast(tf.random.normal([size, size]), dtype) for _ in range(2))
    return lambda: float(tf.matmul(a, b)[0, 0])


def peak_bytes() -> int:
    """The largest memory so far, of the first GPU if there is one."""
    if device() == "GPU":
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return worker_loop.peak_bytes_of_process()
