"""Reads records of pretraining data as batches.

    files       several read at a time
      records   shuffled in training
      batch     numbers, checked: an id that the model does not know would
                give NaN hours later on some devices, and nothing on others

The order is a function of the seed and of the file names alone, so that a
resumed training continues after the last record that it has seen.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import message

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.data.features import FeatureSpec, parse_examples, sequence_specs
from bert_tf.data.pipeline import (
    MEASURED,
    SHUFFLE_BUFFER,
    WINDOW,
    Features,
    ToFeatures,
    fill_up,
    window_size,
)
from bert_tf.data.row_packing import RowPacking, lengths_of
from bert_tf.errors import UserError

FILES_AT_ONCE = 16


def pretraining_specs(
    max_seq_length: int, max_predictions_per_seq: int
) -> list[FeatureSpec]:
    """The features of a record, as in the original's files."""
    shape = (max_predictions_per_seq,)
    return [
        *sequence_specs(max_seq_length),
        FeatureSpec("masked_lm_positions", shape),
        FeatureSpec("masked_lm_ids", shape),
        FeatureSpec("masked_lm_weights", shape, "float32"),
        FeatureSpec("next_sentence_labels", (1,)),
    ]


def check_files(paths: Sequence[str], specs: Sequence[FeatureSpec]) -> None:
    """Checks the first record of each file.

    Raises:
        UserError: a file is empty, damaged or not a TFRecord file, or its
            record does not have the features of `specs`.
    """
    for path in paths:
        first = tf.data.TFRecordDataset(path).take(1)
        try:
            records = [*first.as_numpy_iterator()]
        except tf.errors.DataLossError:
            raise UserError(
                f"{path}: not a TFRecord file, or damaged from the start"
            ) from None
        if not records:
            # TensorFlow finds no record in fewer bytes than its frame has.
            what = "not a TFRecord file" if files.stamp(path)[0] else "empty"
            raise UserError(f"{path}: {what}")
        _check_record(path, records[0], specs)


def _check_record(path, record, specs):
    try:
        example = tf.train.Example.FromString(record)
    except message.DecodeError:
        raise UserError(
            f"{path}: its records are not tf.train.Examples"
        ) from None
    for spec in specs:
        feature = example.features.feature.get(spec.name)
        kind = "float_list" if spec.dtype == "float32" else "int64_list"
        if feature is None or feature.WhichOneof("kind") != kind:
            raise UserError(
                f"{path}: the first record has no {spec.name} of type "
                f"{spec.dtype}; is it the output of create_pretraining_data?"
            )
        values = getattr(feature, kind).value
        if len(values) != spec.shape[0]:
            raise UserError(_wrong_length(path, spec, len(values)))


def _wrong_length(path, spec, number):
    setting = "max_seq_length"
    if spec.name.startswith("masked_lm"):
        setting = "max_predictions_per_seq"
    elif spec.name == "next_sentence_labels":
        return f"{path}: {number} next_sentence_labels in a record, not 1"
    return (
        f"{path}: made with `{setting}`={number}, not {spec.shape[0]} "
        f"({spec.name} has {number} values)"
    )


@contextlib.contextmanager
def user_errors(paths: Sequence[str]) -> Iterator[None]:
    """Turns errors of reading the files into UserErrors naming the record."""
    try:
        yield
    # The last one is raised if TensorFlow's message holds bytes of a record.
    except (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        UnicodeDecodeError,
    ) as error:
        match = re.search(
            r"Name: (.*?, record \d+), (?:Key|Feature): (\w+)", str(error)
        )
        if match:
            raise UserError(
                f"{match[1]}: {match[2]} is missing, or does not have as many "
                "values as in the first record"
            ) from None
        for path in paths:
            _check_readable(path)
        raise


def _check_readable(path):
    number = 0
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            number += 1
            tf.train.Example.FromString(record)
    except tf.errors.DataLossError:
        raise UserError(f"{path}: damaged after record {number}") from None
    except message.DecodeError:
        raise UserError(
            f"{path}, record {number}: not a tf.train.Example"
        ) from None


def records_of_files(
    paths: Sequence[str], files_at_once: int = FILES_AT_ONCE
) -> tf.data.Dataset:
    """The records of files in turn, each with its place.

    They are dicts of scalars: `record`, the serialized example; `file`, an
    index of `paths`; `number`, its place in the file, from 1.
    """
    return _interleave(_numbered(paths), files_at_once)


def _numbered(paths):
    return tf.data.Dataset.from_tensor_slices(
        {"path": paths, "file": np.arange(len(paths))}
    )


