"""TagServing: tags the words of texts of any length, in a SavedModel.

    text              "Ann's in Paris."
      words           Ann's | in | Paris | .       and their places
      windows         as many whole words as fit, as `data/tagging.py` splits
      model           logits of each word's first piece
      outputs         words, tags, scores, starts, ends

The model learned words as CoNLL's files have them. Raw text is split into
similar words: at white space; each punctuation mark at the start or the end of
a word is a word of its own, and so is each Chinese character. Marks inside a
word belong to it: "3-1", "Ann's".
"""

import typing
from typing import Any

import keras
import tensorflow as tf
import tensorflow_text as tf_text

from bert_tf.export import kinds
from bert_tf.export.chunks import WindowIds, map_chunks
from bert_tf.export.serving_modules import (
    SAMPLES,
    Function,
    InputShape,
    ServingModule,
    Tensors,
)
from bert_tf.preprocessing import BertPreprocessor, Slices
from bert_tf.text.normalization import regex_class
from bert_tf.text.packing import ID_NAMES, NUM_SPECIAL
from bert_tf.tokenization import CJK_BLOCKS
from bert_tf.vocab_files import tokens_by_id

NOWHERE = -1  # The place of padding.
WHITE_SPACE = r"[\s\pZ]+"  # Between the words of a raw text.
SPACES = "[ \t\r\n]+"  # Between words that are split already.
PUNCTUATION = r"\pP$+<=>^`|~"  # The same as `tokenization.is_punctuation`.
CHINESE = f"[{regex_class(CJK_BLOCKS)}]"


class _Words(typing.NamedTuple):
    """Words of texts: [B, (words)]; places are bytes."""

    texts: tf.RaggedTensor
    starts: tf.RaggedTensor
    limits: tf.RaggedTensor


class _Windows(typing.NamedTuple):
    """Windows of all texts, one after the other: int64 [W] each."""

    first_words: tf.Tensor  # Numbers among the words of all texts.
    limits: tf.Tensor  # The number after that of the last word.


