"""gRPC: TensorFlow Serving's services, the Open Inference Protocol, health."""

import contextlib
import dataclasses

import grpc
import numpy as np
import pytest
from support.common import needs
from support.rpc_clients import (
    CLIENTS,
    INFERENCE,
    MODELS,
    PREDICTION,
    SERVING,
    OwnClient,
    answering,
    examples_request,
    from_proto,
    infer_request,
    outputs_of,
    predict_request,
    refused,
    to_proto,
)
from support.server_requests import (
    IDS,
    LIMITS,
    examples_body,
    predict,
    send_request,
)
from support.serving_fakes import INPUTS, LABELS, make_serving, start

from bert_tf.serving.signatures import bytes_of

Code = grpc.StatusCode
VALUES = {
    "text": "[E1]Ann[/E1] saw [E2]it[/E2]",
    "endings": ["a", "b"],
    "question": "who?",
    "context": "abcdefghijkl",
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """Models that may take their time, as TensorFlow does at the first call."""
    limits = dataclasses.replace(LIMITS, request_seconds=30.0)
    return start(make_serving(limits), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ports(serving):
    """(HTTP port, gRPC port)."""
    with answering(serving) as (port, endpoint, _):
        yield port, endpoint.port


@pytest.fixture(scope="module", params=CLIENTS)
def client(ports, request):
    with contextlib.closing(CLIENTS[request.param](ports[1])) as client:
        yield client


@pytest.fixture(scope="module")
def own(ports):
    with contextlib.closing(OwnClient(ports[1])) as client:
        yield client


# ---------------------------------------------------------------------------
# TensorFlow Serving's services.


def test_predict_answers_in_named_tensors(client):
    request = predict_request(client, "single_label", text=["a", "abc"])
    answer = client.stub(PREDICTION).Predict(request)
    outputs = {n: from_proto(t).tolist() for n, t in answer.outputs.items()}
    assert outputs["score"] == [1, 3]
    assert outputs["labels"] == [[label.encode() for label in LABELS]] * 2
    # Clients read the fields of the types, too.
    assert [*answer.outputs["score"].float_val] == [1, 3]
    spec = answer.model_spec
    assert (spec.name, spec.version.value) == ("single_label", 1)
    assert spec.signature_name == "serving_default"
    request.output_filter.append("score")
    answer = client.stub(PREDICTION).Predict(request, timeout=20)
    assert [*answer.outputs] == ["score"]


def test_every_kind_answers_as_over_http(client, ports):
    for kind, names in INPUTS.items():
        inputs = {name: [VALUES[name]] for name in names}
        body = {"inputs": inputs}
        outputs = send_request(ports[0], predict(kind), body)[1]["outputs"]
        request = predict_request(client, kind, **inputs)
        answer = client.stub(PREDICTION).Predict(request)
        columns = {n: from_proto(t) for n, t in answer.outputs.items()}
        if len(columns) == 1:
            outputs = {next(iter(columns)): outputs}
        check_same(columns, outputs)
        answer = client.stub(INFERENCE).ModelInfer(
            infer_request(client, kind, inputs)
        )
        columns = {n: np.array(v) for n, v in outputs_of(answer).items()}
        columns.pop("entities", None)
        check_same(columns, outputs)


def check_same(columns, outputs):
    """Compares columns with HTTP's; they have the same names and values."""
    assert columns.keys() == outputs.keys()
    for name, column in columns.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(column, outputs[name], rtol=1e-6)
        else:
            values = np.array(outputs[name])
            if column.dtype == object:
                values = np.vectorize(str.encode, otypes="O")(values)
            assert column.tolist() == values.tolist(), name


def test_signatures_of_ids_and_examples(client):
    ids = {name: [value] for name, value in IDS.items()}
    arrays = {name: np.array(value, np.int32) for name, value in ids.items()}
    request = predict_request(client, "single_label", "ids", **arrays)
    answer = client.stub(PREDICTION).Predict(request)
    assert [*answer.outputs["score"].float_val] == [10]
    for raw in (False, True):
        request = infer_request(client, "single_label", ids, raw)
        answer = client.stub(INFERENCE).ModelInfer(request)
        assert outputs_of(answer) == {"score": [10]}
    (instance,) = examples_body(IDS)["instances"]
    serialized = bytes_of(instance)
    request = predict_request(
        client, "single_label", "examples", examples=[serialized]
    )
    answer = client.stub(PREDICTION).Predict(request)
    assert [*answer.outputs["score"].float_val] == [len(serialized)]


def test_a_value_stands_for_all_after_it(own):
    """TensorFlow leaves out values that repeat, and zeros."""
    ids = {name: np.array([value]) for name, value in IDS.items()}
    request = predict_request(own, "single_label", "ids", **ids)
    mask = request.inputs["input_mask"]
    mask.tensor_content = b""
    mask.int64_val.append(1)
    zeros = request.inputs["segment_ids"]
    zeros.tensor_content = b""
    answer = own.stub(PREDICTION).Predict(request)
    assert [*answer.outputs["score"].float_val] == [10]


def test_classify_and_regress(client):
    rows = [{"text": "ab"}, {"text": "abc"}]
    stub = client.stub(PREDICTION)
    request = examples_request(
        client, "ClassificationRequest", "single_label", rows
    )
    answer = stub.Classify(request)
    labels = [
        [each.label for each in row.classes]
        for row in answer.result.classifications
    ]
    assert labels == [LABELS] * 2
    first = answer.result.classifications[0].classes[0]
    assert first.score == pytest.approx(0.002)
    request = examples_request(client, "RegressionRequest", "regression", rows)
    answer = stub.Regress(request)
    assert [each.value for each in answer.result.regressions] == [2, 3]
    request = examples_request(
        client, "RegressionRequest", "regression", [{}], {"text": "abcd"}
    )
    assert stub.Regress(request).result.regressions[0].value == 4
    for name, call in ("Classification", "Classify"), ("Regression", "Regress"):
        request = examples_request(client, f"{name}Request", "tags", rows)
        with refused(Code.UNIMPLEMENTED, "use Predict"):
            getattr(stub, call)(request)


def test_metadata_and_status(client):
    request = client.new(
        f"{SERVING}.GetModelMetadataRequest", metadata_field=["signature_def"]
    )
    request.model_spec.name = "tags"
    answer = client.stub(PREDICTION).GetModelMetadata(request)
    signatures = client.new(f"{SERVING}.SignatureDefMap")
    assert answer.metadata["signature_def"].Unpack(signatures)
    found = signatures.signature_def
    assert {*found} == {"serving_default", "ids", "examples"}
    assert found["ids"].inputs["input_ids"].dtype == 3  # DT_INT32
    text = found["serving_default"].inputs["text"]
    assert [dim.size for dim in text.tensor_shape.dim] == [-1]
    request = client.new(f"{SERVING}.GetModelStatusRequest")
    request.model_spec.name = "tags"
    (status,) = client.stub(MODELS).GetModelStatus(request).model_version_status
    assert (status.version, status.state) == (1, 30)  # AVAILABLE
    request.model_spec.version.value = 7
    with refused(Code.NOT_FOUND, "no version 7"):
        client.stub(MODELS).GetModelStatus(request)


def test_what_is_not_there_is_named(own):
    stub = own.stub(PREDICTION)

    def ask(code, part, change=lambda request: None, **inputs):
        request = predict_request(
            own, "single_label", **(inputs or {"text": ["a"]})
        )
        change(request)
        with refused(code, part):
            stub.Predict(request, timeout=20)

    def spec(**fields):
        return lambda request: request.model_spec.MergeFrom(
            own.new(f"{SERVING}.ModelSpec", **fields)
        )

    version = own.new("google.protobuf.Int64Value", value=9)
    ask(Code.NOT_FOUND, 'no model "x"', spec(name="x"))
    ask(Code.NOT_FOUND, "no version 9", spec(version=version))
    ask(Code.NOT_FOUND, "version_label", spec(version_label="stable"))
    ask(Code.INVALID_ARGUMENT, "signature_name", spec(signature_name="x"))
    ask(Code.INVALID_ARGUMENT, "must be text", other=["a"])
    ask(
        Code.INVALID_ARGUMENT,
        "model_spec.name",
        lambda request: request.Clear(),
    )
    ask(
        Code.INVALID_ARGUMENT,
        'output_filter "x"',
        lambda request: request.output_filter.append("x"),
    )
    reload = own.new(f"{SERVING}.GetModelStatusRequest")
    with refused(Code.UNIMPLEMENTED):
        own.stub(MODELS).HandleReloadConfigRequest(reload)
    with refused(Code.UNIMPLEMENTED):
        stub.MultiInference(reload)


@pytest.mark.parametrize(
    "change",
    [
        lambda proto: proto.tensor_shape.Clear(),
        lambda proto: setattr(proto.tensor_shape, "unknown_rank", True),
        lambda proto: setattr(proto.tensor_shape.dim[0], "size", -1),
        lambda proto: setattr(proto.tensor_shape.dim[0], "size", 0),
        lambda proto: setattr(proto.tensor_shape.dim[0], "size", 1),
        lambda proto: setattr(proto.tensor_shape.dim[0], "size", 51),
        lambda proto: setattr(proto.tensor_shape.dim[0], "size", 2**62),
        lambda proto: proto.tensor_shape.dim.add(size=2**40),
        lambda proto: proto.tensor_shape.dim.add(size=3),
        lambda proto: proto.tensor_shape.dim.extend(
            [proto.tensor_shape.dim[0]] * 9
        ),
        lambda proto: setattr(proto, "dtype", 0),
        lambda proto: setattr(proto, "dtype", 3),
        lambda proto: setattr(proto, "dtype", 21),
        lambda proto: setattr(proto, "dtype", 99),
        lambda proto: setattr(proto, "tensor_content", b"ab"),
        lambda proto: proto.string_val.append(b"\xff"),
        lambda proto: proto.string_val.__setitem__(0, b"\xff"),
        lambda proto: proto.string_val.__setitem__(0, b"x" * 100_001),
    ],
)
def test_wrong_tensors_are_refused(own, change):
    request = predict_request(own, "single_label", text=["a", "b"])
    change(request.inputs["text"])
    with refused(Code.INVALID_ARGUMENT):
        own.stub(PREDICTION).Predict(request, timeout=20)


def test_few_bytes_do_not_become_many_values(own):
    """Each input says that it is large; together they would fill memory."""
    request = predict_request(own, "single_label")
    for number in range(40):
        proto = request.inputs[f"input {number}"]
        proto.CopyFrom(to_proto(own, ["a"]))
        proto.tensor_shape.dim[0].size = 1 << 15
    with refused(Code.INVALID_ARGUMENT, "leave out 1,310,680 values"):
        own.stub(PREDICTION).Predict(request, timeout=20)


# ---------------------------------------------------------------------------
# The Open Inference Protocol.


def test_inference_says_what_there_is(client):
    stub = client.stub(INFERENCE)

    def ask(method, **fields):
        request = client.new(f"inference.{method}Request", **fields)
        return getattr(stub, method)(request)

    assert ask("ServerLive").live and ask("ServerReady").ready
    assert ask("ServerMetadata").name == "bert_tf"
    assert ask("ModelReady", name="tags").ready
    assert ask("ModelReady", name="tags", version="1").ready
    assert not ask("ModelReady", name="tags", version="2").ready
    answer = ask("ModelMetadata", name="question_answering")
    assert [each.name for each in answer.inputs] == ["question", "context"]
    assert (answer.inputs[0].datatype, [*answer.inputs[0].shape]) == (
        "BYTES",
        [-1],
    )
    assert [*answer.versions] == ["1"]
    with refused(Code.NOT_FOUND, 'no model "x"'):
        ask("ModelMetadata", name="x")
    with refused(Code.INVALID_ARGUMENT, "must be a number"):
        ask("ModelReady", name="tags", version="²")


def test_infer_answers_what_is_asked_for(client):
    request = infer_request(
        client, "single_label", {"text": ["abc", "a"]}, raw=True, id="seven"
    )
    request.model_version = "1"
    request.outputs.add(name="score")
    request.parameters["with_lengths"].bool_param = True
    answer = client.stub(INFERENCE).ModelInfer(request)
    assert outputs_of(answer) == {"score": [3, 1]}
    assert (answer.model_name, answer.model_version) == ("single_label", "1")
    assert answer.id == "seven"


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request.ClearField("raw_input_contents"),
        lambda request: request.raw_input_contents.append(b""),
        lambda request: request.inputs[0].contents.bytes_contents.append(b"a"),
        lambda request: request.inputs[0].shape.append(7),
        lambda request: request.inputs[0].shape.append(-1),
        lambda request: request.inputs[0].shape.extend([0, 2**62, 2**62]),
        lambda request: request.inputs[0].ClearField("shape"),
        lambda request: setattr(request.inputs[0], "datatype", "FP32"),
        lambda request: setattr(request.inputs[0], "datatype", "x"),
        lambda request: setattr(request.inputs[0], "name", "x"),
        lambda request: request.inputs.add().CopyFrom(request.inputs[0]),
        lambda request: setattr(request, "model_version", "-1"),
        lambda request: setattr(request, "model_version", "9" * 5000),
        lambda request: setattr(request, "model_name", ""),
        lambda request: request.outputs.add(name="x"),
        lambda request: request.parameters["a"].Clear(),
        lambda request: request.raw_input_contents.__setitem__(0, b"\xff" * 9),
        lambda request: request.raw_input_contents.__setitem__(
            0, b"\x01\0\0\0\xff"
        ),
    ],
)
def test_wrong_inferences_are_refused(own, change):
    request = infer_request(own, "single_label", {"text": ["a"]}, raw=True)
    change(request)
    with refused(Code.INVALID_ARGUMENT):
        own.stub(INFERENCE).ModelInfer(request, timeout=20)


def test_tritonclient_reads_the_answers(ports):
    needs("tritonclient", "tritonclient[grpc]")
    from tritonclient import grpc as triton

    with triton.InferenceServerClient(f"127.0.0.1:{ports[1]}") as client:
        assert client.is_server_ready() and client.is_model_ready("tags")
        assert client.get_model_metadata("tags").inputs[0].name == "text"
        given = triton.InferInput("text", [2, 1], "BYTES")
        given.set_data_from_numpy(np.array([["abc"], ["größer"]], object))
        wanted = triton.InferRequestedOutput("label")
        answer = client.infer("single_label", [given], outputs=[wanted])
        labels = answer.as_numpy("label").tolist()
        assert labels == [b"abc", "größer".encode()]
        answer = client.infer("single_label", [given])
        assert answer.as_numpy("score").tolist() == [3, 6]
