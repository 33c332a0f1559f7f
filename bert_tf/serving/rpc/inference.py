"""The Open Inference Protocol's GRPCInferenceService."""

import functools
from typing import Any

from bert_tf.export.predictor import Predictor
from bert_tf.serving import open_inference
from bert_tf.serving.batching import Columns
from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.handler import use
from bert_tf.serving.models import Version
from bert_tf.serving.open_inference import TensorCall
from bert_tf.serving.rpc.exchange import Asked, Methods, answered
from bert_tf.serving.rpc.health import is_ready
from bert_tf.serving.rpc.messages import Message, MessageClass, message_class
from bert_tf.serving.tensors import (
    BYTES,
    Tensor,
    tensor_of_bytes,
    tensor_of_values,
)

INFERENCE = "inference.GRPCInferenceService"
MOST_DIGITS = 18  # Digits of a version, which then fits 64 bits.
# The fields that hold the values of each type. FP16 has only raw bytes.
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def _class_of(name: str) -> MessageClass:
    return message_class(f"inference.{name}")


_ServerLiveResponse = _class_of("ServerLiveResponse")
_ServerReadyResponse = _class_of("ServerReadyResponse")
_ModelReadyResponse = _class_of("ModelReadyResponse")
_ServerMetadataResponse = _class_of("ServerMetadataResponse")
_ModelMetadataResponse = _class_of("ModelMetadataResponse")
_ModelInferResponse = _class_of("ModelInferResponse")


def _number_of(version: str) -> int | None:
    """The number of a version; None for "", the newest."""
    if not version:
        return None
    is_number = version.isascii() and version.isdigit()
    if not is_number or len(version) > MOST_DIGITS:
        raise Refusal(400, f"version {shown(version)}: must be a number")
    return int(version)


# ---------------------------------------------------------------------------
# What the server and its models are.


async def server_live(asked: Asked) -> Message:
    """Says that the server answers."""
    return _ServerLiveResponse(live=True)


async def server_ready(asked: Asked) -> Message:
    """Says whether all models answer."""
    return _ServerReadyResponse(ready=is_ready(asked.serving))


async def model_ready(asked: Asked) -> Message:
    """Says whether a model, or a version of it, answers.

    Raises:
        Refusal: there is no such model.
    """
    number = _number_of(asked.message.version)
    model = asked.serving.model(asked.message.name)
    asked.model = model.name
    is_there = number is None or number in model.available()
    answers = model.is_ready and is_there and not asked.serving.is_ending
    return _ModelReadyResponse(ready=answers)


async def server_metadata(asked: Asked) -> Message:
    """Describes the server."""
    found = open_inference.server_metadata()
    # gRPC has no such extension: its tensors may always be bytes.
    found["extensions"] = []
    return _ServerMetadataResponse(**found)


async def model_metadata(asked: Asked) -> Message:
    """Describes the inputs and outputs of a model.

    Raises:
        Refusal: the request is wrong.
    """
    number = _number_of(asked.message.version)
    model = asked.serving.model(asked.message.name)
    asked.model = model.name
    with use(model, number) as version:
        found = open_inference.model_metadata(model, version)
    return _ModelMetadataResponse(**found)


# ---------------------------------------------------------------------------
# ModelInfer.


async def model_infer(asked: Asked) -> Message:
    """Answers tensors with tensors, whose elements are bytes.

    Raises:
        Refusal: the request is wrong.
    """
    request, limits = asked.message, asked.serving.limits
    if not request.model_name:
        raise Refusal(400, "model_name is missing")

    def read(predictor: Predictor) -> TensorCall:
        for output in request.outputs:
            open_inference.check_parameters(_parameters(output))
        return open_inference.read_call(
            predictor,
            _inputs_of(request),
            [output.name for output in request.outputs],
            _parameters(request),
            limits,
        )

    number = _number_of(request.model_version)
    write = functools.partial(_written, request)
    return await answered(asked, request.model_name, number, read, write)


def _parameters(holder: Message) -> dict[str, Any]:
    """{name: value} of the parameters of a request, an input or an output."""
    found = {}
    for name, parameter in holder.parameters.items():
        kind = parameter.WhichOneof("choice")
        if kind is None:
            raise Refusal(400, f"parameter {shown(name)} has no value")
        found[name] = getattr(parameter, kind)
    return found


def _inputs_of(request: Message) -> list[Tensor]:
    """The tensors of a request."""
    raw = request.raw_input_contents
    if not raw:
        return [_tensor_of(given) for given in request.inputs]
    if len(raw) != len(request.inputs):
        raise Refusal(
            400,
            f"raw_input_contents has {len(raw):,} tensors: there are "
            f"{len(request.inputs):,} inputs",
        )
    tensors = []
    for given, data in zip(request.inputs, raw, strict=True):
        if given.HasField("contents"):
            raise Refusal(
                400, f"{shown(given.name)}: contents and raw_input_contents"
            )
        open_inference.check_parameters(_parameters(given))
        shape = [*given.shape]
        tensors.append(tensor_of_bytes(given.name, given.datatype, shape, data))
    return tensors


def _tensor_of(given: Message) -> Tensor:
    open_inference.check_parameters(_parameters(given))
    field = _FIELDS.get(given.datatype)
    values = [] if field is None else [*getattr(given.contents, field)]
    return tensor_of_values(given.name, given.datatype, [*given.shape], values)


def _written(
    request: Message, version: Version, call: TensorCall, columns: Columns
) -> Message:
    answer = _ModelInferResponse(
        model_name=request.model_name,
        model_version=str(version.number),
        id=request.id,
    )
    for tensor in call.answer(columns):
        answer.outputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
        )
        answer.raw_output_contents.append(tensor.to_bytes())
    return answer


METHODS: Methods = {
    INFERENCE: {
        "ServerLive": (_class_of("ServerLiveRequest"), server_live),
        "ServerReady": (_class_of("ServerReadyRequest"), server_ready),
        "ModelReady": (_class_of("ModelReadyRequest"), model_ready),
        "ServerMetadata": (_class_of("ServerMetadataRequest"), server_metadata),
        "ModelMetadata": (_class_of("ModelMetadataRequest"), model_metadata),
        "ModelInfer": (_class_of("ModelInferRequest"), model_infer),
    }
}
