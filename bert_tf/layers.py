"""The layers of BERT, one class for each variable scope of the original.

Shapes are written with these letters, as in the original `modeling.py`:

    B  batch size             N  number of attention heads
    S  sequence length        H  size of one head
    D  hidden size, N * H     V  vocabulary size

Layer names repeat the variable scopes of google-research/bert, so
`variable.path` *is* the name under which the original checkpoints store that
variable, e.g. `bert/encoder/layer_0/attention/self/query/kernel`.
"""

import functools
import math
import zlib

import keras
from keras import ops

from bert_tf.config import BertConfig

LAYER_NORM_EPSILON = 1e-12  # The default of tf.contrib.layers.layer_norm.
MASKED_SCORE = -10000.0  # Added to the scores of positions not attended to.

register = keras.saving.register_keras_serializable(package="bert_tf")


@register
def gelu(x):
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
    return keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def dense(units: int, config: BertConfig, name: str = "dense", **kwargs):
    return keras.layers.Dense(
        units, kernel_initializer=initializer(config), name=name, **kwargs
    )


def fold_in(seed, datum):
    """A new seed for each value of `datum`: int32 [2], int32 -> int32 [2]."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.experimental.stateless_fold_in(
            seed, tf.cast(datum, tf.int32), alg="philox"
        )
    import jax

    key = jax.random.wrap_key_data(ops.cast(seed, "uint32"))
    data = jax.random.key_data(jax.random.fold_in(key, datum))
    return ops.cast(data, "int32")


def random_bits(shape, seed):
    """uint32 of `shape`, a function of `seed` (int32 [2]) and nothing else."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.stateless_uniform(
            shape, seed, None, None, tf.uint32, alg="philox"
        )
    import jax

    key = jax.random.wrap_key_data(ops.cast(seed, "uint32"))
    return jax.random.bits(key, shape, "uint32")


@register
class Dropout(keras.layers.Dropout):
    """Dropout whose mask is a function of a seed and this layer's path.

    With a seed from outside, replicas draw different masks, a resumed run
    draws those it would have drawn, and a recomputed layer those it drew
    before. None of this holds for a generator that keeps its state in a
    variable, which is what Keras does, and this layer too without a seed:
    that serves `fit` and notebooks.

    Call arguments:
        inputs: float tensor of any shape.
        training: nothing is dropped unless it is true.
        seed: int32 [2], or None.

    Returns:
        The inputs, each one zero with probability `rate`, else divided by
        `1 - rate`.
    """

    def call(self, inputs, training=False, seed=None):
        if not training or not self.rate:
            return inputs
        if seed is None:
            return super().call(inputs, training=training)
        path_hash = zlib.crc32(self.path.encode()) & 0x7FFFFFFF
        # Bits and a threshold, not a random float: XLA makes other floats of
        # the same bits, and a bfloat16 in [0, 1) has only 128 values.
        bits = random_bits(ops.shape(inputs), fold_in(seed, path_hash))
        keep = bits >= ops.convert_to_tensor(
            int(self.rate * 2**32), dtype="uint32"
        )
        return ops.where(
            keep, inputs / (1.0 - self.rate), ops.zeros_like(inputs)
        )


def dropout(rate: float):
    return Dropout(rate, name="dropout")


def layer_norm(name: str = "LayerNorm"):
    return keras.layers.LayerNormalization(
        epsilon=LAYER_NORM_EPSILON, name=name
    )


class Configured:
    """What is made of a `BertConfig`, and so can be saved and made again."""

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(BertConfig.from_dict(config.pop("config")), **config)


