"""The one training loop: the step, the loop around it, and prediction.

A step is written for `tf.distribute` and the same on one device and on many.
In each replica:

    denominators of the loss     all-reduced: those of the global batch
    K micro-batches              forward, backward; gradients add up
    all-reduce (sum)             gradients of the whole loss, everywhere equal
    finite? norm, clip, update   each replica updates its own copies alike

What comes before the reduction adds over replicas and micro-batches, and what
comes after it needs no other replica. Keras' own `fit` clips before the
reduction and draws the same dropout mask on every replica.
"""

import contextlib
import re
import signal
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from bert_tf import checkpoints, distribution, layers
from bert_tf.errors import UserError
from bert_tf.optimization import clip_factor

CLIP_NORM = 1.0  # The original's.
# How long the loop may stay inside TensorFlow before it reports, in seconds.
SECONDS_PER_LOOP = 0.5
# Several processes must agree on the number of steps without talking: their
# reductions find each other by the iteration of the loop, and wait for ever.
STEPS_PER_LOOP_OF_SEVERAL = 10
# Keras' policy of each --precision: what layers compute in. Variables,
# moments, losses and gradients are float32 in all of them.
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def set_seed(seed: int):
    """Seeds the initial weights of models made afterwards."""
    keras.utils.set_random_seed(seed)
    if seed % (2**31 - 1) == 0:
        # TensorFlow takes it for 0, and 0 for none where a seed of an
        # operation is a tensor.
        tf.random.set_seed(1)


class TrainingDiverged(UserError):
    """The loss is no longer a number."""


class Interrupted(UserError):
    """Somebody asked training to stop; it saved what it had."""


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


def sum_of_squares(x):
    return 2.0 * tf.nn.l2_loss(x)  # Without a tensor of all the squares.


def gradient_norm(gradients, squares, sliced):
    """The norm of all gradients together, as the original counts it.

    The gradient of a looked-up embedding comes as slices, one for each
    occurrence of a word, and `tf.clip_by_global_norm`, which the original
    calls, squares each slice by itself. The sum over a word's occurrences,
    which is what the update uses, has another norm. In pretraining the output
    layer shares the table, its gradient is dense, and both are the same.

    Args:
        gradients: dense tensors.
        squares: [number of gradients], the sum of the squares of the slices.
        sliced: indices of the gradients that came as slices.
    """
    total = [
        squares[index] if index in sliced else sum_of_squares(g)
        for index, g in enumerate(gradients)
    ]
    return tf.sqrt(tf.add_n(total))


