"""Copies a checkpoint without the optimizer's state, in float16 if wanted.

    python -m bert_tf.tools.convert_checkpoint \\
        --init_checkpoint=/tmp/pretraining/model.ckpt-10000 \\
        --output_checkpoint=release/bert_model.ckpt --precision=float16

A training checkpoint holds three numbers per weight: the weight and two moments
of the optimizer. Without the moments and in float16, a sixth of the size is
left. All programs here read such a file; the original reads only float32.
"""

from typing import TYPE_CHECKING

import numpy as np
from absl import flags, logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.programs import program

if TYPE_CHECKING:
    import tensorflow as tf

FLAGS = flags.FLAGS
REQUIRED = ("init_checkpoint", "output_checkpoint")

flags.DEFINE_string(
    "init_checkpoint", None, "Prefix of the checkpoint to copy."
)
flags.DEFINE_string(
    "output_checkpoint",
    None,
    "Prefix of the checkpoint to write. It must not exist.",
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "float16"],
    "Type of number in which the weights are stored.",
)


def main() -> None:
    program.require(*REQUIRED)
    target = FLAGS.output_checkpoint
    program.check_output("output_checkpoint", target, [])
    if files.exists(target + ".index"):
        raise UserError(f"--output_checkpoint={target}: already exists")
    from bert_tf import checkpoints

    checkpoint = checkpoints.Checkpoint(FLAGS.init_checkpoint)
    tensors = {
        name: convert(name, checkpoint.read(name))
        for name in checkpoints.weights_in(checkpoint)
    }
    checkpoints.write_checkpoint(target, tensors)
    logging.info(
        "%d of %d variables written to %s",
        len(tensors),
        len(checkpoint.shapes),
        target,
    )


def convert(name: str, value: np.ndarray) -> "tf.Tensor":
    """Converts a variable of floats to --precision; others stay as they are.

    Args:
        name: the variable's name, for the error.
        value: its value.

    Raises:
        UserError: a number does not fit, or is not finite.
    """
    import tensorflow as tf

    if not np.issubdtype(value.dtype, np.floating):
        return tf.constant(value)
    converted = tf.cast(value, FLAGS.precision)
    if not np.isfinite(converted).all():
        raise UserError(
            f"--precision={FLAGS.precision}: {name} of {FLAGS.init_checkpoint} "
            "has numbers that do not fit, or NaN"
        )
    return converted


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