class BertLayer(Configured, keras.layers.Layer):
    """A layer whose only constructor argument is the `BertConfig`.

    Every layer builds its children in `build`, the dropouts too: that fixes
    their paths, and with them variable names and dropout masks, whoever calls
    the model later.
    """

    def __init__(self, config: BertConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config


@register
class Embeddings(BertLayer):
    """Sum of word, segment and position embeddings, normalized.

    Call arguments:
        input_ids: int [B, S], WordPiece ids.
        segment_ids: int [B, S], 0 for the first text, 1 for the second.

    Returns:
        float [B, S, D].
    """

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.layer_norm = layer_norm()
        self.dropout = dropout(config.hidden_dropout_prob)

    def build(self, input_shape=None):
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
        hidden_shape = (None, None, self.config.hidden_size)
        self.layer_norm.build(hidden_shape)
        self.dropout.build(hidden_shape)

    def call(self, input_ids, segment_ids, training=None, seed=None):
        words = ops.take(self.word_embeddings, input_ids, axis=0)
        # A matrix product is faster than a lookup in so small a table, and an
        # id outside it adds nothing instead of failing, as in the original.
        segments = ops.matmul(
            ops.one_hot(
                segment_ids, self.config.type_vocab_size, dtype=words.dtype
            ),
            ops.cast(self.token_type_embeddings, words.dtype),
        )
        positions = self.position_embeddings[: ops.shape(input_ids)[1]]
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
        hidden_states: float [B, S, D].
        input_mask: int [B, S], 1 for tokens and 0 for padding.

    Returns:
        float [B, S, D], the heads' outputs side by side, not yet projected.
    """

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.query = dense(config.hidden_size, config, name="query")
        self.key = dense(config.hidden_size, config, name="key")
        self.value = dense(config.hidden_size, config, name="value")
        self.dropout = dropout(config.attention_probs_dropout_prob)

    def build(self, input_shape):
        for projection in (self.query, self.key, self.value):
            projection.build(input_shape)
        self.dropout.build(input_shape)

    def call(self, hidden_states, input_mask, training=None, seed=None):
        query = self.split_heads(self.query(hidden_states))  # [B, N, S, H]
        key = self.split_heads(self.key(hidden_states))  # [B, N, S, H]
        value = self.split_heads(self.value(hidden_states))  # [B, N, S, H]

        scores = ops.matmul(query, ops.swapaxes(key, -1, -2))  # [B, N, S, S]
        scores = scores * (1.0 / math.sqrt(query.shape[-1]))
        mask = ops.cast(input_mask, scores.dtype)[:, None, None, :]
        scores = scores + (1.0 - mask) * MASKED_SCORE

        # This drops whole tokens from attention, which is what Vaswani et al.
        # do and what the released models were trained with.
        probs = self.dropout(ops.softmax(scores), training=training, seed=seed)
        context = ops.transpose(ops.matmul(probs, value), (0, 2, 1, 3))
        return ops.reshape(context, ops.shape(hidden_states))  # [B, S, D]

    def split_heads(self, x):
        """Turns [B, S, D] into [B, N, S, H]."""
        heads = self.config.num_attention_heads
        size_per_head = self.config.hidden_size // heads
        batch, length = ops.shape(x)[0], ops.shape(x)[1]
        x = ops.reshape(x, (batch, length, heads, size_per_head))
        return ops.transpose(x, (0, 2, 1, 3))


@register
class ResidualOutput(BertLayer):
    """`LayerNorm(residual + dropout(dense(x)))`: how both sublayers end."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dense = dense(config.hidden_size, config)
        self.dropout = dropout(config.hidden_dropout_prob)
        self.layer_norm = layer_norm()

    def build(self, input_shape, residual_shape=None):
        self.dense.build(input_shape)
        hidden_shape = (*input_shape[:-1], self.config.hidden_size)
        self.dropout.build(hidden_shape)
        self.layer_norm.build(hidden_shape)

    def call(self, x, residual, training=None, seed=None):
        x = self.dropout(self.dense(x), training=training, seed=seed)
        return self.layer_norm(x + residual)


@register
class Attention(BertLayer):
    """Self-attention, then projection, residual and normalization."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.self_attention = SelfAttention(config, name="self")
        self.output_projection = ResidualOutput(config, name="output")

    def build(self, input_shape):
        self.self_attention.build(input_shape)
        self.output_projection.build(input_shape)

    def call(self, hidden_states, input_mask, training=None, seed=None):
        context = self.self_attention(
            hidden_states, input_mask, training=training, seed=seed
        )
        return self.output_projection(
            context, hidden_states, training=training, seed=seed
        )


@register
class Intermediate(BertLayer):
    """The widening half of the feed-forward network."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dense = dense(
            config.intermediate_size,
            config,
            activation=ACTIVATIONS[config.activation_name],
        )

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        return self.dense(x)


