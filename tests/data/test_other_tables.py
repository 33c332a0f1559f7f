"""Tables as people have them: other quotes, delimiters, books, fastText."""

import builtins
import datetime
import gzip
import io
import os
import sys
import threading

import pandas as pd
import pytest
from support.common import TESTS, needs

from bert_tf.data.tabular.csv_files import (
    read_any_table,
    read_table,
    stream_rows,
)
from bert_tf.data.tabular.text_rows import Format, read_rows
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")
REPORTS = TESTS / "reports"


def read(content, format="csv", **settings):
    with open("x", "wb") as writer:
        is_text = isinstance(content, str)
        writer.write(content.encode() if is_text else content)
    return read_table("x", format, **settings)


def cells(table):
    return [*zip(table.texts("text"), table.texts("label"), strict=True)]


def report(name, format="csv"):
    return read_table(str(REPORTS / name), format)


def error_of(content, format="csv", **settings):
    with pytest.raises(UserError) as caught:
        read(content, format, **settings).texts("text")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------
# Headers.


def test_blanks_around_names_do_not_count():
    table = report("C03_spaces.csv")
    assert table.names == ["text", "label"]
    assert table.texts("label")[0].strip() == "negative"
    assert table.texts(" label") == table.texts("label")


@pytest.mark.parametrize(
    "content, format",
    [
        ("\ufefftext , label \na,x\n", "csv"),
        ('"\ufefftext","label"\na,x\n', "csv"),
        ("text\t label\u200b\na\tx\n", "tsv"),
        ("sep=;\r\ntext;label\r\na;x\r\n", "csv"),
        ('"sep=\t"\ntext\tlabel\na\tx\n', "csv"),
        ('"text"\t"label"\n"a"\t"x"\n', "tsv"),
        ('"text", "label"\n"a", "x"\n', "csv"),
    ],
)
def test_names_as_others_write_them(content, format):
    assert cells(read(content, format)) == [("a", "x")]
    rows = [*stream_rows("x", format)]
    assert [row for _, row in rows] == [["text", "label"], ["a", "x"]]


def test_lines_after_a_line_that_names_the_delimiter():
    table = read("sep=;\ntext;label\na;x\nb;y\n")
    assert [*table.lines] == [3, 4]
    table = read("sep=;\na;x\nb;y\n", header=False)
    assert [*table.lines] == [2, 3]


def test_an_index_column_of_pandas_has_no_name():
    table = read(",text,label\n0,a,x\n")
    assert (table.names, cells(table)) == (["", "text", "label"], [("a", "x")])


def test_a_header_where_none_is_expected(warnings):
    read("text,label\na,1\n", header=False)
    (message,) = warnings()
    assert message.startswith("x:1: the first row looks like a header (text, l")
    assert "and is read as data" in error_of(
        "text,label\na,1\n", header=False, strict=True
    )
    read("hello there,1\nbye,0\n", header=False)
    assert len(warnings()) == 1


def test_files_that_were_put_together(warnings):
    content = "text,label\na,x\ntext,y\ntext,label\nb,y\n"
    table = read(content)
    assert cells(table) == [("a", "x"), ("text", "y"), ("b", "y")]
    assert [*table.lines] == [2, 3, 5]
    (message,) = warnings()
    assert message.startswith("x: 1 of 4 rows has the names of the columns")
    assert "x:4: the names of the columns again" in error_of(
        content, strict=True
    )


def test_line_ends_of_old_macs():
    assert cells(read("text\tlabel\ra\tx\rb\ty\r", "tsv"))[1] == ("b", "y")


def test_a_header_that_is_data():
    assert error_of("hello there,1\nbye,0\n") == (
        "x has no column text; it has hello there, 1; if this is not a header, "
        "header=false numbers the columns from 1"
    )


# ---------------------------------------------------------------------------
# Delimiters and formats.


@pytest.mark.parametrize(
    "content, format, end",
    [
        ("text;label\na;x\n", "csv", "separated by ';': see delimiter"),
        ("text|label\na|x\n", "csv", "separated by '|': see delimiter"),
        ("text^label\na^x\n", "csv", "separated by '^': see delimiter"),
        ("text\x01label\na\x01x\n", "csv", r"by '\x01': see delimiter"),
        ("text;label\na;x\n", "tsv", "separated by ';': see delimiter"),
        (
            "text,label\na,x\n",
            "tsv",
            "like CSV, with commas between cells",
        ),
        ("text::label\na::x\n", "csv", "one character, such as a tab"),
        ("text   label\na   x\n", "tsv", "one character, such as a tab"),
    ],
)
def test_the_likely_delimiter_is_named(content, format, end):
    assert error_of(content, format).endswith(end)


