"""The encoder with a task on top: one model for each kind of answer.

Shape letters: B batch, S sequence, D hidden size, C number of classes, N
sequences of an example, P predictions of a sequence, V vocabulary size.

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
from bert_tf.losses import at_least_float32
from bert_tf.modeling import BertModel
from bert_tf.pooling import NO_CHOICE, max_of_windows, mean_of_windows

# The original's heads have these whatever bert_config.json says.
CLASSIFIER_DROPOUT = 0.1
HEAD_STDDEV = 0.02


class OutputHead(Configured, keras.Model):
    """An encoder with one linear output, whose variables are at the root.

        logits = dropout(x) output_weights^T + output_bias

    Args:
        config: a `BertConfig`.
        num_outputs: how many numbers come out.
        num_inputs: width of x; the hidden size unless told.
        dropout_rate: dropout in front of it.
    """

    def __init__(
        self,
        config: BertConfig,
        num_outputs: int,
        dropout_rate: float,
        num_inputs: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config = config
        self.dropout_rate = dropout_rate
        self.bert = BertModel(config)
        self.dropout = dropout(dropout_rate)
        width = num_inputs or config.hidden_size
        self.dropout.build((None, width))
        # Made here and not in `build`, where this model's name would become
        # part of theirs: the original keeps both at the root.
        self.output_weights = keras.Variable(
            keras.initializers.TruncatedNormal(stddev=HEAD_STDDEV),
            shape=(num_outputs, width),
            name="output_weights",
        )
        self.output_bias = keras.Variable(
            "zeros", shape=(num_outputs,), name="output_bias"
        )
        self.built = True

    def output_of(self, x, training=None, seed=None):
        x = self.dropout(x, training=training, seed=seed)
        return linear(x, self.output_weights, self.output_bias)

    def get_config(self):
        return {**super().get_config(), "dropout_rate": self.dropout_rate}


@keras.saving.register_keras_serializable(package="bert_tf")
class BertClassifier(OutputHead):
    """A classifier on the pooled output: one row of logits for each text.

        logits = dropout(pooled_output) output_weights^T + output_bias

    With `hidden_units` there is a layer more between the two, which helps
    where the encoder is frozen:

        hidden = dropout(relu(dense(dropout(pooled_output))))

    Args:
        config: a `BertConfig`.
        num_labels: number of classes C.
        dropout_rate: dropout on what a layer of the head reads.
        hidden_units: width of the layer in between; None for none.
        pooling: "mean" or "max": what becomes of the logits of several
            sequences, the windows of a long text.

    Call arguments:
        inputs: as in `BertModel`; or each [B, N, S], the windows of texts.
            Windows whose `input_mask` is 0 throughout are none.
        training, seed: as in `BertModel`.

    Returns:
        float [B, C], logits.
    """

    def __init__(
        self,
        config: BertConfig,
        num_labels: int,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        hidden_units: int | None = None,
        pooling: str = "mean",
        **kwargs,
    ):
        kwargs.setdefault("name", "classifier")
        super().__init__(
            config, num_labels, dropout_rate, hidden_units, **kwargs
        )
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {', '.join(POOLINGS)}. "
                f"Received: pooling={pooling}"
            )
        self.num_labels = num_labels
        self.hidden_units = hidden_units
        self.pooling = pooling
        if hidden_units:
            self.input_dropout = dropout(dropout_rate)
            self.input_dropout.build((None, config.hidden_size))
            self.hidden = dense(
                hidden_units, config, name="hidden", activation="relu"
            )
            self.hidden.build((None, config.hidden_size))

    def call(self, inputs, training=None, seed=None):
        x, is_there = pooled_outputs(self.bert, inputs, training, seed)
        if self.hidden_units:
            x = self.input_dropout(x, training=training, seed=seed)
            x = self.hidden(x)
        logits = self.output_of(x, training, seed)
        if is_there is None:
            return logits
        return POOLINGS[self.pooling](at_least_float32(logits), is_there)

    def get_config(self):
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "hidden_units": self.hidden_units,
            "pooling": self.pooling,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class BertTokenClassifier(OutputHead):
    """One row of logits for each token: named entities, parts of speech.

        logits = dropout(sequence_output) output_weights^T + output_bias

    Devlin et al. 2018, section 5.3: what counts is the first piece of a word.

    Args:
        config: a `BertConfig`.
        num_labels: number of tags C.
        dropout_rate: dropout on the sequence output.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        float [B, S, C], logits.
    """

    def __init__(
        self,
        config: BertConfig,
        num_labels: int,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        **kwargs,
    ):
        kwargs.setdefault("name", "token_classifier")
        super().__init__(config, num_labels, dropout_rate, **kwargs)
        self.num_labels = num_labels

    def call(self, inputs, training=None, seed=None):
        outputs = self.bert(inputs, training=training, seed=seed)
        return self.output_of(outputs["sequence_output"], training, seed)

    def get_config(self):
        return {**super().get_config(), "num_labels": self.num_labels}


@keras.saving.register_keras_serializable(package="bert_tf")
class BertRelationClassifier(OutputHead):
    """One row of logits for two marked entities: which relation they have.

    Each entity has a mark before it, a token of its own. The classifier reads
    the encoder's vectors at the two marks:

        x = [sequence_output at the mark of e1; the same for e2]
        logits = dropout(x) output_weights^T + output_bias

    This is "entity markers, entity start" of Baldini Soares et al. 2019,
    https://arxiv.org/abs/1906.03158, figure 3(f).

    Args:
        config: a `BertConfig`.
        num_labels: number of relations C, each direction counting as one.
        dropout_rate: dropout on the two vectors.

    Call arguments:
        inputs: as in `BertModel`, and `entity_positions`, int [B, 2]: where
            the marks before e1 and before e2 are.
        training, seed: as in `BertModel`.

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
        kwargs.setdefault("name", "relation_classifier")
        super().__init__(
            config,
            num_labels,
            dropout_rate,
            num_inputs=2 * config.hidden_size,
            **kwargs,
        )
        self.num_labels = num_labels

    def call(self, inputs, training=None, seed=None):
        outputs = self.bert(inputs, training=training, seed=seed)
        positions = ops.convert_to_tensor(inputs["entity_positions"], "int32")
        entities = ops.take_along_axis(
            outputs["sequence_output"], positions[:, :, None], axis=1
        )
        x = ops.reshape(entities, (-1, 2 * self.config.hidden_size))
        return self.output_of(x, training, seed)

    def get_config(self):
        return {**super().get_config(), "num_labels": self.num_labels}


