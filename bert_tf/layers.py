"""The layers of BERT, one class for each variable scope of the original.

Shapes are written with these letters, as in the original `modeling.py`:

    B  batch size             N  number of attention heads
    S  sequence length        H  size of one head
    D  hidden size, N * H     V  vocabulary size
    T  number of rows

All layers but attention read rows of tokens, [T, D]. `places.py` says which
tokens are rows, and turns rows into the sequences that attention reads.

Layer names repeat the variable scopes of google-research/bert, so
`variable.path` *is* the name under which the original checkpoints store that
variable, e.g. `bert/encoder/layer_0/attention/self/query/kernel`.
"""

import functools
import math
from typing import Any, Self

import keras
from keras import ops

from bert_tf.backend import Shape, Tensor, recompute
from bert_tf.config import BertConfig
from bert_tf.dropout import Dropout
from bert_tf.places import AllPlaces, Places

LAYER_NORM_EPSILON = 1e-12  # The default of tf.contrib.layers.layer_norm.
MASKED_SCORE = -10000.0  # Added to the scores of positions not attended to.

register = keras.saving.register_keras_serializable(package="bert_tf")


@register
def gelu(x: Tensor) -> Tensor:
    """Gaussian Error Linear Unit, tanh form (https://arxiv.org/abs/1606.08415).

    The original uses this form and not the exact `erf` one; the two differ by
    up to 5e-4, which is visible when outputs are compared.
    """
    return keras.activations.gelu(x, approximate=True)


ACTIVATIONS = {
    "gelu": gelu,
    "relu": keras.activations.relu,
    "tanh": keras.activations.tanh,
    "linear": None,
    "": None,
    None: None,
}


def initializer(config: BertConfig) -> keras.initializers.Initializer:
    """The initial values of every weight matrix."""
    return keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def dense(
    units: int, config: BertConfig, name: str = "dense", **kwargs: Any
) -> keras.layers.Dense:
    """A dense layer with the original's initial values."""
    return keras.layers.Dense(
        units, kernel_initializer=initializer(config), name=name, **kwargs
    )


def dropout(rate: float) -> Dropout:
    """A layer whose mask depends on the seed and the layer's path."""
    return Dropout(rate, name="dropout")


def layer_norm(name: str = "LayerNorm") -> keras.layers.LayerNormalization:
    """Layer normalization with the original's epsilon and name."""
    return keras.layers.LayerNormalization(
        epsilon=LAYER_NORM_EPSILON, name=name
    )


