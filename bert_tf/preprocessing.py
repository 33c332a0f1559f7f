"""BertPreprocessor: raw text → the model's inputs, inside the graph.

The same tokens as `tokenization.FullTokenizer`, for any text whatever, from
TensorFlow ops alone: it runs in tf.data, and it goes into a SavedModel, so
that training and serving cannot differ.

    raw text            "Héllo [MASK]!"
      tokenize          hello [ mask ] !       `text/graph_tokenizer.py`
      truncate, pack    [CLS] hello [ mask ] ! [SEP]   `text/graph_packing.py`
"""

import copy
from typing import Any

import tensorflow as tf

from bert_tf import forks, pretrained
from bert_tf.autograph import as_written
from bert_tf.text.graph_packing import GraphPacker, Slices, num_special
from bert_tf.text.graph_tokenizer import GraphTokenizer, as_texts
from bert_tf.tokenization import UNKNOWN, FullTokenizer
from bert_tf.vocab_files import tokens_by_id

__all__ = ["BertPreprocessor", "Slices"]


class BertPreprocessor:
    """Texts or pairs of texts → `input_ids`, `input_mask`, `segment_ids`.

        preprocess = BertPreprocessor("vocab.txt", max_seq_length=8)
        preprocess(["is this it?"], ["no"])
        # {"input_ids": [[101, 2003, 2023, 2009, 1029, 102, 2053, 102]], …}

    All methods take a `tf.string` [B], or a list of str (without lone
    surrogates, which UTF-8 does not know), and can be part of a
    `tf.function`, a dataset and a SavedModel, which then needs only
    TensorFlow and tensorflow-text to be loaded.

    Args:
        vocab_file: path of a `vocab.txt`, or of another file that
            `tokenization.load_vocab` reads.
        do_lower_case: True for uncased models.
        max_seq_length: length of the sequences, special tokens included.
            If a pair is too long, the longer text loses tokens one by one, as
            in the original.
        length_multiple: None makes all sequences `max_seq_length` long. A
            number makes them as long as the longest of the batch, rounded up
            to a multiple of it.
        truncation: the part to keep of a text that is too long, its start
            ("head") or a quarter from its start and the rest from its end
            ("head_tail"); see `packing.pack_sequences`.
        strip_accents, tokenize_chinese_chars: see `TokenizerSettings`.

    Attributes:
        tokenizer: the `FullTokenizer` of the same vocabulary and settings.
        settings: `TokenizerSettings`: how texts become words.
        unk_id: the id of [UNK].

    Raises:
        UserError: the vocabulary cannot be used.
        ValueError: not even the special tokens fit into `max_seq_length`,
            `length_multiple` is not positive, or the truncation does not
            exist.
    """

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        max_seq_length: int = 128,
        *,
        length_multiple: int | None = None,
        truncation: str = "head",
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ):
        tokenizer = FullTokenizer(
            vocab_file,
            do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
        )
        self._packer = GraphPacker(
            tokenizer.vocab, max_seq_length, length_multiple, truncation
        )
        self._tokenizer = GraphTokenizer(tokenizer, vocab_file)
        self.tokenizer = tokenizer
        self.vocab_file = vocab_file
        self._tokens = tokens_by_id(tokenizer.vocab)
        self.do_lower_case = do_lower_case
        self.settings = tokenizer.settings
        self.max_seq_length = max_seq_length
        self.length_multiple = length_multiple
        self.truncation = truncation
        self.unk_id = tokenizer.vocab[UNKNOWN]

    @classmethod
    def from_pretrained(cls, name: str, **settings: Any) -> "BertPreprocessor":
        """The preprocessor of a pretrained or fine-tuned model.

        Args:
            name: a name or a folder, see `pretrained.open`.
            **settings: arguments of the class besides those of the tokenizer,
                such as `max_seq_length`, which is what the model can read,
                up to 128, unless it is given.

        Raises:
            UserError: the model cannot be opened, or has no vocabulary.
        """
        settings.setdefault("max_seq_length", pretrained.default_length(name))
        return cls(**{**pretrained.tokenizer_arguments(name), **settings})

    def save_pretrained(self, folder: str) -> None:
        """Writes the vocabulary; see `FullTokenizer.save_pretrained`."""
        self.tokenizer.save_pretrained(folder)

    def with_length_multiple(
        self, length_multiple: int | None
    ) -> "BertPreprocessor":
        """The same preprocessor with another `length_multiple`.

        Raises:
            ValueError: `length_multiple` is not positive.
        """
        other = copy.copy(self)
        other._packer = GraphPacker(
            self.tokenizer.vocab,
            self.max_seq_length,
            length_multiple,
            self.truncation,
        )
        other.length_multiple = length_multiple
        return other

    @as_written
    def __call__(
        self, text: Any, text_pair: Any = None
    ) -> dict[str, tf.Tensor]:
        """Packs texts as the model reads them.

        Args:
            text: tf.string [B].
            text_pair: tf.string [B] or None, the second texts. One without a
                token counts as no second text.

        Returns:
            {"input_ids", "input_mask", "segment_ids": int32 [B, S]}.
        """
        forks.check()
        return self.pack(*self._tokenize_both(text, text_pair))

    @as_written
    def windows(
        self, text: Any, max_windows: int, stride: int | None = None
    ) -> dict[str, tf.Tensor]:
        """Packs parts of each text into sequences: `packing.pack_windows`.

        `length_multiple` and `truncation` make no difference here.

        Args:
            text: tf.string [B], single texts.
            max_windows: W, windows of a text at most; what follows the last
                is cut off.
            stride: pieces from the start of one window to that of the next.
                None puts them next to each other.

        Returns:
            {"input_ids", "input_mask", "segment_ids": int32 [B, W, S]}, with
            S = `max_seq_length`. Windows that a text does not need come last
            and are zeros, as padding is.

        Raises:
            ValueError: `max_windows` is not positive, or `stride` not from 1
                to the pieces of a window.
        """
        return self._packer.pack_windows(
            self.tokenize(text), max_windows, stride
        )

    @as_written
    def tokenize(self, text: Any) -> tf.RaggedTensor:
        """WordPiece ids, int32 [B, (pieces)], without special tokens."""
        forks.check()
        return self._tokenizer.tokenize(text)

    def tokenize_with_offsets(
        self, text: Any
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """WordPieces and where in the raw text they come from.

        Returns:
            (ids, starts, limits): int32, int64 and int64 [B, (pieces)]; see
            `GraphTokenizer.tokenize_with_offsets`.
        """
        return self._tokenizer.tokenize_with_offsets(text)

    def detokenize(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Ids, int [B, S] or [B, (pieces)], → their words, tf.string [B].

        There is one space between words. Characters that normalization removed
        do not come back. [PAD], [CLS] and [SEP] are left out.
        """
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        tokens = tf.gather(self._tokens, ids.flat_values)
        hidden = tf.strings.regex_full_match(tokens, r"\[(PAD|CLS|SEP)\]")
        tokens = tf.ragged.boolean_mask(
            ids.with_flat_values(tokens), ids.with_flat_values(~hidden)
        )
        joined = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
        return tf.strings.regex_replace(joined, "(^| )##", "")

    @as_written
    def sequence_lengths(self, text: Any, text_pair: Any = None) -> tf.Tensor:
        """int64 [B]: tokens of each sequence if nothing were cut off."""
        pieces, pair = self._tokenize_both(text, text_pair)
        num_pair = tf.zeros_like(pieces.row_lengths())
        if pair is not None:
            num_pair = pair.row_lengths()
        return pieces.row_lengths() + num_pair + num_special(num_pair)

    def _tokenize_both(self, text, text_pair):
        """(pieces, pair) in one call; `pair` is None where `text_pair` is."""
        text = as_texts(text)
        if text_pair is None:
            return self.tokenize(text), None
        text_pair = as_texts(text_pair)
        num_texts = tf.size(text)
        tf.debugging.assert_equal(
            num_texts,
            tf.size(text_pair),
            "text and text_pair must have the same number of rows",
        )
        pieces = self.tokenize(tf.concat([text, text_pair], axis=0))
        return pieces[:num_texts], pieces[num_texts:]

    @as_written
    def pack(
        self, pieces: tf.RaggedTensor, pair: tf.RaggedTensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Truncates, joins and pads ids: `__call__` after `tokenize`.

        Args:
            pieces: int32 [B, (pieces)], the first texts.
            pair: int32 [B, (pieces)], the second texts, or None.
        """
        return self._packer.pack(pieces, pair)

    def lay_out(
        self, first: Slices, second: Slices, length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """[CLS] first [SEP] second [SEP] padding: `GraphPacker.lay_out`."""
        return self._packer.lay_out(first, second, length)

    def padded_length(self, longest: tf.Tensor) -> tf.Tensor:
        """int64: the length of sequences whose longest has `longest` tokens."""
        return self._packer.padded_length(longest)
