"""People's own files: what is read from them, and what is said about them."""

import csv
import gzip
import io
import json
import math
import pickle
import string

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bert_tf.data import tables
from bert_tf.data.features import InputExample
from bert_tf.data.tables import TableSettings, read_sets
from bert_tf.errors import UserError

ROWS = "id,text,label\n1,one,a\n2,two,b\n3,three,a\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Files have short names, as errors show them."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings(caplog):
    return lambda: [record.getMessage() for record in caplog.records]


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


def json_lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


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


@pytest.mark.parametrize(
    "content, format, settings, expected",
    [
        ("text,label\nNA,None\nnull,007\nnan,1.0\n", "csv", {}, "NA null nan"),
        (ROWS.replace(",", "\t"), "tsv", {}, "one two three"),
        (ROWS.replace(",", "\t"), "csv", {"delimiter": "\\t"}, "one two three"),
        (ROWS.replace(",", ";"), "csv", {"delimiter": ";"}, "one two three"),
        (ROWS, "tsv", {"delimiter": ","}, "one two three"),
        (ROWS.replace("\n", "\r\n"), "csv", {}, "one two three"),
        (ROWS.replace("\n", "\r"), "csv", {}, "one two three"),
        (ROWS + "\n\r\n\n", "csv", {}, "one two three"),
        (ROWS.rstrip(), "csv", {}, "one two three"),
        (b"\xef\xbb\xbf" + b"text,label\na,x\nb,y", "csv", {}, "a b"),
        (
            "text,label\né,x\nß,y".encode("latin-1"),
            "csv",
            {"encoding": "latin-1"},
            "é ß",
        ),
        (
            "text,label\né,x\nß,y".encode("utf-16"),
            "csv",
            {"encoding": "utf-16"},
            "é ß",
        ),
        (
            "a,x\nb,y\n",
            "csv",
            {"header": False, "text_column": "1", "label_column": "2"},
            "a b",
        ),
    ],
)
def test_kinds_of_files(content, format, settings, expected):
    table = read(content, format, **settings)
    assert texts(table) == expected.split()


def test_only_the_empty_cell_is_missing():
    table = read("text,label\nNA,None\nnull,007\nnan,1.0\n")
    assert table.labels == ["None", "007", "1.0"]


def test_tsv_knows_no_quotes():
    table = read('text\tlabel\r\n"a\tx\r\nb" \r c\t"y"\r\n\r\n', "tsv")
    assert texts(table) == ['"a', 'b" \r c']
    assert table.labels == ["x", '"y"']
    assert table.place(1) == "x:3"