@register
class TransformerLayer(BertLayer):
    """One layer of the encoder: attention, then feed-forward."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.attention = Attention(config, name="attention")
        self.intermediate = Intermediate(config, name="intermediate")
        self.output_projection = ResidualOutput(config, name="output")

    def build(self, input_shape):
        self.attention.build(input_shape)
        self.intermediate.build(input_shape)
        self.output_projection.build(
            (*input_shape[:-1], self.config.intermediate_size)
        )

    def call(self, hidden_states, input_mask, training=None, seed=None):
        attended = self.attention(
            hidden_states, input_mask, training=training, seed=seed
        )
        return self.output_projection(
            self.intermediate(attended), attended, training=training, seed=seed
        )


def recompute(function):
    """`function(x, *rest)` that forgets all but its arguments.

    The backward pass computes it again, which costs a third more time and
    saves the memory of everything inside (Chen et al. 2016,
    https://arxiv.org/abs/1604.06174). Gradients go to `x` and to variables.
    All tensors that `function` needs must be arguments, a dropout seed too:
    then the second computation draws the same masks.
    """
    if keras.backend.backend() != "tensorflow":
        import jax

        return jax.checkpoint(function)
    import tensorflow as tf

    @tf.custom_gradient
    def run(x, *rest):
        def backward(upstream, variables=None):
            variables = list(variables or [])
            # Zero, but nobody knows before `upstream` is there: else TensorFlow
            # or XLA would find the computation to be the one already done.
            flag = tf.cast(tf.reshape(upstream, [-1])[0], tf.bool)
            zero = tf.where(flag == flag, 0.0, float("nan"))
            again = [arg + tf.cast(zero, arg.dtype) for arg in (x, *rest)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([again[0], *variables])
                outputs = function(*again)
            to_x, *to_variables = tape.gradient(
                outputs,
                [again[0], *variables],
                upstream,
                unconnected_gradients="zero",
            )
            return [to_x, *[None] * len(rest)], to_variables

        return function(x, *rest), backward

    return run


@register
class Encoder(BertLayer):
    """The stack of transformer layers; returns the output of each.

    Attributes:
        recompute: whether training computes each layer anew in the backward
            pass instead of keeping what is inside it.
    """

    recompute = False

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.transformer_layers = [
            TransformerLayer(config, name=f"layer_{i}")
            for i in range(config.num_hidden_layers)
        ]

    def build(self, input_shape):
        for layer in self.transformer_layers:
            layer.build(input_shape)

    def call(self, hidden_states, input_mask, training=None, seed=None):
        all_encoder_layers = []
        for layer in self.transformer_layers:
            if training and self.recompute:
                run = recompute(functools.partial(_training_call, layer))
                hidden_states = run(hidden_states, input_mask, seed)
            else:
                hidden_states = layer(
                    hidden_states, input_mask, training=training, seed=seed
                )
            all_encoder_layers.append(hidden_states)
        return all_encoder_layers


def _training_call(layer, hidden_states, input_mask, seed):
    return layer(hidden_states, input_mask, training=True, seed=seed)


@register
class Pooler(BertLayer):
    """A tanh layer on the [CLS] token: float [B, S, D] -> [B, D]."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dense = dense(config.hidden_size, config, activation="tanh")

    def build(self, input_shape):
        self.dense.build((input_shape[0], input_shape[-1]))

    def call(self, sequence_output):
        return self.dense(sequence_output[:, 0])
