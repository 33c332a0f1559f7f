"""Tables of labelled texts that were put together, exported or annotated."""

import json

import pytest
from absl import logging

from bert_tf.data.labelled_table import TableSettings, read_sets
from bert_tf.errors import UserError

WORDS = "film plot cast song joke scene".split()
TEXTS = [f"a {x} and a {y} of it" for x in WORDS for y in WORDS if x != y][:12]
LABELS = ["pos", "neg"] * 6


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(
        logging, "warning", lambda line, *values: lines.append(line % values)
    )
    return lines


def read(content, format="csv", sets=("train",), **settings):
    for name in sets:
        with open(f"{name}.x", "wb") as writer:
            writer.write(
                content if isinstance(content, bytes) else content.encode()
            )
    files = {f"{name}_file": f"{name}.x" for name in sets}
    return read_sets(TableSettings(**files, **settings), format, sets)


def labels(*arguments, **settings):
    return [x.label for x in read(*arguments, **settings)["train"]]


def lines(*values, key="label"):
    pairs = zip(TEXTS, values * 12, strict=False)
    return "".join(f"{json.dumps({'text': t, key: v})}\n" for t, v in pairs)


def rows(start="", end="", delimiter=",", texts=TEXTS):
    return "".join(
        f"{start}{t}{delimiter}{one}{end}\n"
        for t, one in zip(texts, LABELS, strict=True)
    )


def error_of(*arguments, **settings):
    with pytest.raises(UserError) as error:
        read(*arguments, **settings)
    return str(error.value)


# ---------------------------------------------------------------------------
# Files that were put together.


@pytest.mark.parametrize("header", ["text,label\n", "", '"text","label"\n'])
def test_byte_order_marks_within(header, warnings):
    first = header or "text,label\n"
    content = f"\ufeff{first}{rows()}\ufeff{header}{rows()}"
    found = read(content)["train"]
    assert [x.text_a for x in found] == TEXTS * 2
    assert [x.label for x in found] == LABELS * 2
    assert any("names of the columns again" in w for w in warnings) == bool(
        header
    )


def test_byte_order_marks_within_json_lines():
    content = lines(*LABELS)
    assert labels(f"\ufeff{content}\ufeff{content}", "jsonl") == LABELS * 2


# ---------------------------------------------------------------------------
# Objects in place of labels.


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ([{"label": 0, "user": 1}], [{"label": 1, "user": 0}], ["0", "1"]),
        ({"displayName": "a"}, {"displayName": "b "}, ["a", "b"]),
        ([{"name": "a ", "score": 0.9}], [{"name": "b"}], ["a", "b"]),
        ({"label": "a"}, {"label": "b"}, ["a", "b"]),
    ],
)
def test_objects_that_name_a_label(first, second, expected):
    assert labels(lines(first, second), "jsonl") == expected * 6


def test_several_objects_that_name_labels():
    found = labels(
        lines([{"name": "a"}, {"name": "b"}], [{"name": "b"}]),
        "jsonl",
        problem_type="multi_label",
    )
    assert found[:2] == [("a", "b"), ("b",)]


def test_objects_of_marks_stay():
    found = labels(
        lines({"name": 1, "class": 0}, {"name": 0, "class": 1}), "jsonl"
    )
    assert found[:2] == ["name", "class"]


@pytest.mark.parametrize(
    "value, message",
    [
        ([[0, 3, "PER"]], "task_name=ner reads"),
        ([{"start": 0, "end": 3, "label": "PER"}], "task_name=ner reads"),
        (
            [{"Name": "a", "Score": 0.9}, {"Name": "b", "Score": 0.1}],
            "scores of several labels",
        ),
    ],
)
def test_objects_that_are_no_labels(value, message):
    for kind in "single_label", "multi_label":
        found = error_of(lines(value), "jsonl", problem_type=kind)
        assert found.startswith("train.x:1: ") and message in found


def test_answers_of_one_label():
    content = "".join(
        json.dumps({"text": t, "label": "POS", "answer": a}) + "\n"
        for t, a in zip(TEXTS, ["accept", "reject"] * 6, strict=True)
    )
    assert "label_column=answer" in error_of(content, "jsonl")
    found = labels(content, "jsonl", label_column="answer")
    assert found == ["accept", "reject"] * 6


# ---------------------------------------------------------------------------
# Exports.


@pytest.mark.parametrize(
    "text, hint",
    [
        ("1,5", "write 1.5"),
        ("1.234,5", "thousands"),
        ("1,234,567", "thousands"),
        ("12 %", "without a unit"),
        ("good", ""),
    ],
)
def test_numbers_that_are_written_otherwise(text, hint):
    content = f"text;label\na b;{text}\nc d;2\n"
    found = error_of(content, delimiter=";", problem_type="regression")
    assert f"label {text!r} in" in found and hint in found
    assert ("finite number:" in found) == bool(hint)


