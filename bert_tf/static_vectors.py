"""Static vectors: one vector for each WordPiece, and their mean for a text.

An encoder reads each piece of its vocabulary once, alone. After that a text
needs no network: it is tokenized, and the vectors of its pieces are added up.
That is more than thirty times as fast as an encoder of six small layers, and
worth more than counting words, because similar words have similar vectors.

    piece_vectors          [CLS] piece [SEP] -> the encoder's vector
    principal_components   fewer components, those that differ most
    sif_weights            frequent pieces say little, and count for little

The recipe is that of model2vec (Tulkens and van Dongen 2024,
https://github.com/MinishLab/model2vec). The weights are those of smooth inverse
frequency (Arora et al. 2017, https://openreview.net/forum?id=SyK00v5xx).

Shape letters: V pieces, E components, D those of the encoder, B texts, S pieces
of a text, C labels.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from bert_tf.backend import Tensor
from bert_tf.config import BertConfig
from bert_tf.layers import Int8Words, look_up
from bert_tf.pooling import BertEmbedder, masked_mean, tokens_of
from bert_tf.vector_losses import normalized

BATCH_SIZE = 1024
SIZE = 256  # Components of a vector, unless more or fewer are asked for.
# Weights of pieces that are counted in texts, and of those that are only known
# to be sorted by frequency. Both were chosen on STS-B's dev set.
SIF_OF_COUNTS, SIF_OF_RANKS = 1e-3, 1e-5


def piece_vectors(
    embedder: BertEmbedder, vocab: Mapping[str, int]
) -> np.ndarray:
    """Encodes each piece of a vocabulary alone, between [CLS] and [SEP].

    Args:
        embedder: makes a vector of each text.
        vocab: {piece: id}.

    Returns:
        float32 [V, D].
    """
    number = max(vocab.values()) + 1
    ids = np.empty((number, 3), np.int32)
    ids[:, 0], ids[:, 2] = vocab["[CLS]"], vocab["[SEP]"]
    ids[:, 1] = np.arange(number)
    vectors = [
        ops.convert_to_numpy(
            embedder({"input_ids": ids[first : first + BATCH_SIZE]})
        )
        for first in range(0, number, BATCH_SIZE)
    ]
    return np.concatenate(vectors).astype(np.float32)


def principal_components(vectors: np.ndarray, size: int) -> np.ndarray:
    """The first principal components of vectors, float32 [V, D] -> [V, size].

    Args:
        vectors: the vectors.
        size: E, at most D.

    Raises:
        ValueError: there are not so many components.
    """
    width = vectors.shape[1]
    if not 1 <= size <= width:
        raise ValueError(f"size must be 1 to {width}. Received: size={size}")
    centered = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centered.T @ centered)
    # In ascending order of the variance. The sign of an axis is arbitrary: its
    # largest part is positive, so that every machine gives the same.
    axes = axes[:, ::-1][:, :size]
    largest = np.abs(axes).argmax(axis=0)
    axes *= np.sign(axes[largest, np.arange(size)])
    return (centered @ axes).astype(np.float32)


def sif_weights(
    number: int,
    counts: np.ndarray | None = None,
    coefficient: float | None = None,
) -> np.ndarray:
    """a / (a + p) for each piece, p its share of all pieces of a text.

    Args:
        number: V.
        counts: int [V], how often each piece occurs in some texts. None if
            that is unknown: then the vocabulary's order stands for the
            frequency, by Zipf's law.
        coefficient: a; by default `SIF_OF_COUNTS`, or `SIF_OF_RANKS`.

    Returns:
        float32 [V].
    """
    if counts is None:
        likely = 1.0 / np.arange(2.0, number + 2.0)
    else:  # As if each piece occurred once more.
        likely = counts + 1.0
    if coefficient is None:
        coefficient = SIF_OF_RANKS if counts is None else SIF_OF_COUNTS
    likely = likely / likely.sum()
    return (coefficient / (coefficient + likely)).astype(np.float32)


@keras.saving.register_keras_serializable(package="bert_tf")
class PieceTable(keras.layers.Layer):
    """A vector for each piece, int [B, S] -> float [B, S, E].

    Args:
        vocab_size: V.
        size: E.

    Attributes:
        int8_words: see `layers.Embeddings`.
    """

    def __init__(self, vocab_size: int, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocab_size, self.size = vocab_size, size
        self.int8_words: Int8Words | None = None
        self.word_embeddings = self.add_weight(
            name="word_embeddings",
            shape=(vocab_size, size),
            initializer="zeros",
            autocast=False,
        )
        self.built = True

    def call(self, ids: Tensor) -> Tensor:
        return look_up(self.word_embeddings, self.int8_words, ids)

    def get_config(self) -> dict[str, Any]:
        sizes = {"vocab_size": self.vocab_size, "size": self.size}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable(package="bert_tf")
class StaticEmbedder(keras.Model):
    """The mean of a text's piece vectors, of length 1; and logits, if wanted.

    Args:
        vocab_size: V.
        size: E.
        num_labels: C, to return logits; None to return vectors.

    Call arguments:
        inputs: {"input_ids", "input_mask": int [B, S]}, as of `BertModel`.
        training, seed: unused.

    Returns:
        float32 [B, E], or [B, C]. The vector of a text without a known piece
        is zeros.
    """

    reads_padding = True  # The mean needs the mask.
    pooling = "mean"

    def __init__(
        self,
        vocab_size: int,
        size: int,
        num_labels: int | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "static_embedder")
        super().__init__(**kwargs)
        self.vocab_size, self.size = vocab_size, size
        self.num_labels = num_labels
        self.table = PieceTable(vocab_size, size, name="table")
        self.head = None
        if num_labels is not None:
            self.head = keras.layers.Dense(num_labels, name="output")
            self.head.build((None, size))
        self.built = True

    @property
    def shape_config(self) -> BertConfig:
        """The sizes of the inputs, for what compares exported files."""
        return BertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.size,
            num_attention_heads=1,
        )

    def call(
        self,
        inputs: Mapping[str, Tensor],
        training: bool | None = None,
        seed: Tensor = None,
    ) -> Tensor:
        pieces = self.table(inputs["input_ids"])
        vectors = normalized(masked_mean(pieces, tokens_of(dict(inputs))))
        return vectors if self.head is None else self.head(vectors)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "size": self.size,
            "num_labels": self.num_labels,
        }
