"""The Open Inference Protocol, version 2, over HTTP."""

import json
import random
import struct
import urllib.error
import urllib.request

import numpy as np
import pytest
from support.server_requests import IDS, LIMITS, predictor_of
from support.serving_fakes import INPUTS, LABELS

from bert_tf.serving.errors import Refusal
from bert_tf.serving.tensors import (
    NUMBERS,
    Tensor,
    tensor_of_bytes,
    tensor_of_values,
)


def infer(model):
    return f"/v2/models/{model}/infer"


def tensor(name, data, datatype="BYTES", shape=None):
    shape = shape or [len(data)]
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def texts(*values):
    return {"inputs": [tensor("text", list(values))]}


def outputs_of(answer):
    """{name: array} of an answer in JSON."""
    return {
        each["name"]: np.array(each["data"]).reshape(each["shape"]).tolist()
        for each in answer["outputs"]
    }


def test_the_server_and_its_models_describe_themselves(send):
    status, answer = send("/v2")
    assert status == 200 and {*answer} == {"name", "version", "extensions"}
    assert send("/v2/health/live") == (200, {"live": True})
    assert send("/v2/health/ready") == (200, {"ready": True})
    status, answer = send("/v2/models/single_label")
    assert status == 200
    assert answer == send("/v2/models/single_label/versions/1")[1]
    assert answer["versions"] == ["1"]
    assert answer["platform"] == "tensorflow_savedmodel"
    assert answer["inputs"] == [
        {"name": "text", "datatype": "BYTES", "shape": [-1]}
    ]
    assert answer["outputs"][2] == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [-1, 2],
    }
    for path in ("", "/versions/1"):
        status, answer = send(f"/v2/models/tags{path}/ready")
        assert (status, answer) == (200, {"name": "tags", "ready": True})
    inputs = send("/v2/models/multiple_choice")[1]["inputs"]
    assert [(each["name"], each["shape"]) for each in inputs] == [
        ("text", [-1]),
        ("endings", [-1, -1]),
    ]


def test_rows_are_answered_in_their_order(send):
    body = {"id": "42", **texts("a", "a longer text than others", "abc")}
    status, answer = send(infer("single_label"), body)
    assert status == 200
    outputs = answer.pop("outputs")
    assert answer == {
        "model_name": "single_label",
        "model_version": "1",
        "id": "42",
    }
    found = outputs_of({"outputs": outputs})
    assert found["score"] == [1, 25, 3]
    assert found["labels"] == [LABELS] * 3
    assert all({"name", "datatype", "shape", "data"} == {*o} for o in outputs)
    assert send("/v2/models/single_label/versions/1/infer", body)[0] == 200
    assert send("/v2/models/single_label/versions/2/infer", body)[0] == 404


def test_outputs_are_chosen_by_name(send):
    body = {**texts("ab"), "outputs": [{"name": "score"}, {"name": "label"}]}
    status, answer = send(infer("single_label"), body)
    assert [each["name"] for each in answer["outputs"]] == ["score", "label"]
    for outputs in ([{"name": "none"}], [{"name": "score"}] * 2, [{}], "x"):
        status, answer = send(
            infer("single_label"), {**body, "outputs": outputs}
        )
        assert status == 400, answer


def test_metadata_names_what_is_answered(send):
    values = {
        "text": ["[E1]Ann[/E1] saw [E2]it[/E2]", "[E1]Ed[/E1] [E2]b[/E2]"],
        "question": ["q", "w"],
        "context": ["abcdefghijkl"] * 2,
        "endings": [["a", "b"], ["c", ""]],
    }
    for name in INPUTS:
        described = send(f"/v2/models/{name}")[1]
        inputs = [
            tensor(each["name"], values[each["name"]], shape=shape)
            for each in described["inputs"]
            for shape in [[2] * len(each["shape"])]
        ]
        status, answer = send(infer(name), {"inputs": inputs})
        assert status == 200, answer
        for each, found in zip(
            sorted(described["outputs"], key=lambda output: output["name"]),
            sorted(answer["outputs"], key=lambda output: output["name"]),
            strict=True,
        ):
            assert each["name"] == found["name"]
            assert each["datatype"] == found["datatype"]
            assert len(each["shape"]) == len(found["shape"])
            assert found["shape"][0] == 2


