"""Converts a model from one format into another, as a whole folder.

    python -m bert_tf.tools.convert_checkpoint \\
        --from=/tmp/tickets --to=/tmp/tickets_hf --format=huggingface

--from takes what --pretrained takes elsewhere: the name of a released model, or
a folder of any format that is known. The folder of --to gets the weights, the
config, the vocabulary and the tokenizer's settings, the labels, and README.md,
a model card. The log names every variable that one side has and the other has
not.

    python -m bert_tf.tools.convert_checkpoint \\
        --init_checkpoint=/tmp/pretraining/model.ckpt-10000 \\
        --output_checkpoint=release/bert_model.ckpt --precision=float16

copies a checkpoint alone, without the optimizer's state. A training checkpoint
holds three numbers per weight: the weight and two moments of the optimizer.
Without the moments and in float16, a sixth of the size is left. All programs
here read such a file; the original reads only float32.

    python -m bert_tf.tools.convert_checkpoint --keep_layers=0,2,4 \\
        --from=bert-base-uncased --to=/tmp/three_layers

leaves the other layers of the encoder out. The result is a start for training.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import flags, logging

from bert_tf import files
from bert_tf.choices import MODEL_FORMATS
from bert_tf.errors import UserError
from bert_tf.programs import console, program

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_tf.storing import Contents

FLAGS = flags.FLAGS
FOLDERS, CHECKPOINTS = ("from", "to"), ("init_checkpoint", "output_checkpoint")

flags.DEFINE_string(
    "from", None, "The model to convert: the name of a released one, or a path."
)
flags.DEFINE_string(
    "to", None, "Folder to write. It must not exist, or be empty."
)
flags.DEFINE_enum(
    "format",
    "original",
    MODEL_FORMATS,
    "Format of --to: the original's checkpoint, a folder of Hugging Face, or a "
    "file of Keras.",
)
flags.DEFINE_string(
    "head",
    None,
    "Kind of the model's head, where the files do not say it: single_label, "
    "multi_label, regression, tags, multiple_choice, question_answering, "
    "pretraining, masked_lm, next_sentence. An empty value leaves the head "
    "out.",
)
flags.DEFINE_string(
    "init_checkpoint", None, "Prefix of a checkpoint to copy without its model."
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
flags.DEFINE_string(
    "keep_layers",
    None,
    "Numbers of the encoder's layers that stay, from 0 and with commas "
    "between, such as 0,2,4. The others are left out. By default all stay.",
)


def main() -> None:
    kept_layers()  # First, because this check costs nothing.
    names = [n for n in (*FOLDERS, *CHECKPOINTS) if FLAGS[n].value is not None]
    if set(names) & set(FOLDERS):
        for name in set(names) & set(CHECKPOINTS):
            program.refuse("--from and --to convert a whole model", name)
        program.require(*FOLDERS)
        if not FLAGS["from"].value:
            raise UserError(
                "a name or a folder is needed", setting="from", value=""
            )
        convert_folder(str(FLAGS["from"].value), FLAGS.to)
    else:
        program.refuse("it is for --from and --to", "format", "head")
        program.require(*CHECKPOINTS)
        copy_checkpoint(FLAGS.init_checkpoint, FLAGS.output_checkpoint)


def kept_layers() -> tuple[int, ...] | None:
    """The layers of --keep_layers; None for all.

    Raises:
        UserError: it is not a list of numbers.
    """
    if FLAGS.keep_layers is None:
        return None
    numbers = FLAGS.keep_layers.split(",")
    if not all(n.strip().isascii() and n.strip().isdigit() for n in numbers):
        raise UserError(
            "whole numbers from 0 are needed, separated by commas",
            setting="keep_layers",
            value=FLAGS.keep_layers,
        )
    return tuple(map(int, numbers))


def copy_checkpoint(source: str, target: str) -> None:
    """Copies the weights of a checkpoint.

    Args:
        source: the prefix to read.
        target: the prefix to write.

    Raises:
        UserError: the target exists, or the source cannot be read.
    """
    program.check_output("output_checkpoint", target, [])
    if files.exists(target + ".index"):
        raise UserError(f"--output_checkpoint={target}: already exists")
    from bert_tf import checkpoints
    from bert_tf.formats import encoder_layers

    checkpoint = checkpoints.Checkpoint(source)
    # {name in the new file: name in the old one}
    names = {name: name for name in checkpoints.weights_in(checkpoint)}
    layers = kept_layers()
    if layers is not None:
        names = encoder_layers.keep_layers(names, layers)
    tensors = {
        new: convert(old, checkpoint.read(old), source)
        for new, old in names.items()
    }
    checkpoints.write_checkpoint(target, tensors)
    number, total = len(tensors), len(checkpoint.shapes)
    console.show("Written", f"{target}: {number} of {total} variables")
    if layers is not None:
        console.show(
            "", f"its bert_config.json needs num_hidden_layers={len(layers)}"
        )


def convert_folder(source: str, target: str) -> None:
    """Converts a model.

    Args:
        source: a name or a path; see `pretrained.open`.
        target: the folder to write.

    Raises:
        UserError: there is no such model, the target exists, or the format
            has no place for the model's head.
    """
    if files.exists(target) and (
        not files.is_folder(target) or files.entries(target)
    ):
        raise UserError("already exists", setting="to", value=target)
    program.check_folder("to")
    if (FLAGS.format, FLAGS.precision) == ("keras", "float16"):
        raise UserError(
            "a file of Keras has the model's own numbers, float32",
            setting="precision",
            value=FLAGS.precision,
        )
    from bert_tf import model_classes, storing
    from bert_tf.export import saved_models

    contents = storing.contents_of(source, FLAGS.head)
    total = len(contents.weights)
    layers = kept_layers()
    if layers is not None:
        contents = with_layers(contents, layers)
    weights = contents.weights
    for name in weights:  # One after the other: a model may be large.
        weights[name] = np.asarray(convert(name, weights[name], source))
    if FLAGS.format == "keras":
        model = model_classes.model_of(contents)
        contents = dataclasses.replace(contents, model=model)
    with saved_models.replacing_folder(target) as scratch:
        not_written = storing.write_folder(scratch, contents, FLAGS.format)
    if not_written:
        logging.warning(
            "%s: %s has no place for %s",
            target,
            FLAGS.format,
            ", ".join(not_written),
        )
    number = len(weights) - len(not_written)
    console.show("Written", f"{target}: {number} of {total} variables")


def with_layers(contents: "Contents", layers: Sequence[int]) -> "Contents":
    """The model with some of its layers.

    Args:
        contents: the whole model.
        layers: numbers of the layers that stay, from 0.

    Raises:
        UserError: it does not have these layers.
    """
    from bert_tf.formats import encoder_layers

    return dataclasses.replace(
        contents,
        config=dataclasses.replace(
            contents.config, num_hidden_layers=len(layers)
        ),
        weights=encoder_layers.keep_layers(contents.weights, layers),
        scores={},  # They are those of the whole model.
    )


def convert(
    name: str, value: np.ndarray, source: str
) -> "tf.Tensor | np.ndarray":
    """Converts a variable of floats to --precision; others stay as they are.

    Args:
        name: the variable's name, for the error.
        value: its value.
        source: where it comes from, for the error.

    Raises:
        UserError: a number does not fit, or is not finite.
    """
    import tensorflow as tf

    if not np.issubdtype(value.dtype, np.floating):
        return tf.constant(value)
    if value.dtype == FLAGS.precision and np.isfinite(value).all():
        return value  # Not copied.
    converted = tf.cast(value, FLAGS.precision)
    if not np.isfinite(converted).all():
        raise UserError(
            f"--precision={FLAGS.precision}: {name} of {source} has numbers "
            "that do not fit, or NaN"
        )
    return converted


if __name__ == "__main__":
    program.run(main)
