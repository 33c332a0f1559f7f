"""How the server's log looks: text, or an object in JSON on each line.

Both have the id of the request in whose course something was logged.
"""

import contextvars
import datetime
import json
import logging

from absl import logging as absl_logging

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar(
    "request_id", default=""
)


class _Text(absl_logging.PythonFormatter):
    """Abseil's format, with the id at the end."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        name = REQUEST_ID.get()
        return f"{line} request_id={name}" if name else line


class _Json(logging.Formatter):
    """An object on one line, in ASCII.

        {"time": "2026-01-31T12:00:00.123Z", "level": "INFO", "message": …,
         "source": "models.py:271", "process": 7, "request_id": …}

    The line of a request also has method, path, status, seconds, client and
    model; one about an error its traceback as "exception".
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        shown = time.isoformat(timespec="milliseconds")
        values: dict[str, object] = {
            "time": shown.replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            "source": f"{record.filename}:{record.lineno}",
            "process": record.process,
        }
        if name := REQUEST_ID.get():
            values["request_id"] = name
        values |= getattr(record, "fields", {})
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values, default=str)


def use(log_format: str | None) -> None:
    """Lets all that is logged from now on have a format.

    Args:
        log_format: "text" or "json"; None for Abseil's own.
    """
    if log_format:
        formatter = _Json() if log_format == "json" else _Text()
        absl_logging.get_absl_handler().setFormatter(formatter)
