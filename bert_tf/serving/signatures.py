"""What a model's signatures take: texts, token ids and tf.Examples.

All but texts is checked here, before it meets others in a batch: a GPU reads an
id that no vocabulary holds as zeros, and a sequence that is too long would need
memory first and be refused later.

A row's key tells which others may share a batch with it: (signature, shape).
The shape is that of its ids, its last axis the length; of texts, about.
"""

import base64
import binascii
import itertools
import math

import numpy as np
import tensorflow as tf

from bert_tf.export.kinds import KINDS, power_of_two
from bert_tf.serving.limits import Limits, Refusal, check_text, shown
from bert_tf.text.packing import ID_NAMES

TEXTS = "serving_default"
# Which variable has a row for each value of an input, and for each position.
TABLES = {
    "input_ids": "word_embeddings",
    "segment_ids": "token_type_embeddings",
}
POSITIONS = "position_embeddings"
DEPTH = 2  # Levels in an item: {"endings": [text, text]}.


def inputs_of(predictor, signature: str) -> dict:
    """{input name: TensorSpec} of a signature."""
    function = predictor.signatures[signature]
    return dict(function.structured_input_signature[1])


def num_sequences(key: tuple) -> int:
    """How many sequences the model reads for a row: a Batcher's `weigh`."""
    return math.prod(key[1][:-1])


def run(predictor, key: tuple, payloads: list) -> dict:
    """{output name: array [B, …]} of a batch; a Batcher's `run`.

    Args:
        predictor: that runs it.
        key: of all its rows.
        payloads: what `rows_of` gave.
    """
    signature = key[0]
    if signature == TEXTS:
        return predictor.run(payloads)
    number = len(payloads)
    # A model for accelerators takes one size of batches.
    missing = (predictor.info.get("batch_size") or number) - number
    payloads = [*payloads, *[payloads[-1]] * missing]
    columns = {
        name: _tensor([row[name] for row in payloads], spec)
        for name, spec in inputs_of(predictor, signature).items()
    }
    outputs = predictor.signatures[signature](**columns)
    return {name: output.numpy()[:number] for name, output in outputs.items()}


def _tensor(values, spec):
    """Of a shape that is known: TensorFlow looks into no lists for it."""
    if spec.dtype == tf.string:
        return tf.constant(values, tf.string)
    return tf.constant(np.stack(values), spec.dtype)


def rows_of(predictor, signature: str, items: list, limits: Limits) -> list:
    """(key, payload) of each item, for a Batcher.

    Args:
        predictor: whose signature it is.
        signature: its name.
        items: what is sent for each row: {input name: value}, or a value alone
            where there is one input.
        limits: that one row may not exceed.

    Raises:
        ValueError: an item is not what the signature takes.
        Refusal: the model would have to read too many sequences for one.
    """
    if is_default(predictor, signature):
        rows = _rows_of_texts(predictor, items, limits.max_text_bytes)
    else:
        rows = _rows_of_tensors(predictor, signature, items, limits)
    for place, (key, _) in enumerate(rows):
        if num_sequences(key) > limits.max_sequences:
            raise Refusal(
                413,
                f"item {place}: is about {num_sequences(key):,} sequences for "
                f"the model: {limits.max_sequences:,} are allowed",
            )
    return rows


def is_default(predictor, signature: str) -> bool:
    """Whether it does what `Predictor.run` does, under any of its names."""
    return signature in (TEXTS, *KINDS[predictor.kind].aliases)


def _rows_of_texts(predictor, items, max_bytes):
    requests = []
    for part in _parts(items, max_bytes):
        requests += predictor.prepare(part, len(requests))
    sequences_of = KINDS[predictor.kind].sequences_of
    longest = predictor.info["max_seq_length"]
    return [
        ((TEXTS, sequences_of(request, longest)), request)
        for request in requests
    ]


def _parts(items, max_characters):
    """Yields the items in lists; one that exceeds the limit, alone.

    To cut a text up takes some 60 bytes for each of its own, which TensorFlow
    keeps for the next: so much at once, and no more, is ever kept.
    """
    part, total = [], 0
    for item in items:
        size = sum(map(len, strings_of(item)))
        if part and total + size > max_characters:
            yield part
            part, total = [], 0
        part.append(item)
        total += size
    if part:
        yield part


