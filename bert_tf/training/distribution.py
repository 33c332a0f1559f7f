"""The tf.distribute strategy for a training, and batches for its replicas.

A strategy makes *replicas* of the model, one on each device. Each replica gets
its share of every global batch.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator

import tensorflow as tf
from absl import logging

from bert_tf import files
from bert_tf.choices import STRATEGIES
from bert_tf.errors import UserError

# {name: tensor [B, …]}: the features of B examples.
Batch = dict[str, tf.Tensor]


def make_strategy(
    name: str = "auto",
    *,
    cpu_replicas: int = 0,
    tpu_name: str | None = None,
    tpu_zone: str | None = None,
    gcp_project: str | None = None,
    num_tpu_cores: int = 8,
) -> tf.distribute.Strategy:
    """Makes a strategy, and sets up the devices for it.

    Call it before TensorFlow does anything else.

    Args:
        name: one of `STRATEGIES`. "mirrored" uses all GPUs of this machine,
            "multi_worker_mirrored" those of all machines that the environment
            variable TF_CONFIG names. "auto" uses what is there: several
            machines if TF_CONFIG names them, all GPUs if there are several,
            else one device.
        cpu_replicas: splits the CPU into N devices, and uses them instead of
            GPUs; 0 does not split it. This is slower than one device, but
            lets you try what runs on several.
        tpu_name: name or grpc:// address of the TPU; "local", the default, on
            a TPU VM.
        tpu_zone, gcp_project: zone and project in which that name is looked
            up.
        num_tpu_cores: how many cores are expected. All cores of the TPU are
            used; a warning says if there are more or fewer.

    Raises:
        UserError: the strategy cannot be made here.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"known are {', '.join(STRATEGIES)}",
            setting="distribution_strategy",
            value=name,
        )
    num_workers = _num_workers()
    if name == "auto" and num_workers > 1:
        name = "multi_worker_mirrored"
    if cpu_replicas and name not in ("auto", "mirrored"):
        raise UserError(
            "these are for one process and `distribution_strategy`=mirrored, "
            f"not {name}",
            setting="cpu_replicas",
            value=cpu_replicas,
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
    """How many workers TF_CONFIG names; 0 without it.

    Raises:
        UserError: TF_CONFIG does not have the form that TensorFlow reads.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0
    try:
        settings = json.loads(text)
        cluster, task = settings["cluster"], settings["task"]
        kind, index = task["type"], task["index"]
        if not set(cluster) <= {"chief", "worker"}:
            raise ValueError("jobs must be 'worker', or 'chief' and 'worker'")
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
            "the environment variable TF_CONFIG must name two workers at least",
            setting="distribution_strategy",
            value="multi_worker_mirrored",
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:  # A port in use, a worker not there.
        raise UserError(
            f"TF_CONFIG={os.environ['TF_CONFIG']}: {files.reason(error)}"
        ) from error


def _cpu_devices(number: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != number:
            raise UserError(
                str(error), setting="cpu_replicas", value=number
            ) from None
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
            f"the TPU cannot be used: {reason or type(error).__name__}",
            setting="tpu_name",
            value=name,
        ) from error
    num_cores = strategy.num_replicas_in_sync
    if num_cores != num_tpu_cores:
        logging.warning(
            "num_tpu_cores=%d, but the TPU has %d cores; all are used",
            num_tpu_cores,
            num_cores,
        )
    return strategy


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether it runs on a TPU."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run's files: only one of them does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def num_processes(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    jobs = resolver.cluster_spec().as_dict()
    return sum(len(jobs.get(job, ())) for job in ("chief", "worker"))


def any_process(strategy: tf.distribute.Strategy, fact: bool) -> bool:
    """Whether a fact is true in any process; each waits for all the others."""
    if num_processes(strategy) == 1:
        return fact
    with lost_processes(strategy):
        votes = strategy.run(lambda: tf.constant(float(fact)))
        return bool(strategy.reduce("SUM", votes, axis=None) > 0)


@contextlib.contextmanager
def lost_processes(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Raises a UserError if another process of this training has ended."""
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
            "and training resumes from the last checkpoint"
        ) from error


def check_divisible(
    strategy: tf.distribute.Strategy,
    setting: str,
    batch_size: int,
    num_parts: int = 1,
) -> None:
    """Checks that a global batch can be split evenly.

    Args:
        strategy: the strategy, whose replicas share the batch.
        setting: name of the setting of the batch size, for the message.
        batch_size: examples in a global batch.
        num_parts: micro-batches in each replica.

    Raises:
        UserError: it cannot.
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
            by.append(f"`gradient_accumulation_steps`={num_parts}")
        raise UserError(
            f"`{setting}`={batch_size} does not divide by "
            f"{' times '.join(by)}: use {near}"
        )


def distribute(
    strategy: tf.distribute.Strategy, dataset: tf.data.Dataset
) -> Iterable[Batch]:
    """Splits global batches into the shares of the replicas.

    Replica r takes rows [r B / R, (r + 1) B / R) of a batch of B. Every
    process makes the whole batches, so all processes need the same order.

    Args:
        strategy: a strategy of R replicas.
        dataset: batches; all of the same size B if R > 1.

    Returns:
        An iterable of batches for `strategy.run`.
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
