"""The Open Inference Protocol over HTTP: bodies <-> tensors.

A body is JSON. With Triton's extension for binary data the JSON is its first
part, as long as the header `Inference-Header-Content-Length` says, and the data
of its binary tensors follows, in their order:

    {"inputs": [{"name": …, "parameters": {"binary_data_size": 7}}]}…7 bytes

Outputs are binary if the request's parameter `binary_data_output` is true, or
an output's own `binary_data`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import Response

from bert_tf.export.predictor import Predictor
from bert_tf.serving import json_bodies
from bert_tf.serving.batching import Columns, KeyedPayload
from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.limits import Limits, parse_object
from bert_tf.serving.open_inference import check_parameters, read_call
from bert_tf.serving.results import to_json
from bert_tf.serving.schemas import LONGEST_ID
from bert_tf.serving.tensors import Tensor, tensor_of_bytes, tensor_of_values

HEADER_LENGTH = "Inference-Header-Content-Length"
SIZE, BINARY, ALL_BINARY = (
    "binary_data_size",
    "binary_data",
    "binary_data_output",
)
MOST_TENSORS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferRequest:
    """A request.

    Attributes:
        id: what the answer repeats; None if there is none.
        parameters: those of the request as a whole.
        inputs: its tensors.
        outputs: the names of the outputs that are wanted; none for all.
        binary: the names of the outputs that are sent as bytes.
        is_binary: whether all others are.
    """

    id: str | None
    parameters: dict[str, Any]
    inputs: list[Tensor]
    outputs: list[str]
    binary: dict[str, bool]
    is_binary: bool


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """Reads a body.

    Args:
        body: the body.
        header_length: the header `HEADER_LENGTH`; None if it was not sent.

    Raises:
        Refusal: the body is wrong.
    """
    data = b""
    if header_length is not None:
        size = _header_size(header_length, len(body))
        body, data = body[:size], body[size:]
    values = parse_object(body)
    # Unknown keys may be those of a later version.
    parameters = _parameters(values)
    outputs = _objects(values, "outputs", is_needed=False)
    return InferRequest(
        id=_id_of(values),
        parameters=parameters,
        inputs=_inputs(values, data, header_length is not None),
        outputs=[_name_of(output, "outputs") for output in outputs],
        binary=_binary_outputs(outputs),
        is_binary=_switch(parameters, ALL_BINARY) or False,
    )


def _header_size(header_length, num_bytes):
    is_number = header_length.isascii() and header_length.isdigit()
    if not is_number or len(header_length) > 18:
        raise Refusal(400, f"{HEADER_LENGTH} must be a number of bytes")
    if int(header_length) > num_bytes:
        raise Refusal(
            400,
            f"{HEADER_LENGTH} is {int(header_length):,}: the body has "
            f"{num_bytes:,} bytes",
        )
    return int(header_length)


def _id_of(values):
    name = values.get("id")
    if name is not None and not isinstance(name, str):
        raise Refusal(400, "id must be a string")
    if name and len(name) > LONGEST_ID:
        raise Refusal(400, f"id must not exceed {LONGEST_ID} characters")
    return name


def _parameters(values: dict[str, Any]) -> dict[str, Any]:
    parameters = values.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refusal(400, "parameters must be an object")
    check_parameters(parameters)
    return parameters


def _objects(values: dict[str, Any], key: str, is_needed: bool = True):
    found = values.get(key)
    if found is None and not is_needed:
        return []
    if not isinstance(found, list) or not all(
        isinstance(each, dict) for each in found
    ):
        raise Refusal(400, f"{key} must be a list of objects")
    if len(found) > MOST_TENSORS:
        raise Refusal(400, f"{key} must not exceed {MOST_TENSORS} tensors")
    return found


def _name_of(values, key):
    name = values.get("name")
    if not isinstance(name, str):
        raise Refusal(400, f"{key}: name must be a string")
    return name


def _inputs(values, data, has_header):
    tensors, place = [], 0
    for each in _objects(values, "inputs"):
        name, parameters = _name_of(each, "inputs"), _parameters(each)
        datatype, shape = each.get("datatype"), each.get("shape")
        if not isinstance(datatype, str) or not isinstance(shape, list):
            raise Refusal(
                400,
                f"{shown(name)}: datatype must be a string, and shape a list",
            )
        size = parameters.get(SIZE)
        if size is None:
            values_of = each.get("data")
            tensors.append(tensor_of_values(name, datatype, shape, values_of))
            continue
        if not has_header:
            raise Refusal(400, f"{shown(name)}: {SIZE} needs {HEADER_LENGTH}")
        if type(size) is not int or not 0 <= size <= len(data) - place:
            raise Refusal(
                400,
                f"{shown(name)}: {SIZE} is {shown(size)}: there are "
                f"{len(data) - place:,} bytes",
            )
        part = data[place : place + size]
        tensors.append(tensor_of_bytes(name, datatype, shape, part))
        place += size
    if place < len(data):
        raise Refusal(
            400, f"{len(data) - place:,} bytes belong to none of the inputs"
        )
    return tensors


def _binary_outputs(outputs):
    binary = {}
    for output in outputs:
        wanted = _switch(_parameters(output), BINARY)
        if wanted is not None:
            binary[output["name"]] = wanted
    return binary


def _switch(parameters, name):
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal(400, f"{name} must be true or false")
    return value


@dataclasses.dataclass
class InferCall:
    """A request that was read.

    Attributes:
        rows: the row of each text, as a Batcher takes them.
        answer: function(model's name, its version, {output: array [n, …]})
            that returns the answer.
    """

    rows: list[KeyedPayload]
    answer: Callable[[str, int, Columns], Response]


def infer_call(
    predictor: Predictor,
    body: bytes,
    header_length: str | None,
    limits: Limits,
) -> InferCall:
    """Reads a body for a model.

    Args:
        predictor: the model.
        body, header_length: see `read_request`.
        limits: the limits of requests.

    Raises:
        Refusal: the request is wrong.
    """
    asked = read_request(body, header_length)
    call = read_call(
        predictor, asked.inputs, asked.outputs, asked.parameters, limits
    )
    return InferCall(
        call.rows,
        lambda model, version, columns: write_answer(
            asked, model, version, call.answer(columns)
        ),
    )


def write_answer(
    asked: InferRequest, model: str, version: int, tensors: Sequence[Tensor]
) -> Response:
    """Writes the output tensors, in the form that was asked for."""
    answer: dict[str, Any] = {
        "model_name": model,
        "model_version": str(version),
    }
    if asked.id is not None:
        answer["id"] = asked.id
    outputs, parts = [], []
    for tensor in tensors:
        output: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if asked.binary.get(tensor.name, asked.is_binary):
            parts.append(tensor.to_bytes())
            output["parameters"] = {SIZE: len(parts[-1])}
        else:
            output["data"] = to_json(tensor.array.ravel())
        outputs.append(output)
    head = json_bodies.write({**answer, "outputs": outputs})
    if not parts:
        return Response(head, media_type="application/json")
    return Response(
        b"".join([head, *parts]),
        media_type="application/octet-stream",
        headers={HEADER_LENGTH: str(len(head))},
    )
