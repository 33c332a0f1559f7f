"""The training step, the loop around it, and inference on all replicas."""

from bert_tf.training.inference import BatchRunner, user_errors
from bert_tf.training.loop import (
    Interrupted,
    StopRequest,
    TrainingDiverged,
    train,
)
from bert_tf.training.trainer import (
    POLICIES,
    Forward,
    LossScale,
    Teacher,
    Trainer,
    set_seed,
)

__all__ = [
    "POLICIES",
    "BatchRunner",
    "Forward",
    "Interrupted",
    "LossScale",
    "StopRequest",
    "Teacher",
    "Trainer",
    "TrainingDiverged",
    "set_seed",
    "train",
    "user_errors",
]


def __dir__() -> list[str]:
    return __all__
