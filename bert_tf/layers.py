"""The layers of BERT, one class for each variable scope of the original.

Shapes are written with these letters, as in the original `modeling.py`:

    B  batch size             N  number of attention heads
    S  sequence length        H  size of one head
    D  hidden size, N * H     V  vocabulary size
    T  number of rows         Q  places of a sequence whose outputs are needed

All layers but attention read rows of tokens, [T, D]. `places.py` says which
tokens are rows, and turns rows into the sequences that attention reads.

Layer names repeat the variable scopes of google-research/bert, so
`variable.path` *is* the name under which the original checkpoints store that
variable, e.g. `bert/encoder/layer_0/attention/self/query/kernel`.
"""

import functools
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from bert_tf.activations import activate
from bert_tf.attention import SelfAttention
from bert_tf.backend import Shape, Tensor, recompute
from bert_tf.bert_layer import BertLayer, dense, dropout, initializer
from bert_tf.config import BertConfig
from bert_tf.layer_norm import LayerNorm
from bert_tf.places import AllPlaces, Places

register = keras.saving.register_keras_serializable(package="bert_tf")

# Word embeddings as int8 [V, D], int32 [V, 1] and a number: their product.
Int8Words: TypeAlias = tuple[np.ndarray, np.ndarray, float]


@register
class Embeddings(BertLayer):
    """Sum of word, segment and position embeddings, normalized.

    Call arguments:
        input_ids: int [B, S], WordPiece ids.
        segment_ids: int [B, S], 0 for the first text, 1 for the second.
        places: which of them are rows; None for all, as sequences.

    Attributes:
        int8_words: what is looked up in place of the word embeddings; None
            for these.
        given_words: float [T, D], taken in place of the word embeddings of the
            ids, see `modeling.words_given`; None to look them up.

    Returns:
        float [T, D]; without `places` [B, S, D].
    """

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.layer_norm = LayerNorm(epsilon=config.layer_norm_eps)
        self.dropout = dropout(config.hidden_dropout_prob)
        self.int8_words: Int8Words | None = None
        self.given_words: Tensor | None = None

    def build(self, input_shape: Shape | None = None) -> None:
        def table(name, rows):
            return self.add_weight(
                name=name,
                shape=(rows, self.config.hidden_size),
                initializer=initializer(self.config),
                # A lookup casts the few rows that it reads, not the table.
                autocast=False,
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
        words = self._words(places.rows(input_ids))
        # A matrix product is faster than a lookup in so small a table, and an
        # id outside it adds nothing instead of failing, as in the original.
        segments = ops.matmul(
            ops.one_hot(
                places.rows(segment_ids),
                self.config.type_vocab_size,
                dtype=words.dtype,
            ),
            self.token_type_embeddings,
        )
        positions = places.positions(self.position_embeddings)
        embeddings = self.layer_norm(
            words + segments + positions, training=training
        )
        return self.dropout(embeddings, training=training, seed=seed)

    def _words(self, ids):
        if self.given_words is not None:
            return self.given_words
        return look_up(self.word_embeddings, self.int8_words, ids)


def look_up(table: Tensor, int8_words: Int8Words | None, ids: Tensor) -> Tensor:
    """The rows of a table, float [V, D] and int [...] -> [..., D].

    Args:
        table: the table.
        int8_words: what is looked up in its place; None for the table.
        ids: numbers of rows.
    """
    if int8_words is None:
        return ops.take(table, ids, axis=0)
    rounded, scales, unit = int8_words
    rows, scales = (
        ops.cast(ops.take(x, ids, axis=0), "float32") for x in (rounded, scales)
    )
    return rows * (scales * unit)


@register
class ResidualOutput(BertLayer):
    """`LayerNorm(residual + dropout(dense(x)))`: how both sublayers end."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.dense = dense(config.hidden_size, config)
        self.dropout = dropout(config.hidden_dropout_prob)
        self.layer_norm = LayerNorm(epsilon=config.layer_norm_eps)

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
        x = self.dense(x)
        mask = self.dropout.mask(
            ops.shape(x), self.layer_norm.variable_dtype, training, seed
        )
        return self.layer_norm(x, residual, mask, training=training)


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
        readers: Tensor | None = None,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        context = self.self_attention(
            rows, places=places, readers=readers, training=training, seed=seed
        )
        return self.output_projection(
            context,
            rows if readers is None else readers,
            training=training,
            seed=seed,
        )


@register
class Intermediate(BertLayer):
    """The widening half of the feed-forward network."""

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.dense = dense(config.intermediate_size, config)

    def build(self, input_shape: Shape) -> None:
        self.dense.build(input_shape)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        x = self.dense(x)
        return activate(x, self.config.activation_name, training)


@register
class TransformerLayer(BertLayer):
    """One layer of the encoder: attention, then feed-forward.

    Call arguments:
        rows: float [T, D].
        places: where they are.
        positions: int [B, Q], the places whose outputs are needed; None for
            all rows.

    Returns:
        float [T, D]; with `positions` [B Q, D].
    """

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
        positions: Tensor | None = None,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        readers = None
        if positions is not None:
            readers = places.at(rows, positions)
            readers = ops.reshape(readers, (-1, self.config.hidden_size))
        attended = self.attention(
            rows, places=places, readers=readers, training=training, seed=seed
        )
        widened = self.intermediate(attended, training=training)
        return self.output_projection(
            widened, attended, training=training, seed=seed
        )


@register
class Encoder(BertLayer):
    """The stack of transformer layers; returns the output of each.

    Call arguments:
        hidden_states: float [T, D]; without `places` [B, S, D].
        input_mask: int [B, S]; not needed if `places` is given.
        places: where the rows are; None if `hidden_states` are sequences.
        positions: int [B, Q], the places whose outputs of the last layer are
            needed; None for all. With them the last output is [B Q, D].

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
        positions: Tensor | None = None,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> list[Tensor]:
        if places is None:
            places = AllPlaces(input_mask)
            rows = places.rows(hidden_states)
            all_rows = self.call(
                rows, places=places, training=training, seed=seed
            )
            return [places.sequences(rows) for rows in all_rows]
        rows, all_encoder_layers = hidden_states, []
        *_, last = self.transformer_layers
        for layer in self.transformer_layers:
            needed = positions if layer is last else None
            if training and self.recompute:
                run = recompute(
                    functools.partial(_training_call, layer, places, needed)
                )
                rows = run(rows, seed)
            else:
                rows = layer(
                    rows,
                    places=places,
                    positions=needed,
                    training=training,
                    seed=seed,
                )
            all_encoder_layers.append(rows)
        return all_encoder_layers


def _training_call(layer, places, positions, rows, seed):
    return layer(
        rows, places=places, positions=positions, training=True, seed=seed
    )


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
