"""Multi-head self-attention, whose gradient is written out for training.

Shape letters: B batch, S sequence, T rows, N heads, H size of one head, and D
hidden size, N * H.
"""

import math
from typing import Any

import keras
from keras import ops

from bert_tf.backend import (
    Shape,
    Tensor,
    matmul_transposed,
    transposed_matmul,
    with_gradient,
)
from bert_tf.bert_layer import BertLayer, dense, dropout
from bert_tf.config import BertConfig
from bert_tf.places import Places

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

    Returns:
        float [T, D], the heads' outputs side by side, not yet projected.
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
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        query, key, value = self.heads(places.to_attention(self.project(rows)))
        batch, heads, length, _ = ops.shape(query)
        mask = ops.cast(places.attention_mask, query.dtype)[:, None]
        score_mask = (1.0 - mask) * MASKED_SCORE
        # This drops whole tokens from attention, which is what Vaswani et al.
        # do and what the released models were trained with.
        probs_mask = self.dropout.mask(
            (batch, heads, length, length), query.dtype, training, seed
        )
        context = attention(query, key, value, score_mask, probs_mask, training)
        return places.from_attention(self.join_heads(context))

    def project(self, rows: Tensor) -> Tensor:
        """Queries, keys and values: float [T, D] -> [T, 3 D].

        One product of all three is faster than three.
        """
        layers = self.query, self.key, self.value
        kernels = ops.concatenate([layer.kernel for layer in layers], axis=1)
        biases = ops.concatenate([layer.bias for layer in layers], axis=0)
        return ops.add(ops.matmul(rows, kernels), biases)

    def heads(self, x: Tensor) -> list[Tensor]:
        """Turns [B, S, 3 D] into three of [B, N, S, H]."""
        heads = self.config.num_attention_heads
        size_per_head = self.config.hidden_size // heads
        batch, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch, length, 3, heads, size_per_head))
        return ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), num=3)

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
    probs_mask: Tensor | None,
    training: bool | None,
) -> Tensor:
    """softmax(Q K^T / sqrt(H) + score_mask) * probs_mask V.

    Args:
        query, key, value: float [B, N, S, H].
        score_mask: float, broadcast to [B, N, S, S].
        probs_mask: of `Dropout.mask`, [B, N, S, S]; or None.
        training: whether the written-out gradient is used.

    Returns:
        float [B, N, S, H].
    """
    scale = 1.0 / math.sqrt(query.shape[-1])

    def forward(query, key, value):
        scores = matmul_transposed(query, key) * scale + score_mask
        probs = ops.softmax(scores)
        kept = probs if probs_mask is None else probs * probs_mask
        context = ops.matmul(kept, value)

        def backward(upstream):
            to_kept = matmul_transposed(upstream, value)
            to_probs = to_kept if probs_mask is None else to_kept * probs_mask
            # The softmax's gradient needs Σ_keys probs to_probs, which is the
            # sum of context upstream over the head: Dao et al. 2022,
            # https://arxiv.org/abs/2205.14135, appendix B.2.
            mean = ops.sum(upstream * context, axis=-1, keepdims=True)
            to_scores = probs * (to_probs - mean)
            return (
                ops.matmul(to_scores, key) * scale,
                transposed_matmul(to_scores, query) * scale,
                transposed_matmul(kept, upstream),
            )

        return context, backward

    if not training:
        return forward(query, key, value)[0]
    return with_gradient(forward, query, key, value)
