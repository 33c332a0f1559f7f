"""EncodeClient, which splits and checks texts before it sends them."""

import socket

import numpy as np
import pytest

from bert_tf.serving.client import EncodeClient, EncodeError


def test_the_client_splits_long_lists(port):
    client = EncodeClient("localhost", port=port, model="embedding")
    texts = ["x" * (i % 20 + 1) for i in range(120)]  # max_texts is 50.
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


def test_the_client_accepts_all_kinds_of_iterables(port):
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
def test_values_that_are_not_texts_are_not_sent(port, wrong, is_tokenized):
    client = EncodeClient("localhost", port=port)
    sent = []
    client._connection._send = lambda *args: sent.append(args)
    right = ["a"] if is_tokenized else "a"
    with pytest.raises(ValueError, match=r"^texts\[60\] must be "):
        client.encode([right] * 60 + [wrong], is_tokenized)
    assert not sent


def test_a_text_that_the_server_would_refuse_is_not_sent(port):
    client = EncodeClient("localhost", port=port)
    answers = client.server_status()
    sent = []
    client._connection._send = lambda path, body=None: (
        sent.append(body) or answers
    )
    long = ["a"] * 60 + ["ä" * 50_001]
    message = r"texts\[60\] has 100,002 bytes: the server allows 100,000"
    with pytest.raises(EncodeError, match=message):
        client.encode(long)
    with pytest.raises(EncodeError, match=message):
        client.encode([[text] for text in long], is_tokenized=True)
    with pytest.raises(EncodeError, match=r"texts\[60\] has .* in JSON"):
        client.encode(["a"] * 60 + ["\0" * 40_000])
    assert not any(sent)
