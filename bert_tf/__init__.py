"""BERT for TensorFlow 2 and Keras 3."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from bert_tf.registration import register_with_keras

# Set before TensorFlow and Keras are first imported. The level hides most of
# TensorFlow's notes on its own build. A value set by the user stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

__version__ = "0.1.0"

if TYPE_CHECKING:  # Editors and type checkers see what `__getattr__` loads.
    from bert_tf import (
        checkpoints,
        data,
        embeddings,
        export,
        fill_mask,
        heads,
        losses,
        metrics,
        optimization,
        pooling,
        pretrained,
        tasks,
        training,
    )
    from bert_tf.config import BertConfig
    from bert_tf.fine_tuning.result import FineTuned
    from bert_tf.fine_tuning.running import fine_tune
    from bert_tf.modeling import BertModel
    from bert_tf.preprocessing import BertPreprocessor
    from bert_tf.tokenization import FullTokenizer

# The module of each public name. A module is loaded when its name is first
# used: reading a vocabulary takes no TensorFlow, and the model also runs
# without TensorFlow.
_HOMES = {
    "BertConfig": "config",
    "BertModel": "modeling",
    "BertPreprocessor": "preprocessing",
    "FineTuned": "fine_tuning.result",
    "FullTokenizer": "tokenization",
    "fine_tune": "fine_tuning.running",
}
# Everything else is a module with names that people import.
__all__ = [
    "BertConfig",
    "BertModel",
    "BertPreprocessor",
    "FineTuned",
    "FullTokenizer",
    "checkpoints",
    "data",
    "embeddings",
    "export",
    "fill_mask",
    "fine_tune",
    "heads",
    "losses",
    "metrics",
    "optimization",
    "pooling",
    "pretrained",
    "tasks",
    "training",
]

register_with_keras()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"bert_tf.{_HOMES[name]}")
        return getattr(module, name)
    if name in __all__:
        return importlib.import_module(f"bert_tf.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
