"""The activations that bert_config.json may name."""

import math

import keras
from keras import ops

from bert_tf.backend import (
    Tensor,
    at_least_float32,
    fused,
    gelu_erf,
    gelu_tanh,
    sigmoid_gradient,
    with_gradient,
)


@keras.saving.register_keras_serializable(package="bert_tf")
def gelu(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, tanh form (https://arxiv.org/abs/1606.08415).

    The original uses this form and not the exact one, `gelu_exact`; the two
    differ by up to 5e-4, which is visible when outputs are compared.
    """
    return gelu_tanh(x)


@keras.saving.register_keras_serializable(package="bert_tf")
def gelu_exact(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, exact form: x Φ(x).

    Φ(x) = (1 + erf(x / √2)) / 2 is the normal distribution. Most other
    libraries call this form "gelu".
    """
    return gelu_erf(x)


def gelu_in_training(x: Tensor) -> Tensor:
    """`gelu`, with its gradient written out.

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


def gelu_exact_in_training(x: Tensor) -> Tensor:
    """`gelu_exact`, with its gradient written out: Φ(x) + x φ(x).

    φ(x) = exp(−x² / 2) / √(2π) is the density of the normal distribution. Both
    are computed in at least float32: near −1 the erf of half precision has no
    digits left after 1 is added.
    """

    def forward(x):
        y, share = fused(_gelu_exact, x)
        return y, lambda g: fused(_gelu_exact_gradient, x, share, g)

    return with_gradient(forward, x)


def _gelu_exact(x):
    """The outputs, and Φ(x)."""
    wide = at_least_float32(x)
    share = ops.erf(wide * math.sqrt(0.5)) * 0.5 + 0.5
    return ops.cast(wide * share, x.dtype), share


def _gelu_exact_gradient(x, share, upstream):
    wide, g = at_least_float32(x), at_least_float32(upstream)
    density = ops.exp(ops.square(wide) * -0.5) / math.sqrt(2.0 * math.pi)
    return ops.cast(g * (share + wide * density), x.dtype)


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_exact": gelu_exact,
    "relu": keras.activations.relu,
    "tanh": keras.activations.tanh,
    "linear": None,
    "": None,
    None: None,
}


# Those whose gradients are written out.
IN_TRAINING = {"gelu": gelu_in_training, "gelu_exact": gelu_exact_in_training}


def activate(x: Tensor, name: str | None, training: bool | None) -> Tensor:
    """Applies the activation of a name in `ACTIVATIONS`."""
    if training and name in IN_TRAINING:
        return IN_TRAINING[name](x)
    activation = ACTIVATIONS[name]
    return activation(x) if activation else x
