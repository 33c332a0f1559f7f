"""Copies a checkpoint without what only training needs, and smaller if wanted.

    python -m bert_tf.tools.convert_checkpoint \\
        --init_checkpoint=/tmp/pretraining/model.ckpt-10000 \\
        --output_checkpoint=release/bert_model.ckpt --precision=float16

A checkpoint of a training holds each variable three times, with the moments of
the optimizer. In float16 it takes a sixth of that. Programs here read it as
any other; the original reads float32 alone.
"""

import numpy as np
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, files
from bert_tf.errors import UserError
from bert_tf.programs import program

FLAGS = flags.FLAGS
DTYPES = {"float32": tf.float32, "float16": tf.float16}

flags.DEFINE_string("init_checkpoint", None, "Prefix of the checkpoint.")
flags.DEFINE_string(
    "output_checkpoint", None, "Prefix of the one to write, which is not there."
)
flags.DEFINE_enum(
    "precision", "float32", list(DTYPES), "What the numbers are stored in."
)


def main():
    program.require("init_checkpoint", "output_checkpoint")
    target = FLAGS.output_checkpoint
    program.check_output("output_checkpoint", target, [])
    if files.exists(target + ".index"):
        raise UserError(f"--output_checkpoint={target}: is there already")
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


def convert(name, value):
    """A float variable in --precision; others as they are.

    Raises:
        UserError: a number does not fit.
    """
    if not np.issubdtype(value.dtype, np.floating):
        return tf.constant(value)
    converted = tf.cast(value, DTYPES[FLAGS.precision])
    if not np.isfinite(converted).all():
        raise UserError(
            f"--precision={FLAGS.precision}: {name} of {FLAGS.init_checkpoint} "
            "has numbers that do not fit, or none"
        )
    return converted


if __name__ == "__main__":
    program.run(main)