def test_semicolons_as_reported():
    with pytest.raises(UserError, match="separated by ';': see delimiter"):
        report("C21_semicolon_nocomma.csv").texts("text")
    table = read_table(
        str(REPORTS / "C21_semicolon_nocomma.csv"), "csv", delimiter=";"
    )
    assert cells(table)[0] == ("cold loud and empty number 0", "0")


@pytest.mark.parametrize(
    "content, format, message",
    [
        ('{"text": "a"}\n', "csv", "JSON lines, not a table; task_name=jsonl"),
        ('[{"text": "a"}]', "tsv", "a list in JSON, not a table; task_name=js"),
        ('{\n "text": ["a"]}', "csv", "x: it is JSON, not a table; task_name"),
        ("text,label\na,x\n", "jsonl", "label, not JSON; task_name=csv reads"),
        ("text\tlabel\na\tx\n", "jsonl", "not JSON; task_name=tsv reads it"),
        ("text;label\na;x\n", "jsonl", "task_name=csv with delimiter=; reads"),
        ("a\tO\nb\tB-X\n", "jsonl", "words with tags, not JSON; task_name=ner"),
        ("<!DOCTYPE html>\n<p>404", "csv", "x: an HTML page, not a table: did"),
    ],
)
def test_other_formats_are_named(content, format, message):
    assert message in error_of(content, format)


def test_words_with_tags_are_named():
    content = "EU B-ORG\nrejects O\n\nGerman B-MISC\ncall O\n"
    assert "looks like words with tags, which task_name=ner" in error_of(
        content
    )


def test_the_setting_of_predict_is_named():
    with open("x", "w") as writer:
        writer.write('{"text": "a"}\n')
    with pytest.raises(UserError, match="input_format=jsonl reads it"):
        [*read_rows("x", Format(name="csv"))]


# ---------------------------------------------------------------------------
# Quotes.


def test_backslashes_before_quotes(warnings):
    table = report("C22_backslash.csv")
    assert table.texts("text")[0] == (
        'he said "cold loud and empty number 0" twice'
    )
    (message,) = warnings()
    assert r"40 lines with \" in a cell (line 2 first)" in message


@pytest.mark.parametrize(
    "content, expected",
    [
        ('"path C:\\",x\n"b",y\n', [("path C:\\", "x"), ("b", "y")]),
        ('"a ""b"" \\n",x\nc,y\n', [('a "b" \\n', "x"), ("c", "y")]),
        (
            '"a \\"b\\", c\nd",x\n"e \\"f\\"",y\n',
            [('a "b", c\nd', "x"), ('e "f"', "y")],
        ),
        (
            'plain,x\n"it\'s \\"b\\", then ""c""",y\n',
            [("plain", "x"), ('it\'s "b", then "c"', "y")],
        ),
    ],
)
def test_backslashes_that_are_quotes_or_not(content, expected):
    assert cells(read("text,label\n" + content)) == expected


def test_backslashes_far_into_a_file(warnings):
    start = "text,label\n" + "plain words,x\n" * 100_000
    table = read(start + '"he said \\"no\\"",y\n')
    assert table.texts("text")[-1] == 'he said "no"'
    assert "1 line with" in warnings()[0] and "line 100002" in warnings()[0]


def test_blanks_before_quotes():
    content = 'text, label\n"a, b", "x, y"\n"c", "z"\n'
    assert cells(read(content)) == [("a, b", "x, y"), ("c", "z")]
    content = 'text,label\n"say ""a"", ""b""",x\nc,y\n'
    assert cells(read(content))[0] == ('say "a", "b"', "x")


