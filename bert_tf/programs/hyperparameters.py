"""Chooses the learning rate, the epochs and the lengths that flags leave out.

The original's defaults, 5e-5 and 3 epochs, are for models of width 768 and for
some thousands of examples or more; there they are what is chosen. Turc et al.
2019 (https://arxiv.org/abs/1908.08962) fine-tuned narrower models with up to
3e-4. A small data set needs more epochs to come to a useful number of steps.
"""

import math
from collections.abc import Sequence

import numpy as np

BASE_LEARNING_RATE = 5e-5
# Models of this width or more are trained with the base rate. Below it the
# rate rises with a power of the width, to 3e-4 at a width of 128.
BASE_WIDTH, EXPONENT = 512, 1.3
MIN_EPOCHS, MAX_EPOCHS = 3.0, 20.0
MIN_STEPS = 300

DEFAULT_LENGTH, MAX_LENGTH = 128, 256
LENGTH_MULTIPLE = 32
# The fraction of the examples that a sequence should hold as a whole.
WHOLE_FRACTION = 0.99


def learning_rate(hidden_size: int) -> float:
    """The highest learning rate for a model.

    Args:
        hidden_size: the model's width.
    """
    rate = BASE_LEARNING_RATE * max(1.0, BASE_WIDTH / hidden_size) ** EXPONENT
    return float(f"{rate:.2g}")


def num_train_epochs(num_examples: int, batch_size: int) -> float:
    """How often to train on each example.

    Args:
        num_examples: the size of the training set.
        batch_size: examples in a training step.
    """
    return epochs_of_steps(
        MIN_STEPS, num_examples, batch_size, MIN_EPOCHS, MAX_EPOCHS
    )


def epochs_of_steps(
    num_steps: int,
    num_examples: int,
    batch_size: int,
    min_epochs: float,
    max_epochs: float,
) -> float:
    """How many whole epochs have a number of training steps, within bounds.

    Args:
        num_steps: the steps that there should be at least.
        num_examples: the size of the training set.
        batch_size: examples in a training step.
        min_epochs, max_epochs: the bounds, which win.
    """
    epochs = math.ceil(num_steps * batch_size / max(num_examples, 1))
    return float(min(max(epochs, min_epochs), max_epochs))


def max_seq_length(
    max_position: int,
    default: int = DEFAULT_LENGTH,
    lengths: Sequence[int] | None = None,
) -> int:
    """The length of a sequence, in WordPieces.

    Args:
        max_position: the longest sequence that the model can read.
        default: the length if nothing is known of the examples.
        lengths: the number of WordPieces of examples, special tokens
            included.
    """
    length = default
    if lengths:
        needed = math.ceil(np.quantile(lengths, WHOLE_FRACTION))
        length = -(-needed // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        length = min(length, MAX_LENGTH)
    return min(length, max_position)
