"""The activations that bert_config.json may name."""

import math

import keras
from keras import ops

from bert_tf.backend import (
    Tensor,
    at_least_float32,
    fused,
    gelu_tanh,
    sigmoid_gradient,
    with_gradient,
)


@keras.saving.register_keras_serializable(package="bert_tf")
def gelu(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, tanh form (https://arxiv.org/abs/1606.08415).

    The original uses this form and not the exact `erf` one; the two differ by
    up to 5e-4, which is visible when outputs are compared.
    """
    return gelu_tanh(x)


def gelu_in_training(x: Tensor) -> Tensor:
    """The same, with its gradient written out.

    As tanh(u) = 2 σ(2u) − 1, the form of `gelu` is

        x σ(u),     u = x (a + b x²),    a = 2 √(2/π),    b = 0.044715 a

    and its gradient σ(u) + x σ′(u) (a + 3 b x²). Both are computed in at least
    float32, which is also faster than in bfloat16.
    """

    def forward(x):
        y, sigma = fused(_gelu, x)
        return y, lambda g: fused(_gelu_gradient, x, sigma, g)

    return with_gradient(forward, x)


A = 2.0 * math.sqrt(2.0 / math.pi)
B = 0.044715 * A


def _gelu(x):
    """The outputs, and σ(u)."""
    wide = at_least_float32(x)
    sigma = ops.sigmoid(wide * (ops.square(wide) * B + A))
    return ops.cast(wide * sigma, x.dtype), sigma


def _gelu_gradient(x, sigma, upstream):
    wide, g = at_least_float32(x), at_least_float32(upstream)
    slope = ops.square(wide) * (3.0 * B) + A
    to_x = g * sigma + sigmoid_gradient(sigma, g * wide) * slope
    return ops.cast(to_x, x.dtype)


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
