"""Records of pretraining data: their order, batches, and what is wrong."""

import itertools
import re

import numpy as np
import pytest
from support.pretraining_files import (
    CONFIG,
    LENGTH,
    PREDICTIONS,
    SPECS,
    changed,
    examples,
    serialized,
    write_examples,
)

from bert_tf import BertConfig, training
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.data.pretraining.shards import write_records
from bert_tf.errors import UserError

BATCH_SIZE = 4


@pytest.fixture(autouse=True)
def _seeded():
    training.set_seed(7)


def parser(paths):
    return pretraining_dataset.RecordParser(paths, SPECS, BertConfig(**CONFIG))


def write_files(folder, sizes):
    """Files of so many records, with numbers from 0 on; and their files."""
    paths, files, first = [], [], 0
    for file, size in enumerate(sizes):
        path = folder / f"{file:03}.tfrecord"
        paths.append(write_examples(path, examples(range(first, first + size))))
        files += [file] * size
        first += size
    return paths, np.array(files)


def numbers_of(batches):
    return [batch["input_ids"][:, 1].tolist() for batch in batches]


def training_order(paths, num_batches, **settings):
    batches = pretraining_dataset.training_batches(
        paths, parser(paths), batch_size=BATCH_SIZE, **settings
    )
    return numbers_of(batches.take(num_batches).as_numpy_iterator())


@pytest.mark.parametrize("sizes", [(10, 7, 6), (23,), (1,) * 20 + (3,), (2,)])
def test_every_epoch_has_each_record_once(tmp_path, sizes):
    paths, files = write_files(tmp_path, sizes)
    size, num_epochs = len(files), 4
    batches = training_order(paths, size)
    assert {len(batch) for batch in batches} == {BATCH_SIZE}
    order = np.reshape(batches, [num_epochs, size])
    for epoch in order:
        assert sorted(epoch) == list(range(size))
    if size > 2:
        assert len({tuple(epoch) for epoch in order}) == num_epochs
    if len(sizes) == 3:
        # No file comes as a whole.
        assert np.count_nonzero(np.diff(files[order[0]])) > 5


def test_order_is_a_function_of_the_seed(tmp_path):
    paths, _ = write_files(tmp_path, (10, 7, 6))
    whole = training_order(paths, 18, seed=3)
    assert training_order(paths, 18, seed=3) == whole
    assert training_order(paths, 18, seed=4) != whole
    for first_step in (1, 6, 12):  # Within and behind the first epoch.
        rest = training_order(paths, 6, seed=3, first_step=first_step)
        assert rest == whole[first_step : first_step + 6]


def evaluated(paths, max_steps=100, **settings):
    batches = pretraining_dataset.evaluation_batches(
        paths,
        parser(paths),
        batch_size=BATCH_SIZE,
        max_steps=max_steps,
        **settings,
    )
    return [*batches.as_numpy_iterator()]


def test_evaluation_takes_each_record_once(tmp_path):
    paths, files = write_files(tmp_path, (5, 2, 3))
    batches = evaluated(paths)
    assert {len(batch["input_ids"]) for batch in batches} == {BATCH_SIZE}
    is_real = np.concatenate([b["is_real_example"] for b in batches])
    assert is_real.tolist() == [1] * len(files) + [0, 0]
    assert sum(numbers_of(batches), [])[: len(files)] == [*range(len(files))]
    for name, values in batches[-1].items():
        assert not values[2:].any(), name
    assert numbers_of(evaluated(paths, 2)) == numbers_of(batches[:2])


def test_evaluation_in_circles(tmp_path):
    paths, files = write_files(tmp_path, (5, 2))
    numbers = numbers_of(evaluated(paths, 5, repeat=True))
    circle = itertools.cycle(range(len(files)))
    assert numbers == [[*itertools.islice(circle, 4)] for _ in range(5)]
    paths, _ = write_files(tmp_path, (2,))  # Less than a batch.
    assert numbers_of(evaluated(paths, 2, repeat=True)) == [[0, 1, 0, 1]] * 2


def test_features(tmp_path):
    paths, _ = write_files(tmp_path, (4,))
    (batch,) = evaluated(paths)
    for row, example in enumerate(examples(range(4))):
        for name, values in example.items():
            np.testing.assert_array_equal(
                np.reshape(batch[name][row], -1), np.asarray(values, float)
            )
    assert batch["next_sentence_labels"].shape == (4,)
    dtypes = {name: values.dtype for name, values in batch.items()}
    assert dtypes.pop("masked_lm_weights") == np.float32
    assert set(dtypes.values()) == {np.dtype("int32")}


# ---------------------------------------------------------------------------
# What is wrong.


def some(number=6):
    return [*examples(range(number))]


