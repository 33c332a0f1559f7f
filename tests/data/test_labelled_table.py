"""People's own files: what is read from them, and what is said about them."""

import pickle

import pytest
from support.common import json_lines

from bert_tf.data import labelled_table
from bert_tf.data.input_example import InputExample
from bert_tf.data.labelled_table import TableSettings, read_sets
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")

ROWS = "id,text,label\n1,one,a\n2,two,b\n3,three,a\n"


def write(content, name="x"):
    if isinstance(content, str):
        content = content.encode()
    with open(name, "wb") as writer:
        writer.write(content)
    return name


def read(content, format="csv", set_type="train", **settings):
    """The set of a file with this content."""
    settings[f"{set_type}_file"] = write(content)
    (table,) = read_sets(TableSettings(**settings), format, [set_type]).values()
    return table


def texts(table):
    return [example.text_a for example in table]


def error_of(*arguments, **settings):
    with pytest.raises(UserError) as caught:
        read(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------
# Cells.


def test_csv_becomes_examples():
    table = read(ROWS)
    assert len(table) == 3
    assert table[0] == InputExample("train-0", "one", None, "a")
    assert list(table) == [table[0], table[1], table[2]]
    assert table[-1].guid == "train-2"
    assert table[1:] == [table[1], table[2]]
    assert [table.place(i) for i in range(3)] == ["x:2", "x:3", "x:4"]
    assert table.labels == ["a", "b", "a"]
    with pytest.raises(IndexError):
        table[3]


def test_pairs_and_ids():
    content = "a,b,label,key\none,,x, 7  8\ntwo,zwei,y,\n"
    table = read(
        content, text_column="a", text_pair_column="b", id_column="key"
    )
    assert list(table) == [
        InputExample("7 8", "one", "", "x"),
        InputExample("train-1", "two", "zwei", "y"),
    ]


def test_a_second_text_may_be_left_out_of_json(warnings):
    rows = (
        '{"text": "a", "b": "c", "label": "x"}\n{"text": "d", "label": "y"}\n'
    )
    table = read(rows, "jsonl", text_pair_column="b")
    assert [example.text_b for example in table] == ["c", ""]
    assert warnings() == [
        "x: 1 of 2 rows has no second text (row of line 2 first): read as "
        "single texts"
    ]
    assert '"pair"' in error_of(rows, "jsonl", text_pair_column="pair")


@pytest.mark.parametrize(
    "format, content",
    [
        ("csv", "text,label\none,x\ntwo,y\n"),
        ("jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'),
    ],
)
def test_ids_are_needed_where_predictions_are_written(format, content):
    """Only the test file has the column in what Kaggle gives to people."""
    for set_type in ("train", "dev"):
        table = read(content, format, set_type, id_column="key")
        assert table[0].guid == f"{set_type}-0"
    assert "key" in error_of(content, format, "test", id_column="key")
    # The rows of this test set come from the training file.
    with open("all", "w") as writer:
        writer.write(content)
    settings = TableSettings(
        train_file="all", id_column="key", test_fraction=0.5
    )
    with pytest.raises(UserError, match="key"):
        read_sets(settings, format, ["train", "test"])


def test_what_is_missing(warnings):
    """Empty cells, and what NumPy writes for them."""
    rows = "text,label\nNA,None\nnull,007\nnan,1.0\nx,NaN\n,1\n"
    table = read(rows, missing_label=[])
    assert table.labels == ["None", "007", "NaN"]
    assert warnings() == [
        "x: 2 of 5 rows have no text (row of line 4 first): left out",
    ]
    table = read(rows, missing_label=["NaN"])
    assert table.labels == ["None", "007"]
    assert warnings()[3:] == [
        "x: 1 of 5 rows has the label 'NaN', which means that there is none "
        "(row of line 5 first): left out; `missing_label` names such "
        "labels",
    ]
    assert read(rows.replace("None", "no")).labels == ["no", "007"]
    assert warnings()[-2:] == [
        "x: 2 of 5 rows have no text (row of line 4 first): left out",
        "x: 1 of 5 rows has no label (row of line 5 first): left out",
    ]
    rows = '{"text": NaN, "label": "a"}\n{"text": "b", "label": NaN}\n'
    table = read(rows, "jsonl", set_type="test")
    assert texts(table) == ["", "b"] and table.labels == ["a", None]


def test_empty_second_texts_are_counted(warnings):
    content = "text,pair,label\na,b,x\nc,,y\n"
    table = read(content, text_pair_column="pair")
    assert [example.text_b for example in table] == ["b", ""]
    assert warnings() == [
        "x: 1 of 2 rows has no second text (row of line 3 first): read as "
        "single texts"
    ]
    message = "x:3: no second text in text_pair_column=pair, under strict"
    found = error_of(content, text_pair_column="pair", strict=True)
    assert found == message


def test_the_label_is_not_the_text():
    message = "label_column=text: this is the text_column"
    assert error_of("text\na\n", label_column="text") == message


def test_mean_and_deviation():
    settings = labelled_table.TableSettings(problem_type="regression")
    table = read("text,label\na,1\nb,3\n", problem_type="regression")
    found = labelled_table.mean_and_deviation(table, settings)
    assert found == {"mean": 2.0, "deviation": 1.0}
    for labels, why in (
        ([5.0, 5.0], "all 5.0"),
        ([-1e308, 1e308], "too large"),
    ):
        with pytest.raises(UserError) as caught:
            labelled_table.mean_and_deviation(
                table.with_labels(labels), settings
            )
        assert str(caught.value) == (
            "x: the 2 numbers to train on in label_column=label are "
            f"{why}: there is nothing to learn"
        )


def test_texts_are_raw_and_labels_fit_a_line():
    table = read('text,label\n"  a\t""\r\n b ", x\nc,"y\n  z"\n')
    assert texts(table) == ['  a\t"\r\n b ', "c"]
    assert table.labels == ["x", "y z"]


def test_sets_travel_between_processes():
    table = pickle.loads(pickle.dumps(read(ROWS)))
    assert table.place(2) == "x:4" and table[2].text_a == "three"


# ---------------------------------------------------------------------------
# Errors.


@pytest.mark.parametrize(
    "content, message",
    [
        ("text,label\n", "x: no examples in this file"),
        ("text,label\n\n\n", "x: no examples in this file"),
        ("text,label\n,a\n", "x: no row has a text and a label"),
        (
            "id,words,label\n1,a,x\n",
            "text_column=text: x has no such column; it has id, words, label",
        ),
        (
            "text,star\na,1\n",
            "label_column=label: x has no such column; it has text, star",
        ),
        (
            "text,label\na,x \nb, x\n",
            "x: all 2 rows have the label 'x' in label_column=label: there "
            "is nothing to learn",
        ),
    ],
)
def test_wrong_files_are_named(content, message):
    assert error_of(content) == message


def test_wrong_json_is_named():
    assert error_of("", "jsonl") == "x: no examples in this file"
    content = '{"text": "a", "label": ["x", "y"]}\n'
    message = (
        "x:1: 2 labels in label_column=label: 'x', 'y'; "
        "problem_type=multi_label reads several"
    )
    assert error_of(content, "jsonl") == message


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"problem_type": "x"}, "problem_type=x: must be one of "),
        ({"delimiter": "||"}, "delimiter=||: must be one ASCII character"),
        (
            {"test_fraction": -0.1},
            "test_fraction=-0.1: must be at least 0 and below 1",
        ),
        ({"label_delimiter": ""}, "label_delimiter=: must not be empty"),
        (
            {"header": False},
            "text_column=text: with header=false columns are numbers from 1 on",
        ),
        (
            {"header": False, "text_column": "4", "label_column": "3"},
            "text_column=4: x has no such column; it has 1, 2, 3",
        ),
        (
            {"problem_type": "multi_label", "label_column": "label,bad"},
            "label_column=label,bad: x has no column bad; it has id, text, "
            "label",
        ),
    ],
)
def test_wrong_settings_are_named(settings, message):
    assert error_of(ROWS, **settings).startswith(message)