def test_texts_are_raw_and_labels_fit_a_line():
    table = read('text,label\n"  a\t""\r\n b ", x\nc,"y\n  z"\n')
    assert texts(table) == ['  a\t"\r\n b ', "c"]
    assert table.labels == ["x", "y z"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_places_count_lines_in_quotes(end):
    rows = ["text,label", f'"a{end}{end}b",x', "c,y", f'd,"z{end}"', "e,x", ""]
    table = read(end.join(rows))
    places = [table.place(i) for i in range(4)]
    assert places == ["x:2", "x:5", "x:6", "x:8"]
    table = read(
        end.join(rows[1:]), header=False, text_column="1", label_column="2"
    )
    assert table.place(3) == "x:7"


def test_an_empty_line_of_one_column_is_a_row():
    settings = {"set_type": "test", "header": False, "text_column": "1"}
    assert texts(read("a\n\nb\n\n\n", **settings)) == ["a", "", "b"]
    assert texts(read('a\n""\n', **settings)) == ["a", ""]
    assert texts(read("a\r\n\r\nb\r\n\r\n", "tsv", **settings)) == [
        *("a", "", "b")
    ]
    # A row of empty cells is none of the empty lines.
    assert len(read("text,label\na,\n,\n\n", set_type="test")) == 2


def test_long_cells_and_compressed_files():
    long = '"' + "word " * 100_000 + '"'
    content = f"text,label\n{long},x\nb,\nc,y\n"
    with gzip.open("x.csv.gz", "wt") as writer:
        writer.write(content)
    settings = TableSettings(dev_file="x.csv.gz")
    table = read_sets(settings, "csv", ["dev"])["dev"]
    assert [len(text) for text in texts(table)] == [500_000, 1]
    assert table.place(1) == "x.csv.gz:4"
    assert csv.field_size_limit() == 131072


def test_remote_files():
    with tf.io.gfile.GFile("ram://x.csv", "w") as writer:
        writer.write(ROWS)
    settings = TableSettings(train_file="ram://x.csv")
    table = read_sets(settings, "csv", ["train"])["train"]
    assert texts(table) == ["one", "two", "three"]
    assert table.place(2) == "ram://x.csv:4"


def test_sets_travel_between_processes():
    table = pickle.loads(pickle.dumps(read(ROWS)))
    assert table.place(2) == "x:4" and table[2].text_a == "three"


def test_json_values_are_texts():
    table = read(
        json_lines(
            {"text": "a", "label": 1},
            {"text": "x", "label": True, "more": [1]},
            {"text": 1.5, "label": None},
            {"text": False, "label": 1e3},
        )
        + "\n \n",
        "jsonl",
        set_type="test",
    )
    assert texts(table) == ["a", "x", "1.5", "false"]
    assert table.labels == ["1", "true", None, "1000.0"]
    assert table.place(3) == "x:4"
    assert read('{"text": "a"}\n', "jsonl", set_type="test").labels == [None]


# ---------------------------------------------------------------------------
# Errors.


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "x: the file is empty"),
        ("\n\n", "x: the file is empty"),
        ("\ntext,label\na,x\n", "x:1: an empty line at the start of the file"),
        ("text,label\n", "x: no examples in this file"),
        ("text,label\n\n\n", "x: no examples in this file"),
        ("text,label\n,a\n", "x: no row has a text and a label"),
        ("text,label\na,x\nb,y,z\n", "x:3: 3 cells, but the header has 2"),
        (
            'text,label\n"a\n",x\nb,y,z\n',
            "x:4: 3 cells, but the header has 2",
        ),
        (
            'text,label\na,x\n"b\n\0",y\n',
            "x:4: a NUL character, which is in no text; --encoding=utf-16 "
            "files have some",
        ),
        # What pandas would take for an index.
        ("text,label\n1,a,x\n2,b,y\n", "x:2: 3 cells, but the header has 2"),
        ("text,label\na,x\nb\n", "x:3: 1 cell, but the header has 2"),
        ("text,label\na,x\n\nb,y\n", "x:3: 0 cells, but the header has 2"),
        (
            'text,label\na,x\n"b,y\nc,z\n',
            "x:3: a quote is opened and never closed",
        ),
        (
            b"text,label\na,x\n\xe9,y\n",
            "x: not utf-8: byte 0xe9 in line 3; --encoding=latin-1 is another "
            "common one",
        ),
        (
            "id,words,label\n1,a,x\n",
            "--text_column=text: x has no such column; it has id, words, label",
        ),
        (
            "text,text,label\na,b,x\n",
            "--text_column=text: x has 2 columns of that name",
        ),
        (
            "text,star\na,1\n",
            "--label_column=label: x has no such column; it has text, star",
        ),
        (
            "text,label\na,x \nb, x\n",
            "x: all 2 rows have the label 'x' in --label_column=label: there "
            "is nothing to learn",
        ),
    ],
)
def test_wrong_csv_is_named(content, message):
    assert error_of(content) == message


def test_other_encodings_that_are_not_the_files():
    message = error_of("text,label\na,x\nb,y\n", encoding="utf-16")
    assert message == (
        "x: not utf-16: UTF-16 stream does not start with BOM; "
        "--encoding=latin-1 is another common one"
    )
    message = error_of("text,label\nä,x\n", encoding="ascii")
    assert message.startswith("x: not ascii: byte 0xc3 in line 2; ")
    message = error_of("{}", "jsonl", encoding="x")
    assert message.startswith("--encoding=x: no such encoding")


def test_a_byte_far_into_a_file_is_found():
    content = b"text,label\n" + b"abc,x\nabc,y\n" * 200_000 + b"\xe4,x\n"
    assert "byte 0xe4 in line 400002;" in error_of(content)


def test_long_lists_of_columns_are_cut():
    header = ",".join(f"c{i}" for i in range(21))
    message = error_of(header + "\n" + "," * 20)
    assert message.endswith("c18, c19, …")


