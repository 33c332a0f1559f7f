"""The settings of a server, which its worker processes get, too."""

import dataclasses

import joblib
from absl import logging

from bert_tf import choices
from bert_tf.serving.limits import Limits
from bert_tf.serving.web_settings import WebSettings

# With several workers each counts for Prometheus in files of a folder, whose
# name the library takes from this variable when it is imported.
COUNTERS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How models are served.

    Attributes:
        folders: {name of a model: its folder}.
        indexes: {name of a model: the folder of its index}.
        limits: the limits of requests.
        keep_versions: versions of a model that answer.
        poll_seconds: seconds between two looks for new versions.
        max_batch_size: sequences that a model reads at once.
        max_batch_tokens: their tokens.
        batch_wait_seconds: see `batching.Batcher`.
        max_connections: open connections, of all workers together. For gRPC
            it is the number of calls at a time.
        grpc_address: "host:port" for gRPC; None for no gRPC.
        grace_seconds: the longest time to shut down.
        engine, num_threads, on_long: see `predictor.Predictor`.
        with_lengths: whether all answers say how long the texts are.
        num_workers: number of processes.
        start: when the server started, in seconds since 1970; 0 for now.
        verbosity: that of the log.
        web: what is around the requests.
    """

    folders: dict[str, str]
    indexes: dict[str, str] = dataclasses.field(default_factory=dict)
    limits: Limits = Limits()
    keep_versions: int = 2
    poll_seconds: float = 5.0
    max_batch_size: int = choices.BATCH_SIZE
    max_batch_tokens: int = choices.MAX_BATCH_TOKENS
    batch_wait_seconds: float = 0.002
    max_connections: int = 512
    grpc_address: str | None = None
    grace_seconds: float = 30.0
    engine: str | None = None
    num_threads: int | None = None
    on_long: str = "truncate"
    with_lengths: bool = False
    num_workers: int = 1
    start: float = 0.0
    verbosity: int = logging.INFO
    web: WebSettings = WebSettings()

    @property
    def threads_of_worker(self) -> int | None:
        """Threads that compute in a process; None for one for each core."""
        if self.num_threads or self.num_workers == 1:
            return self.num_threads
        return max(1, joblib.cpu_count() // self.num_workers)

    @property
    def calls_of_worker(self) -> int:
        """A process's share of gRPC's calls at a time."""
        return max(1, self.max_connections // self.num_workers)

    @property
    def queue_of_worker(self) -> int:
        """A process's share of `limits.max_queue`."""
        return max(1, self.limits.max_queue // self.num_workers)
