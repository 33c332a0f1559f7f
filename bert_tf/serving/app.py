"""The server's addresses: TensorFlow Serving's, bert-as-service's, its own."""

import asyncio
import base64
import contextlib
import dataclasses
import datetime
import hashlib
import json
import pathlib
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import tensorflow as tf
from absl import logging
from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from bert_tf import files
from bert_tf.export.kinds import EMBEDDING, KINDS
from bert_tf.serving import encode, rest, schemas, signatures
from bert_tf.serving.batching import QueueFull
from bert_tf.serving.limits import (
    Limits,
    Refusal,
    check_count,
    model_reason,
    parse_object,
    read_body,
    shown,
)
from bert_tf.serving.metrics import CONTENT_TYPE, Metrics

PAGE = pathlib.Path(__file__).with_name("page.html")
DESCRIPTION = (
    "TensorFlow Serving's REST API and bert-as-service's /encode. This page "
    "loads its script from cdn.jsdelivr.net; /openapi.json needs no network."
)
# A body of so many bytes is read and answered at once; what takes longer does
# so in a thread, one after the other, and keeps no short one waiting.
SMALL_BODY = 1 << 12
_LARGE_BODIES = ThreadPoolExecutor(1, "large-bodies")
ANSWERS = {
    "predict": rest.predict_call,
    "classify": rest.classify_call,
    "regress": rest.regress_call,
}