class LossScale:
    """The factor that keeps float16 gradients from vanishing.

    The loss is multiplied by it and gradients are divided by it. Where they
    overflow, the step is left out and the factor halved; after
    `growth_interval` good steps it is doubled. All replicas decide on the
    reduced gradients, and so alike. Micikevicius et al. 2017
    (https://arxiv.org/abs/1710.03740), section 3.2.
    """

    LARGEST = 2.0**24

    def __init__(self, initial: float = 2.0**15, growth_interval: int = 2000):
        self.growth_interval = growth_interval
        self.factor = _state("loss_scale", initial, tf.float32)
        self.good_steps = _state("good_steps", 0)

    def update(self, is_good):
        good_steps = tf.where(is_good, self.good_steps + 1, 0)
        grows = good_steps >= self.growth_interval
        larger = tf.minimum(self.factor * 2.0, self.LARGEST)
        smaller = tf.maximum(self.factor / 2.0, 1.0)
        kept = tf.where(grows, larger, tf.identity(self.factor))
        self.factor.assign(tf.where(is_good, kept, smaller))
        zero = tf.zeros_like(good_steps)
        self.good_steps.assign(tf.where(grows, zero, good_steps))


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
        num_micro_batches: parts in which a replica takes its share of the
            batch, one after the other: memory of one part, the same result.
        rate_factors: for each trainable variable, what the learning rate is
            multiplied by; default: 1.
        loss_scale: a `LossScale` for float16, else None.
        jit_compile: compile forward and backward pass with XLA.
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
        num_micro_batches: int = 1,
        rate_factors=None,
        loss_scale: LossScale | None = None,
        jit_compile: bool = False,
    ):
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss_terms = loss_terms
        self.strategy = strategy or tf.distribute.get_strategy()
        self.seed = seed
        self.clip_norm = clip_norm
        self.num_micro_batches = num_micro_batches
        self.variables = model.trainable_variables
        self.rate_factors = rate_factors or [1.0] * len(self.variables)
        self.loss_scale = loss_scale
        optimizer.build(self.variables)
        self.global_step = _state("global_step", 0)
        self.restored_step = None  # Of the checkpoint that was restored.
        self._sliced = frozenset()  # See `forward_backward`.
        if jit_compile:
            self.forward_backward = tf.function(
                self.forward_backward, jit_compile=True
            )

    def replica_step(self, batch, wish=0.0):
        """One step in one replica; returns the metrics of the global batch.

        Args:
            batch: this replica's share of it.
            wish: float scalar, not 0 where this process was asked to stop.
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
            self._update(gradients, factor, learning_rate)

        if self.loss_scale:
            is_good = tf.math.is_finite(norm)
            tf.cond(is_good, update, lambda: None)
            self.loss_scale.update(is_good)
        else:
            update()
        # Steps that were left out count: it is the number of batches read.
        self.global_step.assign_add(1)
        return {
            "loss": tf.reduce_sum(losses),
            "losses": losses,  # Its terms.
            "gradient_norm": norm,
            "learning_rate": learning_rate,
            "wishes": wishes,
        }

    def _update(self, gradients, factor, learning_rate):
        """Moves the variables, one after the other.

        All at once, as TensorFlow would, intermediate results would take the
        memory of several more models.
        """
        done = []
        for gradient, variable, rate_factor in zip(
            gradients, self.variables, self.rate_factors, strict=True
        ):
            with tf.control_dependencies(done):
                self.optimizer.update_step(
                    gradient * factor, variable, learning_rate * rate_factor
                )
                done = [tf.identity(variable.value)]

    def _sum_over_micro_batches(self, batch, seed, denominators, scale):
        """`forward_backward` of this replica's share of the batch."""
        number = self.num_micro_batches
        if number == 1:
            return self.forward_backward(batch, seed, denominators, scale)
        parts = {
            name: tf.stack(tf.split(value, number))
            for name, value in batch.items()
        }

        def add(index, sums):
            part = {name: value[index] for name, value in parts.items()}
            more = self.forward_backward(
                part, layers.fold_in(seed, index), denominators, scale
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

    def forward_backward(self, batch, seed, denominators, scale):
        """Forward and backward pass of a part of the batch.

        Returns:
            [losses, squares, *gradients]: the part's share of each term of
            the loss; for each variable whose gradient comes as slices the sum
            of their squares, and 0 for the others (see `gradient_norm`); and
            the gradients, dense. All of them add over parts. Gradients are
            multiplied by `scale`.
        """
        with tf.GradientTape() as tape:
            outputs = self.model(batch, training=True, seed=seed)
            shares = [
                # Where nothing in the batch counts, so does the batch.
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
        # Known as soon as a graph of this has been made.
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

    def _dropout_seed(self, step):
        seed = tf.constant([self.seed, 0], tf.int32)
        return layers.fold_in(layers.fold_in(seed, step), _replica_id())

    @tf.function(reduce_retracing=True)
    def train_steps(self, iterator, num_steps, wish):
        """Runs `num_steps` (int32 tensor) steps without leaving TensorFlow.

        It stops early behind a step whose loss or gradient is no number.

        Args:
            iterator: of the distributed batches.
            num_steps: see above.
            wish: see `replica_step`.

        Returns:
            Each a scalar: `steps`, how many it were; `loss`, their mean loss,
            without those that float16 left out, and each of its terms by name;
            `gradient_norm` and `learning_rate` of the last; `is_good`, false
            after such a step; `wishes`, the sum of all `wish`.
        """
        steps, is_good = tf.constant(0), tf.constant(True)
        num_left_out = tf.constant(0)
        norm = rate = wishes = tf.zeros([], keras.config.floatx())
        total = tf.zeros([len(self.loss_terms)], keras.config.floatx())
        while steps < num_steps and is_good:
            metrics = self.strategy.run(
                self.replica_step, args=(next(iterator), wish)
            )
            # Alike on all replicas: any one will do.
            metrics = {
                name: self.strategy.experimental_local_results(value)[0]
                for name, value in metrics.items()
            }
            steps += 1
            norm, rate = metrics["gradient_norm"], metrics["learning_rate"]
            wishes = metrics["wishes"]
            is_good = tf.math.is_finite(norm)
            if self.loss_scale:  # It has left the step out, unless at the end.
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

    def tensors(self) -> dict:
        """{name in a checkpoint: tensor} of the model and its training."""
        named = checkpoints.tensors_of(self.model)
        named["global_step"] = self.global_step
        moments = zip(self.optimizer.adam_m, self.optimizer.adam_v, strict=True)
        for variable, (m, v) in zip(self.variables, moments, strict=True):
            named[f"{variable.path}/adam_m"] = m.value
            named[f"{variable.path}/adam_v"] = v.value
        return {**named, **self._loss_scale_tensors()}

    def _loss_scale_tensors(self):
        if not self.loss_scale:
            return {}
        return {
            "bert_tf/loss_scale": self.loss_scale.factor,
            "bert_tf/good_steps": self.loss_scale.good_steps,
        }

    def restore(self, prefix: str) -> int:
        """Reads all that `tensors` names; returns the step.

        A loss scale that is not there, because the run had another precision
        before, starts anew.

        Raises:
            UserError: something else is missing or has another shape.
        """
        checkpoint, tensors = checkpoints.Checkpoint(prefix), self.tensors()
        for name in self._loss_scale_tensors():
            if name not in checkpoint.shapes:
                del tensors[name]
        values = checkpoints.read_matching(
            checkpoint,
            {name: tensor.shape for name, tensor in tensors.items()},
        )
        for name, value in values.items():
            tensors[name].assign(value)
        self.restored_step = int(self.global_step.numpy())
        return self.restored_step


class StopRequest:
    """Turns SIGTERM and SIGINT, inside its block, into a wish to stop.

    The loop ends in an orderly way. A second signal ends it at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self):
        self.received = None
        self._previous = {}
        # Python lets only its main thread set handlers.
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._handle)
                for number in self.SIGNALS
            }
        return self

    def _handle(self, number, frame):
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def train(
    trainer: Trainer,
    batches,
    num_train_steps: int,
    *,
    save=None,
    save_checkpoints_steps: int = 1000,
    evaluate=None,
    eval_steps: int = 0,
    max_steps_per_loop: int = 1000,
    callbacks=(),
):
    """Trains from the trainer's step on until `num_train_steps`.

    Args:
        trainer: a `Trainer`, fresh or restored.
        batches: function(first step) -> dataset of global batches without
            end, the same ones in every process.
        num_train_steps: the step at which training ends.
        save: function(tensors, step), or None. Called before the first step
            unless the trainer was restored, every `save_checkpoints_steps`
            steps, at the end, and when a signal asks to stop.
        save_checkpoints_steps: see above.
        evaluate: function() -> {name: number}, or None. Called every
            `eval_steps` steps and at the end.
        eval_steps: see above; 0 for the end alone.
        max_steps_per_loop: so many steps at most are run inside TensorFlow
            before callbacks hear of them.
        callbacks: Keras callbacks, of which four methods are called:
            `on_train_begin`, with `params["start"]` and `params["steps"]`
            the first and last step; `on_train_batch_end(step, logs)` after
            one or several steps, with loss and its terms, gradient_norm,
            learning_rate, and the seconds and steps since the last call;
            `on_epoch_end(step, logs)` after an evaluation, with what it
            returned; and `on_train_end`. Training ends when one sets
            `model.stop_training`, as keras.callbacks.EarlyStopping does.

    Returns:
        The step it ended at.

    Raises:
        TrainingDiverged: the loss became NaN or infinite. What was saved
            before stays.
        Interrupted: SIGTERM or SIGINT came; the state was saved.
    """
    step = int(trainer.global_step.numpy())
    model = trainer.model
    model.stop_training = False
    iterator = iter(distribution.distribute(trainer.strategy, batches(step)))
    callbacks = keras.callbacks.CallbackList(
        list(callbacks), model=model, steps=num_train_steps, start=step
    )
    callbacks.on_train_begin()
    saved_step = trainer.restored_step
    num_processes = distribution.num_processes(trainer.strategy)
    with contextlib.ExitStack() as stack:
        stack.callback(callbacks.on_train_end)
        stop = stack.enter_context(StopRequest())
        if save and saved_step is None:
            save(trainer.tensors(), step)  # Finds out early if it cannot.
            saved_step = step
        wanted = 1
        while step < num_train_steps and not model.stop_training:
            to_next = [num_train_steps - step]
            for interval in (save_checkpoints_steps, eval_steps):
                if interval:
                    to_next.append(interval - step % interval)
            count = min(wanted, *to_next)
            logs = _run_steps(trainer, iterator, count, stop.received)
            step += logs["steps"]
            if not logs.pop("is_good"):
                raise _diverged(step, logs, batches)
            wishes = logs.pop("wishes")
            callbacks.on_train_batch_end(step, logs)
            is_last = step == num_train_steps
            if evaluate and (is_last or eval_steps and step % eval_steps == 0):
                callbacks.on_epoch_end(step, evaluate())
            # All processes stop together, or some would wait for the others.
            is_wished = stop.received if num_processes == 1 else wishes > 0
            ends = is_last or is_wished or model.stop_training
            if save and (ends or step % save_checkpoints_steps == 0):
                save(trainer.tensors(), step)
                saved_step = step
            if ends and distribution.any_process(
                trainer.strategy, bool(stop.received)
            ):
                why = stop.received or "a signal to another process"
                saved = f", saved at step {saved_step}" if save else ""
                raise Interrupted(f"stopped by {why}{saved}")
            wanted = int(logs["steps"] * SECONDS_PER_LOOP / logs["seconds"])
            if num_processes > 1:
                wanted = STEPS_PER_LOOP_OF_SEVERAL
            wanted = min(max(wanted, 1), max_steps_per_loop)
    return step


def _run_steps(trainer, iterator, count, is_asked_to_stop):
    start = time.perf_counter()
    wish = tf.constant(float(bool(is_asked_to_stop)), keras.config.floatx())
    with user_errors(), distribution.lost_processes(trainer.strategy):
        logs = trainer.train_steps(iterator, tf.constant(count), wish)
    logs = {name: value.numpy().item() for name, value in logs.items()}
    return {**logs, "seconds": max(time.perf_counter() - start, 1e-6)}


def _diverged(step, logs, batches):
    name = "gradient_norm" if np.isfinite(logs["loss"]) else "loss"
    # The order of examples is known: the batch is simply made once more.
    (batch,) = batches(step - 1).take(1)
    where = ""
    if "example_index" in batch:
        numbers = ", ".join(map(str, sorted(batch["example_index"].numpy())))
        where = f" on the examples {numbers} (counted from 0)"
    return TrainingDiverged(
        f"the {name} is {logs[name]} at step {step}{where}, learning rate "
        f"{logs['learning_rate']:.3g}: lower --learning_rate, and check that "
        "the vocabulary fits the checkpoint"
    )


@contextlib.contextmanager
def user_errors():
    """Raises errors of the input pipeline about files as UserErrors.

    Files are read while training runs, by Python inside TensorFlow, which
    makes an error of its own of any exception.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"\bUserError: (.*)", error.message)
        if found:
            raise UserError(found[1]) from None
        # As Python shows an OSError.
        found = re.search(r"Error: \[Errno \d+\] (.*): '(.*)'", error.message)
        if found:
            raise UserError(f"{found[2]}: {found[1]}") from None
        raise


class Predictor:
    """Runs a model over batches, on all replicas.

    Its graph is made once, for any number of data sets.

    Args:
        model: a Keras model.
        strategy: as for `Trainer`.
    """

    def __init__(self, model, strategy=None):
        self.model = model
        self.strategy = strategy or tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def predict_step(self, batch):
        outputs = self.strategy.run(
            lambda part: self.model(part, training=False), args=(batch,)
        )
        return tf.nest.map_structure(
            lambda value: self.strategy.gather(value, axis=0),
            (outputs, batch),
        )

    def __call__(self, dataset: tf.data.Dataset):
        """Yields (outputs, batch) of NumPy arrays for each batch, in order.

        Args:
            dataset: batches, dicts of tensors; all of the same size if there
                are several replicas.
        """
        with user_errors(), distribution.lost_processes(self.strategy):
            for batch in distribution.distribute(self.strategy, dataset):
                outputs, batch = self.predict_step(batch)
                yield tf.nest.map_structure(
                    lambda value: value.numpy(), (outputs, batch)
                )
