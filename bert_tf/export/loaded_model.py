"""LoadedModel: an exported model in memory, with or without its weights."""

import os
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.engines.sequences import OutputShapes


class LoadedModel:
    """A SavedModel of this package.

    Its answers may have parts, see `serving_base.ServingModule.add_parts`. Then
    another engine can compute the network, and TensorFlow's weights are loaded
    when something needs them for the first time. Other models load them at
    once.

    Args:
        folder: the folder of the SavedModel, or of a run that has one.

    Attributes:
        folder: the folder of the SavedModel.
        functions: the loaded SavedModel.
        info: the content of its model.json.
        has_parts: whether its answers have parts. Exports of earlier versions
            and those with inputs of fixed sizes have none.
        signatures: {name: function}.

    Raises:
        UserError: the folder has no such model.
    """

    def __init__(self, folder: str):
        self.folder = saved_models.find(os.fspath(folder))
        # Weights may be loaded after a change of the working folder, or of a
        # link such as `current`.
        self._path = self.folder
        if not files.is_remote(self.folder):
            self._path = os.path.realpath(self.folder)
        self._stamp = self._stamp_of_weights()
        self.functions, self.info = saved_models.load(
            self.folder, weights=False
        )
        self.has_parts = hasattr(self.functions, "finish")
        self._has_weights = False
        self._lock = threading.Lock()
        if not self.has_parts:
            self.load_weights()
        self.signatures = {
            name: Signature(function, self.load_weights)
            for name, function in self.functions.signatures.items()
        }

    def load_weights(self) -> None:
        """Loads TensorFlow's weights, unless that has been done.

        Raises:
            UserError: they are damaged, or those of another model by now.
        """
        with self._lock:
            if self._has_weights:
                return
            self._check_not_replaced()
            saved_models.load_weights(self._path, self.functions)
            self._check_not_replaced()
            self._has_weights = True

    @property
    def was_replaced(self) -> bool:
        """Whether weights that are not loaded yet are gone.

        A model that was exported into the same folder must not answer for this
        one.
        """
        return not self._has_weights and self._stamp != self._stamp_of_weights()

    def _check_not_replaced(self) -> None:
        if self.was_replaced:
            raise UserError(
                f"{self.folder}: was deleted or replaced; load it again"
            )

    def _stamp_of_weights(self) -> list[int]:
        index = os.path.join(self._path, f"{saved_models.WEIGHTS}.index")
        try:
            return files.stamp(index)
        except (OSError, tf.errors.OpError):
            return []  # They are gone.

    @property
    def shapes(self) -> OutputShapes:
        """The shapes of the network's outputs."""
        (network,) = self.functions.network.concrete_functions
        outputs = network.structured_outputs
        return {name: tuple(x.shape.as_list()) for name, x in outputs.items()}

    def has(self, name: str) -> bool:
        """Whether its folder has a file."""
        return files.exists(os.path.join(self.folder, name))


class Signature:
    """A signature, which loads the model's weights when it is called.

    Args:
        function: the concrete function.
        load_weights: function() that loads them.
    """

    def __init__(self, function: Any, load_weights: Callable[[], None]):
        self._function = function
        self._load_weights = load_weights

    def __call__(self, *args: Any, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        self._load_weights()
        return self._function(*args, **inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)
