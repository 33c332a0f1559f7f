"""The encoder with a task on top: one model for each kind of answer.

Shape letters: B batch, S sequence, D hidden size, C number of classes, P
predictions of a sequence, V vocabulary size.

The layers here that only hold others are variable scopes of the original.
"""

import keras
from keras import ops

from bert_tf.config import BertConfig
from bert_tf.layers import (
    ACTIVATIONS,
    BertLayer,
    Configured,
    dense,
    dropout,
    initializer,
    layer_norm,
)
from bert_tf.modeling import BertModel

# The original's heads have these whatever bert_config.json says.
CLASSIFIER_DROPOUT = 0.1
HEAD_STDDEV = 0.02


@keras.saving.register_keras_serializable(package="bert_tf")
class BertClassifier(Configured, keras.Model):
    """A linear classifier on the pooled output: one label for each text.

        logits = dropout(pooled_output) output_weights^T + output_bias

    Args:
        config: a `BertConfig`.
        num_labels: number of classes C.
        dropout_rate: dropout on the pooled output.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        float [B, C], logits.
    """

    def __init__(
        self,
        config: BertConfig,
        num_labels: int,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        **kwargs,
    ):
        kwargs.setdefault("name", "classifier")
        super().__init__(**kwargs)
        self.config = config
        self.num_labels = num_labels
        self.dropout_rate = dropout_rate
        self.bert = BertModel(config)
        self.dropout = dropout(dropout_rate)
        self.dropout.build((None, config.hidden_size))
        # Made here and not in `build`, where this model's name would become
        # part of theirs: the original keeps both at the root.
        self.output_weights = keras.Variable(
            keras.initializers.TruncatedNormal(stddev=HEAD_STDDEV),
            shape=(num_labels, config.hidden_size),
            name="output_weights",
        )
        self.output_bias = keras.Variable(
            "zeros", shape=(num_labels,), name="output_bias"
        )
        self.built = True

    def call(self, inputs, training=None, seed=None):
        pooled_output = self.bert(inputs, training=training, seed=seed)[
            "pooled_output"
        ]
        pooled_output = self.dropout(
            pooled_output, training=training, seed=seed
        )
        weights = ops.cast(self.output_weights, pooled_output.dtype)
        bias = ops.cast(self.output_bias, pooled_output.dtype)
        return ops.matmul(pooled_output, ops.transpose(weights)) + bias

    def get_config(self):
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "dropout_rate": self.dropout_rate,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class BertSpanLabeler(Configured, keras.Model):
    """Marks the start and the end of an answer: question answering.

        start_logits, end_logits =
            sequence_output output_weights^T + output_bias

    There is no dropout between encoder and head, as in the original.

    Args:
        config: a `BertConfig`.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        A dict:
            start_logits: float [B, S], whether the answer starts here.
            end_logits: float [B, S], whether it ends here, this token included.
    """

    def __init__(self, config: BertConfig, **kwargs):
        kwargs.setdefault("name", "span_labeler")
        super().__init__(**kwargs)
        self.config = config
        self.bert = BertModel(config)
        self.cls = SquadScope(config.hidden_size, name="cls")
        self.built = True

    def call(self, inputs, training=None, seed=None):
        sequence_output = self.bert(inputs, training=training, seed=seed)[
            "sequence_output"
        ]
        return self.cls(sequence_output)


class SquadScope(keras.layers.Layer):
    """`cls/squad` of the original's variable names."""

    def __init__(self, hidden_size: int, **kwargs):
        super().__init__(**kwargs)
        self.squad = SpanHead(hidden_size, name="squad")
        self.build()

    def build(self, input_shape=None):
        self.squad.build()

    def call(self, sequence_output):
        return self.squad(sequence_output)