def test_other_columns_may_stand_twice():
    assert texts(read("n,n,text,label\n1,2,a,x\n1,2,b,y\n")) == ["a", "b"]


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "x: no examples in this file"),
        (
            '{"text": "a", "label": "x"}\n{"text": \n',
            "x:2: not JSON: Expecting value at position 10 of the line",
        ),
        ('{"text": "a", "label": "x"}\n\n{}\n', "x:2: not JSON: an empty line"),
        ("[1]\n", 'x:1: not an object such as {"text": "…", "label": "…"}'),
        (
            '{"id": 1, "label": "x"}\n',
            'x:1: no "text"; the keys are id, label',
        ),
        (
            '{"text": "a", "label": "x"}\n{"text": "b"}\n',
            'x:2: no "label"; the keys are text',
        ),
        (
            '{"text": ["a"], "label": "x"}\n',
            'x:1: "text" must be text, a number or null',
        ),
        (
            '{"text": "a", "label": ["x"]}\n',
            'x:1: "label" must be text, a number or null',
        ),
        (
            '{"text": "\\ud800", "label": "x"}\n',
            'x:1: "text" has half a surrogate pair, such as \\ud800 alone: no '
            "text in UTF-8",
        ),
        (
            b'{"text": "\xe9"}\n',
            "x:1: not UTF-8: byte 0xe9 at position 11 of the line",
        ),
    ],
)
def test_wrong_json_is_named(content, message):
    assert error_of(content, "jsonl") == message


def test_deep_or_huge_json_is_an_error():
    assert "x:1: not JSON: " in error_of('{"a": ' * 100_000, "jsonl")
    assert "x:1: not JSON: " in error_of("9" * 5000, "jsonl")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"problem_type": "x"}, "--problem_type=x: must be one of "),
        ({"encoding": "x"}, "--encoding=x: no such encoding; utf-8, latin-1"),
        ({"encoding": "hex"}, "--encoding=hex: no such encoding"),
        ({"delimiter": "||"}, "--delimiter=||: must be one ASCII character"),
        ({"delimiter": '"'}, '--delimiter=": must be one ASCII character'),
        ({"label_delimiter": ""}, "--label_delimiter=: must not be empty"),
        (
            {"header": False},
            "--text_column=text: with --header=false columns are numbers from "
            "1 on",
        ),
        (
            {"header": False, "text_column": "4", "label_column": "3"},
            "--text_column=4: x has no such column; it has 1, 2, 3",
        ),
        (
            {"dev_fraction": 0.1, "dev_file": "d"},
            "--dev_file=d and --dev_fraction=0.1: only one of them can be "
            "given",
        ),
        (
            {"test_fraction": 0.1, "test_file": "d"},
            "--test_file=d and --test_fraction=0.1: only one of them can be "
            "given",
        ),
        (
            {"dev_fraction": 0.5, "test_fraction": 0.5},
            "--dev_fraction=0.5 and --test_fraction=0.5: together they must "
            "be below 1",
        ),
        (
            {"dev_fraction": -0.1},
            "--dev_fraction=-0.1: must be at least 0 and below 1",
        ),
        (
            {"test_fraction": math.nan},
            "--test_fraction=nan: must be at least 0 and below 1",
        ),
        (
            {"id_column": "key"},
            "--id_column=key: x has no such column; it has id, text, label",
        ),
        (
            {"problem_type": "multi_label", "label_column": "label,bad"},
            "--label_column=label,bad: x has no column bad; it has id, text, "
            "label",
        ),
    ],
)
def test_wrong_settings_are_named(settings, message):
    assert error_of(ROWS, **settings).startswith(message)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"delimiter": ","}, "--delimiter=,: JSON objects have none"),
        ({"header": False}, "--header=false: JSON objects name their columns"),
        (
            {"encoding": "cp1252"},
            "--encoding=cp1252: JSON files are always utf-8",
        ),
    ],
)
def test_settings_that_mean_nothing_to_json(settings, message):
    assert error_of("", "jsonl", **settings) == message


@pytest.mark.parametrize(
    "settings, sets, message",
    [
        ({}, ["train"], "--train_file must be given"),
        ({}, ["dev"], "--dev_file or --dev_fraction must be given"),
        ({}, ["test"], "--test_file or --test_fraction must be given"),
        (
            {"dev_fraction": 0.1},
            ["dev"],
            "--dev_fraction=0.1: takes rows of --train_file, which must be "
            "given",
        ),
        (
            {"train_file": "no"},
            ["train"],
            "--train_file=no: no such file or folder",
        ),
        (
            {"train_file": "no", "dev_fraction": 0.1},
            ["dev"],
            "--train_file=no: no such file or folder",
        ),
        (
            {"test_file": "."},
            ["test"],
            "--test_file=.: is a folder, not a file",
        ),
    ],
)
def test_missing_files_are_named(settings, sets, message):
    with pytest.raises(UserError) as caught:
        read_sets(TableSettings(**settings), "csv", sets)
    assert str(caught.value) == message


