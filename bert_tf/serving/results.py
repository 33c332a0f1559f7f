"""Results of a request's rows: joined, and as JSON has them."""

from typing import Any

import numpy as np

from bert_tf.export.kinds import LENGTHS


def stack(results: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Joins the rows of one request: {output name: array [B, …]}.

    Its rows may come from several batches, padded to the longest row there.
    Here they are padded to the longest row of the request itself, so that
    other requests of a batch do not change the answer.
    """
    columns = {
        name: [row[name] for row in results] for name in sorted(results[0])
    }
    if "starts" in columns:  # Words of texts; the padding has -1.
        lengths = [int(np.sum(row >= 0)) for row in columns["starts"]]
        columns |= {
            name: [row[:n] for row, n in zip(rows, lengths, strict=True)]
            for name, rows in columns.items()
            if name not in LENGTHS
        }
    return {name: _padded(name, rows) for name, rows in columns.items()}


def _padded(name, rows):
    rows = [np.asarray(row, _dtype_of(row)) for row in rows]
    if len(rows) == 1:
        return rows[0][np.newaxis]
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


def _dtype_of(row: object) -> type | None:
    """Returns object for bytes, which NumPy's own type would end at a zero."""
    return object if isinstance(row, bytes) else None


def to_json(array: np.ndarray) -> Any:
    """Converts an array to lists. Bytes become text: all of them are UTF-8.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    if array.dtype == object:
        return _texts(array.tolist())
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("a result is not finite")
    return array.tolist()


def _texts(value):
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return value.decode("utf-8", "replace")
