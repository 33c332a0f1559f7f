"""Trains with Keras and keras-hub, on TensorFlow.

With the training step of `fit`: AdamW with gradients clipped to a norm of 1,
and Keras' mixed precision. Its batches are as long as their longest sequence.
keras-hub has no model that answers questions or predicts the next sentence:
there it is its encoder with the same heads as ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import keras_hub
import tensorflow as tf

# The folder of this file is the first where Python looks.
import on_tensorflow
import worker_loop

NUM_LABELS = 2
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


class KerasHub:
    """A model of keras-hub, and the step of Keras' `fit`.

    Args:
        task: what to train.
    """

    def __init__(self, task: worker_loop.Task):
        self.device = on_tensorflow.device()
        self.versions = (
            f"TensorFlow {tf.__version__}, Keras {keras.__version__}, "
            f"keras-hub {keras_hub.__version__}"
        )
        self.precision = task.precision
        keras.config.set_dtype_policy(POLICIES[task.precision])
        make_model, inputs_of, labels_of = PROBLEMS[task.problem]
        self.model = make_model(encoder(task.config))
        optimizer = keras.optimizers.AdamW(
            1e-6, weight_decay=0.01, global_clipnorm=1.0
        )
        optimizer.exclude_from_weight_decay(
            var_names=["bias", "beta", "gamma", "layer_norm"]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        # XLA would compile again for each length of a batch.
        self.model.compile(optimizer, loss=loss, jit_compile=False)
        self.model.make_train_function()
        self._iterator = iter(
            on_tensorflow.endless(
                [
                    (inputs_of(batch), *labels_of(batch))
                    for batch in task.batches
                ]
            )
        )

    def train(self, num_steps: int) -> float:
        for _ in range(num_steps):
            logs = self.model.train_function(self._iterator)
        return float(logs["loss"])

    def product(self, size: int) -> Callable[[], object]:
        return on_tensorflow.product(size, self.precision)

    def peak_bytes(self) -> int:
        return on_tensorflow.peak_bytes()


def encoder(config: Mapping[str, Any]) -> keras.Model:
    """The encoder of keras-hub; its activation is always gelu."""
    return keras_hub.models.BertBackbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
        dropout=config["hidden_dropout_prob"],
        max_sequence_length=config["max_position_embeddings"],
        num_segments=config["type_vocab_size"],
    )


def classifier(backbone: keras.Model) -> keras.Model:
    """A label for a text."""
    return keras_hub.models.BertTextClassifier(backbone, NUM_LABELS)


def span_labeler(backbone: keras.Model) -> keras.Model:
    """The start and the end of an answer: logits [B, 2, S]."""
    sequence_output = backbone.output["sequence_output"]
    logits = keras.layers.Dense(2)(sequence_output)
    logits = keras.layers.Permute((2, 1))(logits)
    logits = keras.layers.Activation("linear", dtype="float32")(logits)
    return keras.Model(backbone.input, logits)


def pretrainer(backbone: keras.Model) -> keras.Model:
    """Masked LM and next sentence prediction: logits [B, P, V] and [B, 2]."""
    positions = keras.Input((None,), dtype="int32", name="mask_positions")
    masked_lm = keras_hub.layers.MaskedLMHead(
        token_embedding=backbone.token_embedding,
        intermediate_activation="gelu",
    )(backbone.output["sequence_output"], positions)
    is_next = keras.layers.Dense(2)(backbone.output["pooled_output"])
    outputs = {"masked_lm": masked_lm, "next_sentence": is_next}
    return keras.Model({**backbone.input, "mask_positions": positions}, outputs)


def encoder_inputs(batch: worker_loop.Arrays) -> worker_loop.Arrays:
    """The encoder's inputs, by their names in keras-hub."""
    return {
        "token_ids": batch["input_ids"],
        "padding_mask": batch["input_mask"],
        "segment_ids": batch["segment_ids"],
    }


def pretraining_inputs(batch: worker_loop.Arrays) -> worker_loop.Arrays:
    """The encoder's inputs, and the places of the masked tokens."""
    positions = batch["masked_lm_positions"]
    return {**encoder_inputs(batch), "mask_positions": positions}


def classification_labels(batch: worker_loop.Arrays) -> tuple[Any, ...]:
    """The labels of a classifier."""
    return (batch["label_ids"],)


def question_labels(batch: worker_loop.Arrays) -> tuple[Any, ...]:
    """The places where answers start and end, [B, 2]."""
    names = "start_positions", "end_positions"
    return (tf.stack([batch[name] for name in names], axis=1),)


def pretraining_labels(batch: worker_loop.Arrays) -> tuple[Any, ...]:
    """The masked tokens and which text is next; and how much each counts."""
    is_next = batch["next_sentence_labels"]
    labels = {"masked_lm": batch["masked_lm_ids"], "next_sentence": is_next}
    weights = {
        "masked_lm": batch["masked_lm_weights"],
        "next_sentence": tf.ones(len(is_next)),
    }
    return labels, weights


# {problem: (function(encoder) -> model, functions of a batch that return its
# inputs, and its labels)}.
PROBLEMS: dict[str, tuple[Callable[..., Any], ...]] = {
    "classification": (classifier, encoder_inputs, classification_labels),
    "questions": (span_labeler, encoder_inputs, question_labels),
    "pretraining": (pretrainer, pretraining_inputs, pretraining_labels),
}


if __name__ == "__main__":
    worker_loop.run(KerasHub)