def test_the_format_is_the_programs():
    with pytest.raises(ValueError, match="Received: format=xls"):
        read_sets(TableSettings(), "xls", ["train"])


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
        (WITH_GAPS, "x:3: no text in --text_column=text, under --strict"),
        (
            "text,label\na,x\nb,\nc,y\n",
            "x:3: no label in --label_column=label, under --strict",
        ),
        (
            "text,label\n1,x\n2.5,y\n",
            "--text_column=text: all values are numbers; is this the text?",
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
    wrong = "--text_column=text: all values are numbers; is this the text?"
    assert (wrong in warnings()) == warned
    read(
        f"text,a,label\nw,1,x\nv,{cell},y\n",
        text_pair_column="a",
    )
    wrong = "--text_pair_column=a: all values are numbers; is this the text?"
    assert (wrong in warnings()) == warned


# ---------------------------------------------------------------------------
# Other labels.


def test_regression():
    table = read("text,label\na, 1\nb,-2.5e1\n", problem_type="regression")
    assert table.labels == [1.0, -25.0]
    rows = json_lines({"text": "a", "label": 1}, {"text": "b", "label": "2"})
    table = read(rows, "jsonl", problem_type="regression")
    assert table.labels == [1.0, 2.0]


@pytest.mark.parametrize("cell", ["x", "nan", "inf", "1_0", "1.2.3"])
def test_a_value_must_be_a_finite_number(cell, warnings):
    content = f"text,label\na,1\nb,{cell}\nc,\n"
    settings = {"problem_type": "regression"}
    message = f"x:3: label '{cell}' in --label_column=label is no finite number"
    assert error_of(content, **settings) == message
    assert error_of(content, set_type="dev", **settings) == message
    table = read(content, set_type="test", **settings)
    assert table.labels == [1.0, None, None]
    assert warnings() == [
        "x: 1 of 3 rows has a label that is no number (row of line 3 first): "
        "unknown"
    ]


def test_all_numbers_the_same():
    assert error_of("text,label\na,3\nb,3.0\n", problem_type="regression") == (
        "x: all 2 rows have the label 3.0 in --label_column=label: there is "
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


def test_lists_of_labels_in_json():
    rows = json_lines(
        {"text": "a", "label": ["y, z", 1, "y, z", True]},
        {"text": "b", "label": []},
        {"text": "c", "label": None},
        {"text": "d", "label": "u, v"},
    )
    table = read(rows, "jsonl", problem_type="multi_label")
    assert table.labels == [("y, z", "1", "true"), (), (), ("u", "v")]
    rows = json_lines({"text": "a", "label": [["x"]]})
    assert error_of(rows, "jsonl", problem_type="multi_label") == (
        'x:1: "label" must be a list of texts or numbers'
    )


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
    message = "{}: {} in column bad of --label_column=bad, rude: must be 0 or 1"
    assert error_of(content, **settings) == message.format("x:3", "'2'")
    content = "text,bad,rude\na,1,1\nb,,0\n"
    assert error_of(content, **settings) == message.format("x:3", "''")
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
        f"x: all 2 rows have {what} in --label_column=label: there is nothing "
        "to learn"
    )


def test_one_label_that_some_rows_lack():
    table = read("text,label\na,x\nb,\n", problem_type="multi_label")
    assert tables.infer_labels(table, "multi_label") == ["x"]


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
    assert tables.infer_labels(table, "single_label") == expected
    table = read("text,label\n" + rows, problem_type="multi_label")
    assert tables.infer_labels(table, "multi_label") == expected


def test_labels_that_were_not_in_training(warnings):
    content = "text,label\na,a\nb,c\nc,\nd,d\n"
    message = "x:3: label 'c' was not in training, which had a, b"
    table = read(content, set_type="dev")
    warned = warnings()
    with pytest.raises(UserError) as caught:
        tables.check_labels(table, ["a", "b"], "dev", strict=False)
    assert str(caught.value) == message
    assert tables.check_labels(table, ["a", "c", "d"], "dev", True) is table
    table = read(content, set_type="test")
    with pytest.raises(UserError, match=message):
        tables.check_labels(table, ["a", "b"], "test", strict=True)
    checked = tables.check_labels(table, ["a", "b"], "test", strict=False)
    assert checked.labels == ["a", None, None, None]
    assert table.labels == ["a", "c", None, "d"]
    assert texts(checked) == texts(table) and checked.place(3) == "x:5"
    assert warnings() == warned + [
        "x: 2 of 4 rows have a label that was not in training ('c' in line 3 "
        "first): it counts as unknown"
    ]


def test_several_labels_that_were_not_in_training():
    table = read(
        'text,label\na,a\nb,"a,c"\nc,\n',
        set_type="test",
        problem_type="multi_label",
    )
    checked = tables.check_labels(table, ["a"], "test", strict=False)
    assert checked.labels == [("a",), None, ()]
    known = [f"l{i}" for i in range(30)]
    with pytest.raises(UserError, match="x:2: .* l18, l19, …$"):
        tables.check_labels(table, known, "dev", strict=False)


# ---------------------------------------------------------------------------
# Whatever is written comes back.

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(CHARACTERS | st.sampled_from('",;\t\r\n '), min_size=1)


def one_cell(text):
    """Without what ends a cell of TSV, or a line."""
    return text.replace("\t", " ").replace("\n", '"').rstrip("\r")


def starts(rows, written):
    """The line on which each row starts, by the text before it."""
    lines, before = [], ""
    for row in rows:
        lines.append(len(io.StringIO(before, newline="").readlines()) + 1)
        before += written(row)
    return lines


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1), tail=st.text("\n"))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\\t"])
def test_csv_comes_back(end, delimiter, rows, tail):
    def written(row):
        writer = io.StringIO(newline="")
        letter = delimiter.replace("\\t", "\t")
        # Python's writer may leave a \\r that ends no line of its own bare.
        has_return = any("\r" in cell for cell in row)
        csv.writer(
            writer,
            lineterminator=end,
            delimiter=letter,
            quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL,
        ).writerow(row)
        return writer.getvalue()

    rows = [("a", "b"), *rows]
    table = read(
        "".join(map(written, rows)) + tail,
        set_type="test",
        text_column="a",
        text_pair_column="b",
        delimiter=delimiter,
    )
    assert [(e.text_a, e.text_b) for e in table] == rows[1:]
    places = [table.place(i) for i in range(len(table))]
    assert places == [f"x:{line}" for line in starts(rows, written)[1:]]


