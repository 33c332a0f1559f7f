"""Examples in rows: each once, in their order, none across another."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data import pipeline
from bert_tf.data.row_packing import RowPacking

NUM_EXAMPLES, LENGTH = 150, 20
LENGTHS = np.random.default_rng(1).integers(2, LENGTH + 1, NUM_EXAMPLES)


@pytest.fixture(
    params=[
        (2, 3),  # Too few rows.
        pytest.param((4, 2), marks=pytest.mark.slow),
        pytest.param((1, 8), marks=pytest.mark.slow),
        pytest.param((1, 1), marks=pytest.mark.slow),
    ]
)
def packing(request):
    num_groups, num_rows = request.param
    return RowPacking(
        batch_size=12,
        num_groups=num_groups,
        num_rows=num_rows,
        row_length=LENGTH,
    )


def to_features(rows):
    mask = tf.sequence_mask(rows["length"], LENGTH, tf.int32)
    number = tf.cast(rows["number"], tf.int32)
    return {
        "input_ids": mask * (1 + number[:, tf.newaxis]),
        "input_mask": mask,
        "label_ids": number,
        "weights": tf.fill(tf.shape(number), 0.5),
        "is_real_example": tf.ones_like(number),
    }


def rows():
    return tf.data.Dataset.from_tensor_slices(
        {"number": np.arange(NUM_EXAMPLES), "length": LENGTHS.astype("int32")}
    )


def batches(packing, number, first_step=0):
    dataset = pipeline.packed_batches(
        rows(),
        to_features,
        packing,
        num_examples=NUM_EXAMPLES,
        seed=3,
        first_step=first_step,
    )
    return list(dataset.take(number).as_numpy_iterator())


def examples_in_order(number):
    """The numbers of the first examples that training sees."""
    dataset = pipeline.training_batches(
        rows(), to_features, num_examples=NUM_EXAMPLES, batch_size=1, seed=3
    )
    return [int(b["label_ids"][0]) for b in dataset.take(number)]


def rows_of(batch, packing):
    """What lies where: int [all rows, places], 0 for nothing."""
    found = np.zeros([packing.num_groups * packing.num_rows, LENGTH], int)
    for place in np.flatnonzero(batch["is_real_example"]):
        number = batch["label_ids"][place]
        group = place // packing.group_size
        row = group * packing.num_rows + batch["packed_row"][place]
        assert batch["packed_row"][place] < packing.num_rows
        start = batch["packed_offset"][place]
        end = start + LENGTHS[number]
        assert end <= LENGTH and not found[row, start:end].any()
        found[row, start:end] = 1 + number
        ids = batch["input_ids"][place]
        assert (ids == (1 + number) * (np.arange(LENGTH) < end - start)).all()
    return found


def plain_first_fit(lengths, packing):
    """Whether all examples fit, one by one as the module says."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    room = np.full([packing.num_groups, packing.num_rows], LENGTH)
    for turn, index in enumerate(order):
        there_and_back, place = divmod(turn, packing.num_groups)
        group = room[-1 - place if there_and_back % 2 else place]
        fitting = np.flatnonzero(group >= lengths[index])
        if not len(fitting):
            return False
        group[fitting[0]] -= lengths[index]
    return True


def test_a_batch_has_the_next_examples_that_fit(monkeypatch, packing):
    monkeypatch.setattr(pipeline, "WINDOW", 48)
    order, seen = examples_in_order(4 * NUM_EXAMPLES), []
    num_short = 0
    all_batches = batches(packing, 40)
    for batch in all_batches:
        assert {len(values) for values in batch.values()} == {12}
        is_real = batch["is_real_example"] > 0
        for name, values in batch.items():
            assert not values[~is_real].any(), name
        assert (batch["weights"][is_real] == 0.5).all()
        number = int(is_real.sum())
        chosen = order[len(seen) : len(seen) + number]
        assert sorted(batch["label_ids"][is_real]) == sorted(chosen)
        tokens = np.count_nonzero(rows_of(batch, packing))
        assert tokens == LENGTHS[chosen].sum()
        assert plain_first_fit(LENGTHS[chosen], packing)
        if number < 12:
            num_short += 1
            more = order[len(seen) : len(seen) + number + 2]
            assert not plain_first_fit(LENGTHS[more], packing)
        seen += chosen
    num_rows = packing.num_groups * packing.num_rows
    assert 0 < num_short <= (20 if num_rows == 8 else 40)

    # A run that resumes sees what it would have seen.
    for ours, theirs in zip(
        batches(packing, 3, first_step=23), all_batches[23:26], strict=True
    ):
        for name, values in theirs.items():
            assert np.array_equal(ours[name], values), name


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", [1, 4])
def test_few_examples_wait_for_the_next_batch(num_groups):
    lengths = np.random.default_rng(2).integers(4, 40, 3000)
    packing = RowPacking.fitting(
        lengths, batch_size=64, num_groups=num_groups, row_length=64
    )
    counts = packing.counts(tf.constant(lengths, tf.int32)).numpy()
    assert 0.96 < counts.mean() / 64 <= 1
    smaller = RowPacking(
        batch_size=64,
        num_groups=num_groups,
        num_rows=packing.num_rows - 1,
        row_length=64,
    )
    counts = smaller.counts(tf.constant(lengths, tf.int32)).numpy()
    assert counts.mean() / 64 < 0.98
    assert 0.75 < packing.fill(lengths) < 1


def test_long_examples_need_rows_of_their_own():
    packing = RowPacking.fitting(
        np.array([60, 64]), batch_size=8, num_groups=2, row_length=64
    )
    assert packing.num_rows == 4 and not packing.saves_rows
