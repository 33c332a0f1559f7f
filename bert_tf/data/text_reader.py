"""How an example's texts become what the model reads.

Two tokenizers make the same of them: the one in the graph feeds the model, the
one in Python the log and TFRecord files.
"""

import copy

import numpy as np
import tensorflow as tf

from bert_tf.data import features
from bert_tf.data.features import FeatureSpec
from bert_tf.errors import UserError
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.text import packing
from bert_tf.tokenization import FullTokenizer

# What becomes of texts longer than a sequence: see `TextReader`.
LONG_DOCUMENTS = ("truncate", "head_tail", "windows")


class TextReader:
    """Reads texts and pairs of texts.

    Args:
        tokenizer: the one in Python.
        vocab_file, do_lower_case: of the same vocabulary.
        max_seq_length: S, length of a sequence, special tokens included.
        long_documents: "truncate" keeps the head of longer texts, "head_tail"
            the first quarter and the last three quarters, "windows" several
            sequences.
        max_windows: N, how many of them at most.
        doc_stride: pieces from the start of a window to that of the next;
            None for windows that do not overlap.

    Raises:
        UserError: `doc_stride` leaves something out between windows.
    """

    def __init__(
        self,
        tokenizer: FullTokenizer,
        vocab_file: str,
        do_lower_case: bool,
        max_seq_length: int,
        long_documents: str = "truncate",
        max_windows: int = 4,
        doc_stride: int | None = None,
    ):
        room = max_seq_length - 2  # Beside [CLS] and [SEP].
        if doc_stride is not None and doc_stride > room:
            raise UserError(
                f"--doc_stride={doc_stride}: windows of --max_seq_length="
                f"{max_seq_length} hold {room} pieces"
            )
        self.tokenizer = tokenizer
        self._vocab_file = vocab_file
        self._do_lower_case = do_lower_case
        self.max_seq_length = max_seq_length
        self.truncation = "head"
        if long_documents == "head_tail":
            self.truncation = "head_tail"
        self.has_windows = long_documents == "windows"
        self.max_windows = max_windows
        self.doc_stride = doc_stride or room
        self.preprocess = self._preprocessor(None)

    def _preprocessor(self, length_multiple):
        return BertPreprocessor(
            self._vocab_file,
            self._do_lower_case,
            self.max_seq_length,
            length_multiple=length_multiple,
            truncation=self.truncation,
        )

    def with_length_multiple(self, length_multiple: int | None):
        """A reader of the same, for batches that are padded no further.

        Args:
            length_multiple: see `BertPreprocessor`. Windows do not heed it.
        """
        other = copy.copy(self)
        other.preprocess = self._preprocessor(length_multiple)
        return other

    @property
    def capacity(self) -> int:
        """Tokens of the longest sequence of which nothing is cut off."""
        if not self.has_windows:
            return self.max_seq_length
        return (self.max_windows - 1) * self.doc_stride + self.max_seq_length

    def sequence_specs(self) -> list:
        """The model's features, [S], or [N, S] with windows."""
        specs = features.sequence_specs(self.max_seq_length)
        if not self.has_windows:
            return specs
        return [
            FeatureSpec(spec.name, (self.max_windows, *spec.shape))
            for spec in specs
        ]

    def read(self, text_a, text_b) -> dict:
        """tf.string [B] each -> int32 [B, S] or [B, N, S], in the graph."""
        if self.has_windows:
            return self.preprocess.windows(
                text_a, self.max_windows, self.doc_stride
            )
        return self.preprocess(text_a, text_b)

    def read_choices(self, text, endings, num_endings) -> dict:
        """Pairs of each text with its endings, in the graph.

        Args:
            text: tf.string [B].
            endings: tf.string [B, N].
            num_endings: int32 [B], how many of them there are; the others are
                sequences of zeros.

        Returns:
            As `read`, [B, N, S].
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

    def convert(self, text_a: str, text_b: str | None = None):
        """The same of one example, in Python.

        A second text that is empty, or has no token, is no second text.

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

    def numbers(self, tokens: list, segment_ids: list) -> dict:
        """The features of one sequence, padded."""
        length = self.max_seq_length
        input_ids = self.tokenizer.convert_tokens_to_ids(tokens)
        return {
            "input_ids": packing.pad(input_ids, length),
            "input_mask": packing.pad([1] * len(tokens), length),
            "segment_ids": packing.pad(segment_ids, length),
        }

    def num_tokens(self, texts_a: list, texts_b: list) -> np.ndarray:
        """int64 [N]: of each sequence if nothing were cut off."""
        return self.preprocess.sequence_lengths(
            texts_a, [text or "" for text in texts_b]
        ).numpy()
