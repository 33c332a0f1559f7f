"""Files of texts that belong together: what they hold, and mistakes in them."""

import json

import numpy as np
import pytest
from support.common import shared
from support.programs import write

from bert_tf.data.group_columns import GroupSettings
from bert_tf.data.group_targets import (
    draw_partners,
    same_groups,
    scaled_scores,
)
from bert_tf.data.text_groups import read_groups
from bert_tf.errors import UserError


def read(folder, text, name="some.csv", **settings):
    path = write(folder, name, text)
    return read_groups(str(path), GroupSettings(**settings))


def rows_of(groups):
    return [(*row.texts, row.label) for row in groups]


# (name, content, settings, kind, rows).
FILES = {
    "pairs": (
        *("a.csv", "anchor,positive\na,b\nc,d\n", {}, "pairs"),
        [("a", "b", None), ("c", "d", None)],
    ),
    "queries": (
        *("a.tsv", "id\tquery\tanswer\n1\ta\tb\n", {}, "pairs"),
        [("a", "b", None)],
    ),
    "several_negatives": (
        "a.csv",
        "anchor,positive,negative_2,negative\na,b,c,d\n",
        *({}, "triples", [("a", "b", "c", "d", None)]),
    ),
    "objects": (
        "a.jsonl",
        json.dumps({"anchor": "a", "positive": "b", "negative": "c"}),
        *({}, "triples", [("a", "b", "c", None)]),
    ),
    "scored": (
        *("a.csv", "text,text_pair,label\na,b,0.5\n", {}, "scored"),
        [("a", "b", 0.5)],
    ),
    "pairs_without_scores": (
        *("a.csv", "sentence1,sentence2\na,b\n", {}, "pairs"),
        [("a", "b", None)],
    ),
    "labelled": (
        *("a.csv", "label,text\nx,a\n", {}, "labelled", [("a", "x")]),
    ),
    "lines": (
        *("a.txt", "one\n\ntwo, three\n", {}, "sentences"),
        [("one", None), ("two, three", None)],
    ),
    "all_columns_as_sentences": (
        "a.csv",
        "sentence1,sentence2,score\na,b,1\na,c,2\n",
        *({"train_on": "sentences"}, "sentences"),
        [("a", None), ("b", None), ("c", None)],
    ),
    "named_columns": (
        "a.csv",
        "x,y,z\na,b,c\n",
        *({"text_columns": ["z", "x"]}, "pairs", [("c", "a", None)]),
    ),
    "named_columns_and_scores": (
        "a.csv",
        "x,y,z\na,b,3\n",
        {"text_columns": ["x", "y"], "score_column": "z"},
        *("scored", [("a", "b", 3.0)]),
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_columns_say_what_a_file_holds(tmp_path, case):
    name, text, settings, kind, rows = FILES[case]
    groups = read(tmp_path, text, name, **settings)
    assert groups.kind == kind
    assert rows_of(groups) == rows


def test_glues_own_file_is_read():
    path = shared("data/glue/STS-B/train.tsv")
    groups = read_groups(str(path), GroupSettings())
    assert (groups.kind, len(groups)) == ("scored", 5749)
    assert groups[0].texts[0] == "A plane is taking off."
    assert groups[0].line == 2
    assert scaled_scores(groups)[:2] == pytest.approx([1, 0.76])


def test_rows_without_a_text_are_left_out(tmp_path, caplog):
    text = "anchor,positive\na,b\nc,\n"
    assert len(read(tmp_path, text)) == 1
    assert "1 of 2 rows has no text (row of line 3 first): left" in caplog.text
    with pytest.raises(UserError, match=":3: no text in .*, under strict"):
        read(tmp_path, text, strict=True)
    # Such a row needs no label or score either.
    for text in (
        "text,label\na,x\n,\n",
        "sentence1,sentence2,score\na,b,1\n,,\n",
    ):
        assert len(read(tmp_path, text)) == 1


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            *("anchor,positive\na,b\n", {"train_on": "triples"}),
            "columns anchor, positive, and not anchor, positive and negative",
        ),
        ("x,y\na,b\n", {}, "columns x, y, and none of these: anchor and"),
        (
            *("anchor,positive,hard_negative\na,b,c\n", {}),
            "the column hard_negative is not read as negatives; they are",
        ),
        (
            "sentence1,sentence2,score\na,b,1\nc,d,much\n",
            *({}, r":3: the score 'much' in the column score is not a number"),
        ),
        (
            "sentence1,sentence2,score\na,b,1\nc,d,\n",
            *({}, r":3: the score '' in the column"),
        ),
        ("sentence1,sentence2,score\na,b,nan\n", {}, ":2: the score 'nan' in"),
        ("sentence1,sentence2,score\na,b,-inf\n", {}, ":2: the score '-inf'"),
        ("sentence1,sentence2,score\na,b,1_0\n", {}, ":2: the score '1_0' in"),
        (
            *("x,y\na,b\n", {"text_columns": ["x", "Y"]}),
            "no such column; it has x, y; did you mean 'y'?",
        ),
        (
            "x,y\na,b\n",
            {"text_columns": ["x", "y"], "train_on": "triples"},
            "needs anchor, positive and negative, in this order",
        ),
        (
            *("x,y\na,b\n", {"text_columns": ["x"], "train_on": "scored"}),
            "train_on=scored needs 2 columns",
        ),
        ("text,label\na,x\nb,\n", {}, r":3: no label in the column label"),
        ("anchor,positive\n,\n", {}, "no row has all its texts"),
        ("anchor,positive\n", {}, "some.csv: there are no rows"),
        (
            *(
                "text,label\na,x\n",
                {"train_on": "labelled", "label_column": "l"},
            ),
            "has no column l; it has text, label",
        ),
        (
            "sentence1,sentence2\na,b\n",
            {"train_on": "scored", "score_column": "rating"},
            "has no column rating; it has sentence1, sentence2",
        ),
        (
            *("x,y\na,b\n", {"text_columns": ["x", "x"]}),
            "text_columns=x,x: names a column twice",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, text, settings, message):
    with pytest.raises(UserError) as error:
        read(tmp_path, text, **settings)
    assert message in str(error.value)


def test_scores_become_cosines(tmp_path):
    text = "sentence1,sentence2,score\na,b,1\nc,d,2\ne,f,5\n"
    groups = read(tmp_path, text)
    assert scaled_scores(groups).tolist() == [0, 0.25, 1]
    assert scaled_scores(groups, (0, 5)) == pytest.approx([0.2, 0.4, 1])
    with pytest.raises(UserError, match=":4: the score 5 is outside of it"):
        scaled_scores(groups, (0, 4))
    with pytest.raises(UserError, match="1 row and one score, 1: there is not"):
        scaled_scores(read(tmp_path, text.split("c,d")[0]))
    wide = "sentence1,sentence2,score\na,b,-1e308\nc,d,1e308\n"
    assert scaled_scores(read(tmp_path, wide)).tolist() == [0, 1]


def test_rows_that_share_a_text_are_no_negatives():
    questions = ["q1", "q2", "q3", "q4", "q1"]
    answers = ["a", "b", "a", "c", "d"]
    found = same_groups([questions, answers])
    assert found[0] == found[2] == found[4]
    assert len({*found.tolist()}) == 3


def test_partners_have_the_same_label():
    labels = np.array(list("abacabdba"))
    pairs = draw_partners(labels.tolist(), num_rounds=3, seed=1)
    assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    # Each row three times, but those that are alone with their label.
    counts = np.bincount(pairs[:, 0], minlength=len(labels))
    assert counts.tolist() == [3, 3, 3, 0, 3, 3, 0, 3, 3]
    assert len(draw_partners(["a", "b"], 2, 1)) == 0
