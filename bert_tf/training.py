"""The one training loop: the step, the loop around it, and prediction.

A step is written for `tf.distribute` and the same on one device and on many.
In each replica:

    denominators of the loss     all-reduced: those of the global batch
    forward, backward            gradients of this replica's share of the loss
    all-reduce (sum)             gradients of the whole loss, everywhere equal
    norm, clip, update           each replica updates its own copies alike

What comes before the reduction adds over replicas, and what comes after it
needs no other replica. Keras' own `fit` clips before the reduction and draws
the same dropout mask on every replica.
"""

import contextlib
import re
import time

import keras
import numpy as np
import tensorflow as tf

from bert_tf import checkpoints, layers
from bert_tf.errors import UserError
from bert_tf.optimization import clip_factor

CLIP_NORM = 1.0  # The original's.
# How long the loop may stay inside TensorFlow before it reports, in seconds.
SECONDS_PER_LOOP = 0.5


def set_seed(seed: int):
    """Seeds the initial weights of models made afterwards."""
    keras.utils.set_random_seed(seed)


class TrainingDiverged(UserError):
    """The loss is no longer a number."""


def _replica_id():
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def _state(name, value, dtype=tf.int64):
    """A variable that each replica assigns for itself, all the same value."""
    return tf.Variable(
        value,
        trainable=False,
        dtype=dtype,
        name=name,
        aggregation=tf.VariableAggregation.NONE,
    )


def gradient_norm(gradients, squares):
    """The norm of all gradients together, as the original counts it.

    The gradient of a looked-up embedding comes as slices, one for each
    occurrence of a word, and `tf.clip_by_global_norm`, which the original
    calls, squares each slice by itself. The sum over a word's occurrences,
    which is what the update uses, has another norm. In pretraining the output
    layer shares the table, its gradient is dense, and both are the same.

    Args:
        gradients: dense tensors.
        squares: {index in `gradients`: sum of the squares of its slices}.
    """
    total = [
        squares[index] if index in squares else tf.reduce_sum(tf.square(g))
        for index, g in enumerate(gradients)
    ]
    return tf.sqrt(tf.add_n(total))


class Trainer:
    """Model, optimizer and step counter, and the step that moves them.

    Make it inside `strategy.scope()`, after the model.

    Args:
        model: a Keras model, called as model(batch, training=, seed=).
        optimizer: an `AdamWeightDecay`; its own learning rate is for `fit`.
        schedule: function(step) -> learning rate.
        loss_terms: list of `losses.LossTerm`.
        strategy: a tf.distribute.Strategy; default: the current one.
        seed: of the dropout masks.
        clip_norm: the gradients' norm is at most this.
    """

    def __init__(
        self,
        model,
        optimizer,
        schedule,
        loss_terms,
        strategy=None,
        *,
        seed: int = 0,
        clip_norm: float = CLIP_NORM,
    ):
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss_terms = loss_terms
        self.strategy = strategy or tf.distribute.get_strategy()
        self.seed = seed
        self.clip_norm = clip_norm
        self.variables = model.trainable_variables
        optimizer.build(self.variables)
        self.global_step = _state("global_step", 0)

    def replica_step(self, batch):
        """One step in one replica; returns the metrics of the global batch."""
        context = tf.distribute.get_replica_context()
        step = tf.identity(self.global_step)
        denominators = context.all_reduce(
            "SUM", [term.denominator(batch) for term in self.loss_terms]
        )
        loss, gradients, squares = self.forward_backward(
            batch, self._dropout_seed(step), denominators
        )
        loss, gradients, squares = context.all_reduce(
            "SUM", (loss, gradients, squares)
        )
        norm = gradient_norm(gradients, squares)
        factor = clip_factor(norm, self.clip_norm)
        learning_rate = tf.cast(self.schedule(step), norm.dtype)
        for gradient, variable in zip(gradients, self.variables, strict=True):
            self.optimizer.update_step(
                gradient * factor, variable, learning_rate
            )
        self.global_step.assign_add(1)
        return {
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": learning_rate,
        }

    def forward_backward(self, batch, seed, denominators):
        """Forward and backward pass of this replica's part of the batch.

        Returns:
            (loss, gradients, squares): this part's share of the loss, its
            gradients as dense tensors, and what `gradient_norm` needs to know
            of those that came as slices: {index of the variable: the sum of
            the squares of its slices}. All of them add over parts.
        """
        with tf.GradientTape() as tape:
            outputs = self.model(batch, training=True, seed=seed)
            shares = [
                term.numerator(outputs, batch) / denominator
                for term, denominator in zip(
                    self.loss_terms, denominators, strict=True
                )
            ]
            loss = tf.add_n(shares)
        gradients = tape.gradient(
            loss,
            [variable.value for variable in self.variables],
            unconnected_gradients="zero",
        )
        squares = {
            index: tf.reduce_sum(tf.square(gradient.values))
            for index, gradient in enumerate(gradients)
            if isinstance(gradient, tf.IndexedSlices)
        }
        return loss, [tf.convert_to_tensor(g) for g in gradients], squares

    def _dropout_seed(self, step):
        seed = tf.constant([self.seed, 0], tf.int32)
        return layers.fold_in(layers.fold_in(seed, step), _replica_id())

    @tf.function(reduce_retracing=True)
    def train_steps(self, iterator, num_steps):
        """Runs `num_steps` (int32 tensor) steps without leaving TensorFlow.

        Returns the mean loss of these steps, and the gradient norm and
        learning rate of the last.
        """
        mean_loss, norm, rate = tf.constant(0.0), 0.0, 0.0
        for _ in tf.range(num_steps):
            metrics = self.strategy.run(
                self.replica_step, args=(next(iterator),)
            )
            # Alike on all replicas: any one will do.
            metrics = {
                name: self.strategy.experimental_local_results(value)[0]
                for name, value in metrics.items()
            }
            mean_loss += metrics["loss"] / tf.cast(num_steps, tf.float32)
            norm, rate = metrics["gradient_norm"], metrics["learning_rate"]
        return {
            "loss": mean_loss,
            "gradient_norm": norm,
            "learning_rate": rate,
        }

    def tensors(self) -> dict:
        """{name in a checkpoint: tensor} of the model and its training."""
        named = {"global_step": self.global_step}
        for variable in checkpoints.weights_of(self.model):
            named[variable.path] = variable.value
        moments = zip(self.optimizer.adam_m, self.optimizer.adam_v, strict=True)
        for variable, (m, v) in zip(self.variables, moments, strict=True):
            named[f"{variable.path}/adam_m"] = m.value
            named[f"{variable.path}/adam_v"] = v.value
        return named

    def restore(self, prefix: str) -> int:
        """Reads all that `tensors` names; returns the step.

        Raises:
            UserError: something is missing or has another shape.
        """
        tensors = self.tensors()
        values = checkpoints.read_matching(
            checkpoints.Checkpoint(prefix),
            {name: tensor.shape for name, tensor in tensors.items()},
        )
        for name, value in values.items():
            tensors[name].assign(value)
        return int(self.global_step.numpy())


