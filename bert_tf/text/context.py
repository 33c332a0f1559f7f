"""Changes characters according to their neighbours, inside the graph.

The table of `normalization.py` replaces characters one by one, which is right
except for these, all of them rare:

    bytes that are not UTF-8    left out
    final sigma                 ΟΔΟΣ → οδος, with another letter at the end
    marks out of order          sorted, unless they are accents

They are changed here first, so that the table's result is right. Text without
them is only checked.

Byte places are needed to say where in a text a piece comes from. Most of the
changes keep them. Sorting does not; it also returns the *origins* of its
result, int64 [B, (bytes + 1)]: for each byte, and for the end, the byte of the
earlier text that it came from.
"""

import unicodedata
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bert_tf.text.normalization import Normalization, regex_class

END_OF_DECOMPOSED = 0x30000  # No character of a later plane has parts.
REMOVED = "\x01"  # A control character: the table will remove it.
# The class without surrogates makes RE2 strict: `.` takes some invalid bytes.
VALID_CHAR = r"[^\x{D800}-\x{DFFF}]"


class BytesContext:
    """Leaves out bytes that are not UTF-8; enough for cased models.

    They keep their accents, too.
    """

    # A text that this matches needs no change.
    plain = f"{VALID_CHAR}*"

    def resolve(self, text: tf.Tensor) -> tf.Tensor:
        """tf.string [B] -> [B], ready for the table."""
        is_plain = tf.strings.regex_full_match(text, self.plain)
        return _change_rows(text, ~is_plain, self._resolve)

    def resolve_with_origins(
        self, text: tf.Tensor
    ) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """(text, origins); origins have no rows where all places stay."""
        return self.resolve(text), identity(text[:0])

    def _resolve(self, text):
        return mark_invalid_bytes(text)


