"""What requests and answers look like, for /docs and programs that read it."""

import re
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

LONGEST_ID = 256


def _digits(value):
    # int() would take "1_0", "+1" and the digits of all alphabets.
    if not re.fullmatch("[0-9]{1,18}", str(value)):
        raise PydanticCustomError("digits", "must be a number of digits")
    return value


Version = Annotated[int, BeforeValidator(_digits)]

ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
# A request may be refused in all of these ways.
REFUSALS = {
    400: "The request is wrong; the line says what.",
    404: "There is no such model, version or address.",
    405: "The address does not take this method.",
    408: "The body comes too slowly.",
    413: "The body, a text or the number of texts is too large.",
    415: "The body is compressed.",
    429: "Too much waits already: try again after Retry-After seconds.",
    503: "The server has no room, or ends.",
    504: "The model did not answer in time.",
}

_OBJECT = {"type": "object"}
_LIST = {"type": "array"}
_STRING = {"type": "string"}
_BYTES = {
    "type": "object",
    "properties": {"b64": _STRING},
    "required": ["b64"],
    "additionalProperties": False,
}
_VALUE = {
    "anyOf": [
        _STRING,
        _BYTES,
        {"type": "array", "items": {"anyOf": [_STRING, {"type": "integer"}]}},
    ]
}
_ROW = {
    "anyOf": [
        _STRING,
        {"type": "object", "additionalProperties": _VALUE},
        {"type": "array", "items": _STRING},
    ]
}


def _object(required: tuple = (), **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_COLUMNS = {
    "anyOf": [
        {"type": "array", "items": _ROW, "minItems": 1},
        {
            "type": "object",
            "additionalProperties": {"type": "array", "minItems": 1},
        },
    ]
}
_ROWS = {"type": "array", "items": _ROW, "minItems": 1}
_EXAMPLES = _object(
    ("examples",),
    examples={
        "type": "array",
        "items": {"type": "object", "additionalProperties": _VALUE},
        "minItems": 1,
    },
    context=_OBJECT,
    signature_name=_STRING,
)

# {name: (schema of the request's body, of the answer's)}
BODIES = {
    "predict": (
        {
            "oneOf": [
                _object(
                    ("instances",), instances=_ROWS, signature_name=_STRING
                ),
                _object(("inputs",), inputs=_COLUMNS, signature_name=_STRING),
            ]
        },
        {
            "oneOf": [
                _object(("predictions",), predictions=_LIST),
                _object(("outputs",), outputs={}),
            ]
        },
    ),
    "classify": (_EXAMPLES, _object(("results",), results=_LIST)),
    "regress": (_EXAMPLES, _object(("results",), results=_LIST)),
    "encode": (
        _object(
            ("texts",),
            id={
                "type": ["integer", "string", "null"],
                "maxLength": LONGEST_ID,
            },
            texts={
                "type": "array",
                "items": {
                    "anyOf": [_STRING, {"type": "array", "items": _STRING}]
                },
                "minItems": 1,
            },
            is_tokenized={"type": "boolean", "default": False},
            model=_STRING,
        ),
        {
            "type": "object",
            "properties": {
                "results": _LIST,
                "status": {"type": "integer"},
            },
            "required": ["id", "results", "status"],
        },
    ),
}


def _json_of(schema):
    return {"application/json": {"schema": schema}}


def refusals(*statuses: int) -> dict:
    """`responses` of a route, of these statuses or all."""
    return {
        status: {
            "description": REFUSALS[status],
            "content": _json_of(ERROR),
        }
        for status in statuses or REFUSALS
    }


def operation(name: str) -> dict:
    """Settings of a route that takes one of BODIES."""
    body, answer = BODIES[name]
    return {
        "openapi_extra": {
            "requestBody": {"required": True, "content": _json_of(body)}
        },
        "responses": {
            200: {"description": "The answer.", "content": _json_of(answer)},
            **refusals(),
        },
    }
