"""Steps of `VectorTrainer` on one and two replicas, in one part and in four.

    python -m support.vector_steps OUTPUT.npz

writes {run/what: array}. It runs by itself because it splits the CPU.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from bert_tf import BertConfig, vector_losses
from bert_tf.optimization import AdamWeightDecay
from bert_tf.pooling import BertEmbedder
from bert_tf.training import distribution
from bert_tf.training.vector_trainer import VectorTrainer

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=12,
    type_vocab_size=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
NUM_ROWS, NUM_STEPS = 8, 3
# {name: (replicas, 0 for none; parts of a batch)}
RUNS = {
    "one": (0, 1),
    "one, 4 parts": (0, 4),
    "two": (2, 1),
    "two, 4 parts": (2, 4),
}
# Each run takes seconds to trace.
COMPARED = (
    ("one, 4 parts", "in_batch"),
    ("two, 4 parts", "in_batch"),
    ("two", "cosent"),
    ("two", "cosine"),
    ("two", "triplet"),
)
LOSSES = {
    "in_batch": vector_losses.matryoshka(
        vector_losses.in_batch_negatives(), [16, 4]
    ),
    "cosent": vector_losses.cosent(),
    "cosine": vector_losses.cosine_regression(),
    "triplet": vector_losses.triplet(),
}


def batches(num_texts=3):
    rng = np.random.default_rng(3)
    shape = NUM_STEPS, NUM_ROWS, num_texts, 6
    lengths = rng.integers(2, 7, shape[:-1])
    mask = (np.arange(6) < lengths[..., None]).astype(np.int32)
    is_real = np.ones(shape[:2], np.int32)
    is_real[:, -1] = 0
    return tf.data.Dataset.from_tensor_slices(
        {
            "input_ids": (rng.integers(1, 50, shape) * mask).astype(np.int32),
            "input_mask": mask,
            "segment_ids": np.zeros(shape, np.int32),
            "is_real_example": is_real,
            "label_values": rng.random(shape[:2]).astype(np.float32),
        }
    )


def run(loss, num_replicas, num_parts):
    """{name: weights after the steps} and the losses."""
    if num_replicas:
        strategy = distribution.make_strategy(cpu_replicas=num_replicas)
    else:
        strategy = tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(5)
        model = BertEmbedder(CONFIG, layers=(-1,))
        trainer = VectorTrainer(
            model,
            AdamWeightDecay(),
            lambda step: tf.constant(1e-3),
            loss,
            strategy,
            num_micro_batches=num_parts,
        )
    iterator = iter(distribution.distribute(strategy, batches()))
    logs = [
        trainer.train_steps(iterator, tf.constant(1), tf.constant(0.0))
        for _ in range(NUM_STEPS)
    ]
    values = {v.path: np.array(v) for v in model.weights}
    values["loss"] = np.array([log["loss"] for log in logs])
    values["norm"] = np.array([log["gradient_norm"] for log in logs])
    return values


def main(path):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    arrays = {}
    for name, loss in (*(("one", loss) for loss in LOSSES), *COMPARED):
        for what, array in run(LOSSES[loss], *RUNS[name]).items():
            arrays[f"{name}/{loss}/{what}"] = array
    np.savez(path, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