# ---------------------------------------------------------------------------
# Rows without a text or a label.

WITH_GAPS = 'text,label\na,x\n,y\n"\n ",x\nb,\nc,y\n'


def test_rows_without_text_or_label_are_left_out_of_training(warnings):
    table = read(WITH_GAPS)
    assert [example.guid for example in table] == ["train-0", "train-4"]
    assert table.place(1) == "x:7"
    assert warnings() == [
        "x: 2 of 5 rows have no text (row of line 3 first): left out",
        "x: 1 of 5 rows has no label (row of line 6 first): left out",
    ]


def test_each_row_of_dev_and_test_gets_a_prediction(warnings):
    table = read(WITH_GAPS, set_type="dev")
    assert texts(table) == ["a", "", "\n ", "c"]
    assert warnings() == [
        "x: 2 of 5 rows have no text (row of line 3 first): kept, to be "
        "predicted",
        "x: 1 of 5 rows has no label (row of line 6 first): left out",
    ]
    table = read(WITH_GAPS, set_type="test")
    assert len(table) == 5 and table.labels == ["x", "y", "x", None, "y"]
    assert len(warnings()) == 3
    table = read("text\na\nb\n", set_type="test")
    assert table.labels == [None, None]


@pytest.mark.parametrize(
    "content, message",
    [
        (WITH_GAPS, "x:3: no text in text_column=text, under strict"),
        (
            "text,label\na,x\nb,\nc,y\n",
            "x:3: no label in label_column=label, under strict",
        ),
        (
            "text,label\n1,x\n2.5,y\n",
            "x:2: 2 of 2 rows have a number in text_column=text: is this the "
            "text?, under strict",
        ),
    ],
)
def test_strict(content, message, warnings):
    assert error_of(content, strict=True) == message
    assert not warnings()
    read(content)
    assert warnings()


