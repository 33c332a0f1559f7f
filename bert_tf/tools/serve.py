"""Serves exported models over HTTP, with TensorFlow Serving's REST API.

    python -m bert_tf.tools.serve --model=sms=out/export --port=8501

and then

    curl -d '{"instances": ["you win a prize"]}' \\
        http://localhost:8501/v1/models/sms:predict

http://localhost:8501/ is a page to try the model on, and /docs describes all
addresses. For several models, give --model several times. An embedding model
also answers bert-as-service's /encode, and with --index=FOLDER, which the tool
search writes, /search.
"""

import dataclasses
import functools
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from absl import flags, logging

from bert_tf import extras
from bert_tf.errors import UserError
from bert_tf.programs import engine_flags, program
from bert_tf.programs import flags as shared_flags
from bert_tf.serving import log_formats
from bert_tf.serving.fleet import Board, Fleet
from bert_tf.serving.limits import Limits
from bert_tf.serving.listening import (
    address_of,
    bind,
    target_of,
)
from bert_tf.serving.settings import COUNTERS_VARIABLE, ServerSettings
from bert_tf.serving.workers import Workers
from bert_tf.tools import serve_flags, serve_folders, serve_grpc

if TYPE_CHECKING:
    from bert_tf.serving.waiting import WaitingRoom

FLAGS = flags.FLAGS
REQUIRED = ("model",)

serve_folders.define()
flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. By default only this machine can connect; 0.0.0.0 "
    "allows all machines; --api_key_file then keeps out strangers.",
)
shared_flags.define_count(
    "port",
    8501,
    "Port to listen on; 0 for any free port.",
    lower_bound=0,
    upper_bound=65535,
)
serve_grpc.define()
serve_flags.define()
shared_flags.define_count(
    "workers",
    1,
    "Number of processes that serve the models on the port; each loads them.",
)
shared_flags.define_count(
    "keep_versions", 2, "Number of versions that answer: the newest ones."
)
shared_flags.define_float(
    "poll_seconds",
    5.0,
    "Seconds between two looks for new versions.",
    lower_bound=0.1,
)
engine_flags.define()
shared_flags.define_count(
    "max_batch_size",
    32,
    "Sequences that the model runs at once, from all requests together.",
)
shared_flags.define_float(
    "batch_wait_ms",
    2.0,
    "Milliseconds that a batch waits for clients that have just been "
    "answered. A single client never waits.",
    lower_bound=0.0,
)
shared_flags.define_count(
    "max_texts",
    Limits.max_texts,
    "Texts in a request; more are refused with status 413.",
)
shared_flags.define_count(
    "max_sequences",
    Limits.max_sequences,
    "Sequences that the model reads for one text, such as the windows of a "
    "long context; more are refused with status 413.",
)
shared_flags.define_count(
    "max_body_bytes",
    Limits.max_body_bytes,
    "Bytes in a request's body; more are refused with status 413.",
)
shared_flags.define_count(
    "max_text_bytes",
    Limits.max_text_bytes,
    "Bytes of one text in UTF-8; more are refused with status 413.",
)
shared_flags.define_count(
    "max_queue",
    Limits.max_queue,
    "Sequences that wait for a model; more are refused with status 429.",
)
shared_flags.define_count(
    "max_connections",
    512,
    "Open connections; more are refused with status 503. Also gRPC's calls at "
    "a time; more are refused as RESOURCE_EXHAUSTED.",
)
shared_flags.define_float(
    "body_seconds",
    Limits.body_seconds,
    "Seconds for a request's body to arrive; then it is refused with status "
    "408.",
    lower_bound=0.1,
)
shared_flags.define_float(
    "request_seconds",
    Limits.request_seconds,
    "Seconds for the model to answer a request; then it is refused with "
    "status 504.",
    lower_bound=0.1,
)
shared_flags.define_count(
    "grace_seconds",
    30,
    "Seconds to answer the accepted requests after SIGTERM or Ctrl-C.",
)


def main() -> None:
    # 1. Check the flags and the port before a model is loaded.
    extras.require("serving", "the server")
    settings = read_settings()
    listener = bind(FLAGS.host, FLAGS.port)
    names = ", ".join(settings.folders)
    scheme = "https" if settings.web.tls_cert else "http"
    message = f"Serving {names} at {address_of(listener, scheme)}"
    if FLAGS.grpc_port is not None:
        reserved = serve_grpc.reserve_port(FLAGS.workers)
        target = target_of(reserved)
        settings = dataclasses.replace(settings, grpc_address=target)
        message += f", and over gRPC at {target}"
    announce = functools.partial(print, message, flush=True)
    log_formats.use(settings.web.log_format)
    # 2. Load the models, and serve them until a signal comes.
    if settings.num_workers == 1:
        with make_waiting_room(settings, listener) as waiting_room:
            from bert_tf.serving.running import serve
            from bert_tf.serving.server import end_process

            unanswered = serve(
                settings, listener, announce, on_loaded=waiting_room.close
            )
            end_process(1 if unanswered else 0)
    serve_with_workers(settings, listener, announce)


