"""Chooses how many rows the examples of a batch share, for --pack_sequences."""

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from bert_tf.counts import number_of
from bert_tf.data.row_packing import RowPacking
from bert_tf.programs import console

FLAGS = flags.FLAGS


def choose(
    model: keras.Model, strategy: tf.distribute.Strategy, lengths: np.ndarray
) -> RowPacking | None:
    """Chooses the packing of a training's batches, and logs it.

    Args:
        model: the model, whose `packed_rows` are set.
        strategy: the strategy that trains it.
        lengths: int [any], the lengths of examples.

    Returns:
        The packing; None if each example needs a row of its own.
    """
    parts = FLAGS.gradient_accumulation_steps * strategy.num_replicas_in_sync
    packing = RowPacking.fitting(
        lengths,
        batch_size=FLAGS.train_batch_size,
        num_groups=parts,
        row_length=FLAGS.max_seq_length,
    )
    if not packing.saves_rows:
        where = f", where a batch has {parts} parts" if parts > 1 else ""
        console.show(
            "Packing",
            "--pack_sequences saves nothing: examples of these lengths need a "
            "row of --max_seq_length=%d each%s",
            FLAGS.max_seq_length,
            where,
        )
        return None
    where = f", in each of the {parts} parts of a batch" if parts > 1 else ""
    console.show(
        "Packing",
        "--pack_sequences: %s of --max_seq_length=%d for %d examples%s; "
        "tokens fill about %.0f %% of the places, without packing %.0f %%",
        number_of(packing.num_rows, "row"),
        FLAGS.max_seq_length,
        packing.group_size,
        where,
        100 * packing.fill(lengths),
        100 * float(np.mean(lengths)) / FLAGS.max_seq_length,
    )
    model.bert.packed_rows = packing.num_rows
    return packing