@pytest.mark.parametrize("cell, warned", [("7", True), ("1_0", False)])
def test_texts_that_are_numbers(cell, warned, warnings):
    read(f"a,text,label\nw,1,x\n,{cell},y\n", text_pair_column="a")
    wrong = (
        "x: 2 of 2 rows have a number in text_column=text (row of line 2 "
        "first): is this the text?"
    )
    assert (wrong in warnings()) == warned
    read(
        f"text,a,label\nw,1,x\nv,{cell},y\n",
        text_pair_column="a",
    )
    wrong = "2 of 2 rows have a number in text_pair_column=a"
    assert any(wrong in warning for warning in warnings()) == warned


# ---------------------------------------------------------------------------
# Other labels.


def test_regression():
    table = read("text,label\na, 1\nb,-2.5e1\n", problem_type="regression")
    assert table.labels == [1.0, -25.0]
    rows = json_lines({"text": "a", "label": 1}, {"text": "b", "label": "2"})
    table = read(rows, "jsonl", problem_type="regression")
    assert table.labels == [1.0, 2.0]


@pytest.mark.parametrize("cell", ["x", "-nan", "inf", "1_0", "1.2.3"])
def test_a_value_must_be_a_finite_number(cell, warnings):
    content = f"text,label\na,1\nb,{cell}\nc,\n"
    settings = {"problem_type": "regression"}
    message = (
        f"x:3: label '{cell}' in label_column=label is not a finite number"
    )
    assert error_of(content, **settings) == message
    assert error_of(content, set_type="dev", **settings) == message
    table = read(content, set_type="test", **settings)
    assert table.labels == [1.0, None, None]
    assert warnings() == [
        "x: 1 of 3 rows has a label that is not a number (row of line 3 "
        "first): unknown"
    ]


def test_all_numbers_the_same():
    assert error_of("text,label\na,3\nb,3.0\n", problem_type="regression") == (
        "x: all 2 rows have the label 3.0 in label_column=label: there is "
        "nothing to learn"
    )


