"""TensorFlow Serving's REST API."""

import base64
import threading
import time

from support.server_requests import predict, predictor_of
from support.serving_fakes import INPUTS, LABELS


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
