"""Formats of vectors in files: each function gives the bytes of one text.

extract_features says what is in them.
"""

import json
from typing import TYPE_CHECKING

import numpy as np

from bert_tf.data import example_proto, npy

if TYPE_CHECKING:
    from bert_tf.embeddings import EmbeddedText, TextEmbedder

DECIMALS = 6  # The original's.


def as_features(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats the vectors of each token as the original does."""
    layers = embedder.model.layer_indexes
    # To the bit like Python's `round`: a float32 times 10^6 is exact in
    # float64.
    rounded = np.round(embedded.vector.astype(np.float64), DECIMALS)
    vectors = rounded.reshape(len(rounded), len(layers), -1).tolist()
    features = [
        {
            "token": token,
            "layers": [
                {"index": layer, "values": values}
                for layer, values in zip(layers, of_layers, strict=True)
            ],
        }
        for token, of_layers in zip(
            embedder.tokens(embedded), vectors, strict=True
        )
    ]
    # The key is the original's, with its spelling mistake.
    return _json_line({"linex_index": index, "features": features})


def as_json(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats a text and its vector as a line of JSON."""
    text, second = embedded.text, None
    if isinstance(text, tuple):
        text, second = text
    row = {"index": index, "text": text}
    if second is not None:
        row["text_pair"] = second
    if embedder.model.pooling == "none":
        row["tokens"] = embedder.tokens(embedded)
    # The fewest digits that are read as the same float32.
    digits = embedded.vector.astype("U").astype(np.float64)
    return _json_line({**row, "embedding": digits.tolist()})


def _json_line(row) -> bytes:
    return (json.dumps(row) + "\n").encode()


def as_record(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats a vector as a tf.train.Example in a TFRecord."""
    vector = embedded.vector.ravel().tolist()
    features = [
        example_proto.int64_feature("index", [index]),
        example_proto.float_feature("embedding", vector),
    ]
    if embedder.model.pooling == "none":
        num_tokens = [len(embedded.vector)]
        features.append(example_proto.int64_feature("num_tokens", num_tokens))
    return example_proto.record(example_proto.example(*features))


def as_npy(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats a vector as a row of a .npy file."""
    return npy.as_row(embedded.vector)


ENCODERS = {
    "features": as_features,
    "npy": as_npy,
    "jsonl": as_json,
    "tfrecord": as_record,
}
