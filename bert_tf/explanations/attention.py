"""The attention probabilities of a layer, computed outside the encoder.

The encoder does not keep them: it would be slower. They follow from the rows
that the layer reads and from its query and key (Vaswani et al. 2017, section
3.2.1).
"""

import math
from collections.abc import Mapping

import numpy as np
from keras import ops

from bert_tf.attention import MASKED_SCORE
from bert_tf.errors import UserError
from bert_tf.modeling import BertModel


def attention_of(
    bert: BertModel, inputs: Mapping[str, np.ndarray], layer: int
) -> np.ndarray:
    """Computes the attention probabilities of a layer.

    Args:
        bert: the encoder.
        inputs: as the encoder takes them, int32 [B, S].
        layer: its number, from 0.

    Returns:
        float32 [B, heads, S, S]: with which weight each place (the dimension
        before the last) reads each place (the last one).

    Raises:
        UserError: there is no such layer.
    """
    number = bert.config.num_hidden_layers
    if not 0 <= layer < number:
        raise UserError(
            f"layers are 0 to {number - 1}", setting="attention", value=layer
        )
    encoded = bert.encode(dict(inputs))
    rows = [encoded.embedding_rows, *encoded.all_rows][layer]
    attention = bert.encoder.transformer_layers[layer].attention.self_attention
    projected = attention.project(
        [attention.query, attention.key], rows, training=False
    )
    query, key = attention.heads(encoded.places.sequences(projected))
    scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
    scores = scores / math.sqrt(query.shape[-1])
    mask = ops.cast(ops.convert_to_tensor(inputs["input_mask"]), scores.dtype)
    scores += (1.0 - mask[:, None, None]) * MASKED_SCORE
    return ops.convert_to_numpy(ops.softmax(scores)).astype(np.float32)