def _interleave(numbered, files_at_once):
    def read(file):
        records = tf.data.TFRecordDataset(file["path"]).enumerate(1)
        return records.map(
            lambda number, record: {
                "record": record,
                "file": file["file"],
                "number": number,
            }
        )

    return numbered.interleave(
        read,
        cycle_length=files_at_once,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def training_batches(
    paths: Sequence[str],
    to_features: ToFeatures,
    *,
    batch_size: int,
    seed: int = 0,
    first_step: int = 0,
    packing: RowPacking | None = None,
) -> tf.data.Dataset:
    """Full batches without end; every epoch has each record once.

    Args:
        paths: of TFRecord files.
        to_features: function(rows of `records_of_files`) -> features.
        batch_size: examples in a batch, over all replicas.
        seed: random seed of the order.
        first_step: batches to leave out at the start, for a training that
            resumes. Their records are read, but not checked.
        packing: pack the records of a batch into rows of the full length; see
            `pipeline.packed_batches`.
    """

    def shuffled(epoch):
        order = _numbered(paths).shuffle(
            len(paths), seed=seed + epoch, reshuffle_each_iteration=False
        )
        return _interleave(order, min(FILES_AT_ONCE, len(paths))).shuffle(
            SHUFFLE_BUFFER, seed=seed + epoch, reshuffle_each_iteration=False
        )

    epochs = tf.data.Dataset.range(np.iinfo(np.int64).max)
    rows = epochs.flat_map(shuffled)
    if packing:
        length = packing.row_length
        return packing.training_batches(
            lambda first: rows.skip(first).batch(window_size(batch_size)),
            lambda some: lengths_of_records(paths, some, length),
            to_features,
            first_step,
        )
    rows = rows.skip(first_step * batch_size)
    batches = rows.batch(batch_size, drop_remainder=True)
    return batches.map(
        to_features, num_parallel_calls=tf.data.AUTOTUNE
    ).prefetch(tf.data.AUTOTUNE)


def lengths_of_records(
    paths: Sequence[str], rows: Mapping[str, tf.Tensor], max_seq_length: int
) -> tf.Tensor:
    """The lengths of the sequences of records, int32 [B].

    Args:
        paths: of the files that the rows come from.
        rows: {"record", "file", "number": [B]}, of `records_of_files`.
        max_seq_length: places of a sequence.
    """
    spec = FeatureSpec("input_mask", (max_seq_length,))
    names = _names(paths, rows)
    return lengths_of(
        parse_examples(rows["record"], [spec], names=names)["input_mask"]
    )


def some_lengths(paths: Sequence[str], max_seq_length: int) -> np.ndarray:
    """The lengths of some thousand records of some files: int32 [any]."""
    some = paths[:: -(-len(paths) // FILES_AT_ONCE)]
    records = records_of_files(some).take(MEASURED).batch(WINDOW)
    lengths = records.map(
        lambda rows: lengths_of_records(some, rows, max_seq_length)
    )
    return np.concatenate([*lengths.as_numpy_iterator()])


def evaluation_batches(
    paths: Sequence[str],
    to_features: ToFeatures,
    *,
    batch_size: int,
    max_steps: int | None,
    repeat: bool = False,
) -> tf.data.Dataset:
    """The records in the order of the files, in batches of one size.

    Args:
        paths, to_features, batch_size: as for `training_batches`.
        max_steps: batches at most; None for all.
        repeat: start again at the end, as the original does, until there are
            `max_steps` batches. Otherwise each record comes once at most, and
            the rows that fill up the last batch do not count.
    """
    rows = records_of_files(paths, files_at_once=1)
    if repeat:
        rows = rows.repeat()
    batches = rows.batch(batch_size, drop_remainder=repeat)
    batches = batches.take(-1 if max_steps is None else max_steps)
    batches = batches.map(to_features, num_parallel_calls=tf.data.AUTOTUNE)
    if not repeat:
        batches = batches.map(lambda batch: fill_up(batch, batch_size))
    return batches.prefetch(tf.data.AUTOTUNE)


class RecordParser:
    """Makes features of rows, and refuses those that the model cannot take.

    Args:
        paths: of the files that the rows come from.
        specs: of `pretraining_specs`.
        config: of the model.
    """

    def __init__(
        self,
        paths: Sequence[str],
        specs: Sequence[FeatureSpec],
        config: BertConfig,
    ):
        self.paths = paths
        self.specs = specs
        # The largest value of each feature; the smallest is 0.
        self.limits = {
            "input_ids": config.vocab_size - 1,
            "input_mask": 1,
            "segment_ids": config.type_vocab_size - 1,
            "masked_lm_ids": config.vocab_size - 1,
            "masked_lm_positions": specs[0].shape[0] - 1,
            "masked_lm_weights": 1,
            "next_sentence_labels": 1,
        }

    def __call__(self, rows: Mapping[str, tf.Tensor]) -> Features:
        """{"record", "file", "number": [B]} -> {name: [B, …]}.

        Raises:
            InvalidArgumentError, whose message holds a UserError that names
                file, record, feature and value.
        """
        parsed = parse_examples(
            rows["record"], self.specs, names=_names(self.paths, rows)
        )
        is_wrong = tf.stack(
            [
                tf.reduce_any(~_fits(parsed[name], limit), axis=1)
                for name, limit in self.limits.items()
            ]
        )
        checked = tf.cond(
            tf.reduce_any(is_wrong),
            lambda: self._raise(rows, parsed, is_wrong),
            lambda: tf.constant(0),
        )
        with tf.control_dependencies([checked]):
            labels = tf.squeeze(parsed["next_sentence_labels"], axis=1)
        return {
            **parsed,
            "next_sentence_labels": labels,
            "is_real_example": tf.ones_like(labels),
        }

    def _raise(self, rows, parsed, is_wrong):
        def describe(is_wrong, file, number, *values):
            feature, row = np.argwhere(is_wrong)[0]
            name, limit = list(self.limits.items())[feature]
            of_row = values[feature][row]
            value = of_row[~_fits(of_row, limit)][0]
            raise UserError(
                f"{self.paths[file[row]]}, record {number[row]}: {name} has "
                f"{value}, allowed are 0 to {limit}: made with another "
                "vocabulary, or for another model?"
            )

        return tf.numpy_function(
            describe,
            [
                is_wrong,
                rows["file"],
                rows["number"],
                *(parsed[name] for name in self.limits),
            ],
            tf.int32,
        )


def _names(paths, rows):
    """The names of records, which `user_errors` finds in errors."""
    names = tf.gather(tf.constant(paths), rows["file"])
    numbers = tf.strings.as_string(rows["number"])
    return tf.strings.join([names, ", record ", numbers])


def _fits(values, limit):
    return (values >= 0) & (values <= limit)  # False for NaN.
