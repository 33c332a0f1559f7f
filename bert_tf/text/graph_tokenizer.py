"""GraphTokenizer: raw text → WordPieces, from TensorFlow ops alone.

    raw text            "Héllo [MASK]!"
      context           final sigmas, marks out of order, bytes not UTF-8: rare
      normalize         "hello [mask]!"        one look-up for each character
      split, WordPiece  hello [ mask ] !       → ids

`context.py` does the first, the table of `normalization.py` the second, and
`wordpiece.py` the third. The tokens are those of `FullTokenizer`, for any text.
"""

from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from bert_tf.text import normalization
from bert_tf.text.context import (
    context_of,
    is_in,
    mark_invalid_bytes,
    utf8_lengths,
)
from bert_tf.text.normalization import regex_class
from bert_tf.text.wordpiece import ROW, Pieces, Wordpiece, in_order
from bert_tf.tokenization import FullTokenizer

TEXTS = tf.TensorSpec([None], tf.string)


class GraphTokenizer:
    """Cuts texts into WordPieces inside the graph.

    Its methods take a `tf.string` [B], or a list of str.

    Args:
        tokenizer: the same tokenizer in Python.
        vocab_file: its vocabulary's name, for errors.

    Raises:
        UserError: tensorflow-text cannot use the vocabulary.
    """

    def __init__(self, tokenizer: FullTokenizer, vocab_file: str):
        tables = normalization.load(tokenizer.settings, tokenizer.vocab)
        self._context = context_of(tables)
        self._dropped = tables.dropped
        self._normalizer = tf_text.FastBertNormalizer(
            model_buffer=tf.constant(tables.model)
        )
        self._wordpiece = Wordpiece(tokenizer, tables, vocab_file)

    def tokenize(self, text: Any) -> tf.RaggedTensor:
        """WordPiece ids, int32 [B, (pieces)], without special tokens."""
        return self._tokenize(as_texts(text))

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize(self, text):
        text = self._context.resolve(text)
        pieces = self._wordpiece.cut(self._normalizer.normalize(text))
        return pieces.ragged(tf.cast(pieces.ids, tf.int32))

    def tokenize_with_offsets(
        self, text: Any
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """WordPieces and where in the raw text they come from.

        Returns:
            (ids, starts, limits): int32, int64 and int64 [B, (pieces)]. The
            piece comes from the bytes `start` to `limit` (exclusive) of the
            raw text, accents included. Where one character gives several
            pieces, as a Hangul syllable can, each has all its bytes.
        """
        return self._tokenize_with_offsets(as_texts(text))

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_offsets(self, raw):
        text, text_origins = self._context.resolve_with_origins(raw)
        normalized, origins = self._normalizer.normalize_with_offsets(text)
        pieces = self._wordpiece.cut(normalized)
        starts, limits = _origins_of(pieces, origins)
        starts, limits = tf.cond(
            text_origins.nrows() > 0,
            lambda: _origins_of(
                pieces._replace(starts=starts, limits=limits), text_origins
            ),
            lambda: (starts, limits),
        )
        limits = self._trim(raw, pieces._replace(starts=starts, limits=limits))
        return (
            pieces.ragged(tf.cast(pieces.ids, tf.int32)),
            pieces.ragged(starts),
            pieces.ragged(limits),
        )

    def _trim(self, raw, pieces: Pieces):
        """The limits without the characters that were removed after a piece.

        Accents, which are normalized away, stay.
        """
        nothing_dropped = tf.strings.regex_full_match(
            raw, rf"[^{regex_class(self._dropped)}\x{{D800}}-\x{{DFFF}}]*"
        )

        def trim():
            concerned = tf.where(~nothing_dropped)
            chars, starts = tf.strings.unicode_decode_with_offsets(
                mark_invalid_bytes(tf.gather_nd(raw, concerned)), "UTF-8"
            )
            is_kept = ~is_in(self._dropped, chars.values)
            ends = starts.values + utf8_lengths(chars.values)
            rows = tf.gather(concerned[:, 0], chars.value_rowids())
            ends = tf.boolean_mask(in_order(rows, ends), is_kept)
            # The last end that is not after the limit.
            limits = in_order(pieces.rows(), pieces.limits)
            place = tf.searchsorted(ends, limits, side="right") - 1
            ends = tf.concat([ends, [-1]], axis=0)  # At place -1.
            place = tf.where(place < 0, tf.size(ends) - 1, place)
            end = tf.gather(ends, place)
            is_here = end > in_order(pieces.rows(), pieces.starts)
            return tf.where(is_here, end, limits) % ROW

        return tf.cond(
            tf.reduce_all(nothing_dropped), lambda: pieces.limits, trim
        )


def _origins_of(pieces: Pieces, origins: tf.RaggedTensor):
    """(starts, limits) of the pieces in the earlier form of the text."""
    rows = pieces.rows()
    row_starts = tf.gather(origins.row_starts(), rows)
    starts = tf.gather(origins.values, row_starts + pieces.starts)
    last = tf.gather(origins.values, row_starts + pieces.limits - 1)
    # The origin of the last byte ends where the next one begins.
    limits = tf.gather(origins.values, row_starts + pieces.limits)

    def look_further():
        # The byte at the limit comes from the same character: find the next
        # one that does not.
        where = tf.where(limits == last)
        place = tf.searchsorted(
            in_order(origins.value_rowids(), origins.values),
            tf.gather_nd(in_order(rows, last), where),
            side="right",
        )
        further = tf.gather(origins.values, place)
        return tf.tensor_scatter_nd_update(limits, where, further)

    limits = tf.cond(
        tf.reduce_any(limits == last), look_further, lambda: limits
    )
    return starts, limits


def as_texts(text: Any) -> tf.Tensor:
    """tf.string [B] of a tensor or a list."""
    text = tf.convert_to_tensor(text, tf.string)
    if text.shape.rank != 1:
        raise ValueError(
            f"texts must be a list or a tensor of shape [B]. Received: shape "
            f"{text.shape}"
        )
    return text
