"""Sets up devices and precision as the flags ask."""

import os
from collections.abc import Iterable

import keras
import tensorflow as tf
from absl import flags

from bert_tf import memory, training
from bert_tf.counts import number_of
from bert_tf.programs import console
from bert_tf.programs.program import value_of
from bert_tf.training import distribution

FLAGS = flags.FLAGS


def set_up(modes: Iterable[str]) -> tf.distribute.Strategy:
    """Sets up devices and precision; call it before anything of TensorFlow.

    Args:
        modes: such as "train" and "eval", whose batch sizes must divide.

    Raises:
        UserError: a device is not there, or a batch size does not divide.
    """
    memory.keep_freed_memory()
    name = FLAGS.distribution_strategy
    strategy = distribution.make_strategy(
        "tpu" if FLAGS.use_tpu else name,
        cpu_replicas=FLAGS.cpu_replicas,
        tpu_name=FLAGS.tpu_name or FLAGS.master,
        tpu_zone=FLAGS.tpu_zone,
        gcp_project=FLAGS.gcp_project,
        num_tpu_cores=FLAGS.num_tpu_cores,
    )
    for mode in modes:
        flag = f"{mode}_batch_size"
        num_parts = FLAGS.gradient_accumulation_steps if mode == "train" else 1
        distribution.check_divisible(strategy, flag, value_of(flag), num_parts)
    keras.config.set_dtype_policy(training.POLICIES[FLAGS.precision])
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    console.show("Devices", f"{description(strategy)}; {FLAGS.precision}")
    return strategy


def description(strategy: tf.distribute.Strategy) -> str:
    """Where a strategy computes: "CPU with 2 cores", "4 replicas on GPU: …"."""
    kind = "TPU" if distribution.is_tpu(strategy) else "CPU"
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "CPU" and gpus and not FLAGS.cpu_replicas:
        details = tf.config.experimental.get_device_details(gpus[0])
        kind = f"GPU {details.get('device_name', '')}".strip()
    if kind == "CPU":
        kind = f"CPU with {number_of(len(os.sched_getaffinity(0)), 'core')}"
    number = strategy.num_replicas_in_sync
    return f"{number} replicas on {kind}" if number > 1 else kind


def needs_full_batches(strategy: tf.distribute.Strategy) -> bool:
    """Whether every batch must be full: for a TPU, and for several replicas."""
    return distribution.is_tpu(strategy) or strategy.num_replicas_in_sync > 1


def needs_full_length(strategy: tf.distribute.Strategy) -> bool:
    """Whether every sequence is padded to --max_seq_length."""
    return distribution.is_tpu(strategy) or FLAGS.pad_to_max_length


def needs_static_shapes(strategy: tf.distribute.Strategy) -> bool:
    """Whether all batches must have one shape: for a TPU, XLA, and full length.

    Pretraining has no --pad_to_max_length: its records have one length, but
    not the same tokens.
    """
    is_padded = "pad_to_max_length" in FLAGS and FLAGS.pad_to_max_length
    return distribution.is_tpu(strategy) or FLAGS.xla or is_padded
