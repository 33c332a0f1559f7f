"""The tf.distribute strategy that the flags ask for, and batches for it.

A strategy makes *replicas* of the model, one on each device; each gets its
share of every global batch.
"""

import contextlib
import json
import os
import re

import tensorflow as tf
from absl import logging

from bert_tf import files
from bert_tf.errors import UserError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")


def make_strategy(
    name: str = "auto",
    *,
    cpu_replicas: int = 0,
    tpu_name: str | None = None,
    tpu_zone: str | None = None,
    gcp_project: str | None = None,
    num_tpu_cores: int = 8,
) -> tf.distribute.Strategy:
    """Call it before TensorFlow does anything else: it sets up the devices.

    Args:
        name: "one_device"; "mirrored", all GPUs of this machine;
            "multi_worker_mirrored", those of all the machines that the
            environment variable TF_CONFIG names; "tpu"; or "auto", which
            takes what is there: several machines if TF_CONFIG names them, all
            GPUs if there are several, else one device.
        cpu_replicas: splits the CPU into so many devices, and uses them in the
            place of GPUs; 0 for none. Slower than one, but a way to try.
        tpu_name: name or grpc:// address of the TPU; "local", the default, on
            a TPU VM.
        tpu_zone, gcp_project: where that name is looked up.
        num_tpu_cores: how many cores are expected. All that the TPU has are
            used; another number is logged.

    Raises:
        UserError: the strategy cannot be made here.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"--distribution_strategy={name}: known are {', '.join(STRATEGIES)}"
        )
    num_workers = _num_workers()
    if name == "auto" and num_workers > 1:
        name = "multi_worker_mirrored"
    if cpu_replicas and name not in ("auto", "mirrored"):
        raise UserError(
            f"--cpu_replicas={cpu_replicas}: these are for one process and "
            f"--distribution_strategy=mirrored, not {name}"
        )
    if name == "tpu":
        return _tpu(tpu_name or "local", tpu_zone, gcp_project, num_tpu_cores)
    if name == "multi_worker_mirrored":
        return _multi_worker(num_workers)
    if cpu_replicas:
        return tf.distribute.MirroredStrategy(_cpu_devices(cpu_replicas))
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "mirrored" or name == "auto" and num_gpus > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _num_workers() -> int:
    """Workers that TF_CONFIG names; 0 without it.

    Raises:
        UserError: it is not as TensorFlow wants it.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0
    try:
        settings = json.loads(text)
        cluster, task = settings["cluster"], settings["task"]
        kind, index = task["type"], task["index"]
        if not set(cluster) <= {"chief", "worker"}:
            raise ValueError("jobs must be `worker`, or `chief` and `worker`")
        for addresses in cluster.values():
            if not isinstance(addresses, list) or not all(
                re.fullmatch(r".+:\d+", address) for address in addresses
            ):
                raise ValueError('a job must be a list of "host:port"')
        if kind not in cluster or index not in range(len(cluster[kind])):
            raise ValueError("the task is not one of the cluster's")
    except KeyError as error:
        raise UserError(
            f"TF_CONFIG={text}: {error.args[0]!r} is missing"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG={text}: {error}") from None
    return sum(len(addresses) for addresses in cluster.values())


def _multi_worker(num_workers):
    if num_workers < 2:
        raise UserError(
            "--distribution_strategy=multi_worker_mirrored: the environment "
            "variable TF_CONFIG must name two workers at least"
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:  # A port in use, a worker not there.
        raise UserError(
            f"TF_CONFIG={os.environ['TF_CONFIG']}: {files.reason(error)}"
        ) from error


def _cpu_devices(number: int) -> list:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != number:
            raise UserError(f"--cpu_replicas={number}: {error}") from None
    return [f"CPU:{index}" for index in range(number)]


def _tpu(name, zone, project, num_tpu_cores):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=name, zone=zone, project=project
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # The resolver raises whatever its parts do.
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"--tpu_name={name}: the TPU cannot be used: "
            f"{reason or type(error).__name__}"
        ) from error
    num_cores = strategy.num_replicas_in_sync
    if num_cores != num_tpu_cores:
        logging.warning(
            "--num_tpu_cores=%d, but the TPU has %d cores; all are used",
            num_tpu_cores,
            num_cores,
        )
    return strategy


def is_tpu(strategy) -> bool:
    return isinstance(strategy, tf.distribute.TPUStrategy)


def is_chief(strategy) -> bool:
    """Whether this process writes the run's files: one of several does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def num_processes(strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    jobs = resolver.cluster_spec().as_dict()
    return sum(len(jobs.get(job, ())) for job in ("chief", "worker"))


def any_process(strategy, fact: bool) -> bool:
    """Whether it is true in any process; each waits here for all others."""
    if num_processes(strategy) == 1:
        return fact
    with lost_processes(strategy):
        votes = strategy.run(lambda: tf.constant(float(fact)))
        return bool(strategy.reduce("SUM", votes, axis=None) > 0)


@contextlib.contextmanager
def lost_processes(strategy):
    """Says in a UserError that a process which works along has ended."""
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    ) as error:
        if num_processes(strategy) == 1:
            raise
        raise UserError(
            "another process of TF_CONFIG has ended: start all of them again, "
            "and training goes on from the last checkpoint"
        ) from error


def check_divisible(strategy, flag: str, batch_size: int, num_parts: int = 1):
    """Raises UserError unless a global batch parts evenly.

    Args:
        strategy: its replicas.
        flag: that gave the batch size, for the message.
        batch_size: examples in a global batch.
        num_parts: micro-batches in each replica.
    """
    replicas = strategy.num_replicas_in_sync
    parts = replicas * num_parts
    if batch_size % parts:
        lower, upper = (
            batch_size // parts * parts,
            -(-batch_size // parts) * parts,
        )
        near = " or ".join(str(n) for n in (lower, upper) if n)
        by = [f"{replicas} replicas"] if replicas > 1 else []
        if num_parts > 1:
            by.append(f"--gradient_accumulation_steps={num_parts}")
        raise UserError(
            f"--{flag}={batch_size} does not divide by {' times '.join(by)}: "
            f"use {near}"
        )


def distribute(strategy, dataset: tf.data.Dataset):
    """An iterable of global batches, in the parts that the replicas take.

    Replica r takes rows [r B / R, (r + 1) B / R) of a batch of B. Every
    process makes the whole batches, so all of them need the same order.

    Args:
        strategy: of R replicas.
        dataset: dicts of tensors; all batches of the same size B if R > 1.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def of_process(context):
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def shares(batch):
            return {
                name: tf.stack(tf.split(value, replicas)[first : first + local])
                for name, value in batch.items()
            }

        return dataset.map(shares).unbatch()

    return strategy.distribute_datasets_from_function(of_process)
