"""The cells of files: what is read, where it stands, what is wrong."""

import csv
import gzip
import io
import json
import pickle

import pytest
import tensorflow as tf
from hypothesis import assume, given
from hypothesis import strategies as st
from support.common import json_lines

from bert_tf.data.tabular import csv_files
from bert_tf.data.tabular.csv_files import read_table
from bert_tf.data.tabular.table import RowWarnings
from bert_tf.data.tabular.table import number as number_of
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")

ROWS = "id,text,label\n1,one,a\n2,two,b\n3,three,a\n"


def read(content, format="csv", **settings):
    """The table of a file with this content."""
    with open("x", "wb") as writer:
        is_text = isinstance(content, str)
        writer.write(content.encode() if is_text else content)
    return read_table("x", format, **settings)


def texts(table):
    return table.texts("text")


def places(table):
    return [table.place(row) for row in range(len(table))]


def error_of(*arguments, names=("text", "label"), **settings):
    with pytest.raises(UserError) as caught:
        table = read(*arguments, **settings)
        for name in names:
            table.texts(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------
# Cells.


def test_a_table():
    table = read(ROWS)
    assert (table.path, len(table)) == ("x", 3)
    assert table.names == ["id", "text", "label"]
    assert texts(table) == ["one", "two", "three"]
    assert table.texts_or_lists("label") == ["a", "b", "a"]
    assert table.texts("id", optional=True) == ["1", "2", "3"]
    assert table.texts("no", optional=True) == [None] * 3
    assert [table.line(row) for row in range(3)] == [2, 3, 4]
    assert table.place(2) == "x:4"


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
            {"header": False},
            "a b",
        ),
    ],
)
def test_kinds_of_files(content, format, settings, expected):
    table = read(content, format, **settings)
    name = "text" if settings.get("header", True) else "1"
    assert table.texts(name) == expected.split()


def test_tsv_knows_no_quotes():
    table = read('text\tlabel\r\n"a\tx\r\nb" \r c\t"y"\r\n\r\n', "tsv")
    assert texts(table) == ['"a', 'b" \r c']
    assert table.texts("label") == ["x", '"y"']
    assert table.place(1) == "x:3"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_places_count_lines_in_quotes(end):
    rows = ["text,label", f'"a{end}{end}b",x', "c,y", f'd,"z{end}"', "e,x", ""]
    table = read(end.join(rows))
    assert places(table) == ["x:2", "x:5", "x:6", "x:8"]
    table = read(end.join(rows[1:]), header=False)
    assert table.place(3) == "x:7"


def test_an_empty_line_of_one_column_is_a_row():
    table = read("a\n\nb\n\n\n", header=False)
    assert table.texts("1") == ["a", "", "b"]
    assert read('a\n""\n', header=False).texts("1") == ["a", ""]
    table = read("a\r\n\r\nb\r\n\r\n", "tsv", header=False)
    assert table.texts("1") == ["a", "", "b"]
    # A row of empty cells is none of the empty lines.
    assert len(read("text,label\na,\n,\n\n")) == 2


def test_long_cells_and_compressed_files():
    long = '"' + "word " * 100_000 + '"'
    content = f"text,label\n{long},x\nb,\nc,y\n"
    with gzip.open("x.csv.gz", "wt") as writer:
        writer.write(content)
    table = read_table("x.csv.gz", "csv")
    assert [len(text) for text in texts(table)] == [500_000, 1, 1]
    assert table.place(2) == "x.csv.gz:4"
    assert csv.field_size_limit() == 131072


def test_long_cells_while_another_reader_ends():
    long = '"' + "word " * 100_000 + '"'
    for name in ("x.csv", "y.csv"):
        with open(name, "w") as writer:
            writer.write(f"text\na\n{long}\n")
    early, late = (csv_files.stream_rows(n, "csv") for n in ("x.csv", "y.csv"))
    next(early), next(late)
    early.close()
    assert [len(cells[0]) for _, cells in late] == [1, 500_000]
    assert csv.field_size_limit() == 131072


def test_remote_files():
    with tf.io.gfile.GFile("ram://x.csv", "w") as writer:
        writer.write(ROWS)
    table = read_table("ram://x.csv", "csv")
    assert texts(table) == ["one", "two", "three"]
    assert table.place(2) == "ram://x.csv:4"


def test_lines_travel_between_processes():
    lines = pickle.loads(pickle.dumps(read(ROWS).lines))
    assert lines[2] == 4
    lines = pickle.loads(pickle.dumps(read("{}\n{}\n", "jsonl").lines))
    assert lines[1] == 2


