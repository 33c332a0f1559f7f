"""Texts with several endings: CSV and JSON files, and what is wrong in them."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.common import json_lines

from bert_tf.data import multiple_choice
from bert_tf.data.labelled_table import TableSettings
from bert_tf.data.multiple_choice import ChoiceExample
from bert_tf.data.tabular.table import is_empty
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")

HEADER = "sent1,sent2,ending0,ending1,ending2,label\n"
ROWS = HEADER + "One.,He,runs.,walks.,sits.,2\nTwo.,,yes,no,,0\n"


def read(content, set_type="train", name="x.csv", **settings):
    """The examples of a file with this content."""
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "wb") as writer:
        writer.write(content.encode())
    settings[f"{set_type}_file"] = name
    settings = TableSettings(**settings)
    (examples,) = multiple_choice.read_sets(settings, [set_type]).values()
    return examples


def error_of(*arguments, **settings):
    with pytest.raises(UserError) as caught:
        read(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_csv_becomes_examples():
    assert read(ROWS) == [
        ChoiceExample(
            "train-0", "One.", ["He runs.", "He walks.", "He sits."], "2"
        ),
        ChoiceExample("train-1", "Two.", ["yes", "no"], "0"),
    ]


def test_columns_are_sorted_by_number():
    numbers = [*range(10, -1, -1)]
    header = ",".join(f"ending{i}" for i in numbers)
    row = ",".join(f"e{i}" for i in numbers)
    content = f"more,{header},sent1\n,{row},a\n"
    (example,) = read(content, "test")
    assert example.endings == [f"e{i}" for i in range(11)]
    assert (example.guid, example.label) == ("test-0", None)


@pytest.mark.parametrize("form", [json_lines, lambda *rows: json.dumps(rows)])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.jsonl.gz", "x.txt"])
def test_json_becomes_examples(name, form):
    examples = read(
        form(
            {"sent1": "a", "ending0": "b", "ending1": "c", "label": 0},
            {
                "sent1": "d",
                "sent2": "S",
                "label": "2.0",
                **{"ending0": 1, "ending1": "2", "ending2": 3, "ending3": None},
            },
        ),
        name=name,
    )
    assert examples == [
        ChoiceExample("train-0", "a", ["b", "c"], "0"),
        ChoiceExample("train-1", "d", ["S 1", "S 2", "S 3"], "2"),
    ]


def test_lists_of_endings():
    rows = (
        {"sent1": "a", "endings": ["b", "c", ""], "label": 0},
        {"sent1": "d", "endings": ["e", "f", "g"], "label": 2},
    )
    examples = read(json_lines(*rows), name="x.json")
    assert [e.endings for e in examples] == [["b", "c"], ["e", "f", "g"]]
    rows[1]["endings"] = "e, f"
    assert error_of(json_lines(*rows), name="x.json") == (
        'x.json:2: "endings" must be a list'
    )
    rows[1]["endings"] = ["e", ["f"]]
    assert error_of(json_lines(*rows), name="x.json") == (
        'x.json:2: "endings" must be a list of texts or numbers'
    )


def test_other_kinds_of_files():
    expected = read(ROWS)
    assert read(ROWS, name="x.csv.gz") == expected
    assert read(ROWS.replace(",", ";"), delimiter=";") == expected
    assert read(ROWS.replace(",", "\t"), delimiter="\\t") == expected


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "the file is empty"),
        (HEADER, "no examples in this file"),
        (
            "text,ending0,ending1,label\na,b,c,0\n",
            " has no column sent1; it has text, ending0, ending1, label",
        ),
        (
            "sent1,ending0,ending1\na,b,c\n",
            " has no column label; it has sent1, ending0, ending1",
        ),
        *(
            (
                f"sent1,{names},label\na,b,c,0\n",
                "the endings must be in columns ending0, ending1 and so on, at "
                f"least two; it has sent1, {names.replace(',', ', ')}, label",
            )
            for names in ("ending1,ending2", "ending0,ending2", "ending0,b")
        ),
        (
            "sent1,ending0,ending1,ending0,label\na,b,c,b,0\n",
            " has 2 columns ending0",
        ),
    ],
)
def test_wrong_columns_are_named(content, message):
    between = "" if message.startswith(" ") else ": "
    assert error_of(content) == f"x.csv{between}{message}"


RANGE = "it must be a whole number from 0 to {}, that of the right ending"


@pytest.mark.parametrize(
    "row, message",
    [
        ("a,,b,,,0", "1 ending, but there must be at least two"),
        ("a,s,, ,,0", "no endings, but there must be at least two"),
        ("a,,b,,d,0", "ending1 is empty, but ending2 is not"),
        ("a,,b,c,,2", "label '2'; " + RANGE.format(1)),
        ("a,,b,c,d,3", "label '3'; " + RANGE.format(2)),
        ("a,,b,c,d,-2", "label '-2'; " + RANGE.format(2)),
        ("a,,b,c,d,0.5", "label '0.5'; " + RANGE.format(2)),
        ("a,,b,c,d,B", "label 'B'; " + RANGE.format(2)),
    ],
)
@pytest.mark.parametrize("set_type", ["train", "dev"])
def test_wrong_rows_are_named(row, message, set_type):
    content = HEADER + f'"a\n",,b,c,,1\n{row}\n'
    assert error_of(content, set_type) == f"x.csv:4: {message}"


@pytest.mark.parametrize("label", ["", " ", "-1", "-100", "?", "NaN", "None"])
def test_rows_without_a_label(label, warnings):
    content = HEADER + f"a,,b,c,,1\nd,,e,f,,{label}\ng,,h,i,,0\n"
    for set_type in ("train", "dev"):
        assert [e.label for e in read(content, set_type)] == ["1", "0"]
    message = "no label (row of line 3 first): left out"
    assert warnings() == [f"x.csv: 1 of 3 rows has {message}"] * 2
    assert [e.label for e in read(content, "test")] == ["1", None, "0"]
    found = error_of(content, strict=True)
    assert found == "x.csv:3: no label in label, under strict"


def test_named_labels_are_missing():
    content = HEADER + "a,,b,c,,1\nd,,e,f,,9\ng,,h,i,,0\n"
    found = read(content, missing_label=["9"])
    assert [example.label for example in found] == ["1", "0"]
    message = error_of(content.replace("9", "-1"), missing_label=["9"])
    assert message.startswith("x.csv:3: label '-1'; ")
    rows = [
        {"sent1": "a", "ending0": "b", "ending1": "c", "label": label}
        for label in ([1], None, -1, 0)
    ]
    found = read(json_lines(*rows), name="x.json")
    assert [example.label for example in found] == ["1", "0"]


def test_wrong_json_is_named():
    message = error_of(json_lines({"ending0": 1, "ending1": 2}), name="x.json")
    assert message == 'x.json:1: no "sent1"; the keys are ending0, ending1'
    assert error_of("", name="x.json") == "x.json: no examples in this file"
    assert "JSON files are always utf-8" in error_of(
        "", name="x.json", encoding="cp1252"
    )


@pytest.mark.parametrize("label", ["1", "1.0", " 1 ", "1e0"])
def test_spellings_of_a_label(label):
    content = HEADER + f"a,,b,c,,{label}\nd,,e,f,,0\n"
    assert [example.label for example in read(content)] == ["1", "0"]


def test_labels_of_a_test_set(warnings):
    content = HEADER + "a,,b,c,,1\na,,b,c,,\na,,b,c,,7\na,,b,c,,x\n"
    examples = read(content, "test")
    assert [e.label for e in examples] == ["1", None, None, None]
    assert warnings() == [
        "x.csv: 2 of 4 rows have a label that is not the number of an ending "
        "(row of line 4 first): unknown"
    ]
    assert error_of(content, "test", strict=True) == (
        "x.csv:4: a label that is not the number of an ending in label, under "
        "strict"
    )
    rows = json_lines(
        {"sent1": "a", "endings": ["b", "c"]},
        {"sent1": "a", "endings": ["b", "c"], "label": 1},
    )
    examples = read(rows, "test", "x.json")
    assert [e.label for e in examples] == [None, "1"]


def test_rows_without_text(warnings):
    content = HEADER + "a,,b,c,,1\n ,,b,c,,0\n,,b,c,,0\nd,,e,f,,0\n"
    found = read(content)
    assert [example.guid for example in found] == ["train-0", "train-3"]
    what = "x.csv: 2 of 4 rows have no text (row of line 3 first): "
    assert warnings() == [what + "left out"]
    for set_type in ("dev", "test"):
        examples = read(content, set_type)
        assert [e.text for e in examples] == ["a", " ", "", "d"]
        assert warnings()[-1] == what + "kept, to be predicted"
    assert error_of(content, strict=True) == (
        "x.csv:3: no text in sent1, under strict"
    )
    message = "x.csv: no row has a text in sent1"
    assert error_of(HEADER + ",,b,c,,1\n") == message


def test_nothing_to_learn():
    content = HEADER + "a,,b,c,,0\nd,,e,f,,0.0\n"
    assert error_of(content) == (
        "x.csv: all 2 rows have the label '0': there is nothing to learn"
    )
    assert len(read(content, "dev")) == 2


def test_ids():
    header, one, two = ROWS.splitlines(keepends=True)
    content = f"key,{header} train-9  b,{one},{two}"
    examples = read(content, "dev", id_column="key")
    assert [example.guid for example in examples] == ["train-9 b", "dev-1"]
    assert read(ROWS, id_column="key")[0].guid == "train-0"
    assert error_of(ROWS, "test", id_column="key").startswith(
        "id_column=key: x.csv has no such column; it has sent1, sent2, "
    )


def test_splits():
    rows = [f"t{i},,b,c,,{i % 2}\n" for i in range(100)]
    settings = {"dev_fraction": 0.2, "test_fraction": 0.1}
    with open("x.csv", "w") as writer:
        writer.write(HEADER + "".join(rows))
    sets = ["train", "dev", "test"]
    found = multiple_choice.read_sets(
        TableSettings(train_file="x.csv", **settings), sets
    )
    assert [len(examples) for examples in found.values()] == [70, 20, 10]
    for name, examples in found.items():
        assert sum(e.label == "1" for e in examples) == len(examples) / 2
        for example in examples:
            assert example.guid == f"{name}-{example.text[1:]}"
    # People's own ids stay as they are.
    with open("x.csv", "w") as writer:
        ids = [f"train-{i},{row}" for i, row in enumerate(rows)]
        writer.write("key," + HEADER + "".join(ids))
    found = multiple_choice.read_sets(
        TableSettings(train_file="x.csv", id_column="key", **settings), sets
    )
    for example in found["dev"]:
        assert example.guid == f"train-{example.text[1:]}"


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(CHARACTERS | st.sampled_from('",\n\r '))
ENDINGS = TEXTS.filter(lambda text: not is_empty(text))


@given(
    rows=st.lists(
        st.tuples(TEXTS, st.lists(ENDINGS, min_size=2, max_size=5)), min_size=1
    )
)
@pytest.mark.parametrize("form", ["csv", "json", "list"])
def test_whatever_is_written_comes_back(form, rows):
    names = [f"ending{i}" for i in range(5)]
    if form == "csv":
        writer = io.StringIO(newline="")
        lines = [[text, *endings] for text, endings in rows]
        csv.writer(writer, quoting=csv.QUOTE_ALL).writerows(
            [line + [""] * (6 - len(line)) for line in lines]
        )
        content = ",".join(["sent1", *names]) + "\n" + writer.getvalue()
    else:
        content = json_lines(
            *(
                {"sent1": text, "endings": endings}
                if form == "list"
                else {"sent1": text, **dict(zip(names, endings, strict=False))}
                for text, endings in rows
            )
        )
    name = "x.csv" if form == "csv" else "x.json"
    examples = read(content, "test", name)
    assert [(e.text, e.endings) for e in examples] == rows
