"""JSON objects of a file, however it has them, and where each starts."""

import gzip
import json

import pandas as pd
import pytest
from support.common import TESTS

from bert_tf.data.tabular.csv_files import read_table
from bert_tf.data.tabular.json_objects import read_objects
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")
REPORTS = TESTS / "reports"
ROWS = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
FRAME = pd.DataFrame(ROWS)


def read(content):
    content = content if isinstance(content, str) else json.dumps(content)
    with open("x", "w", encoding="utf-8") as writer:
        writer.write(content)
    return [*read_objects("x")]


def rows(content):
    return [value for _, value in read(content)]


def error_of(content):
    with pytest.raises(UserError) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def viewer(found):
    rows = [{"row_idx": i, "row": row} for i, row in enumerate(found)]
    return {"features": [{"name": "text"}], "rows": rows, "num_rows_total": 2}


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        json.dumps(ROWS, indent=2),
        "\n".join(map(json.dumps, ROWS)),
        "".join(map(json.dumps, ROWS)),
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        "\ufeff" + json.dumps(ROWS),
        json.dumps(ROWS[:1]) + "\n" + json.dumps(ROWS[1:]) + "\n",
        {"text": ["a", "b"], "label": [0, 1]},
        {"data": ROWS},
        {"version": "1.0", "examples": ROWS},
        {"rasa_nlu_data": {"common_examples": ROWS}},
        json.dumps({"train": ROWS}, indent=1),
        viewer(ROWS),
        json.dumps(viewer(ROWS), indent=4),
        *(
            FRAME.to_json(orient=orient)
            for orient in (
                "records",
                "columns",
                "index",
                "split",
            )
        ),
        FRAME.to_json(orient="columns", indent=2),
        FRAME.to_json(orient="records", lines=True),
    ],
)
def test_layouts(content):
    assert rows(content) == ROWS


def test_objects_that_are_rows_themselves():
    """One sentence, one text with spans: no columns, no wrapper."""
    for value in (
        {"tokens": ["a", "b"], "ner_tags": [0, 1]},
        {"text": "a", "entities": [{"start": 0}]},
        {"text": "a", "endings": ["b", "c"], "label": 0},
        {"text": "a"},
        {},
    ):
        assert read(value) == [(1, value)]
    several = {"tokens": [["a"], ["b"]], "ner_tags": [[0], [1]]}
    assert rows(several) == [
        {"tokens": ["a"], "ner_tags": [0]},
        {"tokens": ["b"], "ner_tags": [1]},
    ]


def test_each_object_has_its_line():
    assert [line for line, _ in read(json.dumps(ROWS, indent=1))] == [2, 6]
    text = json.dumps({"v": [1], "data": ROWS}, indent=1)
    lines = [line for line, _ in read(text)]
    assert [text.split("\n")[line - 1].strip() for line in lines] == ["{"] * 2
    table = read_table(str(REPORTS / "C12_array.json"), "jsonl")
    assert (len(table), table.place(39)[-4:]) == (40, ":158")
    table = read_table(str(REPORTS / "C12_pretty.jsonl"), "jsonl")
    assert (len(table), table.texts("label")[:2]) == (40, ["0", "1"])
    assert table.line(1) == 5


def test_large_lists_are_read_in_parts():
    many = [{"text": "x" * 700, "id": i} for i in range(4000)]
    found = read(json.dumps(many, indent=1))
    assert [value["id"] for _, value in found] == [*range(4000)]
    assert found[-1][0] == 3999 * 4 + 2
    broken = json.dumps(many)[:-2] + ",}]"
    assert "the comma before it is one too many" in error_of(broken)


def test_compressed_lists():
    with gzip.open("y", "wt") as writer:
        writer.write(json.dumps(ROWS))
    assert [value for _, value in read_objects("y")] == ROWS


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"text": "a"},]', "x:1: not JSON: Expecting value at position 16"),
        ('[\n{"text": "a"}\n{"text": "b"}]', "x:3: not JSON: Expecting ','"),
        ('[{"text": "a"}', "x:1: not JSON: the file ends before its last"),
        ('{\n "text": "a"\n "label": 1}', "x:3: not JSON: Expecting ','"),
        ('{"text": "a",}\n{"text": "b"}', "the comma before it is one too"),
        ('{"text": "a"},\n{"text": "b"}', "JSON lines have no commas between"),
        ("{'text': 'a'}\n", "Python's quotes ' are not JSON's"),
        ('{"text": None}\n', "this is Python's word"),
        ('{"text": "a"\n{"text": "b"}\n', "x:1: not JSON: Expecting ','"),
        ("[[1, 2], [3]]", "x:1: not an object such as"),
        ('["a", "b"]\n["c", "d"]\n', "x:1: not an object such as"),
        (
            json.dumps({"train": ROWS, "test": ROWS}),
            "x: an object with several sets: train, test; write each of them",
        ),
        ("text,label\na,1\n", "x:1: not JSON: Expecting value"),
    ],
)
def test_mistakes_have_their_place(content, message):
    assert message in error_of(content)


def test_a_key_that_is_twice(warnings):
    rows('{"text": "b", "label": 0}\n{"text": "a", "text": "b"}\n')
    (message,) = warnings()
    assert message.startswith('x:2: an object has the key "text" twice')
    rows('{"text": "say \\"text\\": \\"b\\"", "n": {"text": 1}}\n{}\n')
    assert len(warnings()) == 1


def test_a_list_of_objects_is_no_column(tmp_path, caplog):
    """SQuAD's paragraphs, alone in an object."""
    path = tmp_path / "x.json"
    content = {"paragraphs": [{"context": "a"}, {"context": "b"}]}
    path.write_text(json.dumps(content))
    with caplog.at_level("DEBUG", logger="absl"):
        assert [*read_objects(str(path))] == [(1, content)]
    assert not caplog.records
