"""BertEmbedder: the encoder, and one vector made of those of a text's tokens.

    mean        the mean of its tokens' vectors
    max         of each component the largest among them
    mean_max    both, side by side
    cls         the vector of the first token, [CLS]
    sep         that of the last one, [SEP]
    cls_pooled  `pooled_output`, which next sentence prediction trained
    none        all of them, and zeros for the padding

A token is where `input_mask` is not 0: [CLS] and [SEP] count as the others do.
Names and meanings are those of bert-as-service.

Shape letters: B batch, S sequence, D hidden size, L layers taken, E width of
what comes out.
"""

import keras
from keras import ops

from bert_tf.config import BertConfig
from bert_tf.layers import Configured
from bert_tf.losses import at_least_float32
from bert_tf.modeling import BertModel

# The one below the last, as in bert-as-service: the last is the nearest to the
# answers of pretraining. Of a model trained for vectors it is the right one.
DEFAULT_LAYERS = (-2,)
NO_CHOICE = -1e9  # The logit of what cannot be chosen.


def mean_of_windows(logits, is_there):
    """float [B, N, C], bool [B, N] -> [B, C]."""
    weights = ops.cast(is_there, logits.dtype)[..., None]
    number = ops.maximum(ops.sum(weights, axis=1), 1.0)
    return ops.sum(logits * weights, axis=1) / number


def max_of_windows(logits, is_there):
    """float [B, N, C], bool [B, N] -> [B, C]."""
    return ops.max(ops.where(is_there[..., None], logits, NO_CHOICE), axis=1)


def largest(x, is_token):
    """float [B, S, D], bool [B, S] -> [B, D]; 0 where there is no token."""
    has_tokens = ops.any(is_token, axis=1, keepdims=True)
    return ops.where(has_tokens, max_of_windows(x, is_token), 0.0)


def mean_and_largest(x, is_token):
    """float [B, S, D], bool [B, S] -> [B, 2 D]."""
    both = [mean_of_windows(x, is_token), largest(x, is_token)]
    return ops.concatenate(both, axis=-1)


def first_token(x, is_token):
    """float [B, S, D], bool [B, S] -> [B, D]."""
    return x[:, 0]


def last_token(x, is_token):
    """float [B, S, D], bool [B, S] -> [B, D]; the first if there is none."""
    places = ops.arange(ops.shape(is_token)[1], dtype="int32")
    last = ops.max(ops.where(is_token, places, 0), axis=1)
    return ops.take_along_axis(x, last[:, None, None], axis=1)[:, 0]


def all_tokens(x, is_token):
    """float [B, S, D], bool [B, S] -> [B, S, D]."""
    return ops.where(is_token[:, :, None], x, 0.0)


TOKEN_POOLINGS = {
    "mean": mean_of_windows,
    "max": largest,
    "mean_max": mean_and_largest,
    "cls": first_token,
    "sep": last_token,
    "none": all_tokens,
}
POOLINGS = (*TOKEN_POOLINGS, "cls_pooled")


@keras.saving.register_keras_serializable(package="bert_tf")
class BertEmbedder(Configured, keras.Model):
    """A vector for each text: for search, clusters, a classifier of your own.

    Args:
        config: a `BertConfig`.
        pooling: one of `POOLINGS`, drawn above.
        layers: which of `all_encoder_layers`, 0 for the first and -1 for the
            last. Of several the vectors stand side by side. "cls_pooled" does
            not ask for it.
        normalize: whether vectors get length 1, so that their product is their
            cosine.

    Call arguments:
        inputs, training, seed: as in `BertModel`.

    Returns:
        float [B, E], at least float32; with "none" [B, S, E]. E is L D, with
        "mean_max" 2 L D, with "cls_pooled" D. What else is in the batch, and
        how long its padding is, changes no vector.

    Masking: a text without a token has finite numbers, of no meaning.

    Raises:
        ValueError: there is no such pooling, or no such layer.
    """

    def __init__(
        self,
        config: BertConfig,
        pooling: str = "mean",
        layers: tuple = DEFAULT_LAYERS,
        normalize: bool = False,
        **kwargs,
    ):
        kwargs.setdefault("name", "embedder")
        super().__init__(**kwargs)
        check_pooling(pooling)
        check_layers(layers, config.num_hidden_layers)
        self.config = config
        self.pooling = pooling
        # A Keras model has `layers` already, which are others.
        self.layer_indexes = tuple(layers)
        self.normalize = normalize
        self.bert = BertModel(config)
        self.built = True

    @property
    def embedding_size(self) -> int:
        """E."""
        if self.pooling == "cls_pooled":
            return self.config.hidden_size
        width = len(self.layer_indexes) * self.config.hidden_size
        return 2 * width if self.pooling == "mean_max" else width

    def call(self, inputs, training=None, seed=None):
        outputs = self.bert(inputs, training=training, seed=seed)
        if self.pooling == "cls_pooled":
            vectors = at_least_float32(outputs["pooled_output"])
        else:
            layers = outputs["all_encoder_layers"]
            x = [at_least_float32(layers[i]) for i in self.layer_indexes]
            pool = TOKEN_POOLINGS[self.pooling]
            vectors = pool(ops.concatenate(x, axis=-1), tokens_of(inputs))
        return ops.normalize(vectors) if self.normalize else vectors

    def get_config(self):
        return {
            **super().get_config(),
            "pooling": self.pooling,
            "layers": list(self.layer_indexes),
            "normalize": self.normalize,
        }


def tokens_of(inputs):
    """bool [B, S]: where tokens are, in inputs as `BertModel` takes them."""
    if not isinstance(inputs, dict):
        inputs = {"input_ids": inputs}
    mask = inputs.get("input_mask")
    if mask is None:
        return ops.ones_like(inputs["input_ids"], dtype="bool")
    return ops.not_equal(mask, 0)


def check_pooling(pooling: str):
    """Raises ValueError if it is none of `POOLINGS`."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"pooling must be one of {', '.join(POOLINGS)}. "
            f"Received: pooling={pooling!r}"
        )


def check_layers(layers, num_hidden_layers: int):
    """Raises ValueError if there is none, or a model has not one of them."""
    known = range(-num_hidden_layers, num_hidden_layers)
    if not layers or any(layer not in known for layer in layers):
        raise ValueError(
            f"layers must be from {known[0]} to {known[-1]} in a model of "
            f"{num_hidden_layers} layers, and one at least. "
            f"Received: layers={layers}"
        )
