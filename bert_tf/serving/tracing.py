"""Traces for OpenTelemetry: a span for each request, call and batch.

A request, or a call of gRPC, continues the trace that its `traceparent` names.
A batch may hold texts of many requests, so its span is a trace of its own. Its
time is that of the model alone.

It needs the packages of the extra `otel`.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import (
    TraceContextTextMapPropagator,
)
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

import bert_tf
from bert_tf.serving.answer_status import AnswerStatus

SERVICE = "bert-serve"
PATH = "/v1/traces"  # OTLP's, where the endpoint has no path.
EXPORT_SECONDS = 5
END_MS = 3000
_HEADERS = {"traceparent", "tracestate"}
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans, and sends them to a collector in a thread.

    Args:
        endpoint: the collector's URL, such as http://localhost:4318.
        exporter: what takes the spans in place of the collector.
    """

    def __init__(self, endpoint: str, exporter: SpanExporter | None = None):
        if urlsplit(endpoint).path in ("", "/"):
            endpoint = endpoint.rstrip("/") + PATH
        exporter = exporter or OTLPSpanExporter(
            endpoint=endpoint, timeout=EXPORT_SECONDS
        )
        names = {"service.version": bert_tf.__version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            names["service.name"] = SERVICE
        # Not the global one: the framework would make spans, too.
        self._provider = TracerProvider(resource=Resource.create(names))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("bert_tf.serving")

    def close(self) -> None:
        """Sends what was not sent yet, but does not wait for long."""
        self._provider.force_flush(END_MS)

    def of_requests(self, app: ASGIApp) -> ASGIApp:
        """Lets an application have a span for each request."""
        return _Requests(app, self.tracer)

    def of_batches(
        self, name: str, run: Callable[[Any, list[Any]], Any]
    ) -> Callable[[Any, list[Any]], Any]:
        """Lets a function that runs batches have a span for each.

        Args:
            name: the model's name.
            run: function(key of the first row, payloads), see `Batcher`.
        """

        def traced(key: Any, payloads: list[Any]) -> Any:
            with self.tracer.start_as_current_span(f"batch {name}") as span:
                span.set_attribute("bert.model", name)
                span.set_attribute("bert.batch_size", len(payloads))
                return run(key, payloads)

        return traced

    @contextlib.contextmanager
    def of_call(
        self, route: str, metadata: Iterable[tuple[str, Any]]
    ) -> Iterator["CallSpan"]:
        """Makes a span for a call of gRPC.

        Args:
            route: the method's full name, "/package.Service/Method".
            metadata: the call's.
        """
        service, _, method = route.strip("/").rpartition("/")
        with self.tracer.start_as_current_span(
            route.strip("/"),
            context=_parent(metadata),
            kind=trace.SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
            },
            record_exception=False,  # A refusal is an answer.
            set_status_on_exception=False,
        ) as span:
            yield CallSpan(span)


class CallSpan:
    """The span of a call of gRPC."""

    def __init__(self, span: trace.Span):
        self._span = span

    def end(self, model: str, status: int) -> None:
        """Says how the call ended.

        Args:
            model: the model's name, or "".
            status: the HTTP status that says the same.
        """
        _end(self._span, model, "bert.status", status)


def _parent(headers: Iterable[tuple[str, Any]]) -> Context:
    """The trace that headers name; a new one if they name none."""
    return _PROPAGATOR.extract(
        {name: value for name, value in headers if name in _HEADERS}
    )


def _end(span, model, name, status):
    """Adds which model was asked, and the status under its name."""
    if model:
        span.set_attribute("bert.model", model)
    span.set_attribute(name, status)
    if status >= 500:
        span.set_status(trace.StatusCode.ERROR)


class _Requests:
    """Makes a span for each request."""

    def __init__(self, app: ASGIApp, tracer: trace.Tracer):
        self._app = app
        self._tracer = tracer

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, answer = scope["method"], AnswerStatus(send)
        with self._tracer.start_as_current_span(
            method,
            context=_parent(Headers(scope=scope).items()),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.path": scope["path"],
                "url.scheme": scope.get("scheme", "http"),
            },
        ) as span:
            try:
                await self._app(scope, receive, answer)
            finally:
                _describe(span, scope, method, answer.status)


def _describe(span, scope, method, status):
    """Adds what is known when a request is answered."""
    route = getattr(scope.get("route"), "path_format", "")
    if route:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    model = scope.get("state", {}).get("model")
    _end(span, model, "http.response.status_code", status)