def test_what_has_no_regular_shape_is_json(send):
    found = outputs_of(send(infer("tags"), texts("Ann is in Rome", "no"))[1])
    names = [[e["text"] for e in json.loads(t)] for t in found["entities"]]
    assert names == [["Ann", "Rome"], []]
    assert found["tags"][1] == ["O", "", "", ""]
    assert found["starts"][1] == [0, -1, -1, -1]


def test_other_signatures_and_lengths(send):
    ids = [
        tensor(name, [values], "INT32", [1, 3]) for name, values in IDS.items()
    ]
    for body in (
        {"inputs": ids},
        {"inputs": ids, "parameters": {"signature_name": "ids"}},
        {"inputs": [each | {"datatype": "INT64"} for each in ids]},
    ):
        status, answer = send(infer("single_label"), body)
        assert status == 200, answer
        assert outputs_of(answer) == {"score": [10.0]}
    wrong = [each | {"datatype": "FP32"} for each in ids]
    status, answer = send(infer("single_label"), {"inputs": wrong})
    assert status == 400 and "must be INT32" in answer["error"]
    parameters = {"with_lengths": True}
    body = {**texts("ab"), "parameters": parameters}
    found = outputs_of(send(infer("tags"), body)[1])
    assert found["num_tokens"] == [2] and found["truncated"] == [False]
    body["outputs"] = [{"name": "num_tokens"}]
    assert outputs_of(send(infer("tags"), body)[1]) == {"num_tokens": [2]}


def test_a_column_may_have_an_axis_of_one(send):
    body = {"inputs": [tensor("text", [["ab"], ["c"]], shape=[2, 1])]}
    assert outputs_of(send(infer("regression"), body)[1]) == {
        "prediction": [2, 1]
    }
    body = {"inputs": [tensor("text", ["ab", "c"], shape=[1, 2])]}
    assert send(infer("regression"), body)[0] == 400


# ---------------------------------------------------------------------------
# Binary data.


def in_binary(*values):
    encoded = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(e)) + e for e in encoded)


def send_binary(port, model, head, data, length=None):
    """(status, JSON part of the answer, its bytes)."""
    head = json.dumps(head).encode()
    length = len(head) if length is None else length
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{infer(model)}",
        data=head + data,
        headers={"Inference-Header-Content-Length": str(length)},
    )
    try:
        with urllib.request.urlopen(request) as reply:
            content, size = reply.read(), None
            size = reply.headers["Inference-Header-Content-Length"]
            size = int(size) if size else len(content)
            return 200, json.loads(content[:size]), content[size:]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), b""


def binary_text(size, shape=(2,)):
    return {
        "name": "text",
        "shape": [*shape],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": size},
    }


def test_tensors_may_be_bytes(port):
    data = in_binary("zwölf", "a")
    head = {
        "inputs": [binary_text(len(data))],
        "parameters": {"binary_data_output": True},
    }
    status, answer, content = send_binary(port, "single_label", head, data)
    assert status == 200, answer
    found, place = {}, 0
    for each in answer["outputs"]:
        size = each["parameters"]["binary_data_size"]
        assert "data" not in each
        found[each["name"]] = tensor_of_bytes(
            each["name"],
            each["datatype"],
            each["shape"],
            content[place : place + size],
        ).array.tolist()
        place += size
    assert place == len(content)
    assert found["score"] == [5.0, 1.0]
    assert found["label"] == ["zwölf".encode(), b"a"]
    # An output may differ from the others.
    head["outputs"] = [
        {"name": "score"},
        {"name": "label", "parameters": {"binary_data": False}},
    ]
    _, answer, content = send_binary(port, "single_label", head, data)
    assert [*answer["outputs"][0]] == [
        "name",
        "datatype",
        "shape",
        "parameters",
    ]
    assert answer["outputs"][1]["data"] == ["zwölf", "a"]
    assert content == np.array([5, 1], "<f4").tobytes()


