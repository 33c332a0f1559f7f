"""BertModel: token ids in, one vector per token and one per text out."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from bert_tf.backend import Shape, Tensor
from bert_tf.bert_layer import made_with
from bert_tf.config import BertConfig
from bert_tf.configured_model import ConfiguredModel, Inputs
from bert_tf.layers import Embeddings, Encoder, Pooler
from bert_tf.places import (
    AllPlaces,
    OneSequence,
    PackedPlaces,
    Places,
    TokenPlaces,
)


class Encoded(NamedTuple):
    """What the encoder made of a batch: the rows of its tokens.

    Attributes:
        places: where the rows are.
        embedding_rows: float [T, D], input of the first layer.
        all_rows: float [T, D] of each layer; the last one [B Q, D] if only
            Q places of each sequence were asked for.
    """

    places: Places
    embedding_rows: Tensor
    all_rows: list[Tensor]

    @property
    def rows(self) -> Tensor:
        """float [T, D] or [B Q, D], those of the last layer."""
        return self.all_rows[-1]


@keras.saving.register_keras_serializable(package="bert_tf")
class BertModel(ConfiguredModel):
    """The BERT encoder (Devlin et al. 2018, https://arxiv.org/abs/1810.04805).

    Every variable exists as soon as the model does, and its `path` is its name
    in the original checkpoints.

    Args:
        config: a `BertConfig`.

    Call arguments:
        inputs: dict of int32 tensors [B, S]: `input_ids`, and optionally
            `input_mask` (default: all ones) and `segment_ids` (all zeros); or
            the tensor of `input_ids` alone. With `packed_row` and
            `packed_offset`, int32 [B], examples share sequences; see
            `places.PackedPlaces`.
        training: bool, whether dropout drops.
        seed: int32 [2] that dropout masks are drawn from, or None for the
            state of Keras' generators.

    Returns:
        A dict:
            sequence_output: float [B, S, D], the last layer.
            pooled_output: float [B, D], `tanh(dense(first token))`.
            embedding_output: float [B, S, D], input of the first layer.
            all_encoder_layers: list of float [B, S, D], one for each layer.

    Attributes:
        compute_padding: whether the vectors of padding are computed. If not,
            they are zeros, and all others are the same in less time; shapes
            inside the model then change from batch to batch.
        reads_one_sequence: whether a graph reads a single sequence without
            padding, see `reading_one_sequence`.
        packed_rows: the number of sequences that the examples of a packed
            batch share; None for as many as there are examples.
        keep: function(`Encoded`) that gets what the encoder made of each batch,
            see `layers_kept`; None as a rule.

    Raises:
        ValueError: S is known and exceeds `max_position_embeddings`.

    Example, from texts to vectors:

        import numpy as np
        from bert_tf import BertConfig, BertModel, BertPreprocessor
        from bert_tf.checkpoints import load_weights
        from bert_tf.pretrained import BUNDLED_MODEL

        config = BertConfig.from_json_file(BUNDLED_MODEL["bert_config_file"])
        model = BertModel(config)
        load_weights(model, BUNDLED_MODEL["init_checkpoint"])
        preprocess = BertPreprocessor(
            BUNDLED_MODEL["vocab_file"], max_seq_length=32
        )
        outputs = model(preprocess(["a text", "another one"]))
        outputs["pooled_output"]  # [2, 128]

        # From ids, which need no preprocessing.
        outputs = model({"input_ids": np.array([[2, 7, 9, 3]])})

        # A model of your own, with random weights.
        config = BertConfig(
            vocab_size=100,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=256,
        )
        model = BertModel(config)
    """

    compute_padding = True
    reads_one_sequence = False
    packed_rows: int | None = None
    keep: Callable[[Encoded], None] | None = None

    def __init__(self, config: BertConfig, **kwargs: Any):
        kwargs.setdefault("name", "bert")
        super().__init__(**kwargs)
        self.config = config
        with made_with(self.dtype_policy):
            self.embeddings = Embeddings(config, name="embeddings")
            self.encoder = Encoder(config, name="encoder")
            self.pooler = Pooler(config, name="pooler")
        self.build()

    def read_as(self, other: "BertModel") -> None:
        """Reads batches as another encoder does: padding and packed rows."""
        self.compute_padding = other.compute_padding
        self.packed_rows = other.packed_rows

    def build(self, input_shape: Shape | None = None) -> None:
        hidden_shape = (None, self.config.hidden_size)
        self.embeddings.build()
        self.encoder.build(hidden_shape)
        self.pooler.build(hidden_shape)

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> dict[str, Tensor | list[Tensor]]:
        encoded = self.encode(inputs, training, seed)
        sequences = encoded.places.sequences
        all_encoder_layers = [sequences(rows) for rows in encoded.all_rows]
        return {
            "sequence_output": all_encoder_layers[-1],
            "pooled_output": self.pooler(encoded.places.first(encoded.rows)),
            "embedding_output": sequences(encoded.embedding_rows),
            "all_encoder_layers": all_encoder_layers,
        }

    def pooled_output(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> Tensor:
        """The pooled output, float [B, D]; see `vectors_at`."""
        input_ids = inputs["input_ids"] if isinstance(inputs, dict) else inputs
        first = ops.zeros((ops.shape(input_ids)[0], 1), "int32")
        vectors = self.vectors_at(inputs, first, training, seed)
        return self.pooler(vectors[:, 0])

    def vectors_at(
        self,
        inputs: Inputs,
        positions: Tensor,
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        """The last layer's vectors at some places.

        The last layer computes no others. Of six layers that saves a seventh
        of the time.

        Args:
            inputs, training, seed: as in `call`.
            positions: int [B, Q], the places.

        Returns:
            float [B, Q, D].
        """
        positions = ops.convert_to_tensor(positions, "int32")
        encoded = self.encode(inputs, training, seed, positions)
        shape = (*ops.shape(positions), self.config.hidden_size)
        return ops.reshape(encoded.rows, shape)

    def encode(
        self,
        inputs: Inputs,
        training: bool | None = None,
        seed: Tensor = None,
        positions: Tensor | None = None,
    ) -> Encoded:
        """Computes the same as `call`, as rows of tokens.

        Args:
            inputs, training, seed: as in `call`.
            positions: int [B, Q], the places whose vectors of the last layer
                are needed; None for all. With them the last rows are [B Q, D].
        """
        if not isinstance(inputs, dict):
            inputs = {"input_ids": inputs}
        input_ids = ops.convert_to_tensor(inputs["input_ids"], "int32")
        input_mask = inputs.get("input_mask")
        if input_mask is None:
            input_mask = ops.ones_like(input_ids)
        segment_ids = inputs.get("segment_ids")
        if segment_ids is None:
            segment_ids = ops.zeros_like(input_ids)
        self._check_length(input_ids.shape[1])

        places = self._places(inputs, input_mask, training)
        embedding_rows = self.embeddings(
            input_ids,
            segment_ids,
            places=places,
            training=training,
            seed=seed,
        )
        all_rows = self.encoder(
            embedding_rows,
            places=places,
            positions=None if self.keep else positions,
            training=training,
            seed=seed,
        )
        encoded = Encoded(places, embedding_rows, all_rows)
        if not self.keep:
            return encoded
        self.keep(encoded)
        if positions is None:
            return encoded
        last = places.at(encoded.rows, positions)
        last = ops.reshape(last, (-1, self.config.hidden_size))
        return encoded._replace(all_rows=[*all_rows[:-1], last])

    def _places(self, inputs, input_mask, training):
        if "packed_row" in inputs:
            return PackedPlaces(
                input_mask,
                inputs["packed_row"],
                inputs["packed_offset"],
                self.packed_rows or ops.shape(input_mask)[0],
            )
        if self.reads_one_sequence:
            return OneSequence(input_mask)
        if self.compute_padding:
            return AllPlaces(input_mask)
        return TokenPlaces(input_mask, training)

    def _check_length(self, length):
        limit = self.config.max_position_embeddings
        if length is not None and length > limit:
            raise ValueError(
                "The sequence length must not exceed max_position_embeddings. "
                f"Received: length={length}, max_position_embeddings={limit}"
            )


def needs_padding(model: keras.Model) -> bool:
    """Whether a head's encoder must compute the vectors of padding.

    If not, its attribute `bert.compute_padding` may be false wherever shapes
    may change from batch to batch. Only TensorFlow allows that.
    """
    is_tensorflow = keras.backend.backend() == "tensorflow"
    return not is_tensorflow or getattr(model, "reads_padding", True)


@contextlib.contextmanager
def padding_computed(model: keras.Model, is_computed: bool) -> Iterator[None]:
    """Computes a head's padding, or leaves it out, until the block ends.

    Args:
        model: the head, whose outputs depend on no padding, see
            `needs_padding`, or whose padding is computed.
        is_computed: `compute_padding` of its encoder in the block.
    """
    bert = model.bert
    before, bert.compute_padding = bert.compute_padding, is_computed
    try:
        yield
    finally:
        bert.compute_padding = before


@contextlib.contextmanager
def reading_one_sequence(model: keras.Model) -> Iterator[None]:
    """Builds graphs for a single sequence without padding in the block.

    Args:
        model: the head. Its weights must be constants in these graphs.
    """
    model.bert.reads_one_sequence = True
    try:
        yield
    finally:
        model.bert.reads_one_sequence = False


@contextlib.contextmanager
def words_given(model: keras.Model, words: Tensor) -> Iterator[None]:
    """Lets a model read vectors in place of its word embeddings in the block.

    Segments, positions and the mask are still those of the ids.

    Args:
        model: the head, which computes padding.
        words: float, a vector [D] for each id, in the order of the ids.
    """
    embeddings = model.bert.embeddings
    size = model.bert.config.hidden_size
    embeddings.given_words = ops.reshape(words, (-1, size))
    try:
        yield
    finally:
        embeddings.given_words = None


@contextlib.contextmanager
def layers_kept(model: keras.Model) -> Iterator[list[Encoded]]:
    """Keeps what the encoder makes of the batches that are read in the block.

    All layers then compute all rows, also where the head needs few of them.

    Args:
        model: the head.

    Yields:
        A list, to which each batch adds an `Encoded`.
    """
    kept: list[Encoded] = []
    model.bert.keep = kept.append
    try:
        yield kept
    finally:
        model.bert.keep = None


@contextlib.contextmanager
def computed_in(model: keras.Model, policy: str) -> Iterator[None]:
    """Lets all layers of a model compute in another precision.

    Args:
        model: the model, whose variables stay as they are.
        policy: name of a Keras dtype policy, such as "mixed_bfloat16".
    """
    # Keras has no public way to the layers inside layers.
    layers = [model, *model._flatten_layers(include_self=False)]
    before = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = policy
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.dtype_policy = old
