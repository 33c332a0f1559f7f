"""Randomness, gradients and recomputation: where backends differ.

`keras.ops` lacks them, so these functions ask which backend runs. All other
code of the model is the same under TensorFlow and under JAX.
"""

import functools
import math
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


def random_bytes(number: Tensor, seed: Tensor) -> Tensor:
    """uint8 [number], a function of `seed` (int32 [2]) and nothing else."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # TensorFlow draws 32 bits at once, which are four bytes.
        words = tf.random.stateless_uniform(
            [(number + 3) // 4], seed, None, None, tf.uint32, alg="philox"
        )
        return tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:number]
    import jax

    key = jax.random.wrap_key_data(ops.cast(seed, "uint32"))
    return jax.random.bits(key, (number,), "uint8")


def indices_where(condition: Tensor) -> Tensor:
    """int32 [T], where a bool [U] is true, in order.

    T is not known before the graph runs, which TensorFlow alone allows.
    """
    import tensorflow as tf

    return tf.cast(tf.where(condition)[:, 0], tf.int32)


def at_least_float32(x: Tensor) -> Tensor:
    """Casts half precision to float32: sums need the digits."""
    is_half = ops.dtype(x) in ("float16", "bfloat16")
    return ops.cast(x, "float32") if is_half else x


def matmul_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ, of the last two axes, without a transposed copy of b."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.matmul(a, b, transpose_b=True)
    return ops.matmul(a, ops.swapaxes(b, -1, -2))


def transposed_matmul(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ b, of the last two axes, without a transposed copy of a.

    For a gradient that is written out, as the next two functions are.
    """
    import tensorflow as tf

    return tf.matmul(a, b, transpose_a=True)


def sum_of_rows(x: Tensor) -> Tensor:
    """[T, D] -> [D]."""
    import tensorflow as tf

    # The gradient of a bias: twice as fast as a sum over the first axis.
    return tf.raw_ops.BiasAddGrad(out_backprop=x)


def gelu_tanh(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, tanh form, fused with the product before it.

    TensorFlow makes one call of oneDNN out of a product, a bias and gelu, which
    saves a third of their time. Its graph optimizer sorts the inputs of sums by
    name, and finds gelu only if the bias' name, `…/dense/BiasAdd`, comes before
    those of gelu's own operations. Keras calls these `…/Gelu/…`, and capital
    letters come first.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.activations.gelu(x, approximate=True)
    import tensorflow as tf

    return tf.nn.gelu(x, approximate=True, name="gelu")


def gelu_erf(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, exact form, fused like `gelu_tanh`.

    LiteRT has no erf. Its converter knows gelu by TensorFlow's own operations,
    among them erfc(−x / √2), which keeps its digits in bfloat16, unlike
    1 + erf(x / √2). So bfloat16 is not cast, and oneDNN computes it in float32.
    It does not fuse float16, which is faster in float32, too.
    """
    if keras.backend.backend() != "tensorflow":
        y = keras.activations.gelu(at_least_float32(x), approximate=False)
        return ops.cast(y, ops.dtype(x))
    import tensorflow as tf

    if ops.dtype(x) == "float16":
        return ops.cast(gelu_erf(ops.cast(x, "float32")), "float16")
    if ops.dtype(x) == "float64":  # TensorFlow rounds √½ to float32.
        return x * (0.5 * tf.math.erfc(x * -math.sqrt(0.5)))
    return tf.nn.gelu(x, approximate=False, name="gelu")


def sigmoid_gradient(y: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of x, where y = sigmoid(x): upstream · y (1 − y)."""
    import tensorflow as tf

    return tf.raw_ops.SigmoidGrad(y=y, dy=upstream)


def with_gradient(
    forward: Callable[..., tuple[Tensor, Callable[[Tensor], Any]]],
    *inputs: Tensor,
) -> Tensor:
    """Calls a function that comes with its gradient, written out.

    JAX derives the gradient: its compiler sees the whole step anyway, and
    inside `recompute` it refuses a gradient that reads other tensors.

    Args:
        forward: function(*inputs) -> (output, backward), where backward takes
            the gradient of the output and returns that of each input. It reads
            no variable.
        *inputs: float tensors.

    Returns:
        The output.
    """
    if keras.backend.backend() != "tensorflow":
        return forward(*map(ops.convert_to_tensor, inputs))[0]
    import tensorflow as tf

    # A variable would be an input of its own kind.
    tensors = map(tf.convert_to_tensor, inputs)
    return tf.custom_gradient(forward)(*tensors)


def fused(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function, compiled by XLA where all shapes are known.

    XLA makes one loop of products and sums over the same elements, where
    TensorFlow reads and writes all of them for each. It compiles once for
    each shape, so this is not for shapes that change from batch to batch.

    Args:
        function: of a module, so that all its callers share what is compiled.
        *args: tensors and numbers.

    Returns:
        What the function returns.
    """
    if keras.backend.backend() != "tensorflow":
        return function(*args)
    import tensorflow as tf

    tensors = [arg for arg in args if tf.is_tensor(arg)]
    is_static = all(tensor.shape.is_fully_defined() for tensor in tensors)
    # The compiler of a TPU sees the whole step anyway.
    strategy = tf.distribute.get_strategy()
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    if tf.executing_eagerly() or is_tpu or not is_static:
        return function(*args)
    return _compiled(function)(*args)


@functools.cache
def _compiled(function):
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


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