class WordContext(BytesContext):
    """Also does what lower-casing and decomposing need the neighbours for."""

    def __init__(self, tables: Normalization):
        self._decompositions: dict[int, list[int]] = {}
        if len(tables.reordered):
            self._decompositions = _decompositions(tables.reordered)
        moving = sorted({*map(int, tables.reordered), *self._decompositions})
        marks = regex_class((o, o) for o in moving)
        sigma = "Σ" if len(tables.cased) else ""
        self.plain = rf"[^{sigma}\x{{D800}}-\x{{DFFF}}{marks}]*"
        self._no_marks = rf"[^{marks}]*" if marks else ""
        self._sigmas = _final_sigmas(tables) if sigma else ()
        self._dropped = tables.dropped
        self._combining = tables.combining

    def _resolve(self, text):
        text = self._resolve_in_place(text)
        if not self._no_marks:
            return text
        return _change_rows(
            text, self._has_marks(text), lambda rows: self._reorder(rows)[0]
        )

    def resolve_with_origins(
        self, text: tf.Tensor
    ) -> tuple[tf.Tensor, tf.RaggedTensor]:
        is_plain = tf.strings.regex_full_match(text, self.plain)
        text = _change_rows(text, ~is_plain, self._resolve_in_place)
        if not self._no_marks:
            return text, identity(text[:0])
        has_marks = self._has_marks(text)
        return tf.cond(
            tf.reduce_any(has_marks),
            lambda: self._reorder_rows(text, has_marks),
            lambda: (text, identity(text[:0])),
        )

    def _resolve_in_place(self, text):
        text = mark_invalid_bytes(text)
        for pattern, rewrite in self._sigmas:
            text = tf.strings.regex_replace(text, pattern, rewrite)
        return text

    def _has_marks(self, text):
        return ~tf.strings.regex_full_match(text, self._no_marks)

    def _reorder_rows(self, text, has_marks):
        moved, kept = tf.where(has_marks), tf.where(~has_marks)
        reordered, origins = self._reorder(tf.gather_nd(text, moved))
        origins = tf.concat(
            [identity(tf.gather_nd(text, kept)), origins], axis=0
        )
        rows = tf.argsort(tf.concat([kept, moved], axis=0)[:, 0])
        text = tf.tensor_scatter_nd_update(text, moved, reordered)
        return text, tf.gather(origins, rows)

    def _reorder(self, text):
        """Unicode's canonical ordering, of marks that are not accents.

        Marks are characters of a combining class above 0. Those that follow
        each other are sorted by it.
        """
        chars, starts = tf.strings.unicode_decode_with_offsets(text, "UTF-8")
        is_dropped = chars.with_values(is_in(self._dropped, chars.values))
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
        # Accents have had their effect on others, and would be removed next.
        accents = _look_up(self._combining[:, [0, 2]], code_points, default=0)
        code_points, rows, starts, key = (
            tf.boolean_mask(x, accents == 0)
            for x in (code_points, rows, starts, key)
        )
        code_points = tf.gather(code_points, tf.argsort(key, stable=True))

        num_rows = chars.nrows()
        reordered = tf.strings.unicode_encode(
            tf.RaggedTensor.from_value_rowids(
                code_points, rows, nrows=num_rows, validate=False
            ),
            "UTF-8",
        )
        # The places are those of the unsorted characters, which rise.
        num_bytes = utf8_lengths(code_points)
        origins = tf.RaggedTensor.from_value_rowids(
            tf.repeat(tf.cast(starts, tf.int64), num_bytes),
            tf.repeat(rows, num_bytes),
            nrows=num_rows,
            validate=False,
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
        row = _look_up(index, code_points, default=-1)
        one_each = tf.RaggedTensor.from_tensor(code_points[:, tf.newaxis])
        place = tf.where(row < 0, tf.range(tf.size(code_points)), row)
        place += tf.where(row < 0, len(keys), 0)
        return tf.gather(tf.concat([parts, one_each], axis=0), place)


def context_of(tables: Normalization) -> BytesContext:
    """What a tokenizer with these tables needs."""
    if len(tables.cased) or len(tables.reordered):
        return WordContext(tables)
    return BytesContext()


def _final_sigmas(tables: Normalization) -> tuple[tuple[str, str], ...]:
    """(pattern, rewrite) of each step that puts a sigma into lower case."""
    cased = f"[{regex_class(tables.cased)}]"
    ignored = f"[{regex_class(tables.ignored)}]*"
    # Σ, σ and ς have two bytes each: places stay.
    return (
        # Before a letter; twice, because matches do not overlap.
        (f"Σ({ignored}{cased})", r"σ\1"),
        (f"Σ({ignored}{cased})", r"σ\1"),
        # After a letter, and not before one.
        (f"({cased}{ignored})Σ", r"\1ς"),
    )


def _decompositions(code_points) -> dict[int, list[int]]:
    """{character: its parts}, of characters whose parts are sorted, too.

    One of `code_points` is among the parts, or all of them are marks, as in
    U+0F73: such a character does not end a run of marks.
    """
    wanted, decompositions = set(map(chr, code_points)), {}
    for o in range(END_OF_DECOMPOSED):
        if unicodedata.decomposition(chr(o)):
            parts = unicodedata.normalize("NFD", chr(o))
            is_mark = unicodedata.combining(parts[0])
            if wanted.intersection(parts) or is_mark:
                decompositions[o] = [ord(part) for part in parts]
    return decompositions


def utf8_lengths(code_points: tf.Tensor) -> tf.Tensor:
    """int32 [N] -> int64 [N], the bytes of each character."""
    return 1 + sum(
        tf.cast(code_points >= first, tf.int64)
        for first in (0x80, 0x800, 0x10000)
    )


def is_in(ranges: np.ndarray, code_points: tf.Tensor) -> tf.Tensor:
    """bool [N]: whether each is in one of the rising ranges."""
    bounds = tf.constant((ranges + [0, 1]).reshape(-1), tf.int32)
    place = tf.searchsorted(bounds, code_points, side="right")
    return place % 2 == 1


def _look_up(table, keys, default: int):
    """int32 [N]: the value next to each key in the sorted rows of `table`."""
    place = tf.searchsorted(tf.constant(table[:, 0], tf.int32), keys)
    row = tf.gather(
        tf.constant(table, tf.int32), tf.minimum(place, len(table) - 1)
    )
    return tf.where(row[:, 0] == keys, row[:, 1], default)


def mark_invalid_bytes(text: tf.Tensor) -> tf.Tensor:
    r"""Replaces each invalid byte by one that is removed later: places stay.

    `\C` is any byte; the one after the valid characters is invalid. The text's
    end has no byte, hence the mark that is appended and cut off.
    """
    marked = tf.strings.regex_replace(
        text + REMOVED, rf"({VALID_CHAR}*)\C", rf"\1{REMOVED}"
    )
    lengths = tf.strings.length(text)
    return tf.strings.substr(marked, tf.zeros_like(lengths), lengths)


def identity(text: tf.Tensor) -> tf.RaggedTensor:
    """The origins of a text that is its own origin."""
    lengths = tf.cast(tf.strings.length(text), tf.int64)
    return tf.ragged.range(lengths + 1)


def _change_rows(
    text: tf.Tensor,
    concerned: tf.Tensor,
    change: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Applies `change` to the rows that are concerned, if any."""

    def change_some():
        where = tf.where(concerned)
        changed = change(tf.gather_nd(text, where))
        return tf.tensor_scatter_nd_update(text, where, changed)

    return tf.cond(tf.reduce_any(concerned), change_some, lambda: text)
