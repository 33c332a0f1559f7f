"""Which class of models has which head, and models of heads by their kinds."""

import keras

from bert_tf import heads, loading
from bert_tf.errors import UserError
from bert_tf.formats.model import StoredModel
from bert_tf.formats.weights import ArraysInMemory
from bert_tf.modeling import BertModel
from bert_tf.storing import Contents


def class_of(kind: str | None) -> type[keras.Model]:
    """The class of the models whose head is of a kind; None for an encoder.

    Raises:
        UserError: there is no such kind.
    """
    for model_class in vars(heads).values():
        if kind in getattr(model_class, "kinds", ()):
            return model_class
    if kind in (None, "embedding"):
        return BertModel
    raise UserError("there is no such kind of head", setting="head", value=kind)


def model_of(contents: Contents) -> keras.Model:
    """The Keras model of what a folder is to hold, with its weights.

    Raises:
        UserError: there is no class with such a head.
    """
    weights = ArraysInMemory(contents.name, contents.weights)
    stored = StoredModel(
        path=contents.name,
        format="arrays",
        config=contents.config,
        config_file="",
        vocab_file=None,
        tokenizer=contents.tokenizer,
        weights_file="",
        open_weights=lambda _: weights,
        kind=contents.kind,
    )
    return loading.make_model(class_of(contents.kind), stored, {})
