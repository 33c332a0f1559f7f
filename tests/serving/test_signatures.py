"""Token ids, tf.Examples and long texts."""

import json

import pytest
from support.server_requests import IDS, examples_body, predict, predictor_of


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


def test_long_texts_are_tokenized_one_after_the_other(serving, send):
    """TensorFlow needs about 60 times their size, and keeps it."""
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
