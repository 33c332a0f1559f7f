"""Folders of SavedModels: written whole or not at all, and loaded.

    saved_model.pb, variables/   TensorFlow's files
    assets.extra/model.json      the description: kind, labels, lengths, …
    assets.extra/vocab.txt       the vocabulary
    assets.extra/bert_config.json
                                 the shape of the network
    assets.extra/tf_serving_warmup_requests
                                 requests that TensorFlow Serving tries first

This module needs TensorFlow and no part of the model's code.
"""

import contextlib
import json
import logging as standard_logging
import math
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  Its ops are in the SavedModels.
from absl import logging
from absl.logging import converter

from bert_tf import files, literal_paths
from bert_tf.errors import UserError
from bert_tf.export.kinds import KINDS
from bert_tf.formats import exported

LoadedModel = Any  # TensorFlow has no public name for this class.

SAVED_MODEL = "saved_model.pb"  # Every folder of a SavedModel has this file.
# What the folder of a run has: its export, its record, its checkpoints' state.
EXPORT, RUN_RECORD, CHECKPOINTS = "export", "train.json", "checkpoint"
# TensorFlow raises these for files that are missing or cut off.
_LOAD_ERRORS = (OSError, LookupError, ValueError, RuntimeError)
# Sequences are padded to a multiple of this, or to max_seq_length: a model is
# traced once for each length.
LENGTH_MULTIPLE = 16
# A model that is opened again has these files at the same places.
DESCRIPTION, VOCABULARY = exported.DESCRIPTION, exported.VOCABULARY
CONFIG, WEIGHTS = exported.CONFIG, exported.WEIGHTS
# The network as LiteRT files, for engines: weights float32, and int8.
NETWORK = os.path.join("assets.extra", "network.tflite")
INT8_NETWORK = os.path.join("assets.extra", "network_int8.tflite")
# What the part `read` of an answer gives to engines alone.
NOT_FINISHED = ("input_ids", "segment_ids", "lengths")
# How the outputs are computed from the network's logits, if that is known.
SOFTMAX = "softmax"
# The same with what `export.confidence` has in model.json. Earlier versions,
# which do not read it, leave this to the SavedModel.
SCALED_SOFTMAX = "scaled_softmax"


def check_replaceable(folder: str) -> None:
    """Raises UserError if a folder is not a SavedModel that may be replaced."""
    if files.exists(folder) and not files.exists(
        os.path.join(folder, SAVED_MODEL)
    ):
        raise UserError(
            f"{folder}: not a SavedModel; move it away first, because an "
            "export replaces this folder"
        )


@contextlib.contextmanager
def replacing_folder(folder: str) -> Iterator[str]:
    """Gives a scratch folder, which takes the place of `folder` at the end.

    The old folder or the new one exists at every moment, under its own name
    or, if the process is killed between two renames, as `.NAME.old.tmp`.

    Raises:
        UserError: the name is empty, which would be the current directory.
    """
    gfile = tf.io.gfile
    folder = folder.rstrip("/")
    if not folder:
        raise UserError("a folder to write is needed, not an empty name")
    if not files.is_remote(folder):
        folder = os.path.realpath(folder)  # The target of a link.
    parent, name = os.path.split(folder)
    scratch = os.path.join(parent, f".{name}.new.tmp")
    old = os.path.join(parent, f".{name}.old.tmp")

    def remove(path: str) -> None:
        if gfile.exists(path):
            gfile.rmtree(path)

    with files.naming(folder, "could not be written", scratch=scratch):
        if gfile.exists(old) and not gfile.exists(folder):
            gfile.rename(old, folder)
        remove(scratch)  # Left by a process that was killed.
        remove(old)
        try:
            yield scratch
            if gfile.exists(folder):
                gfile.rename(folder, old)
            gfile.rename(scratch, folder)
        except BaseException:
            if gfile.exists(old) and not gfile.exists(folder):
                gfile.rename(old, folder)
            remove(scratch)
            raise
        remove(old)


@contextlib.contextmanager
def quietly(level: int = standard_logging.WARNING) -> Iterator[None]:
    """Hides what TensorFlow logs while a model is saved, loaded or converted.

    Args:
        level: the lowest level that is logged.
    """
    # TensorFlow sets the verbosity, and sets it back. The levels are another
    # thing: a log of details, such as run.log, has a lower one.
    # In a notebook, TensorFlow's own logger writes its details to the screen.
    tensorflow_logger = standard_logging.getLogger("tensorflow")
    loggers = [
        standard_logging.getLogger(),
        logging.get_absl_logger(),
        tensorflow_logger,
    ]
    before = [logger.level for logger in loggers]
    verbosity = logging.get_verbosity()
    logging.set_verbosity(converter.standard_to_absl(level))
    tensorflow_logger.setLevel(level)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        for logger, old_level in zip(loggers, before, strict=True):
            logger.setLevel(old_level)


def save(folder: str, module: tf.Module, description: dict[str, Any]) -> None:
    """Writes a tf.Module with its `signatures`, and its description."""
    with quietly():
        tf.saved_model.save(module, folder, signatures=module.signatures)
    write_description(folder, description)


