"""The web application: its addresses, error answers and request counts."""

import time

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_tf.forks import ForkedProcess
from bert_tf.serving import pages, schemas
from bert_tf.serving.access import KeyCheck
from bert_tf.serving.answer_status import AnswerStatus
from bert_tf.serving.errors import Refusal
from bert_tf.serving.handler import json_response
from bert_tf.serving.routes import add_routes
from bert_tf.serving.state import Serving

DESCRIPTION = (
    "TensorFlow Serving's REST API, bert-as-service's /encode, /search in an "
    "index of texts, and the server's own state."
)


def make_app(serving: Serving) -> FastAPI:
    """Makes the application that `server.Server` runs."""
    app = FastAPIOffline(
        title="BERT models",
        description=DESCRIPTION,
        # It serves Swagger UI's files; /docs, which uses them, is ours.
        static_url=pages.ASSETS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Refusal: _on_refusal,
            HTTPException: _on_http_error,
            RequestValidationError: _on_wrong_parameter,
            ForkedProcess: _on_fork,
            Exception: _on_defect,
        },
    )
    app.state.serving = serving
    if serving.web.keys:
        app.add_middleware(KeyCheck, keys=serving.web.keys)
    app.add_middleware(_Observer, serving=serving)  # Counts those refused, too.
    add_routes(app, serving)
    _describe_with_examples(app, serving)
    return app


def _describe_with_examples(app, serving):
    """Lets /openapi.json have a request for each model as an example."""
    describe = app.openapi

    def openapi():
        if not app.openapi_schema:  # Nor does FastAPI describe it twice.
            models = serving.status()["models"]
            schemas.add_examples(describe(), models)
        return app.openapi_schema

    app.openapi = openapi


# ---------------------------------------------------------------------------
# Errors become answers: {"error": "one line"}.


def _error(status, message, headers=None) -> Response:
    return json_response({"error": message}, status, headers)


async def _on_fork(request: Request, error: ForkedProcess) -> Response:
    return _error(503, str(error))


async def _on_refusal(request: Request, error: Refusal) -> Response:
    return _error(error.status, str(error), error.headers)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    what = f"{request.method} {request.url.path}"
    return _error(error.status_code, f"{what}: {error.detail}", error.headers)


async def _on_wrong_parameter(
    request: Request, error: RequestValidationError
) -> Response:
    first = error.errors()[0]
    return _error(400, f"{first['loc'][-1]}: {first['msg']}")


async def _on_defect(request: Request, error: Exception) -> Response:
    """Answers after a bug; uvicorn logs the error with its traceback."""
    return _error(500, "internal error; see the server's log")


# ---------------------------------------------------------------------------
# Around every request.


class _Observer:
    """Counts requests, and adds the headers that all answers have."""

    def __init__(self, app: ASGIApp, serving: Serving):
        self._app = app
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, is_counted = time.monotonic(), False
        answer = AnswerStatus(send, self._add_headers)

        def count():
            nonlocal is_counted
            if not is_counted:
                self._count(scope, answer.status, time.monotonic() - start)
            is_counted = True

        async def send_on(message: Message):
            is_start = message["type"] == "http.response.start"
            if not is_start and not message.get("more_body"):
                count()  # Before the client has the answer and asks again.
            await answer(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            count()

    def _add_headers(self, message):
        message["headers"].append((b"x-content-type-options", b"nosniff"))
        if self._serving.is_ending:
            message["headers"].append((b"connection", b"close"))

    def _count(self, scope, status, seconds):
        # By the route's pattern, not by the path that was sent: so no client
        # can make the table of counters grow.
        route = getattr(scope.get("route"), "path_format", "none")
        model = scope.get("state", {}).get("model", "")
        self._serving.count_request(route, model, status, seconds)
