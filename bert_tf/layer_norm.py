"""Layer normalization, whose gradient is written out for training.

TensorFlow derives a gradient from each small operation of the formula, some
forty operations in all. The gradient of the whole formula needs twelve.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.backend import (
    Tensor,
    at_least_float32,
    fused,
    sum_of_rows,
    with_gradient,
)
from bert_tf.config import LAYER_NORM_EPS


@keras.saving.register_keras_serializable(package="bert_tf")
class LayerNorm(keras.layers.LayerNormalization):
    """Layer normalization of rows, with the original's epsilon and name.

        y = γ (x − mean(x)) / √(var(x) + ε) + β

    Ba et al. 2016, https://arxiv.org/abs/1607.06450. It is computed in at
    least float32.

    Call arguments:
        inputs: float [T, D].
        residual: float [T, D], which is added first; or None.
        mask: of `Dropout.mask`, what the inputs are multiplied by before; or
            None.
        training: whether the written-out gradient is used.

    Returns:
        float [T, D].
    """

    def __init__(self, **kwargs: Any):
        kwargs = {"epsilon": LAYER_NORM_EPS, "name": "LayerNorm", **kwargs}
        super().__init__(**kwargs)

    def call(
        self,
        inputs: Tensor,
        residual: Tensor = None,
        mask: Tensor = None,
        training: bool | None = None,
    ) -> Tensor:
        if not training:
            x = inputs if mask is None else inputs * mask
            x = x if residual is None else x + residual
            return ops.cast(
                _outputs(self.epsilon, self.gamma, self.beta, x),
                self.compute_dtype,
            )

        def forward(*args):
            outputs, *saved = fused(_normalize, self.epsilon, mask, *args)
            return outputs, lambda g: fused(
                _normalize_gradient, mask, g, *saved, *args
            )

        parts = [inputs] if residual is None else [inputs, residual]
        x = with_gradient(forward, self.gamma, self.beta, *parts)
        return ops.cast(x, self.compute_dtype)


def _outputs(epsilon, scale, shift, x):
    """The layer's outputs. Keras' own order of the operations is slower."""
    scale, shift = at_least_float32(scale), at_least_float32(shift)
    x = ops.cast(x, scale.dtype)
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
    return centered * (ops.rsqrt(variance + epsilon) * scale) + shift


def _normalize(epsilon, mask, scale, shift, x, residual=None):
    """The layer's outputs, and for its gradient x̂ and 1 / √(var + ε)."""
    scale, shift = at_least_float32(scale), at_least_float32(shift)
    dtype = scale.dtype
    x = ops.cast(x, dtype)
    if mask is not None:
        x = x * ops.cast(mask, dtype)
    if residual is not None:
        x = x + ops.cast(residual, dtype)
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
    factor = ops.rsqrt(variance + epsilon)
    normalized = centered * factor
    return normalized * scale + shift, normalized, factor


def _normalize_gradient(
    mask, g, normalized, factor, scale, shift, x, residual=None
):
    """The gradients of γ, β, the inputs and the residual.

    With x̂ the normalized rows, r = 1 / √(var(x) + ε), and g the gradient of
    the outputs,

        dγ = Σ_rows g x̂        dβ = Σ_rows g
        dx = r (γ g − mean(γ g) − x̂ mean(γ g x̂)).
    """
    g_normalized = g * normalized
    # A product with γ / D takes the mean of the rows, times γ.
    wide = at_least_float32(scale)
    column = (wide / wide.shape[0])[:, None]
    to_x = g * wide - normalized * ops.matmul(g_normalized, column)
    to_x = (to_x - ops.matmul(g, column)) * factor
    gradients = [
        ops.cast(sum_of_rows(g_normalized), scale.dtype),
        ops.cast(sum_of_rows(g), shift.dtype),
    ]
    to_input = to_x if mask is None else to_x * ops.cast(mask, to_x.dtype)
    gradients.append(ops.cast(to_input, x.dtype))
    if residual is not None:
        gradients.append(ops.cast(to_x, residual.dtype))
    return tuple(gradients)
