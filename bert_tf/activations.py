"""The activations that bert_config.json may name."""

import math

import keras
from keras import ops

from bert_tf.backend import Tensor, sigmoid_gradient, with_gradient


@keras.saving.register_keras_serializable(package="bert_tf")
def gelu(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, tanh form (https://arxiv.org/abs/1606.08415).

    The original uses this form and not the exact `erf` one; the two differ by
    up to 5e-4, which is visible when outputs are compared.
    """
    return keras.activations.gelu(x, approximate=True)


def gelu_in_training(x: Tensor) -> Tensor:
    """The same, with its gradient written out.

    As tanh(u) = 2 σ(2u) − 1, the form of `gelu` is

        x σ(u),     u = x (a + b x²),    a = 2 √(2/π),    b = 0.044715 a

    and its gradient σ(u) + x σ′(u) (a + 3 b x²). Both are computed in at least
    float32, which is also faster than in bfloat16.
    """
    return with_gradient(_gelu, x)


def _gelu(inputs):
    a = 2.0 * math.sqrt(2.0 / math.pi)
    b = 0.044715 * a
    dtype = inputs.dtype
    is_half = dtype in ("float16", "bfloat16")
    x = ops.cast(inputs, "float32") if is_half else inputs
    sigma = ops.sigmoid(x * (ops.square(x) * b + a))

    def backward(upstream):
        g = ops.cast(upstream, x.dtype)
        slope = ops.square(x) * (3.0 * b) + a
        to_x = g * sigma + sigmoid_gradient(sigma, g * x) * slope
        return ops.cast(to_x, dtype)

    return ops.cast(x * sigma, dtype), backward


ACTIVATIONS = {
    "gelu": gelu,
    "relu": keras.activations.relu,
    "tanh": keras.activations.tanh,
    "linear": None,
    "": None,
    None: None,
}


def activate(x: Tensor, name: str | None, training: bool | None) -> Tensor:
    """Applies the activation of a name in `ACTIVATIONS`."""
    if name == "gelu" and training:
        return gelu_in_training(x)
    activation = ACTIVATIONS[name]
    return activation(x) if activation else x
