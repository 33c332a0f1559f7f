"""All pooling: of a text's tokens to one vector, and of windows to one answer.

`BertEmbedder` is the encoder with one of these poolings of a text's tokens:

    mean        the mean of the tokens' vectors
    max         the largest value of each component
    mean_max    both, side by side
    cls         the vector of the first token, [CLS]
    sep         the vector of the last token, [SEP]
    cls_pooled  `pooled_output`, which next sentence prediction trained
    none        all vectors, and zeros for the padding

A token is where `input_mask` is not 0: [CLS] and [SEP] count as the others do.
Names and meanings are those of bert-as-service.

`BertClassifier` pools the logits of a long text's windows by `WINDOW_POOLINGS`.
Both kinds share `masked_mean` and `masked_max`, so a change of one of them for
windows changes the vectors of texts, too.

Shape letters: B batch, S sequence, N windows of a text or tokens, C components,
D hidden size, L number of layers taken, E size of a vector.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import ops

from bert_tf.backend import Tensor, at_least_float32
from bert_tf.choices import POOLINGS
from bert_tf.config import BertConfig
from bert_tf.configured_model import ConfiguredModel, Inputs
from bert_tf.modeling import BertModel

# The second to last, as in bert-as-service: the last one is closest to the
# answers of pretraining. For a model trained to give vectors the last is right.
DEFAULT_LAYERS = (-2,)
NO_CHOICE = -1e9  # The logit of a choice that is not there.

Pooling: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def masked_mean(x: Tensor, is_there: Tensor) -> Tensor:
    """The mean where `is_there`: float [B, N, C], bool [B, N] -> [B, C].

    0 where nothing is there. Windows and tokens are both pooled by it.
    """
    weights = ops.cast(is_there, x.dtype)[..., None]
    number = ops.maximum(ops.sum(weights, axis=1), 1.0)
    return ops.sum(x * weights, axis=1) / number


def masked_max(x: Tensor, is_there: Tensor) -> Tensor:
    """The maximum where `is_there`: float [B, N, C], bool [B, N] -> [B, C].

    -1e9 where nothing is there. Windows and tokens are both pooled by it.
    """
    return ops.max(ops.where(is_there[..., None], x, NO_CHOICE), axis=1)


# The logits of a text's windows, [B, N, C] -> [B, C], by name.
WINDOW_POOLINGS: dict[str, Pooling] = {"mean": masked_mean, "max": masked_max}


def max_or_zero(x: Tensor, is_token: Tensor) -> Tensor:
    """float [B, S, D], bool [B, S] -> [B, D]; 0 for a text without a token."""
    has_tokens = ops.any(is_token, axis=1, keepdims=True)
    return ops.where(has_tokens, masked_max(x, is_token), 0.0)


def mean_and_max(x: Tensor, is_token: Tensor) -> Tensor:
    """float [B, S, D], bool [B, S] -> [B, 2 D]."""
    both = [masked_mean(x, is_token), max_or_zero(x, is_token)]
    return ops.concatenate(both, axis=-1)


def first_token(x: Tensor, is_token: Tensor) -> Tensor:
    """float [B, S, D], bool [B, S] -> [B, D]."""
    return x[:, 0]


def last_token(x: Tensor, is_token: Tensor) -> Tensor:
    """float [B, S, D], bool [B, S] -> [B, D]; without a token the first."""
    places = ops.arange(ops.shape(is_token)[1], dtype="int32")
    last = ops.max(ops.where(is_token, places, 0), axis=1)
    return ops.take_along_axis(x, last[:, None, None], axis=1)[:, 0]


def all_tokens(x: Tensor, is_token: Tensor) -> Tensor:
    """float [B, S, D], bool [B, S] -> [B, S, D]."""
    return ops.where(is_token[:, :, None], x, 0.0)


TOKEN_POOLINGS: dict[str, Pooling] = {
    "mean": masked_mean,
    "max": max_or_zero,
    "mean_max": mean_and_max,
    "cls": first_token,
    "sep": last_token,
    "none": all_tokens,
}


@keras.saving.register_keras_serializable(package="bert_tf")
class BertEmbedder(ConfiguredModel):
    """A vector for each text: for search, clusters, a classifier of your own.

    Args:
        config: a `BertConfig`.
        pooling: one of `POOLINGS`, listed at the top of this module.
        layers: indexes into `all_encoder_layers`, 0 for the first and -1 for
            the last. The vectors of several layers are put side by side.
            "cls_pooled" ignores it.
        normalize: whether vectors get length 1, so that the product of two is
            their cosine.
        dimension: keep the first components alone, so many, before
            `normalize`; None keeps all. It is for models that
            `vector_losses.matryoshka` trained.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        float [B, E], at least float32; with "none" [B, S, E]. E is `dimension`,
        or else L D, with "mean_max" 2 L D, with "cls_pooled" D. Other texts of
        the batch and the length of the padding do not change a vector.

    Masking: a text without a token gets finite numbers without a meaning.

    Raises:
        ValueError: the pooling or a layer is unknown, or vectors have fewer
            components than `dimension`.
    """

    reads_padding = False

    def __init__(
        self,
        config: BertConfig,
        pooling: str = "mean",
        layers: Sequence[int] = DEFAULT_LAYERS,
        normalize: bool = False,
        dimension: int | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "embedder")
        super().__init__(**kwargs)
        check_pooling(pooling)
        check_layers(layers, config.num_hidden_layers)
        self.config = config
        self.pooling = pooling
        # A Keras model's own `layers` are something else.
        self.layer_indexes = tuple(layers)
        self.normalize = normalize
        self.dimension = dimension
        check_dimension(dimension, self.full_size)
        self.bert = BertModel(config, dtype=self.dtype_policy)
        self.built = True

    @property
    def embedding_size(self) -> int:
        """E, the size of a vector."""
        return self.dimension or self.full_size

    @property
    def full_size(self) -> int:
        """The size of a vector of which nothing is left out."""
        return vector_size(self.config, self.pooling, self.layer_indexes)

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        outputs = self.bert(inputs, training=training, seed=seed)
        if self.pooling == "cls_pooled":
            vectors = at_least_float32(outputs["pooled_output"])
        else:
            layers = outputs["all_encoder_layers"]
            x = [at_least_float32(layers[i]) for i in self.layer_indexes]
            pool = TOKEN_POOLINGS[self.pooling]
            vectors = pool(ops.concatenate(x, axis=-1), tokens_of(inputs))
        if self.dimension is not None:
            vectors = vectors[..., : self.dimension]
        return ops.normalize(vectors) if self.normalize else vectors

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pooling": self.pooling,
            "layers": list(self.layer_indexes),
            "normalize": self.normalize,
            "dimension": self.dimension,
        }


def vector_size(config: BertConfig, pooling: str, layers: Sequence[int]) -> int:
    """E, the size of the vectors of a `BertEmbedder` with these settings."""
    if pooling == "cls_pooled":
        return config.hidden_size
    width = len(layers) * config.hidden_size
    return 2 * width if pooling == "mean_max" else width


def tokens_of(inputs: Inputs) -> Tensor:
    """bool [B, S]: where the inputs of a `BertModel` have tokens."""
    if not isinstance(inputs, dict):
        inputs = {"input_ids": inputs}
    mask = inputs.get("input_mask")
    if mask is None:
        return ops.ones_like(inputs["input_ids"], dtype="bool")
    return ops.not_equal(mask, 0)


def check_pooling(pooling: str) -> None:
    """Raises ValueError if the name is not in `POOLINGS`."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"pooling must be one of {', '.join(POOLINGS)}. "
            f"Received: pooling={pooling!r}"
        )


def check_layers(layers: Sequence[int], num_hidden_layers: int) -> None:
    """Raises ValueError if a model lacks a layer, or no layer is given."""
    known = range(-num_hidden_layers, num_hidden_layers)
    if not layers or any(layer not in known for layer in layers):
        raise ValueError(
            f"layers must be from {known[0]} to {known[-1]} in a model of "
            f"{num_hidden_layers} layers, and at least one. "
            f"Received: layers={layers}"
        )


def check_dimension(dimension: int | None, size: int) -> None:
    """Raises ValueError if vectors have fewer components than are to be kept.

    Args:
        dimension: how many are to be kept; None for all.
        size: how many there are.
    """
    if dimension is not None and not 0 < dimension <= size:
        raise ValueError(
            f"dimension must be from 1 to {size}, the size of the vectors. "
            f"Received: dimension={dimension}"
        )
