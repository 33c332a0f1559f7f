"""The training step, and the state that a checkpoint keeps.

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

import keras
import tensorflow as tf

from bert_tf import checkpoints
from bert_tf.backend import fold_in
from bert_tf.optimization import clip_factor

CLIP_NORM = 1.0  # The original's.
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
        return fold_in(fold_in(seed, step), _replica_id())

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
        slots = self.optimizer.slots
        for index, variable in enumerate(self.variables):
            for suffix in slots:
                named[f"{variable.path}/{suffix}"] = slots[suffix][index].value
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
