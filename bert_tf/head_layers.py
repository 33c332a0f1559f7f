"""Parts of the heads: a linear output, and the scopes of the original.

    OutputHead               the base of heads with one linear output

    cls/squad                the start and the end of an answer
    cls/predictions          masked LM
    cls/seq_relationship     next sentence prediction

Shape letters: B batch, S sequence, D hidden size, P predictions of a sequence,
V vocabulary size, C outputs.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.activations import activate
from bert_tf.backend import Shape, Tensor, matmul_transposed
from bert_tf.bert_layer import (
    BertLayer,
    dense,
    dropout,
    initializer,
    made_with,
)
from bert_tf.config import BertConfig
from bert_tf.configured_model import ConfiguredModel, Inputs
from bert_tf.layer_norm import LayerNorm
from bert_tf.modeling import BertModel

HEAD_STDDEV = 0.02  # The original's, whatever bert_config.json says.


def linear(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """x weights^T + bias, in x's precision: [..., D] -> [..., C]."""
    weights, bias = ops.cast(weights, x.dtype), ops.cast(bias, x.dtype)
    rows = ops.reshape(x, (-1, x.shape[-1]))
    logits = ops.add(matmul_transposed(rows, weights), bias)
    return ops.reshape(logits, (*ops.shape(x)[:-1], weights.shape[0]))


