"""The base of all layers, and the dense and dropout layers inside them."""

import contextlib
from collections.abc import Iterator
from typing import Any, Self

import keras

from bert_tf.config import BertConfig
from bert_tf.dropout import Dropout


def initializer(config: BertConfig) -> keras.initializers.Initializer:
    """The initial values of every weight matrix."""
    return keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def dense(
    units: int, config: BertConfig, name: str = "dense", **kwargs: Any
) -> keras.layers.Dense:
    """A dense layer with the original's initial values."""
    return keras.layers.Dense(
        units, kernel_initializer=initializer(config), name=name, **kwargs
    )


def dropout(rate: float) -> Dropout:
    """A layer whose mask depends on the seed and the layer's path."""
    return Dropout(rate, name="dropout")


@contextlib.contextmanager
def made_with(policy: Any) -> Iterator[None]:
    """Gives a dtype policy to the layers that are made in the block.

    Args:
        policy: a Keras dtype policy, its name or its config; None for the one
            that Keras has now.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(keras.dtype_policies.get(policy))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Configured:
    """Mixin for what a `BertConfig` describes, and Keras saves and builds."""

    config: BertConfig

    def get_config(self) -> dict[str, Any]:
        saved = super().get_config()  # type: ignore[misc]  # Keras' base class.
        return {**saved, "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        settings = dict(config)
        bert_config = BertConfig.from_dict(settings.pop("config"))
        # The layers inside have no config of their own in a saved model.
        with made_with(settings.get("dtype")):
            # A mixin has no constructor that mypy could see.
            return cls(bert_config, **settings)  # type: ignore[call-arg]


class BertLayer(Configured, keras.layers.Layer):
    """A layer whose only constructor argument is the `BertConfig`.

    Every layer builds its children in `build`, the dropouts too: that fixes
    their paths, and with them variable names and dropout masks,
    whatever calls the model later.
    """

    def __init__(self, config: BertConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
