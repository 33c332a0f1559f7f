"""The server's addresses: TensorFlow Serving's, bert-as-service's, its own."""

import base64
import functools
import hashlib
import pathlib
import re
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from bert_tf.export.kinds import EMBEDDING
from bert_tf.serving import encode, rest, schemas
from bert_tf.serving.errors import Refusal
from bert_tf.serving.handler import (
    MakeCall,
    answer,
    in_thread_if_large,
    json_response,
    no_version,
    use,
)
from bert_tf.serving.limits import parse_object, read_body
from bert_tf.serving.metrics import CONTENT_TYPE
from bert_tf.serving.state import Serving

PAGE = pathlib.Path(__file__).with_name("page.html")
VERBS: dict[str, MakeCall] = {
    "predict": rest.predict_call,
    "classify": rest.classify_call,
    "regress": rest.regress_call,
}


class _Name(Convertor):
    """A part of an address up to a colon, such as NAME in NAME:predict."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())


def add_routes(app: FastAPI, serving: Serving) -> None:
    """Adds all addresses to the application."""
    for verb, make_call in VERBS.items():
        _add_verb(app, serving, verb, make_call)
    _add_models(app, serving)
    _add_encode(app, serving)
    _add_server(app, serving)


def _model_name(serving):
    """The type of a parameter that names a model.

    /docs lists the models' names. Another name is not a wrong parameter, 400,
    but a model that is not found, 404.
    """
    return Annotated[
        str, Path(json_schema_extra={"enum": list(serving.models)})
    ]


def _add_verb(app, serving, verb, make_call):
    """POST …/NAME:verb and …/NAME/versions/N:verb."""
    settings = schemas.operation(verb)
    Name = _model_name(serving)

    @app.post(f"/v1/models/{{model:name}}:{verb}", name=verb, **settings)
    async def newest(request: Request, model: Name):
        return await answer(request, make_call, model)

    @app.post(
        f"/v1/models/{{model:name}}/versions/{{version:name}}:{verb}",
        name=f"{verb}_version",
        **settings,
    )
    async def numbered(request: Request, model: Name, version: schemas.Version):
        return await answer(request, make_call, model, number=version)


def _add_models(app, serving):
    """GET: the versions of a model, and their signatures."""
    prefix = "/v1/models/{model:name}"
    numbered = prefix + "/versions/{version:name}"
    refusals = schemas.refusals(400, 404)
    Name = _model_name(serving)

    def status(model: str, version: int | None = None) -> Response:
        try:
            statuses = serving.model(model).status(version)
        except KeyError:
            raise no_version(model, version) from None
        return json_response({"model_version_status": statuses})

    def metadata(model: str, version: int | None = None) -> Response:
        with use(serving.model(model), version) as used:
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
    """POST /encode, as bert-as-service has it."""

    @app.post("/encode", name="encode", **schemas.operation("encode"))
    async def encode_texts(
        request: Request, model: str | None = Query(default=None)
    ):
        body = await read_body(request, serving.limits)
        name: object = model
        if name is None:
            parse = functools.partial(parse_object, body)
            name = (await in_thread_if_large(body, parse)).get("model")
            if name is None:
                name = serving.only_model(EMBEDDING.name)
        if not isinstance(name, str):
            raise Refusal(400, "model must be a string")
        return await answer(request, encode.encode_call, name, body=body)


def _add_server(app, serving):
    """GET: the page, and the server's health, metrics and status."""
    page = PAGE.read_text(encoding="utf-8")
    page_headers = {"Content-Security-Policy": _policy(page)}

    @app.get("/", response_class=HTMLResponse)
    async def page_of_models():
        return HTMLResponse(page, headers=page_headers)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", responses=schemas.refusals(503))
    async def health():
        missing = [n for n, m in serving.models.items() if not m.is_ready]
        if missing:
            raise Refusal(503, f"not ready: {', '.join(missing)}")
        if serving.is_ending:
            raise Refusal(503, "the server is shutting down")
        return json_response({"status": "ok"})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def prometheus_metrics():
        text = serving.metrics.text(serving.models)
        return Response(text, media_type=CONTENT_TYPE)

    @app.get("/status")
    async def status():
        return json_response(serving.status())

    @app.get("/status/server")
    async def server_status():
        return json_response(serving.status())


def _policy(page):
    """A Content-Security-Policy that allows the page's own script and style
    only."""
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