@pytest.mark.parametrize(
    "size, data, length",
    [
        (5, b"12345", None),  # A length that goes beyond the end.
        (8, in_binary("ab", "c") + b"1", None),
        (9, in_binary("ab", "c"), None),
        (10**30, in_binary("ab", "c"), None),
        (-1, b"", None),
        (True, b"1", None),
        ("8", in_binary("ab"), None),
        (0, b"", None),
        (11, in_binary("ab", "c") + b"more", None),
        (11, in_binary("ab", "c"), 10**6),
        (11, in_binary("ab", "c"), 0),
        (11, in_binary("ab", "c"), "x"),
        (11, in_binary("ab", "c"), -1),
        (11, in_binary("ab", "c"), "9" * 30),
        (10, in_binary("ab") + b"\1\0\0\0" + b"\xff"[:0], None),
    ],
)
def test_bytes_that_do_not_fit_are_refused(port, size, data, length):
    head = {"inputs": [binary_text(size)]}
    status, answer, _ = send_binary(port, "single_label", head, data, length)
    assert status == 400 and "\n" not in answer["error"]


def test_bytes_must_be_utf8(port, send):
    data = struct.pack("<I", 2) + b"a\xff"
    head = {"inputs": [binary_text(len(data), [1])]}
    status, answer, _ = send_binary(port, "single_label", head, data)
    assert (status, answer["error"]) == (
        400,
        "item 0: text is not UTF-8: byte 2",
    )
    status, answer = send(infer("single_label"), head)
    assert status == 400 and "Inference-Header" in answer["error"]


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_keep_their_values_in_both_forms(datatype):
    values = [1, 0, 1, 1, 0, 1]
    if datatype == "BOOL":
        values = [*map(bool, values)]
    flat = tensor_of_values("a", datatype, [2, 3], values)
    nested = tensor_of_values("a", datatype, [2, 3], [values[:3], values[3:]])
    assert flat.datatype == datatype and flat.shape == [2, 3]
    assert flat.array.tolist() == nested.array.tolist()
    data = flat.to_bytes()
    again = tensor_of_bytes("a", datatype, [2, 3], data)
    assert again.array.tolist() == flat.array.tolist()
    with pytest.raises(Refusal):
        tensor_of_bytes("a", datatype, [2, 3], data[:-1])


def test_types_that_the_protocol_lacks_become_single_floats():
    assert Tensor("a", np.zeros(2, np.complex64)).datatype == "FP32"


# ---------------------------------------------------------------------------
# Wrong requests.

WRONG_INPUTS = [
    [],
    {},
    None,
    "text",
    [1],
    [{}],
    [tensor("text", ["a"]), tensor("text", ["a"])],
    [tensor("other", ["a"])],
    [tensor("text", ["a"]), tensor("other", ["a"])],
    [tensor("text", ["a"]) | {"name": 1}],
    [tensor("text", ["a"]) | {"datatype": "STRING"}],
    [tensor("text", ["a"]) | {"datatype": None}],
    [tensor("text", ["a"]) | {"shape": 1}],
    [tensor("text", ["a"]) | {"shape": []}],
    [tensor("text", ["a"]) | {"shape": [True]}],
    [tensor("text", ["a"]) | {"shape": [1.0]}],
    [tensor("text", ["a"]) | {"shape": [-1]}],
    [tensor("text", ["a"]) | {"shape": [2]}],
    [tensor("text", ["a"]) | {"shape": [1 << 62]}],
    [tensor("text", []) | {"shape": [1 << 30, 0]}],
    [tensor("text", ["a"]) | {"shape": [1] * 100}],
    [tensor("text", []) | {"shape": [0]}],
    [tensor("text", ["a"]) | {"data": None}],
    [tensor("text", ["a"]) | {"data": "a"}],
    [tensor("text", [1])],
    [tensor("text", [None])],
    [tensor("text", [["a"]])],
    [tensor("text", ["a", ["b"]])],
    [tensor("text", [["a"], "b"], shape=[2, 1])],
    [tensor("text", [1], "INT32")],
    [tensor("text", ["a"]) | {"parameters": []}],
    [tensor("text", ["a"]) | {"parameters": {"a": None}}],
    [tensor("text", ["a"]) | {"parameters": {"shared_memory_region": "a"}}],
    [tensor("text", ["a"] * 51)],
    [tensor("text", ["a" * (LIMITS.max_text_bytes + 1)])],
    [tensor("text", ["a"])] * 200,
]


