"""The server's addresses, over real connections to a faked predictor."""

import base64
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from support.serving_fakes import (
    INPUTS,
    LABELS,
    FakePredictor,
    make_serving,
    running,
    start,
    write_version,
)

from bert_tf.serving.client import EncodeClient, EncodeError
from bert_tf.serving.limits import Limits, model_reason
from bert_tf.serving.models import Watch

LIMITS = Limits(
    max_body_bytes=200_000,
    max_text_bytes=100_000,
    max_texts=50,
    max_queue=60,
    body_seconds=0.5,
    request_seconds=1.0,
)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    return start(make_serving(LIMITS), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def port(serving):
    with running(serving) as (_, port):
        yield port


@pytest.fixture
def send(port):
    def send_to(path, body=None, **headers):
        return send_request(port, path, body, **headers)

    return send_to


def send_request(port, path, body=None, **headers):
    """(status, JSON of the answer)."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def predict(model):
    return f"/v1/models/{model}:predict"


def predictor_of(serving, name):
    with serving.models[name].use() as version:
        return version.predictor


# ---------------------------------------------------------------------------
# TensorFlow Serving's API.


def test_rows_are_answered_in_their_order(send):
    texts = ["a", "a longer text than others", "abc"]
    status, answer = send(predict("single_label"), {"instances": texts})
    assert status == 200
    assert [row["score"] for row in answer["predictions"]] == [1, 25, 3]
    assert answer["predictions"][2]["labels"] == LABELS
    named = [{"text": text} for text in texts]
    assert send(predict("single_label"), {"instances": named})[1] == answer


def test_columns_are_answered_in_columns(send):
    for inputs in (["a", "bc"], {"text": ["a", "bc"]}):
        status, answer = send(predict("single_label"), {"inputs": inputs})
        assert status == 200 and answer["outputs"]["score"] == [1.0, 2.0]
    pairs = {"question": ["q"], "context": ["abcdefghijkl"]}
    answer = send(predict("question_answering"), {"inputs": pairs})[1]
    assert answer["outputs"]["answer"] == ["defghi"]


def test_a_single_output_has_no_name(send):
    body = {"instances": ["ab", "abc"]}
    assert send(predict("regression"), body)[1] == {"predictions": [2, 3]}
    body = {"inputs": ["ab"]}
    assert send(predict("regression"), body)[1] == {"outputs": [2]}


def test_rows_of_a_request_are_as_long_as_its_own_longest(serving, send):
    """Whoever else was in the batch."""
    long = send_apart(
        serving,
        send,
        "tags",
        [{"instances": ["One two"]}, {"instances": ["a b c d", "eeeee"]}],
    )
    assert [len(row["tags"]) for row in long[0]["predictions"]] == [2]
    second = long[1]["predictions"][1]
    assert second["words"] == ["eeeee", "", "", ""]
    assert second["starts"] == [0, -1, -1, -1]


def send_apart(serving, send, model, bodies):
    """Answers to requests that the model runs as one batch."""
    predictor = predictor_of(serving, model)
    predictor.may_run.clear()
    answers = [None] * len(bodies)

    def work(place):
        answers[place] = send(predict(model), bodies[place])[1]

    threads = [threading.Thread(target=send, args=(predict(model), bodies[0]))]
    threads += [
        threading.Thread(target=work, args=(i,)) for i in range(len(bodies))
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    predictor.may_run.set()
    for thread in threads:
        thread.join()
    assert max(predictor.batches) >= sum(
        len(body["instances"]) for body in bodies
    )
    return answers


def test_bytes_are_base64(send):
    text = base64.b64encode("zwölf".encode()).decode()
    for row in ({"b64": text}, {"text": {"b64": text}}):
        status, answer = send(predict("regression"), {"instances": [row]})
        assert (status, answer) == (200, {"predictions": [5.0]})
    wrong = {"instances": [{"b64": base64.b64encode(b"\xff").decode()}]}
    assert send(predict("regression"), wrong)[0] == 400


IDS = {"input_ids": [2, 5, 3], "input_mask": [1, 1, 1], "segment_ids": [0] * 3}


def ids_body(**changes):
    return {"signature_name": "ids", "instances": [{**IDS, **changes}]}


def test_ids_and_examples(send):
    status, answer = send(predict("single_label"), ids_body())
    assert (status, answer) == (200, {"predictions": [10.0]})
    columns = {name: [row, row] for name, row in IDS.items()}
    body = {"signature_name": "ids", "inputs": columns}
    assert send(predict("single_label"), body)[1] == {"outputs": [10, 10]}
    status, answer = send(predict("single_label"), examples_body(IDS))
    assert status == 200 and len(answer["predictions"]) == 1


def examples_body(ids):
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        for name, values in ids.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    text = base64.b64encode(
        example.SerializeToString(deterministic=True)
    ).decode()
    return {"signature_name": "examples", "instances": [{"b64": text}]}


@pytest.mark.parametrize(
    "body",
    [
        ids_body(input_ids=[2, 100, 3]),
        ids_body(input_ids=[2, -1, 3]),
        ids_body(input_ids=[2, 2**63, 3]),
        ids_body(input_ids=[2, 10**400, 3]),
        ids_body(input_ids=[2, 1.5, 3]),
        ids_body(input_ids=[2, True, 3]),
        ids_body(input_ids=[2, "5", 3]),
        ids_body(input_ids=[2, None, 3]),
        ids_body(input_ids=[2, 5]),
        ids_body(input_ids=[]),
        ids_body(input_ids=[1] * 65),
        ids_body(input_ids=[[1], [2]]),
        ids_body(input_ids=5),
        *[
            ids_body(input_ids=ids)
            for ids in (
                [[]],
                [[], 1],
                [[1]],
                [[1], 2],
                [[1], None],
                [[1, 2, 3]],
                [[[1]]],
                [{}, 1, 2],
                [{"a": 1}, 1, 2],
            )
        ],
        ids_body(input_mask=[1, 2, 1]),
        ids_body(segment_ids=[0, 2, 0]),
        ids_body(other=[1]),
        {"signature_name": "ids", "instances": []},
        {"signature_name": "ids", "instances": [[1, 2, 3]]},
        {
            "signature_name": "ids",
            "instances": [IDS, {name: row + [1] for name, row in IDS.items()}],
        },
        {"signature_name": "ids", "inputs": {"input_ids": [[1]]}},
        {"signature_name": "ids", "inputs": {**IDS, "input_ids": [[1]]}},
        {"signature_name": "examples", "instances": ["no example"]},
        {"signature_name": "examples", "instances": [{"b64": "%%"}]},
        {"signature_name": "examples", "instances": [{"b64": 5}]},
        {"signature_name": "examples", "instances": [7]},
        examples_body({**IDS, "input_ids": [2, 100, 3]}),
        examples_body({**IDS, "input_ids": [2, 2**62, 3]}),
        examples_body({**IDS, "input_ids": []}),
        examples_body({}),
        {"signature_name": "none", "instances": ["a"]},
        {"signature_name": 5, "instances": ["a"]},
        {"signature_name": False, "instances": ["a"]},
        {"signature_name": None, "instances": ["a"]},
        {"signature_name": [], "instances": ["a"]},
        {"signature_name": ["ids"], "instances": ["a"]},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_wrong_ids_are_refused(send, body):
    status, answer = send(predict("single_label"), body)
    assert status == 400 and "\n" not in answer["error"]


def test_classify_and_regress(send):
    body = {"examples": [{"text": "ab"}, {"text": "abc"}]}
    status, answer = send("/v1/models/single_label:classify", body)
    labels = [[label for label, _ in row] for row in answer["results"]]
    assert status == 200 and labels == [LABELS, LABELS]
    assert send("/v1/models/regression:regress", body)[1] == {"results": [2, 3]}
    shared = {"context": {"text": "abcd"}, "examples": [{}]}
    answer = send("/v1/models/regression/versions/1:regress", shared)[1]
    assert answer == {"results": [4]}
    for path in ("tags:classify", "tags:regress"):
        status, answer = send(f"/v1/models/{path}", body)
        assert status == 400 and "use :predict" in answer["error"]


def test_status_and_metadata(send):
    status, answer = send("/v1/models/tags")
    assert status == 200
    assert answer["model_version_status"][0] == {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert send("/v1/models/tags/versions/1") == (status, answer)
    answer = send("/v1/models/tags/versions/1/metadata")[1]
    assert answer["model_spec"]["version"] == "1"
    found = answer["metadata"]["signature_def"]["signature_def"]
    text = found["serving_default"]["inputs"]["text"]
    assert text["dtype"] == "DT_STRING"
    assert text["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert found["ids"]["inputs"]["input_ids"]["dtype"] == "DT_INT32"
    assert found["ids"]["outputs"]["score"]["dtype"] == "DT_FLOAT"


def test_each_kind_answers(send):
    values = {
        "text": "Ann saw it",
        "endings": ["a", "b"],
        "question": "who?",
        "context": "abcdefghijkl",
    }
    for kind, names in INPUTS.items():
        row = {name: values[name] for name in names}
        status, answer = send(predict(kind), {"instances": [row]})
        assert status == 200 and len(answer["predictions"]) == 1, kind


# ---------------------------------------------------------------------------
# bert-as-service's API.


def test_encode(send):
    body = {"id": 7, "texts": ["a", "bcd"], "is_tokenized": False}
    status, answer = send("/encode", body)
    assert status == 200 and answer["id"] == 7 and answer["status"] == 200
    assert [row[0] for row in answer["results"]] == [1, 3]
    words = {"texts": [["a", "b"]], "is_tokenized": True}
    assert send("/encode?model=embedding", words)[1]["results"][0][0] == 3
    named = {"texts": ["a"], "model": "embedding"}
    assert send("/encode", named)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {"texts": "a"},
        {"texts": [1]},
        {"texts": [["a"]]},
        {"texts": ["a"], "is_tokenized": True},
        {"texts": [["a", 1]], "is_tokenized": True},
        {"texts": ["a"], "is_tokenized": 1},
        {"texts": ["a"], "id": [1]},
        {"texts": ["a"], "id": {"a": 1}},
        {"texts": ["a"], "id": True},
        {"texts": ["a"], "id": 1.5},
        {"texts": ["a"], "id": "x" * 257},
        {"texts": ["a"], "id": 10**257},
        {"texts": ["a"], "more": 1},
        {"texts": ["a"], "model": "tags"},
        {"texts": ["a"], "model": 5},
        {"texts": []},
        {},
    ],
    ids=json.dumps,
)
def test_wrong_texts_are_refused(send, body):
    status, answer = send("/encode", body)
    assert status == 400 and "\n" not in answer["error"]


def test_the_client_splits_what_the_server_does_not_take(port):
    client = EncodeClient("localhost", port=port, model="embedding")
    texts = ["x" * (i % 20 + 1) for i in range(120)]  # --max_texts is 50.
    vectors = client.encode(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (120, 3)
    np.testing.assert_array_equal(vectors[:, 0], [len(t) for t in texts])
    np.testing.assert_array_equal(vectors[:, 1], np.float32(0.1))
    long = client.encode(["y" * 90_000] * 5)  # 200,000 bytes at once.
    np.testing.assert_array_equal(long[:, 0], 90_000)
    assert client.encode(["\ud800", "漢字 🙂"]).shape == (2, 3)


def test_errors_of_the_client_are_one_line(port):
    client = EncodeClient("127.0.0.1", port=port, model="none")
    with pytest.raises(EncodeError, match='404: no model "none"; there are'):
        client.encode(["a"])
    for wrong in (
        "a text",
        b"a",
        [],
        None,
        5,
        {"a": 1},
        np.array([]),
        iter(()),
    ):
        with pytest.raises(ValueError, match="texts must be a list"):
            EncodeClient(port=port).encode(wrong)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = EncodeClient("127.0.0.1", free.getsockname()[1])
        with pytest.raises(EncodeError, match="Connection refused"):
            nobody.encode(["a"])


def test_the_client_takes_texts_of_all_sorts(port):
    texts = ["a", "bcd", ""]
    with EncodeClient("localhost", port=port) as client:
        expected = client.encode(texts)
        for same in (
            tuple(texts),
            (text for text in texts),
            np.array(texts),
            np.array(texts, dtype=object),
            dict.fromkeys(texts).keys(),
        ):
            np.testing.assert_array_equal(client.encode(same), expected)
        words = client.encode(["a b"])
        for same in ([["a", "b"]], [("a", "b")], np.array([["a", "b"]])):
            found = client.encode(same, is_tokenized=True)
            np.testing.assert_array_equal(found, words)


@pytest.mark.parametrize(
    "wrong, is_tokenized",
    [
        (5, False),
        (None, False),
        (b"a", False),
        (["a"], False),
        (float("nan"), False),
        ("a", True),
        (["a", 5], True),
        (None, True),
    ],
)
def test_what_is_no_text_is_not_sent(port, wrong, is_tokenized):
    client = EncodeClient("localhost", port=port)
    sent = []
    client._send = lambda *args: sent.append(args)
    right = ["a"] if is_tokenized else "a"
    with pytest.raises(ValueError, match=r"^texts\[60\] must be "):
        client.encode([right] * 60 + [wrong], is_tokenized)
    assert not sent


def test_a_text_that_the_server_does_not_take_is_not_sent(port):
    client = EncodeClient("localhost", port=port)
    answers = client.server_status()
    sent = []
    client._send = lambda path, body=None: sent.append(body) or answers
    long = ["a"] * 60 + ["ä" * 50_001]
    message = r"texts\[60\] has 100,002 bytes: the server takes 100,000"
    with pytest.raises(EncodeError, match=message):
        client.encode(long)
    with pytest.raises(EncodeError, match=message):
        client.encode([[text] for text in long], is_tokenized=True)
    with pytest.raises(EncodeError, match=r"texts\[60\] has .* in JSON"):
        client.encode(["a"] * 60 + ["\0" * 40_000])
    assert not any(sent)


# ---------------------------------------------------------------------------
# The server itself.


def test_the_server_tells_of_itself(send, port):
    assert send("/healthz") == (200, {"status": "ok"})
    status, answer = send("/status/server")
    assert answer["models"]["single_label"]["labels"] == LABELS
    assert answer["limits"]["max_texts"] == 50 and answer["num_requests"] > 0
    send(predict("tags"), {"instances": ["a b"]})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    route = "/v1/models/{model}:predict"
    for start_of_line in (
        f'bert_requests_total{{model="tags",route="{route}",status="200"}}',
        f'bert_request_seconds_count{{model="tags",route="{route}"}}',
        'bert_batch_size_count{model="tags"}',
        'bert_queue_length{model="tags"} 0',
        'bert_model_version_available{model="tags",version="1"} 1',
    ):
        assert any(line.startswith(start_of_line) for line in lines), (
            start_of_line
        )


def test_the_page_stands_alone(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as reply:
        policy = reply.headers["Content-Security-Policy"]
        page = reply.read().decode()
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http://" not in page and "https://" not in page
    assert "innerHTML" not in page


def test_the_description_names_all_addresses(send):
    status, answer = send("/openapi.json")
    assert status == 200
    paths = answer["paths"]
    for path in (
        "/v1/models/{model}",
        "/v1/models/{model}/versions/{version}:predict",
        "/v1/models/{model}/metadata",
        "/encode",
        "/status/server",
        "/healthz",
        "/metrics",
    ):
        assert path in paths
    predict_post = paths["/v1/models/{model}:predict"]["post"]
    assert {"200", "400", "413", "429"} <= set(predict_post["responses"])


@pytest.mark.parametrize(
    "path, status",
    [
        ("/v1/models/none", 404),
        ("/v1/models/tags/versions/2", 404),
        ("/v1/models/tags/versions/x", 400),
        ("/v1/models/tags/versions/0_1", 400),
        ("/v1/models/tags/versions/+1", 400),
        ("/v1/models/tags/versions/%d9%a1", 400),  # An Arabic 1.
        ("/v1/models/tags/versions/0_1/metadata", 400),
        ("/v1/models/tags/versions/2/metadata", 404),
        ("/v1/models/tags:predict", 405),
        ("/v1/models/tags:describe", 404),
        ("/v1/models/..%2f..%2fetc%2fpasswd", 404),
        ("/v1/models/%ff%00", 404),
        ("/encode", 405),
        ("/nothing", 404),
    ],
)
def test_wrong_addresses_are_told_in_one_line(send, path, status):
    found, answer = send(path)
    assert found == status and "\n" not in answer["error"]


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b'{"instances": ["\xff"]}',
        b'{"instances": [NaN]}',
        b'{"instances": [1e999]}',
        b'{"instances": [' + b"9" * 5000 + b"]}",
        b'{"instances": ' + DEEP[:180_000] + b"}",
        b"\x00",
        b"{}",
        b'{"instances": "a"}',
        b'{"instances": {}}',
        b'{"instances": []}',
        b'{"instances": [5]}',
        b'{"instances": [null]}',
        b'{"instances": [{}]}',
        b'{"instances": [{"text": 5}]}',
        b'{"instances": [{"text": ["a"]}]}',
        b'{"instances": [{"text": "a", "more": "b"}]}',
        b'{"instances": ["a"], "inputs": ["a"]}',
        b'{"instances": ["a"], "more": 1}',
        b'{"inputs": "a"}',
        b'{"inputs": {"text": "a"}}',
        b'{"inputs": {"other": ["a"]}}',
        b'{"inputs": {}}',
        b'{"inputs": 5}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_wrong_bodies_are_refused(send, body):
    status, answer = send(predict("single_label"), body)
    assert status == 400, answer
    assert "\n" not in answer["error"] and len(answer["error"]) < 400


@pytest.mark.parametrize("depth", [1, 2, 3, 400, 800, 950, 970, 5000])
@pytest.mark.parametrize(
    "opening, closing", [('{"a":', "}"), ("[", "]"), ('["a",[', "]]")]
)
def test_deep_values_are_refused(send, depth, opening, closing):
    value = opening * depth + "1" + closing * depth
    row = f'{{"text": {value}}}'
    bodies = {
        predict("single_label"): [
            f'{{"instances": [{row}]}}',
            f'{{"instances": [{value}]}}',
            f'{{"inputs": {{"text": [{value}]}}}}',
            f'{{"instances": ["a"], "signature_name": {value}}}',
        ],
        predict("multiple_choice"): [
            f'{{"instances": [{{"text": "a", "endings": {value}}}]}}'
        ],
        "/v1/models/single_label:classify": [
            f'{{"examples": [{row}]}}',
            f'{{"examples": [{{}}], "context": {row}}}',
        ],
        "/encode": [f'{{"texts": [{value}]}}'],
    }
    for path, texts in bodies.items():
        for text in texts:
            status, answer = send(path, text.encode())
            assert status == 400 and "\n" not in answer["error"], text[:60]


def test_errors_quote_little_of_what_was_sent(send):
    row = {f"{place} {'x' * 50}": "a" for place in range(1000)}
    for body in ({"instances": [row]}, {"inputs": row}):
        status, answer = send(predict("single_label"), body)
        assert status == 400 and len(answer["error"]) < 240
        assert "997 more" in answer["error"]


def test_what_tensorflow_puts_around_its_errors_is_left_out():
    node = "Detected at node bert_1/add defined at (most recent call last):"
    for message in (
        f"Graph execution error:\n\n{node}\n<stack traces unavailable>\n"
        "slice 2 is out of bounds.\n\t [[{{node a}}]] [Op:__inference_7]",
        "{{function_node __wrapped__Add}} slice 2 is out of bounds. [Op:Add]",
        "slice 2 is out of bounds.\nmore",
    ):
        error = tf.errors.InvalidArgumentError(None, None, message)
        assert model_reason(error) == "slice 2 is out of bounds."
    assert model_reason(ValueError("")) == "the model cannot read this"


def test_odd_texts_are_answered(send):
    texts = ["\ud800", "a\x00b", "", "🙂" * 300, "‮", "<script>"]
    status, answer = send(predict("single_label"), {"instances": texts})
    assert status == 200 and len(answer["predictions"]) == len(texts)


def test_sizes_have_limits(send):
    body = {"instances": ["a"] * 51}
    status, answer = send(predict("single_label"), body)
    assert status == 413 and "51 texts" in answer["error"]
    status, answer = send(predict("single_label"), b" " * 200_001)
    assert status == 413 and "200,000 bytes" in answer["error"]
    status, answer = send(
        predict("single_label"), b"x", **{"Content-Encoding": "gzip"}
    )
    assert status == 415


def raw(port, data, *more):
    """What the server answers to bytes, with pauses between."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        for part in more:
            time.sleep(0.1)
            client.sendall(part)
        return client.recv(10_000)


POST = b"POST /encode HTTP/1.1\r\nHost: a\r\n"


def test_what_one_text_costs_has_a_limit(send):
    many = [{"text": "a", "endings": ["b"] * 257}]
    status, answer = send(predict("multiple_choice"), {"instances": many})
    assert status == 413 and "257 sequences" in answer["error"]
    long = [{"question": "a", "context": "b" * 40_000}]
    status, answer = send(predict("question_answering"), {"instances": long})
    assert status == 413 and "item 0: is about 313" in answer["error"]


def test_one_text_has_a_limit(send):
    long = "ä" * 50_001
    for model, items in (
        ("single_label", ["a", long]),
        ("single_label", ["a", {"text": long}]),
        (
            "multiple_choice",
            [
                {"text": "a", "endings": ["b"]},
                {"text": "a", "endings": ["b", long]},
            ],
        ),
        ("question_answering", [["a", "b"], ["a", long]]),
    ):
        body = json.dumps({"instances": items}, ensure_ascii=False).encode()
        status, answer = send(predict(model), body)
        assert status == 413
        assert answer["error"] == (
            "item 1: a text has 100,002 bytes: 100,000 are allowed"
        )
    for text in ("ä" * 50_000, "x" * 100_000):
        body = json.dumps({"instances": [text]}, ensure_ascii=False).encode()
        assert send(predict("single_label"), body)[0] == 200
    example = examples_body({name: [1] * 34_000 for name in IDS})
    status, answer = send(predict("single_label"), example)
    assert status == 413 and "item 0: a text has 102," in answer["error"]


def test_long_texts_are_cut_up_one_after_the_other(serving, send):
    """What TensorFlow needs for it, and keeps, is some 60 times their size."""
    prepared = predictor_of(serving, "single_label").prepared
    prepared.clear()
    texts = ["a", *["x" * 40_000] * 4, "b"]
    body = {"instances": [texts[0], *({"text": t} for t in texts[1:])]}
    answer = send(predict("single_label"), body)[1]
    scores = [row["score"] for row in answer["predictions"]]
    assert scores == [len(text) for text in texts]
    assert prepared == [3, 3]
    body["instances"].append({"text": 5})
    status, answer = send(predict("single_label"), body)
    assert status == 400 and answer["error"].startswith("item 6: ")


def test_chunks_are_counted(port):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert raw(port, head + chunk * 4).startswith(b"HTTP/1.1 413 ")


def test_a_slow_body_is_not_waited_for(port):
    start = time.monotonic()
    head = POST + b"Content-Length: 100\r\n\r\n{"
    assert raw(port, head, b"a", b"b").startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < 3


def test_half_a_head_is_not_waited_for(port, monkeypatch):
    monkeypatch.setattr("bert_tf.serving.server.IDLE_SECONDS", 0.2)
    assert raw(port, POST) == b""


def test_a_full_queue_and_a_slow_model(serving, send):
    predictor = predictor_of(serving, "regression")
    predictor.may_run.clear()
    body = {"instances": ["a"] * 50}
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(send(predict("regression"), body))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    predictor.may_run.set()
    # 32 run, 18 wait; there is room for 60.
    assert sorted(status for status, _ in answers) == [429, 429, 504]
    assert send(predict("regression"), {"instances": ["a"]})[0] == 200


def test_who_is_gone_is_not_answered(serving, port):
    predictor = predictor_of(serving, "embedding")
    predictor.may_run.clear()
    predictor.batches.clear()
    model = serving.models["embedding"]
    body = b'{"texts": ["a"]}'
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", port)) as waits:
        waits.sendall(request)
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", port)) as goes:
            goes.sendall(request)
            while not model.num_waiting:
                time.sleep(0.01)
        time.sleep(0.1)
        predictor.may_run.set()
        assert waits.recv(100).startswith(b"HTTP/1.1 200 ")
    while model.num_waiting:
        time.sleep(0.01)
    assert predictor.batches == [1]


def test_a_defect_shows_no_traceback(send):
    body = {"instances": ["breaks the model"]}
    status, answer = send(predict("regression"), body)
    assert status == 500
    assert answer == {"error": "an error of the server; its log tells which"}


def test_connections_have_a_limit(serving):
    with running(serving, max_connections=3) as (_, port):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 503 ")
        for connection in idle:
            connection.close()
        time.sleep(0.1)
        assert send_request(port, "/healthz")[0] == 200


def test_the_end_answers_what_was_accepted(tmp_path):
    serving = start(make_serving(LIMITS), tmp_path)
    predictor = predictor_of(serving, "regression")
    predictor.may_run.clear()
    answers = []
    with running(serving) as (server, port):
        thread = threading.Thread(
            target=lambda: answers.append(
                send_request(port, predict("regression"), {"instances": ["ab"]})
            )
        )
        thread.start()
        time.sleep(0.1)
        server.should_exit = True
        time.sleep(0.6)
        with pytest.raises(urllib.error.URLError):
            send_request(port, "/healthz")
        predictor.may_run.set()
        thread.join()
    assert answers == [(200, {"predictions": [2.0]})]
    assert server.num_unanswered == 0


# ---------------------------------------------------------------------------
# Versions.


@pytest.fixture
def versions(tmp_path):
    """(Serving of one model, function(number, text of saved_model.pb))."""

    def load(folder):
        if (tmp_path / folder[-1] / "saved_model.pb").read_text() == "wrong":
            raise ValueError(f"{folder}/saved_model.pb: is damaged")
        return FakePredictor(name=f"version {folder[-1]}: ")

    def write(number, text=""):
        if not (tmp_path / str(number)).exists():
            write_version(tmp_path, number)
        (tmp_path / str(number) / "saved_model.pb").write_text(text)

    write(1)
    serving = make_serving(load=load, folder=tmp_path)
    serving.models["model"].start()
    return serving, write


def label_of(port, path="/v1/models/model:predict"):
    status, answer = send_request(port, path, {"instances": ["a"]})
    return answer["predictions"][0]["label"] if status == 200 else status


def test_a_new_version_is_found_while_the_old_one_answers(versions):
    serving, write = versions
    labels, is_over = [], threading.Event()
    with running(serving) as (_, port):

        def ask():
            while not is_over.is_set():
                labels.append(label_of(port))

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        watch = Watch([*serving.models.values()], 0.05)
        for number in (2, 3):
            write(number)
            deadline = time.monotonic() + 5
            while not labels or labels[-1] != f"version {number}: a":
                assert time.monotonic() < deadline
                time.sleep(0.01)
        is_over.set()
        for asker in askers:
            asker.join()
        numbered = "/v1/models/model/versions/{}:predict"
        assert label_of(port, numbered.format(2)) == "version 2: a"
        assert label_of(port, numbered.format(1)) == 404
        watch.close()
    assert {label[:7] for label in labels} == {"version"}
    assert serving.models["model"].available() == [3, 2]


def test_a_damaged_version_leaves_the_old_one(versions):
    serving, write = versions
    model = serving.models["model"]
    write(2, "wrong")
    for _ in range(3):
        model.refresh()
    assert model.available() == [1]
    newest = model.status()[0]
    assert newest["version"] == "2" and newest["state"] == "END"
    assert newest["status"]["error_message"] == (
        "its folder/saved_model.pb: is damaged"
    )
    write(2, "mended")  # Of another size.
    for _ in range(2):
        model.refresh()
    assert model.available() == [2, 1]


def test_a_version_that_is_still_written_is_waited_for(versions):
    serving, write = versions
    model = serving.models["model"]
    for text in ("", "a", "ab"):
        write(2, text)
        model.refresh()
        assert model.available() == [1]
    model.refresh()
    assert model.available() == [2, 1]


def test_requests_keep_the_version_that_they_have(versions):
    serving, write = versions
    model = serving.models["model"]
    with model.use() as held:
        for number in (2, 3):
            write(number)
            model.refresh()
            model.refresh()
        assert model.available() == [3, 2]
        assert held.predictor is not None
    model.refresh()
    assert held.predictor is None
