"""The server's numbers, as Prometheus reads them."""

import prometheus_client as prometheus

# Seconds; from a small model on a GPU to a long queue.
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
LATENCIES += (0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of its own."""

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

    def count(self, route: str, model: str, status: int, seconds: float):
        self.requests.labels(route, model, str(status)).inc()
        self.seconds.labels(route, model).observe(seconds)

    def text(self, models: dict) -> bytes:
        """All of them; what models tell of themselves is asked now."""
        self.versions.clear()
        for name, model in models.items():
            self.queue.labels(name).set(model.num_waiting)
            for version in model.status():
                answers = version["state"] == "AVAILABLE"
                self.versions.labels(name, version["version"]).set(answers)
        return prometheus.generate_latest(self.registry)


CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