def refused(message, function, *args):
    with pytest.raises(UserError, match=message) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"short", "not a TFRecord file"),
        (b"a text, and a long one", "not a TFRecord file, or damaged from the"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(content)
    check_files = pretraining_dataset.check_files
    found = refused(message, check_files, [str(path)], SPECS)
    assert found.startswith(f"{path}: ")


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {
                name: np.zeros(16, int)
                for name in ("input_ids", "input_mask", "segment_ids")
            },
            f"made with max_seq_length=16, not {LENGTH} .input_ids has 16",
        ),
        (
            {"masked_lm_weights": np.zeros(20)},
            f"made with max_predictions_per_seq=20, not {PREDICTIONS} ",
        ),
        ({"next_sentence_labels": [0, 1]}, "2 next_sentence_labels in a rec"),
        ({"masked_lm_ids": None}, "no masked_lm_ids of type int64; is it the"),
        (
            {"masked_lm_weights": np.ones(PREDICTIONS, int)},
            "no masked_lm_weights of type float32",
        ),
    ],
)
def test_first_records_are_looked_at(tmp_path, changes, message):
    good = write_examples(tmp_path / "good.tfrecord", some())
    path = write_examples(
        tmp_path / "x.tfrecord", [changed(some()[0], **changes), some()[1]]
    )
    pretraining_dataset.check_files([good], SPECS)
    found = refused(
        message, pretraining_dataset.check_files, [good, path], SPECS
    )
    assert found.startswith(f"{path}: ")


def test_records_that_are_no_examples(tmp_path):
    path = str(tmp_path / "x.tfrecord")
    write_records([path], [b"\xff text"])
    refused(
        f"{path}: its records are not tf.train.Examples",
        pretraining_dataset.check_files,
        [path],
        SPECS,
    )


@pytest.mark.parametrize("content", [b"not an example", b"\xff\xfe\xff"])
def test_later_records_that_are_no_examples(tmp_path, content):
    good = write_examples(tmp_path / "good.tfrecord", some())
    path = str(tmp_path / "x.tfrecord")
    write_records([path], [*map(serialized, some(2)), content])
    message = f"{path}, record 3: not a tf.train.Example"
    refused(message, read_all, [good, path])


def read_all(paths):
    pretraining_dataset.check_files(paths, SPECS)
    with pretraining_dataset.user_errors(paths), training.user_errors():
        evaluated(paths)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"input_ids": {3: 100}}, "input_ids has 100, allowed are 0 to 99"),
        ({"input_ids": {0: -7}}, "input_ids has -7, allowed are 0 to 99"),
        ({"input_ids": {0: 2**32 + 1}}, "input_ids has 2147483647, allowed"),
        ({"input_mask": {0: 2}}, "input_mask has 2, allowed are 0 to 1"),
        ({"segment_ids": {5: 2}}, "segment_ids has 2, allowed are 0 to 1"),
        ({"masked_lm_ids": {2: 101}}, "masked_lm_ids has 101, allowed are 0"),
        (
            {"masked_lm_positions": {0: -1}},
            f"masked_lm_positions has -1, allowed are 0 to {LENGTH - 1}",
        ),
        (
            {"masked_lm_positions": {0: LENGTH}},
            f"masked_lm_positions has {LENGTH}, allowed are",
        ),
        ({"next_sentence_labels": [2]}, "next_sentence_labels has 2, allowed"),
        (
            {"masked_lm_weights": np.array([1.0, np.nan, 0.0])},
            "masked_lm_weights has nan, allowed are 0 to 1",
        ),
        ({"masked_lm_weights": np.full(3, -5.0)}, "masked_lm_weights has -5.0"),
        (
            {"input_ids": np.zeros(16, int)},
            "input_ids is missing, or does not have",
        ),
        ({"masked_lm_ids": [5]}, "masked_lm_ids is missing, or does not have"),
        (
            {"segment_ids": None},
            "segment_ids is missing, or does not have",
        ),
        (
            {"masked_lm_weights": np.ones(PREDICTIONS, int)},
            "masked_lm_weights is missing, or does not have",
        ),
    ],
)
def test_later_records_are_looked_at(tmp_path, changes, message):
    good = write_examples(tmp_path / "good.tfrecord", some())
    records = some()
    records[4] = changed(records[4], **changes)
    path = write_examples(tmp_path / "x.tfrecord", records)
    found = refused(re.escape(message), read_all, [good, path])
    assert found.startswith(f"{path}, record 5: ")


def test_later_records_are_looked_at_before_they_are_packed(tmp_path):
    """The lengths of sequences are read before, or without, the rest."""
    records = some()
    records[4] = changed(records[4], input_mask=np.ones(LENGTH - 2, int))
    path = write_examples(tmp_path / "x.tfrecord", records)

    def read(paths):
        with pretraining_dataset.user_errors(paths):
            pretraining_dataset.some_lengths(paths, LENGTH)

    found = refused("input_mask is missing, or does not have", read, [path])
    assert found.startswith(f"{path}, record 5: ")


def test_damaged_records(tmp_path):
    good = write_examples(tmp_path / "good.tfrecord", some())
    path = tmp_path / "x.tfrecord"
    write_examples(path, some())
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = bytes([content[middle] ^ 1])
    path.write_bytes(content[:middle] + damaged + content[middle + 1 :])
    found = refused("damaged after record 3", read_all, [good, str(path)])
    assert found.startswith(f"{path}: ")
