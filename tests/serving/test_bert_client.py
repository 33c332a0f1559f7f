"""bert-as-service's protocol and client, with a small model that encodes."""

import shutil
import socket
import threading
import time
import types
import warnings

import keras
import numpy as np
import pytest
from support.common import ROOT
from support.programs import DEMO, SMALL_CONFIG
from support.server_requests import send_request
from support.serving_fakes import make_serving, running

import bert_tf
from bert_tf import BertConfig, BertPreprocessor, FullTokenizer
from bert_tf.export import Predictor, export_model
from bert_tf.export.token_requests import TokenReader
from bert_tf.pooling import BertEmbedder
from bert_tf.serving.bert_client import BertClient, ConcurrentBertClient
from bert_tf.serving.client import EncodeClient, EncodeError
from bert_tf.text.packing import pack_sequences, pad

VOCAB = str(DEMO / "demo" / "vocab.txt")
LENGTH = 24
TOKENIZER = FullTokenizer(VOCAB)
REPORTED = ROOT / "tests" / "reports" / "E01_texts.txt"
# The pairs among them, as bert-as-service splits them.
PAIRS = {"a ||| b ||| c": ("a ||| b", "c")}
MORE = {
    "First do it ||| then do it right": ("First do it", "then do it right"),
    "  blanks  |||  around ": ("blanks ", " around"),
    "walk " * 40 + "||| talk": (("walk " * 40)[:-1], "talk"),
    "one ||| " + "two three " * 40: ("one", "two three " * 40),
    "odd " * 30 + "||| " + "even " * 30: ("odd " * 30, "even " * 30),
    "中文 ||| Über": ("中文", "Über"),
    "\ud800 ||| b": ("?", "b"),
    "a ||| \x00": ("a", ""),
    "a\nb ||| c": None,
    "a|||b": None,
    "": None,
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    return BertEmbedder(BertConfig.from_dict(SMALL_CONFIG), "mean", (-1,))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "1"
    preprocess = BertPreprocessor(VOCAB, max_seq_length=LENGTH)
    export_model(str(path), model, preprocess)
    return path


@pytest.fixture(scope="module")
def serve():
    """function(folder) -> the port of a server of its versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "warm_up", lambda self: None)
        stack = []

        def start(folder):
            serving = make_serving(load=Predictor, folder=folder)
            serving.models["model"].start()
            stack.append(running(serving))
            return stack[-1].__enter__()[1]

        yield start
        for context in stack:
            context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def port(folder, serve):
    return serve(folder.parent)


def packed(text, pair=""):
    sides = [TOKENIZER.tokenize(side) for side in (text, pair)]
    return pack_sequences(*sides, LENGTH)[:2]


def vectors_of(model, sequences):
    """What the model computes for (tokens, segment_ids), each on its own."""
    rows = []
    for tokens, segment_ids in sequences:
        ids = TOKENIZER.convert_tokens_to_ids(tokens)
        columns = (ids, [1] * len(ids), segment_ids)
        names = ("input_ids", "input_mask", "segment_ids")
        inputs = {
            name: np.array([pad(column, LENGTH)], np.int32)
            for name, column in zip(names, columns, strict=True)
        }
        rows.append(model(inputs, training=False)[0])
    return np.array(rows)


def all_texts():
    lines = REPORTED.read_bytes().decode("utf-8").split("\n")[:-1]
    return {**{line: PAIRS.get(line) for line in lines}, **MORE}


def test_texts_are_read_as_bert_as_service_reads_them(port, model):
    texts = all_texts()
    assert len(texts) == 11 + len(MORE)  # "" is in both.
    sequences = [
        packed(*pair) if pair else packed(text) for text, pair in texts.items()
    ]
    body = {"id": 3, "texts": [*texts], "show_tokens": True}
    status, answer = send_request(port, "/encode", body)
    assert (status, answer["id"], answer["status"]) == (200, 3, 200)
    assert answer["tokens"] == [tokens for tokens, _ in sequences]
    np.testing.assert_allclose(
        answer["results"], vectors_of(model, sequences), atol=1e-5
    )


def test_tokens_are_looked_up_as_they_are(port, model):
    texts = [
        ["walk", "##ing"],
        ["hello", "world!"],
        ["First", "[SEP]", "it"],
        ["a", "|||", "##ing", "|||"],
        ["|||", "a"],
        [],
        ["a"] * 50,
    ]
    expected = [
        (["walk", "##ing"], []),
        (["hello", "[UNK]"], []),
        (["[UNK]", "[SEP]", "it"], []),
        (["a"], ["##ing", "[UNK]"]),
        ([], ["a"]),
        ([], []),
        (["a"] * 50, []),
    ]
    sequences = [pack_sequences(*sides, LENGTH)[:2] for sides in expected]
    body = {"texts": texts, "is_tokenized": True, "show_tokens": True}
    status, answer = send_request(port, "/encode", body)
    assert status == 200
    assert answer["tokens"] == [tokens for tokens, _ in sequences]
    np.testing.assert_allclose(
        answer["results"], vectors_of(model, sequences), atol=1e-5
    )


def test_an_earlier_export_reads_pairs_too(folder, serve, port, tmp_path):
    earlier = tmp_path / "models" / "1"
    shutil.copytree(folder, earlier)
    (earlier / "assets.extra" / "vocab.txt").unlink()
    old_port = serve(earlier.parent)
    body = {"texts": [*all_texts()]}
    _, old = send_request(old_port, "/encode", body)
    _, new = send_request(port, "/encode", body)
    np.testing.assert_allclose(old["results"], new["results"], atol=1e-6)
    body = {"texts": [["a"]], "is_tokenized": True}
    status, answer = send_request(old_port, "/encode", body)
    assert status == 400 and "export it again" in answer["error"]


def test_a_pair_keeps_the_tail_where_the_export_does(folder):
    info = {"max_seq_length": LENGTH, "truncation": "head_tail"}
    predictor = types.SimpleNamespace(folder=str(folder), info=info)
    reader = TokenReader(predictor)
    text, pair = "long text " * 20, "another one " * 20
    request = reader.of_pair(predictor, text, pair)
    sides = TOKENIZER.tokenize(text), TOKENIZER.tokenize(pair)
    tokens, segment_ids, _ = pack_sequences(*sides, LENGTH, "head_tail")
    assert reader.tokens_of(request) == tokens
    assert request.ids["segment_ids"].tolist() == segment_ids


# ---------------------------------------------------------------------------
# The client.


def test_encode_returns_what_bert_as_service_returns(port):
    with BertClient("localhost", port, timeout=20_000) as client:
        texts = ["hello world!", "a ||| b"]
        vectors = client.encode(texts)
        assert vectors.dtype == np.float32 and vectors.shape == (2, 16)
        same, tokens = client.encode(texts, show_tokens=True)
        np.testing.assert_allclose(same, vectors, atol=1e-6)
        assert tokens[0] == ["[CLS]", "hello", "world", "!", "[SEP]"]
        # By place: texts, blocking, is_tokenized, show_tokens.
        words = [["hello", "world!"], ["thisis", "it"]]
        _, tokens = client.encode(words, True, True, True)
        assert tokens == [
            ["[CLS]", "hello", "[UNK]", "[SEP]"],
            ["[CLS]", "[UNK]", "it", "[SEP]"],
        ]
    lists = BertClient("localhost", port, None, "list").encode(texts)
    assert isinstance(lists[0][0], float)
    np.testing.assert_allclose(lists, vectors, atol=1e-6)
    with pytest.raises(AttributeError, match="output_fmt"):
        BertClient(output_fmt="numpy")


def test_requests_that_nobody_waits_for(port):
    client = BertClient(port=port)
    assert client.fetch_all() is None and list(client.fetch()) == []
    batches = [["a"], ["b", "c"], ["d ||| e"]]
    expected = [client.encode(batch) for batch in batches]
    for batch in batches:
        assert client.encode(batch, blocking=False) is None
    assert client.status["num_pending_request"] == 3
    found = client.fetch_all(concat=True)
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)
    assert client.status["num_request"] == 6
    for batch in batches:
        client.encode(batch, False)
    numbers = [response.id for response in client.fetch(delay=0.01)]
    assert sorted(numbers) == [7, 8, 9]

    def slowly():
        for batch in [*batches, ["never sent"]]:
            time.sleep(0.05)
            yield batch

    answers = list(client.encode_async(slowly(), max_num_batch=3, delay=0))
    assert [response.id for response in answers] == [10, 11, 12]
    for response, vectors in zip(answers, expected, strict=True):
        np.testing.assert_allclose(response.embedding, vectors, atol=1e-6)
    wrong = client.encode_async(iter([["a"], [5]]), delay=0)
    with pytest.raises(ValueError, match=r"texts\[0\] must be str"):
        list(wrong)


@pytest.mark.parametrize(
    "texts, is_tokenized, error",
    [
        ("a text", False, TypeError),
        (("a", "b"), False, TypeError),
        ([], False, ValueError),
        (["a", ""], False, ValueError),
        (["a", " \n"], False, ValueError),
        (["a", 5], False, TypeError),
        ([["a"]], False, TypeError),
        (["a"], True, TypeError),
        ([["a"], []], True, ValueError),
        ([["a", ""]], True, ValueError),
        ([["a", None]], True, TypeError),
    ],
)
def test_texts_that_bert_as_service_refuses(port, texts, is_tokenized, error):
    client = BertClient(port=port)
    with pytest.raises(error, match="texts"):
        client.encode(texts, is_tokenized=is_tokenized)


def test_checks_of_the_server(port, capsys):
    client = BertClient(port=port, show_server_config=True, identity="me")
    assert "server_version" in capsys.readouterr().out
    assert client.status["identity"] == "me"
    assert client.server_config["max_seq_len"] == LENGTH
    assert client.server_config["server_version"] == bert_tf.__version__
    assert client.server_status["status"] == 200
    with pytest.warns(UserWarning, match="max_seq_len=24"):
        client.encode(["word " * 25])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.encode(["word " * 24])
        BertClient(port=port, check_length=False).encode(["word " * 25])
        EncodeClient(port=port).encode(["word " * 25])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bert_tf, "__version__", "9.9")
        with patch.context() as inner:
            inner.setattr(EncodeClient, "server_status", lambda self: {})
            with pytest.raises(AttributeError, match="check_version=False"):
                BertClient(port=port)
            earlier = BertClient(port=port, check_version=False)
        with pytest.warns(UserWarning, match="does not return tokens"):
            assert earlier.encode(["a"], show_tokens=True).shape == (1, 16)


def test_a_server_that_is_not_there(port):
    with pytest.raises(EncodeError, match="refused"):
        BertClient(port=9)
    client = BertClient(port=9, ignore_all_checks=True, timeout=100)
    with pytest.raises(EncodeError, match="refused"):
        client.encode(["a"])


def test_a_server_that_does_not_answer_in_time():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        silent = deaf.getsockname()[1]
        with pytest.raises(TimeoutError, match=r"no answer in 0\.1 s"):
            BertClient("127.0.0.1", silent, timeout=100)
        with pytest.raises(EncodeError, match=r"no answer in 0\.1 s"):
            EncodeClient("127.0.0.1", silent, timeout=0.1).encode(["a"])


def test_the_other_client_takes_its_arguments_too(port):
    client = EncodeClient(
        ip="localhost",
        port=port,
        port_out=5556,
        output_fmt="list",
        show_server_config=False,
        identity="x",
        check_version=True,
        check_length=True,
        check_token_info=True,
        ignore_all_checks=False,
        timeout=20,
    )
    vectors, tokens = client.encode(["", "a"], show_tokens=True)
    assert len(vectors) == 2 and tokens[0] == ["[CLS]", "[SEP]"]
    assert client.server_status()["status"] == 200  # A method here.


def test_threads_share_a_client(port):
    client = ConcurrentBertClient(max_concurrency=4, port=port)
    expected = client.encode(["shared"])
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(client.encode(["shared"])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for vectors in found:
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
