"""WordPiece inside the graph: cuts texts into words, and words into pieces.

The op is tensorflow-text's `FastWordpieceTokenize`. It reads a model, bytes
that are built from the vocabulary, and splits words at white space,
punctuation and Chinese characters, as ICU knows them.
"""

import typing

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.core.pybinds import (
    pywrap_fast_wordpiece_tokenizer_model_builder as model_builder,
)

from bert_tf.errors import UserError
from bert_tf.text import normalization
from bert_tf.text.context import REMOVED
from bert_tf.tokenization import MAX_CHARS_PER_WORD, UNKNOWN, FullTokenizer
from bert_tf.vocab_files import tokens_by_id

MAX_BYTES_PER_CHAR = 4  # In UTF-8.
MAX_BYTES_PER_TOKEN = 256  # The models of tensorflow-text allow no more.
ROW = 1 << 32  # More bytes than a text has.


def in_order(rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """int64 [N]: places in texts as numbers that rise from text to text."""
    return rows * tf.constant(ROW, tf.int64) + places


class Pieces(typing.NamedTuple):
    """WordPieces of texts.

    Attributes:
        ids: int64 [N].
        starts, limits: int64 [N], bytes in the text that was cut; the limit is
            exclusive.
        row_splits: int64 [B + 1], where the pieces of each text begin.
    """

    ids: tf.Tensor
    starts: tf.Tensor
    limits: tf.Tensor
    row_splits: tf.Tensor

    def ragged(self, values: tf.Tensor) -> tf.RaggedTensor:
        """[N] -> [B, (pieces)]."""
        return tf.RaggedTensor.from_row_splits(
            values, self.row_splits, validate=False
        )

    def rows(self) -> tf.Tensor:
        """int64 [N]: the number of the text that each piece is from."""
        return self.ragged(self.ids).value_rowids()

    def table(self) -> tf.RaggedTensor:
        """int64 [B, (pieces), 3]: id, start, limit."""
        columns = [self.ids, self.starts, self.limits]
        return self.ragged(tf.stack(columns, axis=1))


class Wordpiece:
    """Cuts normalized texts into WordPieces.

    Args:
        tokenizer: the vocabulary and its casing.
        tables: the normalization of the texts.
        vocab_file: the vocabulary's name, for errors.

    Raises:
        UserError: tensorflow-text cannot use the vocabulary.
    """

    def __init__(
        self,
        tokenizer: FullTokenizer,
        tables: normalization.Normalization,
        vocab_file: str,
    ):
        names = _names_for_builder(tokenizer, tables, vocab_file)
        try:
            model = _build_model(names, MAX_CHARS_PER_WORD)
        except RuntimeError as error:
            raise UserError(
                f"{vocab_file}: too large for tensorflow-text: {error}"
            ) from None
        self.unk_id = tokenizer.vocab[UNKNOWN]
        self._model = tf.constant(model)
        # The model for long words differs only in its limit. As a second copy
        # it would add its size, 1.7 MB for 30,000 entries, to every export.
        for_long_words = _build_model(
            names, MAX_BYTES_PER_CHAR * MAX_CHARS_PER_WORD
        )
        places = np.flatnonzero(for_long_words != model)
        self._limit_places = places[:, np.newaxis].astype(np.int32)
        self._limit_bytes = for_long_words[places]

    def cut(self, normalized: tf.Tensor) -> Pieces:
        """Splits texts into words, and cuts them.

        Args:
            normalized: tf.string [B].
        """
        pieces = _run(normalized, self._model)
        # The op's limit of 200 is one of bytes. A word that it gave up may
        # have fewer characters.
        num_bytes = pieces.limits - pieces.starts
        is_long = (num_bytes > MAX_CHARS_PER_WORD) & (pieces.ids == self.unk_id)
        return tf.cond(
            tf.reduce_any(is_long),
            lambda: self._cut_long_words(normalized, pieces, is_long),
            lambda: pieces,
        )

    def _model_for_long_words(self):
        """The model that takes 200 characters of any number of bytes."""
        return tf.tensor_scatter_nd_update(
            self._model, self._limit_places, self._limit_bytes
        )

    def _cut_long_words(self, normalized, pieces, is_long) -> Pieces:
        """Cuts words of more bytes, but not more characters, than 200."""
        table = pieces.table()  # [B, (pieces), 3]
        where = tf.where(is_long)[:, 0]
        _, starts, limits = tf.unstack(tf.gather(table.values, where), axis=1)
        # Words are joined from the characters of each text: `substr` would
        # need a copy of the whole text for each word.
        texts, rows = tf.unique(
            tf.gather(table.value_rowids(), where), tf.int64
        )
        chars, offsets = tf.strings.unicode_split_with_offsets(
            tf.gather(normalized, texts), "UTF-8"
        )
        places = in_order(offsets.value_rowids(), offsets.values)
        first = tf.searchsorted(places, in_order(rows, starts))
        last = tf.searchsorted(places, in_order(rows, limits))
        where, starts, first, last = (
            tf.boolean_mask(x, last - first <= MAX_CHARS_PER_WORD)
            for x in (where, starts, first, last)
        )
        words = tf.strings.reduce_join(
            tf.gather(chars.values, tf.ragged.range(first, last)), axis=-1
        )
        cut = _run(words, self._model_for_long_words()).table()
        # Places are counted from the start of the word.
        shift = tf.gather(starts, cut.value_rowids())[:, tf.newaxis]
        cut = cut.with_values(cut.values + shift * [[0, 1, 1]])

        # One or several new pieces replace each of the old ones.
        one_each = tf.RaggedTensor.from_tensor(table.values[:, tf.newaxis])
        num_old = tf.size(pieces.ids, tf.int64)
        chosen = tf.tensor_scatter_nd_update(
            tf.range(num_old),
            where[:, tf.newaxis],
            num_old + tf.range(tf.size(where, tf.int64)),
        )
        new = tf.gather(tf.concat([one_each, cut], axis=0), chosen)
        row_splits = tf.gather(new.row_splits, pieces.row_splits)
        ids, starts, limits = tf.unstack(new.values, axis=1)
        return Pieces(ids, starts, limits, row_splits)


def _run(text, model) -> Pieces:
    tokenizer = tf_text.FastWordpieceTokenizer(
        model_buffer=model, token_out_type=tf.int64
    )
    ids, starts, limits = tokenizer.tokenize_with_offsets(text)
    return Pieces(ids.values, starts.values, limits.values, ids.row_splits)


def _build_model(names: list[str], max_bytes_per_word: int) -> np.ndarray:
    """uint8 [n]: the model of a vocabulary."""
    return np.frombuffer(
        model_builder.build_fast_wordpiece_model(
            names, max_bytes_per_word, "##", UNKNOWN, False, False
        ),
        np.uint8,
    )


def _names_for_builder(tokenizer, tables, vocab_file) -> list[str]:
    """The vocabulary as the model's builder needs it: no token twice.

    Some ids get a name that no text contains: those without a token, because
    the same token comes again later or the line is empty, and those whose
    token no word can hold, because the builder misreads some of them.
    """
    reserved = set(map(chr, normalization.NONCHARACTERS))
    words_of = tokenizer.basic_tokenizer.tokenize
    alias_of = tables.alias_of
    settings, is_isolated = tokenizer.settings, normalization.is_isolated
    names = []
    for index, token in enumerate(tokens_by_id(tokenizer.vocab)):
        if reserved.intersection(token):
            raise UserError(
                f"{vocab_file}:{index + 1}: {token!r} has a code point that "
                "Unicode reserves for programs' own use; here it is used"
            )
        piece = token.removeprefix("##")
        reachable = token == UNKNOWN or (
            words_of(piece) == [piece]
            and len(piece) <= MAX_CHARS_PER_WORD
            # "!" is always a word of its own, so nothing continues with it.
            and (token == piece or not is_isolated(piece[0], settings))
        )
        if reachable and len(piece.encode("utf-8")) > MAX_BYTES_PER_TOKEN:
            raise UserError(
                f"{vocab_file}:{index + 1}: {token[:20]!r}… has "
                f"{len(piece.encode('utf-8'))} bytes; tensorflow-text takes "
                f"tokens of {MAX_BYTES_PER_TOKEN} bytes at most"
            )
        name = token.translate(alias_of)
        names.append(name if reachable else f"{REMOVED}{index}")
    # The builder needs at least one word. No text contains this one, either.
    return [*names, chr(normalization.NEVER)]
