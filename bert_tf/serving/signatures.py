"""Rows of a model's signatures: texts, token ids and tf.Examples.

Ids and tf.Examples are checked here, before they meet others in a batch. A GPU
reads an id that is not in the vocabulary as zeros, and a sequence that is too
long would use memory before it is refused. `Predictor` checks texts.

A row's key says what it is: (signature, shape), see `texts`. The shape is that
of its ids.
"""

import base64
import binascii
import itertools
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.export.kinds import KINDS, power_of_two
from bert_tf.export.predictor import Predictor
from bert_tf.export.reading import BYTES_PER_TOKEN
from bert_tf.serving.batching import UNPREPARED, KeyedPayload
from bert_tf.serving.errors import shown
from bert_tf.serving.limits import Limits, check_text
from bert_tf.serving.texts import TEXTS, Item, Key, check_sequences
from bert_tf.text.packing import ID_NAMES

Function = Any  # A signature; TensorFlow has no public name for its class.

# The variables that have a row for each value of an input, or each position.
TABLES = {
    "input_ids": "word_embeddings",
    "segment_ids": "token_type_embeddings",
}
POSITIONS = "position_embeddings"


def inputs_of(predictor: Predictor, signature: str) -> dict[str, tf.TensorSpec]:
    """Returns {input name: TensorSpec} of a signature."""
    function = predictor.signatures[signature]
    return dict(function.structured_input_signature[1])


def run(
    predictor: Predictor, key: Key, payloads: list[Any]
) -> dict[str, np.ndarray]:
    """Runs a batch.

    Args:
        predictor: the model.
        key: the key of the first row of the batch.
        payloads: those of the rows, all of one group.

    Returns:
        {output name: array [B, …]}.
    """
    signature = key[0]
    if signature == TEXTS:
        return predictor.run(payloads)
    number = len(payloads)
    # A model for accelerators has a fixed batch size.
    missing = (predictor.info.get("batch_size") or number) - number
    payloads = [*payloads, *[payloads[-1]] * missing]
    columns = {
        name: _tensor([row[name] for row in payloads], spec)
        for name, spec in inputs_of(predictor, signature).items()
    }
    outputs = predictor.signatures[signature](**columns)
    return {name: output.numpy()[:number] for name, output in outputs.items()}


def _tensor(values: list[Any], spec: tf.TensorSpec) -> tf.Tensor:
    """Stacks values; NumPy finds the shape of lists faster than TensorFlow."""
    if spec.dtype == tf.string:
        return tf.constant(values, tf.string)
    return tf.constant(np.stack(values), spec.dtype)


def rows_of(
    predictor: Predictor,
    signature: str,
    items: list[Any],
    limits: Limits,
    with_lengths: bool = False,
) -> list[KeyedPayload]:
    """Returns the row of each item, for a Batcher.

    Args:
        predictor: the model.
        signature: the name of the signature.
        items: {input name: value} for each row, or the value alone if the
            signature has one input.
        limits: the limits of a row.
        with_lengths: whether the answers to texts say how long they are.

    Raises:
        ValueError: an item is not what the signature takes.
        Refusal: an item is too many sequences for the model.
    """
    if is_default(predictor, signature):
        return [(UNPREPARED, Item(item, with_lengths)) for item in items]
    rows = _rows_of_tensors(predictor, signature, items, limits)
    check_sequences([key for key, _ in rows], 0, limits)
    return [*rows]


def is_default(predictor: Predictor, signature: str) -> bool:
    """Whether it does what `Predictor.run` does, under any of its names."""
    return signature in (TEXTS, *KINDS[predictor.kind].aliases)


def _rows_of_tensors(predictor, signature, items, limits):
    specs = inputs_of(predictor, signature)
    names = sorted(specs)
    to_row = _strings_row
    if set(names) == set(ID_NAMES):
        to_row = _ids_row
    elif names == ["examples"]:
        to_row = _example_row
    rows = []
    for place, item in enumerate(items):
        is_named = isinstance(item, dict) and names[0] in item
        if len(names) == 1 and not is_named:
            item = {names[0]: item}
        try:
            check_names(item, names)
            shape, row = to_row(predictor.signatures[signature], item)
        except ValueError as error:
            raise ValueError(f"item {place}: {error}") from None
        for value in row.values():
            if isinstance(value, bytes):
                check_text(place, value, limits)
        rows.append(((signature, shape), row))
    if to_row is _ids_row and len({key for key, _ in rows}) > 1:
        raise ValueError("items of different lengths: pad them to the longest")
    return rows


def check_names(item: object, names: Iterable[str]) -> None:
    """Raises ValueError unless an item is a dict of exactly these names."""
    if not isinstance(item, dict) or set(item) != set(names):
        actual = f"of {_some(item)}" if isinstance(item, dict) else shown(item)
        raise ValueError(
            f"must be an object of {', '.join(names)}, not {actual}"
        )


