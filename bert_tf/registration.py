"""Lets Keras find the package's classes by name after `import bert_tf`.

A `.keras` file names its classes, such as "bert_tf>BertClassifier". The module
of a class registers it, but only when it is imported, and `import bert_tf`
loads neither Keras nor TensorFlow. So Keras gets a stand-in for each name,
which imports the module when a file needs the class. Stand-ins are registered
as soon as Keras is loaded, whether that is before or after `import bert_tf`.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from bert_tf.import_hooks import ImportHook

# The registered names of each module; a test compares them with the code.
NAMES = {
    "activations": ("gelu", "gelu_exact"),
    "attention": ("SelfAttention",),
    "dropout": ("Dropout",),
    "heads": (
        "BertClassifier",
        "BertMultipleChoice",
        "BertPretrainer",
        "BertRelationClassifier",
        "BertSpanLabeler",
        "BertTokenClassifier",
    ),
    "layer_norm": ("LayerNorm",),
    "layers": (
        "Attention",
        "Embeddings",
        "Encoder",
        "Intermediate",
        "Pooler",
        "ResidualOutput",
        "TransformerLayer",
    ),
    "modeling": ("BertModel",),
    "optimization": ("AdamWeightDecay", "Lamb", "WarmupLinearDecay"),
    "pooling": ("BertEmbedder",),
    "static_vectors": ("PieceTable", "StaticEmbedder"),
}


def register_with_keras() -> None:
    """Registers the classes now if Keras is loaded, else as soon as it is."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "saving"):
        _register(keras)
    else:
        ImportHook("keras", _load).install()


def _load(execute: Callable[[], None], keras: ModuleType) -> None:
    """Executes Keras' module, and registers the stand-ins."""
    execute()
    _register(keras)


def _register(keras: Any) -> None:
    known = keras.saving.get_custom_objects()
    for module, names in NAMES.items():
        for name in names:
            # A module that is loaded has registered the class itself.
            if f"bert_tf>{name}" not in known:
                register = keras.saving.register_keras_serializable("bert_tf")
                register(_stand_in(module, name))


def _stand_in(module: str, name: str) -> Any:
    """Returns a class or, for a name in small letters, a function."""

    def actual() -> Any:
        return getattr(importlib.import_module(f"bert_tf.{module}"), name)

    if name.islower():

        def function(*args: Any, **kwargs: Any) -> Any:
            return actual()(*args, **kwargs)

        function.__name__ = name
        return function

    class StandIn:
        def get_config(self) -> dict[str, Any]:
            raise NotImplementedError  # It never has an instance.

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return actual().from_config(config)

    StandIn.__name__ = name
    return StandIn
