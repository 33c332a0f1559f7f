"""Models in files of Keras, which this package wrote: model.keras."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.formats import heads, original
from bert_tf.formats.model import StoredModel

MODEL = "model.keras"
# What Keras and the readers of its archives raise for files that are damaged.
_READ_ERRORS = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_model(folder: str, model: Any) -> None:
    """Writes a Keras model as `MODEL` in a folder, whole or not at all.

    Args:
        folder: the folder.
        model: the model; None is an error of the caller.
    """
    scratch = os.path.join(folder, ".model.tmp.keras")
    with files.naming(os.path.join(folder, MODEL), "could not be written"):
        try:
            model.save(scratch)
            files.move(scratch, os.path.join(folder, MODEL))
        except BaseException:
            files.remove_if_there(scratch)
            raise


def is_model(folder: str) -> bool:
    """Whether a folder has a model in a file of Keras, and its config."""
    has_config = files.exists(os.path.join(folder, original.CONFIG))
    return has_config and is_file(os.path.join(folder, MODEL))


def is_file(path: str) -> bool:
    """Whether a file is a zip archive, as those of Keras are."""
    return files.exists(path) and zipfile.is_zipfile(path)


def open_folder(path: str, folder: str) -> StoredModel:
    """Describes a model that `storing` wrote for Keras.

    Args:
        path: what was asked for, for errors.
        folder: the folder.

    Raises:
        UserError: a file cannot be used.
    """
    return original.open_model(
        path,
        folder,
        os.path.join(folder, MODEL),
        form="a model of Keras",
        open_weights=KerasWeights,
    )


class KerasWeights:
    """The weights of a model in a file of Keras.

    Args:
        path: the file.

    Attributes:
        prefix: the path, for errors.
        model: the model.
        shapes: {name in the original: shape}.

    Raises:
        UserError: the file is damaged, or not of this package.
    """

    def __init__(self, path: str):
        import keras

        self.prefix = path
        try:
            self.model = keras.models.load_model(path, compile=False)
        except _READ_ERRORS as error:
            raise UserError(
                f"{path}: not a model of this package, or damaged: "
                f"{files.reason(error)}"
            ) from None
        kind = original.task_in(os.path.dirname(path)).get("problem")
        own = [v.path for v in self.model.weights]
        if kind in heads.HALVES:  # The random other half is not its own.
            own = heads.variables_of(kind, own)
        self._variables = {
            v.path: v for v in self.model.weights if v.path in own
        }
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: tuple(v.shape) for name, v in self._variables.items()
        }

    def read(self, name: str) -> np.ndarray:
        """The value of a variable."""
        return np.asarray(self._variables[name].value)

    def global_step(self) -> int:
        """0: the file says nothing of steps."""
        return 0
