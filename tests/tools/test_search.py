"""The tool search, with an encoder of random weights."""

import json
import shutil

import keras
import numpy as np
import pytest
from support.programs import DEMO, SMALL_CONFIG, program_of, write

from bert_tf import BertConfig, BertPreprocessor
from bert_tf.errors import UserError
from bert_tf.export import Predictor, export_model
from bert_tf.export.search_index import SearchIndex, embed
from bert_tf.pooling import BertEmbedder

pytestmark = pytest.mark.slow

PROGRAM = program_of("bert_tf.tools.search")
TEXTS = [f"call {word} now" for word in "home work me you them us".split()]
VOCAB = str(DEMO / "demo" / "vocab.txt")


def export(folder, seed, pooling="mean"):
    keras.utils.set_random_seed(seed)
    config = BertConfig.from_dict(SMALL_CONFIG)
    model = BertEmbedder(config, pooling, layers=(-1,))
    export_model(str(folder), model, BertPreprocessor(VOCAB, max_seq_length=16))
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "one": export(root / "one", 1),
        "tokens": export(root / "tokens", 1, "none"),
    }


def found(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def search(*texts, **flags):
    with PROGRAM.flags(**flags):
        PROGRAM.main(*texts)


def test_the_nearest_come_first_and_an_index_answers_alike(
    models, tmp_path, capsys
):
    corpus = write(tmp_path, "corpus.txt", "\n".join(TEXTS) + "\n")
    index, model = str(tmp_path / "index"), models["one"]
    queries = [TEXTS[3], "work"]
    flags = {"model": model, "json": True, "top_k": 4}
    search(*queries, **flags, corpus=str(corpus))
    direct = found(capsys)
    search(**flags, corpus=str(corpus), index=index)
    assert found(capsys) == []
    search(*queries, **flags, index=index)
    assert found(capsys) == direct
    assert direct[0]["hits"][0] == {"id": "4", "score": 1.0, "text": TEXTS[3]}
    predictor = Predictor(model)
    vectors = embed(predictor, [*TEXTS, "work"])
    cosines = vectors[:-1] @ vectors[-1]
    order = np.argsort(-cosines, kind="stable")[:4]
    assert [hit["text"] for hit in direct[1]["hits"]] == [
        TEXTS[i] for i in order
    ]
    np.testing.assert_allclose(
        [hit["score"] for hit in direct[1]["hits"]], cosines[order], atol=1e-5
    )
    # From a file to a file.
    asked = write(tmp_path, "queries.txt", "\n".join(queries) + "\n\n")
    output = tmp_path / "out.jsonl"
    search(**flags, index=index, queries=str(asked), output=str(output))
    assert [json.loads(x) for x in output.read_text().splitlines()] == direct


@pytest.mark.parametrize(
    "name, content, flags, ids",
    [
        ("a.jsonl", '{"_id": "x", "title": "t", "text": "a"}\n', {}, ["x"]),
        ("a.csv", "id,text,note\n7,call me,\n8,no,\n", {}, ["7", "8"]),
        (
            "a.tsv",
            "key\tq\nk1\thi\n",
            {"id_column": "key", "text_column": "q"},
            ["k1"],
        ),
    ],
)
def test_ids_of_the_corpus(models, tmp_path, name, content, flags, ids):
    corpus = write(tmp_path, name, content)
    folder = str(tmp_path / "index")
    search(model=models["one"], corpus=str(corpus), index=folder, **flags)
    index = SearchIndex(folder)
    hits = index.search(np.ones([1, index.vectors.shape[1]]), 9)[0]
    assert sorted(hit.id for hit in hits) == ids
    if name == "a.jsonl":
        assert hits[0].text == "t a"


def test_mistakes_are_named(models, tmp_path):
    corpus = str(write(tmp_path, "c.csv", "id,text\n1,a\n1,b\n"))
    empty = str(write(tmp_path, "e.txt", "\n"))
    index = str(tmp_path / "index")
    good = str(write(tmp_path, "g.txt", "a\n"))
    search(model=models["one"], corpus=good, index=index)
    folder, changed = tmp_path / "other", tmp_path / "changed"
    folder.mkdir()
    shutil.copytree(index, changed)
    described = json.loads((changed / "index.json").read_text())
    described["model"]["weights"] = "00000000"
    (changed / "index.json").write_text(json.dumps(described))

    def csv(name, *lines):
        return str(write(tmp_path, f"{name}.csv", "\n".join(lines) + "\n"))

    def jsonl(name, row):
        return str(write(tmp_path, f"{name}.jsonl", json.dumps(row) + "\n"))

    for flags, message in (
        ({"corpus": corpus}, "c.csv:3: the id '1' is that of an earlier row"),
        (
            {"corpus": corpus, "id_column": "x"},
            "c.csv:2: no 'x'; the row has id, text; --id_column names another",
        ),
        (
            {"corpus": corpus, "text_column": "texts"},
            "no 'texts'; the row has id, text; --text_column names another "
            "column; did you mean 'text'?",
        ),
        ({"corpus": empty}, "--corpus=.*e.txt: contains no text"),
        ({"corpus": csv("no", "id,text", ",a")}, "no.csv:2: no id in the col"),
        ({"corpus": csv("nan", "text,id", "a,NaN")}, "nan.csv:2: no id in"),
        (
            {"corpus": jsonl("a", {"text": ["a"], "id": 1})},
            "a.jsonl:1: 'text' must be",
        ),
        ({"corpus": jsonl("b", {"text": "\ud800"})}, "'text' has half a surr"),
        ({"corpus": jsonl("c", {"text": "", "id": {}})}, "no text"),
        ({"corpus": jsonl("d", {"text": "a", "id": {}})}, "'id' must be text"),
        ({"index": index, "queries": empty}, "e.txt: contains no query"),
        ({"corpus": good, "index": str(folder)}, "not an index; give a new"),
        ({"index": str(folder)}, "holds no index"),
        ({"index": str(changed)}, "was made with another"),
        ({"corpus": good, "model": models["tokens"]}, "one vector for each"),
        (
            {"corpus": good, "queries": empty, "output": index + ".x"},
            "no query",
        ),
    ):
        queries = () if "queries" in flags else ("a",)
        with pytest.raises(UserError, match=message):
            search(*queries, **{"model": models["one"], **flags})
    assert not (tmp_path / "index.x").exists()
    for query in ("", " \n"):
        with pytest.raises(UserError, match="is empty: give it a word"):
            search("a", query, model=models["one"], index=index)


def test_rows_without_a_text_are_left_out(models, tmp_path, caplog):
    table = "text,title\ncall me,\n,\n,a title\nNaN,\nno,x\n"
    lines = "call me\n\n  \nno\n"
    for name, content, found in (
        ("a.csv", table, {"1": "call me", "3": "a title", "5": "x no"}),
        ("a.txt", lines, {"1": "call me", "4": "no"}),
    ):
        corpus = str(write(tmp_path, name, content))
        index = str(tmp_path / "index")
        search(model=models["one"], corpus=corpus, index=index)
        vectors = np.ones([1, SearchIndex(index).vectors.shape[1]])
        hits = SearchIndex(index).search(vectors, 9)[0]
        assert {hit.id: hit.text for hit in hits} == found
    (record,) = [r for r in caplog.records if "no text" in r.getMessage()]
    assert "2 of 5 rows have no text (" in record.getMessage()
    assert "a.csv:3 first): left out" in record.getMessage()


def test_a_column_that_somebody_names_is_read_without_the_title(
    models, tmp_path
):
    corpus = str(write(tmp_path, "a.csv", "text,title\nno,x\n"))
    index = str(tmp_path / "index")
    search(model=models["one"], corpus=corpus, index=index, text_column="text")
    vectors = np.ones([1, SearchIndex(index).vectors.shape[1]])
    assert SearchIndex(index).search(vectors, 1)[0][0].text == "no"