@given(st.lists(st.text(CHARACTERS), min_size=1))
def test_one_column_comes_back(values):
    writer = io.StringIO(newline="")
    csv.writer(writer).writerows([value] for value in ["text", *values])
    assert texts(read(writer.getvalue(), set_type="test")) == values


@given(
    st.lists(st.tuples(*[st.text(CHARACTERS).map(one_cell)] * 2), min_size=1)
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tsv_comes_back(end, pairs):
    rows = [("text", "b"), *pairs]
    content = "".join(f"{a}\t{b}{end}" for a, b in rows)
    table = read(content, "tsv", set_type="test", text_pair_column="b")
    assert [(e.text_a, e.text_b) for e in table] == pairs
    assert table.place(len(pairs) - 1) == f"x:{len(pairs) + 1}"


@given(
    st.lists(st.text('ab",\n\r é'), min_size=1).map("".join),
    st.integers(1, 3),
)
def test_pandas_and_csv_agree(content, width):
    """The one gives the cells, the other the lines."""
    header = ",".join(["text", "b", "c"][:width])
    content = f"{header}\n{content}\n"
    rows = list(csv.reader(io.StringIO(content, newline="")))[1:]
    while rows and not rows[-1]:
        rows.pop()
    try:
        table = read(content, set_type="test")
    except UserError as error:
        is_closed = "never closed" not in str(error)
        assert (
            not rows or {len(row) for row in rows} != {width} or (not is_closed)
        )
        return
    assert texts(table) == [row[0] if row else "" for row in rows]
    assert len(table._lines._starts) >= len(rows)


@given(st.lists(st.tuples(TEXTS, st.text(CHARACTERS)), min_size=1))
def test_json_comes_back(pairs):
    content = "".join(
        json.dumps({"text": a, "b": b}, ensure_ascii=len(a) % 2) + "\n"
        for a, b in pairs
    )
    table = read(content, "jsonl", set_type="test", text_pair_column="b")
    assert [(e.text_a, e.text_b) for e in table] == pairs
    assert table.place(len(pairs) - 1) == f"x:{len(pairs)}"


# ---------------------------------------------------------------------------
# Splits.


def labelled(labels):
    rows = [[f"text {i}", label] for i, label in enumerate(labels)]
    writer = io.StringIO(newline="")
    csv.writer(writer).writerows([["text", "label"], *rows])
    return writer.getvalue()


def split(content, sets=("train", "dev", "test"), **settings):
    """{set: the rows' numbers}."""
    settings = TableSettings(train_file=write(content), **settings)
    found = read_sets(settings, "csv", sets)
    for name, table in found.items():
        for example in table:
            number = example.text_a.removeprefix("text ")
            assert example.guid == f"{name}-{number}"
    return {
        name: [int(text.removeprefix("text ")) for text in texts(table)]
        for name, table in found.items()
    }


def check_shares(parts, groups, fractions):
    """Each group gives its share, within one row."""
    for group in groups:
        for name, fraction in fractions.items():
            share = len(group) * fraction
            assert abs(len(group & set(parts[name])) - share) < 1 + 1e-9


@given(
    labels=st.lists(st.sampled_from("aaaaabbbcde"), min_size=40),
    dev=st.sampled_from([0.1, 0.2, 1 / 3]),
    test=st.sampled_from([0.1, 0.25, 0.5]),
    seed=st.integers(0, 5),
)
@pytest.mark.parametrize("problem_type", ["single_label", "multi_label"])
def test_splits_are_stratified(problem_type, labels, dev, test, seed):
    labels[:2] = "ab"
    settings = {
        "problem_type": problem_type,
        "dev_fraction": dev,
        "test_fraction": test,
        "split_seed": seed,
    }
    content = labelled(labels)
    parts = split(content, **settings)
    assert parts == split(content, **settings)
    everything = sorted(sum(parts.values(), []))
    assert everything == list(range(len(labels)))
    groups = [
        {i for i, label in enumerate(labels) if label == name}
        for name in set(labels)
    ]
    fractions = {"train": 1 - dev - test, "dev": dev, "test": test}
    check_shares(parts, groups, fractions)
    for name, indices in parts.items():
        assert indices == sorted(indices)
        assert split(content, [name], **settings) == {name: indices}
    del settings["dev_fraction"]
    assert split(content, ["test"], **settings)["test"] == parts["test"]


def test_totals_are_near_their_shares():
    labels = [f"l{i % 1000}" for i in range(3000)]
    parts = split(labelled(labels), dev_fraction=0.1, test_fraction=0.2)
    assert len(parts["test"]) == 600 and len(parts["dev"]) == 300


def test_values_are_stratified():
    values = [(i * 7919) % 1000 / 10 for i in range(1000)]
    settings = {
        "problem_type": "regression",
        "dev_fraction": 0.1,
        "test_fraction": 0.05,
    }
    parts = split(labelled(values), **settings)
    assert sorted(sum(parts.values(), [])) == list(range(1000))
    ranges = [
        {i for i, value in enumerate(values) if low <= value < low + 2}
        for low in range(0, 100, 2)
    ]
    fractions = {"train": 0.85, "dev": 0.1, "test": 0.05}
    check_shares(parts, ranges, fractions)
    other = split(labelled(values), split_seed=1, **settings)
    assert other["dev"] != parts["dev"]


def test_the_seed_chooses_the_rows():
    content = labelled("ab" * 50)
    found = {
        tuple(split(content, ["dev"], dev_fraction=0.1, split_seed=seed)["dev"])
        for seed in range(5)
    }
    assert len(found) == 5


def test_rare_labels_stay_in_training():
    labels = ["a"] * 60 + ["b"] * 40 + list(string.ascii_lowercase[2:])
    for seed in range(5):
        parts = split(
            labelled(labels),
            dev_fraction=0.2,
            test_fraction=0.2,
            split_seed=seed,
        )
        assert {labels[i] for i in parts["train"]} == set(labels)
        assert len(parts["dev"]) == len(parts["test"]) == 20


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


@pytest.mark.parametrize(
    "settings, sets, message",
    [
        (
            {"dev_fraction": 0.1},
            ["dev"],
            "--dev_fraction=0.1: no row of x is in the dev set then",
        ),
        (
            {"dev_fraction": 0.5, "test_fraction": 0.49},
            ["train"],
            "--dev_fraction=0.5 and --test_fraction=0.49: no row of x is in "
            "the train set then",
        ),
    ],
)
def test_a_set_without_rows_is_an_error(settings, sets, message):
    settings["problem_type"] = "multi_label"
    with pytest.raises(UserError) as caught:
        split(labelled("ab"), sets, **settings)
    assert str(caught.value) == message


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
