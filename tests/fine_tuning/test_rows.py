"""Data in memory as the files that the programs read."""

import json
import pathlib

import numpy as np
import pytest

from bert_tf.errors import UserError
from bert_tf.fine_tuning.rows import RowSet, task_of


def rows_of(data):
    return [json.loads(line) for line in RowSet.of(data, "data").lines]


def test_all_forms_of_rows_become_the_same_lines():
    wanted = [{"text": "é\n", "label": 1}, {"text": "b", "label": 0}]
    for data in (
        wanted,
        [("é\n", 1), ["b", 0]],
        ((row["text"], np.int64(row["label"])) for row in wanted),
        {"text": ["é\n", "b"], "label": np.array([1, 0])},
    ):
        assert rows_of(data) == wanted
    pairs = rows_of([("a", "b", "yes")])
    assert pairs == [{"text": "a", "text_pair": "b", "label": "yes"}]


def test_a_table_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "text": ["a", "b"],
            "label": ["x", None],
            "score": [0.5, np.nan],
            "day": pandas.to_datetime(["2026-01-02", None]),
        }
    )
    assert rows_of(table) == [
        {"text": "a", "label": "x", "score": 0.5, "day": "2026-01-02 00:00:00"},
        {"text": "b", "label": None, "score": None, "day": None},
    ]


def test_what_is_no_data_is_refused():
    for data, why in (
        (3, "must be rows or a file, not int"),
        (["a text"], "row 1: must be a dict"),
        ([{"text": object()}], "row 1: a value of object cannot be stored"),
    ):
        with pytest.raises(UserError, match=why):
            RowSet.of(data, "data")


def test_the_task_is_that_of_the_columns():
    for row, task in {
        ("text", "label"): "jsonl",
        ("question", "context", "label"): "jsonl",
        ("question", "context", "answers"): "squad",
        ("tokens", "ner_tags"): "ner",
        ("sent1", "ending0", "ending1", "label"): "swag",
        ("text", "e1", "e2", "label"): "relations",
    }.items():
        assert task_of(RowSet.of([dict.fromkeys(row, "x")], "data")) == task


def test_the_task_is_that_of_the_file(tmp_path):
    for name, text, task in (
        ("a.csv", "", "csv"),
        ("a.tsv.gz", "", "tsv"),
        ("a.jsonl", "", "jsonl"),
        ("a.conll", "", "ner"),
        ("a.json", '{"data": [{"paragraphs": []}]}', "squad"),
        ("b.json", '[{"text": "a", "label": "b"}]', "csv"),
    ):
        path = pathlib.Path(tmp_path, name)
        path.write_text(text)
        assert task_of(RowSet.of(path, "data")) == task
    with pytest.raises(UserError, match="a folder; task must say"):
        task_of(RowSet.of(tmp_path, "data"))
