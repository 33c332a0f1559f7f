"""bert-as-service's API."""

import json

import pytest


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
