"""The norm of all gradients, and the loss scale of float16."""

from collections.abc import Collection, Sequence

import tensorflow as tf

from bert_tf.autograph import as_written


def replica_variable(
    name: str, value: float, dtype: tf.DType = tf.int64
) -> tf.Variable:
    """A variable to which each replica assigns the same value by itself."""
    return tf.Variable(
        value,
        trainable=False,
        dtype=dtype,
        name=name,
        aggregation=tf.VariableAggregation.NONE,
    )


def sum_of_squares(x: tf.Tensor) -> tf.Tensor:
    """The sum of x², without a tensor of all the squares."""
    return 2.0 * tf.nn.l2_loss(x)


@as_written
def gradient_norm(
    gradients: Sequence[tf.Tensor],
    squares: tf.Tensor,
    sliced: Collection[int],
) -> tf.Tensor:
    """The norm of all gradients together, as the original computes it.

    The gradient of a looked-up embedding comes as slices, one for each
    occurrence of a word. `tf.clip_by_global_norm`, which the original calls,
    squares each slice by itself. The sum over a word's occurrences, which the
    update uses, has another norm. In pretraining the output layer shares the
    table, so its gradient is dense, and both norms are the same.

    Args:
        gradients: dense tensors.
        squares: float [number of gradients], the sum of the squares of the
            slices of each.
        sliced: indices of the gradients that came as slices.

    Returns:
        float scalar.
    """
    total = [
        squares[index] if index in sliced else sum_of_squares(g)
        for index, g in enumerate(gradients)
    ]
    return tf.sqrt(tf.add_n(total))


class LossScale:
    """The factor that keeps float16 gradients from vanishing.

    The loss is multiplied by the factor, and gradients are divided by it. If
    gradients overflow, the step is left out and the factor is halved. After
    `growth_interval` good steps the factor is doubled. All replicas decide by
    the reduced gradients, so they decide alike. Micikevicius et al. 2017
    (https://arxiv.org/abs/1710.03740), section 3.2.

    Args:
        initial: the factor at the start.
        growth_interval: see above.
    """

    LARGEST = 2.0**24

    def __init__(self, initial: float = 2.0**15, growth_interval: int = 2000):
        self.growth_interval = growth_interval
        self.factor = replica_variable("loss_scale", initial, tf.float32)
        self.good_steps = replica_variable("good_steps", 0)

    def update(self, is_good: tf.Tensor) -> None:
        """Adapts the factor after a step.

        Args:
            is_good: bool scalar, whether the gradients were finite.
        """
        good_steps = tf.where(is_good, self.good_steps + 1, 0)
        grows = good_steps >= self.growth_interval
        larger = tf.minimum(self.factor * 2.0, self.LARGEST)
        smaller = tf.maximum(self.factor / 2.0, 1.0)
        kept = tf.where(grows, larger, tf.identity(self.factor))
        self.factor.assign(tf.where(is_good, kept, smaller))
        zero = tf.zeros_like(good_steps)
        self.good_steps.assign(tf.where(grows, zero, good_steps))