def test_several_labels_in_a_cell():
    content = 'text,label\na," y, x ,y,"\nb,\nc,z  z\n'
    table = read(content, problem_type="multi_label")
    assert table.labels == [("y", "x"), (), ("z z",)]
    table = read(
        "text,label\na,y|x\nb,\n",
        problem_type="multi_label",
        label_delimiter="|",
        set_type="test",
    )
    assert table.labels == [("y", "x"), ()]
    table = read("text\na\n", problem_type="multi_label", set_type="test")
    assert table.labels == [None]


def test_labels_that_json_does_not_tell():
    """null is a label that is not known; an empty text says that none is."""
    rows = json_lines(
        {"text": "a", "label": ["x", "y"]},
        {"text": "b", "label": None},
        {"text": "c", "label": ""},
    )
    settings = {"problem_type": "multi_label"}
    assert read(rows, "jsonl", **settings).labels == [("x", "y"), ()]
    rows += json_lines({"text": "d"})
    table = read(rows, "jsonl", "test", **settings)
    assert table.labels == [("x", "y"), None, (), None]
    table = read(rows.replace('["x", "y"]', "1"), "jsonl", "test")
    assert table.labels == ["1", None, None, None]


def test_one_of_two_label_columns_is_a_mistake():
    settings = {"problem_type": "multi_label", "label_column": "bad, rude"}
    assert error_of("text,bad\na,1\n", set_type="test", **settings) == (
        "label_column=bad, rude: x has no column rude; it has text, bad"
    )
    rows = json_lines({"text": "a", "bad": 1}, {"text": "b"})
    assert read(rows, "jsonl", "test", **settings).labels == [None, None]


def test_lists_of_labels_in_json():
    rows = json_lines(
        {"text": "a", "label": ["y z", 1, "y z", True]},
        {"text": "b", "label": []},
        {"text": "c", "label": None},
        {"text": "d", "label": "u, v"},
    )
    table = read(rows, "jsonl", problem_type="multi_label")
    assert table.labels == [("y z", "1", "true"), (), ("u", "v")]
    rows = json_lines({"text": "a", "label": ["y, z"]})
    assert error_of(rows, "jsonl", problem_type="multi_label") == (
        "x:1: label 'y, z' has label_delimiter=, in it; name another delimiter"
    )
    # A column of empty cells in a test set says nothing.
    blank = "text,label\na,\nb,\n"
    table = read(blank, set_type="test", problem_type="multi_label")
    assert table.labels == [None, None]
    rows = json_lines({"text": "a", "label": [["x"]]})
    assert error_of(rows, "jsonl", problem_type="multi_label") == (
        'x:1: "label" must be a list of texts or numbers'
    )


def test_label_columns_keep_their_order(warnings):
    settings = {"problem_type": "multi_label", "label_column": "z,b,a"}
    table = read("text,a,b,z\nx,0,1,1\ny,0,1,0\n", **settings)
    labels = labelled_table.infer_labels(table, "multi_label")
    assert labels == ["z", "b", "a"]
    assert warnings() == ["x: no row has the label a"]


def test_a_column_for_each_label():
    settings = {"problem_type": "multi_label", "label_column": "bad, rude"}
    content = "text,bad,rude\na,1,TRUE\nb,0.0,1.0\nc, false,0\n"
    table = read(content, **settings)
    assert table.labels == [("bad", "rude"), ("rude",), ()]
    rows = json_lines(
        {"text": "a", "bad": 1, "rude": False},
        {"text": "b", "bad": "0", "rude": 0.0},
    )
    assert read(rows, "jsonl", **settings).labels == [("bad",), ()]
    content = "text,bad,rude\na,1,1\nb,2,0\nc,,0\n"
    message = "{}: {} in column bad of label_column=bad, rude: must be 0 or 1"
    assert error_of(content, **settings) == message.format("x:3", "'2'")
    content = "text,bad,rude\na,1,1\nb,,0\nc,0,1\n"
    assert read(content, **settings).labels == [("bad", "rude"), ("rude",)]
    content = "text,bad,rude\na,1,1\nb,,0\n"
    table = read(content, set_type="test", **settings)
    assert table.labels == [("bad", "rude"), None]
    assert read("text\na\n", set_type="test", **settings).labels == [None]
    # A column of that name comes first.
    content = 'text,"bad, rude"\na,u\nb,"u,v"\n'
    assert read(content, **settings).labels == [("u",), ("u", "v")]


