"""Exports a trained model as a SavedModel, as the flags ask."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from absl import flags, logging

from bert_tf.data.text_reader import TextReader
from bert_tf.export import writing
from bert_tf.export.int8 import Int8Settings
from bert_tf.export.question_answering import QuestionServing
from bert_tf.export.question_windows import SquadSettings
from bert_tf.export.serving_modules import (
    EmbeddingServing,
    InputShape,
    ServingModule,
)
from bert_tf.heads import BertSpanLabeler
from bert_tf.pooling import BertEmbedder
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.programs import console
from bert_tf.programs.settings import from_flags
from bert_tf.progress import working
from bert_tf.tokenization import TokenizerSettings

FLAGS = flags.FLAGS


def input_shape() -> InputShape:
    """The dimensions of the inputs that the flags fix."""
    return InputShape(
        batch_size=FLAGS.export_batch_size,
        pads_to_max=FLAGS.export_pad_to_max_length,
    )


def int8_settings(items: Sequence[Any]) -> Int8Settings | None:
    """How the int8 network is measured, if the flags ask for one."""
    if not FLAGS.export_int8:
        return None
    return Int8Settings(
        items=items,
        calibration_file=FLAGS.calibration_file,
        allow_loss=FLAGS.allow_loss,
    )


@working("Exporting")
def export_trained(
    folder: str,
    model: keras.Model,
    *,
    make_model: Callable[[], keras.Model],
    make_module: Callable[[keras.Model], ServingModule],
    vocab_file: str,
    items: Sequence[Any] = (),
    **description: Any,
) -> None:
    """Writes the SavedModel in the precision of the flags.

    Args:
        folder: the folder that it becomes, instead of what is there.
        model: the trained model, of any precision, under any strategy.
        make_model: function() -> a new model of the same shape.
        make_module: function(model) -> what the SavedModel computes.
        vocab_file: the model's vocabulary.
        items: texts of the dev set, on which int8 is compared with float32.
        **description: see `writing.export_module`.
    """
    logging.debug("***** Running export *****")
    trained = make_module(writing.plain_copy(model, make_model))
    exported = trained
    if FLAGS.export_precision != "float32":
        exported = make_module(
            writing.plain_copy(model, make_model, FLAGS.export_precision)
        )
    exported.answers_lengths = FLAGS.export_lengths
    writing.export_module(
        folder,
        exported,
        trained,
        precision=FLAGS.export_precision,
        int8=int8_settings(items),
        description=description,
    )
    console.show("Written", f"{folder}: a SavedModel, {FLAGS.export_precision}")
    writing.remove_lite(folder)  # Files of the model that was there before.
    if FLAGS.export_tflite:
        writing.export_lite(folder, trained, model.config, vocab_file)
        console.show("", f"{folder}.tflite, {folder}_int8.tflite")


def export_encoder(
    folder: str,
    model: BertEmbedder,
    reader: TextReader,
    settings: Mapping[str, Any],
    items: Sequence[Any] = (),
) -> None:
    """Writes the SavedModel that turns each text into a vector.

    Args:
        folder, model, items: see `export_trained`.
        reader: how texts are read.
        settings: the arguments of the `BertEmbedder` to export.
    """
    export_trained(
        folder,
        model,
        make_model=lambda: BertEmbedder(model.config, **settings),
        make_module=lambda copy: EmbeddingServing(copy, reader, input_shape()),
        vocab_file=FLAGS.vocab_file,
        items=items,
        **settings,
    )


def export_questions(
    folder: str,
    model: BertSpanLabeler,
    flags: Mapping[str, Any],
    items: Sequence[Any] = (),
) -> None:
    """Writes the SavedModel that answers questions.

    Args:
        folder: see `export_trained`.
        model: the trained model.
        flags: the flags of run_squad.py: those of this run, or those that
            train.json keeps of an earlier one.
        items: see `export_trained`.
    """
    preprocess = BertPreprocessor(
        flags["vocab_file"],
        max_seq_length=flags["max_seq_length"],
        **TokenizerSettings.of(flags).tokenizer_arguments(),
    )
    settings = from_flags(SquadSettings, flags)
    export_trained(
        folder,
        model,
        make_model=lambda: BertSpanLabeler(model.config),
        make_module=lambda copy: QuestionServing(copy, preprocess, settings),
        vocab_file=flags["vocab_file"],
        items=items,
    )
