"""Refuses requests without a key, and answers pages of other sites."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from bert_tf.serving.api_keys import ApiKeys, key_in
from bert_tf.serving.handler import json_response
from bert_tf.serving.pages import ASSETS

# Probes have no keys. The pages ask for one, and hold nothing of the models.
OPEN = frozenset(
    {
        "/",
        "/docs",
        "/healthz",
        "/livez",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
    }
)
# What pages of other sites may send, and may read.
SENT_HEADERS = (
    "Authorization",
    "Content-Type",
    "Inference-Header-Content-Length",
    "X-API-Key",
    "X-Request-Id",
    "traceparent",
    "tracestate",
)
READ_HEADERS = (
    "Inference-Header-Content-Length",
    "Retry-After",
    "X-Request-Id",
)


class KeyCheck:
    """Lets requests through that have a key, or need none.

    A key is sent as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.

    Args:
        app: what answers the requests.
        keys: the keys.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys):
        self._app = app
        self._keys = keys

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers a request, or refuses it with status 401."""
        if (
            scope["type"] != "http"
            or scope["path"] in OPEN
            or scope["path"].startswith(f"{ASSETS}/")
            or self._keys.allows(key_in(Headers(scope=scope).items()))
        ):
            await self._app(scope, receive, send)
            return
        refusal = json_response(
            {
                "error": "a valid API key is needed: send the header "
                "Authorization: Bearer KEY, or X-API-Key: KEY"
            },
            401,
            {"WWW-Authenticate": "Bearer"},
        )
        await refusal(scope, receive, send)


def for_other_sites(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Lets browsers ask from pages of other sites.

    Args:
        app: what answers the requests.
        origins: the sites, or "*".
    """
    return CORSMiddleware(
        app,
        allow_origins=[*origins],
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=[*SENT_HEADERS],
        expose_headers=[*READ_HEADERS],
    )
