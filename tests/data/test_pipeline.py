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
        rows(),
        to_features,
        num_examples=NUM_EXAMPLES,
        batch_size=BATCH_SIZE,
        **settings,
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


@pytest.mark.slow
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
        to_features,
        num_examples=20,
        batch_size=4,
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
        rows(), to_features, batch_size=BATCH_SIZE, fixed_length=fixed_length
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


def test_batches_of_an_evaluation_have_a_budget_of_tokens(small_window):
    dataset = pipeline.evaluation_batches(
        rows(), to_features, batch_size=BATCH_SIZE, max_batch_tokens=400
    )
    batches = take(dataset, 100)
    sizes = [len(batch["label_ids"]) for batch in batches]
    assert max(sizes) > BATCH_SIZE and sum(sizes) == 300
    for batch in batches:
        longest = batch["input_mask"].sum(axis=1).max()
        number = len(batch["label_ids"])
        assert number <= BATCH_SIZE or number * longest <= 400
    restored = list(
        pipeline.in_file_order((b["label_ids"], b) for b in batches)
    )
    assert [row["label_ids"] for _, row in restored] == list(range(300))


def test_the_last_batch_is_filled_up(small_window):
    dataset = pipeline.evaluation_batches(
        rows(),
        to_features,
        batch_size=BATCH_SIZE,
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


# -- Several sequences to an example. ----------------------------------------

MAX_SEQUENCES = 6
# Tokens of each sequence; the missing ones come last, and have none.
SEQUENCES = np.random.default_rng(2).integers(
    2, MAX_LENGTH, (NUM_EXAMPLES, MAX_SEQUENCES)
)
SEQUENCES *= np.arange(MAX_SEQUENCES) < np.random.default_rng(3).integers(
    1, MAX_SEQUENCES, (NUM_EXAMPLES, 1), endpoint=True
)


def rows_of_several():
    return tf.data.Dataset.from_tensor_slices(
        {
            "number": np.arange(NUM_EXAMPLES),
            "lengths": SEQUENCES.astype("int32"),
        }
    )


def to_several(rows):
    mask = tf.sequence_mask(rows["lengths"], MAX_LENGTH, tf.int32)
    number = tf.cast(rows["number"], tf.int32)
    place = tf.range(MAX_SEQUENCES * MAX_LENGTH)
    place = tf.reshape(place, [MAX_SEQUENCES, MAX_LENGTH])
    shown = mask * (1 + number[:, tf.newaxis, tf.newaxis] + place)
    return {
        "input_ids": shown,
        "input_mask": mask,
        "label_ids": number,
        "is_real_example": tf.ones_like(number),
        # As large as sequences are long, or many, by chance.
        "classes": tf.ones([tf.size(number), MAX_LENGTH], tf.int32),
        "choices": tf.ones([tf.size(number), MAX_SEQUENCES], tf.int32),
        "pairs": tf.ones([tf.size(number), MAX_LENGTH, MAX_LENGTH]),
    }


def needed(batch, multiple=8):
    """(number, length) of the sequences of a batch, from the rows."""
    lengths = SEQUENCES[batch["label_ids"]]
    length = -(-lengths.max() // multiple) * multiple
    return (lengths > 0).sum(axis=1).max(), min(length, MAX_LENGTH)


def expected_features(numbers):
    whole = {
        "number": tf.constant(numbers),
        "lengths": tf.constant(SEQUENCES[numbers], tf.int32),
    }
    return tf.nest.map_structure(lambda x: x.numpy(), to_several(whole))


def assert_cut_right(batches, multiple=8):
    for batch in batches:
        number, length = needed(batch, multiple)
        whole = expected_features(batch["label_ids"])
        for name, value in whole.items():
            if name in ("input_ids", "input_mask"):
                assert not value[:, number:].any()
                assert not value[:, :, length:].any()
                value = value[:, :number, :length]
            assert np.array_equal(batch[name], value)


@pytest.mark.parametrize("group_by_length", [False, True])
@pytest.mark.parametrize("multiple", [1, 8])
def test_several_sequences_are_cut_to_the_most_and_the_longest(
    small_window, group_by_length, multiple
):
    batches = pipeline.training_batches(
        rows_of_several(),
        to_several,
        num_examples=NUM_EXAMPLES,
        batch_size=BATCH_SIZE,
        group_by_length=group_by_length,
        length_multiple=multiple,
    )
    batches = take(batches, 75)
    assert_cut_right(batches, multiple)
    counts = collections.Counter(numbers(batches).tolist())
    assert counts == dict.fromkeys(range(NUM_EXAMPLES), 2)
    if group_by_length:
        most = {batch["input_ids"].shape[1] for batch in batches}
        assert most >= {3, 4, 5, MAX_SEQUENCES}


def test_examples_of_like_length_in_all_their_sequences():
    """An example goes with others of as many tokens, whole."""
    batches = take(
        pipeline.training_batches(
            rows_of_several(),
            to_several,
            num_examples=NUM_EXAMPLES,
            batch_size=BATCH_SIZE,
            group_by_length=True,
        ),
        37,
    )
    assert_cut_right(batches)
    tokens = SEQUENCES.sum(axis=1)
    spreads = [np.ptp(tokens[batch["label_ids"]]) for batch in batches]
    assert np.median(spreads) < np.ptp(tokens) / 20


@pytest.mark.parametrize("fill_last_batch", [False, True])
@pytest.mark.parametrize("fixed_length", [False, True])
def test_several_sequences_return_to_file_order(
    small_window, fixed_length, fill_last_batch
):
    dataset = pipeline.evaluation_batches(
        rows_of_several(),
        to_several,
        batch_size=BATCH_SIZE,
        fixed_length=fixed_length,
        fill_last_batch=fill_last_batch,
    )
    batches = take(dataset, 100)
    if fill_last_batch:
        assert batches[-1]["input_ids"].shape[0] == BATCH_SIZE
        assert batches[-1]["is_real_example"].tolist() == [1] * 4 + [0] * 4
        assert not batches[-1]["input_mask"][4:].any()
    if fixed_length:
        full = (MAX_SEQUENCES, MAX_LENGTH)
        assert dataset.element_spec["input_ids"].shape[1:] == full
        assert {batch["input_ids"].shape[1:] for batch in batches} == {full}
    else:
        assert_cut_right(batches[:-1])
    with_outputs = ((batch["input_ids"] + 1, batch) for batch in batches)
    restored = list(pipeline.in_file_order(with_outputs))
    assert [row["label_ids"] for _, row in restored] == list(range(300))
    whole = expected_features(np.arange(NUM_EXAMPLES))["input_ids"]
    for (outputs, row), ids in zip(restored, whole, strict=True):
        number, length = row["input_ids"].shape
        assert np.array_equal(row["input_ids"], ids[:number, :length])
        assert row["input_ids"].sum() == ids.sum()
        assert np.array_equal(outputs, row["input_ids"] + 1)


def test_padding_examples_keep_a_sequence():
    """A batch of nothing else is not cut to nothing."""
    empty = {"input_mask": tf.zeros([2, MAX_SEQUENCES, MAX_LENGTH], tf.int32)}
    assert pipeline._cut_to_longest(empty, 8)["input_mask"].shape == (2, 1, 8)
    empty = {"input_mask": tf.zeros([2, MAX_LENGTH], tf.int32)}
    assert pipeline._cut_to_longest(empty, 8)["input_mask"].shape == (2, 8)


def test_what_is_cut_where_examples_have_one_sequence():
    """Whatever is as long as the sequences, with all that each place has."""
    mask = tf.sequence_mask([3, 9], MAX_LENGTH, tf.int32)
    batch = {
        "input_mask": mask,
        "token_labels": mask + 1,
        "positions": tf.ones([2, MAX_LENGTH, MAX_LENGTH]),
        "vectors": tf.ones([2, MAX_LENGTH, 3]),
        "windows": tf.ones([2, 3, MAX_LENGTH]),
        "classes": tf.ones([2, MAX_LENGTH - 1]),
        "label_ids": tf.constant([0, 1]),
    }
    cut = pipeline._cut_to_longest(batch, 8)
    assert {name: tuple(value.shape[1:]) for name, value in cut.items()} == {
        "input_mask": (16,),
        "token_labels": (16,),
        "positions": (16, MAX_LENGTH),
        "vectors": (16, 3),
        "windows": (3, MAX_LENGTH),
        "classes": (MAX_LENGTH - 1,),
        "label_ids": (),
    }
    assert np.array_equal(cut["token_labels"], mask[:, :16] + 1)
