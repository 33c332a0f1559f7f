"""The messages of gRPC's services, made from short descriptions.

Three public formats are described here, as far as the server reads them. A
line is a message and its fields; a field is its name, its number and its type:

    *string     repeated
    {string     a map, from strings to such values
    ?string     one of those that exclude each other in a message

Types of other packages have their full names. An enum's line starts with
`enum`. What is not described, such as a field that a newer client sends, is
skipped, as gRPC has it.

    tensorflow.serving  github.com/tensorflow/serving, tensorflow_serving/apis
    inference           github.com/kserve/open-inference-protocol
    grpc.health.v1      github.com/grpc/grpc-proto, grpc/health/v1

The classes live in a pool of their own. So a program may import a client's
classes of the same names as well. TensorFlow's messages in the pool are copies
of the descriptors that TensorFlow itself has.
"""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    wrappers_pb2,
)

_STATUS = """
enum Code OK 0, CANCELLED 1, UNKNOWN 2, INVALID_ARGUMENT 3, NOT_FOUND 5
"""

_SERVING = """
ModelSpec name 1 string, version 2 ?google.protobuf.Int64Value,
  signature_name 3 string, version_label 4 ?string

PredictRequest model_spec 1 ModelSpec, inputs 2 {tensorflow.TensorProto,
  output_filter 3 *string
PredictResponse outputs 1 {tensorflow.TensorProto, model_spec 2 ModelSpec

ExampleList examples 1 *tensorflow.Example
ExampleListWithContext examples 1 *tensorflow.Example,
  context 2 tensorflow.Example
Input example_list 1 ?ExampleList,
  example_list_with_context 2 ?ExampleListWithContext

Class label 1 string, score 2 float
Classifications classes 1 *Class
ClassificationResult classifications 1 *Classifications
ClassificationRequest model_spec 1 ModelSpec, input 2 Input
ClassificationResponse result 1 ClassificationResult, model_spec 2 ModelSpec

Regression value 1 float
RegressionResult regressions 1 *Regression
RegressionRequest model_spec 1 ModelSpec, input 2 Input
RegressionResponse result 1 RegressionResult, model_spec 2 ModelSpec

SignatureDefMap signature_def 1 {tensorflow.SignatureDef
GetModelMetadataRequest model_spec 1 ModelSpec, metadata_field 2 *string
GetModelMetadataResponse model_spec 1 ModelSpec,
  metadata 2 {google.protobuf.Any

enum State UNKNOWN 0, START 10, LOADING 20, AVAILABLE 30, UNLOADING 40, END 50
StatusProto error_code 1 tensorflow.error.Code, error_message 2 string
ModelVersionStatus version 1 int64, state 2 State, status 3 StatusProto
GetModelStatusRequest model_spec 1 ModelSpec
GetModelStatusResponse model_version_status 1 *ModelVersionStatus
"""

_INFERENCE = """
ServerLiveRequest
ServerLiveResponse live 1 bool
ServerReadyRequest
ServerReadyResponse ready 1 bool
ModelReadyRequest name 1 string, version 2 string
ModelReadyResponse ready 1 bool
ServerMetadataRequest
ServerMetadataResponse name 1 string, version 2 string, extensions 3 *string

ModelMetadataRequest name 1 string, version 2 string
TensorMetadata name 1 string, datatype 2 string, shape 3 *int64
ModelMetadataResponse name 1 string, versions 2 *string, platform 3 string,
  inputs 4 *TensorMetadata, outputs 5 *TensorMetadata

InferParameter bool_param 1 ?bool, int64_param 2 ?int64,
  string_param 3 ?string, double_param 4 ?double, uint64_param 5 ?uint64
InferTensorContents bool_contents 1 *bool, int_contents 2 *int32,
  int64_contents 3 *int64, uint_contents 4 *uint32, uint64_contents 5 *uint64,
  fp32_contents 6 *float, fp64_contents 7 *double, bytes_contents 8 *bytes
InferTensor name 1 string, datatype 2 string, shape 3 *int64,
  parameters 4 {InferParameter, contents 5 InferTensorContents
InferRequestedOutputTensor name 1 string, parameters 2 {InferParameter
ModelInferRequest model_name 1 string, model_version 2 string, id 3 string,
  parameters 4 {InferParameter, inputs 5 *InferTensor,
  outputs 6 *InferRequestedOutputTensor, raw_input_contents 7 *bytes
ModelInferResponse model_name 1 string, model_version 2 string, id 3 string,
  parameters 4 {InferParameter, outputs 5 *InferTensor,
  raw_output_contents 6 *bytes
"""

