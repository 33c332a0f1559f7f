"""The labels of a set beside those of training."""

import pytest
from support.common import json_lines

from bert_tf.data.labelled_table import TableSettings, read_sets
from bert_tf.data.labels.known_labels import check_labels, compare
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")


def read(content, set_type, format="csv", **settings):
    """The set of a file with this content."""
    with open("x", "w") as writer:
        writer.write(content)
    settings[f"{set_type}_file"] = "x"
    (table,) = read_sets(TableSettings(**settings), format, [set_type]).values()
    return table


def error_of(*arguments):
    with pytest.raises(UserError) as caught:
        check_labels(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CONTENT = "text,label\na,a\nb,c\nc,\nd,d\ne,c\n"


def test_unknown_labels_stay_and_are_named(warnings):
    table = read(CONTENT, "dev")
    del warnings()[:]
    before = len(warnings())
    checked = check_labels(table, ["a", "b"], "dev", False)
    assert checked.labels == ["a", "c", "d", "c"]
    test = check_labels(read(CONTENT, "test"), ["a", "b"], "test", False)
    assert test.labels == ["a", "c", None, "d", "c"]
    assert warnings()[before:] == [
        f"x: 3 of {number} rows have a label that was not in training (line 3 "
        "first): 'c' (2), 'd' (1); they count as wrong, and eval_loss leaves "
        "them out"
        for number in (4, 5)
    ]


@pytest.mark.parametrize("set_type", ["train", "dev", "test"])
def test_strict(set_type, warnings):
    table = read(CONTENT, set_type)
    number = len(warnings())
    assert check_labels(table, ["a", "c", "d"], set_type, True) is table
    assert error_of(table, ["a", "b"], set_type, True) == (
        "x:3: label 'c' was not in training, which had a, b"
    )
    assert len(warnings()) == number


def test_no_label_is_known(warnings):
    """A mistake in a dev set; a test set may have other labels."""
    table = read(CONTENT, "dev")
    assert error_of(table, ["x", "dd"], "dev", False).startswith(
        "x:2: label 'a' was not in training, which had x, dd"
    )
    table = check_labels(read(CONTENT, "test"), ["x", "y"], "test", False)
    assert table.labels == [None] * 5
    assert warnings()[-1].endswith(
        "; no label of the file was, and nothing is scored"
    )


def test_several_labels():
    content = 'text,label\na,a\nb,"a,c"\nc,\n'
    for set_type in ("dev", "test"):
        table = read(content, set_type, problem_type="multi_label")
        checked = check_labels(table, ["a"], set_type, False)
        assert checked.labels == [("a",), ("a", "c"), ()]
    known = [f"l{i}" for i in range(30)]
    message = error_of(table, known, "dev", False)
    assert message.startswith("x:2: ") and message.endswith(" l18, l19, …")


@pytest.mark.parametrize(
    "found, known, twins",
    [
        ("1.0 0.0", "0 1", {"1.0": "1", "0.0": "0"}),
        ("1 0", "0.0 1.0", {"1": "1.0", "0": "0.0"}),
        ("True False", "true false", {"True": "true", "False": "false"}),
        ("true false", "0 1", {"true": "1", "false": "0"}),
        ("1.0 0.0", "False True", {"1.0": "True", "0.0": "False"}),
        ("01 1.5", "0 1", {}),
        ("1.0", "1 x", {}),
        ("true", "0 1 2", {}),
        ("1.00", "1 1.0", {}),
    ],
)
def test_the_same_label_in_another_spelling(found, known, twins):
    assert compare(found.split(), known.split()).twins == twins


def test_twins_are_renamed():
    table = read("text,label\na,1.0\nb,0.0\n", "dev")
    checked = check_labels(table, ["0", "1"], "dev", True)
    assert checked.labels == ["1", "0"]
    rows = json_lines({"text": "a", "label": [1.0, 2]})
    table = read(rows, "dev", "jsonl", problem_type="multi_label")
    checked = check_labels(table, ["1", "2"], "dev", True)
    assert checked.labels == [("1", "2")]


def test_marks_of_dev_and_test(warnings):
    content = "text,label\na,0\nb,-1\nc,1\nd,?\n"
    dev = check_labels(read(content, "dev"), ["0", "1"], "dev", False)
    assert dev.labels == ["0", "1"] and dev.place(1) == "x:4"
    test = check_labels(read(content, "test"), ["0", "1"], "test", False)
    assert test.labels == ["0", None, "1", None]
    assert warnings() == [
        f"x: 1 of 4 rows has the label {mark!r}, which means that there is "
        f"none (row of line {line} first): left out"
        for mark, line in (("-1", 3), ("?", 5))
    ]
    table = read(content, "dev")
    assert error_of(table, ["0", "1"], "dev", True) == (
        "x:3: the label '-1', which means that there is none, under strict"
    )
    kept = check_labels(table, ["0", "1", "-1", "?"], "dev", True)
    assert kept is table
    named = check_labels(table, ["0", "1"], "dev", False, ["1"])
    assert named.labels == ["0", "-1", "?"]
    assert error_of(read("text,label\na,-1\n", "dev"), "01", "dev", False) == (
        "x: no row has a label"
    )


def test_numbers_that_fill_up_lists():
    rows = json_lines(
        {"text": "a", "label": [3, -1]}, {"text": "b", "label": [-1, -1]}
    )
    table = read(rows, "test", "jsonl", problem_type="multi_label")
    checked = check_labels(table, ["3", "5"], "test", False)
    assert checked.labels == [("3",), None]


def test_vectors_of_another_length():
    rows = json_lines({"text": "a", "label": [1, 0, 0]})
    table = read(rows, "dev", "jsonl", problem_type="multi_label")
    assert check_labels(table, ["0", "1", "2"], "dev", True).labels == [("0",)]
    assert error_of(table, ["0", "1", "2", "3"], "dev", False) == (
        "x:1: vectors of 3 labels, but training had 4"
    )


def test_of_several_labels_the_loss_is_that_of_the_others(warnings):
    content = 'text,label\nfirst text,"a,c"\nsecond text,b\n'
    table = read(content, "dev", problem_type="multi_label")
    check_labels(table, ["a", "b"], "dev", False)
    assert warnings()[-1].endswith("eval_loss is that of the other labels")
