"""BERT for TensorFlow 2 and Keras 3."""

import importlib
import os

# Before TensorFlow and Keras are first imported. The level hides most of
# TensorFlow's notes on its own build. A value set by the user stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

__version__ = "0.1.0"

# What people import from here, and where it is. Nothing is loaded before it
# is asked for: reading a vocabulary takes no TensorFlow, and the model also
# runs where TensorFlow is absent.
_HOMES = {
    "BertConfig": "config",
    "BertModel": "modeling",
    "BertPreprocessor": "preprocessing",
    "FullTokenizer": "tokenization",
}
__all__ = list(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        module = importlib.import_module(f"bert_tf.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