def train(
    trainer: Trainer,
    dataset: tf.data.Dataset,
    num_train_steps: int,
    *,
    save=None,
    save_checkpoints_steps: int = 1000,
    max_steps_per_loop: int = 1000,
    callbacks=(),
):
    """Trains from the trainer's step on until `num_train_steps`.

    Args:
        trainer: a `Trainer`, fresh or restored.
        dataset: global batches without end, the same ones in every process.
            The first is that of the trainer's next step: a resumed run goes
            on with those that it would have read.
        num_train_steps: the step at which training ends.
        save: function(tensors, step), or None. Called at step 0, every
            `save_checkpoints_steps` steps, and at the end.
        save_checkpoints_steps: see above.
        max_steps_per_loop: so many steps at most are run inside TensorFlow
            before callbacks hear of them.
        callbacks: Keras callbacks, of which three methods are called:
            `on_train_begin`, with `params["start"]` and `params["steps"]`
            the first and last step; `on_train_batch_end(step, logs)` after
            one or several steps, with loss, gradient_norm, learning_rate, and
            the seconds and steps since the last call; and `on_train_end`.

    Raises:
        TrainingDiverged: the loss became NaN or infinite. What was saved
            before stays.
    """
    step = int(trainer.global_step.numpy())
    iterator = iter(trainer.strategy.experimental_distribute_dataset(dataset))
    callbacks = keras.callbacks.CallbackList(
        list(callbacks), model=trainer.model, steps=num_train_steps, start=step
    )
    callbacks.on_train_begin()
    try:
        if save and step == 0:
            save(trainer.tensors(), step)  # Finds out early if it cannot.
        steps_per_loop = 1
        while step < num_train_steps:
            done = step % save_checkpoints_steps
            to_next_save = save_checkpoints_steps - done
            count = min(steps_per_loop, to_next_save, num_train_steps - step)
            logs = _run_steps(trainer, iterator, count)
            step += count
            _check_finite(step, logs)
            callbacks.on_train_batch_end(step, logs)
            if save and (count == to_next_save or step == num_train_steps):
                save(trainer.tensors(), step)
            wanted = int(count * SECONDS_PER_LOOP / logs["seconds"])
            steps_per_loop = min(max(wanted, 1), max_steps_per_loop)
    finally:
        callbacks.on_train_end()


@contextlib.contextmanager
def user_errors():
    """Raises a UserError of the input pipeline as itself.

    Files are read while training runs, by Python inside TensorFlow, which
    makes an error of its own of any exception.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"\bUserError: (.*)", error.message)
        if found is None:
            raise
        raise UserError(found[1]) from None


def _run_steps(trainer, iterator, count):
    start = time.perf_counter()
    with user_errors():
        logs = trainer.train_steps(iterator, tf.constant(count))
    logs = {name: float(value) for name, value in logs.items()}
    seconds = max(time.perf_counter() - start, 1e-6)
    return {**logs, "seconds": seconds, "steps": count}


def _check_finite(step, logs):
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(logs[name]):
            raise TrainingDiverged(
                f"the {name} is {logs[name]} at step {step} (learning rate "
                f"{logs['learning_rate']:.3g}): lower --learning_rate, and "
                "check that the vocabulary fits the checkpoint"
            )


def predict(model, dataset: tf.data.Dataset, strategy=None):
    """Yields (outputs, batch) of NumPy arrays for each batch, in order.

    Args:
        model: a Keras model.
        dataset: batches, dicts of tensors.
        strategy: as for `Trainer`.
    """
    strategy = strategy or tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def predict_step(batch):
        outputs = strategy.run(
            lambda part: model(part, training=False), args=(batch,)
        )
        return tf.nest.map_structure(
            lambda value: strategy.gather(value, axis=0), (outputs, batch)
        )

    with user_errors():
        for batch in strategy.experimental_distribute_dataset(dataset):
            outputs, batch = predict_step(batch)
            yield tf.nest.map_structure(
                lambda value: value.numpy(), (outputs, batch)
            )
