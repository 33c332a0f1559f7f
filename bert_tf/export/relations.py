"""Relations between two marked entities: what a model reads and answers.

    text              "The [E1]child[/E1] was in the <e2>cradle</e2>."
      split           the five parts between the marks
      read            the ids of the parts, with those of the marks
      model           logits
      answer          label, score, probabilities

`MarkedReader` does the first two steps, in Python and in the graph, for
training and for the SavedModel, which is `RelationServing`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert_tf.data.features import FeatureSpec
from bert_tf.data.relations import (
    EXAMPLE,
    MARK_PATTERNS,
    MARKS,
    RelationExample,
    in_text_order,
)
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export import kinds
from bert_tf.export.serving_base import (
    SAMPLES,
    Tensors,
    lengths_and_limit,
)
from bert_tf.export.serving_modules import SequenceServing
from bert_tf.preprocessing import Slices

NUM_PARTS = 5
NUM_SPECIAL = 2 + len(MARKS)  # [CLS], [SEP] and the marks.
# The marks in a text that the graph splits: characters that tokenizers drop.
DELIMITERS = ("\x01", "\x02", "\x03", "\x04")
DROPPED = dict.fromkeys(map(ord, DELIMITERS))
INNER = f"[^{''.join(DELIMITERS)}]*"
ENTITY = rf"{INNER}[^{''.join(DELIMITERS)}\s\pZ]{INNER}"  # Not empty.

_UNUSED = re.compile(r"\[unused\d+\]")


def _ordered_pattern(is_reversed: bool) -> str:
    """RE2 pattern of a text with each delimiter once, in one order."""
    start, end, next_start, next_end = in_text_order(DELIMITERS, is_reversed)
    return (
        f"{INNER}{start}{ENTITY}{end}{INNER}{next_start}{ENTITY}{next_end}"
        f"{INNER}"
    )


IN_ORDER, REVERSED = map(_ordered_pattern, (False, True))


class MarkedReader:
    """Reads sentences with two marked entities.

        [CLS] the [E1] child [/E1] was in the [E2] cradle [/E2] . [SEP]

    A sentence that is too long keeps what `kept_lengths` says. Python and the
    graph make the same of it, as in `TextReader`.

    Args:
        reader: its tokenizers, and its `max_seq_length`.

    Attributes:
        marks: the four tokens that are marks, see `mark_tokens`.
        mark_ids: their ids.
        room: how many tokens of a sentence fit.

    Raises:
        UserError: the vocabulary has no entries for the marks, or not one
            token of each entity fits.
    """

    def __init__(self, reader: TextReader):
        self._reader = reader
        self.marks = mark_tokens(reader.tokenizer.vocab)
        self.mark_ids = reader.tokenizer.convert_tokens_to_ids(self.marks)
        self.room = reader.max_seq_length - NUM_SPECIAL
        if self.room < 2:
            raise UserError(
                f"two marked entities need at least {NUM_SPECIAL + 2} tokens",
                setting="max_seq_length",
                value=reader.max_seq_length,
            )

    def specs(self) -> list[FeatureSpec]:
        """Returns the features of a sentence."""
        positions = FeatureSpec("entity_positions", (2,))
        return [*self._reader.sequence_specs(), positions]

    # -----------------------------------------------------------------------
    # In Python.

    def convert(
        self, example: RelationExample
    ) -> tuple[dict[str, list[int]], list[str]]:
        """Returns the features of an example, and its tokens without padding.

        `entity_positions` are the places of the marks before e1 and e2.
        """
        tokenize = self._reader.tokenizer.tokenize
        before, first, between, second, after = map(tokenize, example.parts())
        lengths = [*map(len, (before, first, between, second, after))]
        kept = kept_lengths(lengths, self.room)
        tail = kept[2] // 2
        parts = (
            before[len(before) - kept[0] :],
            first[: kept[1]],
            between[: kept[2] - tail] + between[len(between) - tail :],
            second[: kept[3]],
            after[: kept[4]],
        )
        ordered = in_text_order(self.marks, example.is_reversed)
        tokens = ["[CLS]"]
        for part, mark in zip(parts, (*ordered, "[SEP]"), strict=True):
            tokens += [*part, mark]
        converted = self._reader.numbers(tokens, [0] * len(tokens))
        starts = (self.marks[0], self.marks[2])
        converted["entity_positions"] = [*map(tokens.index, starts)]
        return converted, tokens

    @staticmethod
    def encode(example: RelationExample) -> bytes:
        """Returns the text of an example as `read` takes it."""
        parts = [part.translate(DROPPED) for part in example.parts()]
        ordered = in_text_order(DELIMITERS, example.is_reversed)
        pairs = zip(parts, (*ordered, ""), strict=True)
        return "".join(part + mark for part, mark in pairs).encode()

    # -----------------------------------------------------------------------
    # In the graph.

    def read(self, text: tf.Tensor) -> Tensors:
        """Reads texts with `DELIMITERS` for the marks, see `delimited`.

        Args:
            text: tf.string [B].

        Returns:
            {"input_ids", "input_mask", "segment_ids": int32 [B, S],
            "entity_positions": int32 [B, 2]}.

        Raises:
            tf.errors.InvalidArgumentError: a text does not have two entities,
                one after the other.
        """
        is_reversed, pieces = self._parts(text)
        starts, lengths = self._slices(is_reversed, pieces)
        marks = tf.constant(self.mark_ids, tf.int32)
        places = tf.ragged.range(
            tf.reshape(starts, [-1]), tf.reshape(starts + lengths, [-1])
        )
        ids = tf.gather(tf.concat([marks, pieces.values], 0), places.values)
        totals = tf.reduce_sum(lengths, axis=1)
        nothing = tf.zeros_like(totals)
        longest = tf.reduce_max(tf.concat([[0], totals], axis=0)) + 2
        preprocess = self._reader.preprocess
        packed = preprocess.lay_out(
            Slices(ids, tf.cumsum(totals, exclusive=True), totals),
            Slices(tf.zeros([0], tf.int32), nothing, nothing),
            preprocess.padded_length(longest),
        )
        return {**packed, "entity_positions": self.positions(packed)}

    def lengths(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the tokens of the five parts of each text, int64 [B, 5].

        Args:
            text: as for `read`.
        """
        _, pieces = self._parts(text)
        return tf.reshape(pieces.row_lengths(), [-1, NUM_PARTS])

    def positions(self, ids: Tensors) -> tf.Tensor:
        """Finds the marks before the entities in "input_ids", int32 [B, S].

        Returns:
            int32 [B, 2], for e1 and for e2; 0 where a sequence lacks one.
        """
        is_start = tf.cast(self._is_start(ids), tf.int32)
        return tf.argmax(is_start, axis=-1, output_type=tf.int32)

    def check(self, ids: Tensors) -> None:
        """Raises InvalidArgumentError if a sequence lacks an entity's mark."""
        is_there = tf.reduce_any(self._is_start(ids), axis=-1)
        _check(is_there, "each sequence must have the marks of both entities")

    def _is_start(self, ids):
        """Where the marks before e1 and e2 are, bool [B, 2, S]."""
        starts = tf.constant([self.mark_ids[0], self.mark_ids[2]], tf.int32)
        return ids["input_ids"][:, tf.newaxis] == starts[:, tf.newaxis]

    def _parts(self, text):
        """(bool [B]: e2 comes first; ids of the parts, [B * 5, (pieces)])."""
        is_reversed = tf.strings.regex_full_match(text, REVERSED)
        is_right = tf.strings.regex_full_match(text, IN_ORDER) | is_reversed
        _check(
            is_right, f"each text must have two marked entities, as {EXAMPLE}"
        )
        first, *others = DELIMITERS
        text = tf.strings.regex_replace(text, f"[{''.join(others)}]", first)
        parts = tf.strings.split(text, first).to_tensor(
            "", shape=[None, NUM_PARTS]
        )
        tokenize = self._reader.preprocess.tokenize
        return is_reversed, tokenize(tf.reshape(parts, [-1]))

    def _slices(self, is_reversed, pieces):
        """(starts, lengths), int64 [B, 10], of the marks and the kept pieces.

        They are in the order of the text, among the ids of the marks followed
        by those of all pieces.
        """
        lengths, starts = (
            tf.unstack(tf.reshape(values, [-1, NUM_PARTS]), axis=1)
            for values in (
                pieces.row_lengths(),
                pieces.row_starts() + len(self.marks),
            )
        )
        kept = kept_lengths(lengths, self.room, tf.minimum, tf.maximum)
        tail = kept[2] // 2
        one = tf.ones_like(tail)
        turn = tf.where(is_reversed, 2 * one, 0 * one)
        marks = [((turn + number) % 4, one) for number in range(4)]
        slices = (
            (starts[0] + lengths[0] - kept[0], kept[0]),
            marks[0],
            (starts[1], kept[1]),
            marks[1],
            (starts[2], kept[2] - tail),
            (starts[2] + lengths[2] - tail, tail),
            marks[2],
            (starts[3], kept[3]),
            marks[3],
            (starts[4], kept[4]),
        )
        starts, lengths = zip(*slices, strict=True)
        return tf.stack(starts, axis=1), tf.stack(lengths, axis=1)