class Configured:
    """Mixin for what a `BertConfig` describes, and Keras saves and builds."""

    config: BertConfig

    def get_config(self) -> dict[str, Any]:
        saved = super().get_config()  # type: ignore[misc]  # Keras' base class.
        return {**saved, "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        settings = dict(config)
        bert_config = BertConfig.from_dict(settings.pop("config"))
        # A mixin has no constructor that mypy could see.
        return cls(bert_config, **settings)  # type: ignore[call-arg]


class BertLayer(Configured, keras.layers.Layer):
    """A layer whose only constructor argument is the `BertConfig`.

    Every layer builds its children in `build`, the dropouts too: that fixes
    their paths, and with them variable names and dropout masks, whoever calls
    the model later.
    """

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config


@register
class Embeddings(BertLayer):
    """Sum of word, segment and position embeddings, normalized.

    Call arguments:
        input_ids: int [B, S], WordPiece ids.
        segment_ids: int [B, S], 0 for the first text, 1 for the second.
        places: which of them are rows; None for all, as sequences.

    Returns:
        float [T, D]; without `places` [B, S, D].
    """

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.layer_norm = layer_norm()
        self.dropout = dropout(config.hidden_dropout_prob)

    def build(self, input_shape: Shape | None = None) -> None:
        def table(name, rows):
            return self.add_weight(
                name=name,
                shape=(rows, self.config.hidden_size),
                initializer=initializer(self.config),
            )

        self.word_embeddings = table("word_embeddings", self.config.vocab_size)
        self.token_type_embeddings = table(
            "token_type_embeddings", self.config.type_vocab_size
        )
        self.position_embeddings = table(
            "position_embeddings", self.config.max_position_embeddings
        )
        hidden_shape = (None, self.config.hidden_size)
        self.layer_norm.build(hidden_shape)
        self.dropout.build(hidden_shape)

    def call(
        self,
        input_ids: Tensor,
        segment_ids: Tensor,
        places: Places | None = None,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        if places is None:
            places = AllPlaces(ops.ones_like(input_ids))
            rows = self.call(
                input_ids, segment_ids, places, training=training, seed=seed
            )
            return places.sequences(rows)
        words = ops.take(self.word_embeddings, places.rows(input_ids), axis=0)
        # A matrix product is faster than a lookup in so small a table, and an
        # id outside it adds nothing instead of failing, as in the original.
        segments = ops.matmul(
            ops.one_hot(
                places.rows(segment_ids),
                self.config.type_vocab_size,
                dtype=words.dtype,
            ),
            ops.cast(self.token_type_embeddings, words.dtype),
        )
        positions = places.positions(self.position_embeddings)
        embeddings = self.layer_norm(words + segments + positions)
        return self.dropout(embeddings, training=training, seed=seed)


@register
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
        def heads(rows):  # [T, D] -> [B, N, S, H]
            return self.split_heads(places.to_attention(rows))

        query = heads(self.query(rows)) * self.scale
        key, value = heads(self.key(rows)), heads(self.value(rows))

        scores = ops.matmul(query, ops.swapaxes(key, -1, -2))  # [B, N, S, S]
        mask = ops.cast(places.attention_mask, scores.dtype)[:, None]
        scores = scores + (1.0 - mask) * MASKED_SCORE

        # This drops whole tokens from attention, which is what Vaswani et al.
        # do and what the released models were trained with.
        probs = self.dropout(ops.softmax(scores), training=training, seed=seed)
        context = self.join_heads(ops.matmul(probs, value))  # [B, S, D]
        return places.from_attention(context)

    @property
    def scale(self) -> float:
        """1 / sqrt(H)."""
        return math.sqrt(
            self.config.num_attention_heads / self.config.hidden_size
        )

    def split_heads(self, x: Tensor) -> Tensor:
        """Turns [B, S, D] into [B, N, S, H]."""
        heads = self.config.num_attention_heads
        size_per_head = self.config.hidden_size // heads
        batch, length = ops.shape(x)[0], ops.shape(x)[1]
        x = ops.reshape(x, (batch, length, heads, size_per_head))
        return ops.transpose(x, (0, 2, 1, 3))

    def join_heads(self, x: Tensor) -> Tensor:
        """Turns [B, N, S, H] into [B, S, D]."""
        batch, length = ops.shape(x)[0], ops.shape(x)[2]
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (batch, length, self.config.hidden_size))


@register
class ResidualOutput(BertLayer):
    """`LayerNorm(residual + dropout(dense(x)))`: how both sublayers end."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.dense = dense(config.hidden_size, config)
        self.dropout = dropout(config.hidden_dropout_prob)
        self.layer_norm = layer_norm()

    def build(
        self, input_shape: Shape, residual_shape: Shape | None = None
    ) -> None:
        self.dense.build(input_shape)
        hidden_shape = (*input_shape[:-1], self.config.hidden_size)
        self.dropout.build(hidden_shape)
        self.layer_norm.build(hidden_shape)

    def call(
        self,
        x: Tensor,
        residual: Tensor,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        x = self.dropout(self.dense(x), training=training, seed=seed)
        return self.layer_norm(x + residual)


@register
class Attention(BertLayer):
    """Self-attention, then projection, residual and normalization."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.self_attention = SelfAttention(config, name="self")
        self.output_projection = ResidualOutput(config, name="output")

    def build(self, input_shape: Shape) -> None:
        self.self_attention.build(input_shape)
        self.output_projection.build(input_shape)

    def call(
        self,
        rows: Tensor,
        places: Places,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        context = self.self_attention(
            rows, places=places, training=training, seed=seed
        )
        return self.output_projection(
            context, rows, training=training, seed=seed
        )


@register
class Intermediate(BertLayer):
    """The widening half of the feed-forward network."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.dense = dense(
            config.intermediate_size,
            config,
            activation=ACTIVATIONS[config.activation_name],
        )

    def build(self, input_shape: Shape) -> None:
        self.dense.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return self.dense(x)


@register
class TransformerLayer(BertLayer):
    """One layer of the encoder: attention, then feed-forward."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.attention = Attention(config, name="attention")
        self.intermediate = Intermediate(config, name="intermediate")
        self.output_projection = ResidualOutput(config, name="output")

    def build(self, input_shape: Shape) -> None:
        self.attention.build(input_shape)
        self.intermediate.build(input_shape)
        self.output_projection.build(
            (*input_shape[:-1], self.config.intermediate_size)
        )

    def call(
        self,
        rows: Tensor,
        places: Places,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        attended = self.attention(
            rows, places=places, training=training, seed=seed
        )
        return self.output_projection(
            self.intermediate(attended), attended, training=training, seed=seed
        )


@register
class Encoder(BertLayer):
    """The stack of transformer layers; returns the output of each.

    Call arguments:
        hidden_states: float [T, D]; without `places` [B, S, D].
        input_mask: int [B, S]; with `places` None.
        places: where the rows are; None for sequences.

    Attributes:
        recompute: whether training computes each layer again in the backward
            pass, instead of keeping all that is inside it.
    """

    recompute = False

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.transformer_layers = [
            TransformerLayer(config, name=f"layer_{i}")
            for i in range(config.num_hidden_layers)
        ]

    def build(self, input_shape: Shape) -> None:
        for layer in self.transformer_layers:
            layer.build(input_shape)

    def call(
        self,
        hidden_states: Tensor,
        input_mask: Tensor | None = None,
        places: Places | None = None,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> list[Tensor]:
        if places is None:
            places = AllPlaces(input_mask)
            rows = places.rows(hidden_states)
            all_rows = self.call(rows, None, places, training, seed)
            return [places.sequences(rows) for rows in all_rows]
        rows, all_encoder_layers = hidden_states, []
        for layer in self.transformer_layers:
            if training and self.recompute:
                run = recompute(
                    functools.partial(_training_call, layer, places)
                )
                rows = run(rows, seed)
            else:
                rows = layer(rows, places=places, training=training, seed=seed)
            all_encoder_layers.append(rows)
        return all_encoder_layers


def _training_call(layer, places, rows, seed):
    return layer(rows, places=places, training=True, seed=seed)


@register
class Pooler(BertLayer):
    """A tanh layer on the [CLS] token: float [B, D] -> [B, D]."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.dense = dense(config.hidden_size, config, activation="tanh")

    def build(self, input_shape: Shape) -> None:
        self.dense.build(input_shape)

    def call(self, first_token: Tensor) -> Tensor:
        return self.dense(first_token)
