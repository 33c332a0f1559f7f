"""Files of texts to label: how they are written is found by the content."""

import contextlib
import dataclasses
import gzip
import io

import pandas as pd
import pytest
from support.common import needs

from bert_tf import choices, files
from bert_tf.data.tabular import text_rows
from bert_tf.data.tabular.text_rows import Format, detect_format, read_rows
from bert_tf.errors import UserError
from bert_tf.export.answer_files import model_columns
from bert_tf.export.input_files import InputSettings

COLUMNS = ("message", "text_pair")
MODEL_COLUMNS = model_columns("single_label", ("text",), {})


@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "utf-16", "utf-16-le"]
)
def test_lines_have_an_encoding(tmp_path, encoding):
    path = tmp_path / "lines.txt"
    path.write_bytes("grüße\r\nMünchen\n".encode(encoding))
    settings = InputSettings(encoding=encoding, columns={})
    for format in (None, "lines"):
        settings = dataclasses.replace(settings, format=format)
        file = settings.open(str(path))
        source = settings.format_of(file, MODEL_COLUMNS)
        rows = [*read_rows(str(path), source, file.reading)]
        assert [r.values for r in rows] == [{"": "grüße"}, {"": "München"}]
        assert rows[1].place == f"{path}:2"


@pytest.mark.parametrize(
    "content, encoding, message",
    [
        (b"a\n\xfc\n", "utf-8", ":2: not UTF-8: byte 0xfc at position 1"),
        (b"a\n\xfc\n", "ascii", ": not ascii: byte 0xfc in line 2; enc"),
        (b"a\n\0\n", "latin-1", ":2: a NUL character, which is not in any"),
        (b"a\n", "latin-x", "encoding=latin-x: no such encoding"),
    ],
)
def test_lines_of_another_encoding(tmp_path, content, encoding, message):
    path = tmp_path / "lines.txt"
    path.write_bytes(content)
    settings = InputSettings(encoding=encoding, columns={})
    with pytest.raises(UserError) as error:
        file = settings.open(str(path))
        source = settings.format_of(file, MODEL_COLUMNS)
        [*read_rows(str(path), source, file.reading)]
    assert message in str(error.value)


@pytest.mark.parametrize(
    "name, head, format, delimiter",
    [
        ("a.csv", "id,message\n1,hello\n", "csv", ","),
        ("a.csv", "id;message\n1;hello\n", "csv", ";"),
        ("a.CSV", "words\nhello\n", "csv", None),
        ("a.csv.gz", "id,message\n", "csv", ","),
        ("a.tsv", "id\tmessage\n", "tsv", "\t"),
        ("a.jsonl", "broken", "jsonl", None),
        ("a.txt", '{"message": "hello"}\n', "jsonl", None),
        ("a.txt", "id,message\n1,hello\n", "csv", ","),
        ("a", '"id","message"\n', "csv", ","),
        ("a", "id\tmessage\n", "tsv", "\t"),
        ("a", "message\nhello\n", "csv", None),
        ("a.txt", "hello\nsee you, then\n", "lines", None),
        ("a.txt", "message for you\n", "lines", None),
        ("a.txt", "\n\n", "lines", None),
        ("a.txt", '[{"message": "hello"}]\n', "jsonl", None),
        ("a.csv", '{"message": ["hello"]}\n', "jsonl", None),
        ("a.jsonl", '[\n {"message": "hello"}\n]\n', "jsonl", None),
        ("a.tsv.bz2", "id\tmessage\n", "tsv", "\t"),
        ("a.txt", "id , message\n1,hello\n", "csv", ","),
        ("a.txt", "__label__x hello\n__label__y bye\n", "csv", None),
    ],
)
def test_the_format_is_found(name, head, format, delimiter):
    found = detect_format(name, head, COLUMNS)
    assert (found.name, found.delimiter) == (format, delimiter)


def test_a_table_is_not_read_as_lines_in_silence(caplog):
    head = "id,words\n1,hello\n2,bye\n"
    with caplog.at_level("WARNING", logger="absl"):
        assert detect_format("a.txt", head, COLUMNS).name == "lines"
    assert "a.txt: read as lines of text, but it looks like a table with " in (
        caplog.text
    )
    assert "id, words" in caplog.text
    caplog.clear()
    with caplog.at_level("WARNING", logger="absl"):
        detect_format("a.txt", "Hi, Ann!\nWell, yes.\n", COLUMNS)
    assert not caplog.text


