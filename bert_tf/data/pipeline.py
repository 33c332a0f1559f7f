"""Takes examples to the device: shuffled, grouped by length, batched.

    examples     one dict of scalars each: texts, labels, a record
      cache      in memory, where the shuffle buffer holds them all anyway
      shuffle    each epoch in its own order
      window     some thousand examples at once: converted to numbers, and on
                 request sorted by length, so that batches are short
      batch      cut to its longest sequence, or packed into rows

Examples become numbers only after the shuffle buffer, which therefore holds
texts, the smallest form of them. Nothing waits for a pass over all the
examples, and memory is bounded by the buffer.

An example has one sequence, [N, S], or several, [N, W, S]: windows of a text,
or endings to choose from; the rank of `input_mask` says which. An example with
fewer sequences than others is filled up at the end with sequences of zeros.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.autograph import as_written
from bert_tf.data.row_packing import RowPacking, lengths_of
from bert_tf.text.packing import LENGTH_MULTIPLE

# Examples that are mixed, and held in memory, at most.
SHUFFLE_BUFFER = 100_000
# Examples that are converted, and grouped by length, together.
WINDOW = 2048
BLOCK = 1024  # Examples that come from Python at once.
MEASURED = 10_000  # Examples whose length is measured, or up to twice as many.

Features = dict[str, tf.Tensor]
# Function(rows {name: [N]}) that returns features, {name: [N, …]}.
ToFeatures = Callable[[dict[str, tf.Tensor]], Features]


def from_examples(
    examples: Iterable[Any],
    encode: Callable[[Any], Mapping[str, Any]],
    signature: Mapping[str, tf.TensorSpec | tf.DType],
) -> tf.data.Dataset:
    """A dataset of Python examples, converted as they are needed.

    Args:
        examples: an iterable that can be iterated more than once.
        encode: function(example) -> {name: bytes or number}.
        signature: {name: tf.TensorSpec of one example}, or a tf.DType for a
            scalar.
    """
    specs = {
        name: spec
        if isinstance(spec, tf.TensorSpec)
        else tf.TensorSpec([], spec)
        for name, spec in signature.items()
    }

    def blocks():
        iterator = iter(examples)
        while block := [*map(encode, itertools.islice(iterator, BLOCK))]:
            yield {
                name: np.array(
                    [row[name] for row in block],
                    object
                    if spec.dtype == tf.string
                    else spec.dtype.as_numpy_dtype,
                )
                for name, spec in specs.items()
            }

    return tf.data.Dataset.from_generator(
        blocks,
        output_signature={
            name: tf.TensorSpec([None, *spec.shape], spec.dtype)
            for name, spec in specs.items()
        },
    ).unbatch()


def training_batches(
    examples: tf.data.Dataset,
    to_features: ToFeatures,
    *,
    num_examples: int,
    batch_size: int,
    seed: int = 0,
    first_step: int = 0,
    fixed_length: bool = False,
    length_multiple: int = LENGTH_MULTIPLE,
    group_by_length: bool = False,
) -> tf.data.Dataset:
    """Full batches without end; every epoch has each example once.

    Each example's features contain its place in the file, `example_index`.

    Unlike the original, whose shuffle buffer of 100 hardly mixes a file that
    is sorted by label, up to `SHUFFLE_BUFFER` examples are mixed. The order
    depends on `seed`, and on TensorFlow's global seed, alone.

    Args:
        examples: a dataset of dicts of scalars, in the order of the file.
        to_features: function({name: [N]}) -> {name: [N, …]}, with
            `input_mask` among them, [N, S] or [N, W, S].
        num_examples: the number of examples.
        batch_size: examples in a batch, over all replicas.
        seed: random seed of the order.
        first_step: batches to leave out at the start, without computing them,
            for a training that resumes.
        fixed_length: leave the length and the number of sequences as
            `to_features` returns them, for devices that compile for one shape.
        length_multiple: the length of a batch is a multiple of this. XLA
            compiles again for each length, and for each number of sequences.
        group_by_length: batch examples of similar length; see
            `_grouped_by_length`.
    """
    window = window_size(batch_size)
    first_window, left_out = divmod(first_step, window // batch_size)

    def convert(index, rows):
        features = _features(*rows, to_features)
        if not group_by_length:
            return features
        places = index * window + tf.range(window, dtype=tf.int64)
        epochs = places // num_examples
        return _grouped_by_length(features, epochs, batch_size, [seed, index])

    examples = _shuffled(examples, num_examples, seed, first_window * window)
    windows = examples.batch(window, drop_remainder=True)
    windows = windows.enumerate(first_window)
    windows = windows.map(convert, num_parallel_calls=tf.data.AUTOTUNE)
    batches = _batches_of(windows, batch_size, drop_remainder=True)
    batches = batches.skip(left_out)
    if not fixed_length:
        batches = batches.map(lambda b: _cut_to_longest(b, length_multiple))
    return batches.prefetch(tf.data.AUTOTUNE)


def packed_batches(
    examples: tf.data.Dataset,
    to_features: ToFeatures,
    packing: RowPacking,
    *,
    num_examples: int,
    seed: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """The batches of `training_batches`, packed into rows of the full length.

    The examples come in the same order. A batch ends where the next example
    does not fit, and rows of zeros fill it up.

    Args:
        examples, to_features, num_examples, seed, first_step: as for
            `training_batches`; each example has one sequence.
        packing: how they are packed.
    """
    window = window_size(packing.batch_size)

    def rows_from(first):
        rows = _shuffled(examples, num_examples, seed, first)
        return rows.batch(window, drop_remainder=True)

    return packing.training_batches(
        rows_from,
        lambda _, rows: lengths_of(to_features(rows)["input_mask"]),
        lambda index, rows: _features(index, rows, to_features),
        first_step,
    )


def some_lengths(
    examples: tf.data.Dataset, to_features: ToFeatures, num_examples: int
) -> np.ndarray:
    """The lengths of examples: of all, or of many from all parts of the file.

    Args:
        examples, to_features, num_examples: as for `packed_batches`.

    Returns:
        int32 [any].
    """
    some = examples.shard(max(1, num_examples // MEASURED), 0)
    lengths = some.batch(WINDOW).map(
        lambda rows: lengths_of(to_features(rows)["input_mask"])
    )
    return np.concatenate([*lengths.as_numpy_iterator()])


def evaluation_batches(
    examples: tf.data.Dataset,
    to_features: ToFeatures,
    *,
    batch_size: int,
    fixed_length: bool = False,
    length_multiple: int = LENGTH_MULTIPLE,
    fill_last_batch: bool = False,
    max_batch_tokens: int | None = None,
) -> tf.data.Dataset:
    """Every example once, with its `example_index`, to be put in order again.

    Args:
        examples, to_features, batch_size, fixed_length, length_multiple: as
            for `training_batches`.
        fill_last_batch: fill up the last batch with rows of zeros, for devices
            that compile for one size. Their `is_real_example` is 0.
        max_batch_tokens: if given, a batch has more than `batch_size` examples
            as long as their places, padding included, are not more than this.
    """
    window = window_size(batch_size)

    def convert(index, rows):
        features = _features(index, rows, to_features)
        if fixed_length:
            return features
        order = tf.argsort(_lengths(features), stable=True)
        return {name: tf.gather(x, order) for name, x in features.items()}

    windows = examples.enumerate().batch(window)
    windows = windows.map(convert, num_parallel_calls=tf.data.AUTOTUNE)
    if max_batch_tokens is None or fixed_length:
        batches = _batches_of(windows, batch_size, drop_remainder=False)
    else:
        batches = windows.flat_map(
            lambda window: _batches_by_tokens(
                window, batch_size, max_batch_tokens
            )
        )
    if not fixed_length:
        batches = batches.map(lambda b: _cut_to_longest(b, length_multiple))
    if fill_last_batch:
        batches = batches.map(lambda batch: fill_up(batch, batch_size))
    return batches.prefetch(tf.data.AUTOTUNE)


def in_file_order(
    batches: Iterable[tuple[Any, Mapping[str, np.ndarray]]],
) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Undoes the grouping of `evaluation_batches`.

    Args:
        batches: (outputs, batch) each, arrays or dicts of arrays of the same
            first dimension, as `training.inference.BatchRunner` yields them.

    Yields:
        (output, features) of each real example, without that dimension.
    """
    waiting, turn = {}, 0
    for outputs, batch in batches:
        for row in np.flatnonzero(batch["is_real_example"]):
            index = int(batch["example_index"][row])
            waiting[index] = tf.nest.map_structure(
                lambda values, row=row: values[row], (outputs, batch)
            )
        while turn in waiting:
            yield waiting.pop(turn)
            turn += 1


