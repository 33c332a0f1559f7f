"""What a model's signatures take besides texts: token ids and tf.Examples.

They are checked here, before they meet others in a batch: a GPU reads an id
that no vocabulary holds as zeros, and a sequence that is too long would need
memory first and be refused later.
"""

import base64
import binascii

import numpy as np
import tensorflow as tf

from bert_tf.serving.limits import shown

TEXTS = "serving_default"
IDS = ("input_ids", "input_mask", "segment_ids")
MAX_LENGTH = 512  # The published models'.


def inputs_of(predictor, signature: str) -> dict:
    """{input name: TensorSpec} of a signature."""
    function = predictor.signatures[signature]
    return dict(function.structured_input_signature[1])


def reads_texts(predictor, signature: str) -> bool:
    """Whether it takes what `Predictor.prepare` does."""
    return signature == TEXTS or set(inputs_of(predictor, signature)) == set(
        predictor.input_names
    )


def run(predictor, key: tuple, payloads: list) -> dict:
    """{output name: array [B, …]} of a batch; a Batcher's `run`.

    Args:
        predictor: that runs it.
        key: (signature, length) of all its rows.
        payloads: what `rows_of_texts` and the others gave.
    """
    signature = key[0]
    if signature == TEXTS:
        return predictor.run(payloads)
    specs = inputs_of(predictor, signature)
    columns = {
        name: tf.constant([row[name] for row in payloads], dtype=spec.dtype)
        for name, spec in specs.items()
    }
    outputs = predictor.signatures[signature](**columns)
    return {name: output.numpy() for name, output in outputs.items()}


def rows_of_texts(predictor, items: list) -> list:
    """(key, payload) of each item, for a Batcher.

    Raises:
        ValueError: an item is not what the model reads.
    """
    requests = predictor.prepare(items)
    return [((TEXTS, request.length), request) for request in requests]


def rows_of_tensors(predictor, signature: str, items: list) -> list:
    """(key, payload) of each row of a signature that takes no texts.

    Args:
        predictor: whose signature it is.
        signature: its name.
        items: {input name: value} of each row; a value alone where there is
            one input.

    Raises:
        ValueError: a row is not what the signature takes.
    """
    specs = inputs_of(predictor, signature)
    names = sorted(specs)
    to_row = _ids_row if set(names) == set(IDS) else _example_row
    rows = []
    for place, item in enumerate(items, start=1):
        if len(names) == 1 and not (
            isinstance(item, dict) and names[0] in item
        ):
            item = {names[0]: item}
        try:
            check_names(item, names)
            length, row = to_row(predictor, item)
        except ValueError as error:
            raise ValueError(f"row {place}: {error}") from None
        rows.append(((signature, length), row))
    if to_row is _ids_row and len({key for key, _ in rows}) > 1:
        raise ValueError("rows of different lengths: pad them to the longest")
    return rows


def check_names(item, names):
    """Raises ValueError unless it is a dict of exactly these names."""
    if not isinstance(item, dict) or set(item) != set(names):
        found = ", ".join(map(str, item)) if isinstance(item, dict) else ""
        raise ValueError(
            f"must be an object of {', '.join(names)}, "
            f"not {f'of {found}' if found else shown(item)}"
        )


def _ids_row(predictor, item):
    """(length, row) of {input_ids, input_mask, segment_ids}."""
    info = predictor.info
    limits = {
        "input_ids": info.get("vocab_size", 2**31),
        "input_mask": 2,
        "segment_ids": info.get("type_vocab_size", 2),
    }
    length = None
    for name in IDS:
        _check_ids(name, item[name], limits[name], _max_length(info))
        if length not in (None, len(item[name])):
            raise ValueError(f"{name} and input_ids have different lengths")
        length = len(item[name])
    return length, item


def _max_length(info):
    return info.get(
        "max_position_embeddings", info.get("max_seq_length") or MAX_LENGTH
    )


def _check_ids(name, values, limit, max_length):
    if not isinstance(values, list):
        raise ValueError(f"{name} must be a list of whole numbers")
    if not 0 < len(values) <= max_length:
        raise ValueError(
            f"{name} has {len(values):,} numbers: 1 to {max_length} are allowed"
        )
    for value in values:
        # JSON's true is an int of Python's.
        if type(value) is not int or not 0 <= value < limit:
            raise ValueError(
                f"{name} holds {shown(value)}: whole numbers from 0 to "
                f"{limit - 1:,} are allowed"
            )


def _example_row(predictor, item):
    """(length, row) of a serialized tf.Example of ids."""
    ((name, value),) = item.items()
    serialized = bytes_of(value)
    try:
        example = tf.train.Example.FromString(serialized)
    except Exception:  # protobuf's own error, of no public module.
        raise ValueError("is no serialized tf.Example") from None
    features = example.features.feature
    ids = {
        key: list(features[key].int64_list.value) if key in features else []
        for key in IDS
    }
    length, _ = _ids_row(predictor, ids)
    return length, {name: serialized}


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
    columns = {name: [row[name] for row in results] for name in results[0]}
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
