"""Examples, their features, and TFRecord files of them."""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.text.packing import ID_NAMES


@dataclasses.dataclass
class InputExample:
    """One labelled text or pair of texts.

    Attributes:
        guid: unique id, such as "dev-7".
        text_a: the text, not tokenized.
        text_b: the second text of a pair, or None.
        label: its label; a tuple of labels where it may have several, a number
            where it has a value; None where it is not known.
    """

    guid: str
    text_a: str
    text_b: str | None = None
    label: str | tuple | float | None = None


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """Name, shape and type of one feature of an example."""

    name: str
    shape: tuple
    dtype: str = "int64"


def sequence_specs(max_seq_length: int) -> list:
    """The three features that every model reads."""
    shape = (max_seq_length,)
    return [FeatureSpec(name, shape) for name in ID_NAMES]


def write_tf_records(path: str, examples, specs: list):
    """Writes examples, dicts of numbers, as tf.train.Example records.

    Args:
        path: of the file; it appears when it is complete.
        examples: iterable of {feature name: int or float, or a list}.
        specs: a `FeatureSpec` for each feature to write.
    """
    with files.replacing(path) as temporary:
        with tf.io.TFRecordWriter(temporary) as writer:
            for example in examples:
                writer.write(_serialize(example, specs))


def _serialize(example, specs):
    features = {}
    for spec in specs:
        values = np.asarray(example[spec.name]).reshape(-1)
        if spec.dtype == "int64":
            feature = tf.train.Feature(
                int64_list=tf.train.Int64List(value=values)
            )
        else:
            feature = tf.train.Feature(
                float_list=tf.train.FloatList(value=values)
            )
        features[spec.name] = feature
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def parse_examples(serialized, specs: list, names=None) -> dict:
    """tf.string [B] -> {name: int32 or float32 [B, …]}.

    Records hold int64, as tf.train.Example has nothing smaller; TPUs and the
    models want int32. What is too large becomes the largest one, so that a
    wrong number does not turn into a right one.

    Args:
        serialized: the records.
        specs: their features.
        names: tf.string [B], how errors call them, or None.
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
    """The records of a file; `features_of_rows` makes features of them."""
    records = tf.data.TFRecordDataset(path)
    return records.map(lambda record: {"record": record})


def features_of_rows(rows: dict, specs: list) -> dict:
    """{"record": tf.string [B]} -> {name: [B, …]}, as `parse_examples`."""
    return parse_examples(rows["record"], specs)
