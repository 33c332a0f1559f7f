"""What the flags make of an export: the SavedModel of a trained model."""

import keras
from absl import flags, logging

from bert_tf import export
from bert_tf.answering import Shape

FLAGS = flags.FLAGS
# Keras' policy of each --export_precision, that of the variables too.
POLICIES = {"float32": "float32", "bfloat16": "bfloat16"}


def shape() -> Shape:
    """What of the inputs' shapes the flags fix."""
    return Shape(FLAGS.export_batch_size, FLAGS.export_pad_to_max_length)


def export_trained(folder: str, model, make_model, answering, **description):
    """Writes the SavedModel in the precision of the flags.

    Args:
        folder: which it becomes, instead of what is there.
        model: the trained one, of any precision, under any strategy.
        make_model: function() -> a new model of the same shape.
        answering: function(model) -> `Answering`.
        **description: see `export.export_model`.
    """
    logging.info("***** Running export *****")
    trained = answering(plain_copy(model, make_model))
    exported = trained
    if FLAGS.export_precision != "float32":
        exported = answering(
            plain_copy(model, make_model, FLAGS.export_precision)
        )
    export.export_model(
        folder,
        exported,
        trained,
        precision=FLAGS.export_precision,
        description=description,
    )
    logging.info("  %s", folder)


def plain_copy(model, make_model, precision: str = "float32"):
    """The model's weights on one device, for a SavedModel.

    Args:
        model: of any precision, under any strategy.
        make_model: function() -> a new model of the same shape.
        precision: of the variables, and of what is computed.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        copy = make_model()
    finally:
        keras.config.set_dtype_policy(policy)
    for target, source in zip(copy.variables, model.variables, strict=True):
        target.assign(source.numpy())
    return copy