class SpanHead(keras.layers.Layer):
    """Two numbers for each token: float [B, S, D] -> two of [B, S]."""

    def __init__(self, hidden_size: int, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size = hidden_size

    def build(self, input_shape=None):
        self.output_weights = self.add_weight(
            name="output_weights",
            shape=(2, self.hidden_size),
            initializer=keras.initializers.TruncatedNormal(stddev=HEAD_STDDEV),
        )
        self.output_bias = self.add_weight(
            name="output_bias", shape=(2,), initializer="zeros"
        )

    def call(self, sequence_output):
        weights = ops.cast(self.output_weights, sequence_output.dtype)
        bias = ops.cast(self.output_bias, sequence_output.dtype)
        logits = ops.matmul(sequence_output, ops.transpose(weights)) + bias
        start_logits, end_logits = ops.unstack(logits, axis=-1)
        return {"start_logits": start_logits, "end_logits": end_logits}


@keras.saving.register_keras_serializable(package="bert_tf")
class BertPretrainer(Configured, keras.Model):
    """What BERT learns from text alone: masked LM and next sentence prediction.

    Both heads as in Devlin et al. 2018, section 3.1. Only the masked positions
    go through the output layer, whose matrix is the word embedding table:
    there never is a tensor [B, S, V].

    Args:
        config: a `BertConfig`.

    Call arguments:
        inputs: as in `BertModel`, and `masked_lm_positions`, int [B, P]: where
            the masked tokens are.
        training, seed: as in `BertModel`.

    Returns:
        A dict:
            mlm_logits: float [B, P, V], which token was there.
            nsp_logits: float [B, 2], whether the second text follows the
                first (0), or comes from elsewhere (1).
    """

    def __init__(self, config: BertConfig, **kwargs):
        kwargs.setdefault("name", "pretrainer")
        super().__init__(**kwargs)
        self.config = config
        self.bert = BertModel(config)
        self.cls = PretrainingScope(config, name="cls")
        self.built = True

    def call(self, inputs, training=None, seed=None):
        outputs = self.bert(inputs, training=training, seed=seed)
        positions = ops.convert_to_tensor(
            inputs["masked_lm_positions"], "int32"
        )
        masked = ops.take_along_axis(
            outputs["sequence_output"], positions[:, :, None], axis=1
        )
        return self.cls(
            masked,
            outputs["pooled_output"],
            self.bert.embeddings.word_embeddings,
        )


class PretrainingScope(BertLayer):
    """`cls` of the original's variable names, with both heads."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.predictions = MaskedLMHead(config, name="predictions")
        self.seq_relationship = NextSentenceHead(
            config, name="seq_relationship"
        )
        self.build()

    def build(self, input_shape=None):
        self.predictions.build()
        self.seq_relationship.build()

    def call(self, masked, pooled_output, word_embeddings):
        return {
            "mlm_logits": self.predictions(masked, word_embeddings),
            "nsp_logits": self.seq_relationship(pooled_output),
        }


class MaskedLMHead(BertLayer):
    """Which token was here: float [B, P, D] -> [B, P, V]."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.transform = MaskedLMTransform(config, name="transform")

    def build(self, input_shape=None):
        self.transform.build()
        self.output_bias = self.add_weight(
            name="output_bias",
            shape=(self.config.vocab_size,),
            initializer="zeros",
        )

    def call(self, masked, word_embeddings):
        x = self.transform(masked)
        table = ops.cast(word_embeddings, x.dtype)
        bias = ops.cast(self.output_bias, x.dtype)
        return ops.matmul(x, ops.transpose(table)) + bias


class MaskedLMTransform(BertLayer):
    """One more nonlinear layer in front of the masked LM's output."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dense = dense(
            config.hidden_size,
            config,
            activation=ACTIVATIONS[config.activation_name],
        )
        self.layer_norm = layer_norm()

    def build(self, input_shape=None):
        shape = (None, None, self.config.hidden_size)
        self.dense.build(shape)
        self.layer_norm.build(shape)

    def call(self, masked):
        return self.layer_norm(self.dense(masked))


class NextSentenceHead(BertLayer):
    """Whether B follows A: float [B, D] -> [B, 2]."""

    def build(self, input_shape=None):
        self.output_weights = self.add_weight(
            name="output_weights",
            shape=(2, self.config.hidden_size),
            initializer=initializer(self.config),
        )
        self.output_bias = self.add_weight(
            name="output_bias", shape=(2,), initializer="zeros"
        )

    def call(self, pooled_output):
        weights = ops.cast(self.output_weights, pooled_output.dtype)
        bias = ops.cast(self.output_bias, pooled_output.dtype)
        return ops.matmul(pooled_output, ops.transpose(weights)) + bias
