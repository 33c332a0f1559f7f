"""Examples → batches: each once an epoch, like lengths together, in order."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data import pipeline

NUM_EXAMPLES, BATCH_SIZE, MAX_LENGTH = 300, 8, 40
LENGTHS = np.random.default_rng(1).integers(1, MAX_LENGTH, NUM_EXAMPLES)


def rows():
    return tf.data.Dataset.from_tensor_slices(
        {"number": np.arange(NUM_EXAMPLES), "length": LENGTHS.astype("int32")}
    )


def to_features(rows):
    mask = tf.sequence_mask(rows["length"], MAX_LENGTH, tf.int32)
    return {
        "input_ids": mask * tf.cast(rows["number"], tf.int32)[:, tf.newaxis],
        "input_mask": mask,
        "label_ids": rows["number"],
        "is_real_example": tf.ones_like(rows["length"]),
    }


def training_batches(**settings):
    return pipeline.training_batches(
        rows(), NUM_EXAMPLES, BATCH_SIZE, to_features, **settings
    )


def take(dataset, number):
    return list(dataset.take(number).as_numpy_iterator())


def numbers(batches):
    return np.concatenate([batch["label_ids"] for batch in batches])


@pytest.fixture
def small_window(monkeypatch):
    """So that an epoch has several windows, and ends within one."""
    monkeypatch.setattr(pipeline, "WINDOW", 10 * BATCH_SIZE)


@pytest.mark.parametrize("group_by_length", [False, True])
@pytest.mark.parametrize("shuffle_buffer", [100, 1000])
@pytest.mark.parametrize("window", [BATCH_SIZE, 80, 2048])
def test_each_example_once_an_epoch(
    monkeypatch, window, shuffle_buffer, group_by_length
):
    monkeypatch.setattr(pipeline, "WINDOW", window)
    monkeypatch.setattr(pipeline, "SHUFFLE_BUFFER", shuffle_buffer)
    batches = take(training_batches(group_by_length=group_by_length), 120)
    # 300 is no multiple of 8: every batch is full all the same.
    assert {len(batch["label_ids"]) for batch in batches} == {BATCH_SIZE}
    order = numbers(batches)
    epochs = []
    for epoch in range(3):
        seen = order[NUM_EXAMPLES * epoch : NUM_EXAMPLES * (epoch + 1)]
        counts = collections.Counter(seen.tolist())
        assert counts == collections.Counter(range(NUM_EXAMPLES))
        epochs.append(tuple(seen))
    assert len(set(epochs)) == 3


@pytest.mark.parametrize("group_by_length", [False, True])
@pytest.mark.parametrize("first_step", [1, 9, 10, 37, 38, 75, 113])
def test_a_resumed_run_sees_what_it_would_have(
    small_window, first_step, group_by_length
):
    settings = {"seed": 3, "group_by_length": group_by_length}
    expected = take(training_batches(**settings), first_step + 5)[first_step:]
    resumed = take(training_batches(**settings, first_step=first_step), 5)
    for ours, theirs in zip(resumed, expected, strict=True):
        for name, value in theirs.items():
            assert np.array_equal(ours[name], value)


def test_the_seed_makes_the_order(small_window):
    one, same, other = (
        numbers(take(training_batches(seed=seed), 37)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_batches_have_like_lengths_in_random_order():
    batches = take(training_batches(group_by_length=True), 37)
    for batch in batches:
        longest = batch["input_mask"].sum(axis=1).max()
        width = batch["input_ids"].shape[1]
        assert width % 8 == 0 and longest <= width < longest + 8
    tokens = sum(batch["input_mask"].sum() for batch in batches)
    places = sum(batch["input_mask"].size for batch in batches)
    fixed = take(training_batches(fixed_length=True), 37)
    assert {batch["input_ids"].shape for batch in fixed} == {(8, MAX_LENGTH)}
    drawn = take(training_batches(), 37)
    drawn_places = sum(batch["input_mask"].size for batch in drawn)
    assert tokens / places > 0.8 > 0.6 > tokens / drawn_places
    assert np.mean([b["input_mask"].size < 8 * MAX_LENGTH for b in drawn]) > 0
    widths = [batch["input_ids"].shape[1] for batch in batches]
    rises = sum(a < b for a, b in itertools.pairwise(widths))
    assert 8 < rises < 28  # Neither rising nor falling.


def test_every_example_is_as_likely_early(small_window):
    """Mean place of an example over seeds, short and long ones alike."""
    places = np.zeros(NUM_EXAMPLES)
    num_seeds = 40
    for seed in range(num_seeds):
        batches = training_batches(seed=seed, group_by_length=True)
        order = numbers(take(batches, 38))[:NUM_EXAMPLES]
        places[order] += np.arange(NUM_EXAMPLES) / num_seeds
    middle = (NUM_EXAMPLES - 1) / 2
    # A mean of 40 places between 0 and 299 has a deviation of 13.7.
    assert np.abs(places - middle).max() < 4 * 13.7
    for long in (LENGTHS > 30, LENGTHS < 10):
        assert abs(places[long].mean() - middle) < 4 * 13.7 / long.sum() ** 0.5


def test_small_data_is_read_once():
    reads = []

    class Examples:
        def __iter__(self):
            reads.append(len(reads))
            return iter(range(20))

    dataset = pipeline.training_batches(
        pipeline.from_examples(
            Examples(),
            lambda i: {"number": i, "length": 1 + i},
            {"number": tf.int64, "length": tf.int32},
        ),
        20,
        4,
        to_features,
    )
    assert len(take(dataset, 50)) == 50 and reads == [0]


def test_blocks_from_python(monkeypatch):
    monkeypatch.setattr(pipeline, "BLOCK", 3)
    texts = ["a", "é", "", "中文", "e", "f", "g"]
    dataset = pipeline.from_examples(
        texts,
        lambda text: {"text": text.encode(), "size": len(text)},
        {"text": tf.string, "size": tf.int32},
    )
    rows = list(dataset.as_numpy_iterator())
    assert [row["text"].decode() for row in rows] == texts
    assert [row["size"] for row in rows] == [len(text) for text in texts]
    assert dataset.element_spec["size"] == tf.TensorSpec([], tf.int32)


@pytest.mark.parametrize("fixed_length", [False, True])
def test_evaluation_returns_to_file_order(small_window, fixed_length):
    dataset = pipeline.evaluation_batches(
        rows(), BATCH_SIZE, to_features, fixed_length=fixed_length
    )
    batches = take(dataset, 100)
    assert [len(b["label_ids"]) for b in batches] == [8] * 37 + [4]
    assert np.array_equal(numbers(batches), range(300)) == fixed_length
    with_outputs = [
        ({"ids": batch["input_ids"][:, 0] + 1000}, batch) for batch in batches
    ]
    restored = list(pipeline.in_file_order(with_outputs))
    assert [row["label_ids"] for _, row in restored] == list(range(300))
    assert [out["ids"] - 1000 for out, _ in restored] == list(range(300))


def test_the_last_batch_is_filled_up(small_window):
    dataset = pipeline.evaluation_batches(
        rows(),
        BATCH_SIZE,
        to_features,
        fixed_length=True,
        fill_last_batch=True,
    )
    assert dataset.element_spec["input_ids"].shape == (8, MAX_LENGTH)
    batches = take(dataset, 100)
    assert batches[-1]["is_real_example"].tolist() == [1] * 4 + [0] * 4
    assert not batches[-1]["input_mask"][4:].any()
    outputs = ((batch["input_ids"], batch) for batch in batches)
    restored = list(pipeline.in_file_order(outputs))
    assert [row["label_ids"] for _, row in restored] == list(range(300))