def test_tsv_with_quotes(warnings):
    content = '"text"\t"label"\n"a\tb"\t"x"\n"say ""c"""\t"y"\n'
    assert cells(read(content, "tsv")) == [("a\tb", "x"), ('say "c"', "y")]
    content = '"a\tb"\t1\n"c"\t0\n'
    table = read(content, "tsv", header=False)
    assert table.texts("1") == ["a\tb", "c"]
    assert not [text for text in warnings() if "characters" in text]
    content = 'text\tlabel\n"say ""a"" now"\tx\nb\ty\n'
    assert cells(read(content, "tsv"))[0] == ('"say ""a"" now"', "x")
    assert (
        "x: 1 line with a cell in quotes, as in CSV (line 2" in warnings()[-1]
    )
    assert "in TSV quotes are characters" in error_of(
        content, "tsv", strict=True
    )
    message = error_of('text\tlabel\n"a\nb"\tx\n', "tsv")
    assert (
        "if a cell in quotes holds tabs or line ends, task_name=csv" in message
    )


def test_quotes_that_are_text_give_no_warning(warnings):
    rows = ['"Well", he said\tx', '"Yes."\ty', 'the "b"\tx', "a\ty", "b\tx"]
    read("text\tlabel\n" + "\n".join(rows) + "\n", "tsv")
    rows = ['"a\nb\nc\nd\ne\nf, g\n",x', '"b \\ c",y', '"“a”",y', "d,x"]
    read("text,label\n" + "\n".join(rows) + "\n")
    assert not warnings()


def test_quotes_that_are_not_doubled(warnings):
    content = 'text,label\n"he said "no" to me",x\n"b" ,y\nc "d" e,y\n'
    table = read(content)
    assert table.texts("label") == ["x", "y", "y"]
    (message,) = warnings()
    assert message.startswith("x: 1 line with text after the quote that ends")
    assert "line 2 first" in message
    assert "x:2: a line with text after the quote" in error_of(
        content, strict=True
    )
    message = error_of("text,label\n'a, b',x\n")
    assert message.endswith("; only double quotes hold a cell together")


def test_a_quote_that_is_never_closed(warnings):
    rows = "b,y\n" * 20
    assert error_of('text,label\n"a,x\n' + rows) == (
        "x:2: a quote is opened and never closed"
    )
    read('text,label\n"a,x\n' + rows + 'c",y\nd,x\n')
    (message,) = warnings()
    assert "x: 1 line at which a cell starts that holds lines like" in message


def test_curly_quotes(warnings):
    content = "text,label\n“a, b”,“x”\n“c”,“y”\n"
    assert "curly quotes do not hold a cell together" in error_of(content)
    assert "cells are in curly quotes" in warnings()[0]


# ---------------------------------------------------------------------------
# Compressed, and in other encodings.


def test_compressed_tables_as_reported():
    for name in ("C15_train.csv.bz2", "C15_misnamed.csv"):
        table = report(name)
        assert (len(table), table.line(39)) == (40, 41)
    table = report("C16_unicode.txt", "tsv")
    assert cells(table)[0] == ("cold, loud and empty number 0 ü", "0")


def test_utf_16_whatever_the_encoding_says():
    content = "text,label\né,x\n".encode("utf-16")
    assert cells(read(content)) == [("é", "x")]
    assert cells(read(content, encoding="utf-16")) == [("é", "x")]
    assert "in encoding=utf-16 have some" in error_of(
        content, encoding="latin-1"
    )


def test_a_table_from_a_pipe():
    os.mkfifo("pipe")

    def fill():
        with open("pipe", "wb") as writer:
            writer.write(gzip.compress(b"text,label\na,x\n"))

    thread = threading.Thread(target=fill)
    thread.start()
    assert cells(read_table("pipe", "csv")) == [("a", "x")]
    thread.join()


# ---------------------------------------------------------------------------
# fastText.


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
def test_fasttext_as_reported(format):
    table = report("C11_train.ft.txt", format)
    assert (table.names, len(table)) == (["text", "label"], 40)
    assert cells(table)[1] == (
        "sweet, smart and moving number 1: it goes on, really",
        "2",
    )
    assert table.line(1) == 2


def test_fasttext_with_several_labels():
    table = read("__label__a __label__b hello\n\n__label__c\tyou, there\n")
    assert table.texts("text") == ["hello", "you, there"]
    assert table.texts_or_lists("label") == [("a", "b"), ("c",)]
    assert [*table.lines] == [1, 3]
    assert cells(read("__label__a , one, two\n")) == [("one, two", "a")]
    # Tables may hold such labels.
    content = "label,text\n" + '__label__a,"one, two"\n' * 20
    assert cells(read(content))[0] == ("one, two", "__label__a")
    content = content.replace('"one, two"', "one").replace(",", "\t")
    assert cells(read(content, "tsv"))[0] == ("one", "__label__a")
    assert cells(read("text,label\n__label__a is odd,x\nb,y\nc,y\n"))[0] == (
        "__label__a is odd",
        "x",
    )