class TagServing(ServingModule):
    """Tags the words of texts.

    Args:
        model: a `BertTokenClassifier`.
        preprocess: a `BertPreprocessor`; its `max_seq_length` is the length
            of a window.
        labels: the tags, in the order of the model's outputs.
    """

    kind = kinds.TAGS.name

    def __init__(
        self,
        model: keras.Model,
        preprocess: BertPreprocessor,
        labels: list[str],
    ):
        self._preprocess = preprocess
        self._labels = labels
        self._room = preprocess.max_seq_length - NUM_SPECIAL
        super().__init__(model, preprocess.max_seq_length, InputShape())
        self.serve, self.words = (
            tf.function(
                function, input_signature=self._string_specs(), autograph=False
            )
            for function in (self._serve, self._serve_words)
        )

    @property
    def signatures(self) -> dict[str, Function]:
        return {**super().signatures, "words": self.words}

    def vocabulary(self) -> list[str]:
        """Returns the tokens: `pretrained.open` needs them."""
        return tokens_by_id(self._preprocess.tokenizer.vocab)

    def description(self) -> dict[str, Any]:
        return {
            "max_seq_length": self._preprocess.max_seq_length,
            **self._preprocess.settings.tokenizer_arguments(),
        }

    def samples(self) -> list[Tensors]:
        return [{"text": tf.constant(SAMPLES)}]

    def add_parts(self) -> None:
        super().add_parts()
        self.read_words = tf.function(
            self._read_words,
            input_signature=self._string_specs(),
            autograph=False,
        )

    def _string_specs(self):
        return [tf.TensorSpec([None], tf.string, name="text")]

    def _lengths(self, text):
        words = split_text(valid(text)).texts
        pieces = self._preprocess.tokenize(words.values).row_lengths()
        of_words = words.with_values(pieces)
        # Windows take words of any number, and the start of a long word.
        is_cut = tf.reduce_any(of_words > self._room, axis=1)
        num_tokens = tf.reduce_sum(of_words, axis=1) + NUM_SPECIAL
        return {"num_tokens": num_tokens, "truncated": is_cut}

    def _answer_to(self, ids):
        """{"probabilities": float32 [B, S, C]} of tokens."""
        return {
            "probabilities": tf.nn.softmax(self._traced_network(ids)["logits"])
        }

    def _network(self, ids):
        logits = self._outputs_of_model(ids)
        return {"logits": tf.cast(logits, tf.float32)}

    def _serve(self, text):
        """Tags the words of raw texts: see the top of this file.

        Args:
            text: tf.string [B].

        Returns:
            A dict of [B, W], where W is the number of words of the longest
            text:
                words: tf.string, "" after the last word of a text.
                tags: tf.string, "" after the last word of a text.
                scores: float32, the probability of the tag, or 0.
                starts, ends: int32, the place of the word in characters of the
                    text (Unicode code points), the end not included; or -1.
        """
        return self._answer_from(self._read_all(text))

    def _serve_words(self, text):
        """Tags words that are split by white space, as in CoNLL's files."""
        return self._answer_from(self._read_words(text))

    def _answer_from(self, read):
        return self._finish(read, {"logits": self._logits(read)})

    def _read_all(self, text):
        text = valid(text)
        return self._windows_of(text, split_text(text))

    def _read_words(self, text):
        text = valid(text)
        return self._windows_of(text, split_at(text, SPACES))

    def _windows_of(self, text, words: _Words):
        """The ids of all windows, and of each word what it is and where.

        Returns:
            A dict:
                input_ids, input_mask, segment_ids: int32 [W, S].
                words: tf.string [words of all texts].
                row_splits: int64 [B + 1], where the words of a text start.
                first_pieces: int64 [words, 2], the window and the place of the
                    first WordPiece of a word.
                starts, ends: int32 [words], in characters.
        """
        pieces = self._preprocess.tokenize(words.texts.values)
        pieces = self._at_least_one(pieces)[:, : self._room]
        windows = self._windows(words.texts, pieces)
        starts, ends = places_in_characters(text, words)
        return {
            **self._inputs(pieces, windows),
            "words": words.texts.values,
            "row_splits": words.texts.row_splits,
            "first_pieces": self._first_pieces(pieces, windows),
            "starts": starts,
            "ends": ends,
        }

    def _finish(self, read, numbers):
        logits = tf.gather_nd(numbers["logits"], read["first_pieces"])
        probabilities = tf.nn.softmax(logits)
        best = tf.argmax(probabilities, axis=-1)

        def padded(values, default):
            ragged = tf.RaggedTensor.from_row_splits(values, read["row_splits"])
            return ragged.to_tensor(default)

        return {
            "words": padded(read["words"], ""),
            "tags": padded(tf.gather(tf.constant(self._labels), best), ""),
            "scores": padded(tf.reduce_max(probabilities, axis=-1), 0.0),
            "starts": padded(read["starts"], NOWHERE),
            "ends": padded(read["ends"], NOWHERE),
        }

    def _at_least_one(self, pieces):
        """Gives words that the tokenizer drops an [UNK]: each gets a tag."""
        unknown = tf.ones_like(pieces.row_lengths()) * self._preprocess.unk_id
        unknown = tf.cast(unknown, pieces.dtype)[:, tf.newaxis]
        number = tf.cast(pieces.row_lengths() == 0, tf.int64)
        unknown = tf.RaggedTensor.from_tensor(unknown, lengths=number)
        return tf.concat([pieces, unknown], axis=1)

    def _windows(self, words, pieces) -> _Windows:
        """Splits all texts as `tagging.split_into_windows` does.

        A window is filled with whole words, then the next one starts: one
        window after the other, in all texts at once.
        """
        last = words.row_limits()

        def add(first, windows):
            place = tf.gather(pieces.row_splits, first) + self._room
            after = tf.searchsorted(
                pieces.row_splits, place, side="right", out_type=tf.int64
            )
            limit = tf.minimum(after - 1, last)
            new = tf.boolean_mask(tf.stack([first, limit], 1), limit > first)
            return limit, tf.concat([windows, new], axis=0)

        _, windows = tf.while_loop(
            lambda first, _: tf.reduce_any(first < last),
            add,
            [words.row_starts(), tf.zeros([0, 2], tf.int64)],
            shape_invariants=[
                tf.TensorShape([None]),
                tf.TensorShape([None, 2]),
            ],
        )
        # Sorted, so that the windows of a text follow each other.
        return _Windows(*tf.unstack(tf.sort(windows, axis=0), axis=1))

    def _first_pieces(self, pieces, windows):
        """(window, place) of the first piece of each word, int64 [words, 2]."""
        words = tf.ragged.range(windows.first_words, windows.limits)
        first = tf.gather(pieces.row_starts(), windows.first_words)
        place = tf.gather(pieces.row_starts(), words.values)
        place += 1 - tf.gather(first, words.value_rowids())  # [CLS]
        return tf.stack([words.value_rowids(), place], axis=1)

    def _logits(self, read):
        """Computes the logits of all windows, float32 [W, S, C]."""
        ids = WindowIds(*(read[name] for name in ID_NAMES))
        specs = [tf.TensorSpec([None, None, len(self._labels)], tf.float32)]
        (logits,) = map_chunks(
            lambda chunk: [self._traced_network(chunk._asdict())["logits"]],
            ids,
            specs,
        )
        return logits

    def _inputs(self, pieces, windows) -> dict:
        """Lays out [CLS] words [SEP] padding: int32 [W, S]."""
        starts = tf.gather(pieces.row_splits, windows.first_words)
        lengths = tf.gather(pieces.row_splits, windows.limits) - starts
        nothing = tf.zeros_like(starts)
        longest = tf.reduce_max(tf.concat([[0], lengths], 0)) + NUM_SPECIAL
        return self._preprocess.lay_out(
            Slices(pieces.values, starts, lengths),
            Slices(tf.zeros([0], tf.int32), nothing, nothing),
            self._preprocess.padded_length(longest),
        )


