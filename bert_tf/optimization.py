"""The original's optimizer and learning rate.

Both are Keras objects, so `model.compile(optimizer=AdamWeightDecay(...))`
works too. `training.Trainer` calls their parts one by one.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from bert_tf.autograph import as_written
from bert_tf.backend import Tensor

# No decay where one of these is in `variable.path`, as in the original.
NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")


@keras.saving.register_keras_serializable(package="bert_tf")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then the line that falls to 0 at the end.

        step < num_warmup_steps:  init_lr * step / num_warmup_steps
        else:                     init_lr * (1 - step / num_train_steps)

    The falling line starts at step 0, not at the end of the warm-up. So the
    rate jumps down where the warm-up ends and never reaches `init_lr`, and
    the very first step has rate 0. After `num_train_steps` it stays 0.

    Args:
        init_lr: the learning rate that both lines point at.
        num_train_steps: total number of steps.
        num_warmup_steps: 0 for no warm-up.
    """

    def __init__(
        self, init_lr: float, num_train_steps: int, num_warmup_steps: int = 0
    ):
        self.init_lr = init_lr
        self.num_train_steps = num_train_steps
        self.num_warmup_steps = num_warmup_steps

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        done = ops.minimum(step / self.num_train_steps, 1.0)
        rate = self.init_lr * (1.0 - done)
        if not self.num_warmup_steps:
            return rate
        warmup_rate = self.init_lr * step / self.num_warmup_steps
        return ops.where(step < self.num_warmup_steps, warmup_rate, rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "init_lr": self.init_lr,
            "num_train_steps": self.num_train_steps,
            "num_warmup_steps": self.num_warmup_steps,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class AdamWeightDecay(keras.optimizers.Optimizer):
    """Adam without bias correction, with decoupled weight decay.

        m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
        w ← w − lr (m / (√v + ε) + λ w)

    Kingma & Ba 2014 (https://arxiv.org/abs/1412.6980) without the terms
    1 − βᵗ: the early steps are larger, and warm-up is what tames them. The
    decay is added after the division and not to the loss, where Adam would
    scale it by √v (Loshchilov & Hutter, https://arxiv.org/abs/1711.05101).

    With `bias_correction` update number t, counted from 1, has these terms:
    m / (1 − β₁ᵗ) and v / (1 − β₂ᵗ) take the places of m and v in the last
    line. On small data sets this makes fine-tuning more stable (Mosbach et
    al. 2021, https://arxiv.org/abs/2006.04884).

    Args:
        learning_rate: float, or a schedule of the step.
        weight_decay_rate: λ.
        beta_1, beta_2, epsilon: β₁, β₂, ε.
        exclude_from_weight_decay: regular expressions; a variable whose path
            contains a match of one is not decayed.
        bias_correction: see above. The original has none.

    Attributes:
        slot_names: the suffixes of the slots' names in checkpoints. Each slot
            is also an attribute of that name.
    """

    slot_names = ("adam_m", "adam_v")

    def __init__(
        self,
        learning_rate: float | Callable[[Tensor], Tensor] = 5e-5,
        weight_decay_rate: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Iterable[str] = NOT_DECAYED,
        name: str = "adam_weight_decay",
        bias_correction: bool = False,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.weight_decay_rate = weight_decay_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.exclude_from_decay = tuple(exclude_from_weight_decay)
        self.bias_correction = bias_correction

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.adam_m, self.adam_v = self.add_optimizer_variables(
            variables, list(self.slot_names)
        )
        # By index: `fit` later passes TensorFlow's variables, without paths.
        self._decayed = [self.decays(variable) for variable in variables]

    @property
    def slots(self) -> dict[str, list[keras.Variable]]:
        """{name: the slot of each variable, in the order of `build`}.

        Checkpoints store `<variable>/<name>`; see `slot_names`.
        """
        return {name: getattr(self, name) for name in self.slot_names}

    def decays(self, variable: keras.Variable) -> bool:
        """Whether weight decay applies to the variable."""
        return not any(
            re.search(pattern, variable.path)
            for pattern in self.exclude_from_decay
        )

    def next_values(
        self,
        weight: Tensor,
        slots: Sequence[Tensor],
        gradient: Tensor,
        learning_rate: Tensor,
        is_decayed: bool,
        number: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """The formula: a variable's next value, and those of its slots.

        Args:
            weight: the variable's value.
            slots: m and v.
            gradient: dense, of the weight's shape.
            learning_rate: float scalar.
            is_decayed: whether weight decay applies.
            number: float scalar, t: which update it is, counted from 1. Only
                `bias_correction` needs it.
        """
        m, v = slots
        next_m = self.beta_1 * m + (1.0 - self.beta_1) * gradient
        next_v = self.beta_2 * v + (1.0 - self.beta_2) * ops.square(gradient)
        mean, square = next_m, next_v
        if self.bias_correction:
            mean = next_m / _one_minus_power(self.beta_1, number)
            square = next_v / _one_minus_power(self.beta_2, number)
        update = mean / (ops.sqrt(square) + self.epsilon)
        if is_decayed:
            update = update + self.weight_decay_rate * weight
            update = self._scale(update, weight)
        return weight - learning_rate * update, [next_m, next_v]

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        gradient = tf.convert_to_tensor(gradient)  # `fit` passes slices.
        index = self._get_variable_index(variable)
        slots = [self.adam_m[index], self.adam_v[index]]
        weight, values = self.next_values(
            ops.convert_to_tensor(variable),
            [ops.convert_to_tensor(slot) for slot in slots],
            gradient,
            learning_rate,
            self._decayed[index],
            ops.cast(self.iterations + 1, learning_rate.dtype)
            if self.bias_correction
            else None,
        )
        for slot, value in zip(slots, values, strict=True):
            self.assign(slot, value)
        self.assign(variable, weight)

    def _scale(self, update, variable):
        """The update as it is; `Lamb` scales it."""
        return update

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weight_decay_rate": self.weight_decay_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "exclude_from_weight_decay": self.exclude_from_decay,
            "bias_correction": self.bias_correction,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class Lamb(AdamWeightDecay):
    """`AdamWeightDecay` whose steps are proportional to the weights' lengths.

        w ← w − lr (‖w‖ / ‖u‖) u,     u = m / (√v + ε) + λ w

    You et al. 2019 (https://arxiv.org/abs/1904.00962), for large batches. Like
    ALBERT's, it has no bias correction by default; with `bias_correction` it is
    the paper's. Variables without decay (biases, layer normalization) move as
    they do with Adam.
    """

    def __init__(self, *args: Any, name: str = "lamb", **kwargs: Any):
        kwargs["name"] = name
        super().__init__(*args, **kwargs)

    def _scale(self, update, variable):
        length = ops.norm(variable)
        update_length = ops.norm(update)
        known = ops.logical_and(length > 0, update_length > 0)
        divisor = ops.where(known, update_length, 1.0)
        return update * ops.where(known, length / divisor, 1.0)


def _one_minus_power(beta: float, number: Tensor) -> Tensor:
    """1 - beta ** number.

    The difference itself would lose four digits of float32 at the first steps:
    it is 0.001 of numbers near 1.
    """
    return -ops.expm1(number * math.log(beta))


OPTIMIZERS = {"adamw": AdamWeightDecay, "lamb": Lamb}
# The suffixes of all optimizers' slots in checkpoints.
SLOT_NAMES = tuple(
    sorted({name for kind in OPTIMIZERS.values() for name in kind.slot_names})
)


def layer_of(path: str, num_hidden_layers: int) -> int:
    """The depth of a variable, from its path.

    0 for the embeddings, 1 to `num_hidden_layers` for the layers, and
    `num_hidden_layers` + 1 for the pooler and the head.
    """
    match = re.search(r"\bbert/encoder/layer_(\d+)/", path)
    if match:
        return int(match[1]) + 1
    return 0 if "bert/embeddings/" in path else num_hidden_layers + 1


def layer_rates(
    variables: Iterable[keras.Variable], decay: float, num_hidden_layers: int
) -> list[float]:
    """The factor of each variable's learning rate, smaller near the input.

        decay ^ (num_hidden_layers + 1 - layer)

    Howard & Ruder 2018 (https://arxiv.org/abs/1801.06146), section 3.2.
    """
    top = num_hidden_layers + 1
    return [
        decay ** (top - layer_of(variable.path, num_hidden_layers))
        for variable in variables
    ]


@as_written
def clip_factor(norm: Tensor, clip_norm: float) -> Tensor:
    """The factor that brings gradients to a norm of at most `clip_norm`.

    Pascanu et al. 2012, https://arxiv.org/abs/1211.5063.

    Args:
        norm: float scalar, the gradients' global norm.
        clip_norm: the largest norm allowed.
    """
    return clip_norm * ops.minimum(1.0 / norm, 1.0 / clip_norm)
