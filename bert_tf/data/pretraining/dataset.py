"""Records of pretraining data → batches.

    files       several read at a time
      records   shuffled in training
      batch     numbers, looked at: an id that the model does not know would
                give NaN hours later on some devices, and nothing on others

The order is a function of the seed and of the file names alone, so that a
training that resumes goes on with what it has not seen.
"""

import contextlib
import re

import numpy as np
import tensorflow as tf
from google.protobuf import message

from bert_tf import files
from bert_tf.data.features import FeatureSpec, parse_examples, sequence_specs
from bert_tf.data.pipeline import SHUFFLE_BUFFER, fill_up
from bert_tf.errors import UserError

FILES_AT_ONCE = 16


def pretraining_specs(max_seq_length: int, max_predictions_per_seq: int):
    """The features of a record, as in the original's files."""
    shape = (max_predictions_per_seq,)
    return [
        *sequence_specs(max_seq_length),
        FeatureSpec("masked_lm_positions", shape),
        FeatureSpec("masked_lm_ids", shape),
        FeatureSpec("masked_lm_weights", shape, "float32"),
        FeatureSpec("next_sentence_labels", (1,)),
    ]


def check_files(paths: list, specs: list):
    """Looks at the first record of each file.

    Raises:
        UserError: a file is empty, damaged or none of TFRecords, or its record
            has not the features of `specs`.
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
            # TensorFlow takes what is shorter than a record's frame for none.
            what = "not a TFRecord file" if files.stamp(path)[0] else "empty"
            raise UserError(f"{path}: {what}")
        _check_record(path, records[0], specs)


def _check_record(path, record, specs):
    try:
        example = tf.train.Example.FromString(record)
    except message.DecodeError:
        raise UserError(
            f"{path}: its records are no tf.train.Example"
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


def _wrong_length(path, spec, found):
    flag = "max_seq_length"
    if spec.name.startswith("masked_lm"):
        flag = "max_predictions_per_seq"
    elif spec.name == "next_sentence_labels":
        return f"{path}: {found} next_sentence_labels in a record, not 1"
    return (
        f"{path}: made with --{flag}={found}, not {spec.shape[0]} "
        f"({spec.name} has {found} values)"
    )


@contextlib.contextmanager
def user_errors(paths: list):
    """Makes errors of reading the files UserErrors that name the record."""
    try:
        yield
    # The last one where TensorFlow's message holds bytes of a record.
    except (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        UnicodeDecodeError,
    ) as error:
        found = re.search(
            r"Name: (.*?, record \d+), (?:Key|Feature): (\w+)", str(error)
        )
        if found:
            raise UserError(
                f"{found[1]}: {found[2]} is missing, or has not as many values "
                "as in the first record"
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
        raise UserError(f"{path}: damaged behind record {number}") from None
    except message.DecodeError:
        raise UserError(
            f"{path}, record {number}: not a tf.train.Example"
        ) from None


def records_of_files(paths: list, files_at_once: int = FILES_AT_ONCE):
    """The records of files in turn, each with its place.

    Yields dicts of scalars: `record`, the serialized example; `file`, an index
    of `paths`; `number`, its place in the file, from 1.
    """
    return _interleave(_numbered(paths), files_at_once)


def _numbered(paths):
    return tf.data.Dataset.from_tensor_slices(
        {"path": paths, "file": np.arange(len(paths))}
    )


def _interleave(files, files_at_once):
    def read(file):
        records = tf.data.TFRecordDataset(file["path"]).enumerate(1)
        return records.map(
            lambda number, record: {
                "record": record,
                "file": file["file"],
                "number": number,
            }
        )

    return files.interleave(
        read,
        cycle_length=files_at_once,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def training_batches(
    paths: list,
    batch_size: int,
    to_features,
    *,
    seed: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Full batches without end; every epoch has each record once.

    Args:
        paths: of TFRecord files.
        batch_size: examples in a batch, over all replicas.
        to_features: function(rows of `records_of_files`) -> features.
        seed: of the order.
        first_step: how many batches to leave out at the start, for a training
            that resumes. Their records are read, but not looked at.
    """

    def shuffled(epoch):
        order = _numbered(paths).shuffle(
            len(paths), seed=seed + epoch, reshuffle_each_iteration=False
        )
        return _interleave(order, min(FILES_AT_ONCE, len(paths))).shuffle(
            SHUFFLE_BUFFER, seed=seed + epoch, reshuffle_each_iteration=False
        )

    epochs = tf.data.Dataset.range(np.iinfo(np.int64).max)
    rows = epochs.flat_map(shuffled).skip(first_step * batch_size)
    batches = rows.batch(batch_size, drop_remainder=True)
    return batches.map(
        to_features, num_parallel_calls=tf.data.AUTOTUNE
    ).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    paths: list,
    batch_size: int,
    to_features,
    max_steps: int | None,
    *,
    repeat: bool = False,
) -> tf.data.Dataset:
    """The records in the order of the files, in batches of one size.

    Args:
        paths, batch_size, to_features: as for training.
        max_steps: batches at most; None for all there are.
        repeat: start again at the end, as the original does, until there are
            `max_steps` batches. Else each record comes once at most, and what
            fills up the last batch counts nowhere.
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
        config: the model's `BertConfig`.
    """

    def __init__(self, paths: list, specs: list, config):
        self.paths = paths
        self.specs = specs
        # A feature's largest value; the smallest is 0.
        self.limits = {
            "input_ids": config.vocab_size - 1,
            "input_mask": 1,
            "segment_ids": config.type_vocab_size - 1,
            "masked_lm_ids": config.vocab_size - 1,
            "masked_lm_positions": specs[0].shape[0] - 1,
            "masked_lm_weights": 1,
            "next_sentence_labels": 1,
        }

    def __call__(self, rows: dict) -> dict:
        """{"record", "file", "number": [B]} -> {name: [B, …]}.

        Raises:
            InvalidArgumentError, whose message holds a UserError that names
                file, record, feature and value.
        """
        parsed = parse_examples(
            rows["record"], self.specs, names=self._names(rows)
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

    def _names(self, rows):
        names = tf.gather(tf.constant(self.paths), rows["file"])
        numbers = tf.strings.as_string(rows["number"])
        return tf.strings.join([names, ", record ", numbers])

    def _raise(self, rows, parsed, is_wrong):
        def describe(is_wrong, file, number, *values):
            feature, row = np.argwhere(is_wrong)[0]
            name, limit = list(self.limits.items())[feature]
            found = values[feature][row]
            value = found[~_fits(found, limit)][0]
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


def _fits(values, limit):
    return (values >= 0) & (values <= limit)  # Not where it is NaN.
