"""BertPreprocessor: raw text → the model's inputs, inside the graph.

The same tokens as `tokenization.FullTokenizer`, for any text whatever, from
TensorFlow ops alone: it runs in tf.data, and it goes into a SavedModel, so
that training and serving cannot differ.

    raw text            "Héllo [MASK]!"
      context           final sigmas, marks out of order, bytes not UTF-8: rare
      normalize         "hello [mask]!"        one look-up for each character
      split, WordPiece  hello [ mask ] !       → ids
      truncate, pack    [CLS] hello [ mask ] ! [SEP]

`text_context.py` does the first, the table of `normalization.py` the second;
the op that splits and cuts is tensorflow-text's `FastWordpieceTokenize`.
"""

import typing

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.core.pybinds import (
    pywrap_fast_wordpiece_tokenizer_model_builder as model_builder,
)

from bert_tf.errors import UserError
from bert_tf.text import normalization, packing
from bert_tf.text.context import (
    REMOVED,
    BytesContext,
    LowerCaseContext,
    is_in,
    mark_invalid_bytes,
    utf8_lengths,
)
from bert_tf.text.normalization import regex_class
from bert_tf.tokenization import MAX_CHARS_PER_WORD, UNKNOWN, FullTokenizer

MAX_BYTES_PER_CHAR = 4  # In UTF-8.
MAX_BYTES_PER_TOKEN = 256  # Of tensorflow-text's models.
TEXTS = tf.TensorSpec([None], tf.string)


