"""TextEmbedder: texts in, vectors out, as a NumPy array.

Texts are sorted by length, so that little of a batch is padding, and their
vectors are put back in order. This is done for some thousand texts at a time,
so that a file of any size fits in memory.
"""

import itertools
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import forks, pretrained
from bert_tf.checkpoints import load_weights
from bert_tf.choices import MAX_BATCH_TOKENS
from bert_tf.config import BertConfig
from bert_tf.export.engines.of_model import network_of_model
from bert_tf.export.engines.sequences import Sequences
from bert_tf.modeling import needs_padding
from bert_tf.pooling import DEFAULT_LAYERS, BertEmbedder
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.text.packing import LENGTH_MULTIPLE
from bert_tf.tokenization import check_size

WINDOW = 2048  # Texts that are sorted together.
# The same with a vector for each token, which takes more memory.
TEXTS_OF_TOKENS = 128

Text: typing.TypeAlias = str | tuple[str, str]  # One text, or a pair.


class EmbeddedText(typing.NamedTuple):
    """A text, the tokens that the model read, and its vector.

    Attributes:
        text: str or a tuple of two, as passed in.
        input_ids: int32 [tokens], special tokens included.
        is_truncated: whether the text had more tokens.
        vector: float32 [E]; with the pooling "none" [tokens, E].
    """

    text: Text
    input_ids: np.ndarray
    is_truncated: bool
    vector: np.ndarray