_HEALTH = """
enum ServingStatus UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3
HealthCheckRequest service 1 string
HealthCheckResponse status 1 ServingStatus
"""

_DESCRIPTIONS = {
    "tensorflow.error": _STATUS,
    "tensorflow.serving": _SERVING,
    "inference": _INFERENCE,
    "grpc.health.v1": _HEALTH,
}
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}
# TensorFlow's files with TensorProto and SignatureDef, and with Example.
_FOREIGN = (
    tf.compat.v1.MetaGraphDef.DESCRIPTOR.file,
    tf.train.Example.DESCRIPTOR.file,
    wrappers_pb2.DESCRIPTOR,
    any_pb2.DESCRIPTOR,
)


def _make_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    known: list[str] = []
    for file in _FOREIGN:
        _copy(pool, file, known)
    for package, description in _DESCRIPTIONS.items():
        file = _described(package, description)
        file.dependency.extend(known)
        pool.AddSerializedFile(file.SerializeToString())
        known.append(file.name)
    return pool


def _copy(pool, file, known):
    """Puts a file of another pool into this one, after those it needs."""
    if file.name not in known:
        for needed in file.dependencies:
            _copy(pool, needed, known)
        pool.AddSerializedFile(file.serialized_pb)
        known.append(file.name)


def _described(package, description) -> descriptor_pb2.FileDescriptorProto:
    """The file of a package, made from its description."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    enums: set[str] = {"tensorflow.error.Code"}
    for is_enum, name, parts in _lines(description):
        if is_enum:
            enums.add(name)
            enum = file.enum_type.add(name=name)
            for part in parts:
                value, number = part.split()
                enum.value.add(name=value, number=int(number))
        else:
            message = file.message_type.add(name=name)
            for part in parts:
                _add_field(message, package, enums, *part.split())
    return file


def _lines(description: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Yields (whether it is an enum, its name, its parts) of each line."""
    for line in description.replace("\n  ", " ").splitlines():
        if line:
            is_enum = line.startswith("enum ")
            name, _, parts = line.removeprefix("enum ").partition(" ")
            yield is_enum, name, [part for part in parts.split(",") if part]


def _add_field(message, package, enums, name, number, kind):
    field = message.field.add(name=name, number=int(number))
    is_map, mark, kind = kind[0] == "{", kind[0], kind.lstrip("*{?")
    is_list = mark in "*{"
    field.label = _Field.LABEL_REPEATED if is_list else _Field.LABEL_OPTIONAL
    if mark == "?":
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if is_map:
        kind = _add_entry(message, package, enums, name, kind)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _Field.TYPE_ENUM if kind in enums else _Field.TYPE_MESSAGE
    field.type_name = f".{kind}" if "." in kind else f".{package}.{kind}"


def _add_entry(message, package, enums, name, kind) -> str:
    """Adds the message of a map's entries, and returns its full name."""
    words = [word.capitalize() for word in name.split("_")]
    entry = message.nested_type.add(name=f"{''.join(words)}Entry")
    entry.options.map_entry = True
    _add_field(entry, package, enums, "key", 1, "string")
    _add_field(entry, package, enums, "value", 2, kind)
    return f"{package}.{message.name}.{entry.name}"


_POOL = _make_pool()
# A message's class is made at run time: its fields have no types here.
Message = Any
MessageClass = Any


def message_class(name: str) -> MessageClass:
    """Returns the class of a message, such as "inference.ModelInferRequest".

    Raises:
        KeyError: there is no such message.
    """
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))
