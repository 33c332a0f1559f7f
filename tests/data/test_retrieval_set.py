"""Folders in the layout of BEIR, and mistakes in them."""

import json

import pytest
from support.programs import write

from bert_tf.data import retrieval_set
from bert_tf.errors import UserError

CORPUS = [
    {"_id": "d1", "title": "Cats", "text": "purr"},
    {"_id": "d2", "title": "", "text": "Dogs bark"},
]
QUERIES = [{"_id": "q1", "text": "who barks"}, {"_id": "q2", "text": "who"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td1\t0\n"


def make(folder, corpus=CORPUS, queries=QUERIES, qrels=QRELS, split="test"):
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        write(folder, f"{name}.jsonl", lines)
    (folder / "qrels").mkdir()
    write(folder / "qrels", f"{split}.tsv", qrels)
    return str(folder)


def test_it_is_read(tmp_path):
    found = retrieval_set.read(make(tmp_path))
    assert found.corpus == ["Cats purr", "Dogs bark"]
    assert found.queries == ["who barks"]  # q2 has no right text.
    assert found.relevant == [{1: 2.0}]
    assert found.describe() == "2 texts; 1 of 2 queries has a right text"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"corpus": [{"id": "d1", "text": "a"}]},
            "corpus.jsonl: its objects have no _id; they have id, text",
        ),
        (
            {"corpus": [*CORPUS, {"text": "a"}]},
            "corpus.jsonl:3: no _id",
        ),
        (
            {"corpus": [*CORPUS, CORPUS[0]]},
            "corpus.jsonl:3: the _id 'd1' is that of line 1, too",
        ),
        (
            {"qrels": QRELS.replace("d2", "d7")},
            "test.tsv:2: the id 'd7' is not in ",
        ),
        (
            {"qrels": QRELS.replace("q1\td2", "q9\td2")},
            "test.tsv:2: the id 'q9' is not in ",
        ),
        ({"qrels": QRELS.replace("2\n", "x\n")}, "2: the score 'x' is not a"),
        ({"qrels": QRELS.replace("2\n", "0\n")}, "no query has a text with a"),
        ({"qrels": QRELS + "q1\td2\t1\n"}, "test.tsv:4: another score of"),
        (
            {"qrels": "q\td\ts\nq1\td2\t2\n"},
            "test.tsv: the columns query-id, corpus-id, score are needed; the "
            "first line has q, d, s",
        ),
        ({"qrels": QRELS.replace("2\n", "nan\n")}, "2: the score 'nan' is not"),
        ({"qrels": QRELS.replace("2\n", "\n")}, "2: the score '' is not"),
        ({"corpus": []}, "corpus.jsonl: there are no rows"),
        ({"queries": []}, "queries.jsonl: there are no rows"),
        (
            {"queries": [*QUERIES, {"_id": "q3", "text": " "}]},
            "queries.jsonl:3: no text",
        ),
        ({"split": "mine"}, "neither dev.tsv, test.tsv nor train.tsv"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        retrieval_set.read(make(tmp_path, **changes))
    assert message in str(error.value)


def test_a_split_is_chosen(tmp_path):
    folder = make(tmp_path, split="mine")
    assert retrieval_set.read(folder, "mine").queries == ["who barks"]
    with pytest.raises(UserError, match=r"other.tsv: no such file"):
        retrieval_set.read(folder, "other")
