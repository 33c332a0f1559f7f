"""The state of one server: its models, limits and counters, and /status."""

import dataclasses
import datetime
import platform
import time
from typing import TYPE_CHECKING

import tensorflow as tf

import bert_tf
from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.explain import Explanations
from bert_tf.serving.fleet import Fleet
from bert_tf.serving.limits import Limits
from bert_tf.serving.metrics import Metrics
from bert_tf.serving.models import ServedModel
from bert_tf.serving.pages import page_of
from bert_tf.serving.served_index import ServedIndex
from bert_tf.serving.web_settings import WebSettings

if TYPE_CHECKING:
    from bert_tf.serving.tracing import Tracing


@dataclasses.dataclass(kw_only=True)
class Serving:
    """The models, limits and counters of one server.

    Attributes:
        models: the served models by name.
        limits: the limits of requests.
        metrics: the counters for Prometheus.
        is_ending: whether the server is shutting down.
        start: when the server started, in seconds since 1970.
        fleet: the server's workers; None if this process is the server.
        explanations: the thread that explains answers.
        web: what is around the requests.
        tracing: makes spans of requests and batches; None for none.
        indexes: the indexes that are searched, by the names of their models.
    """

    models: dict[str, ServedModel]
    limits: Limits = dataclasses.field(default_factory=Limits)
    metrics: Metrics = dataclasses.field(default_factory=Metrics)
    is_ending: bool = False
    start: float = dataclasses.field(default_factory=time.time)
    fleet: Fleet | None = None
    explanations: Explanations = dataclasses.field(default_factory=Explanations)
    web: WebSettings = WebSettings()
    tracing: "Tracing | None" = None
    indexes: dict[str, ServedIndex] = dataclasses.field(default_factory=dict)
    _num_requests: int = 0

    @property
    def num_requests(self) -> int:
        """Number of requests answered so far, by all workers."""
        return self.fleet.num_requests if self.fleet else self._num_requests

    def count_request(
        self, route: str, model: str, status: int, seconds: float
    ) -> None:
        """Counts a request that was answered, see `Metrics.count`."""
        if self.fleet:
            self.fleet.count_request()
        self._num_requests += 1
        self.metrics.count(route, model, status, seconds)

    def num_waiting(self, name: str) -> int:
        """Returns how many rows wait for a model, in all workers."""
        number = self.models[name].num_waiting
        if self.fleet:
            self.fleet.set_waiting(name, number)
            return self.fleet.num_waiting(name)
        return number

    def model(self, name: str) -> ServedModel:
        """Returns the model of a name.

        Raises:
            Refusal: no model has this name.
        """
        if name not in self.models:
            names = ", ".join(self.models)
            raise Refusal(404, f"no model {shown(name)}; there are {names}")
        return self.models[name]

    def only_model(self, kind: str) -> str:
        """Returns the name of the one model of a kind.

        Raises:
            Refusal: no model is of this kind, or several are.
        """
        names = [
            name
            for name, model in self.models.items()
            if _kind_of(model) == kind
        ]
        if len(names) != 1:
            listed = ", ".join(names) or "none"
            raise Refusal(
                400, f"model must name one of the {kind} models: {listed}"
            )
        return names[0]

    def index(self, name: str) -> ServedIndex:
        """Returns the index of a model.

        Raises:
            Refusal: it has none.
        """
        if name not in self.indexes:
            names = ", ".join(self.indexes) or "none"
            raise Refusal(
                404, f"the model {name} has no index; those with one: {names}"
            )
        return self.indexes[name]

    def only_index(self) -> str:
        """Returns the name of the one model that has an index.

        Raises:
            Refusal: none has one, or several have.
        """
        names = [*self.indexes]
        if not names:
            raise Refusal(404, "this server has no index to search in")
        if len(names) > 1:
            listed = ", ".join(names)
            raise Refusal(
                400, f"model must name one of those with an index: {listed}"
            )
        return names[0]

    def status(self) -> dict[str, object]:
        """Describes the server and its models, for /status."""
        start = datetime.datetime.fromtimestamp(self.start, datetime.UTC)
        return {
            "status": 200,
            "server_start_time": start.isoformat(timespec="seconds"),
            "seconds_up": round(time.time() - self.start, 1),
            "num_requests": self.num_requests,
            "server_version": bert_tf.__version__,
            "show_tokens_to_client": True,
            "python_version": platform.python_version(),
            "tensorflow_version": tf.__version__,
            "limits": dataclasses.asdict(self.limits),
            "num_workers": self.fleet.num_workers if self.fleet else 1,
            "models": {
                name: _description(
                    model, self.num_waiting(name), self.indexes.get(name)
                )
                for name, model in self.models.items()
            },
        }

    def metrics_text(self) -> bytes:
        """Writes the counters for Prometheus."""
        waiting = {name: self.num_waiting(name) for name in self.models}
        sizes = {n: len(served.index) for n, served in self.indexes.items()}
        return self.metrics.text(self.models, waiting, sizes)


def _kind_of(model: ServedModel) -> str:
    with model.use() as version:
        return version.predictor.kind


def _description(
    model: ServedModel, num_waiting: int, index: ServedIndex | None
) -> dict[str, object]:
    with model.use() as version:
        predictor = version.predictor
        return {
            "kind": predictor.kind,
            "page": page_of(predictor, is_searched=index is not None),
            "input_names": list(predictor.input_names),
            "labels": list(predictor.labels or []),
            "max_seq_length": predictor.info.get("max_seq_length"),
            "signatures": sorted(predictor.signatures),
            "engine": predictor.engine,
            "queue_length": num_waiting,
            "versions": model.status(),
            **({"index": index.status()} if index else {}),
        }
