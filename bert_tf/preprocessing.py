"""BertPreprocessor: raw text → the model's inputs, inside the graph.

The same tokens as `tokenization.FullTokenizer`, for any text whatever, from
TensorFlow ops alone: it runs in tf.data, and it goes into a SavedModel, so
that training and serving cannot differ.

    raw text            "Héllo [MASK]!"
      context           final sigmas, marks out of order, bytes not UTF-8: rare
      normalize         "hello [mask]!"        one look-up for each character
      split, WordPiece  hello [ mask ] !       → ids
      truncate, pack    [CLS] hello [ mask ] ! [SEP]

The op that normalizes reads the table of `normalization.py`; the op that
splits and cuts is tensorflow-text's `FastWordpieceTokenize`.
"""

import typing
import unicodedata

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.core.pybinds import (
    pywrap_fast_wordpiece_tokenizer_model_builder as model_builder,
)

from bert_tf import normalization
from bert_tf.errors import UserError
from bert_tf.normalization import regex_class
from bert_tf.tokenization import MAX_CHARS_PER_WORD, UNKNOWN, FullTokenizer

MIN_SEQ_LENGTH = 3  # [CLS], and [SEP] after each text of a pair.
MAX_BYTES_PER_CHAR = 4  # In UTF-8.


class BertPreprocessor(tf.Module):
    """Texts or pairs of texts → `input_ids`, `input_mask`, `segment_ids`.

        preprocess = BertPreprocessor("vocab.txt", max_seq_length=8)
        preprocess(["is this it?"], ["no"])
        # {"input_ids": [[101, 2003, 2023, 2009, 1029, 102, 2053, 102]], …}

    All methods take a `tf.string` [B], or a list of str, and can be part of a
    `tf.function`, a dataset and a SavedModel, which then needs nothing but
    TensorFlow and tensorflow-text to be loaded.

    Args:
        vocab_file: path of a `vocab.txt`.
        do_lower_case: True for uncased models.
        max_seq_length: length of the sequences, special tokens included.
            Pairs that are too long lose tokens one by one from the end of the
            longer text, as in the original.
        length_multiple: None makes all sequences `max_seq_length` long. A
            number makes them as long as the longest of the batch, rounded up
            to a multiple of it.

    Raises:
        UserError: the vocabulary cannot be used.
        ValueError: not even the special tokens fit into `max_seq_length`.
    """

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        max_seq_length: int = 128,
        *,
        length_multiple: int | None = None,
    ):
        super().__init__()
        if max_seq_length < MIN_SEQ_LENGTH:
            raise ValueError(
                f"max_seq_length must be at least {MIN_SEQ_LENGTH}. "
                f"Received: max_seq_length={max_seq_length}"
            )
        self.max_seq_length = max_seq_length
        self.length_multiple = length_multiple
        vocab = FullTokenizer(vocab_file, do_lower_case).vocab
        self._cls_id, self._sep_id = vocab["[CLS]"], vocab["[SEP]"]
        self._unk_id = vocab[UNKNOWN]
        tables = normalization.load(do_lower_case)
        self._context = _Context(tables) if do_lower_case else _Bytes()
        self._dropped = regex_class(tables.dropped)
        self._normalizer = tf_text.FastBertNormalizer(
            model_buffer=tf.constant(tables.model)
        )
        names = _names_for_builder(vocab, tables, vocab_file)
        self._wordpiece_model = tf.constant(
            _wordpiece_model(names, MAX_CHARS_PER_WORD)
        )
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
        pieces = self.tokenize(text)
        pair = None if text_pair is None else self.tokenize(text_pair)
        return self.pack(pieces, pair)

    def tokenize(self, text) -> tf.RaggedTensor:
        """WordPiece ids, int32 [B, (pieces)], without special tokens."""
        text = self._context.resolve(_as_texts(text))
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
        raw = _as_texts(text)
        text, text_origins = self._context.resolve_with_origins(raw)
        normalized, origins = self._normalizer.normalize_with_offsets(text)
        pieces = self._wordpieces(normalized)
        starts, limits = _origins_of(pieces, origins)
        starts, limits = tf.cond(
            self._context.is_plain(raw),
            lambda: (starts, limits),
            lambda: _origins_of(
                pieces._replace(starts=starts, limits=limits), text_origins
            ),
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

    def pack(self, pieces, pair=None) -> dict:
        """Truncates, joins and pads ids: `__call__` after `tokenize`.

        Args:
            pieces: int32 [B, (pieces)].
            pair: likewise, or None.
        """
        if pair is None:
            pair = tf.RaggedTensor.from_row_lengths(
                tf.zeros([0], tf.int32), tf.zeros_like(pieces.row_lengths())
            )
        num_a, num_b = truncated_lengths(
            pieces.row_lengths(), pair.row_lengths(), self.max_seq_length
        )
        sep_a = num_a + 1  # Its place; [CLS] is at 0.
        sep_b = tf.where(num_b > 0, sep_a + num_b + 1, sep_a)
        place = tf.range(self._sequence_length(sep_b))[tf.newaxis]
        num_a, sep_a, sep_b = (x[:, tf.newaxis] for x in (num_a, sep_a, sep_b))

        # Every place looks its id up in one list: the special tokens, the
        # pieces of the first texts, those of the second.
        padding, cls, sep, first = range(4)
        special = tf.constant([0, self._cls_id, self._sep_id], tf.int32)
        ids = tf.concat([special, pieces.values, pair.values], axis=0)
        start_a = first + pieces.row_starts()[:, tf.newaxis]
        start_b = first + pair.row_starts()[:, tf.newaxis]
        start_b += tf.size(pieces.values, tf.int64)
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

    def _sequence_length(self, last_places):
        if self.length_multiple is None:
            return tf.constant(self.max_seq_length, tf.int64)
        # A batch without rows has no longest.
        longest = tf.reduce_max(tf.concat([[0], last_places], axis=0)) + 1
        rounded = -(-longest // self.length_multiple) * self.length_multiple
        return tf.minimum(rounded, self.max_seq_length)

    def _wordpieces(self, normalized) -> "_Pieces":
        """Splits texts into words, and cuts them."""
        pieces = _run_wordpiece(normalized, self._wordpiece_model)
        # The op's limit of 200 is one of bytes. A word that it gave up may
        # have fewer characters.
        num_bytes = pieces.limits - pieces.starts
        is_long = (num_bytes > MAX_CHARS_PER_WORD) & (
            pieces.ids == self._unk_id
        )
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
        text = tf.gather(normalized, tf.gather(table.value_rowids(), where))
        words = tf.strings.substr(text, starts, limits - starts)
        num_chars = tf.strings.length(words, unit="UTF8_CHAR")
        where, starts, words = (
            tf.boolean_mask(x, num_chars <= MAX_CHARS_PER_WORD)
            for x in (where, starts, words)
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
            raw, rf"[^{self._dropped}\x{{D800}}-\x{{DFFF}}]*"
        )

        def trim():
            rows = pieces.rows()
            where = tf.where(~tf.gather(nothing_dropped, rows))
            starts, limits, rows = (
                tf.gather_nd(x, where)
                for x in (pieces.starts, pieces.limits, rows)
            )
            text = tf.gather(_mark_invalid_bytes(raw), rows)
            spans = tf.strings.substr(text, starts, limits - starts)
            spans = tf.strings.regex_replace(spans, f"[{self._dropped}]+$", "")
            limits = starts + tf.cast(tf.strings.length(spans), tf.int64)
            return tf.tensor_scatter_nd_update(pieces.limits, where, limits)

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


# ---------------------------------------------------------------------------
# Context: what a character becomes because of its neighbours.

NOT_UTF8_MARK = "\x01"  # A control character, which normalization removes.
# The class without surrogates makes RE2 strict: `.` takes some invalid bytes.
VALID_CHAR = r"[^\x{D800}-\x{DFFF}]"


def _mark_invalid_bytes(text):
    r"""Each becomes one byte that is removed later: places stay.

    `\C` is any byte; the one behind the valid characters is not. At the
    end there is none, hence the mark that is appended and cut off.
    """
    marked = tf.strings.regex_replace(
        text + NOT_UTF8_MARK, rf"({VALID_CHAR}*)\C", rf"\1{NOT_UTF8_MARK}"
    )
    lengths = tf.strings.length(text)
    return tf.strings.substr(marked, tf.zeros_like(lengths), lengths)


class _Bytes:
    """Takes out bytes that are not UTF-8."""

    # A text that this matches is right as it is.
    plain = f"{VALID_CHAR}*"

    def resolve(self, text):
        return tf.cond(
            self.is_plain(text), lambda: text, lambda: self._resolve(text)[0]
        )

    def resolve_with_origins(self, text):
        """(text, origins); no origins where the text is plain."""
        return tf.cond(
            self.is_plain(text),
            lambda: (text, _identity(text[:0])),
            lambda: self._resolve(text),
        )

    def is_plain(self, text):
        return tf.reduce_all(tf.strings.regex_full_match(text, self.plain))

    def _resolve(self, text):
        text = _mark_invalid_bytes(text)
        return text, _identity(text)


class _Context(_Bytes):
    """The same, and what lower-casing does according to the neighbours."""

    def __init__(self, tables: normalization.Normalization):
        cased = f"[{regex_class(tables.cased)}]"
        ignored = f"[{regex_class(tables.ignored)}]*"
        marks = _class_of(tables.reordered)
        self.plain = rf"[^Σ\x{{D800}}-\x{{DFFF}}{marks}]*"
        self._marks_absent = rf"[^{marks}]*"
        # Σ, σ and ς have two bytes each: places stay.
        self._sigmas = (
            # Before a letter; twice, because matches do not overlap.
            (f"Σ({ignored}{cased})", r"σ\1"),
            (f"Σ({ignored}{cased})", r"σ\1"),
            # Before none, and behind a letter.
            (f"({cased}{ignored})Σ", r"\1ς"),
        )
        self._dropped = tables.dropped
        self._combining = tables.combining
        self._decompositions = _decompositions(tables.reordered)

    def _resolve(self, text):
        text = _mark_invalid_bytes(text)
        for pattern, rewrite in self._sigmas:
            text = tf.strings.regex_replace(text, pattern, rewrite)
        in_order = tf.strings.regex_full_match(text, self._marks_absent)
        return tf.cond(
            tf.reduce_all(in_order),
            lambda: (text, _identity(text)),
            lambda: self._reorder(text),
        )

    def _reorder(self, text):
        """Unicode's canonical ordering, of marks that are no accents.

        Marks in a row, which are characters of a combining class above 0, are
        sorted by it.
        """
        chars, starts = tf.strings.unicode_decode_with_offsets(text, "UTF-8")
        is_dropped = chars.with_values(_is_in(self._dropped, chars.values))
        chars = tf.ragged.boolean_mask(chars, ~is_dropped)
        starts = tf.ragged.boolean_mask(starts, ~is_dropped)
        rows, starts = chars.value_rowids(), starts.values
        parts = self._decompose(chars.values)
        source = parts.value_rowids()
        rows, starts = tf.gather(rows, source), tf.gather(starts, source)

        code_points = parts.values
        classes = _look_up(self._combining[:, [0, 1]], code_points, default=0)
        is_first = tf.concat([[True], rows[1:] != rows[:-1]], axis=0)
        run = tf.cumsum(tf.cast((classes == 0) | is_first, tf.int64))
        key = run * 256 + tf.cast(classes, tf.int64)
        # Accents have done what they do to others, and would be removed next.
        accents = _look_up(self._combining[:, [0, 2]], code_points, default=0)
        code_points, rows, starts, key = (
            tf.boolean_mask(x, accents == 0)
            for x in (code_points, rows, starts, key)
        )
        code_points = tf.gather(code_points, tf.argsort(key, stable=True))

        num_rows = chars.nrows()
        reordered = tf.strings.unicode_encode(
            tf.RaggedTensor.from_value_rowids(
                code_points, rows, nrows=num_rows
            ),
            "UTF-8",
        )
        # The places are those of the unsorted characters, which rise.
        num_bytes = 1 + sum(
            tf.cast(code_points >= first, tf.int64)
            for first in (0x80, 0x800, 0x10000)
        )
        origins = tf.RaggedTensor.from_value_rowids(
            tf.repeat(tf.cast(starts, tf.int64), num_bytes),
            tf.repeat(rows, num_bytes),
            nrows=num_rows,
        )
        ends = tf.cast(tf.strings.length(text), tf.int64)
        return reordered, tf.concat([origins, ends[:, tf.newaxis]], axis=1)

    def _decompose(self, code_points) -> tf.RaggedTensor:
        """int32 [N] -> [N, (parts)], of the characters that need it."""
        keys = np.array(list(self._decompositions), np.int32)
        parts = tf.ragged.constant(
            list(self._decompositions.values()),
            tf.int32,
            row_splits_dtype="int64",
        )
        index = np.stack([keys, np.arange(len(keys))], axis=1)
        found = _look_up(index, code_points, default=-1)
        one_each = tf.RaggedTensor.from_tensor(code_points[:, tf.newaxis])
        place = tf.where(found < 0, tf.range(tf.size(code_points)), found)
        place += tf.where(found < 0, len(keys), 0)
        return tf.gather(tf.concat([parts, one_each], axis=0), place)


def _class_of(code_points) -> str:
    return regex_class((o, o) for o in code_points)


def _decompositions(code_points) -> dict:
    return {
        int(o): [ord(c) for c in unicodedata.normalize("NFD", chr(o))]
        for o in code_points
        if unicodedata.decomposition(chr(o))
    }


def _is_in(ranges, code_points):
    """bool [N]: whether each stands in one of the rising ranges."""
    bounds = tf.constant((ranges + [0, 1]).reshape(-1), tf.int32)
    place = tf.searchsorted(bounds, code_points, side="right")
    return place % 2 == 1


def _look_up(table, keys, default: int):
    """int32 [N]: what stands beside each key in the sorted rows of `table`."""
    place = tf.searchsorted(tf.constant(table[:, 0], tf.int32), keys)
    row = tf.gather(
        tf.constant(table, tf.int32), tf.minimum(place, len(table) - 1)
    )
    return tf.where(row[:, 0] == keys, row[:, 1], default)


# ---------------------------------------------------------------------------
# Origins: int64 [B, (bytes + 1)], for each byte of a text, and for its end,
# the byte of an earlier form of the text that it came from.


def _identity(text) -> tf.RaggedTensor:
    lengths = tf.cast(tf.strings.length(text), tf.int64)
    return tf.ragged.range(lengths + 1)


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
        # one that does not. Origins rise in a row; with the row's number in
        # front, everywhere.
        shift = tf.constant(1 << 32, tf.int64)
        keys = origins.value_rowids() * shift + origins.values
        place = tf.searchsorted(keys, rows * shift + last, side="right")
        return tf.gather(origins.values, place)

    limits = tf.cond(
        tf.reduce_any(limits == last), look_further, lambda: limits
    )
    return starts, limits


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


def _names_for_builder(vocab: dict, tables, vocab_file: str) -> list:
    """The vocabulary as the model's builder wants it: no token twice.

    An id gets a name that no text contains where its token is none, because
    the same token comes again later or its line is empty, and where no word
    can hold its token: the builder understands some of those otherwise.
    """
    nobodys = set(map(chr, normalization.NONCHARACTERS))
    dropped = {
        chr(o) for first, last in tables.dropped for o in range(first, last + 1)
    }
    names = []
    for index, token in enumerate(_tokens_by_id(vocab)):
        if nobodys.intersection(token):
            raise UserError(
                f"{vocab_file}:{index + 1}: {token!r} has a code point that "
                "Unicode reserves for programs' own use; here it is used"
            )
        reachable = token == UNKNOWN or (
            len(token.split()) == 1
            and not dropped.intersection(token)
            and (len(token) == 1 or not _is_split(token.removeprefix("##")))
        )
        name = token.translate(tables.alias_of)
        names.append(name if reachable else f"{NOT_UTF8_MARK}{index}")
    # The builder wants a word among them. This one, too, is in no text.
    return [*names, chr(normalization.NEVER)]


def _is_split(token):
    return any(map(normalization.is_isolated, token))
