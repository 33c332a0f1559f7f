"""Dropout without state: the same seed draws the same mask."""

import zlib

import keras
from keras import ops

from bert_tf.backend import Tensor, fold_in, random_bits

# Number of the masks that a training draws from a seed. Raise it when a change
# draws others: a run of an earlier version that resumes then says so.
MASKS_VERSION = 2


@keras.saving.register_keras_serializable(package="bert_tf")
class Dropout(keras.layers.Dropout):
    """Dropout whose mask is a function of a seed and this layer's path.

    With a seed from outside, replicas draw different masks, a resumed run
    draws the masks it would have drawn, and a recomputed layer draws its first
    mask again. Keras' own dropout keeps a generator's state in a variable and
    can do none of this. Without a seed this layer does as Keras does, which is
    enough for `fit` and notebooks.

    Call arguments:
        inputs: float tensor of any shape.
        training: nothing is dropped unless it is true.
        seed: int32 [2], or None.

    Returns:
        The inputs, each one zero with probability `rate`, else divided by
        `1 - rate`.
    """

    def call(
        self, inputs: Tensor, training: bool | None = False, seed: Tensor = None
    ) -> Tensor:
        if not training or not self.rate:
            return inputs
        if seed is None:
            return super().call(inputs, training=training)
        path_hash = zlib.crc32(self.path.encode()) & 0x7FFFFFFF
        # Bits and a threshold, not a random float: XLA turns the same bits into
        # other floats, and a bfloat16 in [0, 1) has only 128 values.
        bits = random_bits(ops.shape(inputs), fold_in(seed, path_hash))
        keep = bits >= ops.convert_to_tensor(
            int(self.rate * 2**32), dtype="uint32"
        )
        return ops.where(
            keep, inputs / (1.0 - self.rate), ops.zeros_like(inputs)
        )