@keras.saving.register_keras_serializable(package="bert_tf")
class BertMultipleChoice(OutputHead):
    """One logit for each of several texts, of which one is right.

    Devlin et al. 2018, section 4.4: the score of a choice is the product of
    its pooled output with a vector.

    Args:
        config: a `BertConfig`.
        dropout_rate: dropout on the pooled output.

    Call arguments:
        inputs: as in `BertModel`, but [B, N, S], a sequence for each choice.
            One whose `input_mask` is 0 throughout is none.
        training, seed: as in `BertModel`.

    Returns:
        float [B, N], logits; at least float32, and -1e9 where there is no
        choice.
    """

    def __init__(
        self,
        config: BertConfig,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        **kwargs,
    ):
        kwargs.setdefault("name", "multiple_choice")
        super().__init__(config, 1, dropout_rate, **kwargs)

    def call(self, inputs, training=None, seed=None):
        x, is_there = pooled_outputs(self.bert, inputs, training, seed)
        logits = at_least_float32(self.output_of(x, training, seed))[..., 0]
        return ops.where(is_there, logits, NO_CHOICE)


def linear(x, weights, bias):
    """x weights^T + bias, in x's precision."""
    weights, bias = ops.cast(weights, x.dtype), ops.cast(bias, x.dtype)
    return ops.matmul(x, ops.transpose(weights)) + bias


def pooled_outputs(bert, inputs, training, seed):
    """The pooled output of one or of several sequences of each example.

    Args:
        bert: a `BertModel`.
        inputs: as it takes them, [B, S]; or a dict with `input_mask`, all of
            them [B, N, S].

    Returns:
        float [B, D] and None; or float [B, N, D] and bool [B, N], which
        sequences are not empty.
    """
    is_dict = isinstance(inputs, dict)
    input_ids = inputs["input_ids"] if is_dict else inputs
    if len(ops.shape(input_ids)) == 2:
        outputs = bert(inputs, training=training, seed=seed)
        return outputs["pooled_output"], None
    num_sequences, length = ops.shape(input_ids)[1:]
    names = ("input_ids", "input_mask", "segment_ids")
    flat = {
        name: ops.reshape(inputs[name], (-1, length))
        for name in names
        if name in inputs
    }
    x = bert(flat, training=training, seed=seed)["pooled_output"]
    x = ops.reshape(x, (-1, num_sequences, x.shape[-1]))
    return x, ops.any(ops.not_equal(inputs["input_mask"], 0), axis=-1)


POOLINGS = {"mean": mean_of_windows, "max": max_of_windows}


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
        logits = linear(sequence_output, self.output_weights, self.output_bias)
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
        return linear(x, word_embeddings, self.output_bias)


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
        return linear(pooled_output, self.output_weights, self.output_bias)
