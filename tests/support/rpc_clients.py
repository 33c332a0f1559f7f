"""Clients of gRPC, whose messages are the server's own or another library's.

A client's `stub(service)` has the methods of a service, as generated code has
them, and `new(message, …)` makes a message.
"""

import contextlib

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory

from bert_tf.serving.rpc.endpoint import METHODS, Endpoint
from bert_tf.serving.rpc.health import HEALTH
from bert_tf.serving.rpc.messages import message_class
from bert_tf.serving.tensors import NUMBERS
from support.common import needs
from support.server_requests import predictor_of
from support.serving_fakes import running

SERVING = "tensorflow.serving"
PREDICTION = f"{SERVING}.PredictionService"
MODELS = f"{SERVING}.ModelService"
INFERENCE = "inference.GRPCInferenceService"
ANSWERS = {
    "Classify": "ClassificationResponse",
    "Regress": "RegressionResponse",
    "HandleReloadConfigRequest": "GetModelStatusResponse",
    "MultiInference": "PredictResponse",
    "Check": "HealthCheckResponse",
    "Watch": "HealthCheckResponse",
}


class OwnClient:
    """A client whose messages are those of the server."""

    def __init__(self, port, credentials=None):
        if credentials:
            address = f"localhost:{port}"
            self.channel = grpc.secure_channel(address, credentials)
        else:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def close(self):
        self.channel.close()

    def new(self, name, /, **fields):
        return self._class_of(name)(**fields)

    def _class_of(self, name):
        return message_class(name)

    def stub(self, service):
        return _Stub(self.channel, service)


class _Stub:
    def __init__(self, channel, service):
        names = ["Check", "Watch"] if service == HEALTH else METHODS[service]
        package = service.rpartition(".")[0]
        for name in names:
            answer = message_class(
                f"{package}.{ANSWERS.get(name, name + 'Response')}"
            )
            make = channel.unary_stream if name == "Watch" else None
            call = (make or channel.unary_unary)(
                f"/{service}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            setattr(self, name, call)


class ForeignClient(OwnClient):
    """A client with the classes of tensorflow-serving-api and tritonclient."""

    def __init__(self, port):
        super().__init__(port)
        needs("tensorflow_serving", "tensorflow-serving-api")
        needs("tritonclient", "tritonclient[grpc]")
        from tensorflow_serving.apis import (
            model_service_pb2_grpc,
            prediction_service_pb2_grpc,
        )
        from tritonclient.grpc import service_pb2_grpc

        self._stubs = {
            PREDICTION: prediction_service_pb2_grpc.PredictionServiceStub,
            MODELS: model_service_pb2_grpc.ModelServiceStub,
            INFERENCE: service_pb2_grpc.GRPCInferenceServiceStub,
        }

    def _class_of(self, name):
        pool = descriptor_pool.Default()
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    def stub(self, service):
        return self._stubs[service](self.channel)


CLIENTS = {"own": OwnClient, "other libraries": ForeignClient}


def to_proto(client, value, dtype=None):
    """A TensorProto of the client's, made by TensorFlow."""
    proto = tf.make_tensor_proto(value, dtype)
    message = client.new("tensorflow.TensorProto")
    message.ParseFromString(proto.SerializeToString())
    return message


def from_proto(proto):
    """The array of a TensorProto of any class."""
    proto_class = type(tf.make_tensor_proto(0))
    return tf.make_ndarray(proto_class.FromString(proto.SerializeToString()))


def predict_request(client, model, signature="", version=None, **inputs):
    """A PredictRequest; an input is a list, an array or a TensorProto."""
    request = client.new(f"{SERVING}.PredictRequest")
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        if isinstance(value, (list, np.ndarray)):
            value = to_proto(client, value)
        request.inputs[name].CopyFrom(value)
    return request


def examples_request(client, message, model, rows, context=None):
    """A ClassificationRequest or RegressionRequest of {name: text}."""
    request = client.new(f"{SERVING}.{message}")
    request.model_spec.name = model
    holder = request.input.example_list
    if context is not None:
        holder = request.input.example_list_with_context
        _fill(holder.context, context)
    for row in rows:
        _fill(holder.examples.add(), row)
    return request


def _fill(example, row):
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        else:
            feature.int64_list.value.append(value)


def infer_request(client, model, inputs, raw=False, **fields):
    """A ModelInferRequest of {name: list of texts or of lists of numbers}."""
    request = client.new("inference.ModelInferRequest", **fields)
    request.model_name = model
    for name, values in inputs.items():
        array = np.array(values, object if _is_text(values) else np.int32)
        tensor = request.inputs.add(name=name, shape=array.shape)
        if _is_text(values):
            tensor.datatype = "BYTES"
            flat = [text.encode() for text in array.ravel()]
            parts = [len(text).to_bytes(4, "little") + text for text in flat]
            field, data = tensor.contents.bytes_contents, b"".join(parts)
        else:
            tensor.datatype, flat = "INT32", array.ravel().tolist()
            field, data = tensor.contents.int_contents, array.tobytes()
        if raw:
            tensor.ClearField("contents")
            request.raw_input_contents.append(data)
        else:
            field.extend(flat)
    return request


def _is_text(values):
    return isinstance(np.ravel(values)[0], str)


def outputs_of(answer):
    """{name: nested lists} of a ModelInferResponse; BYTES are str."""
    found = {}
    for tensor, data in zip(
        answer.outputs, answer.raw_output_contents, strict=True
    ):
        if tensor.datatype == "BYTES":
            array = np.array(_strings(data), object)
        else:
            array = np.frombuffer(data, NUMBERS[tensor.datatype])
        found[tensor.name] = array.reshape(tensor.shape).tolist()
    return found


def _strings(data):
    texts = []
    while data:
        size = int.from_bytes(data[:4], "little")
        texts.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return texts


@contextlib.contextmanager
def refused(code, part=""):
    """Expects a call to fail with a code, and one line that has a part."""
    try:
        yield
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        assert part in error.details() and "\n" not in error.details()
    else:
        raise AssertionError("the call was answered")


@contextlib.contextmanager
def answering(serving, **settings):
    """A server with gRPC; gives (its HTTP port, endpoint, server)."""
    serving.is_ending = False  # Another server of the tests may have had it.
    endpoint = Endpoint(serving, "127.0.0.1:0", **settings)
    with running(serving, companion=endpoint) as (server, port):
        yield port, endpoint, server
    serving.is_ending = False


@contextlib.contextmanager
def held(serving, model):
    """While the block runs, the model's batches wait."""
    predictor = predictor_of(serving, model)
    predictor.may_run.clear()
    try:
        yield
    finally:
        predictor.may_run.set()
