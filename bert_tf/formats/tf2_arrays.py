"""Arrays of TensorFlow 2 checkpoints, by their variables' names.

Such a checkpoint names each array by its place in a graph of Python objects:

    model/layer_with_weights-4/_attention_layer/…/.ATTRIBUTES/VARIABLE_VALUE

The place depends on how the model was wrapped and saved. The graph itself is
stored, too, and with it the name that each variable had:

    transformer/layer_0/self_attention/key/kernel
"""

from collections import Counter

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from bert_tf.errors import UserError
from bert_tf.formats.checkpoint import Checkpoint

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class ObjectArrays:
    """The arrays of a TensorFlow 2 checkpoint, by their variables' names.

    A variable without a name, or with one that others have as well, goes by
    its place, without the ending.

    Args:
        prefix: as for `Checkpoint`; `variables/variables` in a SavedModel.

    Attributes:
        path: the prefix.
        shapes: {name: shape}.
        places: {name: place}, without the ending.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or it was not
            written by TensorFlow 2.
    """

    def __init__(self, prefix: str):
        self._checkpoint = Checkpoint(prefix)
        self.path = self._checkpoint.prefix
        if GRAPH not in self._checkpoint.shapes:
            raise UserError(
                f"{self.path}: not an object-based checkpoint of TensorFlow 2"
            )
        names = self._names()
        counts = Counter(names.values())
        self._keys: dict[str, str] = {}
        for key in self._checkpoint.shapes:
            if key == GRAPH:
                continue
            name = names.get(key, "")
            if not name or counts[name] > 1:
                name = key.removesuffix(VALUE)
            self._keys[name] = key
        self.shapes = {
            name: self._checkpoint.shapes[key]
            for name, key in self._keys.items()
        }
        self.places = {
            name: key.removesuffix(VALUE) for name, key in self._keys.items()
        }

    def read(self, name: str) -> np.ndarray:
        """The value of one variable.

        Raises:
            UserError: the checkpoint is damaged.
        """
        return self._checkpoint.read(self._keys[name])

    def _names(self) -> dict[str, str]:
        """{key in the checkpoint: name of the variable, or ""}."""
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        try:
            graph.ParseFromString(self._checkpoint.read(GRAPH))
        except (DecodeError, TypeError):
            raise UserError(
                f"{self.path}: the graph of objects is damaged"
            ) from None
        return {
            attribute.checkpoint_key: attribute.full_name
            for node in graph.nodes
            for attribute in node.attributes
        }
