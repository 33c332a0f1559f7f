"""What a misspelt name was meant to be: columns, labels, and the rules."""

import pytest
from support.common import json_lines

from bert_tf import suggestions
from bert_tf.data import labelled_table
from bert_tf.data.labelled_table import TableSettings
from bert_tf.data.tabular import csv_files
from bert_tf.errors import UserError


@pytest.mark.parametrize(
    "word, names, meant",
    [
        ("mesage", ["id", "message", "label"], "message"),
        ("Message", ["id", "message"], "message"),
        ("message_text", ["id", "text message"], "text message"),
        ("labl", ["text", "label"], "label"),
        ("text", ["id", "review", "stars"], "review"),
        ("label", ["id", "review", "stars"], "stars"),
        ("text", ["a", "b"], None),
        ("colour", ["text", "label"], None),
        ("2", ["1", "3"], None),
    ],
)
def test_columns_of_a_file(tmp_path, word, names, meant):
    path = tmp_path / "x.csv"
    path.write_text(",".join(names) + "\n" + ",".join(names) + "\n")
    table = csv_files.read_table(str(path), "csv")
    with pytest.raises(UserError) as error:
        table.texts(word)
    message = str(error.value)
    assert f"it has {', '.join(names)}" in message
    if meant:
        assert message.endswith(f"; did you mean {meant!r}?")
    else:
        assert "did you mean" not in message


def test_keys_of_objects(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json_lines({"mesage": "a", "label": "b"}))
    table = csv_files.read_table(str(path), "jsonl")
    with pytest.raises(UserError, match="; did you mean 'mesage'[?]$"):
        table.texts("message")


def test_labels_that_were_not_in_training(tmp_path):
    for name, label in (("train", "spam"), ("dev", "spma")):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"text,label\na,ham\nb,{label}\n")
    settings = TableSettings(
        train_file=str(tmp_path / "train.csv"),
        dev_file=str(tmp_path / "dev.csv"),
    )
    sets = labelled_table.read_sets(settings, "csv", ["train", "dev"])
    with pytest.raises(UserError, match="label 'spma'.*; did you mean 'spam'"):
        labelled_table.check_labels(sets["dev"], ["ham", "spam"], "dev", True)


def test_synonyms_count_before_spelling():
    names = ["trains", "do_train"]
    assert suggestions.nearest("train", names) == "trains"
    synonyms = {"train": ("fit", "do_train")}
    assert suggestions.nearest("train", names, synonyms) == "do_train"
    assert suggestions.nearest("train", ["trains"], synonyms) == "trains"


def test_nothing_is_near():
    assert suggestions.nearest("word", []) is None
    assert suggestions.nearest("word", ["word"]) is None  # Not itself.
    assert suggestions.hint("word", ["other"]) == ""
    assert suggestions.similarity("a-b", "A_B") == 1
