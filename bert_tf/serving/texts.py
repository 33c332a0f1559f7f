"""Rows of texts: pairs, questions with contexts, and whatever a model reads.

A row's key says what it is: (signature, shape). For texts the shape is that of
the ids that the model will read, the last axis being their number, or an
estimate of it.

Texts become rows in two steps. A row with the key `UNPREPARED` has an `Item`,
as the client sent it; `prepare` tokenizes the items of many requests together.
"""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from bert_tf.export.kinds import KINDS
from bert_tf.export.predictor import Predictor
from bert_tf.serving.batching import UNPREPARED, KeyedPayload
from bert_tf.serving.errors import Refusal
from bert_tf.serving.limits import Limits

Key = tuple[str, tuple[int, ...]]  # (signature, shape)
Row = tuple[Key, Any]

TEXTS = "serving_default"
DEPTH = 2  # Levels in an item: {"endings": [text, text]}.


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A text, a pair, …, before it is tokenized.

    Attributes:
        value: what `Predictor.prepare` takes.
        with_lengths: whether its answer says how long it is.
    """

    value: Any
    with_lengths: bool = False


# ---------------------------------------------------------------------------
# What a Batcher asks about rows.


def num_sequences(key: Key) -> int:
    """Counts the sequences that the model reads for a row."""
    return math.prod(key[1][:-1])


def num_tokens(key: Key) -> int:
    """Counts the tokens of all sequences of a row."""
    return math.prod(key[1])


def group_of(predictor: Predictor, key: Key) -> Hashable:
    """Returns what the rows of a batch must have in common.

    Texts of all lengths may share a batch if the engine does not read them at
    the length of the longest.
    """
    signature, _ = key
    if signature == TEXTS and getattr(predictor, "mixes_lengths", False):
        return signature
    return key


def lengths_of(payload: Any) -> Mapping[str, Any]:
    """Returns the results of a row that the model does not compute."""
    return getattr(payload, "lengths", {})


def prepare(
    predictor: Predictor, limits: Limits, items: list[Item], first: int = 0
) -> list[Row]:
    """Returns the rows of texts, which are tokenized if the model reads ids.

    Args:
        predictor: the model.
        limits: the limits of a row.
        items: what unprepared rows hold.
        first: the place of the first item in its request, for errors.

    Raises:
        Refusal: an item is wrong, or is too many sequences for the model.
    """
    requests: list[Any] = []
    try:
        for part in _parts(items, limits.max_text_bytes):
            values = [item.value for item in part]
            prepared = predictor.prepare(values, first + len(requests))
            requests += _measured(predictor, part, prepared)
    except ValueError as error:
        raise Refusal(400, str(error)) from None
    sequences_of = KINDS[predictor.kind].sequences_of
    longest = predictor.info["max_seq_length"]
    keys = [(TEXTS, sequences_of(request, longest)) for request in requests]
    check_sequences(keys, first, limits)
    return list(zip(keys, requests, strict=True))


def _measured(predictor, items, requests):
    """The requests, with their lengths where they are wanted."""
    for place, item in enumerate(items):
        if predictor.with_lengths and not item.with_lengths:
            requests[place] = dataclasses.replace(requests[place], lengths={})
    places = [i for i, item in enumerate(items) if item.with_lengths]
    if places and not predictor.with_lengths:
        measured = predictor.measured([requests[place] for place in places])
        for place, request in zip(places, measured, strict=True):
            requests[place] = request
    return requests


def prepare_rows(
    predictor: Predictor, limits: Limits, rows: Iterable[KeyedPayload]
) -> list[KeyedPayload]:
    """Returns the rows of one request, all of them prepared.

    Raises:
        Refusal: see `prepare`.
    """
    rows = list(rows)
    places = [i for i, (key, _) in enumerate(rows) if key is UNPREPARED]
    items = [rows[place][1] for place in places]
    try:
        prepared = prepare(predictor, limits, items)
    except Refusal:
        if len(items) == len(rows):
            raise
        # The error counts these items alone: find it again, with its place.
        prepared = []
        for place, item in zip(places, items, strict=True):
            prepared += prepare(predictor, limits, [item], place)
    for place, row in zip(places, prepared, strict=True):
        rows[place] = row
    return rows


def check_sequences(keys: Iterable[Key], first: int, limits: Limits) -> None:
    """Raises Refusal if an item is too many sequences for the model.

    Args:
        keys: of the items.
        first: the place of the first item in its request, for the error.
        limits: the limits of a row.
    """
    for place, key in enumerate(keys, first):
        if num_sequences(key) > limits.max_sequences:
            raise Refusal(
                413,
                f"item {place}: is about {num_sequences(key):,} sequences for "
                f"the model: {limits.max_sequences:,} are allowed",
            )


def _parts(items: list[Item], max_characters: int) -> Iterator[list[Item]]:
    """Yields the items in lists; an item that exceeds the limit comes alone.

    Tokenizing takes some 60 bytes for each byte of a text, and TensorFlow keeps
    that memory for the next texts. So the list bounds the memory that is kept.
    """
    part: list[Item] = []
    total = 0
    for item in items:
        size = sum(map(len, strings_of(item.value)))
        if part and total + size > max_characters:
            yield part
            part, total = [], 0
        part.append(item)
        total += size
    if part:
        yield part


def strings_of(item: object, depth: int = DEPTH) -> Iterator[str]:
    """Yields all strings of an item down to a depth."""
    if isinstance(item, str):
        yield item
    elif depth and isinstance(item, (list, dict)):
        for inner in item.values() if isinstance(item, dict) else item:
            yield from strings_of(inner, depth - 1)
