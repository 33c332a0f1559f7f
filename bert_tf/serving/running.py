"""A server's settings, and one process that serves with them."""

import functools
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import logging

from bert_tf.export.predictor import Predictor
from bert_tf.metrics import retrieval
from bert_tf.serving import signatures, texts
from bert_tf.serving.batching import Batcher, Columns
from bert_tf.serving.fleet import Fleet
from bert_tf.serving.layers import make_tracing
from bert_tf.serving.metrics import Metrics
from bert_tf.serving.models import Changing, ServedModel, Watch
from bert_tf.serving.served_index import ServedIndex
from bert_tf.serving.server import Companion, Server
from bert_tf.serving.settings import ServerSettings
from bert_tf.serving.state import Serving


def serve(
    settings: ServerSettings,
    listener: socket.socket,
    on_start: Callable[[], None],
    fleet: Fleet | None = None,
    on_loaded: Callable[[], None] = lambda: None,
) -> int:
    """Loads the models, and serves them until a signal comes.

    Args:
        settings: the server's settings.
        listener: the socket that it listens on.
        on_start: function(), called when it accepts connections.
        fleet: the server's workers, of which this process is one; None if it
            is the server.
        on_loaded: function(), called when the models are loaded, before it
            accepts connections.

    Returns:
        The number of requests that were accepted and not answered.

    Raises:
        UserError: a model cannot be loaded.
    """
    serving = load_models(settings, fleet)
    watched: list[Changing] = [*serving.models.values()]
    watched += serving.indexes.values()
    watch = Watch(watched, settings.poll_seconds)
    server = Server(
        serving,
        on_start=on_start,
        max_connections=settings.max_connections,
        grace_seconds=settings.grace_seconds,
        companion=make_endpoint(settings, serving),
    )
    on_loaded()
    server.run(sockets=[listener])
    watch.close()
    serving.explanations.close()
    if serving.tracing:
        serving.tracing.close()
    if server.num_unanswered:
        logging.error("%d requests were not answered", server.num_unanswered)
    return server.num_unanswered


def load_models(settings: ServerSettings, fleet: Fleet | None) -> Serving:
    """Loads the models of a process.

    Args:
        settings, fleet: see `serve`.

    Raises:
        UserError: a model cannot be loaded, or did not make its index.
    """
    if fleet:
        threads = settings.threads_of_worker
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    serving = Serving(
        models={},
        limits=settings.limits,
        metrics=Metrics(fleet),
        start=settings.start or time.time(),
        fleet=fleet,
        web=settings.web,
        tracing=make_tracing(settings.web),
    )
    # Before the models, so that a wrong folder is named soon.
    for name, folder in settings.indexes.items():
        serving.indexes[name] = ServedIndex(
            name,
            folder,
            functools.partial(make_search_batcher, settings, serving, name),
        )
    for name, folder in settings.folders.items():
        index = serving.indexes.get(name)
        load_one = functools.partial(load, settings)
        serving.models[name] = ServedModel(
            name,
            folder,
            load=index.loading(load_one) if index else load_one,
            make_batcher=functools.partial(make_batcher, settings, serving),
            keep_versions=settings.keep_versions,
            fleet=fleet,
        )
        serving.models[name].start()
        if index:
            index.start(serving.models[name])
    return serving


def make_endpoint(
    settings: ServerSettings, serving: Serving
) -> Companion | None:
    """Makes what answers over gRPC, if the settings ask for it."""
    if settings.grpc_address is None:
        return None
    # Importing gRPC takes time that a server without it does not need.
    from bert_tf.serving.rpc.endpoint import Endpoint

    return Endpoint(
        serving,
        settings.grpc_address,
        is_shared=settings.num_workers > 1,
        max_calls=settings.calls_of_worker,
    )


def load(settings: ServerSettings, folder: str) -> Predictor:
    """Loads a model with the engine of the settings."""
    return Predictor(
        folder,
        engine=settings.engine,
        max_batch_tokens=settings.max_batch_tokens,
        num_threads=settings.threads_of_worker,
        on_long=settings.on_long,
        with_lengths=settings.with_lengths,
    )


def make_batcher(
    settings: ServerSettings, serving: Serving, name: str, predictor: Predictor
) -> Batcher:
    """Makes the batcher of a model."""
    # A model for accelerators has a fixed batch size.
    fixed = predictor.info.get("batch_size")
    run = functools.partial(signatures.run, predictor)
    return Batcher(
        serving.tracing.of_batches(name, run) if serving.tracing else run,
        prepare=functools.partial(texts.prepare, predictor, settings.limits),
        max_batch_size=min(settings.max_batch_size, fixed or sys.maxsize),
        max_batch_tokens=None if fixed else settings.max_batch_tokens,
        max_wait_seconds=settings.batch_wait_seconds,
        max_queue=settings.queue_of_worker,
        weigh=texts.num_sequences,
        count_tokens=texts.num_tokens,
        group=functools.partial(texts.group_of, predictor),
        more_of=texts.lengths_of,
        observe=serving.metrics.batch_sizes.labels(name).observe,
    )


def make_search_batcher(
    settings: ServerSettings,
    serving: Serving,
    name: str,
    run: Callable[[Any, list[Any]], Columns],
) -> Batcher:
    """Makes the batcher of the index of a model.

    Args:
        settings, serving: those of the process.
        name: the name of the model.
        run: searches the queries of a batch.
    """
    if serving.tracing:
        run = serving.tracing.of_batches(f"{name} search", run)
    return Batcher(
        run,
        max_batch_size=retrieval.QUERY_BLOCK,
        max_wait_seconds=settings.batch_wait_seconds,
        max_queue=settings.queue_of_worker,
    )