@pytest.mark.parametrize(
    "rows, what",
    [
        ("a,\nb,\n", "no label"),
        ("a,x\nb,x\n", "the label 'x'"),
        ('a,"x,y"\nb,"y,x"\n', "the labels ('x', 'y')"),
    ],
)
def test_nothing_to_learn_from_several_labels(rows, what):
    assert error_of("text,label\n" + rows, problem_type="multi_label") == (
        f"x: all 2 rows have {what} in label_column=label: there is nothing "
        "to learn"
    )


def test_one_label_that_some_rows_lack():
    table = read("text,label\na,x\nb,\n", problem_type="multi_label")
    message = (
        "x: problem_type=multi_label needs at least two labels, and the only "
        "one is 'x'; use single_label for one"
    )
    with pytest.raises(UserError) as caught:
        labelled_table.infer_labels(table, "multi_label")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "labels, expected",
    [
        (["b", "a", "b"], ["a", "b"]),
        (["10", "9", "-1.5"], ["-1.5", "9", "10"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["1.0", "1", "01"], ["01", "1", "1.0"]),
    ],
)
def test_the_order_of_labels(labels, expected):
    rows = "".join(f"word,{label}\n" for label in labels)
    table = read("text,label\n" + rows)
    assert labelled_table.infer_labels(table, "single_label") == expected
    table = read("text,label\n" + rows, problem_type="multi_label")
    assert labelled_table.infer_labels(table, "multi_label") == expected


# ---------------------------------------------------------------------------
# Splits.


@pytest.mark.parametrize("problem_type", labelled_table.PROBLEM_TYPES)
def test_splits_are_stratified(problem_type):
    rows = "".join(f"text {i},{i % 2}\n" for i in range(100))
    settings = TableSettings(
        train_file=write("text,label\n" + rows),
        problem_type=problem_type,
        dev_fraction=0.2,
        test_fraction=0.1,
    )
    found = read_sets(settings, "csv", ["train", "dev", "test"])
    for name, table in found.items():
        assert table.set_type == name and table.path == "x"
        for example in table:
            assert example.guid == f"{name}-{example.text_a.split()[1]}"
        number = {"train": 35, "dev": 10, "test": 5}[name]
        assert len({*table.labels}) == 2
        assert all(
            abs(table.labels.count(label) - number) <= 1
            for label in table.labels
        )


def test_rows_that_are_left_out_are_in_no_set():
    content = "text,label\n" + "text 0,a\n,a\ntext 2,b\ntext 3,\n" * 10
    settings = TableSettings(
        train_file=write(content), dev_fraction=0.2, test_fraction=0.1
    )
    found = read_sets(settings, "csv", ["train", "dev", "test"])
    assert [len(table) for table in found.values()] == [14, 4, 2]
    for table in found.values():
        for index, example in enumerate(table):
            number = int(example.guid.rpartition("-")[2])
            assert table.place(index) == f"x:{number + 2}"
            assert number % 4 in (0, 2)


def test_files_of_their_own():
    names = {
        f"{name}_file": write(ROWS.replace("one", name), name)
        for name in ("train", "dev", "test")
    }
    found = read_sets(TableSettings(**names), "csv", ["test", "train", "dev"])
    assert list(found) == ["test", "train", "dev"]
    for name, table in found.items():
        assert table[0] == InputExample(f"{name}-0", name, None, "a")
        assert table.set_type == table.path == name
