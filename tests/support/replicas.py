"""Small trainings with the settings of its arguments, as a program.

    python replicas.py '{"cpu_replicas": 2, "out": "x.npz", …}' …

How many devices a process has is settled when TensorFlow starts, so that
trainings with other numbers of replicas need other processes.
"""

import dataclasses
import functools
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from bert_tf import distillation_losses, training
from bert_tf.data.row_packing import RowPacking
from bert_tf.heads import BertClassifier
from bert_tf.losses import CLASSIFIER_LOSS
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay
from bert_tf.programs.teaching import Teacher, forward_with
from bert_tf.training import distribution
from support.common import TINY_CONFIG

BATCH_SIZE, NUM_STEPS = 16, 20
DEFAULTS = {
    "cpu_replicas": 0,
    "num_micro_batches": 1,
    "floatx": "float64",
    "policy": None,
    "dropout": 0.0,
    "recompute": False,
    "compute_padding": True,
    "jit_compile": False,
    "loss_scale": None,
    "packed": False,
    "taught": False,
}


def examples():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (20 * BATCH_SIZE, 6)).astype("int32")
    lengths = rng.integers(2, 7, len(ids))
    # Uneven over replicas and micro-batches. Some that are not real have no
    # token, as those that fill up a batch.
    is_real = rng.random(len(ids)) < 0.8
    lengths[~is_real & (rng.random(len(ids)) < 0.5)] = 0
    mask = (np.arange(6) < lengths[:, np.newaxis]).astype("int32")
    return {
        "input_ids": ids * mask,
        "input_mask": mask,
        "segment_ids": np.zeros_like(ids),
        "label_ids": (ids[:, 0] > 9).astype("int32"),
        "is_labelled": (ids[:, 1] > 4).astype("int32"),
        "is_real_example": is_real.astype("int32"),
    }


def batches(first_step):
    dataset = tf.data.Dataset.from_tensor_slices(examples()).repeat()
    return dataset.batch(BATCH_SIZE, drop_remainder=True).skip(first_step)


def packing_of(num_groups):
    """Rows that have room for any two examples each."""
    return RowPacking(
        batch_size=BATCH_SIZE,
        num_groups=num_groups,
        num_rows=-(-BATCH_SIZE // num_groups // 2),
        row_length=12,
    )


def packed_batches(packing):
    """Batches of the same examples as `batches`, in rows of 12 places."""

    def pad(batch):
        paddings = [[0, 0], [0, packing.row_length - 6]]
        return {
            name: tf.pad(values, paddings) if values.shape.rank == 2 else values
            for name, values in batch.items()
        }

    return packing.batches(batches(0).map(pad))


def lesson_for(student, config):
    """(terms of the loss, arguments of the trainer) with a teacher."""
    training.set_seed(8)
    model = BertClassifier(config, 2, dropout_rate=0.1)
    model.bert.read_as(student.bert)
    teacher = Teacher(model, lambda x: {"teacher_logits": x}, ((0, 1), (1, 0)))
    terms = distillation_losses.distilled(
        CLASSIFIER_LOSS, distillation_losses.softmax_loss(2.0), 0.6, 2
    )
    forward = forward_with(student, [1, 0])
    return terms, {"teacher": teacher, "forward": forward}


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, step, logs):
        self.rows.append([logs["loss"], logs["gradient_norm"]])


# Two strategies in one process would mix up their collective operations.
make_strategy = functools.cache(distribution.make_strategy)


def main(settings):
    strategy = make_strategy(cpu_replicas=settings["cpu_replicas"])
    keras.config.set_floatx(settings["floatx"])
    keras.config.set_dtype_policy(settings["policy"] or settings["floatx"])
    rate = settings["dropout"]
    config = dataclasses.replace(
        TINY_CONFIG,
        hidden_dropout_prob=rate,
        attention_probs_dropout_prob=rate,
    )
    training.set_seed(7)
    with strategy.scope():
        model = BertClassifier(config, 2, dropout_rate=rate)
        model.bert.encoder.recompute = settings["recompute"]
        model.bert.compute_padding = settings["compute_padding"]
        terms, hooks = CLASSIFIER_LOSS, {}
        if settings["taught"]:
            terms, hooks = lesson_for(model, config)
        scale = settings["loss_scale"]
        trainer = training.Trainer(
            model,
            AdamWeightDecay(),
            WarmupLinearDecay(1e-3, NUM_STEPS, 2),
            terms,
            strategy,
            clip_norm=0.5,
            num_micro_batches=settings["num_micro_batches"],
            loss_scale=scale and training.LossScale(scale),
            jit_compile=settings["jit_compile"],
            **hooks,
        )
    losses, batches_from = Losses(), batches
    if settings["packed"]:
        parts = settings["num_micro_batches"] * strategy.num_replicas_in_sync
        packing = packing_of(parts)
        model.bert.packed_rows = packing.num_rows
        batches_from = lambda _: packed_batches(packing)  # noqa: E731
    training.train(
        trainer,
        batches_from,
        NUM_STEPS,
        max_steps_per_loop=1,
        callbacks=[losses],
    )
    values = {name: np.array(t) for name, t in trainer.tensors().items()}
    if scale:
        local = strategy.experimental_local_results
        for name, tensor in trainer.tensors().items():
            for other in local(tensor):  # Each replica's own copy.
                assert np.array_equal(np.array(other), values[name]), name
    np.savez(settings["out"], **values, losses=np.array(losses.rows))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main({**DEFAULTS, **json.loads(argument)})