def strings_of(item, depth: int = DEPTH):
    """Yields all strings of an item; it is nested no deeper."""
    if isinstance(item, str):
        yield item
    elif depth and isinstance(item, (list, dict)):
        for inner in item.values() if isinstance(item, dict) else item:
            yield from strings_of(inner, depth - 1)


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


def check_names(item, names):
    """Raises ValueError unless it is a dict of exactly these names."""
    if not isinstance(item, dict) or set(item) != set(names):
        found = f"of {_some(item)}" if isinstance(item, dict) else shown(item)
        raise ValueError(
            f"must be an object of {', '.join(names)}, not {found}"
        )


def _some(names) -> str:
    """The first of what may be many names, and long ones."""
    first = [shown(name) for name in itertools.islice(names, 3)]
    more = [f"{len(names) - 3:,} more"] if len(names) > 3 else []
    return ", ".join(first + more) or "nothing"


def _strings_row(function, item):
    """(shape, row) of {input name: string}."""
    row = {name: bytes_of(value) for name, value in item.items()}
    return (power_of_two(1 + sum(map(len, row.values()))),), row


def _ids_row(function, item):
    """(shape, row) of {input_ids, input_mask, segment_ids}: int32 arrays."""
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


def _flat(name, value, sizes) -> tuple:
    """(shape, all numbers) of lists that are nested as deep as `sizes` tell.

    What the innermost of them hold is not looked at.

    Args:
        name: of the input.
        value: its lists.
        sizes: of each axis; None for any.

    Raises:
        ValueError: they are not nested so deep, or some longer than others.
    """
    nesting = "a list " + "of lists " * (len(sizes) - 1)
    shape, values = (), [value]
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
        # JSON's true is an int of Python's.
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


def _size_of(function, table) -> int:
    """Rows of a table of embeddings, which the model's variables tell."""
    for variable in function.variables:
        if variable.name.split(":")[0].endswith(f"embeddings/{table}"):
            return variable.shape[0]
    raise LookupError(f"the model has no variable {table}")


def _example_row(function, item):
    """(shape, row) of a serialized tf.Example of ids.

    How many ids it must have the graph knows, which may cut them into several
    sequences.
    """
    serialized = bytes_of(item["examples"])
    try:
        example = tf.train.Example.FromString(serialized)
    except Exception:  # protobuf's own error, of no public module.
        raise ValueError("is no serialized tf.Example") from None
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


def bytes_of(value) -> bytes:
    """Of a string, or of {"b64": "…"}, as TensorFlow Serving takes bytes.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise ValueError("b64 holds no base64") from None
    if not isinstance(value, str):
        raise ValueError(f'must be a string or {{"b64": "…"}}: {shown(value)}')
    return value.encode("utf-8", "replace")


def stack(results: list) -> dict:
    """{output name: array [B, …]} of the rows of one request.

    Its rows may have been in several batches, and be as long as the longest
    row there. Here they are as long as the longest of the request itself:
    who else was in a batch changes no answer.
    """
    columns = {
        name: [row[name] for row in results] for name in sorted(results[0])
    }
    if "starts" in columns:  # Words of a text, padded with -1.
        lengths = [int(np.sum(row >= 0)) for row in columns["starts"]]
        columns = {
            name: [row[:n] for row, n in zip(rows, lengths, strict=True)]
            for name, rows in columns.items()
        }
    return {name: _padded(name, rows) for name, rows in columns.items()}


def _padded(name, rows):
    rows = [np.asarray(row, _dtype_of(row)) for row in rows]
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    fill = -1 if name in ("starts", "ends") else 0
    if rows[0].dtype.hasobject:
        fill = b""
    longest = np.max([row.shape for row in rows], axis=0)
    padded = np.full((len(rows), *longest), fill, rows[0].dtype)
    for place, row in enumerate(rows):
        padded[(place, *map(slice, row.shape))] = row
    return padded


def _dtype_of(row):
    """NumPy would cut bytes off at their zeros."""
    return object if isinstance(row, bytes) else None