class BertPreprocessor:
    """Texts or pairs of texts → `input_ids`, `input_mask`, `segment_ids`.

        preprocess = BertPreprocessor("vocab.txt", max_seq_length=8)
        preprocess(["is this it?"], ["no"])
        # {"input_ids": [[101, 2003, 2023, 2009, 1029, 102, 2053, 102]], …}

    All methods take a `tf.string` [B], or a list of str (without lone
    surrogates, which UTF-8 does not know), and can be part of a
    `tf.function`, a dataset and a SavedModel, which then needs nothing but
    TensorFlow and tensorflow-text to be loaded.

    Args:
        vocab_file: path of a `vocab.txt`.
        do_lower_case: True for uncased models.
        max_seq_length: length of the sequences, special tokens included.
            Of pairs that are too long the longer text loses tokens one by
            one, as in the original.
        length_multiple: None makes all sequences `max_seq_length` long. A
            number makes them as long as the longest of the batch, rounded up
            to a multiple of it.
        truncation: what stays of a text that is too long, its start ("head")
            or a quarter from its start and the rest from its end
            ("head_tail"); as `features.pack_sequences`.

    Raises:
        UserError: the vocabulary cannot be used.
        ValueError: not even the special tokens fit into `max_seq_length`,
            `length_multiple` is not positive, or there is no such truncation.
    """

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        max_seq_length: int = 128,
        *,
        length_multiple: int | None = None,
        truncation: str = "head",
    ):
        packing.check_max_seq_length(max_seq_length)
        packing.check_truncation(truncation)
        if length_multiple is not None and length_multiple < 1:
            raise ValueError(
                f"length_multiple must be positive. "
                f"Received: length_multiple={length_multiple}"
            )
        self.do_lower_case = do_lower_case
        self.max_seq_length = max_seq_length
        self.length_multiple = length_multiple
        self.truncation = truncation
        tokenizer = FullTokenizer(vocab_file, do_lower_case)
        vocab = tokenizer.vocab
        self._cls_id, self._sep_id = vocab["[CLS]"], vocab["[SEP]"]
        self.unk_id = vocab[UNKNOWN]
        tables = normalization.load(do_lower_case)
        self._context = BytesContext()
        if do_lower_case:
            self._context = LowerCaseContext(tables)
        self._dropped = tables.dropped
        self._normalizer = tf_text.FastBertNormalizer(
            model_buffer=tf.constant(tables.model)
        )
        names = _names_for_builder(tokenizer, tables, vocab_file)
        try:
            model = _wordpiece_model(names, MAX_CHARS_PER_WORD)
        except RuntimeError as error:
            raise UserError(
                f"{vocab_file}: too large for tensorflow-text: {error}"
            ) from None
        self._wordpiece_model = tf.constant(model)
        self._raised_limit = _raised_limit(names, self._wordpiece_model)
        self._tokens = _tokens_by_id(vocab)

    def __call__(self, text, text_pair=None) -> dict:
        """Packs texts as the model reads them.

        Args:
            text: tf.string [B].
            text_pair: tf.string [B] or None, the second texts. One that has
                no token is no second text.

        Returns:
            {"input_ids", "input_mask", "segment_ids": int32 [B, S]}.
        """
        return self.pack(*self._tokenize_both(text, text_pair))

    def windows(self, text, max_windows: int, stride: int | None = None):
        """Makes sequences of parts of each text: `features.pack_windows`.

        Neither `length_multiple` nor `truncation` counts here.

        Args:
            text: tf.string [B], single texts.
            max_windows: W, windows of a text at most; what is behind the last
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
        room, stride = packing.window_room_and_stride(
            self.max_seq_length, max_windows, stride
        )
        pieces = self.tokenize(text)
        num_pieces = pieces.row_lengths()[:, tf.newaxis]
        starts = stride * tf.range(max_windows, dtype=tf.int64)
        lengths = tf.clip_by_value(num_pieces - starts, 0, room)
        # A window follows one that does not reach the end of the text.
        is_there = (starts == 0) | (starts - stride + room < num_pieces)
        starts += pieces.row_starts()[:, tf.newaxis]
        starts, lengths = (tf.reshape(x, [-1]) for x in (starts, lengths))
        nothing = tf.zeros_like(lengths)
        packed = self.lay_out(
            Slices(pieces.values, starts, lengths),
            Slices(tf.zeros([0], tf.int32), nothing, nothing),
            tf.constant(self.max_seq_length, tf.int64),
        )
        shape = [-1, max_windows, self.max_seq_length]
        is_there = tf.cast(is_there, tf.int32)[:, :, tf.newaxis]
        return {
            name: tf.reshape(values, shape) * is_there
            for name, values in packed.items()
        }

    def tokenize(self, text) -> tf.RaggedTensor:
        """WordPiece ids, int32 [B, (pieces)], without special tokens."""
        return self._tokenize(_as_texts(text))

    @tf.function(input_signature=[TEXTS])
    def _tokenize(self, text):
        text = self._context.resolve(text)
        pieces = self._wordpieces(self._normalizer.normalize(text))
        return pieces.ragged(tf.cast(pieces.ids, tf.int32))

    def tokenize_with_offsets(self, text):
        """WordPieces and where in the raw text they come from.

        Returns:
            (ids, starts, limits): int32, int64 and int64 [B, (pieces)]. The
            bytes `start` to `limit` (exclusive) of the raw text are what the
            piece was made of, its accents included. Where one character makes
            several pieces, as a Hangul syllable can, each has all its bytes.
        """
        return self._tokenize_with_offsets(_as_texts(text))

    @tf.function(input_signature=[TEXTS])
    def _tokenize_with_offsets(self, raw):
        text, text_origins = self._context.resolve_with_origins(raw)
        normalized, origins = self._normalizer.normalize_with_offsets(text)
        pieces = self._wordpieces(normalized)
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

    def detokenize(self, ids) -> tf.Tensor:
        """Ids, int [B, S] or [B, (pieces)], → their words, tf.string [B].

        There is one space between words. What normalization removed does not
        come back. [PAD], [CLS] and [SEP] are left out.
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

    def sequence_lengths(self, text, text_pair=None) -> tf.Tensor:
        """int64 [B]: tokens of each sequence if nothing were cut off."""
        pieces, pair = self._tokenize_both(text, text_pair)
        num_pair = 0 if pair is None else pair.row_lengths()
        special = tf.where(num_pair > 0, 3, 2)
        return pieces.row_lengths() + num_pair + tf.cast(special, tf.int64)

    def _tokenize_both(self, text, text_pair):
        """(pieces, pair) in one go; `pair` is None where `text_pair` is."""
        text = _as_texts(text)
        if text_pair is None:
            return self._tokenize(text), None
        text_pair = _as_texts(text_pair)
        num_texts = tf.size(text)
        tf.debugging.assert_equal(
            num_texts,
            tf.size(text_pair),
            "text and text_pair must have the same number of rows",
        )
        pieces = self._tokenize(tf.concat([text, text_pair], axis=0))
        return pieces[:num_texts], pieces[num_texts:]

    def pack(self, pieces, pair=None) -> dict:
        """Truncates, joins and pads ids: `__call__` after `tokenize`.

        Args:
            pieces: int32 [B, (pieces)].
            pair: likewise, or None.
        """
        if pair is None:
            pair = tf.RaggedTensor.from_row_lengths(
                tf.zeros([0], tf.int32),
                tf.zeros_like(pieces.row_lengths()),
                validate=False,
            )
        num_a, num_b = truncated_lengths(
            pieces.row_lengths(), pair.row_lengths(), self.max_seq_length
        )
        num_special = tf.cast(tf.where(num_b > 0, 3, 2), num_a.dtype)
        return self.lay_out(
            self._truncate(pieces, num_a),
            self._truncate(pair, num_b),
            self._sequence_length(num_a + num_b + num_special),
        )

    def _truncate(self, pieces, lengths) -> "Slices":
        """What stays of texts of which `lengths` pieces, [B], can stay."""
        if self.truncation == "head":
            return Slices(pieces.values, pieces.row_starts(), lengths)
        # As `features.head_and_tail`: its tail is as many places further back
        # as there are pieces too many.
        head = lengths // packing.HEAD_SHARE
        too_many = pieces.row_lengths() - lengths
        kept = tf.ragged.range(lengths)
        place, rows = kept.values, kept.value_rowids()
        is_head = place < tf.gather(head, rows)
        place = tf.where(is_head, place, place + tf.gather(too_many, rows))
        ids = tf.gather(
            pieces.values, tf.gather(pieces.row_starts(), rows) + place
        )
        return Slices(ids, kept.row_starts(), lengths)

    def lay_out(self, first: "Slices", second: "Slices", length) -> dict:
        """[CLS] first [SEP] second [SEP] padding, for slices that fit.

        Args:
            first: ids of the first texts.
            second: of the second texts; no id means that there is none.
            length: int64 scalar, of the sequences.

        Returns:
            As `__call__`.
        """
        sep_a = first.lengths + 1  # Its place; [CLS] is at 0.
        sep_b = sep_a + tf.where(
            second.lengths > 0, second.lengths + 1, second.lengths
        )
        place = tf.range(length)[tf.newaxis]
        sep_a, sep_b, start_a, start_b = (
            x[:, tf.newaxis]
            for x in (sep_a, sep_b, first.starts, second.starts)
        )

        # Every place looks its id up in one list: the special tokens, the
        # ids of the first texts, those of the second.
        padding, cls, sep, num_special = range(4)
        special = tf.constant([0, self._cls_id, self._sep_id], tf.int32)
        ids = tf.concat([special, first.ids, second.ids], axis=0)
        start_a += num_special
        start_b += num_special + tf.size(first.ids, tf.int64)
        index = tf.where(
            place < sep_a, start_a + place - 1, start_b + place - sep_a - 1
        )
        for is_there, which in (
            (place == 0, cls),
            ((place == sep_a) | (place == sep_b), sep),
            (place > sep_b, padding),
        ):
            index = tf.where(is_there, tf.constant(which, tf.int64), index)
        return {
            "input_ids": tf.gather(ids, index),
            "input_mask": tf.cast(place <= sep_b, tf.int32),
            "segment_ids": tf.cast(
                (place > sep_a) & (place <= sep_b), tf.int32
            ),
        }

    def _sequence_length(self, lengths):
        """int64: of sequences that have so many tokens, [B]."""
        # A batch without rows has no longest.
        longest = tf.reduce_max(tf.concat([[1], lengths], axis=0))
        return self.padded_length(longest)

    def padded_length(self, longest):
        """int64: of sequences whose longest has so many tokens."""
        if self.length_multiple is None:
            return tf.constant(self.max_seq_length, tf.int64)
        rounded = -(-longest // self.length_multiple) * self.length_multiple
        return tf.minimum(rounded, self.max_seq_length)

    def _wordpieces(self, normalized) -> "_Pieces":
        """Splits texts into words, and cuts them."""
        pieces = _run_wordpiece(normalized, self._wordpiece_model)
        # The op's limit of 200 is one of bytes. A word that it gave up may
        # have fewer characters.
        num_bytes = pieces.limits - pieces.starts
        is_long = (num_bytes > MAX_CHARS_PER_WORD) & (pieces.ids == self.unk_id)
        return tf.cond(
            tf.reduce_any(is_long),
            lambda: self._cut_long_words(normalized, pieces, is_long),
            lambda: pieces,
        )

    def _cut_long_words(self, normalized, pieces, is_long) -> "_Pieces":
        """Cuts words of more bytes, but not more characters, than 200."""
        table = pieces.table()  # [B, (pieces), 3]
        where = tf.where(is_long)[:, 0]
        _, starts, limits = tf.unstack(tf.gather(table.values, where), axis=1)
        # Out of the characters of each text: `substr` would want a copy of
        # the whole text for each word.
        texts, rows = tf.unique(
            tf.gather(table.value_rowids(), where), tf.int64
        )
        chars, offsets = tf.strings.unicode_split_with_offsets(
            tf.gather(normalized, texts), "UTF-8"
        )
        places = _in_order(offsets.value_rowids(), offsets.values)
        first = tf.searchsorted(places, _in_order(rows, starts))
        last = tf.searchsorted(places, _in_order(rows, limits))
        where, starts, first, last = (
            tf.boolean_mask(x, last - first <= MAX_CHARS_PER_WORD)
            for x in (where, starts, first, last)
        )
        words = tf.strings.reduce_join(
            tf.gather(chars.values, tf.ragged.range(first, last)), axis=-1
        )
        model = tf.tensor_scatter_nd_update(
            self._wordpiece_model, *self._raised_limit
        )
        cut = _run_wordpiece(words, model).table()
        # Their places are counted from the word's start.
        shift = tf.gather(starts, cut.value_rowids())[:, tf.newaxis]
        cut = cut.with_values(cut.values + shift * [[0, 1, 1]])

        # Each of the old pieces is replaced by one or by several.
        one_each = tf.RaggedTensor.from_tensor(table.values[:, tf.newaxis])
        num_old = tf.size(pieces.ids, tf.int64)
        chosen = tf.tensor_scatter_nd_update(
            tf.range(num_old),
            where[:, tf.newaxis],
            num_old + tf.range(tf.size(where, tf.int64)),
        )
        new = tf.gather(tf.concat([one_each, cut], axis=0), chosen)
        row_splits = tf.gather(new.row_splits, pieces.row_splits)
        return _Pieces(*tf.unstack(new.values, axis=1), row_splits)

    def _trim(self, raw, pieces: "_Pieces"):
        """The limits without what was removed behind a piece.

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
            ends = tf.boolean_mask(_in_order(rows, ends), is_kept)
            # The last of them that is not behind the limit.
            limits = _in_order(pieces.rows(), pieces.limits)
            place = tf.searchsorted(ends, limits, side="right") - 1
            ends = tf.concat([ends, [-1]], axis=0)  # Behind them: place -1.
            place = tf.where(place < 0, tf.size(ends) - 1, place)
            end = tf.gather(ends, place)
            is_here = end > _in_order(pieces.rows(), pieces.starts)
            return tf.where(is_here, end, limits) % ROW

        return tf.cond(
            tf.reduce_all(nothing_dropped), lambda: pieces.limits, trim
        )


def truncated_lengths(num_a, num_b, max_seq_length: int):
    """How many pieces of two texts stay: `truncate_seq_pair` at once.

    Args:
        num_a, num_b: int64 [B], pieces of the first and the second text; no
            piece means that there is no second text.
        max_seq_length: with the special tokens.

    Returns:
        (num_a, num_b), int64 [B]. The longer text is cut down to the shorter
        one, then both alternately, the second first.
    """
    room = max_seq_length - tf.where(num_b > 0, 3, 2)
    room = tf.cast(room, num_a.dtype)
    half = room - room // 2  # The first text has the odd piece.
    kept_a = tf.minimum(num_a, tf.maximum(room - num_b, half))
    return kept_a, tf.minimum(num_b, room - kept_a)


def _origins_of(pieces: "_Pieces", origins: tf.RaggedTensor):
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
            _in_order(origins.value_rowids(), origins.values),
            tf.gather_nd(_in_order(rows, last), where),
            side="right",
        )
        further = tf.gather(origins.values, place)
        return tf.tensor_scatter_nd_update(limits, where, further)

    limits = tf.cond(
        tf.reduce_any(limits == last), look_further, lambda: limits
    )
    return starts, limits


ROW = 1 << 32  # More bytes than a text has.


def _in_order(rows, places):
    """Places in texts as numbers that rise from text to text."""
    return rows * tf.constant(ROW, tf.int64) + places


# ---------------------------------------------------------------------------
# WordPiece.


def _as_texts(text) -> tf.Tensor:
    text = tf.convert_to_tensor(text, tf.string)
    if text.shape.rank != 1:
        raise ValueError(
            f"texts must be a list or a tensor of shape [B]. Received: shape "
            f"{text.shape}"
        )
    return text


class Slices(typing.NamedTuple):
    """Parts of a list of ids: int32 [N], and int64 [B] each."""

    ids: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor


class _Pieces(typing.NamedTuple):
    """WordPieces of texts: int64 [N] each, and where each text's begin.

    `starts` and `limits` are bytes in the text that was cut.
    """

    ids: tf.Tensor
    starts: tf.Tensor
    limits: tf.Tensor
    row_splits: tf.Tensor

    def ragged(self, values) -> tf.RaggedTensor:
        """[N] -> [B, (pieces)]."""
        return tf.RaggedTensor.from_row_splits(
            values, self.row_splits, validate=False
        )

    def rows(self) -> tf.Tensor:
        """int64 [N]: the text of each."""
        return self.ragged(self.ids).value_rowids()

    def table(self) -> tf.RaggedTensor:
        """int64 [B, (pieces), 3]: id, start, limit."""
        columns = [self.ids, self.starts, self.limits]
        return self.ragged(tf.stack(columns, axis=1))


def _run_wordpiece(text, model) -> _Pieces:
    tokenizer = tf_text.FastWordpieceTokenizer(
        model_buffer=model, token_out_type=tf.int64
    )
    ids, starts, limits = tokenizer.tokenize_with_offsets(text)
    return _Pieces(ids.values, starts.values, limits.values, ids.row_splits)


def _wordpiece_model(names: list, max_bytes_per_word: int) -> np.ndarray:
    return np.frombuffer(
        model_builder.build_fast_wordpiece_model(
            names, max_bytes_per_word, "##", UNKNOWN, False, False
        ),
        np.uint8,
    )


def _raised_limit(names, model):
    """(places, bytes): what makes the model take 200 characters of any size."""
    raised = _wordpiece_model(names, MAX_BYTES_PER_CHAR * MAX_CHARS_PER_WORD)
    places = np.flatnonzero(raised != model.numpy())
    return places[:, np.newaxis].astype(np.int32), raised[places]


def _tokens_by_id(vocab: dict) -> list:
    """The token of each id; an id that has none is the empty string."""
    tokens = [""] * (1 + max(vocab.values()))
    for token, index in vocab.items():
        tokens[index] = token
    return tokens


def _names_for_builder(tokenizer, tables, vocab_file: str) -> list:
    """The vocabulary as the model's builder wants it: no token twice.

    An id gets a name that no text contains where its token is none, because
    the same token comes again later or its line is empty, and where no word
    can hold its token: the builder understands some of those otherwise.
    """
    nobodys = set(map(chr, normalization.NONCHARACTERS))
    words_of = tokenizer.basic_tokenizer.tokenize
    names = []
    for index, token in enumerate(_tokens_by_id(tokenizer.vocab)):
        if nobodys.intersection(token):
            raise UserError(
                f"{vocab_file}:{index + 1}: {token!r} has a code point that "
                "Unicode reserves for programs' own use; here it is used"
            )
        piece = token.removeprefix("##")
        reachable = token == UNKNOWN or (
            words_of(piece) == [piece]
            and len(piece) <= MAX_CHARS_PER_WORD
            # "!" is always a word of its own, so nothing continues with it.
            and (token == piece or not normalization.is_isolated(piece[0]))
        )
        if reachable and len(piece.encode("utf-8")) > MAX_BYTES_PER_TOKEN:
            raise UserError(
                f"{vocab_file}:{index + 1}: {token[:20]!r}… has "
                f"{len(piece.encode('utf-8'))} bytes; tensorflow-text takes "
                f"tokens of {MAX_BYTES_PER_TOKEN} bytes at most"
            )
        name = token.translate(tables.alias_of)
        names.append(name if reachable else f"{REMOVED}{index}")
    # The builder wants a word among them. This one, too, is in no text.
    return [*names, chr(normalization.NEVER)]
