"""The training step, and the state that a checkpoint keeps.

A step is written for `tf.distribute`; it is the same on one device and on many.
In each replica:

    denominators of the loss     all-reduced: those of the global batch
    K micro-batches              forward, backward; gradients add up
    all-reduce (sum)             gradients of the whole loss, everywhere equal
    finite? norm, clip, update   each replica updates its own copies alike

What is computed before the reduction adds up over replicas and micro-batches.
What is computed after it needs no other replica. Keras' own `fit` clips before
the reduction and draws the same dropout mask on every replica.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from bert_tf import checkpoints
from bert_tf.autograph import as_written
from bert_tf.backend import fold_in
from bert_tf.losses import LossTerm
from bert_tf.optimization import AdamWeightDecay, clip_factor
from bert_tf.training.distribution import Batch
from bert_tf.training.gradients import (
    LossScale,
    gradient_norm,
    replica_variable,
    sum_of_squares,
)
from bert_tf.training.updating import Update

CLIP_NORM = 1.0  # The original's.
Teacher: TypeAlias = Callable[[Batch], Batch]
Forward: TypeAlias = Callable[..., Any]
# {precision: Keras' policy, which says in what layers compute}. Variables,
# moments, losses and gradients are float32 in all of them.
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def set_seed(seed: int) -> None:
    """Seeds the initial weights of models that are made afterwards."""
    keras.utils.set_random_seed(seed)
    if seed % (2**31 - 1) == 0:
        # TensorFlow takes such a seed for 0, and 0 for "no seed" where the
        # seed of an operation is a tensor.
        tf.random.set_seed(1)


def _replica_id():
    return tf.distribute.get_replica_context().replica_id_in_sync_group


class Trainer:
    """Model, optimizer and step counter, and the step that updates them.

    Make it inside `strategy.scope()`, after the model.

    Args:
        model: a Keras model, called as model(batch, training=, seed=).
        optimizer: an `AdamWeightDecay`. Its own learning rate, which is for
            `fit`, is not used.
        schedule: function(step) -> learning rate.
        loss_terms: the terms of the loss, which are summed.
        strategy: a tf.distribute.Strategy; default: the current one.
        seed: seed of the dropout masks.
        clip_norm: the gradients' norm is at most this.
        num_micro_batches: number of parts into which a replica splits its
            share of the batch. It computes them one after the other: with the
            memory of one part, and the same result.
        rate_factors: a factor of the learning rate for each trainable
            variable; default: 1.
        loss_scale: a `LossScale` for float16, else None.
        jit_compile: compile forward and backward pass with XLA.
        teacher: function(batch) -> {name: tensor}, what another model says of
            the examples. The terms of the loss find it in the batch. It gets
            no gradient.
        forward: function(batch, seed of the dropout masks) -> what the terms
            of the loss take for the outputs of the model; default: calls the
            model.
        not_saved: names of variables that checkpoints of the training leave
            out, with their slots. They get their values after the training.

    Attributes:
        global_step: int64 variable, the number of batches read.
        restored_step: the step of the checkpoint that `restore` read; None if
            it has not been called.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: AdamWeightDecay,
        schedule: Callable[[tf.Tensor], tf.Tensor],
        loss_terms: Sequence[LossTerm],
        strategy: tf.distribute.Strategy | None = None,
        *,
        seed: int = 0,
        clip_norm: float = CLIP_NORM,
        num_micro_batches: int = 1,
        rate_factors: Sequence[float] | None = None,
        loss_scale: LossScale | None = None,
        jit_compile: bool = False,
        teacher: Teacher | None = None,
        forward: Forward | None = None,
        not_saved: Collection[str] = (),
    ):
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss_terms = loss_terms
        self.strategy = strategy or tf.distribute.get_strategy()
        self.seed = seed
        self.clip_norm = clip_norm
        self.num_micro_batches = num_micro_batches
        self.teacher = teacher
        self.forward = forward or functools.partial(model, training=True)
        self.not_saved = not_saved
        self.variables = model.trainable_variables
        self.loss_scale = loss_scale
        optimizer.build(self.variables)
        self._update = Update(
            optimizer,
            self.variables,
            rate_factors or [1.0] * len(self.variables),
            self.strategy,
        )
        self.global_step = replica_variable("global_step", 0)
        # float16 leaves steps out, and bias correction counts updates.
        self.num_updates = None
        if optimizer.bias_correction:
            self.num_updates = replica_variable("num_updates", 0)
        self.restored_step: int | None = None
        self._sliced: frozenset[int] = frozenset()  # See `forward_backward`.
        self._forward_backward = self.forward_backward
        if jit_compile:
            self._forward_backward = tf.function(
                self.forward_backward, jit_compile=True, autograph=False
            )

    # AutoGraph rewrites every function that it meets, for seconds: there is no
    # Python `if` or `for` over tensors, as in Keras' own step.
    @as_written
    def replica_step(
        self, batch: Batch, wish: tf.Tensor | float = 0.0
    ) -> dict[str, tf.Tensor]:
        """One step in one replica; returns the metrics of the global batch.

        Args:
            batch: this replica's share of the global batch.
            wish: float scalar, not 0 if this process was asked to stop.

        Returns:
            Each a scalar but for `losses`, [terms]: `loss`, its terms
            `losses`, `gradient_norm`, `learning_rate`, and `wishes`, the sum
            of `wish` over all replicas.
        """
        context = tf.distribute.get_replica_context()
        step = tf.identity(self.global_step)
        denominators = context.all_reduce(
            "SUM", [term.denominator(batch) for term in self.loss_terms]
        )
        scale = tf.ones([], denominators[0].dtype)
        if self.loss_scale:
            scale = tf.identity(self.loss_scale.factor)
        sums = self._sum_over_micro_batches(
            batch, self._dropout_seed(step), denominators, scale
        )
        wishes, losses, squares, *gradients = context.all_reduce(
            "SUM", [tf.identity(wish), *sums]
        )

        # From here on every replica computes the same numbers.
        norm = gradient_norm(gradients, squares, self._sliced) / scale
        learning_rate = tf.cast(self.schedule(step), norm.dtype)
        factor = clip_factor(norm, self.clip_norm) / scale

        def update():
            number = None
            if self.num_updates is not None:
                self.num_updates.assign_add(1)
                number = tf.cast(self.num_updates, norm.dtype)
            self._update(gradients, factor, learning_rate, number)

        if self.loss_scale:
            is_good = tf.math.is_finite(norm)
            tf.cond(is_good, update, lambda: None)
            self.loss_scale.update(is_good)
        else:
            update()
        # Steps that were left out count too: it is the number of batches read.
        self.global_step.assign_add(1)
        return {
            "loss": tf.reduce_sum(losses),
            "losses": losses,
            "gradient_norm": norm,
            "learning_rate": learning_rate,
            "wishes": wishes,
        }

    def _sum_over_micro_batches(self, batch, seed, denominators, scale):
        """`forward_backward` of this replica's share of the batch."""
        number = self.num_micro_batches
        if number == 1:
            return self._forward_backward(batch, seed, denominators, scale)
        parts = {
            name: tf.stack(tf.split(value, number))
            for name, value in batch.items()
        }

        def add(index, sums):
            part = {name: value[index] for name, value in parts.items()}
            more = self._forward_backward(
                part, fold_in(seed, index), denominators, scale
            )
            return index + 1, [a + b for a, b in zip(sums, more, strict=True)]

        dtype = denominators[0].dtype
        sizes = [len(self.loss_terms)], [len(self.variables)]
        zeros = [tf.zeros(size, dtype) for size in sizes]
        zeros += [tf.zeros(v.shape, v.dtype) for v in self.variables]
        _, sums = tf.while_loop(
            lambda index, _: index < number,
            add,
            (tf.constant(0), zeros),
            parallel_iterations=1,
        )
        return sums

    def forward_backward(
        self,
        batch: Batch,
        seed: tf.Tensor,
        denominators: list[tf.Tensor],
        scale: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Forward and backward pass of a part of the batch.

        Args:
            batch: the part.
            seed: int32 [2], for the dropout masks.
            denominators: one scalar for each term of the loss, of the global
                batch.
            scale: float scalar, the loss scale.

        Returns:
            [losses, squares, *gradients]: the part's share of each term of
            the loss; for each variable whose gradient comes as slices the sum
            of their squares, and 0 for the others (see `gradient_norm`); and
            the gradients, dense. All of them add up over the parts. Gradients
            are multiplied by `scale`.
        """
        if self.teacher:
            batch = {**batch, **self.teacher(batch)}
        with tf.GradientTape() as tape:
            outputs = self.forward(batch, seed=seed)
            shares = [
                # A batch in which no example counts contributes 0.
                tf.math.divide_no_nan(
                    term.numerator(outputs, batch), denominator
                )
                for term, denominator in zip(
                    self.loss_terms, denominators, strict=True
                )
            ]
            loss = tf.add_n(shares)
            scaled_loss = loss * scale
        gradients = tape.gradient(
            scaled_loss,
            [variable.value for variable in self.variables],
            unconnected_gradients="zero",
        )
        # Known as soon as a graph of this function has been built.
        self._sliced = frozenset(
            index
            for index, gradient in enumerate(gradients)
            if isinstance(gradient, tf.IndexedSlices)
        )
        squares = [
            sum_of_squares(gradient.values)
            if index in self._sliced
            else tf.zeros([], loss.dtype)
            for index, gradient in enumerate(gradients)
        ]
        return [
            tf.stack(shares),
            tf.stack(squares),
            *map(tf.convert_to_tensor, gradients),
        ]

    @as_written
    def _dropout_seed(self, step):
        seed = tf.constant([self.seed, 0], tf.int32)
        return fold_in(fold_in(seed, step), _replica_id())

    @tf.function(reduce_retracing=True)
    def train_steps(
        self,
        iterator: Iterator[Batch],
        num_steps: tf.Tensor,
        wish: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Runs steps without leaving TensorFlow.

        It stops early after a step whose loss or gradient is NaN or infinite.

        Args:
            iterator: iterator of the distributed batches.
            num_steps: int32 scalar.
            wish: see `replica_step`.

        Returns:
            Each a scalar: `steps`, how many were run; `loss`, their mean loss
            without steps that float16 left out, and its terms by name;
            `gradient_norm` and `learning_rate` of the last step; `is_good`,
            false if it stopped early; `wishes`, see `replica_step`.
        """
        steps, is_good = tf.constant(0), tf.constant(True)
        num_left_out = tf.constant(0)
        norm = rate = wishes = tf.zeros([], keras.config.floatx())
        total = tf.zeros([len(self.loss_terms)], keras.config.floatx())
        while steps < num_steps and is_good:
            metrics = self.strategy.run(
                self.replica_step, args=(next(iterator), wish)
            )
            # All replicas have the same: any one will do.
            metrics = {
                name: self.strategy.experimental_local_results(value)[0]
                for name, value in metrics.items()
            }
            steps += 1
            norm, rate = metrics["gradient_norm"], metrics["learning_rate"]
            wishes = metrics["wishes"]
            is_good = tf.math.is_finite(norm)
            # It left the step out, unless it is at its end.
            if self.loss_scale:
                is_good = is_good or self.loss_scale.factor > 1.0
            losses = metrics["losses"]
            if self.loss_scale and not tf.math.is_finite(norm):
                num_left_out += 1
                losses = tf.zeros_like(losses)
            total += losses
            is_good = is_good and tf.reduce_all(tf.math.is_finite(total))
        num_counted = tf.maximum(steps - num_left_out, 1)
        means = total / tf.cast(num_counted, total.dtype)
        names = [term.name for term in self.loss_terms]
        return {
            **dict(zip(names, tf.unstack(means), strict=True)),
            "steps": steps,
            "loss": tf.reduce_sum(means),
            "gradient_norm": norm,
            "learning_rate": rate,
            "is_good": is_good,
            "wishes": wishes,
        }

    def tensors(self) -> dict[str, tf.Tensor]:
        """{name in a checkpoint: tensor} of the model and its training."""
        tensors = checkpoints.tensors_of(self.model)
        tensors["global_step"] = self.global_step
        slots = self.optimizer.slots
        for index, variable in enumerate(self.variables):
            for suffix in slots:
                slot = slots[suffix][index]
                tensors[f"{variable.path}/{suffix}"] = slot.value
        for name in [*tensors]:
            if name.startswith(tuple(self.not_saved)):
                del tensors[name]
        return {**tensors, **self._own_tensors()}

    def _own_tensors(self):
        """What the original's checkpoints do not have."""
        tensors = {}
        if self.loss_scale:
            tensors["bert_tf/loss_scale"] = self.loss_scale.factor
            tensors["bert_tf/good_steps"] = self.loss_scale.good_steps
        if self.num_updates is not None:
            tensors["bert_tf/num_updates"] = self.num_updates
        return tensors

    def restore(self, prefix: str) -> int:
        """Reads all that `tensors` names; returns the step.

        If the checkpoint has no loss scale, because the run had another
        precision before, the loss scale starts again at its initial value. If
        it has no number of updates, because the run had no bias correction
        before, each step counts as one.

        Raises:
            UserError: something else is missing or has another shape.
        """
        checkpoint, tensors = checkpoints.Checkpoint(prefix), self.tensors()
        for name in self._own_tensors():
            if name not in checkpoint.shapes:
                del tensors[name]
        values = checkpoints.read_matching(
            checkpoint,
            {name: tensor.shape for name, tensor in tensors.items()},
        )
        for name, value in values.items():
            tensors[name].assign(value)
        if self.num_updates is not None and "bert_tf/num_updates" not in values:
            self.num_updates.assign(self.global_step)
        self.restored_step = int(self.global_step.numpy())
        return self.restored_step
