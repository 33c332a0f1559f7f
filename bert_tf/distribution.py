"""The tf.distribute strategy that a program's flags ask for."""

import tensorflow as tf
from absl import logging

from bert_tf.errors import UserError


def make_strategy(
    use_tpu: bool = False,
    tpu_name: str | None = None,
    tpu_zone: str | None = None,
    gcp_project: str | None = None,
    master: str | None = None,
    num_tpu_cores: int = 8,
) -> tf.distribute.Strategy:
    """One device, or all cores of a TPU.

    Args:
        use_tpu: whether to connect to a TPU.
        tpu_name: name or grpc:// address of the TPU; "local" on a TPU VM.
        tpu_zone, gcp_project: where that name is looked up.
        master: address of the TPU where it has no name.
        num_tpu_cores: how many cores are expected. All that the TPU has are
            used; another number is logged.

    Raises:
        UserError: the TPU cannot be reached.
    """
    if not use_tpu:
        return tf.distribute.get_strategy()
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=tpu_name or master or "local",
            zone=tpu_zone,
            project=gcp_project,
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # The resolver raises whatever its parts do.
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"--use_tpu: the TPU {tpu_name or master or 'local'!r} cannot be "
            f"used: {reason or type(error).__name__}"
        ) from error
    num_cores = strategy.num_replicas_in_sync
    if num_cores != num_tpu_cores:
        logging.warning(
            "--num_tpu_cores=%d, but the TPU has %d cores; all are used",
            num_tpu_cores,
            num_cores,
        )
    return strategy
