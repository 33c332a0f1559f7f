"""Layer normalization, whose gradient is written out for training.

TensorFlow derives a gradient from each small operation of the formula, some
forty operations in all. The gradient of the whole formula needs twelve.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.backend import Tensor, sum_of_rows, with_gradient

EPSILON = 1e-12  # The default of tf.contrib.layers.layer_norm.


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
        kwargs = {"epsilon": EPSILON, "name": "LayerNorm", **kwargs}
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
            return super().call(x if residual is None else x + residual)

        def forward(scale, shift, *parts):
            return _normalize(scale, shift, parts, mask, self.epsilon)

        parts = [inputs] if residual is None else [inputs, residual]
        x = with_gradient(forward, self.gamma, self.beta, *parts)
        return ops.cast(x, self.compute_dtype)


def _normalize(scale, shift, parts, mask, epsilon):
    """The layer's outputs, and the function that returns the gradients.

    With x̂ the normalized rows, r = 1 / √(var(x) + ε), and g the gradient of
    the outputs,

        dγ = Σ_rows g x̂        dβ = Σ_rows g
        dx = r (γ g − mean(γ g) − x̂ mean(γ g x̂)).
    """
    dtype = scale.dtype
    x, *rest = [ops.cast(part, dtype) for part in parts]
    if mask is not None:
        x = x * ops.cast(mask, dtype)
    for residual in rest:
        x = x + residual
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
    factor = ops.rsqrt(variance + epsilon)
    normalized = centered * factor

    def backward(g):
        g_normalized = g * normalized
        # A product with γ / D takes the mean of the rows, times γ.
        column = (scale / scale.shape[0])[:, None]
        to_x = g * scale - normalized * ops.matmul(g_normalized, column)
        to_x = (to_x - ops.matmul(g, column)) * factor
        to_residual = [ops.cast(to_x, part.dtype) for part in parts[1:]]
        if mask is not None:
            to_x = to_x * ops.cast(mask, dtype)
        return (
            sum_of_rows(g_normalized),
            sum_of_rows(g),
            ops.cast(to_x, parts[0].dtype),
            *to_residual,
        )

    return normalized * scale + shift, backward
