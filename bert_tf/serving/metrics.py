"""The server's counters, in the format that Prometheus reads."""

from collections.abc import Mapping

import prometheus_client as prometheus

from bert_tf.serving.models import ServedModel

# In seconds, from a small model on a GPU to a long queue.
LATENCIES: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
LATENCIES += (0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self):
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        self.requests = prometheus.Counter(
            "bert_requests_total",
            "Requests that were answered.",
            ["route", "model", "status"],
            registry=self.registry,
        )
        self.seconds = prometheus.Histogram(
            "bert_request_seconds",
            "From a request's head to the end of its answer.",
            ["route", "model"],
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.batch_sizes = prometheus.Histogram(
            "bert_batch_size",
            "Texts in a batch that a model ran.",
            ["model"],
            buckets=BATCH_SIZES,
            registry=self.registry,
        )
        self.queue = prometheus.Gauge(
            "bert_queue_length",
            "Texts that wait for a model.",
            ["model"],
            registry=self.registry,
        )
        self.versions = prometheus.Gauge(
            "bert_model_version_available",
            "1 for each version of a model that answers, 0 for one that fails.",
            ["model", "version"],
            registry=self.registry,
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

    def text(self, models: Mapping[str, ServedModel]) -> bytes:
        """Writes all counters; the models' are read now.

        Args:
            models: the served models by name.
        """
        self.versions.clear()
        for name, model in models.items():
            self.queue.labels(name).set(model.num_waiting)
            for version in model.status():
                answers = version["state"] == "AVAILABLE"
                self.versions.labels(name, version["version"]).set(answers)
        return prometheus.generate_latest(self.registry)


CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
