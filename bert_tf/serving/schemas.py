"""The JSON schemas of requests and answers, for /docs and /openapi.json.

The schemas only describe: rest.py and encode.py check the bodies, and not
pydantic. Its JSON parser refuses lone surrogates such as "\\ud800", which the
server answers, and what an item may hold depends on the model.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from bert_tf.export.confidence import LABEL_SET
from bert_tf.export.kinds import KINDS
from bert_tf.serving.tensor_schemas import as_tensor, open_inference_bodies

LONGEST_ID = 256
K, MAX_K = 10, 1000  # Texts that /search finds for a query.


def _digits(value):
    # int() would also accept "1_0", "+1" and the digits of other alphabets.
    if not re.fullmatch("[0-9]{1,18}", str(value)):
        raise PydanticCustomError("digits", "must be a number, digits only")
    return value


Version = Annotated[int, BeforeValidator(_digits)]

ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
# All the ways in which a request may be refused.
REFUSALS = {
    400: "The request is wrong; the error says why.",
    404: "The model, the version, the index or the address does not exist.",
    405: "The address does not support this method.",
    408: "The body did not arrive in time.",
    413: "The body, a text or the number of texts is too large.",
    415: "The body is compressed.",
    429: "The queue is full: try again after Retry-After seconds.",
    503: "The server is out of memory or connections, or is shutting down, or "
    "its index was made with another version of the model.",
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


def _object(required=(), **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


# A model whose sets of labels were fitted answers with them, too.
_ANSWERS = {
    "type": "array",
    "items": {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "in_set": {"type": "array", "items": {"type": "boolean"}},
                    LABEL_SET: {
                        "type": "array",
                        "items": {"type": ["string", "integer"]},
                        "description": "Labels, or places of endings, that "
                        "hold the right one at the rate the model was fitted "
                        "for.",
                    },
                },
            },
            {},
        ]
    },
}

_SWITCH = {"type": "boolean", "default": False}
# What answers have as well if a request has "with_lengths": true.
_LENGTHS = {
    "num_tokens": {"type": "array", "items": {"type": "integer"}},
    "truncated": {"type": "array", "items": {"type": "boolean"}},
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
    with_lengths=_SWITCH,
)
_RESULTS = _object(("results",), results=_LIST, **_LENGTHS)
_NUMBER = {"type": "number"}
_PLACED = {
    "field": _STRING,
    "start": {"type": "integer"},
    "end": {"type": "integer"},
    "text": _STRING,
}
_EXPLANATION = _object(
    (),
    kind=_STRING,
    target=_STRING,
    answer=_STRING,
    logit=_NUMBER,
    baseline_logit=_NUMBER,
    texts={"type": "object", "additionalProperties": _STRING},
    words={
        "type": "array",
        "items": _object((*_PLACED, "score"), **_PLACED, score=_NUMBER),
    },
    word={"anyOf": [_object((*_PLACED,), **_PLACED), {"type": "null"}]},
    num_steps={"type": "integer"},
    error=_NUMBER,
    is_complete={"type": "boolean"},
    truncated={"type": "boolean"},
)

# {name: (schema of the request's body, schema of the answer's)}
BODIES = {
    "predict": (
        {
            "oneOf": [
                _object(
                    ("instances",),
                    instances=_ROWS,
                    signature_name=_STRING,
                    with_lengths=_SWITCH,
                ),
                _object(
                    ("inputs",),
                    inputs=_COLUMNS,
                    signature_name=_STRING,
                    with_lengths=_SWITCH,
                ),
            ]
        },
        {
            "oneOf": [
                _object(("predictions",), predictions=_ANSWERS),
                _object(("outputs",), outputs={}),
            ]
        },
    ),
    "classify": (_EXAMPLES, _RESULTS),
    "regress": (_EXAMPLES, _RESULTS),
    "explain": (
        _object(
            ("instances",),
            instances=_ROWS | {"maxItems": 8},
            label=_STRING,
            word={"anyOf": [_STRING, {"type": "integer"}]},
        ),
        _object(
            ("explanations",),
            explanations={"type": "array", "items": _EXPLANATION},
        ),
    ),
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
            is_tokenized=_SWITCH,
            show_tokens=_SWITCH,
            with_lengths=_SWITCH,
            model=_STRING,
        ),
        {
            "type": "object",
            "properties": {
                "results": _LIST,
                "status": {"type": "integer"},
                "tokens": {
                    "type": "array",
                    "items": {"type": "array", "items": _STRING},
                },
                **_LENGTHS,
            },
            "required": ["id", "results", "status"],
        },
    ),
}

_QUERY = {"type": "string", "pattern": r"\S"}
_QUERIES = {"type": "array", "items": _QUERY, "minItems": 1}
_HIT = {"id": _STRING, "score": _NUMBER, "text": _STRING}
_SEARCH = {
    "k": {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": K},
    "model": _STRING,
}
BODIES["search"] = (
    {
        "oneOf": [
            _object(("queries",), queries=_QUERIES, **_SEARCH),
            _object(("query",), query=_QUERY, **_SEARCH),
        ]
    },
    _object(
        ("results",),
        results={
            "type": "array",
            "description": "Of each query its texts, the nearest first. The "
            "score is the cosine of the two vectors, -1 to 1.",
            "items": {"type": "array", "items": _object((*_HIT,), **_HIT)},
        },
    ),
)

BODIES["infer"] = open_inference_bodies(LONGEST_ID)

SUMMARIES = {
    "predict": "All answers of a model",
    "classify": "Each label with its probability",
    "regress": "A number for each text",
    "explain": "What each word adds to an answer",
    "encode": "Vectors of texts",
    "search": "The texts of an index that are nearest to queries",
    "infer": "All answers of a model, as tensors",
}
MODELS, SERVER = "Models", "Server"  # Groups of addresses.
OPEN_INFERENCE = "Open Inference Protocol"


def _json_of(schema):
    return {"application/json": {"schema": schema}}


def refusals(*statuses: int) -> dict[int, dict[str, object]]:
    """Returns a route's `responses` for these statuses, by default for all."""
    return {
        status: {
            "description": REFUSALS[status],
            "content": _json_of(ERROR),
        }
        for status in statuses or REFUSALS
    }


