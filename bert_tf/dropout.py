"""Dropout without state: the same seed draws the same mask."""

import zlib

import keras
from keras import ops

from bert_tf.backend import Shape, Tensor, fold_in, random_bits, with_gradient

NUM_VALUES = 2**16  # The numbers of `random_bits` have 16 bits.

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
        `1 - rate`. The probability is a multiple of 2^-16.
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
        """How many of the `NUM_VALUES` numbers drop an input."""
        return min(round(self.rate * NUM_VALUES), NUM_VALUES - 1)

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

    Args:
        shape: of the inputs.
        mask_seed: of `Dropout.mask_seed`.
        num_dropped: of `Dropout.num_dropped`.
    """
    # Bits and a threshold, not a random float: XLA turns the same bits into
    # other floats, and a bfloat16 in [0, 1) has only 128 values.
    limit = ops.convert_to_tensor(num_dropped, dtype="uint16")
    return random_bits(shape, mask_seed) >= limit
