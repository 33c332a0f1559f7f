"""What the flags make of an export: the SavedModel of a trained model."""

import dataclasses
from collections.abc import Mapping

import keras
from absl import flags, logging

from bert_tf.export import writing
from bert_tf.export.question_answering import QuestionServing, SquadSettings
from bert_tf.export.serving_modules import InputShape
from bert_tf.heads import BertSpanLabeler
from bert_tf.preprocessing import BertPreprocessor

FLAGS = flags.FLAGS


def shape() -> InputShape:
    """What of the inputs' shapes the flags fix."""
    return InputShape(
        batch_size=FLAGS.export_batch_size,
        pads_to_max=FLAGS.export_pad_to_max_length,
    )


def export_trained(
    folder: str,
    model,
    make_model,
    answering,
    vocab_file: str,
    **description,
):
    """Writes the SavedModel in the precision of the flags.

    Args:
        folder: which it becomes, instead of what is there.
        model: the trained one, of any precision, under any strategy.
        make_model: function() -> a new model of the same shape.
        answering: function(model) -> `ServingModule`.
        vocab_file: of its tokens.
        **description: see `export.export_model`.
    """
    logging.info("***** Running export *****")
    trained = answering(plain_copy(model, make_model))
    exported = trained
    if FLAGS.export_precision != "float32":
        exported = answering(
            plain_copy(model, make_model, FLAGS.export_precision)
        )
    writing.export_model(
        folder,
        exported,
        trained,
        precision=FLAGS.export_precision,
        description=description,
    )
    logging.info("  %s", folder)
    writing.remove_lite(folder)  # Of the model that was there.
    if FLAGS.export_tflite:
        writing.export_lite(folder, trained, model.config, vocab_file)
        logging.info("  %s.tflite, %s_int8.tflite", folder, folder)


def export_questions(folder: str, model, flags: Mapping):
    """Writes the SavedModel that answers questions.

    Args:
        folder: see `export_trained`.
        model: a `BertSpanLabeler`.
        flags: of run_squad.py; those of this run, or those that train.json
            keeps of an earlier one.
    """
    preprocess = BertPreprocessor(
        flags["vocab_file"], flags["do_lower_case"], flags["max_seq_length"]
    )
    names = [field.name for field in dataclasses.fields(SquadSettings)]
    settings = SquadSettings(**{name: flags[name] for name in names})
    export_trained(
        folder,
        model,
        lambda: BertSpanLabeler(model.config),
        lambda copy: QuestionServing(copy, preprocess, settings),
        flags["vocab_file"],
    )


def plain_copy(model, make_model, precision: str = "float32"):
    """The model's weights on one device, for a SavedModel.

    Args:
        model: of any precision, under any strategy.
        make_model: function() -> a new model of the same shape.
        precision: of the variables, and of what is computed.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)  # The variables', too.
    try:
        copy = make_model()
    finally:
        keras.config.set_dtype_policy(policy)
    for target, source in zip(copy.variables, model.variables, strict=True):
        target.assign(source.numpy())
    return copy