def window_size(batch_size: int) -> int:
    """How many examples a window has: a whole number of batches."""
    return batch_size * max(1, WINDOW // batch_size)


def _shuffled(examples, num_examples, seed, first):
    """(index, example) without end, each epoch in an order of its own.

    Args:
        examples, num_examples, seed: as for `training_batches`.
        first: examples to leave out at the start.
    """
    first_epoch, place = divmod(first, num_examples)
    examples = examples.enumerate()
    if num_examples <= SHUFFLE_BUFFER:
        examples = examples.cache()

    def epoch_of(number):
        return examples.shuffle(
            min(num_examples, SHUFFLE_BUFFER),
            seed=seed + number,
            reshuffle_each_iteration=False,
        )

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return epochs.flat_map(epoch_of).skip(place)


def _features(index, rows, to_features):
    return {**to_features(rows), "example_index": index}


@as_written
def _lengths(features):
    """int32 [N]: the tokens of each example, in all its sequences."""
    mask = features["input_mask"]
    return tf.reduce_sum(mask, axis=list(range(1, mask.shape.rank)))


def _grouped_by_length(features, epochs, batch_size, seed):
    """A window's examples in an order whose batches need little padding.

    They are sorted by length, and the batches then put into a random order.
    Where length says something about the label, a batch then tends to have one
    label, which can spoil a training with a high learning rate.

    Args:
        features: of the window's examples, [N, …] each.
        epochs: int64 [N]. Epochs stay one after the other: a window may hold
            the end of one and the start of the next.
        batch_size: examples in a batch.
        seed: two numbers, of the random order.
    """
    lengths = _lengths(features)
    epochs = tf.cast(epochs - epochs[0], tf.int32)
    longest = tf.reduce_max(lengths)
    by_length = tf.argsort(epochs * (longest + 1) + lengths, stable=True)
    batches = tf.reshape(by_length, [-1, batch_size])
    first = tf.gather(epochs, batches[:, 0])
    last = tf.gather(epochs, batches[:, -1])
    # A batch across two epochs stays between those of either.
    turn = tf.cast(first + last, tf.float32)
    chance = tf.random.stateless_uniform(tf.shape(turn), seed=seed)
    order = tf.reshape(tf.gather(batches, tf.argsort(turn + chance)), [-1])
    return {name: tf.gather(x, order) for name, x in features.items()}


def _batches_of(windows, batch_size, drop_remainder):
    return windows.flat_map(
        lambda window: tf.data.Dataset.from_tensor_slices(window).batch(
            batch_size, drop_remainder
        )
    )


def _batches_by_tokens(window, batch_size, max_batch_tokens):
    """Batches of a window, {name: [N, …]}, whose lengths are in order."""
    sizes = tf.cast(_lengths(window), tf.int64)
    limits = _limits_of_batches(sizes, batch_size, max_batch_tokens)
    starts = tf.concat([[0], limits[:-1]], axis=0)
    places = tf.data.Dataset.from_tensor_slices((starts, limits))
    return places.map(
        lambda start, limit: {n: x[start:limit] for n, x in window.items()}
    )


@as_written
def _limits_of_batches(sizes, batch_size, max_batch_tokens):
    """The ends of batches, int64 [batches], of sizes in ascending order."""
    number = tf.size(sizes, tf.int64)

    def add(start, limits):
        places = tf.range(1, number - start + 1) * sizes[start:]
        fitting = tf.math.count_nonzero(places <= max_batch_tokens)
        limit = start + tf.maximum(fitting, batch_size)
        limit = tf.minimum(limit, number)
        return limit, tf.concat([limits, [limit]], axis=0)

    _, limits = tf.while_loop(
        lambda start, limits: start < number,
        add,
        [tf.constant(0, tf.int64), tf.zeros([0], tf.int64)],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    )
    return limits


@as_written
def _cut_to_longest(batch, multiple):
    """Cuts features with a value for each token to what the batch needs.

    That is the length of the longest sequence and, where examples have
    several, also the number of them in the example that has most.
    """
    mask = batch["input_mask"]
    lengths = tf.reduce_sum(mask, axis=-1)
    rounded = -(-tf.reduce_max(lengths) // multiple) * multiple
    # A batch of padding examples alone would be cut to nothing.
    cuts = [slice(tf.maximum(rounded, multiple))]
    if mask.shape.rank == 3:
        numbers = tf.math.count_nonzero(lengths, axis=1, dtype=tf.int32)
        cuts.insert(0, slice(tf.maximum(tf.reduce_max(numbers), 1)))

    def has_tokens(value):
        # Both sizes must agree: W or S alone may equal the number of classes.
        return value.shape[1 : mask.shape.rank] == mask.shape[1:]

    return {
        name: value[:, *cuts] if has_tokens(value) else value
        for name, value in batch.items()
    }


def fill_up(batch: Features, batch_size: int) -> Features:
    """Appends rows of zeros, whose `is_real_example` is 0."""
    missing = batch_size - tf.shape(batch["input_mask"])[0]

    def fill(values):
        paddings = [[0, missing]] + [[0, 0]] * (len(values.shape) - 1)
        filled = tf.pad(values, paddings)
        return tf.ensure_shape(filled, [batch_size, *values.shape[1:]])

    return {name: fill(values) for name, values in batch.items()}
