"""The server's counters, in the format that Prometheus reads."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import prometheus_client as prometheus
from prometheus_client import multiprocess
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from bert_tf.serving.fleet import Fleet
from bert_tf.serving.models import ServedModel

# In seconds, from a small model on a GPU to a long queue.
LATENCIES: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
LATENCIES += (0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
# Of these the processes' smallest number is shown, of others the sum.
_SMALLEST = ("process_start_time_seconds", "process_max_fds")


class Metrics:
    """The counters of one server.

    Args:
        fleet: the server's workers, which count together; None if this process
            is the server.
    """

    def __init__(self, fleet: Fleet | None = None):
        self._fleet = fleet
        self._counters = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "bert_requests_total",
            "Requests that were answered.",
            ["route", "model", "status"],
            registry=self._counters,
        )
        self.seconds = prometheus.Histogram(
            "bert_request_seconds",
            "From a request's head to the end of its answer.",
            ["route", "model"],
            buckets=LATENCIES,
            registry=self._counters,
        )
        self.batch_sizes = prometheus.Histogram(
            "bert_batch_size",
            "Texts in a batch that a model ran.",
            ["model"],
            buckets=BATCH_SIZES,
            registry=self._counters,
        )

    def count(
        self, route: str, model: str, status: int, seconds: float
    ) -> None:
        """Counts a request that was answered.

        Args:
            route: the pattern of its address.
            model: the model's name; "" where there is none.
            status: the HTTP status of the answer.
            seconds: from the request's head to the end of the answer.
        """
        self.requests.labels(route, model, str(status)).inc()
        self.seconds.labels(route, model).observe(seconds)

    def text(
        self,
        models: Mapping[str, ServedModel],
        waiting: Mapping[str, int],
        index_sizes: Mapping[str, int],
    ) -> bytes:
        """Writes all counters; the models' are read now.

        Args:
            models: the served models by name.
            waiting: number of rows that wait for each.
            index_sizes: number of texts in the index of each that has one.
        """
        registry = prometheus.CollectorRegistry()
        for collect in (
            self._count,
            lambda: _of_models(models, waiting),
            lambda: _of_indexes(index_sizes),
            lambda: _of_processes(self._fleet),
        ):
            registry.register(_Collector(collect))
        return prometheus.generate_latest(registry)

    def _count(self) -> Iterable[Metric]:
        if self._fleet:
            return multiprocess.MultiProcessCollector(None).collect()
        return self._counters.collect()


class _Collector:
    """A collector, as the library has it, of a function."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]):
        self.collect = collect

    def describe(self) -> list[Metric]:
        return []


def _of_models(
    models: Mapping[str, ServedModel], waiting: Mapping[str, int]
) -> Iterator[Metric]:
    queue = GaugeMetricFamily(
        "bert_queue_length", "Texts that wait for a model.", labels=["model"]
    )
    versions = GaugeMetricFamily(
        "bert_model_version_available",
        "1 for each version of a model that answers, 0 for one that does not.",
        labels=["model", "version"],
    )
    engines = GaugeMetricFamily(
        "bert_model_engine",
        "1 for the engine that computes a version of a model.",
        labels=["model", "version", "engine"],
    )
    for name, model in models.items():
        queue.add_metric([name], waiting[name])
        for version in model.status():
            answers = version["state"] == "AVAILABLE"
            number = str(version["version"])
            versions.add_metric([name, number], answers)
        for loaded, engine in model.engines().items():
            engines.add_metric([name, str(loaded), engine], 1)
    yield from (queue, versions, engines)


def _of_indexes(sizes: Mapping[str, int]) -> Iterator[Metric]:
    texts = GaugeMetricFamily(
        "bert_index_texts", "Texts that /search searches.", labels=["model"]
    )
    for name, size in sizes.items():
        texts.add_metric([name], size)
    yield texts


def _of_processes(fleet: Fleet | None) -> Iterator[Metric]:
    """The processes' memory, time and open files, of all workers together."""
    together: dict[str, Metric] = {}
    for pid in fleet.pids if fleet else [os.getpid()]:
        own = prometheus.ProcessCollector(
            registry=None, pid=functools.partial(int, pid)
        )
        for metric in own.collect():
            known = together.setdefault(metric.name, metric)
            if known is not metric:
                join = min if metric.name in _SMALLEST else sum
                (first,), (other,) = known.samples, metric.samples
                value = join((first.value, other.value))
                known.samples = [first._replace(value=value)]
    yield from together.values()
