"""gRPC in a process of its own, under load, attacks and signals."""

import collections
import contextlib
import random
import signal
import threading
import time

import grpc
import pytest
from support.rpc_clients import (
    HEALTH,
    INFERENCE,
    PREDICTION,
    OwnClient,
    infer_request,
    predict_request,
)
from support.server_processes import server
from support.serving_fakes import INPUTS

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20
Code = grpc.StatusCode


def ask(client, rng):
    """Sends texts of random lengths by either protocol; checks the answers."""
    texts = ["x" * rng.randrange(1, 40) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.5:
        request = predict_request(client, "regression", text=texts)
        outputs = client.stub(PREDICTION).Predict(request, timeout=20).outputs
        found = [*outputs["prediction"].float_val]
    else:
        request = infer_request(client, "regression", {"text": texts})
        answer = client.stub(INFERENCE).ModelInfer(request, timeout=20)
        (data,) = answer.raw_output_contents
        found = memoryview(data).cast("f").tolist()
    assert found == [len(text) for text in texts]


def test_a_signal_under_load_loses_no_call(tmp_path):
    """Each of many clients gets its own answers, until one is refused."""
    ends = collections.Counter()
    answered = []

    def work(seed):
        rng = random.Random(seed)
        with contextlib.closing(OwnClient(process.rpc_port)) as client:
            while True:
                try:
                    ask(client, rng)
                except grpc.RpcError as error:
                    ends[error.code()] += 1
                    return
                answered.append(1)

    with server(tmp_path, 0.02, "rpc") as process:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        process.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.process.wait(timeout=20) == 0
    assert ends == {Code.UNAVAILABLE: 16} and len(answered) > 100


# ---------------------------------------------------------------------------
# Attacks.


def damaged(data, rng):
    """Bytes in which some are others, missing, or too many."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(data) + 1)
        data[place : place + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
    return bytes(data)


def odd_prediction(client, rng):
    """A PredictRequest that is wrong somewhere, or not."""
    kind = rng.choice([*INPUTS])
    names = rng.choice([INPUTS[kind], ["text"], ["input_ids"], ["x"]])
    values = rng.choice([["a"], ["a", "b"], [""], ["x" * 3000], [["a", "b"]]])
    request = predict_request(
        client, kind, rng.choice(["", "ids", "examples", "none"])
    )
    for name in names:
        proto = request.inputs[name]
        proto.dtype = rng.choice([7, 7, 7, 3, 9, 1, 0, 23, -5, 2**31 - 1])
        for _ in range(rng.randrange(4)):
            size = rng.choice([1, 1, 2, 3, 0, -1, 2**31, 2**62])
            proto.tensor_shape.dim.add(size=size)
        for value in values:
            proto.string_val.append(str(value).encode() + rng.randbytes(1))
        proto.int_val.extend(rng.choice([[], [1], [2**31 - 1, -1]]))
        proto.tensor_content = rng.choice([b"", b"", rng.randbytes(8)])
    if rng.random() < 0.2:
        request.model_spec.version.value = rng.choice([1, 2, -1, 2**63 - 1])
    request.output_filter.extend(rng.choice([[], [], ["score"], ["x"]]))
    return request


def odd_inference(client, rng):
    """A ModelInferRequest that is wrong somewhere, or not."""
    kind = rng.choice([*INPUTS])
    inputs = {name: ["a", "b"] for name in INPUTS[kind]}
    request = infer_request(client, kind, inputs, raw=rng.random() < 0.5)
    for tensor in request.inputs:
        if rng.random() < 0.5:
            shape = [rng.choice([1, 2, 0, -1, 2**31, 2**62, 2**63 - 1])]
            tensor.shape[:] = shape * rng.randrange(12)
        if rng.random() < 0.3:
            types = ["BYTES", "FP32", "INT64", "FP16", "BOOL", "", "x"]
            tensor.datatype = rng.choice(types)
        if rng.random() < 0.2:
            tensor.contents.int_contents.append(rng.randrange(2**31))
    if rng.random() < 0.3:
        request.raw_input_contents.append(rng.randbytes(rng.randrange(20)))
    if rng.random() < 0.2:
        request.model_version = rng.choice(["1", "2", "-1", "x", "9" * 400])
    if rng.random() < 0.2:
        request.parameters["signature_name"].string_param = "ids"
    return request


def attack(client, rng, number):
    """Sends odd messages; returns how many calls ended with which code."""
    codes = collections.Counter()
    calls = [
        (f"/{PREDICTION}/Predict", odd_prediction),
        (f"/{INFERENCE}/ModelInfer", odd_inference),
    ]
    others = [
        f"/{PREDICTION}/Classify",
        f"/{PREDICTION}/GetModelMetadata",
        f"/{INFERENCE}/ModelMetadata",
        f"/{HEALTH}/Check",
    ]
    for _ in range(number):
        path, make = rng.choice(calls)
        data = make(client, rng).SerializeToString()
        fate = rng.random()
        if fate < 0.3:
            data = damaged(data, rng)
        elif fate < 0.4:
            path, data = rng.choice(others), rng.randbytes(rng.randrange(50))
        try:
            client.channel.unary_unary(path)(data, timeout=20)
            codes["OK"] += 1
        except grpc.RpcError as error:
            codes[error.code().name] += 1
            assert "\n" not in error.details()
    return codes


def send_large(client):
    """Messages that are too large, and small ones that say they are huge."""
    predict = client.channel.unary_unary(f"/{PREDICTION}/Predict")
    huge = predict_request(client, "regression", text=["a"])
    huge.inputs["text"].tensor_shape.dim[0].size = 2**31
    wide = predict_request(client, "regression", text=["a" * 9000])
    wide.inputs["text"].tensor_shape.dim[0].size = 1024
    deep = b"\x12\x80\x80\x80\x04" * 100_000
    for data in (
        b" " * (20 * MEGABYTE),
        huge.SerializeToString(),
        wide.SerializeToString(),
        deep,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            predict(data, timeout=20)
        code = caught.value.code()
        assert code in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED)


def test_nothing_that_is_sent_breaks_it(tmp_path):
    rng = random.Random(12345)
    with server(tmp_path, 0.0, "rpc") as process:
        with contextlib.closing(OwnClient(process.rpc_port)) as client:
            # So that memory that is allocated only once is allocated.
            attack(client, rng, 300)
            send_large(client)
            before = process.memory()
            codes = attack(client, rng, 2000)
            assert {*codes} == {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}, codes
            for _ in range(3):
                send_large(client)
            assert process.memory() - before < 50 * MEGABYTE
            request = predict_request(client, "regression", text=["abc"])
            outputs = client.stub(PREDICTION).Predict(request).outputs
            assert [*outputs["prediction"].float_val] == [3]