@pytest.mark.parametrize("place", range(len(WRONG_INPUTS)))
def test_wrong_inputs_are_refused(send, place):
    status, answer = send(
        infer("single_label"), {"inputs": WRONG_INPUTS[place]}
    )
    assert status in (400, 413), answer
    assert "\n" not in answer["error"] and len(answer["error"]) < 310


@pytest.mark.parametrize(
    "more",
    [
        {"id": 1},
        {"id": "a" * 300},
        {"parameters": []},
        {"parameters": {"a": {}}},
        {"parameters": {"sequence_id": 5}},
        {"parameters": {"signature_name": "none"}},
        {"parameters": {"signature_name": 1}},
        {"parameters": {"signature_name": "ids"}},
        {"parameters": {"with_lengths": 1}},
        {"parameters": {"binary_data_output": "yes"}},
        {"outputs": [{"name": "score", "parameters": {"classification": 2}}]},
        {"outputs": [{"name": "score", "parameters": {"binary_data": 2}}]},
    ],
)
def test_wrong_requests_are_refused(send, more):
    status, answer = send(infer("single_label"), {**texts("a"), **more})
    assert status == 400, answer


@pytest.mark.parametrize(
    "value, datatype",
    [
        (-1, "UINT8"),
        (256, "UINT8"),
        (1 << 64, "INT64"),
        (1.5, "INT32"),
        (True, "INT32"),
        (1, "BOOL"),
        ("1", "FP32"),
        (10**400, "FP64"),
        (None, "FP32"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(value, datatype):
    with pytest.raises(Refusal):
        tensor_of_values("a", datatype, [1], [value])


def test_random_requests_are_never_a_defect(send, serving):
    """Each is answered, or refused with a reason."""
    rng = random.Random(5)
    values = [None, True, -1, 0, 2, 1.5, 10**20, "", "text", "BYTES", "score"]
    values += [[], {}, ["a"], [[1]], {"a": 1}, "\ud800", [1 << 62], "\0"]

    def broken(value):
        if isinstance(value, dict) and value and rng.random() < 0.8:
            key = rng.choice([*value])
            return {**value, key: broken(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.8:
            place = rng.randrange(len(value))
            return [*value[:place], broken(value[place]), *value[place + 1 :]]
        return rng.choice(values)

    right = {
        "id": "a",
        "parameters": {"with_lengths": False, "binary_data_output": False},
        "inputs": [tensor("text", ["a", "b"])],
        "outputs": [{"name": "score", "parameters": {"binary_data": False}}],
    }
    statuses = []
    for _ in range(300):
        model = rng.choice(["single_label", "tags", "multiple_choice"])
        body = json.dumps(broken(broken(right)))
        statuses.append(send(infer(model), body)[0])
    assert {*statuses} <= {200, 400, 413}
    assert statuses.count(400) > 100
    predictor_of(serving, "regression").nan_for = None
    assert send(infer("single_label"), texts("a"))[0] == 200
