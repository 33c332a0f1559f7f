"""TensorFlow Serving's REST API."""

import base64
import json
import threading
import time
import urllib.request

import pytest
from support.server_requests import IDS, LIMITS, predict, predictor_of
from support.serving_fakes import INPUTS, LABELS

from bert_tf.serving.batching import UNPREPARED
from bert_tf.serving.errors import Refusal
from bert_tf.serving.texts import Item, prepare, prepare_rows


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
    """It does not matter what else was in the batch."""
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
    """The answers to requests that the model runs as one batch."""
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
    assert answer["metadata"]["engine"] == "float32"


def test_each_kind_answers(send):
    values = {
        "text": "[E1]Ann[/E1] saw [E2]it[/E2]",
        "endings": ["a", "b"],
        "question": "who?",
        "context": "abcdefghijkl",
    }
    for kind, names in INPUTS.items():
        row = {name: values[name] for name in names}
        status, answer = send(predict(kind), {"instances": [row]})
        assert status == 200 and len(answer["predictions"]) == 1, kind


def test_odd_texts_are_answered(send):
    texts = ["\ud800", "a\x00b", "", "🙂" * 300, "‮", "<script>"]
    status, answer = send(predict("single_label"), {"instances": texts})
    assert status == 200 and len(answer["predictions"]) == len(texts)


def test_lengths_of_texts(serving, send):
    texts = ["abc", "x" * 33]
    lengths = {"num_tokens": [3, 33], "truncated": [False, True]}
    body = {"instances": texts, "with_lengths": True}
    answer = send(predict("single_label"), body)[1]["predictions"]
    plain = send(predict("single_label"), {"instances": texts})[1]
    for place, row in enumerate(answer):
        for name, values in lengths.items():
            assert row.pop(name) == values[place]
    assert answer == plain["predictions"]
    answer = send(predict("regression"), {**body, "instances": ["ab"]})[1]
    assert answer["predictions"] == [
        {"num_tokens": 2, "prediction": 2.0, "truncated": False}
    ]
    columns = {"inputs": texts, "with_lengths": True}
    outputs = send(predict("single_label"), columns)[1]["outputs"]
    assert lengths.items() <= outputs.items()
    examples = {"examples": [{"text": text} for text in texts]}
    for path in ("single_label:classify", "regression:regress"):
        path = f"/v1/models/{path}"
        answer = send(path, {**examples, "with_lengths": True})[1]
        plain = send(path, examples)[1]
        assert answer == {**plain, **lengths}
    encoded = send("/encode", {"texts": texts, "with_lengths": True})[1]
    assert lengths.items() <= encoded.items()
    long = {"instances": ["y" * 5000] * 3, "with_lengths": True}
    rows = send(predict("single_label"), long)[1]["predictions"]
    assert [row["num_tokens"] for row in rows] == [5000] * 3
    # Only where somebody asks.
    measured = predictor_of(serving, "single_label").num_measured
    send(predict("single_label"), {"instances": texts, "with_lengths": False})
    assert predictor_of(serving, "single_label").num_measured == measured


def test_an_item_among_those_that_were_read_is_named_by_its_place(serving):
    predictor = predictor_of(serving, "single_label")
    read = prepare(predictor, LIMITS, [Item("read")])
    waiting = (UNPREPARED, Item("waits"))
    rows = prepare_rows(predictor, LIMITS, [*read, waiting])
    assert [row.values["text"] for _, row in rows] == ["read", "waits"]
    wrong = (UNPREPARED, Item(7))
    with pytest.raises(Refusal, match="item 2: "):
        prepare_rows(predictor, LIMITS, [waiting, *read, wrong])


def test_wrong_wishes_for_lengths_are_refused(serving, send, monkeypatch):
    body = {"signature_name": "ids", "instances": [IDS], "with_lengths": True}
    status, answer = send(predict("single_label"), body)
    assert status == 400 and "ids does not read texts" in answer["error"]
    body = {"instances": ["a"], "with_lengths": 1}
    status, answer = send(predict("single_label"), body)
    assert (status, answer) == (
        400,
        {"error": "with_lengths must be true or false"},
    )
    body = {"instances": ["a b", "c"], "with_lengths": True}
    rows = send(predict("tags"), body)[1]["predictions"]
    assert [row["num_tokens"] for row in rows] == [3, 1]
    tagger = predictor_of(serving, "tags")
    monkeypatch.setattr(tagger, "has_lengths", False)
    body = {"instances": ["a"], "with_lengths": True}
    status, answer = send(predict("tags"), body)
    assert status == 400 and "exported by an earlier version" in answer["error"]


def test_a_number_that_is_not_finite_is_a_defect(serving, send):
    predictor = predictor_of(serving, "regression")
    predictor.nan_for = "makes NaN"
    status, answer = send(predict("regression"), {"instances": ["makes NaN"]})
    assert status == 500 and "internal error" in answer["error"]
    assert send(predict("regression"), {"instances": ["a"]})[0] == 200


def test_answers_are_ascii(port):
    address = f"http://127.0.0.1:{port}{predict('tags')}"
    body = '{"instances": ["größer 漢"]}'.encode()
    with urllib.request.urlopen(address, body) as reply:
        content = reply.read()
    assert content.isascii() and b" " not in content
    (row,) = json.loads(content)["predictions"]
    assert row["words"] == ["größer", "漢"]