def operation(name: str) -> dict[str, Any]:
    """Returns the settings of a route whose body is one of BODIES."""
    body, answer = BODIES[name]
    return {
        "summary": SUMMARIES[name],
        "tags": [OPEN_INFERENCE if name == "infer" else MODELS],
        "openapi_extra": {
            "requestBody": {"required": True, "content": _json_of(body)}
        },
        "responses": {
            200: {"description": "The answer.", "content": _json_of(answer)},
            **refusals(),
        },
    }


def add_examples(
    description: dict[str, Any], models: Mapping[str, Mapping[str, Any]]
) -> None:
    """Adds a body for each model to the operations that answer it.

    Args:
        description: that of openapi.json.
        models: the models as /status describes them.
    """
    for path, operations in description["paths"].items():
        name = re.split("[:/]", path)[-1]
        if name not in BODIES:
            continue
        content = operations["post"]["requestBody"]["content"]
        content["application/json"]["examples"] = {
            model: {"summary": model, "value": body}
            for model, status in models.items()
            if (body := _example(name, model, status))
        }


def _example(name, model, status):
    """The body of a request to a model; None if it does not answer it."""
    kind, item = KINDS[status["kind"]], status["page"]["example"]
    if name == "encode":
        if not kind.answers("embedding"):
            return None
        return {"id": 1, "texts": list(item.values()), "model": model}
    if name == "search":
        if "index" not in status:
            return None
        return {"queries": list(item.values()), "k": 3, "model": model}
    if name == "predict":
        return {"instances": [item]}
    if name == "infer":
        return {"inputs": [as_tensor(*pair) for pair in item.items()]}
    if name == "explain":
        return {"instances": [item]} if status["page"]["explains"] else None
    needed = {
        "classify": ("labels", "probabilities"),
        "regress": ("prediction",),
    }
    return {"examples": [item]} if kind.answers(*needed[name]) else None
