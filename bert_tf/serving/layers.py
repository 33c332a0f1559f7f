"""What is around the application, where the settings ask for it.

The outermost comes first:

    trace        a span for each request
    log          its id, and its line in the log
    other sites  the answers that browsers ask for before a request
    the application, with its check of keys
"""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from bert_tf.serving.web_settings import WebSettings

if TYPE_CHECKING:
    from bert_tf.serving.tracing import Tracing


def make_tracing(settings: WebSettings) -> "Tracing | None":
    """Returns what makes spans; None if nobody wants them."""
    if not settings.otel_endpoint:
        return None
    from bert_tf.serving.tracing import Tracing  # An extra, and slow.

    return Tracing(settings.otel_endpoint)


def around(
    app: ASGIApp, settings: WebSettings, tracing: "Tracing | None"
) -> ASGIApp:
    """Puts around an application what the settings ask for."""
    if settings.cors_origins:
        from bert_tf.serving.access import for_other_sites

        app = for_other_sites(app, settings.cors_origins)
    if settings.log_format:
        from bert_tf.serving.request_log import RequestLog

        app = RequestLog(app)
    return tracing.of_requests(app) if tracing else app