def test_json_values_are_texts():
    table = read(
        json_lines(
            {"text": "a", "label": 1},
            {"text": "x", "label": True, "more": [1, "b", None]},
            {"text": 1.5, "label": None},
            {"text": False, "label": 1e3},
        )
        + "\n \n",
        "jsonl",
    )
    assert table.names == ["text", "label", "more"]
    assert texts(table) == ["a", "x", "1.5", "false"]
    assert table.texts("label") == ["1", "true", None, "1000.0"]
    assert table.texts_or_lists("label") == table.texts("label")
    lists = table.texts_or_lists("more", optional=True)
    assert lists == [None, ("1", "b", ""), None, None]
    assert table.place(3) == "x:4"


# ---------------------------------------------------------------------------
# Errors.


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "x: the file is empty"),
        ("\n\n", "x: the file is empty"),
        ("\ntext,label\na,x\n", "x:1: an empty line at the start of the file"),
        ("text,label\na,x\nb,y,z\n", "x:3: 3 cells, but the header has 2"),
        (
            'text,label\n"a\n",x\nb,y,z\n',
            "x:4: 3 cells, but the header has 2",
        ),
        (
            'text,label\na,x\n"b\n\0",y\n',
            "x:4: a NUL character, which is not in any text; files in "
            "encoding=utf-16 have some",
        ),
        # pandas would take the first column for an index.
        (
            "text,label\n1,a,x\n2,b,y\n",
            "x:2: 3 cells, but the header has 2; does the header lack the name "
            "of the rows' numbers, as R's write.table leaves it out? Add one, "
            "or write with col.names=NA",
        ),
        ("text,label\na,x\nb\n", "x:3: 1 cell, but the header has 2"),
        (
            "text;label\na, b;x\n",
            "x:2: 2 cells, but the header has 1; its cells seem to be "
            "separated by ';': see delimiter",
        ),
        (
            "text\tlabel\na\tx\n",
            "x has no column text; it has text\tlabel; its cells seem to be "
            "separated by '\\t': see delimiter",
        ),
        (
            '{"text": "a", "label": "x"}\n{"text": "a, b", "label": "x"}\n',
            "x: it is JSON lines, not a table; task_name=jsonl reads it",
        ),
        ("text,label\na,x\n\nb,y\n", "x:3: 0 cells, but the header has 2"),
        (
            'text,label\na,x\n"b,y\nc,z\n',
            "x:3: a quote is opened and never closed",
        ),
        (
            b"text,label\na,x\n\xe9,y\n",
            "x: not utf-8: byte 0xe9 in line 3; encoding=latin-1 is another "
            "common one",
        ),
        (
            "id,words,label\n1,a,x\n",
            "x has no column text; it has id, words, label",
        ),
        (
            "text,text,label\na,b,x\n",
            "x has 2 columns text",
        ),
        (
            "text,star\na,1\n",
            "x has no column label; it has text, star",
        ),
    ],
)
def test_wrong_csv_is_named(content, message):
    assert error_of(content) == message


def test_other_encodings_that_are_not_the_files():
    message = error_of("text,label\na,x\nb,y\n", encoding="utf-16")
    assert message == (
        "x: not utf-16: UTF-16 stream does not start with BOM; "
        "encoding=latin-1 is another common one"
    )
    message = error_of("text,label\nä,x\n", encoding="ascii")
    assert message.startswith("x: not ascii: byte 0xc3 in line 2; ")
    message = error_of("{}", "jsonl", encoding="x")
    assert message.startswith("encoding=x: no such encoding")


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
            'x:1: "text" has half a surrogate pair, such as \\ud800 alone: not '
            "in UTF-8",
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
        ({"delimiter": ","}, "delimiter=,: JSON objects do not have one"),
        ({"header": False}, "header=false: JSON objects name their columns"),
        (
            {"encoding": "cp1252"},
            "encoding=cp1252: JSON files are always utf-8",
        ),
    ],
)
def test_settings_that_mean_nothing_to_json(settings, message):
    assert error_of("", "jsonl", **settings) == message


def test_the_format_is_the_programs():
    with pytest.raises(ValueError, match="Received: format=xls"):
        read_table("no", "xls")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"encoding": "x"}, "encoding=x: no such encoding; utf-8, latin-1"),
        ({"encoding": "hex"}, "encoding=hex: no such encoding"),
        ({"delimiter": "||"}, "delimiter=||: must be one ASCII character"),
        ({"delimiter": '"'}, 'delimiter=": must be one ASCII character'),
    ],
)
def test_wrong_settings_are_named(settings, message):
    assert error_of(ROWS, **settings).startswith(message)