def _some(names: Collection[str]) -> str:
    """Lists the first names, shortened: there may be many, and long ones."""
    first = [shown(name) for name in itertools.islice(names, 3)]
    more = [f"{len(names) - 3:,} more"] if len(names) > 3 else []
    return ", ".join(first + more) or "nothing"


def _strings_row(function: Function, item: dict[str, Any]):
    """Returns (shape, row) of {input name: string}."""
    row = {name: bytes_of(value) for name, value in item.items()}
    number = sum(map(len, row.values())) // BYTES_PER_TOKEN
    return (power_of_two(1 + number),), row


def _ids_row(function: Function, item: dict[str, Any]):
    """Returns (shape, row) of ids; the row has int32 arrays."""
    specs = function.structured_input_signature[1]
    shapes, row = set(), {}
    for name in ID_NAMES:
        shape, numbers = _flat(name, item[name], specs[name].shape[1:])
        _check_length(shape[-1], function)
        _check_numbers(name, numbers, function)
        shapes.add(shape)
        row[name] = np.array(numbers, np.int32).reshape(shape)
    if len(shapes) > 1:
        raise ValueError(f"{', '.join(ID_NAMES)} have different lengths")
    return shape, row


def _flat(name: str, value: Any, sizes: list[int | None]):
    """Flattens lists that are nested as deep as there are `sizes`.

    The elements of the innermost lists are not checked.

    Args:
        name: the name of the input.
        value: its lists.
        sizes: the size of each axis; None for any.

    Returns:
        (shape, all numbers).

    Raises:
        ValueError: the lists are nested otherwise, or their lengths differ.
    """
    nesting = "a list " + "of lists " * (len(sizes) - 1)
    shape: tuple[int, ...] = ()
    values = [value]
    for size in sizes:
        if not all(isinstance(each, list) and each for each in values):
            raise ValueError(
                f"{name} must be {nesting}of whole numbers, none of them empty"
            )
        length = len(values[0])
        if any(len(each) != length for each in values):
            raise ValueError(f"{name} has lists of different lengths")
        if size not in (None, length):
            raise ValueError(f"{name} has {length:,} where {size:,} belong")
        shape = (*shape, length)
        values = [*itertools.chain.from_iterable(values)]
    if any(isinstance(each, (list, dict)) for each in values):
        raise ValueError(
            f"{name} must be {nesting}of whole numbers, and is nested deeper"
        )
    return shape, values


def _check_numbers(name, numbers, function):
    table = TABLES.get(name)
    limit = _size_of(function, table) if table else 2  # A mask has 0 and 1.
    for number in numbers:
        # JSON's true is an int in Python.
        if type(number) is not int or not 0 <= number < limit:
            raise ValueError(
                f"{name} holds {shown(number)}: whole numbers from 0 to "
                f"{limit - 1:,} are allowed"
            )


def _check_length(length, function):
    longest = _size_of(function, POSITIONS)
    if length > longest:
        raise ValueError(
            f"a sequence has {length:,} tokens: {longest:,} are allowed"
        )


def _size_of(function: Function, table: str) -> int:
    """Returns the number of rows of a table of embeddings."""
    for variable in function.variables:
        if variable.name.split(":")[0].endswith(f"embeddings/{table}"):
            return variable.shape[0]
    raise LookupError(f"the model does not have the variable {table}")


def _example_row(function, item):
    """Returns (shape, row) of a serialized tf.Example of ids.

    Only the graph knows how many ids there must be: they may be those of
    several sequences.
    """
    serialized = bytes_of(item["examples"])
    try:
        example = tf.train.Example.FromString(serialized)
    except Exception:  # protobuf's own error, which is in no public module.
        raise ValueError("is not a serialized tf.Example") from None
    features = example.features.feature
    lengths = set()
    for name in ID_NAMES:
        values = features[name].int64_list.value if name in features else []
        if not values:
            raise ValueError(f"has no whole numbers named {name}")
        _check_numbers(name, values, function)
        lengths.add(len(values))
    if len(lengths) > 1:
        raise ValueError(f"{', '.join(ID_NAMES)} have different lengths")
    length = lengths.pop()
    sequences = -(-length // _size_of(function, POSITIONS))
    return (sequences, length), {"examples": serialized}


def bytes_of(value: object) -> bytes:
    """Encodes a string, or decodes {"b64": "…"}, TensorFlow Serving's bytes.

    Raises:
        ValueError: the value is neither of them.
    """
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise ValueError("b64 is not valid base64") from None
    if not isinstance(value, str):
        raise ValueError(f'must be a string or {{"b64": "…"}}: {shown(value)}')
    return value.encode("utf-8", "replace")
