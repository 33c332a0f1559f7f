"""The server's addresses: TensorFlow Serving's, bert-as-service's, its own."""

import functools
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from bert_tf.export.kinds import EMBEDDING
from bert_tf.serving import (
    encode,
    open_inference_routes,
    pages,
    rest,
    schemas,
)
from bert_tf.serving.direct_route import DirectRoute
from bert_tf.serving.errors import Refusal
from bert_tf.serving.handler import (
    MakeCall,
    answer,
    explained,
    in_thread_if_large,
    json_response,
    no_version,
    searched,
    use,
)
from bert_tf.serving.limits import parse_object, read_body
from bert_tf.serving.metrics import CONTENT_TYPE
from bert_tf.serving.probes import check_ready
from bert_tf.serving.state import Serving

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
    _add_explain(app, serving)
    _add_models(app, serving)
    _add_encode(app, serving)
    _add_search(app, serving)
    _add_server(app, serving)
    open_inference_routes.add_routes(app, serving, _model_name(serving))


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

    async def newest(request: Request, model: Name):
        return await answer(request, make_call, model)

    app.router.add_api_route(
        f"/v1/models/{{model:name}}:{verb}",
        newest,
        methods=["POST"],
        name=verb,
        route_class_override=DirectRoute,
        **settings,
    )

    @app.post(
        f"/v1/models/{{model:name}}/versions/{{version:name}}:{verb}",
        name=f"{verb}_version",
        **settings | {"summary": f"{settings['summary']}: one version"},
    )
    async def numbered(request: Request, model: Name, version: schemas.Version):
        return await answer(request, make_call, model, number=version)


def _add_explain(app, serving):
    """POST …/NAME:explain and …/NAME/versions/N:explain."""
    settings = schemas.operation("explain")
    Name = _model_name(serving)

    @app.post("/v1/models/{model:name}:explain", name="explain", **settings)
    async def newest(request: Request, model: Name):
        return await explained(request, model)

    @app.post(
        "/v1/models/{model:name}/versions/{version:name}:explain",
        name="explain_version",
        **settings | {"summary": f"{settings['summary']}: one version"},
    )
    async def numbered(request: Request, model: Name, version: schemas.Version):
        return await explained(request, model, version)


def _add_models(app, serving):
    """GET: the versions of a model, and their signatures."""
    prefix = "/v1/models/{model:name}"
    numbered = prefix + "/versions/{version:name}"
    settings: dict[str, Any] = {
        "responses": schemas.refusals(400, 404),
        "tags": [schemas.MODELS],
    }
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

    @app.get(prefix, summary="Versions and their states", **settings)
    async def model_status(model: Name):
        return status(model)

    @app.get(numbered, summary="State of one version", **settings)
    async def version_status(model: Name, version: schemas.Version):
        return status(model, version)

    @app.get(prefix + "/metadata", summary="Inputs and outputs", **settings)
    async def model_metadata(model: Name):
        return metadata(model)

    @app.get(
        numbered + "/metadata",
        summary="Inputs and outputs of one version",
        **settings,
    )
    async def version_metadata(model: Name, version: schemas.Version):
        return metadata(model, version)


async def _named_model(request, body, only):
    """The model that the address or the body of a request names.

    Args:
        request: the request.
        body: its body.
        only: function() that returns the model where none is named.

    Raises:
        Refusal: the name is not a string, or no model is named and there
            are several.
    """
    name: object = request.query_params.get("model")
    if name is None:
        parse = functools.partial(parse_object, body)
        name = (await in_thread_if_large(body, parse)).get("model")
        if name is None:
            name = only()
    if not isinstance(name, str):
        raise Refusal(400, "model must be a string")
    return name


def _add_encode(app, serving):
    """POST /encode, as bert-as-service has it."""

    async def encode_texts(
        request: Request, model: str | None = Query(default=None)
    ):
        body = await read_body(request, serving.limits)
        only = functools.partial(serving.only_model, EMBEDDING.name)
        name = await _named_model(request, body, only)
        return await answer(request, encode.encode_call, name, body=body)

    _add_texts_route(app, "encode", encode_texts)


def _add_search(app, serving):
    """POST /search: the texts of an index that are nearest to queries."""

    async def search_texts(
        request: Request, model: str | None = Query(default=None)
    ):
        body = await read_body(request, serving.limits)
        name = await _named_model(request, body, serving.only_index)
        return await searched(request, name, body)

    _add_texts_route(app, "search", search_texts)


def _add_texts_route(app, name, endpoint):
    """POST /NAME, whose body or address names the model."""
    app.router.add_api_route(
        f"/{name}",
        endpoint,
        methods=["POST"],
        name=name,
        route_class_override=DirectRoute,
        **schemas.operation(name),
    )


def _add_server(app, serving):
    """GET: the page, and the server's health, metrics and status."""
    page, docs = pages.try_page(), pages.docs_page()

    get = functools.partial(app.get, tags=[schemas.SERVER])

    @get("/", response_class=HTMLResponse, summary="Page to try the models on")
    async def page_of_models():
        return page.answer()

    @get("/docs", include_in_schema=False)
    async def page_of_addresses():
        return docs.answer()

    for path in ("/healthz", "/readyz"):

        @app.head(path, include_in_schema=False)
        @get(
            path,
            responses=schemas.refusals(503),
            summary="Whether all models answer",
        )
        async def ready():
            check_ready(serving)
            return json_response({"status": "ok"})

    @app.head("/livez", include_in_schema=False)
    @get("/livez", summary="Whether the server listens")
    async def live():
        return json_response({"status": "ok"})

    @get(
        "/metrics",
        response_class=PlainTextResponse,
        summary="Numbers for Prometheus",
    )
    async def prometheus_metrics():
        return Response(serving.metrics_text(), media_type=CONTENT_TYPE)

    @get("/status", summary="State of the server and its models")
    async def status():
        return json_response(serving.status())

    @get("/status/server", summary="The same")
    async def server_status():
        return json_response(serving.status())
