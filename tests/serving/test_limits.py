"""Limits: bodies and texts that are too large, too slow, or not JSON."""

import json
import time

import pytest
from support.server_requests import IDS, POST, examples_body, predict, raw

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


@pytest.mark.parametrize("depth", [1, 2, 3, 400, 800, 950, 970, 1010, 5000])
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


def test_the_sequences_of_one_text_have_a_limit(send):
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


def test_chunks_are_counted(port):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert raw(port, head + chunk * 4).startswith(b"HTTP/1.1 413 ")


def test_a_slow_body_is_not_waited_for(port):
    start = time.monotonic()
    head = POST + b"Content-Length: 100\r\n\r\n{"
    assert raw(port, head, b"a", b"b").startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < 3
