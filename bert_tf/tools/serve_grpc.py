"""The flag of `serve` for gRPC, and the port that it names."""

import socket

from absl import flags

from bert_tf import extras
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.serving.listening import reserve

FLAGS = flags.FLAGS
flags.disclaim_key_flags()


def define() -> None:
    """Defines the flag."""
    shared_flags.define_count(
        "grpc_port",
        None,
        "Port for gRPC: TensorFlow Serving's services and the Open Inference "
        "Protocol; 0 for any free port. Without this flag gRPC is not served.",
        lower_bound=0,
        upper_bound=65535,
    )


def reserve_port(num_workers: int) -> socket.socket:
    """Keeps the port for the processes that will listen there.

    Args:
        num_workers: number of these processes.

    Raises:
        UserError: gRPC's library is not there, or the port is in use.
    """
    port = FLAGS.grpc_port
    if absent := extras.missing("grpc"):
        raise UserError(
            extras.need("grpc", absent), setting="grpc_port", value=port
        )
    if port and port == FLAGS.port:
        raise UserError(
            "must not be the port of HTTP", setting="grpc_port", value=port
        )
    return reserve(FLAGS.host, port, is_shared=num_workers > 1)
