"""POST /search, with an index of a fake model's vectors."""

import json
import shutil
import urllib.request

import numpy as np
import pytest
from support.programs import program_of
from support.search_fakes import (
    TEXTS,
    serving_of,
    vectors_of,
    write_index,
    write_model,
)
from support.server_requests import LIMITS, predictor_of, send_request
from support.serving_fakes import make_serving, running, start

from bert_tf.errors import UserError
from bert_tf.export.search_index import SearchIndex
from bert_tf.metrics.similarity import normalized
from bert_tf.serving import search
from bert_tf.serving.batching import QueueFull
from bert_tf.serving.client import EncodeClient, EncodeError
from bert_tf.serving.errors import Refusal
from bert_tf.serving.state import Serving
from bert_tf.tools.soaking.requests import Traffic

SERVE = program_of("bert_tf.tools.serve")


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    folder = tmp_path_factory.mktemp("index") / "index"
    return serving_of(models, write_index(folder, write_model(models, 1)))


def expected(query, k):
    """Every text is compared with the query."""
    wanted, *rest = normalized(vectors_of([query, *TEXTS]))
    cosines = np.stack(rest) @ wanted
    return [
        {
            "id": f"id {place}",
            "score": pytest.approx(float(cosines[place]), abs=2e-6),
            "text": TEXTS[place],
        }
        for place in np.argsort(-cosines, kind="stable")[:k]
    ]


def test_the_nearest_texts_of_each_query(send):
    queries = ["b", "aaaaa", "long " * 20]
    status, answer = send("/search", {"queries": queries, "k": 3})
    assert status == 200
    assert answer == {"results": [expected(query, 3) for query in queries]}
    assert [hit["id"] for hit in answer["results"][0][:2]] == ["id 1", "id 4"]
    by_name = {"query": "b", "model": "model"}
    for path, body in (
        ("/search", {"query": "b"}),
        ("/search?model=model", {"queries": ["b"], "k": 1000}),
        ("/search", by_name),
    ):
        assert send(path, body) == (200, {"results": [expected("b", 10)]})