class OutputHead(ConfiguredModel):
    """An encoder with one linear output, whose variables are at the root.

        logits = dropout(x) output_weights^T + output_bias

    Args:
        config: a `BertConfig`.
        num_outputs: number of logits.
        dropout_rate: dropout on x.
        num_inputs: width of x; by default the hidden size.
    """

    def __init__(
        self,
        config: BertConfig,
        num_outputs: int,
        dropout_rate: float,
        num_inputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.config = config
        self.dropout_rate = dropout_rate
        with made_with(self.dtype_policy):
            self.bert = BertModel(config)
            self.dropout = dropout(dropout_rate)
        width = num_inputs or config.hidden_size
        self.dropout.build((None, width))
        # Created here and not in `build`, where their paths would start with
        # this model's name: the original keeps both at the root.
        self.output_weights = keras.Variable(
            keras.initializers.TruncatedNormal(stddev=HEAD_STDDEV),
            shape=(num_outputs, width),
            name="output_weights",
        )
        self.output_bias = keras.Variable(
            "zeros", shape=(num_outputs,), name="output_bias"
        )
        self.built = True

    def output_of(
        self, x: Tensor, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        """The logits of x: float [..., num_inputs] -> [..., num_outputs]."""
        x = self.dropout(x, training=training, seed=seed)
        return linear(x, self.output_weights, self.output_bias)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dropout_rate": self.dropout_rate}


class SquadScope(keras.layers.Layer):
    """The scope `cls/squad` of the original's variable names."""

    def __init__(self, hidden_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.squad = SpanHead(hidden_size, name="squad")
        self.build()

    def build(self, input_shape: Shape | None = None) -> None:
        self.squad.build()

    def call(self, sequence_output: Tensor) -> dict[str, Tensor]:
        return self.squad(sequence_output)


class SpanHead(keras.layers.Layer):
    """Two logits for each token: float [B, S, D] -> two of float [B, S]."""

    def __init__(self, hidden_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden_size = hidden_size

    def build(self, input_shape: Shape | None = None) -> None:
        self.output_weights = self.add_weight(
            name="output_weights",
            shape=(2, self.hidden_size),
            initializer=keras.initializers.TruncatedNormal(stddev=HEAD_STDDEV),
        )
        self.output_bias = self.add_weight(
            name="output_bias", shape=(2,), initializer="zeros"
        )

    def call(self, sequence_output: Tensor) -> dict[str, Tensor]:
        logits = linear(sequence_output, self.output_weights, self.output_bias)
        start_logits, end_logits = ops.unstack(logits, axis=-1)
        return {"start_logits": start_logits, "end_logits": end_logits}


class PretrainingScope(BertLayer):
    """The scope `cls` of the original's variable names, with both heads."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.predictions = MaskedLMHead(config, name="predictions")
        self.seq_relationship = NextSentenceHead(
            config, name="seq_relationship"
        )
        self.build()

    def build(self, input_shape: Shape | None = None) -> None:
        self.predictions.build()
        self.seq_relationship.build()

    def call(
        self,
        masked: Tensor,
        pooled_output: Tensor,
        word_embeddings: Tensor,
        training: bool | None = None,
    ) -> dict[str, Tensor]:
        mlm_logits = self.predictions(
            masked, word_embeddings, training=training
        )
        return {
            "mlm_logits": mlm_logits,
            "nsp_logits": self.seq_relationship(pooled_output),
        }


class MaskedLMHead(BertLayer):
    """The logits of masked tokens: float [B, P, D] -> float [B, P, V]."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.transform = MaskedLMTransform(config, name="transform")

    def build(self, input_shape: Shape | None = None) -> None:
        self.transform.build()
        self.output_bias = self.add_weight(
            name="output_bias",
            shape=(self.config.vocab_size,),
            initializer="zeros",
        )

    def call(
        self,
        masked: Tensor,
        word_embeddings: Tensor,
        training: bool | None = None,
    ) -> Tensor:
        rows = ops.reshape(masked, (-1, self.config.hidden_size))
        x = self.transform(rows, training=training)
        logits = linear(x, word_embeddings, self.output_bias)
        shape = (*ops.shape(masked)[:-1], self.config.vocab_size)
        return ops.reshape(logits, shape)


class MaskedLMTransform(BertLayer):
    """One more nonlinear layer before the masked LM's output."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.dense = dense(config.hidden_size, config)
        self.layer_norm = LayerNorm(epsilon=config.layer_norm_eps)

    def build(self, input_shape: Shape | None = None) -> None:
        shape = (None, self.config.hidden_size)
        self.dense.build(shape)
        self.layer_norm.build(shape)

    def call(self, rows: Tensor, training: bool | None = None) -> Tensor:
        x = self.dense(rows)
        x = activate(x, self.config.activation_name, training)
        return self.layer_norm(x, training=training)


class NextSentenceHead(BertLayer):
    """Whether the second text follows: float [B, D] -> float [B, 2]."""

    def build(self, input_shape: Shape | None = None) -> None:
        self.output_weights = self.add_weight(
            name="output_weights",
            shape=(2, self.config.hidden_size),
            initializer=initializer(self.config),
        )
        self.output_bias = self.add_weight(
            name="output_bias", shape=(2,), initializer="zeros"
        )

    def call(self, pooled_output: Tensor) -> Tensor:
        return linear(pooled_output, self.output_weights, self.output_bias)


def pooled_outputs(
    bert: BertModel, inputs: Inputs, training: bool | None, seed: Tensor
) -> tuple[Tensor, Tensor | None]:
    """The pooled output of one or of several sequences of each example.

    Args:
        bert: the encoder.
        inputs: as the encoder takes them, [B, S]; or a dict in which all are
            [B, N, S].
        training, seed: as in `BertModel`.

    Returns:
        float [B, D] and None; or float [B, N, D] and bool [B, N], which
        sequences are not empty.
    """
    is_dict = isinstance(inputs, dict)
    input_ids = inputs["input_ids"] if is_dict else inputs
    if len(ops.shape(input_ids)) == 2:
        return bert.pooled_output(inputs, training, seed), None
    num_sequences, length = ops.shape(input_ids)[1:]
    names = ("input_ids", "input_mask", "segment_ids")
    flat = {
        name: ops.reshape(inputs[name], (-1, length))
        for name in names
        if name in inputs
    }
    x = bert.pooled_output(flat, training, seed)
    x = ops.reshape(x, (-1, num_sequences, x.shape[-1]))
    input_mask = inputs.get("input_mask")
    if input_mask is None:
        input_mask = ops.ones_like(input_ids)
    return x, ops.any(ops.not_equal(input_mask, 0), axis=-1)


def pretraining_positions(inputs: Inputs) -> Tensor:
    """int32 [B, 1 + P]: the places that pretraining's heads read, [CLS] first.

    Args:
        inputs: of a `BertPretrainer`.
    """
    masked = ops.convert_to_tensor(inputs["masked_lm_positions"], "int32")
    first = ops.zeros((ops.shape(masked)[0], 1), "int32")
    return ops.concatenate([first, masked], axis=1)


def pretraining_answers(
    bert: BertModel,
    heads: PretrainingScope,
    vectors: Tensor,
    training: bool | None = None,
) -> dict[str, Tensor]:
    """What pretraining's heads make of the vectors at their places.

    Args:
        bert: the encoder.
        heads: those of masked LM and next sentence prediction.
        vectors: float [B, 1 + P, D], at `pretraining_positions`.
        training: as in `BertModel`.

    Returns:
        See `BertPretrainer`.
    """
    return heads(
        vectors[:, 1:],
        bert.pooler(vectors[:, 0]),
        bert.embeddings.word_embeddings,
        training=training,
    )