def make_waiting_room(
    settings: ServerSettings, listener: socket.socket
) -> "WaitingRoom":
    """Lets a thread answer probes while the models load."""
    from bert_tf.serving.waiting import WaitingRoom

    context = settings.web.tls_context()
    return WaitingRoom(listener, [*settings.folders], context)


def serve_with_workers(
    settings: ServerSettings,
    listener: socket.socket,
    announce: Callable[[], None],
) -> None:
    """Serves with several processes, and ends the program.

    Raises:
        UserError: a model cannot be loaded.
    """
    # While a version is replaced, a worker may hold three times as many.
    num_versions = 3 * settings.keep_versions + 1
    board = Board(settings.num_workers, [*settings.folders], num_versions)
    with tempfile.TemporaryDirectory(prefix="bert-serve-") as counters:

        def make_process(number: int, message: Connection) -> BaseProcess:
            return multiprocessing.get_context("spawn").Process(
                target=work,
                args=(settings, listener, board, number, counters, message),
            )

        workers = Workers(
            board,
            make_process,
            listener,
            FLAGS.grace_seconds,
            functools.partial(make_waiting_room, settings, listener),
        )
        status = workers.run(announce)
    if status:
        sys.exit(status)


def work(
    settings: ServerSettings,
    listener: socket.socket,
    board: Board,
    number: int,
    counters: str,
    message: Connection,
) -> None:
    """Serves in a process that was started for it.

    Args:
        settings: the server's settings.
        listener: the socket on which all workers listen.
        board: what they know of each other.
        number: the number of this worker, from 0.
        counters: the folder in which they count for Prometheus.
        message: is sent "" when this one answers, or why it cannot.
    """
    FLAGS(sys.argv[:1])  # For the log.
    logging.use_absl_handler()
    logging.set_verbosity(settings.verbosity)
    log_formats.use(settings.web.log_format)
    os.environ[COUNTERS_VARIABLE] = counters  # Read by the import below.
    with program.flags_in_the_log():
        from bert_tf.serving.running import serve
        from bert_tf.serving.server import end_process

        fleet = Fleet(board, number)
        end_with_parent()

        def answers() -> None:
            fleet.set_ready(os.getpid())
            message.send("")

        try:
            unanswered = serve(settings, listener, answers, fleet)
        except UserError as error:
            # With the marks around the names of settings.
            message.send(error.message_for(lambda name: f"`{name}`"))
            end_process(1)
        end_process(1 if unanswered else 0)


def end_with_parent() -> None:
    """Ends this process as a signal does when its parent has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # Workers have one.

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def read_settings() -> ServerSettings:
    """Returns the settings that the flags ask for.

    Raises:
        UserError: they contradict each other, name no models, or an index of
            none.
    """
    program.require(*REQUIRED)
    folders = serve_folders.models()
    return ServerSettings(
        folders=folders,
        indexes=serve_folders.indexes(folders),
        limits=read_limits(),
        keep_versions=FLAGS.keep_versions,
        poll_seconds=FLAGS.poll_seconds,
        max_batch_size=FLAGS.max_batch_size,
        batch_wait_seconds=FLAGS.batch_wait_ms / 1000,
        max_connections=FLAGS.max_connections,
        grace_seconds=FLAGS.grace_seconds,
        **engine_flags.settings(),
        num_workers=FLAGS.workers,
        start=time.time(),
        verbosity=logging.get_verbosity(),
        web=serve_flags.read(),
    )


def read_limits() -> Limits:
    """Returns the limits that the flags set.

    Raises:
        UserError: a request may hold more texts than the queue.
    """
    if FLAGS.max_texts > FLAGS.max_queue:
        raise UserError(
            f"--max_texts={FLAGS.max_texts} exceeds --max_queue="
            f"{FLAGS.max_queue}: such a request would never be accepted"
        )
    return Limits(
        max_body_bytes=FLAGS.max_body_bytes,
        max_text_bytes=FLAGS.max_text_bytes,
        max_texts=FLAGS.max_texts,
        max_sequences=FLAGS.max_sequences,
        max_queue=FLAGS.max_queue,
        body_seconds=FLAGS.body_seconds,
        request_seconds=FLAGS.request_seconds,
    )


if __name__ == "__main__":
    program.run(main, required=REQUIRED, logs_time=True)
