"""BERT for TensorFlow 2 and Keras 3."""

import os

# Before TensorFlow and Keras are first imported. The level hides most of
# TensorFlow's notes on its own build. A value set by the user stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from bert_tf.config import BertConfig  # noqa: E402
from bert_tf.modeling import BertModel  # noqa: E402
from bert_tf.tokenization import FullTokenizer  # noqa: E402

__version__ = "0.1.0"
__all__ = ["BertConfig", "BertModel", "BertPreprocessor", "FullTokenizer"]


def __getattr__(name):
    # Only when asked for: the model also runs where TensorFlow is absent.
    if name == "BertPreprocessor":
        from bert_tf.preprocessing import BertPreprocessor

        return BertPreprocessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
