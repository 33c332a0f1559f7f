"""bert-as-service's API."""

import json

import pytest

from bert_tf.serving import encode


def test_encode(send):
    body = {"id": 7, "texts": ["a", "bcd"], "is_tokenized": False}
    status, answer = send("/encode", body)
    assert status == 200 and answer["id"] == 7 and answer["status"] == 200
    assert [row[0] for row in answer["results"]] == [1, 3]
    by_address = {"texts": ["a b"], "is_tokenized": False}
    found = send("/encode?model=embedding", by_address)[1]
    assert found["results"][0][0] == 3 and "tokens" not in found
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
        {"texts": ["a"], "show_tokens": "yes"},
        {"texts": ["a"], "with_lengths": None},
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


@pytest.mark.parametrize(
    "body",
    [
        {"texts": [["a", "b"]], "is_tokenized": True},
        {"texts": ["a"], "show_tokens": True},
    ],
    ids=json.dumps,
)
def test_tokens_need_the_vocabulary_of_the_export(send, body):
    status, answer = send("/encode", body)
    assert status == 400
    assert "was exported without its vocabulary" in answer["error"]
    assert answer["error"].startswith([*body][1])


@pytest.mark.parametrize(
    "text, pair",
    [
        ("hello there", None),
        ("a ||| b", ("a", "b")),
        ("a ||| b ||| c", ("a ||| b", "c")),
        ("a ||| ||| b", ("a |||", "b")),
        ("  a ||| b \n", ("a", "b")),
        ("||| ", None),
        (" ||| second only", None),
        ("first only ||| ", None),
        ("a|||b", None),
        ("a ||| b\nc", None),
        ("a\u2028 ||| \x85b", ("a\u2028", "\x85b")),
        ("", None),
    ],
)
def test_a_text_is_split_as_bert_as_service_splits_it(text, pair):
    assert encode.split_pair(text) == pair


def test_tokens_are_split_at_the_first_bar():
    assert encode.split_tokens(["a", "b"]) == (["a", "b"], [])
    several = ["a", "|||", "b", "|||", "c"]
    assert encode.split_tokens(several) == (["a"], ["b", "|||", "c"])
    assert encode.split_tokens(["a", "|||"]) == (["a"], [])
    assert encode.split_tokens(["|||", "b"]) == ([], ["b"])
