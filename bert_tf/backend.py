"""Randomness from a seed, and recomputation: where backends differ.

`keras.ops` has neither, so these functions ask which backend runs. All other
code of the model is the same under TensorFlow and under JAX.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import ops

# What keras.ops takes and returns: a tf.Tensor, a jax.Array or a NumPy array,
# and a KerasTensor while Keras traces. Docstrings give dtypes and shapes.
Tensor: TypeAlias = Any
Shape: TypeAlias = tuple[int | None, ...]  # None: known when it runs.


def fold_in(seed: Tensor, datum: Tensor) -> Tensor:
    """A new seed for each value of `datum`: int32 [2], int32 -> int32 [2]."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.experimental.stateless_fold_in(
            seed, tf.cast(datum, tf.int32), alg="philox"
        )
    import jax

    key = jax.random.wrap_key_data(ops.cast(seed, "uint32"))
    data = jax.random.key_data(jax.random.fold_in(key, datum))
    return ops.cast(data, "int32")


def random_bits(shape: Tensor, seed: Tensor) -> Tensor:
    """uint32 of `shape`, a function of `seed` (int32 [2]) and nothing else."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.stateless_uniform(
            shape, seed, None, None, tf.uint32, alg="philox"
        )
    import jax

    key = jax.random.wrap_key_data(ops.cast(seed, "uint32"))
    return jax.random.bits(key, shape, "uint32")


def places_where(is_row: Tensor) -> Tensor:
    """int [T, 2], the places at which a bool [B, S] is true, in order.

    T is not known before the graph runs, which TensorFlow alone allows.
    """
    import tensorflow as tf

    return tf.where(is_row)


def gather_places(x: Tensor, places: Tensor) -> Tensor:
    """What `x` has at `places`: [B, S, ...], int [T, 2] -> [T, ...].

    Its gradient is `scatter_places`, and the other way round.
    """
    import tensorflow as tf

    return tf.gather_nd(x, places)


def scatter_places(
    rows: Tensor, places: Tensor, batch: Tensor, length: Tensor
) -> Tensor:
    """Rows at their places, and zeros elsewhere: [T, ...] -> [B, S, ...].

    Args:
        rows: [T, ...].
        places: int [T, 2], each place once.
        batch, length: B and S.
    """
    import tensorflow as tf

    shape = tf.stack([batch, length, *rows.shape[1:]])
    shape = tf.cast(shape, places.dtype)
    return tf.scatter_nd(places, rows, shape)


def recompute(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A `function(x, *rest)` that keeps nothing but its arguments.

    The backward pass computes it again, which costs a third more time and
    saves the memory of everything inside (Chen et al. 2016,
    https://arxiv.org/abs/1604.06174). Gradients go to `x` and to variables.
    All tensors that `function` needs must be arguments, a dropout seed too:
    then the second computation draws the same masks.
    """
    if keras.backend.backend() != "tensorflow":
        import jax

        return jax.checkpoint(function)
    import tensorflow as tf

    @tf.custom_gradient
    def run(x, *rest):
        def backward(upstream, variables=None):
            variables = list(variables or [])
            # Zero, but not known before `upstream` is: otherwise TensorFlow or
            # XLA would notice that this computation has been done already.
            flag = tf.cast(tf.reshape(upstream, [-1])[0], tf.bool)
            zero = tf.where(flag == flag, 0.0, float("nan"))
            again = [arg + tf.cast(zero, arg.dtype) for arg in (x, *rest)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([again[0], *variables])
                outputs = function(*again)
            to_x, *to_variables = tape.gradient(
                outputs,
                [again[0], *variables],
                upstream,
                unconnected_gradients="zero",
            )
            return [to_x, *[None] * len(rest)], to_variables

        return function(x, *rest), backward

    return run