def mark_tokens(vocab: Mapping[str, int]) -> list[str]:
    """Chooses the entries of a vocabulary that mark the entities.

    They are [E1], [/E1], [E2] and [/E2] where the vocabulary has them. For
    others the entries [unusedN] are taken, in the order of their ids: no text
    contains them, and released models have some.

    Raises:
        UserError: there are too few of both.
    """
    unused = [token for token in vocab if _UNUSED.fullmatch(token)]
    unused.sort(key=vocab.__getitem__, reverse=True)
    missing = [mark for mark in MARKS if mark not in vocab]
    if len(missing) > len(unused):
        raise UserError(
            f"has no entries for the marks {', '.join(MARKS)}, and fewer "
            "entries [unusedN] than are missing; the tool build_vocab adds "
            "words to a model: give it four, and rename their lines in the "
            "new vocabulary to the marks",
            setting="vocab_file",
        )
    return [unused.pop() if mark in missing else mark for mark in MARKS]


def kept_lengths(
    lengths: Sequence[Any],
    room: int,
    least: Callable[..., Any] = min,
    most: Callable[..., Any] = max,
) -> list[Any]:
    """Computes how much of a sentence that is too long is kept.

    The entities come first; if not even these fit, the longer one loses its
    end. Then comes the text between them, which loses its middle. What room is
    left is for the text around them: the end of the text before and the start
    of the text after, as much of one as of the other where both have enough.

    Args:
        lengths: tokens of the five parts, see `RelationExample.parts`; int, or
            int64 [B] each.
        room: how many tokens fit.
        least, most: tf.minimum and tf.maximum for tensors.

    Returns:
        The tokens of the five parts that are kept.
    """
    before, first, between, second, after = lengths
    first = least(first, most(room - second, room - room // 2))
    second = least(second, room - first)
    left = room - first - second
    between = least(between, left)
    left = left - between
    after = least(after, most(left - before, left // 2))
    return [least(before, left - after), first, between, second, after]


def delimited(text: tf.Tensor) -> tf.Tensor:
    """Replaces the marks of texts, tf.string [B], by `DELIMITERS`."""
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
    text = tf.strings.regex_replace(text, f"[{''.join(DELIMITERS)}]", "")
    for pattern, delimiter in zip(MARK_PATTERNS, DELIMITERS, strict=True):
        text = tf.strings.regex_replace(text, pattern, delimiter)
    return text


def _check(is_right, message):
    tf.debugging.Assert(tf.reduce_all(is_right), [message])


class RelationServing(SequenceServing):
    """Names the relation of two marked entities, as a part of a SavedModel.

    A text without both entities, and ids without their marks, have no answer:
    they raise InvalidArgumentError, for which servers answer with status 400.
    """

    kind = kinds.RELATION.name

    def description(self) -> dict[str, Any]:
        marks = MarkedReader(self._reader).marks
        return {**super().description(), "marks": marks}

    def samples(self) -> list[Tensors]:
        """Texts with entities anywhere, short and long, in either order."""
        turned = (SAMPLES[n:] + SAMPLES[:n] for n in range(5))
        texts = [
            f"{before} [E1]{first}x[/E1]{between}<e2>y{second}</e2> {after}"
            for before, first, between, second, after in zip(
                *turned, strict=True
            )
        ]
        exchanged = str.maketrans("12", "21")
        texts += [text.translate(exchanged) for text in texts]
        return self._shape.requests({"text": texts})

    def _string_specs(self):
        rows = self._shape.batch_size
        return [tf.TensorSpec([rows], tf.string, name="text")]

    def _read(self, reader, text):
        ids = MarkedReader(reader).read(delimited(text))
        del ids["entity_positions"]  # `_network` finds them in any ids.
        return ids

    def _lengths(self, text):
        reader = MarkedReader(self._reader)
        lengths = tf.reduce_sum(reader.lengths(delimited(text)), axis=1)
        return lengths_and_limit(lengths + NUM_SPECIAL, self._max_seq_length)

    def _answer_to(self, ids):
        MarkedReader(self._reader).check(ids)
        return super()._answer_to(ids)

    def _network(self, ids):
        positions = MarkedReader(self._reader).positions(ids)
        return super()._network({**ids, "entity_positions": positions})