# ---------------------------------------------------------------------------
# Books, Parquet, Arrow.

FRAME = pd.DataFrame(
    {
        "text": ["NA", 'a\tb, "c"'],
        "label": [1, 0],
        "id": ["007", "8"],
        "day": [datetime.datetime(2024, 3, 1), None],
        "score": [1.5, None],
    }
)


def write_book(path="x.xlsx", **sheets):
    needs("openpyxl", "openpyxl")
    buffer = io.BytesIO()
    with pd.ExcelWriter(buffer, engine="openpyxl") as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    with open(path, "wb") as file:
        file.write(buffer.getvalue())


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
def test_books(format, warnings):
    write_book("x.csv", first=FRAME, notes=FRAME, more=FRAME)
    table = read_table("x.csv", format)
    assert cells(table) == [("NA", "1"), ('a\tb, "c"', "0")]
    assert table.texts("id") == ["007", "8"]
    assert table.texts("day") == ["2024-03-01", ""]
    assert table.texts("score") == ["1.5", ""]
    assert [*table.lines] == [2, 3]
    assert warnings() == [
        "x.csv: only its first sheet, 'first', is read; the others are notes, "
        "more"
    ]
    with pytest.raises(UserError, match="has no column no; it has text, lab"):
        table.texts("no")


def test_books_with_gaps_and_without_a_header():
    openpyxl = needs("openpyxl", "openpyxl")
    book = openpyxl.Workbook()
    for row in ([], ["", " text ", "", "label"], [], ["", "a", "", True]):
        book.active.append(row)
    book.save("x.xlsx")
    table = read_table("x.xlsx", "csv")
    assert (cells(table), [*table.lines]) == ([("a", "TRUE")], [4])
    table = read_table("x.xlsx", "csv", header=False)
    assert (table.texts("1"), [*table.lines]) == ([" text ", "a"], [2, 4])


def test_a_broken_book_as_reported():
    needs("openpyxl", "openpyxl")
    with pytest.raises(UserError) as caught:
        report("C16_book.xlsx")
    assert "C16_book.xlsx: an Excel workbook that cannot be read: " in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "feather", "stream"])
def test_typed_columns(kind):
    pyarrow = needs("pyarrow", "pyarrow")
    frame = FRAME.assign(
        count=pd.array([1, None], dtype="Int64"), tags=[["a", "b"], []]
    )
    if kind == "stream":
        found = pyarrow.Table.from_pandas(frame)
        with pyarrow.ipc.new_stream("x", found.schema) as writer:
            writer.write(found)
    else:
        getattr(frame, f"to_{kind}")("x")
    for format in ("csv", "jsonl"):
        table = read_table("x", format)
        assert cells(table) == [("NA", "1"), ('a\tb, "c"', "0")]
        assert table.texts("count") == ["1", None]
        assert table.texts("day") == ["2024-03-01", None]
        assert table.texts_or_lists("tags") == [("a", "b"), ()]
        assert table.place(1) == "x:2"


@pytest.mark.parametrize(
    "package, write, message",
    [
        (
            "openpyxl",
            lambda: write_book("x", first=FRAME),
            "x: an Excel workbook, which needs the packages pandas and "
            "openpyxl (pip install pandas openpyxl); or save it as CSV in "
            "UTF-8",
        ),
        (
            "pyarrow",
            lambda: FRAME.to_parquet("x"),
            "x: a Parquet file, which needs the package pyarrow (pip install "
            "pyarrow); or save it as CSV in UTF-8",
        ),
    ],
)
def test_a_package_that_is_missing(package, write, message, monkeypatch):
    needs(package, package)
    write()
    found = builtins.__import__

    def imported(name, *arguments):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return found(name, *arguments)

    for name in [*sys.modules]:
        if name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", imported)
    with pytest.raises(UserError) as caught:
        read_table("x", "csv")
    assert str(caught.value) == message


def test_any_table():
    write_book("x.xlsx", first=FRAME)
    assert cells(read_any_table("x.xlsx"))[0] == ("NA", "1")
    for content in ('{"text": "a", "label": 1}\n', "text,label\na,1\n"):
        with open("x", "w") as writer:
            writer.write(content)
        assert cells(read_any_table("x")) == [("a", "1")]
