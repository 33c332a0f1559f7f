"""Reads an example's texts as the model's inputs.

Two tokenizers give the same results: the one in the graph feeds the model, the
one in Python the log and TFRecord files.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from bert_tf.data import features
from bert_tf.data.features import FeatureSpec
from bert_tf.errors import UserError
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.text import packing
from bert_tf.tokenization import FullTokenizer, TokenizerSettings

# The way to read long texts that each truncation of a `BertPreprocessor` is.
_LONG_DOCUMENTS_OF = {"head": "truncate", "head_tail": "head_tail"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextReaderSettings(TokenizerSettings):
    """How texts are read.

    Attributes:
        vocab_file: path of a `vocab.txt`.
        do_lower_case, strip_accents, tokenize_chinese_chars: see
            `TokenizerSettings`.
        max_seq_length: S, length of a sequence, special tokens included.
        long_documents: "truncate" keeps the head of longer texts, "head_tail"
            the first quarter and the last three quarters, "windows" several
            sequences.
        max_windows: N, windows of a text at most.
        doc_stride: pieces from the start of a window to that of the next;
            None for windows that do not overlap.

    Raises:
        UserError: `doc_stride` leaves something out between windows.
    """

    vocab_file: str
    max_seq_length: int = 128
    long_documents: str = "truncate"
    max_windows: int = 4
    doc_stride: int | None = None

    def __post_init__(self):
        if self.doc_stride is not None and self.doc_stride > self.window_room:
            raise UserError(
                f"windows of `max_seq_length`={self.max_seq_length} hold "
                f"{self.window_room} pieces",
                setting="doc_stride",
                value=self.doc_stride,
            )

    @property
    def window_room(self) -> int:
        """Pieces of a window."""
        return self.max_seq_length - packing.NUM_SPECIAL


class TextReader:
    """Reads texts and pairs of texts.

    Args:
        tokenizer: the one in Python, of the same vocabulary and casing.
        settings: how texts are read.
        preprocess: the `BertPreprocessor` of these settings, if there is one
            already.
    """

    def __init__(
        self,
        tokenizer: FullTokenizer,
        settings: TextReaderSettings,
        preprocess: BertPreprocessor | None = None,
    ):
        self.tokenizer = tokenizer
        self.settings = settings
        self.max_seq_length = settings.max_seq_length
        self.truncation = "head"
        if settings.long_documents == "head_tail":
            self.truncation = "head_tail"
        self.has_windows = settings.long_documents == "windows"
        self.max_windows = settings.max_windows
        self.doc_stride = settings.doc_stride or settings.window_room
        self.preprocess = preprocess or BertPreprocessor(
            settings.vocab_file,
            max_seq_length=self.max_seq_length,
            truncation=self.truncation,
            **settings.tokenizer_arguments(),
        )

    @classmethod
    def from_preprocessor(
        cls,
        preprocess: BertPreprocessor,
        max_windows: int | None = None,
        doc_stride: int | None = None,
    ) -> Self:
        """Returns the reader that reads texts as a preprocessor does.

        Args:
            preprocess: reads all texts; its `length_multiple` stays.
            max_windows: N, to read each text as `preprocess.windows` does;
                None to read it as one sequence.
            doc_stride: see `TextReaderSettings`.
        """
        settings = TextReaderSettings(
            vocab_file=preprocess.vocab_file,
            **preprocess.settings.tokenizer_arguments(),
            max_seq_length=preprocess.max_seq_length,
            long_documents=_LONG_DOCUMENTS_OF[preprocess.truncation],
        )
        if max_windows is not None:
            settings = dataclasses.replace(
                settings,
                long_documents="windows",
                max_windows=max_windows,
                doc_stride=doc_stride,
            )
        return cls(preprocess.tokenizer, settings, preprocess)

    def with_length_multiple(self, length_multiple: int | None) -> "TextReader":
        """The same reader, which pads batches no further than they need.

        Args:
            length_multiple: see `BertPreprocessor`. It does not concern
                windows.
        """
        other = copy.copy(self)
        other.preprocess = self.preprocess.with_length_multiple(length_multiple)
        return other

    @property
    def capacity(self) -> int:
        """Tokens of the longest sequence of which nothing is cut off."""
        if not self.has_windows:
            return self.max_seq_length
        return (self.max_windows - 1) * self.doc_stride + self.max_seq_length

    def sequence_specs(self) -> list[FeatureSpec]:
        """The model's features, [S], or [N, S] with windows."""
        specs = features.sequence_specs(self.max_seq_length)
        if not self.has_windows:
            return specs
        return [
            FeatureSpec(spec.name, (self.max_windows, *spec.shape))
            for spec in specs
        ]

    def read(self, text_a: Any, text_b: Any) -> dict[str, tf.Tensor]:
        """Converts texts in the graph.

        Args:
            text_a: tf.string [B], or a list of str.
            text_b: the second texts, of the same form, or None. Windows
                take single texts alone.

        Returns:
            {"input_ids", "input_mask", "segment_ids"}: int32 [B, S], or
            [B, N, S] with windows.
        """
        if self.has_windows:
            return self.preprocess.windows(
                text_a, self.max_windows, self.doc_stride
            )
        return self.preprocess(text_a, text_b)

    def read_choices(
        self, text: tf.Tensor, endings: tf.Tensor, num_endings: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Converts pairs of each text with its endings, in the graph.

        Args:
            text: tf.string [B].
            endings: tf.string [B, N].
            num_endings: int32 [B], the number of endings that each text has;
                the others become sequences of zeros.

        Returns:
            {name: int32 [B, N, S]}, with the names of `read`.
        """
        num_choices = tf.shape(endings)[1]
        ids = self.preprocess(
            tf.repeat(text, num_choices), tf.reshape(endings, [-1])
        )
        is_there = tf.range(num_choices) < num_endings[:, tf.newaxis]
        is_there = tf.cast(is_there, tf.int32)[:, :, tf.newaxis]
        shape = [-1, num_choices, tf.shape(ids["input_ids"])[1]]
        return {
            name: tf.reshape(values, shape) * is_there
            for name, values in ids.items()
        }

    def convert(
        self, text_a: str, text_b: str | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """Converts one example in Python.

        A second text that is empty, or has no token, counts as none.

        Returns:
            (features, tokens): a dict of lists, and the tokens, without
            padding.
        """
        pieces = self.tokenizer.tokenize(text_a)
        if self.has_windows:
            windows, _ = packing.pack_windows(
                pieces, self.max_seq_length, self.max_windows, self.doc_stride
            )
            rows = [self.numbers(t, [0] * len(t)) for t in windows]
            rows += [self.numbers([], [])] * (self.max_windows - len(rows))
            stacked = {name: [r[name] for r in rows] for name in rows[0]}
            return stacked, sum(windows, [])
        tokens, segment_ids, _ = packing.pack_sequences(
            pieces,
            self.tokenizer.tokenize(text_b) if text_b else [],
            self.max_seq_length,
            self.truncation,
        )
        return self.numbers(tokens, segment_ids), tokens

    def numbers(
        self, tokens: list[str], segment_ids: list[int]
    ) -> dict[str, list[int]]:
        """The features of one sequence, padded."""
        length = self.max_seq_length
        input_ids = self.tokenizer.convert_tokens_to_ids(tokens)
        return {
            "input_ids": packing.pad(input_ids, length),
            "input_mask": packing.pad([1] * len(tokens), length),
            "segment_ids": packing.pad(segment_ids, length),
        }

    def num_tokens(
        self, texts_a: Sequence[str], texts_b: Sequence[str | None]
    ) -> np.ndarray:
        """int64 [N]: tokens of each sequence if nothing were cut off."""
        return self.preprocess.sequence_lengths(
            texts_a, [text or "" for text in texts_b]
        ).numpy()
