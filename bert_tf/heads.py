"""The encoder with a task on top: one model for each kind of answer.

Shape letters: B batch, S sequence, D hidden size, C number of classes, N
sequences of an example, P predictions of a sequence, V vocabulary size.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.attention import MASKED_SCORE
from bert_tf.backend import Shape, Tensor, at_least_float32
from bert_tf.bert_layer import dense, dropout, made_with
from bert_tf.choices import CLASSIFIER_DROPOUT
from bert_tf.config import BertConfig
from bert_tf.configured_model import ConfiguredModel, Inputs
from bert_tf.head_layers import (
    OutputHead,
    PretrainingScope,
    SquadScope,
    pooled_outputs,
    pretraining_answers,
    pretraining_positions,
)
from bert_tf.modeling import BertModel
from bert_tf.pooling import NO_CHOICE, WINDOW_POOLINGS


@keras.saving.register_keras_serializable(package="bert_tf")
class BertClassifier(OutputHead):
    """A classifier on the pooled output: one row of logits for each text.

        logits = dropout(pooled_output) output_weights^T + output_bias

    With `hidden_units` there is one more layer before the logits, which helps
    where the encoder is frozen:

        hidden = dropout(relu(dense(dropout(pooled_output))))

    Args:
        config: a `BertConfig`.
        num_labels: number of classes C.
        dropout_rate: dropout on the inputs of each layer of the head.
        hidden_units: width of the additional layer; None for no such layer.
        pooling: "mean" or "max" of the logits of a long text's windows; see
            `pooling.WINDOW_POOLINGS`.

    Call arguments:
        inputs: as in `BertModel`; or each [B, N, S], N windows of each text.
            A window whose `input_mask` is all zeros does not count.
        training, seed: as in `BertModel`.

    Returns:
        float [B, C], logits; of windows at least float32.

    Raises:
        ValueError: the pooling is unknown.

    Example, from texts to logits:

        import numpy as np
        from bert_tf import BertConfig, BertPreprocessor
        from bert_tf.checkpoints import load_weights
        from bert_tf.heads import BertClassifier
        from bert_tf.pretrained import BUNDLED_MODEL

        config = BertConfig.from_json_file(BUNDLED_MODEL["bert_config_file"])
        model = BertClassifier(config, num_labels=2)
        load_weights(model, BUNDLED_MODEL["init_checkpoint"])
        preprocess = BertPreprocessor(
            BUNDLED_MODEL["vocab_file"], max_seq_length=32
        )
        logits = model(preprocess(["a text", "another one"]))  # [2, 2]

        # From ids, which need no preprocessing.
        logits = model({"input_ids": np.array([[2, 7, 9, 3]])})  # [1, 2]

        # A model of your own, with random weights.
        config = BertConfig(
            vocab_size=100,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=256,
        )
        model = BertClassifier(config, num_labels=3)
    """

    reads_padding = False
    kinds = ("single_label", "multi_label", "regression")

    def __init__(
        self,
        config: BertConfig,
        num_labels: int,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        hidden_units: int | None = None,
        pooling: str = "mean",
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "classifier")
        super().__init__(
            config, num_labels, dropout_rate, hidden_units, **kwargs
        )
        if pooling not in WINDOW_POOLINGS:
            raise ValueError(
                f"pooling must be one of {', '.join(WINDOW_POOLINGS)}. "
                f"Received: pooling={pooling}"
            )
        self.num_labels = num_labels
        self.hidden_units = hidden_units
        self.pooling = pooling
        if hidden_units:
            with made_with(self.dtype_policy):
                self.input_dropout = dropout(dropout_rate)
                self.hidden = dense(
                    hidden_units, config, name="hidden", activation="relu"
                )
            self.input_dropout.build((None, config.hidden_size))
            self.hidden.build((None, config.hidden_size))

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        x, is_there = pooled_outputs(self.bert, inputs, training, seed)
        if self.hidden_units:
            x = self.input_dropout(x, training=training, seed=seed)
            x = self.hidden(x)
        logits = self.output_of(x, training, seed)
        if is_there is None:
            return logits
        return self.pool_windows(logits, is_there)

    def vectors(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        """The pooled output of each text, float [B, D], at least float32.

        It is what the logits are computed of, without dropout, and what
        training on pairs compares.
        """
        return at_least_float32(self.bert.pooled_output(inputs, training, seed))

    def pool_windows(self, logits: Tensor, is_there: Tensor) -> Tensor:
        """The logits of texts, from those of their windows.

        Args:
            logits: float [B, N, C].
            is_there: bool [B, N], which windows are not empty.

        Returns:
            float [B, C], at least float32.
        """
        pool = WINDOW_POOLINGS[self.pooling]
        return pool(at_least_float32(logits), is_there)

    def get_config(self) -> dict[str, Any]:
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

    Devlin et al. 2018, section 5.3: the first piece of a word gives its tag.

    Args:
        config: a `BertConfig`.
        num_labels: number of tags C.
        dropout_rate: dropout on the sequence output.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        float [B, S, C], logits.
    """

    reads_padding = False
    reads_pooled_output = False
    kinds = ("tags",)

    def __init__(
        self,
        config: BertConfig,
        num_labels: int,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "token_classifier")
        super().__init__(config, num_labels, dropout_rate, **kwargs)
        self.num_labels = num_labels

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        encoded = self.bert.encode(inputs, training, seed)
        logits = self.output_of(encoded.rows, training, seed)
        return encoded.places.sequences(logits)

    def get_config(self) -> dict[str, Any]:
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

    reads_padding = False
    reads_pooled_output = False
    kinds = ("relation",)

    def __init__(
        self,
        config: BertConfig,
        num_labels: int,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        **kwargs: Any,
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

    def call(
        self,
        inputs: Inputs,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        entities = self.bert.vectors_at(
            inputs, inputs["entity_positions"], training, seed
        )
        x = ops.reshape(entities, (-1, 2 * self.config.hidden_size))
        return self.output_of(x, training, seed)

    def input_shapes(self) -> dict[str, Shape]:
        return {**super().input_shapes(), "entity_positions": (None, 2)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_labels": self.num_labels}


@keras.saving.register_keras_serializable(package="bert_tf")
class BertMultipleChoice(OutputHead):
    """One logit for each of several choices, of which one is right.

    Devlin et al. 2018, section 4.4: the score of a choice is the product of
    its pooled output with a vector.

    Args:
        config: a `BertConfig`.
        dropout_rate: dropout on the pooled output.

    Call arguments:
        inputs: as in `BertModel`, but [B, N, S], a sequence for each choice.
            A sequence whose `input_mask` is all zeros is not a choice.
        training, seed: as in `BertModel`.

    Returns:
        float [B, N], logits; at least float32, and -1e9 where there is no
        choice.
    """

    reads_padding = False
    kinds = ("multiple_choice",)

    def __init__(
        self,
        config: BertConfig,
        dropout_rate: float = CLASSIFIER_DROPOUT,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "multiple_choice")
        super().__init__(config, 1, dropout_rate, **kwargs)

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        x, is_there = pooled_outputs(self.bert, inputs, training, seed)
        logits = at_least_float32(self.output_of(x, training, seed))[..., 0]
        return ops.where(is_there, logits, NO_CHOICE)

    def input_shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(super().input_shapes(), (None, None, None))


@keras.saving.register_keras_serializable(package="bert_tf")
class BertSpanLabeler(ConfiguredModel):
    """Marks the start and the end of an answer: question answering.

        start_logits, end_logits =
            sequence_output output_weights^T + output_bias

    Like the original, it has no dropout between encoder and head. A place
    without a vector, as after the end of a packed example, gets a logit of
    -10000, and with it no probability.

    Args:
        config: a `BertConfig`.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        A dict:
            start_logits: float [B, S], whether the answer starts here.
            end_logits: float [B, S], whether it ends here, this token included.
    """

    # In the original's loss and predictions padding competes with the tokens.
    reads_padding = True
    reads_pooled_output = False
    kinds = ("question_answering",)

    def __init__(self, config: BertConfig, **kwargs: Any):
        kwargs.setdefault("name", "span_labeler")
        super().__init__(**kwargs)
        self.config = config
        with made_with(self.dtype_policy):
            self.bert = BertModel(config)
            self.cls = SquadScope(config.hidden_size, name="cls")
        self.built = True

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> dict[str, Tensor]:
        encoded = self.bert.encode(inputs, training, seed)
        places = encoded.places
        logits = {
            name: places.sequences(value)
            for name, value in self.cls(encoded.rows).items()
        }
        if places.has_row is None:
            return logits
        return {
            name: ops.where(places.has_row, value, MASKED_SCORE)
            for name, value in logits.items()
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class BertPretrainer(ConfiguredModel):
    """Learns from text alone: masked LM and next sentence prediction.

    Both heads are those of Devlin et al. 2018, section 3.1. Only the masked
    positions go through the output layer, whose matrix is the word embedding
    table: no tensor [B, S, V] ever exists.

    Args:
        config: a `BertConfig`.

    Call arguments:
        inputs: as in `BertModel`, and `masked_lm_positions`, int [B, P]: where
            the masked tokens are.
        training, seed: as in `BertModel`.

    Returns:
        A dict:
            mlm_logits: float [B, P, V], the masked tokens.
            nsp_logits: float [B, 2], whether the second text follows the
                first (0), or comes from elsewhere (1).
    """

    reads_padding = False
    kinds = ("pretraining", "masked_lm", "next_sentence")

    def __init__(self, config: BertConfig, **kwargs: Any):
        kwargs.setdefault("name", "pretrainer")
        super().__init__(**kwargs)
        self.config = config
        with made_with(self.dtype_policy):
            self.bert = BertModel(config)
            self.cls = PretrainingScope(config, name="cls")
        self.built = True

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> dict[str, Tensor]:
        positions = pretraining_positions(inputs)
        vectors = self.bert.vectors_at(inputs, positions, training, seed)
        return pretraining_answers(
            self.bert, self.cls, vectors, training=training
        )

    def input_shapes(self) -> dict[str, Shape]:
        return {**super().input_shapes(), "masked_lm_positions": (None, None)}
