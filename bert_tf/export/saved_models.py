"""Folders of SavedModels: written whole or not at all, and described.

    saved_model.pb, variables/   TensorFlow's
    assets.extra/model.json      what the model is: kind, labels, lengths, …
    assets.extra/tf_serving_warmup_requests
                                 what TensorFlow Serving tries at the start

This file knows TensorFlow alone, and nothing of the models.
"""

import contextlib
import json
import os

import tensorflow as tf
import tensorflow_text  # noqa: F401  Its ops are in the SavedModels.
from absl import logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.export.kinds import KINDS

SAVED_MODEL = "saved_model.pb"  # That a folder is one.
# What TensorFlow raises for files that are lost or cut off.
_LOAD_ERRORS = (OSError, LookupError, ValueError, RuntimeError)
DESCRIPTION = os.path.join("assets.extra", "model.json")


def check_replaceable(folder: str):
    """Raises UserError where an export would replace what is none."""
    if files.exists(folder) and not files.exists(
        os.path.join(folder, SAVED_MODEL)
    ):
        raise UserError(
            f"{folder}: this is no SavedModel; an export would replace it: "
            "move it away"
        )


@contextlib.contextmanager
def replacing_folder(folder: str):
    """Gives a scratch folder, which takes the place of `folder` at the end.

    At every moment there is the old folder or the new one, under its own name
    or, where a process was killed between two renames, under that of `old`.
    """
    gfile = tf.io.gfile
    folder = folder.rstrip("/")
    if not files.is_remote(folder):
        folder = os.path.realpath(folder)  # What a link stands for.
    parent, name = os.path.split(folder)
    scratch = os.path.join(parent, f".{name}.new.tmp")
    old = os.path.join(parent, f".{name}.old.tmp")

    def remove(path):
        if gfile.exists(path):
            gfile.rmtree(path)

    with files.naming(folder, "could not be written", scratch=scratch):
        if gfile.exists(old) and not gfile.exists(folder):
            gfile.rename(old, folder)
        remove(scratch)  # Of a process that was killed.
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
def quietly():
    """TensorFlow tells much of what it writes."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def save(folder: str, module, description: dict):
    """Writes a tf.Module with its `signatures`, and what describes it."""
    with quietly():
        tf.saved_model.save(module, folder, signatures=module.signatures)
    path = os.path.join(folder, DESCRIPTION)
    files.make_folder_of(path)
    files.write_text(path, json.dumps(description, indent=2) + "\n")


def load(folder: str):
    """(the loaded SavedModel, its description).

    Raises:
        UserError: there is none, or it is not one of this package.
    """
    if not files.exists(os.path.join(folder, SAVED_MODEL)):
        raise UserError(f"{folder}: no SavedModel here")
    description = read_description(folder)
    try:
        with quietly():
            model = tf.saved_model.load(folder)
        outputs = model.signatures["serving_default"].structured_outputs
    except (*_LOAD_ERRORS, tf.errors.OpError) as error:
        why = getattr(error, "strerror", None) or files.reason(error)
        raise UserError(f"{folder}: damaged: {why}") from None
    kind = KINDS[description["kind"]]
    missing = [name for name in kind.outputs if name not in outputs]
    if missing:
        raise UserError(
            f"{folder}: {DESCRIPTION} says {description['kind']}, but the "
            f"model answers no {missing[0]}; export it again"
        )
    return model, description


def read_description(folder: str) -> dict:
    """What model.json tells.

    Raises:
        UserError: it is not there, or damaged.
    """
    path = os.path.join(folder, DESCRIPTION)
    if not files.exists(path):
        raise UserError(
            f"{folder}: a SavedModel, but not one of --do_export: "
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
