"""The encoder with a task on top: one model for each kind of answer.

Shape letters: B batch, S sequence, D hidden size, C number of classes.
"""

import keras
from keras import ops

from bert_tf.config import BertConfig
from bert_tf.layers import Configured, dropout
from bert_tf.modeling import BertModel

# The original's classifier has these two whatever bert_config.json says.
CLASSIFIER_DROPOUT = 0.1
CLASSIFIER_STDDEV = 0.02


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
            keras.initializers.TruncatedNormal(stddev=CLASSIFIER_STDDEV),
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
