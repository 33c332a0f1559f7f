"""Dropout without state: the same seed draws the same mask."""

import functools
import math
import operator
import zlib

import keras
from keras import ops

from bert_tf.backend import Shape, Tensor, fold_in, random_bytes, with_gradient

NUM_VALUES = 2**16  # Rates are multiples of 2^-16; see `kept_of`.

# Number of the masks that a training draws from a seed. Raise it when a change
# draws others: a run of an earlier version that resumes then says so.
MASKS_VERSION = 2


@keras.saving.register_keras_serializable(package="bert_tf")
class Dropout(keras.layers.Dropout):
    """Dropout whose mask is a function of a seed and this layer's path.

    With a seed from outside, replicas draw different masks, a resumed run
    draws the masks it would have drawn, and a recomputed layer draws its first
    mask again. Keras' own dropout keeps a generator's state in a variable and
    can do none of this. Without a seed the state of Keras' generator is the
    seed, which is enough for `fit` and notebooks.

    Call arguments:
        inputs: float tensor of any shape.
        training: nothing is dropped unless it is true.
        seed: int32 [2], or None.

    Returns:
        The inputs, each one zero with probability `rate`, else divided by
        `1 - rate`. The probability is a multiple of 2^-16, at most 255 / 256.
    """

    def call(
        self, inputs: Tensor, training: bool | None = False, seed: Tensor = None
    ) -> Tensor:
        mask = self.mask(ops.shape(inputs), inputs.dtype, training, seed)
        if mask is None:
            return inputs

        def forward(x):
            return x * mask, lambda upstream: upstream * mask

        return with_gradient(forward, inputs)

    @property
    def num_dropped(self) -> int:
        """The rate, in parts of `NUM_VALUES`; at most 255 / 256."""
        return min(round(self.rate * NUM_VALUES), NUM_VALUES * 255 // 256)

    @property
    def scale(self) -> float:
        """The factor of inputs that are kept: 1 / (1 - rate)."""
        return NUM_VALUES / (NUM_VALUES - self.num_dropped)

    def mask(
        self, shape: Shape, dtype: str, training: bool | None, seed: Tensor
    ) -> Tensor | None:
        """The factors of inputs of a shape: 0 or `scale`.

        Args:
            shape: of the inputs.
            dtype: of the inputs.
            training, seed: as in `call`.

        Returns:
            `dtype` of `shape`, or None where nothing is dropped.
        """
        mask_seed = self.mask_seed(training, seed)
        if mask_seed is None:
            return None
        kept = kept_of(shape, mask_seed, self.num_dropped)
        return ops.cast(kept, dtype) * self.scale

    def mask_seed(self, training: bool | None, seed: Tensor) -> Tensor | None:
        """The seed of this layer's mask, int32 [2]; None if nothing is dropped.

        Args:
            training, seed: as in `call`.
        """
        if not training or not self.num_dropped:
            return None
        if seed is None:
            seed = ops.cast(self.seed_generator.next(), "int32")
        # A layer outside all others is never built, and has a name alone.
        path = self.path or self.name
        path_hash = zlib.crc32(path.encode()) & 0x7FFFFFFF
        return fold_in(seed, path_hash)


def kept_of(shape: Shape, mask_seed: Tensor, num_dropped: int) -> Tensor:
    """Which inputs of a shape are kept, bool.

    An input has a random byte, and is dropped if that is below a limit. To
    draw more bits takes longer, and a rate of 0.1 is not a multiple of 2^-8. So
    each row, along the last axis, has a limit of its own, one of two that are
    next to each other, with the right mean.

    Args:
        shape: of the inputs.
        mask_seed: of `Dropout.mask_seed`.
        num_dropped: of `Dropout.num_dropped`.
    """
    lower_limit, share_of_upper = divmod(num_dropped, 256)
    num_rows, size = _product(shape[:-1]), _product(shape)
    numbers = random_bytes(size + num_rows, mask_seed)
    is_upper = numbers[size:] < ops.cast(share_of_upper, "uint8")
    limits = ops.cast(is_upper, "uint8") + ops.cast(lower_limit, "uint8")
    # Bits and a limit, not a random float: XLA turns the same bits into other
    # floats, and a bfloat16 in [0, 1) has only 128 values.
    return ops.reshape(numbers[:size], shape) >= ops.reshape(
        limits, (*shape[:-1], 1)
    )


def _product(sizes):
    """An int, or an int64 tensor where sizes are tensors."""
    if all(isinstance(size, int) for size in sizes):
        return math.prod(sizes)
    # A large batch has more than 2^31 attention probabilities.
    return functools.reduce(
        operator.mul, [ops.cast(size, "int64") for size in sizes]
    )
