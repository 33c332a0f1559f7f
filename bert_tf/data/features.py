"""Text as the model reads it, and its way through TFRecord files.

Two texts become one sequence, each token with the id of its segment:

    tokens       [CLS] is this jack ##son ##ville ? [SEP] no it is not . [SEP]
    segment_ids    0   0   0    0    0      0     0   0   1  1  1  1   1   1

    tokens       [CLS] the dog is hairy . [SEP]            a single text
    segment_ids    0    0   0   0   0   0   0

`input_mask` is 1 for tokens and 0 for the padding behind them.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf import files

MIN_SEQ_LENGTH = 3  # [CLS], and [SEP] after each text of a pair.


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


class PaddingInputExample:
    """Fills up the last batch where a device wants every batch full.

    Its `is_real_example` is 0: it counts in no loss, metric or output file.
    """


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """Name, shape and type of one feature of an example."""

    name: str
    shape: tuple
    dtype: str = "int64"


def sequence_specs(max_seq_length: int) -> list:
    """The three features that every model reads."""
    shape = (max_seq_length,)
    return [
        FeatureSpec("input_ids", shape),
        FeatureSpec("input_mask", shape),
        FeatureSpec("segment_ids", shape),
    ]


def truncate_seq_pair(tokens_a: list, tokens_b: list, max_length: int):
    """Shortens two lists in place until both together fit.

    One token at a time from the end of the longer list, and from `tokens_b`
    when they are equal: a token of a short text is likely to tell more than
    one of a long text.
    """
    while len(tokens_a) + len(tokens_b) > max_length:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        longer.pop()


def pack_sequences(tokens_a: list, tokens_b: list, max_seq_length: int):
    """Joins one or two token lists into one sequence, as drawn above.

    Args:
        tokens_a: WordPieces of the first text.
        tokens_b: those of the second; an empty list means a single text.
        max_seq_length: number of tokens at most, special ones included.

    Returns:
        (tokens, segment_ids, truncated), two lists of equal length, and
        whether tokens were cut off.

    Raises:
        ValueError: not even the special tokens fit.
    """
    if max_seq_length < MIN_SEQ_LENGTH:
        raise ValueError(
            f"max_seq_length must be at least {MIN_SEQ_LENGTH}. "
            f"Received: max_seq_length={max_seq_length}"
        )
    tokens_a, tokens_b = list(tokens_a), list(tokens_b)
    num_special = 3 if tokens_b else 2
    room = max_seq_length - num_special
    truncated = len(tokens_a) + len(tokens_b) > room
    if tokens_b:
        truncate_seq_pair(tokens_a, tokens_b, room)
    else:
        tokens_a = tokens_a[:room]
    tokens = ["[CLS]", *tokens_a, "[SEP]"]
    segment_ids = [0] * len(tokens)
    if tokens_b:
        tokens += [*tokens_b, "[SEP]"]
        segment_ids += [1] * (len(tokens_b) + 1)
    return tokens, segment_ids, truncated


def pad(values: list, length: int) -> list:
    return values + [0] * (length - len(values))


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


def pad_to_multiple(examples: list, batch_size: int) -> list:
    """Appends padding examples until the batches come out even."""
    num_padding = -len(examples) % batch_size
    return examples + [PaddingInputExample()] * num_padding
