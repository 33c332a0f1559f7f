"""Multi-head self-attention, whose gradient is written out for training.

Shape letters: B batch, S sequence, T rows, Q readers of a sequence, N heads, H
size of one head, D hidden size, N * H, and K projections side by side.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from bert_tf.backend import (
    Shape,
    Tensor,
    fused,
    matmul_transposed,
    transposed_matmul,
    with_gradient,
)
from bert_tf.bert_layer import BertLayer, dense, dropout
from bert_tf.config import BertConfig
from bert_tf.dropout import Dropout, kept_of
from bert_tf.places import OneSequence, Places

MASKED_SCORE = -10000.0  # Added to the scores of positions not attended to.


@keras.saving.register_keras_serializable(package="bert_tf")
class SelfAttention(BertLayer):
    """Multi-head scaled dot-product attention of a sequence to itself.

        softmax(Q K^T / sqrt(H) + mask) V,   Vaswani et al. 2017, section 3.2

    Masking: positions with `input_mask` 0 receive no attention. The mask is
    *added* to the scores: a row whose mask is all zeros (a padding example)
    attends as if it had no mask, and stays finite.

    Call arguments:
        rows: float [T, D].
        places: where they are, and which of them are padding.
        readers: float [B Q, D], the rows that attend to those of their
            sequence, Q of each; None for all rows.

    Returns:
        float [T, D], or [B Q, D]: the heads' outputs side by side, not yet
        projected.
    """

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.query = dense(config.hidden_size, config, name="query")
        self.key = dense(config.hidden_size, config, name="key")
        self.value = dense(config.hidden_size, config, name="value")
        self.dropout = dropout(config.attention_probs_dropout_prob)

    def build(self, input_shape: Shape) -> None:
        for projection in (self.query, self.key, self.value):
            projection.build(input_shape)
        self.dropout.build(input_shape)

    def call(
        self,
        rows: Tensor,
        places: Places,
        readers: Tensor | None = None,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        if isinstance(places, OneSequence):
            return self._attend_alone(rows, readers)
        if readers is None:
            layers = [self.query, self.key, self.value]
            projected = self.project(layers, rows, training)
            query, key, value = self.heads(places.to_attention(projected))
            mask = places.attention_mask
        else:
            layers = [self.key, self.value]
            projected = self.project(layers, rows, training)
            key, value = self.heads(places.sequences(projected))
            batch, size = ops.shape(key)[0], self.config.hidden_size
            query = ops.reshape(self.query(readers), (batch, -1, size))
            (query,) = self.heads(query)
            mask = places.input_mask[:, None]
        mask = (1.0 - ops.cast(mask, query.dtype)) * MASKED_SCORE
        mask_seed = self.dropout.mask_seed(training, seed)
        context = attention(
            query, key, value, mask[:, None], self.dropout, mask_seed, training
        )
        context = self.join_heads(context)
        if readers is None:
            return places.from_attention(context)
        return ops.reshape(context, (-1, self.config.hidden_size))

    def _attend_alone(self, rows: Tensor, readers: Tensor | None) -> Tensor:
        """What `call` computes for `OneSequence`, without an axis of examples.

        Args:
            rows: float [S, D].
            readers: float [Q, D], or None for all rows.
        """
        if readers is None:
            query, key, value = self._heads_alone(
                [self.query, self.key, self.value], rows
            )
        else:
            (query,) = self._heads_alone([self.query], readers)
            key, value = self._heads_alone([self.key, self.value], rows)
        probs = ops.softmax(matmul_transposed(query, key))
        context = ops.transpose(ops.matmul(probs, value), (1, 0, 2))
        return ops.reshape(context, (-1, self.config.hidden_size))

    def _heads_alone(
        self, layers: Sequence[keras.layers.Dense], rows: Tensor
    ) -> list[Tensor]:
        """The outputs of K dense layers: [S, D] -> K tensors [N, S, H].

        Queries are divided by sqrt(H) already. The kernels are constants here:
        to scale and to join them costs nothing when the graph runs.
        """
        heads = self.config.num_attention_heads
        size_per_head = self.config.hidden_size // heads
        scale = 1.0 / math.sqrt(size_per_head)
        factors = [scale if layer is self.query else 1.0 for layer in layers]
        kernels, biases = (
            ops.concatenate(
                [x * factor for x, factor in zip(parts, factors, strict=True)],
                axis=-1,
            )
            for parts in (
                [layer.kernel for layer in layers],
                [layer.bias for layer in layers],
            )
        )
        x = ops.add(ops.matmul(rows, kernels), biases)
        x = ops.reshape(x, (-1, len(layers) * heads, size_per_head))
        x = ops.transpose(x, (1, 0, 2))
        return [
            x[first : first + heads]
            for first in range(0, len(layers) * heads, heads)
        ]

    def project(
        self,
        layers: Sequence[keras.layers.Dense],
        rows: Tensor,
        training: bool | None,
    ) -> Tensor:
        """The outputs of K dense layers side by side: [T, D] -> [T, K D].

        In training one product of all is faster. Otherwise it is not: the
        kernels would be joined again for each request.
        """
        if not training:
            return ops.concatenate([layer(rows) for layer in layers], axis=-1)
        kernels = ops.concatenate([layer.kernel for layer in layers], axis=1)
        biases = ops.concatenate([layer.bias for layer in layers], axis=0)
        return ops.add(ops.matmul(rows, kernels), biases)

    def heads(self, x: Tensor) -> list[Tensor]:
        """Turns [B, S, K D] into K tensors [B, N, S, H]."""
        heads = self.config.num_attention_heads
        size_per_head = self.config.hidden_size // heads
        number = x.shape[-1] // self.config.hidden_size
        batch, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch, length, number, heads, size_per_head))
        return ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), num=number)

    def join_heads(self, x: Tensor) -> Tensor:
        """Turns [B, N, S, H] into [B, S, D]."""
        batch, length = ops.shape(x)[0], ops.shape(x)[2]
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (batch, length, self.config.hidden_size))


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mask: Tensor,
    dropout: Dropout,
    mask_seed: Tensor | None,
    training: bool | None,
) -> Tensor:
    """dropout(softmax(Q K^T / sqrt(H) + score_mask)) V.

    Dropout of probabilities drops whole tokens, which is what Vaswani et al.
    do and what the released models were trained with.

    Args:
        query: float [B, N, Q, H].
        key, value: float [B, N, S, H].
        score_mask: float, broadcast to [B, N, Q, S].
        dropout: the layer that drops probabilities.
        mask_seed: its `mask_seed`.
        training: whether the written-out gradient is used.

    Returns:
        float [B, N, Q, H].
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    drops = mask_seed is not None

    def forward(query, key, value):
        scores = matmul_transposed(query, key) * scale + score_mask
        probs = dropped = ops.softmax(scores)
        if drops:
            kept = kept_of(ops.shape(probs), mask_seed, dropout.num_dropped)
            dropped = fused(_drop, probs, kept)
        context = ops.matmul(dropped, value)

        def backward(upstream):
            g = upstream * dropout.scale if drops else upstream
            # The softmax's gradient needs Σ_keys dropped to_dropped, which is
            # the sum of context g over the head: Dao et al. 2022,
            # https://arxiv.org/abs/2205.14135, appendix B.2.
            total = ops.sum(g * context, axis=-1, keepdims=True)
            to_scores = fused(
                _softmax_gradient,
                matmul_transposed(g, value),
                dropped,
                probs,
                total,
            )
            return (
                ops.matmul(to_scores, key) * scale,
                transposed_matmul(to_scores, query) * scale,
                transposed_matmul(dropped, g),
            )

        # The context is smaller than the probabilities.
        return context * dropout.scale if drops else context, backward

    if not training:
        return forward(query, key, value)[0]
    return with_gradient(forward, query, key, value)


def _drop(probs, kept):
    """Zeros in the place of some; the others are not yet scaled up."""
    return probs * ops.cast(kept, probs.dtype)


def _softmax_gradient(to_dropped, dropped, probs, total):
    return dropped * to_dropped - probs * total