def write_description(folder: str, description: dict[str, Any]) -> None:
    """Writes model.json."""
    path = os.path.join(folder, DESCRIPTION)
    files.make_folder_of(path)
    files.write_text(path, json.dumps(description, indent=2) + "\n")


def find(folder: str) -> str:
    """Returns the folder of the SavedModel: this one, or the run's export.

    A run that was trained again after its export is named in a warning.

    Args:
        folder: the folder of a SavedModel, or of a run.
    """
    export = os.path.join(folder, EXPORT)
    if files.exists(os.path.join(folder, SAVED_MODEL)) or not files.exists(
        os.path.join(export, SAVED_MODEL)
    ):
        return folder
    state = os.path.join(folder, CHECKPOINTS)
    if not files.is_remote(folder) and files.exists(state):
        written = os.path.getmtime(os.path.join(export, SAVED_MODEL))
        if os.path.getmtime(state) > written:
            logging.warning(
                "%s: the run was trained further after this export", export
            )
    return export


def check_exported(folder: str) -> None:
    """Raises UserError if the folder is of a run that was not exported."""
    if files.exists(os.path.join(folder, RUN_RECORD)):
        raise UserError(
            f"{folder}: a run without an export; the program that trained "
            "it writes one, with `do_export` and the same `output_dir`"
        )


def load_any(folder: str, *, weights: bool = True) -> LoadedModel:
    """Loads a SavedModel of any writer, from a folder of any name.

    Args:
        folder: the folder.
        weights: whether its variables get their values. If not, functions
            that read them fail until `load_weights` is called.

    Raises:
        UserError: TensorFlow cannot name the folder.
    """
    options = tf.saved_model.LoadOptions(
        experimental_skip_checkpoint=not weights
    )
    with literal_paths.literal_folder(folder) as name:
        return tf.saved_model.load(name, options=options)


def load_weights(folder: str, model: LoadedModel) -> None:
    """Gives the variables of a model their values.

    Args:
        folder: the folder that it was loaded from.
        model: what `load_any` returned.

    Raises:
        UserError: the weights are missing or damaged.
    """
    try:
        with quietly(), literal_paths.literal_folder(folder) as name:
            checkpoint = tf.train.Checkpoint(model)
            status = checkpoint.read(os.path.join(name, WEIGHTS))
            status.assert_existing_objects_matched().expect_partial()
    except (*_LOAD_ERRORS, AssertionError, tf.errors.OpError) as error:
        raise UserError(f"{folder}: damaged: {files.reason(error)}") from None


def _check_weights(folder: str) -> None:
    """Checks, without reading them, that the weights of a model are all there.

    Raises:
        UserError: they end too early.
        One of `_LOAD_ERRORS`, or an OpError: they are missing.
    """
    with literal_paths.literal_folder(folder) as name:
        prefix = os.path.join(name, WEIGHTS)
        # `load_checkpoint` takes a prefix of ram:// for a folder.
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
    dtypes = reader.get_variable_to_dtype_map()
    needed = sum(
        math.prod(shape) * dtypes[name].size
        for name, shape in reader.get_variable_to_shape_map().items()
    )
    parent, prefix = os.path.split(os.path.join(folder, WEIGHTS))
    size = sum(
        tf.io.gfile.stat(os.path.join(parent, name)).length
        for name in tf.io.gfile.listdir(parent)
        if name.startswith(f"{prefix}.data-")
    )
    if size < needed:
        raise UserError(
            f"{folder}: damaged: The weights need {needed:,} bytes, and "
            f"those in {parent} have {size:,}"
        )


def load(
    folder: str, *, weights: bool = True
) -> tuple[LoadedModel, dict[str, Any]]:
    """Loads a SavedModel.

    Args:
        folder: the folder.
        weights: see `load_any`.

    Returns:
        (the loaded model, its description).

    Raises:
        UserError: the folder has no SavedModel, or not one of this package.
    """
    if not files.exists(os.path.join(folder, SAVED_MODEL)):
        check_exported(folder)
        raise UserError(f"{folder}: no SavedModel here")
    description = read_description(folder)
    try:
        with quietly():
            model = load_any(folder, weights=weights)
        if not weights:
            _check_weights(folder)
        outputs = model.signatures["serving_default"].structured_outputs
    except UserError:  # A ValueError, too.
        raise
    except (*_LOAD_ERRORS, tf.errors.OpError) as error:
        why = getattr(error, "strerror", None) or files.reason(error)
        raise UserError(f"{folder}: damaged: {why}") from None
    kind = KINDS[description["kind"]]
    missing = [name for name in kind.outputs if name not in outputs]
    if missing:
        raise UserError(
            f"{folder}: {DESCRIPTION} says {description['kind']}, but the "
            f"model does not answer {missing[0]}; export it again"
        )
    return model, description


def read_description(folder: str) -> dict[str, Any]:
    """Reads model.json.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = os.path.join(folder, DESCRIPTION)
    if not files.exists(path):
        raise UserError(
            f"{folder}: a SavedModel that this package did not export: "
            f"{DESCRIPTION} is missing"
        )
    try:
        description = json.loads(files.read_text(path))
        is_sound = description["kind"] in KINDS
    except (ValueError, TypeError, KeyError):
        is_sound = False
    if not is_sound:
        raise UserError(f"{path}: damaged; export the model again")
    return description
