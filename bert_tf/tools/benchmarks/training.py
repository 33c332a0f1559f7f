"""Measures time and memory of a training step; see benchmark.py."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from bert_tf import BertConfig, pretrained, training
from bert_tf.heads import BertClassifier
from bert_tf.losses import CLASSIFIER_LOSS
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay, clip_factor
from bert_tf.tools.benchmarks.racing import print_table, race
from bert_tf.tools.benchmarks.workloads import parse_shape
from bert_tf.training.progress import ProgressBar, TensorBoard
from bert_tf.training.trainer import CLIP_NORM, gradient_norm

FLAGS = flags.FLAGS
# A small encoder: six layers of width 384.
SMALL_CONFIG = BertConfig(
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
)
STEPS_IN_ROUND = 4
NUM_LABELS = 2


def read_config() -> BertConfig:
    """Returns the config of --bert_config_file, by default SMALL_CONFIG."""
    if not FLAGS.bert_config_file:
        return SMALL_CONFIG
    return pretrained.read_config(FLAGS.bert_config_file)


def random_batch(
    config: BertConfig, batch_size: int, length: int
) -> dict[str, tf.Tensor]:
    """Returns a batch of random tokens and labels."""
    rng = np.random.default_rng(0)
    shape = (batch_size, length)
    return {
        "input_ids": tf.constant(rng.integers(0, config.vocab_size, shape)),
        "input_mask": tf.ones(shape, tf.int32),
        "segment_ids": tf.zeros(shape, tf.int32),
        "label_ids": tf.constant(rng.integers(0, NUM_LABELS, batch_size)),
        "is_real_example": tf.ones(batch_size, tf.int32),
        "example_index": tf.range(batch_size),
    }


def endless(batch: dict[str, tf.Tensor]) -> tf.data.Dataset:
    """Returns a dataset that repeats a batch without end."""
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    options = tf.data.Options()
    # There is nothing to tune, and the program would wait for its thread.
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_trainer(
    config: BertConfig, remat: bool = False, **settings: Any
) -> training.Trainer:
    """Returns the trainer of a classifier with random weights.

    Args:
        config: the encoder's size.
        remat: recompute the layers' outputs in the backward pass.
        **settings: more arguments of `Trainer`.
    """
    model = BertClassifier(config, NUM_LABELS)
    model.bert.encoder.recompute = remat
    return training.Trainer(
        model,
        AdamWeightDecay(),
        WarmupLinearDecay(1e-6, 10**6),
        CLASSIFIER_LOSS,
        **settings,
    )


def benchmark_step() -> None:
    """Compares steps of the training loop with a bare one.

    The bare step is forward pass, backward pass and update; the difference is
    what the loop costs.
    """
    config = read_config()
    batch = random_batch(config, FLAGS.batch_size, FLAGS.max_seq_length)
    settings: dict[str, dict[str, Any]] = {
        "the engine": {},
        "the engine, xla": {"jit_compile": True},
        "the engine, remat": {"remat": True},
        "the engine, 4 micro-batches": {"num_micro_batches": 4},
    }
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            name: engine_steps(make_trainer(config, **each), batch, folder)
            for name, each in settings.items()
        }
        contestants["bare step"] = bare_steps(make_trainer(config), batch)
        seconds = race(contestants, FLAGS.rounds)
    print_table(
        f"Training {config.num_hidden_layers} layers of {config.hidden_size} "
        f"on {FLAGS.batch_size} sequences of {FLAGS.max_seq_length}, on "
        f"{os.cpu_count()} cores. The bare step is only forward pass, backward "
        "pass, clipping and update, on a batch in memory.",
        "examples/s",
        FLAGS.batch_size * STEPS_IN_ROUND,
        seconds,
    )


def engine_steps(
    trainer: training.Trainer, batch: dict[str, tf.Tensor], folder: str
) -> Callable[[], None]:
    """Returns work that trains with the programs' loop and callbacks.

    Args:
        trainer: trains.
        batch: the batch of every step.
        folder: gets TensorBoard's files.
    """
    dataset = endless(batch)

    def work():
        end = int(trainer.global_step.numpy()) + STEPS_IN_ROUND
        callbacks = [ProgressBar(FLAGS.batch_size)]
        callbacks.append(TensorBoard(folder, FLAGS.batch_size))
        training.train(trainer, lambda step: dataset, end, callbacks=callbacks)

    return work


def bare_steps(
    trainer: training.Trainer, batch: dict[str, tf.Tensor]
) -> Callable[[], None]:
    """Returns work with the same arithmetic, written out for one device."""
    optimizer, variables = trainer.optimizer, trainer.variables
    one, scale = [tf.constant(float(FLAGS.batch_size))], tf.constant(1.0)

    # The batch is an argument, because TensorFlow would compute with constants
    # only once, when it optimizes the graph.
    @tf.function
    def step(batch, seed):
        loss, squares, *gradients = trainer.forward_backward(
            batch, seed, one, scale
        )
        norm = gradient_norm(gradients, squares, trainer._sliced)
        factor = clip_factor(norm, CLIP_NORM)
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient * factor, variable, 1e-6)
        return loss

    def work():
        for index in range(STEPS_IN_ROUND):
            step(batch, tf.constant([0, index]))

    return work


def benchmark_memory() -> None:
    """Prints the peak memory of training steps, each in its own process."""
    config = read_config()
    remat, parts = "--remat", "--gradient_accumulation_steps=4"
    columns = {}
    for precision in ("float32", "bfloat16"):
        setting = f"--precision={precision}"
        columns[precision] = [setting]
        columns[f"{precision}, remat"] = [setting, remat]
        columns[f"{precision}, 4 parts"] = [setting, parts]
        columns[f"{precision}, remat, 4 parts"] = [setting, remat, parts]
    print(
        f"\nGB of memory to train {config.num_hidden_layers} layers of "
        f"{config.hidden_size}, beyond TensorFlow's own, by batch size x "
        "sequence length.\n"
    )
    print(f"| | {' | '.join(columns)} |")
    print("|---" * (1 + len(columns)) + "|")
    for shape in FLAGS.shapes:
        batch_size, length = parse_shape(shape)
        cells = [
            memory_of_a_step(batch_size, length, flags_)
            for flags_ in columns.values()
        ]
        print(f"| {shape} | {' | '.join(cells)} |", flush=True)


def memory_of_a_step(batch_size: int, length: int, settings: list[str]) -> str:
    """Returns the GB of a training step in a process of its own, as text.

    Args:
        batch_size: sequences in the batch.
        length: tokens in a sequence.
        settings: more flags of the program.
    """
    command = [
        sys.executable,
        "-m",
        "bert_tf.tools.benchmark",
        "--what=one_step",
        f"--batch_size={batch_size}",
        f"--max_seq_length={length}",
        *settings,
    ]
    if FLAGS.bert_config_file:
        command.append(f"--bert_config_file={FLAGS.bert_config_file}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "out of memory"
    return done.stdout.split()[-1]


def print_memory_of_a_step() -> None:
    """Trains two steps and prints the GB that they needed."""
    keras.config.set_dtype_policy(training.POLICIES[FLAGS.precision])
    config = read_config()
    before = peak_memory()
    trainer = make_trainer(
        config,
        remat=FLAGS.remat,
        num_micro_batches=FLAGS.gradient_accumulation_steps,
        jit_compile=FLAGS.xla,
    )
    batch = random_batch(config, FLAGS.batch_size, FLAGS.max_seq_length)
    dataset = endless(batch)
    training.train(trainer, lambda step: dataset, 2)
    print(f"{(peak_memory() - before) / 1e9:.2f}")


def peak_memory() -> int:
    """Returns the largest memory so far, in bytes.

    It is the first GPU's if there is one, else that of this process.
    """
    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
