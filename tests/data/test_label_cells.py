"""Labels in cells as other programs write them: read, or refused in one line.

Files of people's reports are in tests/reports.
"""

import json

import pytest
from absl import logging
from support.common import ROOT, json_lines

from bert_tf.data.labelled_table import TableSettings, infer_labels, read_sets
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")

REPORTS = ROOT / "tests" / "reports"
SEVERAL = {"problem_type": "multi_label"}


def read(content, format="csv", set_type="train", **settings):
    """The set of a file with this content."""
    with open("x", "w", encoding="utf-8") as writer:
        writer.write(content)
    settings[f"{set_type}_file"] = "x"
    (table,) = read_sets(TableSettings(**settings), format, [set_type]).values()
    return table


def csv_of(*labels, name="label"):
    rows = (f'text {i},"{x}"\n' for i, x in enumerate(labels))
    return f"text,{name}\n" + "".join(rows)


def json_of(*labels):
    return json_lines(
        *({"text": f"text {i}", "label": x} for i, x in enumerate(labels))
    )


@pytest.fixture
def infos(monkeypatch):
    """The messages of the level INFO."""
    lines = []
    monkeypatch.setattr(
        logging, "info", lambda text, *args: lines.append(text % args)
    )
    return lines


def error_of(*arguments, **settings):
    with pytest.raises(UserError) as caught:
        read(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------
# Files from reports.


def report(name, format, **settings):
    path = str(REPORTS / name)
    sets = read_sets(
        TableSettings(train_file=path, **settings), format, ["train"]
    )
    return sets["train"]


def test_a_list_of_python_in_a_cell():
    table = report("C08_list_repr.csv", "csv", label_column="labels", **SEVERAL)
    assert infer_labels(table, "multi_label") == [
        "anger",
        "fear",
        "joy",
        "love",
    ]
    assert table.labels[:3] == [("joy", "anger"), ("anger",), ("fear",)]


def test_a_vector_of_0_and_1():
    table = report(
        "C08_multihot.jsonl", "jsonl", label_column="labels", **SEVERAL
    )
    assert infer_labels(table, "multi_label") == ["0", "1", "2", "3"]
    rows = (REPORTS / "C08_multihot.jsonl").read_text().splitlines()
    for labels, row in zip(table.labels, map(json.loads, rows), strict=True):
        assert [*map(int, labels)] == [
            place for place, holds in enumerate(row["labels"]) if holds
        ]


def test_doccano_lists_of_one_label():
    table = report("C18_doccano.jsonl", "jsonl")
    assert {*table.labels} == {"positive", "negative"}
    assert len(table) == len(
        (REPORTS / "C18_doccano.jsonl").read_text().splitlines()
    )


def test_minus_one_is_no_label(warnings):
    table = report(
        "C07_snli_train.jsonl",
        "jsonl",
        text_column="premise",
        text_pair_column="hypothesis",
    )
    assert infer_labels(table, "single_label") == ["0", "1", "2"]
    rows = (REPORTS / "C07_snli_train.jsonl").read_text().splitlines()
    marked = [i for i, row in enumerate(rows) if '"label": -1' in row]
    assert len(table) == len(rows) - len(marked)
    (message,) = warnings()
    assert message.endswith(
        f"{len(marked)} of {len(rows)} rows have the label '-1', which means "
        f"that there is none (row of line {marked[0] + 1} first): left out; "
        "`missing_label` names such labels"
    )


def test_minus_one_in_several_columns():
    settings = {
        "text_column": "comment_text",
        "label_column": "toxic,severe_toxic,obscene,threat,insult,"
        "identity_hate",
        **SEVERAL,
    }
    path = str(REPORTS / "C17_test_minus1.csv")
    sets = read_sets(
        TableSettings(test_file=path, train_file=path, **settings),
        "csv",
        ["train", "test"],
    )
    labels = sets["test"].labels
    assert len(labels) == 20 and labels[1] is labels[3] is None
    assert labels[2] == ("toxic",) and len(labels[0]) == 6
    assert sets["train"].labels == [x for x in labels if x is not None]


# ---------------------------------------------------------------------------
# Lists.


@pytest.mark.parametrize(
    "cells",
    [
        ["['joy', 'anger']", "['joy']", "[]"],
        ["{'joy', 'anger'}", "{'joy'}", "set()"],
        ["('joy', 'anger')", "('joy',)", "()"],
        ["['joy' 'anger']", "['joy']", "[]"],
        ["[joy, anger]", "[joy]", "[]"],
        ["[np.str_('joy'), np.str_('anger')]", "['joy']", "[]"],
        ["['joy' 'anger']", "'joy'", "[]"],
    ],
)
def test_lists_in_cells(cells, infos):
    table = read(csv_of(*cells), **SEVERAL)
    assert table.labels == [("joy", "anger"), ("joy",), ()]
    assert any("without brackets and quotes" in line for line in infos)
    quoted = [cell.replace("'", '""') for cell in cells[:2]]
    if "np." not in cells[0]:
        table = read(csv_of(*quoted), **SEVERAL)
        assert table.labels == [("joy", "anger"), ("joy",)]


def test_lists_do_not_need_the_delimiter():
    cells = ["['a, b', 'c']", "['c']"]
    table = read(csv_of(*cells), label_delimiter="|", **SEVERAL)
    assert table.labels == [("a, b", "c"), ("c",)]


def test_an_empty_cell_beside_lists_is_missing(warnings):
    table = read(csv_of("['a', 'b']", "", "[]"), **SEVERAL)
    assert table.labels == [("a", "b"), ()]
    assert warnings() == [
        "x: 1 of 3 rows has no label (row of line 3 first): left out"
    ]


def test_what_cannot_be_understood_is_refused():
    assert error_of(csv_of("['a'", "b"), **SEVERAL) == (
        "x:2: \"['a'\" has brackets or quotes, and is not a list"
    )
    message = error_of(csv_of("a", "['b', 'c"))
    assert message.startswith("x:3: ") and "not a list" in message
    message = error_of(csv_of("[['a'], ['b']]", "b"), **SEVERAL)
    assert message.startswith("x:2: ")


@pytest.mark.parametrize(
    "labels, found",
    [
        ([["a"], ["b"], []], ["a", "b"]),
        (["['a']", '["b"]', "[]"], ["a", "b"]),
        ([{"a": 1, "b": 0}, {"a": False, "b": True}], ["a", "b"]),
        ([{"cats": {"a": 1.0, "b": 0.0}}, {"cats": {"b": 1}}], ["a", "b"]),
        ([{"choices": ["a"]}, {"choices": ["b"]}], ["a", "b"]),
        ([[1, 0, 0], [0, 0, 1]], ["0", "2"]),
        ([[1, 0], [0, 1]], ["0", "1"]),
        (['"a"', "'b'"], ["a", "b"]),
    ],
)
def test_one_label(labels, found):
    assert read(json_of(*labels), "jsonl").labels == found
    cells = [str(x).replace('"', '""') for x in labels]
    assert read(csv_of(*cells)).labels == found


@pytest.mark.parametrize(
    "labels, place",
    [
        ([["a"], ["a", "b"]], "x:2: 2 labels"),
        (["a", "['a', 'b']"], "x:2: 2 labels"),
        ([{"a": 1, "b": 0}, {"a": 1, "b": 1}], "x:2: 2 labels"),
        ([[1, 0, 0], [0, 1, 1]], "x:2: 2 labels"),
    ],
)
def test_several_labels_are_another_problem(labels, place):
    message = error_of(json_of(*labels), "jsonl")
    assert message.startswith(place)
    assert message.endswith("; problem_type=multi_label reads several")


# ---------------------------------------------------------------------------
# Vectors and objects.


@pytest.mark.parametrize(
    "cells",
    [
        ["[1, 0, 0, 1]", "[0, 1, 0, 0]", "[0, 0, 0, 0]"],
        ["[1 0 0 1]", "[0 1 0 0]", "[0 0 0 0]"],
        ["[1. 0. 0. 1.]", "[0. 1. 0. 0.]", "[0. 0. 0. 0.]"],
        ["1,0,0,1", "0,1,0,0", "0,0,0,0"],
        ["1 0 0 1", "0 1 0 0", "0 0 0 0"],
        ["[True, False, False, True]", "[0, 1, 0, 0]", "[0, 0, 0, 0]"],
    ],
)
def test_vectors(cells):
    table = read(csv_of(*cells), **SEVERAL)
    assert table.labels == [("0", "3"), ("1",), ()]
    assert infer_labels(table, "multi_label") == ["0", "1", "2", "3"]


def test_vectors_in_json():
    rows = json_of([1, 0, 0], [0.0, 1.0, 1.0], [True, False, False], None)
    assert read(rows, "jsonl", **SEVERAL).labels == [("0",), ("1", "2"), ("0",)]
    rows = json_of([1, 0, 0], [-1, -1, -1], [0, 1, 0], [0, -1, 1], [0, None, 1])
    assert read(rows, "jsonl", **SEVERAL).labels == [("0",), ("1",)]
    found = read(rows, "jsonl", "test", **SEVERAL).labels
    assert found == [("0",), None, ("1",), None, None]


@pytest.mark.parametrize("other", [[1, 0], [1, 0, 0, 0], ["a"], [1, 2, 3, 4]])
def test_a_vector_of_another_length(other):
    message = error_of(json_of([1, 0, 0], [0, 1, 1], other), "jsonl", **SEVERAL)
    assert message.startswith(f"x:3: {[*map(str, other)]} in ")
    assert message.endswith("but the vector in line 1 has 3")


def test_a_vector_of_other_numbers():
    message = error_of(json_of([1, 0, 0], [0, 2, 1]), "jsonl", **SEVERAL)
    assert message.startswith("x:2: '2' in 1 of ")
    message = error_of(json_of([0.9, 0.1], [0.2, 0.8]), "jsonl", **SEVERAL)
    assert message.startswith("x:1: ") and "probabilities" in message


def test_ids_are_no_vectors():
    rows = json_of([27], [3, 10], [0, 1], [1], [0])
    table = read(rows, "jsonl", **SEVERAL)
    assert table.labels == [("27",), ("3", "10"), ("0", "1"), ("1",), ("0",)]


def test_ids_filled_up_with_minus_one(infos):
    rows = json_of([3, 1, -1], [0, -1, -1], [-1, -1, -1])
    assert read(rows, "jsonl", **SEVERAL).labels == [("3", "1"), ("0",)]
    assert infos[-1] == (
        "x: -1 and -100 in lists of labels are taken for no label (['3', '1', "
        "'-1'] in line 1 first)"
    )


def test_a_list_of_nothing_is_missing():
    rows = json_of(["a", "b"], [None], [], ["b", None])
    assert read(rows, "jsonl", **SEVERAL).labels == [("a", "b"), (), ("b",)]


@pytest.mark.parametrize(
    "labels",
    [
        [{"a": True, "b": False}, {"a": 1, "b": 1}, {"a": 0.0, "b": 0.0}],
        [{"cats": {"a": 1, "b": 0}}, {"cats": {"a": 1, "b": 1}}, {"a": 0}],
        [{"choices": ["a"]}, {"choices": ["a", "b"]}, {"choices": []}],
    ],
)
def test_objects(labels):
    table = read(json_of(*labels), "jsonl", **SEVERAL)
    assert table.labels == [("a",), ("a", "b"), ()]
    assert infer_labels(table, "multi_label") == ["a", "b"]
    cells = [json.dumps(x).replace('"', '""') for x in labels]
    assert read(csv_of(*cells), **SEVERAL).labels == table.labels
    assert read(csv_of(*map(str, labels)), **SEVERAL).labels == table.labels


def test_objects_with_other_values():
    message = error_of(json_of({"a": 0.93, "b": 0}), "jsonl", **SEVERAL)
    assert message.startswith("x:1: '0.93' in a of ")
    message = error_of(json_of({"a": 1, "b": 0}, "a"), "jsonl", **SEVERAL)
    assert message.startswith("x:2: 'a' in ")
    message = error_of(json_of({"a": {"b": 1}}), "jsonl", **SEVERAL)
    assert message == 'x:1: "label" must be a list of texts or numbers'


# ---------------------------------------------------------------------------
# Columns.


def test_a_column_for_each_class():
    content = "text,bad,good\na,1,0\nb,0,1\nc,0,0\n"
    table = read(content, label_column="bad,good")
    assert table.labels == ["bad", "good"]
    message = error_of(content + "d,1,1\n", label_column="bad,good")
    assert message.startswith("x:5: 2 labels ")
    message = error_of(content, label_column="bad,fine")
    assert "no such column" in message
    message = error_of(json_of({"result": "POS", "score": 0.9}), "jsonl")
    assert message.startswith("x:1: 'POS' in result of ")


@pytest.mark.parametrize("yes", ["1", "x", "X", "yes", "TRUE"])
def test_only_what_holds_is_marked(yes, infos):
    content = f"text,bad,rude\na,{yes},{yes}\nb,,{yes}\nc,,\n"
    settings = {"label_column": "bad,rude", **SEVERAL}
    table = read(content, **settings)
    assert table.labels == [("bad", "rude"), ("rude",), ()]
    assert any("an empty cell does" in line for line in infos)
    if yes == "1":  # Perhaps the last row has no labels yet.
        found = read(content, set_type="test", **settings).labels
        assert found == [("bad", "rude"), None, None]


def test_marks_in_columns(warnings):
    settings = {"label_column": "bad,rude", **SEVERAL}
    content = "text,bad,rude\na,1,0\nb,-1,-1\nc,?,1\nd,0,1\ne,nan,0\nf,-1.0,1\n"
    table = read(content, **settings)
    assert table.labels == [("bad",), ("rude",)]
    assert warnings() == [
        "x: 4 of 6 rows have no label (row of line 3 first): left out"
    ]
    found = read(content, set_type="test", **settings).labels
    assert found == [("bad",), None, None, ("rude",), None, None]
    message = error_of(content, missing_label=["?"], **settings)
    assert message.startswith("x:3: '-1' in column bad of ")
    named = content.replace("?", "9")
    assert error_of(named, **settings).startswith("x:4: '9' in column bad of ")
    table = read(named, missing_label=["9", "-1", "nan"], **settings)
    assert table.labels == [("bad",), ("rude",)]


def test_minus_one_may_mean_no():
    settings = {"label_column": "bad,rude", **SEVERAL}
    content = "text,bad,rude\na,1,-1\nb,-1,-1\n"
    assert error_of(content, **settings).startswith(
        "x:2: 1 and -1 in label_column=bad,rude, and no cell of the file is 0; "
    )
    found = read(content, set_type="test", missing_label=["-1"], **settings)
    assert found.labels == [None, None]


# ---------------------------------------------------------------------------
# Marks.


@pytest.mark.parametrize("mark", ["-1", "?", "-", "null", "N/A", "<NA>", "\\N"])
def test_marks_in_one_column(mark, warnings):
    labels = ["0", "1", "2"] * 3
    content = csv_of(*labels, mark)
    for settings in ({}, SEVERAL):
        table = read(content, **settings)
        assert len(table) == 9
        message = error_of(content, strict=True, **settings)
        assert message.startswith("x:11: ") and message.endswith("strict")
        kept = read(content, missing_label=[], **settings)
        assert len(kept) == 10
    assert f"1 of 10 rows has the label {mark!r}" in warnings()[0]


def test_named_marks_replace_the_usual_ones(warnings):
    content = csv_of("a", "b", "?", "unsure")
    table = read(content, missing_label=["unsure"])
    assert table.labels == ["a", "b", "?"]
    assert warnings()[0] == (
        "x:4: 1 of 4 rows has the label '?', which counts as a label like "
        "others, because `missing_label` does not name it"
    )
    number = len(warnings())
    assert len(read(content, missing_label=[])) == 4
    assert len(read(content, missing_label=["?", "unsure"])) == 2
    assert not any("like others" in line for line in warnings()[number:])


def test_marks_of_numbers(warnings):
    content = csv_of("1", "-1", "?", "", "NaN", "-", "2.5")
    settings = {"problem_type": "regression"}
    for set_type in ("train", "dev"):
        found = read(content, set_type=set_type, **settings)
        assert found.labels == [1.0, -1.0, 2.5]
    assert len(warnings()) == 6
    found = read(content, set_type="test", **settings)
    assert found.labels == [1.0, -1.0, None, None, None, None, 2.5]
    named = {**settings, "missing_label": ["-1"]}
    assert read(csv_of("1", "-1.0", "2"), **named).labels == [1.0, 2.0]
    message = error_of(content, **named)
    assert message.startswith("x:4: label '?' ")
    # Hugging Face's test sets have nothing else.
    found = read(csv_of("-1", "-1"), set_type="test", **settings)
    assert found.labels == [None, None]


def test_sentiment_from_minus_one_to_one():
    labels = ["-1", "0", "1"] * 3
    assert error_of(csv_of(*labels)) == (
        "x:2: 3 of 9 rows have the label '-1': missing_label=-1 leaves them "
        "out, and an empty missing_label makes it a label like others"
    )
    table = read(csv_of(*labels), missing_label=[])
    assert infer_labels(table, "single_label") == ["-1", "0", "1"]
    table = read(csv_of(*labels), missing_label=["-1"])
    assert infer_labels(table, "single_label") == ["0", "1"]
    table = read(csv_of("-1", *["0", "1"] * 3))
    assert infer_labels(table, "single_label") == ["0", "1"]


def test_words_that_may_be_classes(warnings):
    labels = ["None", "mild", "severe"] * 3
    assert error_of(csv_of(*labels)).startswith("x:2: 3 of 9 rows have ")
    table = read(csv_of("None", "spam", "None"))
    assert infer_labels(table, "single_label") == ["None", "spam"]
    assert warnings()[-1] == (
        "x:2: 2 of 3 rows have the label 'None', which counts as a label like "
        "others; if it means that there is none, `missing_label`=None leaves "
        "them out"
    )


def test_the_same_number_in_two_spellings():
    rows = json_of(1, 1.0, "1", 0, 0.0)
    table = read(rows, "jsonl")
    assert table.labels == ["1", "1", "1", "0", "0"]
    assert read(json_of(1, 1.0, 2.0, 0), "jsonl").labels == ["1", "1", "2", "0"]
    assert read(csv_of("1.0", "0.0")).labels == ["1.0", "0.0"]
    assert read(csv_of("1.0", "1", "x")).labels == ["1.0", "1", "x"]


# ---------------------------------------------------------------------------
# Another delimiter.


@pytest.mark.parametrize("sign", ["|", ";"])
def test_the_likely_delimiter_is_named(sign, warnings):
    cells = [f"joy{sign}anger", "joy", f"anger{sign}fear"]
    message = error_of(csv_of(*cells), **SEVERAL)
    assert message.startswith("x:2: label 'joy")
    assert message.endswith(f"is it label_delimiter={sign}")
    read(csv_of(*cells), label_delimiter="/", **SEVERAL)
    # `plausibility` says it, and nobody else.
    (warning,) = warnings()
    assert f"several with {sign!r} between them" in warning
    table = read(csv_of(*cells), label_delimiter=sign, **SEVERAL)
    assert table.labels == [("joy", "anger"), ("joy",), ("anger", "fear")]


def test_an_error_comes_without_notes(infos):
    error_of(csv_of("['a', 'b']", "['c']"))
    error_of(csv_of("[1, 0, 1]", "[0, 1]"), **SEVERAL)
    assert infos == []


def test_signs_in_labels_are_no_delimiters():
    cells = ["rock; hard", "folk", "jazz"]
    table = read(csv_of(*cells), **SEVERAL)
    assert table.labels == [("rock; hard",), ("folk",), ("jazz",)]
    table = read(csv_of("a;b,c", "d"), **SEVERAL)
    assert table.labels == [("a;b", "c"), ("d",)]


def test_spaces_between_labels_are_said(warnings):
    read(csv_of("haze primary", "clear primary", "haze"), **SEVERAL)
    assert warnings()[-1].endswith("is it `label_delimiter`=' '")
    number = len(warnings())
    read(csv_of("very good", "bad", "fine"), **SEVERAL)
    assert len(warnings()) == number


def test_answers_that_were_not_accepted(warnings):
    """Prodigy's files: a rejected label does not hold."""
    rows = [
        {"text": f"t{i}", "label": label, "answer": answer}
        for i, (label, answer) in enumerate(
            [("a", "accept"), ("b", "accept"), ("a", "reject"), ("b", "ignore")]
        )
    ]
    assert read(json_lines(*rows), "jsonl").labels == ["a", "b"]
    assert warnings()[0] == (
        "x: 2 of 4 rows have the answer reject or ignore (row of line 3 "
        "first): without a label"
    )
    found = read(json_lines(*rows), "jsonl", "test").labels
    assert found == ["a", "b", None, None]
    rows[0]["answer"] = "the answer to a question"
    assert len(read(json_lines(*rows), "jsonl")) == 4
    accepted = [
        {"text": "t", "accept": labels, "answer": "accept"}
        for labels in (["a", "b"], ["b"], [])
    ]
    table = read(
        json_lines(*accepted), "jsonl", label_column="accept", **SEVERAL
    )
    assert table.labels == [("a", "b"), ("b",), ()]


def test_numbers_that_mean_nothing_in_a_test_file_are_said(infos):
    rows = csv_of("-1", "-1")
    table = read(rows, "csv", "test", problem_type="regression")
    assert table.labels == [None, None]
    assert infos == [
        "x: 2 of 2 rows have the label '-1', which means that there is none: "
        "not scored"
    ]