@pytest.mark.parametrize(
    "content, name, value, message",
    [
        ("a,b\n", "c", None, "f=c: x has no such column; it has a, b"),
        ("a,b\n", "c", "c", "f=c: x has no such column; it has a, b"),
        ("a,b\n", "c", "a,c", "f=a,c: x has no column c; it has a, b"),
        ("a,a\n", "a", None, "f=a: x has 2 columns of that name"),
    ],
)
def test_the_setting_that_names_a_column(content, name, value, message):
    with pytest.raises(UserError) as caught:
        read(content).texts(name, setting="f", value=value)
    assert str(caught.value) == message


def test_columns_without_a_header():
    with pytest.raises(UserError) as caught:
        read(ROWS, header=False).texts("text", setting="text_column")
    assert str(caught.value) == (
        "text_column=text: with header=false columns are numbers from 1 on"
    )
    with pytest.raises(UserError, match="x has no column 4; it has 1, 2, 3"):
        read(ROWS, header=False).texts("4")


def test_lists_in_json():
    table = read(json_lines({"a": [["x"]], "b": {}}), "jsonl")
    with pytest.raises(UserError) as caught:
        table.texts_or_lists("a")
    message = 'x:1: "a" must be a list of texts or numbers'
    assert str(caught.value) == message
    with pytest.raises(UserError, match='"b" must be text, a list or null'):
        table.texts_or_lists("b")


def test_odd_rows(warnings):
    table = read(ROWS)
    id_in_a = {"what": "no id", "where": "a", "consequence": "left out"}
    RowWarnings(table, strict=True).report([], **id_in_a)
    RowWarnings(table, strict=False).report([1], **id_in_a)
    assert warnings() == [
        "x: 1 of 3 rows has no id (row of line 3 first): left out"
    ]
    with pytest.raises(UserError) as caught:
        RowWarnings(table, strict=True).report([1, 2], **id_in_a)
    assert str(caught.value) == "x:3: no id in a, under strict"


@pytest.mark.parametrize(
    "text, number",
    [("1", 1.0), (" -2.5e1", -25.0), ("1_0", None), ("nan", None), ("", None)],
)
def test_numbers(text, number):
    assert number_of(text) == number


# ---------------------------------------------------------------------------
# Whatever is written comes back.

# A NUL is an error, and the mark of an encoding is not part of a row.
CHARACTERS = st.characters(
    exclude_categories=["Cs"], exclude_characters="\0\ufeff"
)
TEXTS = st.text(CHARACTERS | st.sampled_from('",;\t\r\n '), min_size=1)


def pairs_of(table, name):
    columns = table.texts(name), table.texts("b")
    return list(zip(*columns, strict=True))


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
        delimiter=delimiter,
    )
    assert pairs_of(table, "a") == rows[1:]
    assert places(table) == [f"x:{line}" for line in starts(rows, written)[1:]]


@given(st.lists(st.text(CHARACTERS), min_size=1))
def test_one_column_comes_back(values):
    writer = io.StringIO(newline="")
    csv.writer(writer).writerows([value] for value in ["text", *values])
    assert texts(read(writer.getvalue())) == values


@given(
    st.lists(st.tuples(*[st.text(CHARACTERS).map(one_cell)] * 2), min_size=1)
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tsv_comes_back(end, pairs):
    rows = [("text", "b"), *pairs]
    content = "".join(f"{a}\t{b}{end}" for a, b in rows)
    table = read(content, "tsv")
    assert pairs_of(table, "text") == pairs
    assert table.place(len(pairs) - 1) == f"x:{len(pairs) + 1}"


@given(
    st.lists(st.text('ab",\n\r é'), min_size=1).map("".join),
    st.integers(1, 3),
)
def test_cells_are_those_of_pythons_csv(content, width):
    # A quote after a space opens a cell for us, and is a character for Python.
    assume(' "' not in content)
    header = ",".join(["text", "b", "c"][:width])
    content = f"{header}\n{content}\n"
    rows = list(csv.reader(io.StringIO(content, newline="")))[1:]
    while rows and not rows[-1]:
        rows.pop()
    try:
        table = read(content)
    except UserError as error:
        is_closed = "never closed" not in str(error)
        assert (
            not rows or {len(row) for row in rows} != {width} or (not is_closed)
        )
        return
    assert texts(table) == [row[0] if row else "" for row in rows]
    assert len(table.lines) == len(rows)


@given(st.lists(st.tuples(TEXTS, st.text(CHARACTERS)), min_size=1))
def test_json_comes_back(pairs):
    content = "".join(
        json.dumps({"text": a, "b": b}, ensure_ascii=len(a) % 2) + "\n"
        for a, b in pairs
    )
    table = read(content, "jsonl")
    assert pairs_of(table, "text") == pairs
    assert table.place(len(pairs) - 1) == f"x:{len(pairs)}"