@pytest.mark.parametrize(
    "body, status, message",
    [
        ({}, 400, "one of query and queries"),
        ({"query": "a", "queries": ["a"]}, 400, "one of query and queries"),
        ({"query": None}, 400, "query must be a string"),
        ({"query": {"text": "a"}}, 400, "query must be a string"),
        ({"query": ""}, 400, "query is empty: it must have a word"),
        ({"queries": ["a", " \n"]}, 400, "queries[1] is empty"),
        ({"queries": "a"}, 400, "queries must be a list"),
        ({"queries": []}, 400, "nothing to answer"),
        ({"queries": ["a", 1]}, 400, "queries[1] must be a string"),
        ({"query": "a", "k": 0}, 400, "k must be a whole number from 1 to 1,0"),
        ({"query": "a", "k": 1001}, 400, "k must be a whole number"),
        ({"query": "a", "k": True}, 400, "k must be a whole number"),
        ({"query": "a", "k": 2.0}, 400, "k must be a whole number"),
        ({"query": "a", "k": None}, 400, "k must be a whole number"),
        ({"query": "a", "k": 10**30}, 400, "k must be a whole number"),
        ({"query": "a", "k": [3]}, 400, "k must be a whole number"),
        ('{"query": "a", "k": NaN}', 400, "NaN is not a JSON number"),
        ('{"query": "a", "k": 1e999}', 400, "is too large"),
        ('{"query": "a", "k": %s}' % ("9" * 5000), 400, "9… is too large"),
        ('{"queries": ' + "[" * 90_000, 400, "nested too deep"),
        ({"query": "a", "top_k": 3}, 400, '"top_k" is unknown; known are k, '),
        ({"query": "a", "model": 5}, 400, "model must be a string"),
        ({"query": "a", "model": "none"}, 404, "no model"),
        ({"query": "a" * 100_001}, 413, "a text has 100,001 bytes"),
        ({"queries": ["a"] * 51}, 413, "at most 50"),
        ({"queries": ["a"] * 50, "k": 1000}, 413, "20,000 texts in all"),
        ({"query": "a" * 200_000}, 413, "the body exceeds"),
        ("[1]", 400, "must be a JSON object"),
        ('{"query": "a', 400, "not JSON"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_wrong_requests_are_refused_in_one_line(send, body, status, message):
    found, answer = send("/search", body)
    assert found == status and message in answer["error"]
    assert "\n" not in answer["error"]


def test_no_hostile_request_breaks_it(send):
    """Those of a soak, without the connection that the soak's clients use."""
    traffic = Traffic("model", ["text"], TEXTS, hostile_share=1.0, seed=5)
    for _ in range(300):
        body = traffic._wrong_search().data.partition(b"\r\n\r\n")[2]
        if len(body) > LIMITS.max_body_bytes:
            continue  # It would not read all of it.
        status, answer = send("/search", body)
        assert status in (400, 413), (body[:100], answer)
        assert "\n" not in answer["error"]
    assert send("/search", {"query": "b", "k": 1})[0] == 200


def test_an_answer_is_bounded(send, monkeypatch):
    monkeypatch.setattr(search, "MAX_HIT_BYTES", 100)
    assert send("/search", {"query": "b", "k": 2})[0] == 200
    status, answer = send("/search", {"query": "a" * 90, "k": 5})
    assert status == 413 and "bytes: 100 are allowed" in answer["error"]


def test_too_many_queries_wait(send, serving, monkeypatch):
    def submit(rows):
        raise QueueFull("9 sequences wait already")

    monkeypatch.setattr(serving.indexes["model"]._batcher, "submit", submit)
    status, answer = send("/search", {"query": "b"})
    assert status == 429 and "wait already" in answer["error"]


def test_a_vector_that_is_not_finite_finds_nothing(send, serving, monkeypatch):
    nan = {"embedding": np.full([1, 3], np.nan, "float32")}
    predictor = predictor_of(serving, "model")
    monkeypatch.setattr(predictor, "_embedding", lambda *_: nan)
    assert send("/search", {"query": "b"})[0] == 500


def test_it_is_described(send, port):
    model = send("/status")[1]["models"]["model"]
    assert model["index"] == {"num_texts": 5, "version": "1"}
    assert model["page"]["shown_as"] == "found"
    operation = send("/openapi.json")[1]["paths"]["/search"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    (example,) = content["examples"].values()
    status, answer = send("/search", example["value"])
    assert status == 200 and len(answer["results"][0]) == 3
    metrics = metrics_of(port)
    assert 'bert_index_texts{model="model"} 5.0' in metrics
    assert 'route="/search",status="200"' in metrics


def metrics_of(port):
    address = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(address) as reply:
        return reply.read().decode()


def test_which_index_is_meant():
    for indexes, status in (({}, 404), ({"a": None, "b": None}, 400)):
        with pytest.raises(Refusal) as refusal:
            Serving(models={}, indexes=indexes).only_index()
        assert refusal.value.status == status
    with pytest.raises(Refusal, match="c has no index; those with one: a"):
        Serving(models={}, indexes={"a": None}).index("c")


def test_a_server_without_an_index(tmp_path):
    with running(start(make_serving(), tmp_path)) as (_, port):
        status, answer = send_request(port, "/search", {"query": "a"})
        assert status == 404 and "no index" in answer["error"]
        named = {"query": "a", "model": "embedding"}
        status, answer = send_request(port, "/search", named)
        assert status == 404 and "embedding has no index" in answer["error"]


def test_each_query_of_a_batch_has_its_k(serving):
    index = serving.indexes["model"].index
    vectors = vectors_of(["b", "aaaaa"])
    found = search.nearest(
        index,
        [search.Query(v, k) for v, k in zip(vectors, (1, 4), strict=True)],
    )
    assert found["places"].shape == (2, 4)
    answer = search.answer(index, 1, [{n: v[0] for n, v in found.items()}])
    assert answer == {"results": [expected("b", 1)]}


# ---------------------------------------------------------------------------
# An index belongs to the version that made it.


def refresh(serving):
    """What a Watch does at two looks, after which a folder has settled."""
    for _ in range(2):
        serving.models["model"].refresh()
        serving.indexes["model"].refresh()


def test_an_index_is_searched_with_the_version_that_made_it(tmp_path, caplog):
    models, folder = tmp_path / "models", tmp_path / "index"
    versions = {1: write_model(models, 1)}
    serving = serving_of(models, write_index(folder, versions[1]))
    served = serving.indexes["model"]
    first = served.index
    assert served.choose() == (first, 1)

    # A new version answers; the index is still that of the old one.
    versions[2] = write_model(models, 2)
    refresh(serving)
    assert serving.models["model"].available() == [2, 1]
    assert served.choose() == (first, 1)

    # A new index waits for its version.
    versions[3] = write_model(tmp_path / "later", 3)
    write_index(folder, versions[3], ["new"])
    refresh(serving)
    assert served.choose() == (first, 1)
    assert "the new one waits for the model that made it" in caplog.text
    # What was open is as it was, though its folder was replaced.
    hits = first.search(vectors_of(["b"]), 1)[0]
    assert hits[0].text == "b"
    shutil.copytree(tmp_path / "later" / "3", models / "3")
    refresh(serving)
    index, number = served.choose()
    assert number == 3 and len(index) == 1

    # A damaged index is not taken.
    (folder / "vectors.npy").unlink()  # It is open.
    (folder / "vectors.npy").write_bytes(b"damaged")
    refresh(serving)
    assert served.choose() == (index, 3)
    assert "the new one cannot be used" in caplog.text

    # The version that made it has ended.
    for number in (4, 5):
        write_model(models, number)
    refresh(serving)
    with pytest.raises(Refusal, match="must be written again") as refusal:
        served.choose()
    assert refusal.value.status == 503
    assert served.status() == {"num_texts": 1, "version": None}


def test_an_index_of_another_model_ends_the_start(tmp_path):
    models = tmp_path / "models"
    own = write_index(tmp_path / "index", write_model(models, 1))
    other = tmp_path / "other"
    write_index(other, write_model(tmp_path / "others", 2))
    narrow = tmp_path / "narrow"
    shutil.copytree(own, narrow)
    np.save(narrow / "vectors.npy", np.ones([5, 2], "float32"))
    with pytest.raises(UserError, match="another model .weights '.*' there, '"):
        serving_of(models, other)
    with pytest.raises(UserError, match="dimension is 3, but vectors.npy has"):
        serving_of(models, narrow)
    with pytest.raises(UserError, match="holds no index"):
        serving_of(models, tmp_path)
    assert len(SearchIndex(own)) == 5


def test_a_damaged_text_is_an_error_of_the_server(tmp_path):
    models, folder = tmp_path / "models", tmp_path / "index"
    serving = serving_of(models, write_index(folder, write_model(models, 1)))
    rows = (folder / "rows.jsonl").read_bytes()
    (folder / "rows.jsonl").write_bytes(rows.replace(b'"text"', b'"test"'))
    with running(serving) as (_, port):
        assert send_request(port, "/search", {"query": "b"})[0] == 500


# ---------------------------------------------------------------------------
# The client.


@pytest.fixture
def client(port):
    with EncodeClient("localhost", port=port) as client:
        yield client


def test_the_client_searches(client, port):
    queries = ["b", "aaaaa"]
    answer = [expected(query, 3) for query in queries]
    for same in (queries, tuple(queries), iter(queries), np.array(queries)):
        assert client.search(same, k=3) == answer
    assert client.search(queries[:1]) == [expected("b", 10)]
    assert client.search(queries[:1], np.int64(1)) == [expected("b", 1)]
    named = EncodeClient("localhost", port=port, model="model")
    assert named.search(queries, k=3) == answer
    assert client.status["num_request"] == 6


def test_the_client_splits_long_lists(client, monkeypatch):
    sizes = []
    ask = client._connection.ask

    def asked(path, body=None):
        sizes.append(len(body["queries"]) if body else 0)
        return ask(path, body)

    monkeypatch.setattr(client._connection, "ask", asked)
    found = client.search(["b"] * 120, k=1)  # max_texts is 50.
    assert found == [expected("b", 1)] * 120
    found = client.search(["b"] * 45, k=1000)  # 20,000 texts in an answer.
    assert found == [expected("b", 10)] * 45
    assert sizes == [0, 50, 50, 20, 20, 20, 5]


def test_mistakes_of_the_client_are_one_line(client, port):
    for queries, message in (
        ("a query", "queries must be a list"),
        ([], "queries must be a list"),
        (["a", None], r"queries\[1\] must be str"),
        (["a"] * 60 + [" "], r"queries\[60\] must have a word"),
    ):
        with pytest.raises(ValueError, match=message):
            client.search(queries)
    for k in (0, -1, 1.5, "3", None):
        with pytest.raises(ValueError, match="k must be a whole number from 1"):
            client.search(["a"], k=k)
    with pytest.raises(EncodeError, match="400: k must be .* from 1 to 1,000"):
        client.search(["a"], k=1001)
    with pytest.raises(EncodeError, match=r"queries\[1\] has 100,001 bytes"):
        client.search(["a", "a" * 100_001])
    with pytest.raises(EncodeError, match='404: no model "none"'):
        EncodeClient("localhost", port=port, model="none").search(["a"])


# ---------------------------------------------------------------------------
# The flags.


def test_flags(tmp_path):
    folder = str(tmp_path)
    one, two = f"a={folder}", f"b={folder}"
    for models, indexes, found in (
        ([one], [folder], {"a": folder}),
        ([one, two], [one, two], {"a": folder, "b": folder}),
        ([one, two], [folder], "must be NAME=FOLDER with the name of a model"),
        ([one], [two], "with the name of a model: a"),
        ([one], [one, folder], "a is given twice"),
        ([one], [f"{folder}=b"], f"{folder}=b: no such folder"),
        ([one], ["a="], "must be NAME=FOLDER"),
        ([one, one], [one], "a is given twice"),
        ([folder], [one], "must be NAME=FOLDER; a name has letters"),
        (["a="], [one], "must be NAME=FOLDER; a name has letters"),
        ([one], ["/no/such"], "index=/no/such: no such folder"),
    ):
        with SERVE.flags(model=models, index=indexes):
            if isinstance(found, dict):
                assert SERVE.module.read_settings().indexes == found
                continue
            with pytest.raises(UserError, match=found):
                SERVE.module.read_settings()