class TextEmbedder:
    """Computes a vector for each text, or pair of texts.

        from bert_tf.embeddings import TextEmbedder
        from bert_tf.pretrained import BUNDLED_MODEL

        embedder = TextEmbedder(
            BUNDLED_MODEL["vocab_file"],
            BUNDLED_MODEL["bert_config_file"],
            BUNDLED_MODEL["init_checkpoint"],
            normalize=True,
        )
        vectors = embedder.embed(["a text", "another", ("a pair", "of two")])
        vectors @ vectors.T  # Their cosines, [3, 3].

    Args:
        vocab_file: path of the model's `vocab.txt`.
        bert_config_file: path of its `bert_config.json`.
        init_checkpoint: prefix of a checkpoint, pretrained or fine-tuned.
        do_lower_case: True for uncased models.
        max_seq_length: longest sequence in WordPieces; the end of a longer
            text is cut off.
        strip_accents, tokenize_chinese_chars: see `TokenizerSettings`.
        pooling, layers, normalize, dimension: see `BertEmbedder`.
        batch_size: the most texts that the model reads together; None for as
            many as `max_batch_tokens` allows. Both change speed and memory, not
            the vectors.
        max_batch_tokens: the most tokens that it reads together, padding
            included.
        engine: what computes the vectors: "float32", "bfloat16" or "int8", see
            `export.engines`. int8 takes some seconds to prepare.
        num_threads: threads of int8; None for as many as there are cores.

    Raises:
        UserError: a file cannot be used, or the files do not fit each other.
        ValueError: a setting is wrong.
    """

    @classmethod
    def from_pretrained(cls, name: str, **settings: Any) -> "TextEmbedder":
        """Makes it of a pretrained or fine-tuned model.

        Args:
            name: a name or a folder, see `pretrained.open`.
            **settings: arguments of the class besides the model's files. A
                model that was trained to give vectors, by train_embeddings,
                knows its pooling, layers, normalization and dimension.
                `max_seq_length` is what the model can read, up to 128. What
                is given wins.

        Raises:
            UserError: the model cannot be opened, or has no vocabulary.
        """
        settings.setdefault("max_seq_length", pretrained.default_length(name))
        return cls(
            **{
                **pretrained.arguments(name),
                **pretrained.vector_settings(pretrained.open(name)),
                **settings,
            }
        )

    def __init__(
        self,
        vocab_file: str,
        bert_config_file: str,
        init_checkpoint: str,
        do_lower_case: bool = True,
        max_seq_length: int = 128,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        pooling: str = "mean",
        layers: Sequence[int] = DEFAULT_LAYERS,
        normalize: bool = False,
        dimension: int | None = None,
        batch_size: int | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        engine: str = "float32",
        num_threads: int | None = None,
    ):
        forks.check()
        if batch_size is not None and batch_size < 1:
            raise ValueError(
                "batch_size must be positive. "
                f"Received: batch_size={batch_size}"
            )
        config = pretrained.read_config(bert_config_file)
        _check_length(max_seq_length, config)
        self.preprocess = BertPreprocessor(
            vocab_file,
            do_lower_case,
            max_seq_length,
            length_multiple=LENGTH_MULTIPLE,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
        )
        self.tokenizer = self.preprocess.tokenizer
        check_size(
            self.tokenizer.vocab,
            config.vocab_size,
            vocab_file,
            bert_config_file,
        )
        self.model = BertEmbedder(config, pooling, layers, normalize, dimension)
        self.model.bert.compute_padding = needs_padding(self.model)
        load_weights(self.model, init_checkpoint)
        self._network = network_of_model(
            self.model,
            "embedding",
            engine=engine,
            max_batch_tokens=max_batch_tokens,
            max_rows=batch_size,
            num_threads=num_threads,
        )

    def embed(self, texts: Iterable[Text]) -> np.ndarray | list[np.ndarray]:
        """The vectors of texts, in their order.

        Args:
            texts: iterable of str, and of tuples (text, second text). A text
                may be empty. A second text without a token is left out.

        Returns:
            float32 [N, E]; with the pooling "none" a list of [tokens, E].

        Raises:
            ValueError: an element is neither a str nor a tuple of two.
        """
        vectors = [embedded.vector for embedded in self.stream(texts)]
        if self.model.pooling == "none":
            return vectors
        width = self.model.embedding_size
        return np.array(vectors, np.float32).reshape(-1, width)

    def stream(self, texts: Iterable[Text]) -> Iterator[EmbeddedText]:
        """Yields an `EmbeddedText` for each of `texts`, in their order.

        Args:
            texts: as for `embed`. They are read as they are needed, so there
                may be any number of them.
        """
        forks.check()
        if isinstance(texts, str):
            raise ValueError(
                f"texts must be a list of texts. Received: texts={texts!r}"
            )
        rest = iter(texts)
        while block := list(itertools.islice(rest, self.texts_at_once)):
            yield from self._embed_block(block)

    @property
    def texts_at_once(self) -> int:
        """The number of texts that `stream` sorts together.

        Texts in groups of this size, each embedded for itself, have the same
        vectors to the bit.
        """
        if self.model.pooling == "none":
            return TEXTS_OF_TOKENS
        return WINDOW

    def tokens(self, embedded: EmbeddedText) -> list[str]:
        """The WordPieces that the model read."""
        return self.tokenizer.convert_ids_to_tokens(embedded.input_ids.tolist())

    def _embed_block(self, texts: list[Text]) -> list[EmbeddedText]:
        """An `EmbeddedText` for each text, in their order."""
        first, second = zip(*map(_as_pair, texts), strict=True)
        pieces = self.preprocess.tokenize(first)
        pair = self.preprocess.tokenize(second)
        lengths = _sequence_lengths(pieces, pair)
        inputs = self.preprocess.pack(pieces, pair)
        ids = {name: values.numpy() for name, values in inputs.items()}
        kept = np.minimum(lengths, self.preprocess.max_seq_length)
        vectors = self._network.run(Sequences(ids, kept))["embedding"]
        return [
            EmbeddedText(
                text,
                ids["input_ids"][row, : kept[row]],
                bool(lengths[row] > kept[row]),
                vector if vector.ndim == 1 else vector[: kept[row]],
            )
            for row, (text, vector) in enumerate(
                zip(texts, vectors, strict=True)
            )
        ]


def _sequence_lengths(
    pieces: tf.RaggedTensor, pair: tf.RaggedTensor
) -> np.ndarray:
    """int64 [B]: number of tokens with [CLS] and [SEP], before truncation."""
    num_pair = pair.row_lengths().numpy()
    return pieces.row_lengths().numpy() + num_pair + np.where(num_pair, 3, 2)


def _as_pair(text: Text) -> tuple[bytes, bytes]:
    """(text, second text or nothing), as UTF-8."""
    pair = (text, "") if isinstance(text, str) else text
    if (
        not isinstance(pair, tuple)
        or len(pair) != 2
        or not all(isinstance(part, str) for part in pair)
    ):
        raise ValueError(
            f"a text must be a str, or a tuple of two. Received: {text!r}"
        )
    first, second = pair
    # Half a surrogate pair cannot be encoded.
    return first.encode("utf-8", "replace"), second.encode("utf-8", "replace")


def _check_length(max_seq_length: int, config: BertConfig) -> None:
    longest = config.max_position_embeddings
    if max_seq_length > longest:
        raise ValueError(
            "max_seq_length must not exceed max_position_embeddings. "
            f"Received: max_seq_length={max_seq_length}, "
            f"max_position_embeddings={longest}"
        )
