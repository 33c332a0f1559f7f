"""Lets Keras find the package's classes by name after `import bert_tf`.

A `.keras` file names its classes, such as "bert_tf>BertClassifier". The module
of a class registers it, but only when it is imported, and `import bert_tf`
loads neither Keras nor TensorFlow. So Keras gets a stand-in for each name,
which imports the module when a file needs the class. Stand-ins are registered
as soon as Keras is loaded, whether that is before or after `import bert_tf`.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

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
}


def register_with_keras() -> None:
    """Registers the classes now if Keras is loaded, else as soon as it is."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "saving"):
        _register(keras)
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


class _KerasFinder:
    """An import hook that registers the stand-ins when Keras is imported.

    It finds nothing itself, and is removed after Keras is loaded.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: Any = None
    ) -> Any:
        if name != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (
            finder.find_spec(name, path, target)
            for finder in others
            if hasattr(finder, "find_spec")  # `import` skips others, too.
        )
        spec = next(filter(None, specs), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                # The loader is Keras' own again, whatever comes of it.
                loader.exec_module = execute
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register(module)

            loader.exec_module = exec_module
        return spec


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
