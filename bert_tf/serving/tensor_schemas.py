"""The JSON schemas of the Open Inference Protocol, for /docs."""

from typing import Any

from bert_tf.serving.tensors import BYTES, NUMBERS

Schema = dict[str, Any]


def open_inference_bodies(longest_id: int) -> tuple[Schema, Schema]:
    """Returns the schemas of a request's body and of its answer's.

    Args:
        longest_id: characters that the id of a request may have.
    """
    tensor = {
        "name": {"type": "string"},
        "datatype": {"enum": [BYTES, *NUMBERS]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "parameters": _PARAMETERS,
        "data": {"type": "array"},
    }
    needed = ["name", "datatype", "shape"]
    wanted = {"name": {"type": "string"}, "parameters": _PARAMETERS}
    return (
        {
            "type": "object",
            "properties": {
                "id": {"type": "string", "maxLength": longest_id},
                "parameters": _PARAMETERS,
                "inputs": _list_of(tensor, [*needed, "data"]),
                "outputs": _list_of(wanted, ["name"]),
            },
            "required": ["inputs"],
        },
        {
            "type": "object",
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": _list_of(tensor, needed),
            },
            "required": ["model_name", "outputs"],
        },
    )


_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}


def _list_of(properties: Schema, needed: list[str]) -> Schema:
    item = {"type": "object", "properties": properties, "required": needed}
    return {"type": "array", "items": item}


def as_tensor(name: str, value: str | list[str]) -> Schema:
    """The input tensor of one text, or of one list of texts."""
    shape = [1] if isinstance(value, str) else [1, len(value)]
    data = [value] if isinstance(value, str) else [*value]
    return {"name": name, "shape": shape, "datatype": BYTES, "data": data}
