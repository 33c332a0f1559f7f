"""The original's optimizer and learning rate.

Both are Keras objects, so `model.compile(optimizer=AdamWeightDecay(...))`
works too; `training.Trainer` uses their parts.
"""

import re

import keras
import tensorflow as tf
from keras import ops

# What is not decayed: matched anywhere in `variable.path`, as the original.
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

    def __init__(self, init_lr, num_train_steps, num_warmup_steps=0):
        self.init_lr = init_lr
        self.num_train_steps = num_train_steps
        self.num_warmup_steps = num_warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        done = ops.minimum(step / self.num_train_steps, 1.0)
        rate = self.init_lr * (1.0 - done)
        if not self.num_warmup_steps:
            return rate
        warmup_rate = self.init_lr * step / self.num_warmup_steps
        return ops.where(step < self.num_warmup_steps, warmup_rate, rate)

    def get_config(self):
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

    Args:
        learning_rate: float, or a schedule of the step.
        weight_decay_rate: λ.
        beta_1, beta_2, epsilon: β₁, β₂, ε.
        exclude_from_weight_decay: regular expressions; a variable whose path
            holds a match of one is not decayed.
    """

    def __init__(
        self,
        learning_rate=5e-5,
        weight_decay_rate=0.01,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        exclude_from_weight_decay=NOT_DECAYED,
        name="adam_weight_decay",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.weight_decay_rate = weight_decay_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.exclude_from_decay = tuple(exclude_from_weight_decay)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.adam_m, self.adam_v = self.add_optimizer_variables(
            variables, ["adam_m", "adam_v"]
        )
        # By index, as `fit` later brings TensorFlow's variables, pathless.
        self._decayed = [self.decays(variable) for variable in variables]

    def decays(self, variable) -> bool:
        """Whether weight decay applies to the variable."""
        return not any(
            re.search(pattern, variable.path)
            for pattern in self.exclude_from_decay
        )

    def update_step(self, gradient, variable, learning_rate):
        gradient = tf.convert_to_tensor(gradient)  # `fit` brings slices.
        index = self._get_variable_index(variable)
        m, v = self.adam_m[index], self.adam_v[index]
        next_m = self.beta_1 * m + (1.0 - self.beta_1) * gradient
        next_v = self.beta_2 * v + (1.0 - self.beta_2) * ops.square(gradient)
        update = next_m / (ops.sqrt(next_v) + self.epsilon)
        if self._decayed[index]:
            update = update + self.weight_decay_rate * variable
            update = self._scale(update, variable)
        self.assign(m, next_m)
        self.assign(v, next_v)
        self.assign_sub(variable, learning_rate * update)

    def _scale(self, update, variable):
        """How `Lamb` differs."""
        return update

    def get_config(self):
        return {
            **super().get_config(),
            "weight_decay_rate": self.weight_decay_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "exclude_from_weight_decay": self.exclude_from_decay,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class Lamb(AdamWeightDecay):
    """`AdamWeightDecay` with each weight's step as long as the weight asks.

        w ← w − lr (‖w‖ / ‖u‖) u,     u = m / (√v + ε) + λ w

    You et al. 2019 (https://arxiv.org/abs/1904.00962), for large batches. Like
    ALBERT's, it has no bias correction; what is not decayed (biases, layer
    normalization) moves as by Adam.
    """

    def __init__(self, *args, name="lamb", **kwargs):
        super().__init__(*args, name=name, **kwargs)

    def _scale(self, update, variable):
        length = ops.norm(variable)
        update_length = ops.norm(update)
        known = ops.logical_and(length > 0, update_length > 0)
        divisor = ops.where(known, update_length, 1.0)
        return update * ops.where(known, length / divisor, 1.0)


OPTIMIZERS = {"adamw": AdamWeightDecay, "lamb": Lamb}


def layer_of(path: str, num_hidden_layers: int) -> int:
    """How deep a variable lies: 0 for the embeddings, then the layers, and
    `num_hidden_layers` + 1 for the pooler and the head."""
    found = re.search(r"\bbert/encoder/layer_(\d+)/", path)
    if found:
        return int(found[1]) + 1
    return 0 if "bert/embeddings/" in path else num_hidden_layers + 1


def layer_rates(variables, decay: float, num_hidden_layers: int) -> list:
    """The factor of each variable's learning rate, lower for deeper layers.

        decay ^ (num_hidden_layers + 1 - layer)

    Howard & Ruder 2018 (https://arxiv.org/abs/1801.06146), section 3.2.
    """
    top = num_hidden_layers + 1
    return [
        decay ** (top - layer_of(variable.path, num_hidden_layers))
        for variable in variables
    ]


def clip_factor(norm, clip_norm):
    """What gradients are multiplied by, so that their norm is `clip_norm` at
    most (Pascanu et al. 2012, https://arxiv.org/abs/1211.5063)."""
    return clip_norm * ops.minimum(1.0 / norm, 1.0 / clip_norm)
