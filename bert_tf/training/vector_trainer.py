"""The training step for losses that compare all vectors of a batch.

In each replica:

    K micro-batches        vectors of this replica's share of the batch
    all-gather             the vectors of the global batch
    the loss               and its gradient with respect to each vector
    K micro-batches        again with a tape: gradients of the weights
    all-reduce, update     as in `Trainer`

So the negatives of an example are those of all replicas, and a batch may be
larger than memory: only vectors of all parts are kept, not what is inside the
encoder. With one micro-batch the vectors are computed once. Gao et al. 2021,
GradCache (https://arxiv.org/abs/2101.06983), section 3.
"""

from typing import Any

import keras
import tensorflow as tf

from bert_tf.autograph import as_written
from bert_tf.backend import fold_in
from bert_tf.losses import LossTerm
from bert_tf.training.distribution import Batch
from bert_tf.training.trainer import Trainer
from bert_tf.vector_losses import VectorLoss

# What the loss reads of a batch besides the vectors.
FEATURES = ("is_real_example", "label_ids", "label_values")
# What the model reads: [B, T, S], T texts of an example.
INPUTS = ("input_ids", "input_mask", "segment_ids")


class VectorTrainer(Trainer):
    """A `Trainer` for a loss on all vectors of the global batch.

    Args:
        model: a `BertEmbedder`, or another model that makes a vector of each
            row: by its method `vectors`, if it has one, else by its call.
        optimizer, schedule: see `Trainer`.
        loss: a function of `bert_tf.vector_losses`.
        **settings: see `Trainer`; `num_micro_batches` does not change the
            negatives of an example.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: Any,
        schedule: Any,
        loss: VectorLoss,
        strategy: tf.distribute.Strategy | None = None,
        **settings: Any,
    ):
        # It only names the loss, and has no denominator.
        term = LossTerm("loss", _not_a_sum, lambda batch: tf.constant(1.0))
        super().__init__(
            model, optimizer, schedule, [term], strategy, **settings
        )
        self._loss = loss
        self._vector_of = getattr(model, "vectors", model)
        self._vectors = self.vectors
        self._backward = self.backward
        if settings.get("jit_compile"):
            self._vectors, self._backward = (
                tf.function(each, jit_compile=True, autograph=False)
                for each in (self.vectors, self.backward)
            )

    @as_written
    def _sum_over_micro_batches(self, batch, seed, denominators, scale):
        inputs = {name: batch[name] for name in INPUTS if name in batch}
        if self.num_micro_batches > 1:
            return self._in_two_passes(inputs, batch, seed, scale)
        # One pass: the tape keeps what the gradients need.
        with tf.GradientTape() as tape:
            vectors = self.vectors(inputs, seed)
        loss, cotangents = self._loss_and_cotangents(vectors, batch, scale)
        return self._shares(loss, self._gradients(tape, vectors, cotangents))

    def _in_two_passes(self, inputs, batch, seed, scale):
        """The vectors of all parts, the loss, and each part with a tape."""
        number = self.num_micro_batches
        parts = {
            name: tf.stack(tf.split(x, number)) for name, x in inputs.items()
        }

        def part_of(index):
            part = {name: values[index] for name, values in parts.items()}
            return part, fold_in(seed, index)

        vectors = tf.map_fn(
            lambda index: self._vectors(*part_of(index)),
            tf.range(number),
            parallel_iterations=1,
            fn_output_signature=keras.config.floatx(),
        )
        shape = tf.shape(vectors)  # [K, b, T, E]
        size = vectors.shape[2:]
        loss, cotangents = self._loss_and_cotangents(
            tf.reshape(vectors, [-1, *size]), batch, scale
        )
        cotangents = tf.reshape(cotangents, shape)

        def add(index, sums):
            more = self._backward(*part_of(index), cotangents[index])
            return index + 1, [a + b for a, b in zip(sums, more, strict=True)]

        _, gradients = tf.while_loop(
            lambda index, _: index < number,
            add,
            (
                tf.constant(0),
                [tf.zeros(v.shape, v.dtype) for v in self.variables],
            ),
            parallel_iterations=1,
        )
        return self._shares(loss, gradients)

    def vectors(self, inputs: Batch, seed: tf.Tensor) -> tf.Tensor:
        """The vectors of a part of the batch, float [b, T, E].

        Args:
            inputs: int [b, T, S] each.
            seed: int32 [2], for the dropout masks.
        """
        shape = tf.shape(inputs["input_ids"])
        num_texts = inputs["input_ids"].shape[1]
        rows = {
            name: tf.reshape(value, [-1, shape[2]])
            for name, value in inputs.items()
        }
        vectors = self._vector_of(rows, training=True, seed=seed)
        return tf.reshape(vectors, [-1, num_texts, vectors.shape[-1]])

    def backward(
        self, inputs: Batch, seed: tf.Tensor, cotangents: tf.Tensor
    ) -> list[tf.Tensor]:
        """Gradients of the weights, from those of a part's vectors.

        Args:
            inputs, seed: as for `vectors`.
            cotangents: float [b, T, E], the gradient of the loss.
        """
        with tf.GradientTape() as tape:
            vectors = self.vectors(inputs, seed)
        return self._gradients(tape, vectors, cotangents)

    def _gradients(self, tape, vectors, cotangents):
        gradients = tape.gradient(
            vectors,
            [variable.value for variable in self.variables],
            output_gradients=cotangents,
            unconnected_gradients="zero",
        )
        return [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _loss_and_cotangents(self, vectors, batch, scale):
        """The loss, and its gradient for this replica's vectors.

        Every replica computes the whole loss: its cost is small beside the
        encoder's, and the gradients of its own vectors are then complete.
        """
        context = tf.distribute.get_replica_context()
        known = {name: batch[name] for name in FEATURES if name in batch}
        number = tf.shape(vectors)[0]
        first = number * tf.cast(context.replica_id_in_sync_group, tf.int32)
        all_vectors = _of_all_replicas(vectors)
        known = {name: _of_all_replicas(x) for name, x in known.items()}
        with tf.GradientTape() as tape:
            tape.watch(all_vectors)
            loss = self._loss(all_vectors, known)
            scaled_loss = loss * scale
        cotangents = tape.gradient(scaled_loss, all_vectors)
        return loss, cotangents[first : first + number]

    def _shares(self, loss, gradients):
        """What adds up over replicas; see `Trainer.forward_backward`."""
        context = tf.distribute.get_replica_context()
        share = loss / context.num_replicas_in_sync
        squares = [tf.zeros([], loss.dtype) for _ in gradients]
        return [tf.stack([share]), tf.stack(squares), *gradients]


def _of_all_replicas(x: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in their order, [b, ...] -> [B, ...]."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.identity(x)
    gathered = context.all_gather(x, axis=0)
    # Gathering forgets the other sizes.
    return tf.ensure_shape(gathered, [None, *x.shape[1:]])


def _not_a_sum(outputs, batch):
    raise NotImplementedError("VectorTrainer computes the loss by itself.")
