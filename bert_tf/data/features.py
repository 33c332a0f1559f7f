"""The features of examples, and TFRecord files of them."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.data import example_proto
from bert_tf.data.input_example import InputExample  # noqa: F401  It was here.
from bert_tf.text.packing import ID_NAMES


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """Name, shape and type of one feature of an example.

    Attributes:
        name: its key in a tf.train.Example.
        shape: without the batch.
        dtype: "int64" or "float32".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "int64"


def sequence_specs(max_seq_length: int) -> list[FeatureSpec]:
    """The three features that every model reads, [max_seq_length] each."""
    shape = (max_seq_length,)
    return [FeatureSpec(name, shape) for name in ID_NAMES]


def write_tf_records(
    path: str,
    examples: Iterable[Mapping[str, Any]],
    specs: Sequence[FeatureSpec],
) -> None:
    """Writes examples, dicts of numbers, as tf.train.Example records.

    Args:
        path: of the file; it appears when it is complete.
        examples: {feature name: int or float, or a list} each.
        specs: a `FeatureSpec` for each feature to write.
    """
    with files.replacing(path) as temporary:
        with files.open_binary(temporary, "wb") as writer:
            for example in examples:
                content = _serialized(example, specs)
                writer.write(example_proto.record(content))


def _serialized(example, specs):
    features = []
    for spec in specs:
        encode = example_proto.float_feature
        if spec.dtype == "int64":
            encode = example_proto.int64_feature
        values = np.asarray(example[spec.name], spec.dtype).reshape(-1)
        features.append(encode(spec.name, values.tolist()))
    return example_proto.example(*features)


def parse_examples(
    serialized: tf.Tensor,
    specs: Sequence[FeatureSpec],
    names: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Makes tensors of records: tf.string [B] -> int32 or float32 [B, …] each.

    Records hold int64, as tf.train.Example has nothing smaller; TPUs and the
    models want int32. What is too large becomes the largest one, so that a
    wrong number does not turn into a right one.

    Args:
        serialized: the records.
        specs: their features.
        names: tf.string [B], the records' names in errors, or None.

    Returns:
        {feature name: its values}.
    """
    parsed = tf.io.parse_example(
        serialized,
        {
            spec.name: tf.io.FixedLenFeature(spec.shape, spec.dtype)
            for spec in specs
        },
        example_names=names,
    )
    return {
        name: tf.saturate_cast(value, "int32")
        if value.dtype == "int64"
        else value
        for name, value in parsed.items()
    }


def record_rows(path: str) -> tf.data.Dataset:
    """The records of a file as rows, for `parse_record_rows`."""
    records = tf.data.TFRecordDataset(path)
    return records.map(lambda record: {"record": record})


def parse_record_rows(
    rows: Mapping[str, tf.Tensor], specs: Sequence[FeatureSpec]
) -> dict[str, tf.Tensor]:
    """Features of a batch of `record_rows`: {"record": tf.string [B]} ->
    {name: [B, …]}, like `parse_examples`."""
    return parse_examples(rows["record"], specs)
