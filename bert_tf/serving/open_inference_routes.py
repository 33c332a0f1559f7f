"""The addresses of the Open Inference Protocol, version 2."""

import functools
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from bert_tf.serving import open_inference, schemas
from bert_tf.serving.direct_route import DirectRoute
from bert_tf.serving.handler import inferred, json_response, use
from bert_tf.serving.probes import check_ready
from bert_tf.serving.state import Serving

MODEL = "/v2/models/{model:name}"
VERSION = MODEL + "/versions/{version:name}"


def add_routes(app: FastAPI, serving: Serving, Name: Any) -> None:
    """Adds the addresses.

    Args:
        app: the application.
        serving: the models.
        Name: the type of a parameter that names a model.
    """
    _add_server(app, serving)
    _add_models(app, serving, Name)
    _add_infer(app, Name)


def _add_server(app, serving):
    get = functools.partial(app.get, tags=[schemas.OPEN_INFERENCE])

    @get("/v2", summary="The server and its extensions")
    async def server():
        return json_response(open_inference.server_metadata())

    @get("/v2/health/live", summary="Whether the server listens")
    async def live():
        return json_response({"live": True})

    @get(
        "/v2/health/ready",
        summary="Whether all models answer",
        responses=schemas.refusals(503),
    )
    async def ready():
        check_ready(serving)
        return json_response({"ready": True})


def _add_models(app, serving, Name):
    settings: dict[str, Any] = {
        "responses": schemas.refusals(400, 404),
        "tags": [schemas.OPEN_INFERENCE],
    }

    def metadata(name: str, number: int | None = None) -> Response:
        model = serving.model(name)
        with use(model, number) as version:
            return json_response(open_inference.model_metadata(model, version))

    def readiness(name: str, number: int | None = None) -> Response:
        with use(serving.model(name), number):
            return json_response({"name": name, "ready": True})

    @app.get(MODEL, summary="Inputs and outputs", **settings)
    async def model_tensors(model: Name):
        return metadata(model)

    @app.get(VERSION, summary="Inputs and outputs: one version", **settings)
    async def version_tensors(model: Name, version: schemas.Version):
        return metadata(model, version)

    @app.get(MODEL + "/ready", summary="Whether it answers", **settings)
    async def model_ready(model: Name):
        return readiness(model)

    @app.get(
        VERSION + "/ready", summary="Whether a version answers", **settings
    )
    async def version_ready(model: Name, version: schemas.Version):
        return readiness(model, version)


def _add_infer(app, Name):
    settings = schemas.operation("infer")

    async def newest(request: Request, model: Name):
        return await inferred(request, model)

    app.router.add_api_route(
        MODEL + "/infer",
        newest,
        methods=["POST"],
        name="infer",
        route_class_override=DirectRoute,
        **settings,
    )

    @app.post(
        VERSION + "/infer",
        name="infer_version",
        **settings | {"summary": f"{settings['summary']}: one version"},
    )
    async def numbered(request: Request, model: Name, version: schemas.Version):
        return await inferred(request, model, version)