def read(text, needed=(), **settings):
    @contextlib.contextmanager
    def reading(path):
        yield io.BytesIO(text.encode())

    rows = read_rows("f", Format(**settings), reading, needed)
    return [(row.place, row.values) for row in rows]


def test_rows_have_their_places():
    text = 'id,message\n1,"two\nlines"\n\n2,hello\n'
    assert read(text, name="csv") == [
        ("f:2", {"id": "1", "message": "two\nlines"}),
        ("f:5", {"id": "2", "message": "hello"}),
    ]
    assert read("a\tb\n1\t\n", name="tsv") == [("f:2", {"a": "1", "b": ""})]
    assert read("1;x\n", name="csv", delimiter=";", header=False) == [
        ("f:1", {"1": "1", "2": "x"})
    ]
    assert read('{"a": 1}\n\n{"a": null}\n', name="jsonl") == [
        ("f:1", {"a": 1}),
        ("f:3", {"a": None}),
    ]
    assert read("x\n\n", name="lines") == [
        ("f:1", {"": "x"}),
        ("f:2", {"": ""}),
    ]


@pytest.mark.parametrize(
    "text, settings, message",
    [
        ("a,b\n1\n", {"name": "csv"}, "f:2: 1 cell, but the header has 2"),
        ("\na\n", {"name": "csv"}, "f:1: an empty line at the start"),
        ("[1]\n", {"name": "jsonl"}, "f:1: not an object such as"),
        ("{\n", {"name": "jsonl"}, "f:1: not JSON: the file ends before"),
    ],
)
def test_mistakes_are_named(text, settings, message):
    with pytest.raises(UserError) as error:
        read(text, **settings)
    assert message in str(error.value)


@pytest.mark.parametrize("form", ["list", "columns", "pretty"])
def test_json_of_any_form(form):
    text = {
        "list": '[{"a": 1}, {"a": 2}]',
        "columns": '{"a": [1, 2]}',
        "pretty": '{\n "a": 1\n}\n\n{\n "a": 2\n}\n',
    }[form]
    assert [v for _, v in read(text, name="jsonl")] == [{"a": 1}, {"a": 2}]


def test_fasttext_and_compressed_rows(tmp_path):
    rows = read("__label__x hello\n__label__y __label__z bye\n", name="csv")
    assert rows == [
        ("f:1", {"text": "hello", "label": "x"}),
        ("f:2", {"text": "bye", "label": "y z"}),
    ]
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"message\nhello\n"))
    (row,) = read_rows(str(path), Format(name="csv"))
    assert (row.place, row.values) == (f"{path}:2", {"message": "hello"})


def test_rows_of_books_and_typed_columns(tmp_path):
    needs("openpyxl", "openpyxl")
    needs("pyarrow", "pyarrow")
    frame = pd.DataFrame({"text": ["a"], "endings": [["b", "c"]], "n": [1]})
    frame.to_parquet(tmp_path / "x")
    frame[["text", "n"]].to_excel(tmp_path / "x.xlsx", index=False)
    for name, format, expected in [
        ("x", "jsonl", {"text": "a", "endings": ["b", "c"], "n": 1}),
        ("x.xlsx", "csv", {"text": "a", "n": "1"}),
    ]:
        path = str(tmp_path / name)
        with files.looking(path) as content:
            found = detect_format(path, "", COLUMNS, kind=content.kind)
        assert found.name == format
        (row,) = read_rows(path, found)
        assert row.values == expected


def test_columns_of_the_same_name():
    text = "a,b,b,b_2\n1,2,3,4\n"
    ((_, values),) = read(text, ["a"], name="csv")
    assert values == {"a": "1", "b": "2", "b_3": "3", "b_2": "4"}
    with pytest.raises(UserError, match="f: it has several columns b"):
        read(text, ["b"], name="csv")


def test_an_empty_line_of_one_column_is_a_row():
    rows = read("a\nx\n\ny\n\n\n", name="csv")
    assert rows == [
        ("f:2", {"a": "x"}),
        ("f:3", {"a": ""}),
        ("f:4", {"a": "y"}),
    ]


def test_every_format_has_a_name():
    assert {*text_rows.ENDINGS.values()} < {*choices.INPUT_FORMATS}
