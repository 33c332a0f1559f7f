"""The logit that is explained, and its gradient along the path.

The path leads from the baseline to the text in the space of word embeddings:

    baseline   zeros for each piece of the text; [CLS], [SEP] and marks of
               entities keep their embeddings
    text       the embeddings of its pieces

With zeros a place has its position and its segment, but no word. [PAD] would be
a word like any other: models differ in what they have learned for it, if
anything, and many of them in a row say much to some models. Segments, positions
and the mask are those of the text everywhere.

Shape letters: R points of the path, N sequences of the item, S sequence, D
hidden size. Items with one sequence have no axis N.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf.config import BertConfig
from bert_tf.modeling import words_given

Tensors = dict[str, tf.Tensor]
# Bytes of what a pass keeps for its gradient, about.
MEMORY = 1 << 28


def class_logit(outputs: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The logit of a class, or of a choice: target [class, unused]."""
    return tf.gather(outputs, target[0], axis=1)


def tag_logit(outputs: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The logit of a word's tag: target [place of its first piece, tag]."""
    return tf.gather(tf.gather(outputs, target[0], axis=1), target[1], axis=1)


def answer_logit(outputs: Tensors, target: tf.Tensor) -> tf.Tensor:
    """Start logit + end logit: target [first piece, last piece]."""
    start = tf.gather(outputs["start_logits"], target[0], axis=1)
    return start + tf.gather(outputs["end_logits"], target[1], axis=1)


LOGITS: dict[str, Callable[..., tf.Tensor]] = {
    "single_label": class_logit,
    "multi_label": class_logit,
    "regression": class_logit,
    "relation": class_logit,
    "multiple_choice": class_logit,
    "tags": tag_logit,
    "question_answering": answer_logit,
}


class Network:
    """A model whose logits are explained.

    Args:
        model: a head of a kind in `LOGITS`.
        kind: its kind.
        should_stop: function(), called before each pass; it may raise to end
            the work.
    """

    def __init__(
        self,
        model: keras.Model,
        kind: str,
        should_stop: Callable[[], None] = lambda: None,
    ):
        self.model = model
        self.should_stop = should_stop
        self._logit = LOGITS[kind]
        # By the number of axes of the ids. Sizes change from text to text, and
        # each graph takes all of them.
        self._rates_of: dict[int, Callable[..., tuple]] = {}
        self._outputs_of: dict[int, Callable[..., Any]] = {}

    def outputs(self, inputs: Mapping[str, np.ndarray]) -> Tensors | tf.Tensor:
        """What the model answers to items.

        Args:
            inputs: its inputs, int32 [B, …].
        """
        self.should_stop()
        tensors = _tensors(inputs)
        rank = inputs["input_ids"].ndim
        if rank not in self._outputs_of:
            self._outputs_of[rank] = tf.function(
                lambda x: self.model(x, training=False),
                input_signature=[_specs(tensors)],
                autograph=False,
            )
        return self._outputs_of[rank](tensors)

    def evaluator(
        self,
        inputs: Mapping[str, np.ndarray],
        is_kept: np.ndarray,
        target: tuple[int, int],
    ) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """The logit along the path, for `integration.integrate`.

        Args:
            inputs: those of one item: ids int32 [S] or [N, S], and what else
                the head reads.
            is_kept: bool [S] or [N, S], tokens that the baseline has, too.
            target: which logit, see `LOGITS`.

        Returns:
            function(α, float [R]) -> (logits, float32 [R]; attributions per
            unit of α, float32 [R, S] or [R, N, S]).
        """
        tensors = _tensors(inputs)
        rank = inputs["input_ids"].ndim
        if rank not in self._rates_of:
            self._rates_of[rank] = tf.function(
                self._rates,
                input_signature=[
                    _specs(tensors),
                    tf.TensorSpec([None] * rank, tf.bool),
                    tf.TensorSpec([2], tf.int32),
                    tf.TensorSpec([None], tf.float32),
                ],
                autograph=False,
            )
        function = self._rates_of[rank]
        kept = tf.constant(is_kept)
        at_once = points_at_once(
            self.model.bert.config, *np.atleast_2d(inputs["input_ids"]).shape
        )

        def evaluate(alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            parts = []
            for first in range(0, len(alphas), at_once):
                self.should_stop()
                some = tf.constant(alphas[first : first + at_once], tf.float32)
                results = function(tensors, kept, tf.constant(target), some)
                parts.append([x.numpy() for x in results])
            values, rates = zip(*parts, strict=True)
            return np.concatenate(values), np.concatenate(rates)

        return evaluate

    def _rates(self, inputs, is_kept, target, alphas):
        """The graph of an evaluator."""
        table = self.model.bert.embeddings.word_embeddings
        table = tf.cast(tf.convert_to_tensor(table), tf.float32)
        words = tf.gather(table, inputs["input_ids"])
        difference = tf.where(is_kept[..., tf.newaxis], 0.0, words)
        start = words - difference
        shape = [-1] + [1] * len(words.shape)
        steps = tf.reshape(alphas, shape)
        number = tf.size(alphas)
        repeated = {
            name: tf.repeat(value[tf.newaxis], number, axis=0)
            for name, value in inputs.items()
        }
        with tf.GradientTape() as tape:
            on_path = start + steps * difference
            tape.watch(on_path)
            with words_given(self.model, on_path):
                outputs = self.model(repeated, training=False)
            logits = tf.cast(self._logit(outputs, target), tf.float32)
        gradient = tape.gradient(logits, on_path)
        return logits, tf.reduce_sum(gradient * difference, axis=-1)


def _tensors(inputs: Mapping[str, np.ndarray]) -> Tensors:
    return {
        name: tf.constant(value, tf.int32) for name, value in inputs.items()
    }


def _specs(tensors: Tensors) -> dict[str, tf.TensorSpec]:
    """Specs of any sizes; two entities are always two."""
    return {
        name: tf.TensorSpec(
            [None] * (len(x.shape) - 1)
            + [2 if name == "entity_positions" else None],
            tf.int32,
        )
        for name, x in tensors.items()
    }


def points_at_once(config: BertConfig, num_sequences: int, length: int) -> int:
    """How many points of the path one pass computes within `MEMORY`.

    Args:
        config: the network's shape.
        num_sequences: sequences of the item.
        length: tokens of each.
    """
    of_token = 14 * config.hidden_size + 3 * config.intermediate_size
    of_token += 3 * config.num_attention_heads * length
    of_point = 4 * config.num_hidden_layers * of_token * length * num_sequences
    return max(1, MEMORY // of_point)
