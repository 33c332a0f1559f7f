"""Reads some windows at a time, in the graph of a SavedModel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

WINDOWS_AT_ONCE = 16  # Windows that the model reads together.


class WindowIds(NamedTuple):
    """The ids of windows, int32 [W, S] each."""

    input_ids: tf.Tensor
    input_mask: tf.Tensor
    segment_ids: tf.Tensor


def map_chunks(
    function: Callable[[Any], list[tf.Tensor]],
    columns: NamedTuple,
    specs: list[tf.TensorSpec],
) -> list[tf.Tensor]:
    """Calls a function on some windows at a time, and joins its results.

    A request of long texts can have more windows than memory has room for
    their logits.

    Args:
        function: from a chunk of the columns to a list of tensors, whose
            first axes may have any size.
        columns: a named tuple of tensors [W, …].
        specs: a tf.TensorSpec for each tensor that the function returns.

    Returns:
        list of tensors: the results of all chunks, concatenated.
    """
    num_windows = tf.shape(columns[0])[0]
    # A TensorArray without elements has no shape: there is at least one chunk.
    num_chunks = tf.maximum(-(-num_windows // WINDOWS_AT_ONCE), 1)

    def add(index, arrays):
        first = index * WINDOWS_AT_ONCE
        limit = tf.minimum(first + WINDOWS_AT_ONCE, num_windows)
        chunk = type(columns)(*(values[first:limit] for values in columns))
        values = zip(arrays, function(chunk), strict=True)
        return index + 1, [array.write(index, value) for array, value in values]

    arrays = [
        tf.TensorArray(
            spec.dtype,
            num_chunks,
            element_shape=spec.shape,
            infer_shape=False,
        )
        for spec in specs
    ]
    _, arrays = tf.while_loop(
        lambda index, _: index < num_chunks,
        add,
        [0, arrays],
        parallel_iterations=1,  # Needs memory for one chunk at a time.
    )
    return [array.concat() for array in arrays]