@pytest.mark.parametrize(
    "content, settings, hint",
    [
        ("text\tlabel\n1\ta b\tx\n2\tc d\ty\n", {"format": "tsv"}, "R's"),
        ('"text"\t"label"\n"1"\t"a"\t"x"\n', {"format": "tsv"}, "R's"),
        ("text,label\na b,x,\nc d,y,\n", {}, "a delimiter ends the row"),
        ('"text" "label"\n"1" "a b" "x"\n', {}, "separated by ' '"),
        ('"text" "label"\n"a b" "x"\n', {"format": "tsv"}, "separated by ' '"),
    ],
)
def test_rows_wider_than_the_header(content, settings, hint):
    assert hint in error_of(content, **settings)


def test_the_likeliest_encoding_is_named():
    content = "text,label\nsch\xf6n,x\n"
    assert "=latin-1 is" in error_of(content.encode("latin-1"))
    content = "text,label\na \u2013 b,x\n"
    found = error_of(content.encode("cp1252"))
    assert "byte 0x96 in line 2" in found and "=cp1252 is" in found
    found = error_of(content.replace("\n", "\r").encode("cp1252"))
    assert "byte 0x96 in line 2" in found


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda t: t.replace(" and", " \x96 and"), "control characters"),
        (lambda t: t.replace("a ", "h?tte ", 1), "question mark within"),
        (lambda t: t[:-2] + "...", "three points at the end"),
        (
            lambda t: f"101 {' '.join(str(ord(c)) for c in t)}",
            "numbers",
        ),
    ],
)
def test_texts_that_were_changed(change, what, warnings):
    encoding = {"encoding": "latin-1"} if "\x96" in change(TEXTS[0]) else {}
    content = "text,label\n" + rows(texts=[*map(change, TEXTS)])
    read(content.encode(encoding.get("encoding", "utf-8")), **encoding)
    assert len(warnings) == 1 and what in warnings[0]
    assert "12 of 12 rows" in warnings[0]


def test_questions_are_no_lost_letters(warnings):
    texts = [f"{t}? so is x?y=1 and https://a.b/c?d" for t in TEXTS]
    read("text,label\n" + rows(texts=texts))
    assert not warnings


def test_a_test_set_with_one_label(warnings):
    content = "text,label\n" + rows()
    read(content)
    assert not warnings
    with open("test.y", "w", encoding="utf-8") as writer:
        writer.write("text,label\n")
        writer.writelines(f"{t} too,pos\n" for t in TEXTS)
    settings = TableSettings(train_file="train.x", test_file="test.y")
    read_sets(settings, "csv", ["train", "test"])
    assert (
        len(warnings) == 1
        and "all 12 rows have the label 'pos'" in (warnings[0])
    )


@pytest.mark.parametrize("sign", "#|;")
def test_another_delimiter_of_labels_is_named(sign):
    pairs = [f"a{sign}b", f"b{sign}c", "a", f"c{sign}a"]
    found = error_of(lines(*pairs), "jsonl", problem_type="multi_label")
    assert found.endswith(f"label_delimiter={sign}")


def tasks(*chosen, **changes):
    """A file of Label Studio's tasks, and what was chosen for each."""

    def annotation(value):
        result = {
            "from_name": "mood",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": value},
        }
        return {"id": 1, "was_cancelled": False, "result": [result], **changes}

    return json.dumps(
        [
            {
                "id": 5,
                "data": {"text": text},
                "annotations": [*map(annotation, a)],
            }
            for text, a in zip(TEXTS, chosen, strict=False)
        ]
    )


@pytest.mark.parametrize("column", ["label", "mood"])
def test_tasks_of_label_studio(column, warnings):
    content = tasks([["glad"]], [["sad"], ["glad"]], [], [["sad"]])
    found = read(content, "jsonl", label_column=column)["train"]
    assert [e.label for e in found] == ["glad", "sad", "sad"]
    assert [e.text_a for e in found] == [TEXTS[0], TEXTS[1], TEXTS[3]]
    assert "1 of 4 tasks has several annotations (line 1 first)" in warnings[0]
    assert "1 of 4 rows has" in warnings[1]


def test_several_choices_of_label_studio(warnings):
    content = tasks([["glad", "calm"]], [["sad"]])
    found = read(content, "jsonl", problem_type="multi_label")["train"]
    assert [e.label for e in found] == [("glad", "calm"), ("sad",)]
    with pytest.raises(UserError):
        read(tasks([["glad"]], was_cancelled=True), "jsonl")