def valid(text: tf.Tensor) -> tf.Tensor:
    """Puts U+FFFD in place of bytes that are not UTF-8, and spaces for NUL.

    TensorFlow's operations with patterns read a text only up to a NUL.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
    return tf.strings.regex_replace(text, r"\x00", " ")


def split_at(text: tf.Tensor, delimiter: str) -> _Words:
    """Splits tf.string [B] at delimiters, an RE2 pattern."""
    return _Words(*tf_text.regex_split_with_offsets(text, delimiter))


def split_text(text: tf.Tensor) -> _Words:
    """Splits raw texts, tf.string [B], into words: see the top of this file."""
    chunks = split_at(text, WHITE_SPACE)
    chunk = chunks.texts.values
    before = tf.strings.regex_replace(chunk, f"(?s)[^{PUNCTUATION}].*", "")
    rest = _part(chunk, tf.strings.length(before), tf.strings.length(chunk))
    after = tf.strings.regex_replace(rest, f"(?s)^.*[^{PUNCTUATION}]", "")
    length = tf.strings.length(rest) - tf.strings.length(after)
    word = _part(rest, tf.zeros_like(length), length)

    # The parts of a chunk follow each other: words are in the order of their
    # chunks, and those of one chunk in the order of its parts.
    parts, start = [], tf.cast(chunks.starts.values, tf.int64)
    for part, single in (
        (before, f"[{PUNCTUATION}]"),
        (word, CHINESE),
        (after, f"[{PUNCTUATION}]"),
    ):
        texts, *places = tf_text.regex_split_with_offsets(part, single, single)
        of_chunks = texts.value_rowids()
        moved = (p.values + tf.gather(start, of_chunks) for p in places)
        parts.append([of_chunks, texts.values, *moved])
        start += tf.cast(tf.strings.length(part), tf.int64)
    of_chunks, *words = (tf.concat(x, axis=0) for x in zip(*parts, strict=True))
    order = tf.argsort(of_chunks, stable=True)
    of_texts = tf.gather(
        chunks.texts.value_rowids(), tf.gather(of_chunks, order)
    )

    def by_texts(values):
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(values, order),
            of_texts,
            nrows=chunks.texts.nrows(),
            validate=False,
        )

    return _Words(*map(by_texts, words))


def _part(texts, starts, limits):
    return tf.strings.substr(texts, starts, limits - starts)


def places_in_characters(
    text: tf.Tensor, words: _Words
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes where all words start and end: two int32 [words].

    Bytes are numbered through all texts, and so are characters.
    """
    _, chars = tf.strings.unicode_decode_with_offsets(text, "UTF-8")
    lengths = tf.cast(tf.strings.length(text), tf.int64)
    first_byte = tf.cumsum(lengths, exclusive=True)
    char_bytes = chars.values + tf.gather(first_byte, chars.value_rowids())
    rows = words.texts.value_rowids()

    def place(offsets):
        byte = tf.cast(offsets.values, tf.int64) + tf.gather(first_byte, rows)
        char = tf.searchsorted(char_bytes, byte, out_type=tf.int64)
        return tf.cast(char - tf.gather(chars.row_starts(), rows), tf.int32)

    return place(words.starts), place(words.limits)
