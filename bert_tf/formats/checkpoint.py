"""The original's checkpoints, read by the names of their variables."""

import os
import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bert_tf import files, literal_paths
from bert_tf.errors import UserError

# TensorFlow's reader raises one of these, depending on the kind of damage.
READ_ERRORS = (tf.errors.OpError, ValueError, IndexError, RuntimeError)


class DamagedCheckpoint(UserError):
    """The files of a checkpoint exist but cannot be read."""


class Checkpoint:
    """A checkpoint opened for reading.

    Args:
        prefix: its path without `.index`, or a folder whose file
            `checkpoint` names it.

    Raises:
        UserError: no checkpoint has this prefix, or its index is damaged.
    """

    def __init__(self, prefix: str):
        if files.is_folder(prefix):
            prefix = _newest_in(prefix) or prefix
        self.prefix = prefix
        if not files.exists(prefix + ".index"):
            raise UserError(_why_not_found(prefix))
        try:
            self._reader = tf.train.load_checkpoint(
                literal_paths.literal_checkpoint(prefix, self)
            )
            shapes = self._reader.get_variable_to_shape_map()
            self.shapes: Mapping[str, tuple[int, ...]] = {
                name: tuple(shapes[name]) for name in shapes
            }
        except UserError:  # A ValueError, too.
            raise
        except READ_ERRORS as error:
            raise self._damaged(error) from None

    def read(self, name: str) -> np.ndarray:
        """The value of one variable.

        Raises:
            UserError: the checkpoint is damaged.
        """
        try:
            return self._reader.get_tensor(name)
        except READ_ERRORS as error:
            raise self._damaged(error, name) from None

    def global_step(self) -> int:
        """The step of the training that wrote it; 0 if it has no step."""
        if "global_step" not in self.shapes:
            return 0
        return int(self.read("global_step"))

    def _damaged(self, error, name=None):
        which = f" at {name}" if name else ""
        return DamagedCheckpoint(
            f"{self.prefix}: the checkpoint is damaged{which}: "
            f"{files.reason(error)}"
        )


def _newest_in(folder: str) -> str | None:
    """As `tf.train.latest_checkpoint`, which takes the name for a pattern."""
    literal_paths.check_is_unicode(folder)
    try:
        state = tf.train.get_checkpoint_state(folder)
    except UserError:  # A ValueError, too.
        raise
    except ValueError:
        raise UserError(
            f"{os.path.join(folder, 'checkpoint')}: damaged; name the prefix "
            "of a checkpoint in this folder"
        ) from None
    newest = state.model_checkpoint_path if state else ""
    return newest if newest and files.exists(newest + ".index") else None


def _why_not_found(prefix):
    if files.is_folder(prefix):
        return (
            f"{prefix}: this is a folder; a checkpoint is named by its "
            f"prefix, such as {os.path.join(prefix, 'bert_model.ckpt')}"
        )
    stem = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", prefix)
    if stem != prefix and files.exists(stem + ".index"):
        return f"{prefix}: this is one file of a checkpoint; write {stem}"
    return f"{prefix}: no such checkpoint ({prefix}.index does not exist)"