class _Name(Convertor):
    """A part of an address up to a colon: of NAME:predict the name."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())


@dataclasses.dataclass
class Serving:
    """What the server knows of itself.

    Attributes:
        models: {name: ServedModel}.
        limits: of requests.
        metrics: that it counts in.
        is_ending: it takes no new connections.
        num_requests: that were answered.
    """

    models: dict
    limits: Limits = dataclasses.field(default_factory=Limits)
    metrics: Metrics = dataclasses.field(default_factory=Metrics)
    is_ending: bool = False
    num_requests: int = 0
    start: float = dataclasses.field(default_factory=time.time)

    def model(self, name: str):
        """Raises Refusal where there is no such model."""
        if name not in self.models:
            names = ", ".join(self.models)
            raise Refusal(404, f"no model {shown(name)}; there are {names}")
        return self.models[name]

    def only_model(self, kind: str) -> str:
        """Name of the one model of a kind.

        Raises:
            Refusal: there is none, or there are several.
        """
        names = [
            name
            for name, model in self.models.items()
            if _describe(model)["kind"] == kind
        ]
        if len(names) != 1:
            found = ", ".join(names) or "none"
            raise Refusal(
                400, f"model must name one of the {kind} models: {found}"
            )
        return names[0]


def make_app(serving: Serving) -> FastAPI:
    """The application, to be run by `server.Server`."""
    app = FastAPI(
        title="BERT models",
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Refusal: _on_refusal,
            HTTPException: _on_http_error,
            RequestValidationError: _on_wrong_parameter,
            Exception: _on_defect,
        },
    )
    app.state.serving = serving
    app.add_middleware(_Observer, serving=serving)
    for verb, make_call in ANSWERS.items():
        _add_verb(app, serving, verb, make_call)
    _add_models(app, serving)
    _add_encode(app, serving)
    _add_server(app, serving)
    return app


def _names(serving):
    """Type of a parameter that names a model. The description tells the names;
    others are no wrong parameters but not found."""
    return Annotated[
        str, Path(json_schema_extra={"enum": list(serving.models)})
    ]


def _add_verb(app, serving, verb, make_call):
    """POST …/NAME:verb and …/NAME/versions/N:verb."""
    settings = schemas.operation(verb)
    Name = _names(serving)

    @app.post(f"/v1/models/{{model:name}}:{verb}", name=verb, **settings)
    async def newest(request: Request, model: Name):
        return await _answer(request, make_call, model)

    @app.post(
        f"/v1/models/{{model:name}}/versions/{{version:name}}:{verb}",
        name=f"{verb}_version",
        **settings,
    )
    async def numbered(request: Request, model: Name, version: schemas.Version):
        return await _answer(request, make_call, model, version)


def _add_models(app, serving):
    """GET: what is there, and what its signatures are."""
    prefix = "/v1/models/{model:name}"
    numbered = prefix + "/versions/{version:name}"
    refusals = schemas.refusals(400, 404)
    Name = _names(serving)

    def status(model: str, version: int | None = None):
        try:
            found = serving.model(model).status(version)
        except KeyError:
            raise _no_version(model, version) from None
        return json_response({"model_version_status": found})

    def metadata(model: str, version: int | None = None):
        with _use(serving.model(model), version) as used:
            return json_response(rest.metadata(model, used))

    @app.get(prefix, responses=refusals)
    async def model_status(model: Name):
        return status(model)

    @app.get(numbered, responses=refusals)
    async def version_status(model: Name, version: schemas.Version):
        return status(model, version)

    @app.get(prefix + "/metadata", responses=refusals)
    async def model_metadata(model: Name):
        return metadata(model)

    @app.get(numbered + "/metadata", responses=refusals)
    async def version_metadata(model: Name, version: schemas.Version):
        return metadata(model, version)


def _add_encode(app, serving):
    @app.post("/encode", name="encode", **schemas.operation("encode"))
    async def encode_texts(
        request: Request, model: str | None = Query(default=None)
    ):
        body = await read_body(request, serving.limits)
        if model is None:
            value = (await _aside(body, parse_object, body)).get("model")
            model = (
                serving.only_model(EMBEDDING.name) if value is None else value
            )
        if not isinstance(model, str):
            raise Refusal(400, "model must be a string")
        return await _answer(request, encode.encode_call, model, body=body)


def _add_server(app, serving):
    page = PAGE.read_text(encoding="utf-8")
    page_headers = {"Content-Security-Policy": _policy(page)}

    @app.get("/", response_class=HTMLResponse)
    async def page_of_models():
        return HTMLResponse(page, headers=page_headers)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", responses=schemas.refusals(503))
    async def health():
        missing = [n for n, m in serving.models.items() if not m.is_ready]
        if serving.is_ending or missing:
            why = "the server ends"
            if missing:
                why = f"not ready: {', '.join(missing)}"
            raise Refusal(503, why)
        return json_response({"status": "ok"})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def prometheus_metrics():
        text = serving.metrics.text(serving.models)
        return Response(text, media_type=CONTENT_TYPE)

    @app.get("/status")
    async def status():
        return json_response(_status(serving))

    @app.get("/status/server")
    async def server_status():
        return json_response(_status(serving))


def _policy(page):
    """A Content-Security-Policy of the page's own script and style alone."""
    sources = {
        tag: " ".join(
            f"'sha256-{_digest(content)}'"
            for content in re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {sources['script']}; style-src "
        f"{sources['style']}; connect-src 'self'; img-src data:; base-uri "
        "'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(content):
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


# ---------------------------------------------------------------------------
# From a request to its answer.


async def _answer(
    request: Request,
    make_call: Callable,
    name: str,
    number: int | None = None,
    body: bytes | None = None,
) -> Response:
    """Reads a request, waits for its results, writes the answer.

    Raises:
        Refusal: whatever is wrong with it.
    """
    serving = request.app.state.serving
    model = serving.model(name)
    request.state.model = name
    if body is None:
        body = await read_body(request, serving.limits)
    with _use(model, number) as version:

        def read():
            return make_call(
                version.predictor, parse_object(body), serving.limits
            )

        call = await _aside(body, read)
        check_count(len(call.rows), serving.limits)
        results = await _results(request, version, call.rows)

    def write():
        return json_response(call.answer(signatures.stack(results)))

    return await _aside(body, write)


@contextlib.contextmanager
def _use(model, number):
    """`model.use`, with a Refusal where there is no such version."""
    with contextlib.ExitStack() as stack:
        try:
            version = stack.enter_context(model.use(number))
        except KeyError:
            raise _no_version(model.name, number) from None
        yield version


def _no_version(name, number):
    which = "version" if number is None else f"version {number}"
    return Refusal(404, f"model {name} has no {which} that answers")


async def _aside(body, function, *args):
    """Calls a function, in a thread where the body is large."""
    if len(body) <= SMALL_BODY:
        return function(*args)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_LARGE_BODIES, function, *args)


async def _results(request, version, rows) -> list:
    """The model's results; nobody waits for them longer than is allowed, or
    than the sender does."""
    seconds = request.app.state.serving.limits.request_seconds
    try:
        job = asyncio.wrap_future(version.batcher.submit(rows))
    except QueueFull as error:
        raise Refusal(429, str(error), **{"Retry-After": "1"}) from None
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait(
            {job, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if job.done():
            return job.result()
        if gone.done():
            raise Refusal(400, "the sender is gone")
        raise Refusal(504, f"the model did not answer in {seconds:g} s")
    except tf.errors.InvalidArgumentError as error:
        raise Refusal(400, model_reason(error)) from None
    except tf.errors.ResourceExhaustedError as error:
        logging.error("Out of memory: %s", files.reason(error))
        raise Refusal(503, "out of memory: send less at once") from None
    finally:
        job.cancel()
        gone.cancel()


async def _disconnected(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_response(value, status: int = 200, headers=None) -> Response:
    """In ASCII: lone surrogates, which no encoding has, are escaped."""
    return Response(
        json.dumps(value, allow_nan=False),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


# ---------------------------------------------------------------------------
# Errors, all of them {"error": "one line"}.


def _error(status, message, headers=None):
    return json_response({"error": message}, status, headers)


async def _on_refusal(request, error):
    return _error(error.status, str(error), error.headers)


async def _on_http_error(request, error):
    what = f"{request.method} {request.url.path}"
    return _error(error.status_code, f"{what}: {error.detail}", error.headers)


async def _on_wrong_parameter(request, error):
    first = error.errors()[0]
    return _error(400, f"{first['loc'][-1]}: {first['msg']}")


async def _on_defect(request, error):
    """uvicorn logs it, with its traceback."""
    return _error(500, "an error of the server; its log tells which")


# ---------------------------------------------------------------------------
# What the server tells of itself.


def _status(serving):
    start = datetime.datetime.fromtimestamp(serving.start, datetime.UTC)
    return {
        "status": 200,
        "server_start_time": start.isoformat(timespec="seconds"),
        "seconds_up": round(time.time() - serving.start, 1),
        "num_requests": serving.num_requests,
        "python_version": platform.python_version(),
        "tensorflow_version": tf.__version__,
        "limits": dataclasses.asdict(serving.limits),
        "models": {
            name: _describe(model) for name, model in serving.models.items()
        },
    }


def _describe(model):
    with model.use() as version:
        predictor = version.predictor
        return {
            "kind": predictor.kind,
            "page": KINDS[predictor.kind].for_page(),
            "input_names": list(predictor.input_names),
            "labels": list(predictor.labels or []),
            "max_seq_length": predictor.info.get("max_seq_length"),
            "signatures": sorted(predictor.signatures),
            "queue_length": model.num_waiting,
            "versions": model.status(),
        }


class _Observer:
    """Counts requests, and adds the headers that all answers have."""

    def __init__(self, app, serving: Serving):
        self._app = app
        self._serving = serving

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def send_on(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append(
                    (b"x-content-type-options", b"nosniff")
                )
                if self._serving.is_ending:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            self._count(scope, status, time.monotonic() - start)

    def _count(self, scope, status, seconds):
        # By the route's pattern, not by what was sent: no sender can make
        # the table of counters grow.
        route = getattr(scope.get("route"), "path_format", "none")
        model = scope.get("state", {}).get("model", "")
        self._serving.num_requests += 1
        self._serving.metrics.count(route, model, status, seconds)
