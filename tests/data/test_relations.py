"""Files of sentences with two marked entities, and what is wrong in them."""

import gzip
import json

import pytest
from absl import logging
from hypothesis import given
from hypothesis import strategies as st
from support.common import json_lines

from bert_tf.data import relations
from bert_tf.data.relations import RelationExample, parse_marked
from bert_tf.data.splits import FileSettings
from bert_tf.errors import UserError

pytestmark = pytest.mark.usefixtures("here")

SENTENCES = """1\t"The <e1>child</e1> was in the <e2>cradle</e2>."
Entity-Destination(e1,e2)
Comment: in it

2\t"The <e2>fire</e2> of the "<e1>match</e1>""
Cause-Effect(e2,e1)
Comment:

"""
FIRST = RelationExample(
    "1",
    "The child was in the cradle.",
    (4, 9),
    (21, 27),
    "Entity-Destination(e1,e2)",
)
SECOND = RelationExample(
    "2", 'The fire of the "match"', (17, 22), (4, 8), "Cause-Effect(e2,e1)"
)
ROW = {
    "text": FIRST.text,
    "e1": [4, 9],
    "e2": [21, 27],
    "label": "Entity-Destination(e1,e2)",
}


def write(content, name="x.txt"):
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "wb") as writer:
        writer.write(content.encode() if isinstance(content, str) else content)
    return name


def read(content, set_type="train", name="x.txt", **settings):
    return relations.read_relations(write(content, name), set_type, **settings)


def read_json(*rows, set_type="dev", **settings):
    return read(json_lines(*rows), set_type, "x.jsonl", **settings)


def error_of(function, *arguments, **settings):
    with pytest.raises(UserError) as caught:
        function(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def infos(monkeypatch):
    lines = []
    monkeypatch.setattr(
        logging, "info", lambda text, *args: lines.append(text % args)
    )
    return lines


# ---------------------------------------------------------------------------
# SemEval's layout.


def test_semevals_layout():
    found = read(SENTENCES)
    assert found == [FIRST, SECOND]
    assert [example.place for example in found] == ["x.txt:1", "x.txt:5"]
    assert found[1].is_reversed and not found[0].is_reversed
    assert found[1].parts() == ["The ", "fire", ' of the "', "match", '"']
    assert found[1].marked() == ('The [E2]fire[/E2] of the "[E1]match[/E1]"')


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: "\n\n" + text.replace("\n\n", "\n \n\t\n"),
        lambda text: text.replace("Comment: in it\n", ""),
        lambda text: text.replace("Comment: in it", "Comment:\ta\tb"),
        # The test file has no empty lines.
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text.replace('\t"', "\t").replace('."\n', ".\n"),
        lambda text: text.replace("\n", " \n").replace("1\t", "1 \t "),
        lambda text: text.replace("<e1>", "[E1]").replace("</e2>", "[/E2]"),
    ],
)
def test_other_spellings_of_the_same_file(change):
    first, second = read(change(SENTENCES))
    assert (first, second.label) == (FIRST, SECOND.label)


def test_spaces_in_an_entity_are_not_lost():
    # KBP37's files have spaces around each entity.
    (one,) = read('0\t" <e1> Thom Yorke </e1> of <e2> Radiohead </e2>"', "test")
    assert one.parts() == [" ", " Thom Yorke ", " of ", " Radiohead ", ""]


def test_compressed_files():
    assert read(SENTENCES, name="x.txt.gz") == [FIRST, SECOND]


NEITHER = (
    "neither a sentence (its id, a tab and the text) nor the one relation "
    "after it"
)
AS_IN = 'two entities must be marked, as in "[E1]Ann[/E1] lives in [E2]Rome'


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "x.txt: no sentence in this file"),
        ("\n\n", "x.txt: no sentence in this file"),
        ("Other\n", f"x.txt:1: {NEITHER}"),
        ("Comment: a\n", f"x.txt:1: {NEITHER}"),
        (SENTENCES + "Other\n", f"x.txt:9: {NEITHER}"),
        (SENTENCES.replace("Comment:\n", "Other\n"), f"x.txt:7: {NEITHER}"),
        (
            SENTENCES + "3 <e1>a</e1> <e2>b</e2>\nOther\n",
            f"x.txt:9: {NEITHER}",
        ),
        (
            SENTENCES.rstrip("\n") + "\n3 <e1>a</e1> <e2>b</e2>\nOther\n",
            f"x.txt:8: {NEITHER}",
        ),
        (
            SENTENCES.replace("2\t", "1\t"),
            "x.txt:5: the id 1 is in line 1, too",
        ),
        (
            SENTENCES.replace("<e1>match</e1>", "match"),
            f"x.txt:5: the mark [E1] is missing; {AS_IN}",
        ),
        (
            SENTENCES.replace("</e1>", ""),
            f"x.txt:1: the mark [/E1] is missing; {AS_IN}",
        ),
        (
            SENTENCES.replace("fire", "<e2>fire"),
            f"x.txt:5: the mark [E2] occurs 2 times; {AS_IN}",
        ),
        (b"1\t<e1>\xe9</e1> <e2>b</e2>", "x.txt:1: not UTF-8: byte 0xe9"),
    ],
)
@pytest.mark.parametrize("set_type", ["train", "test"])
def test_wrong_files_are_named(content, message, set_type):
    assert error_of(read, content, set_type).startswith(message)


# ---------------------------------------------------------------------------
# Marks.


@pytest.mark.parametrize(
    "text, names",
    [
        ("<e1>a <e2>b</e2></e1>", "[E1] [E2] [/E2] [/E1]"),  # Nested.
        ("<e1>a <e2>b</e1> c</e2>", "[E1] [E2] [/E1] [/E2]"),  # Overlapping.
        ("</e1>a<e1> <e2>b</e2>", "[/E1] [E1] [E2] [/E2]"),
        ("<e1>a</e2> <e2>b</e1>", "[E1] [/E2] [E2] [/E1]"),
    ],
)
def test_marks_that_cross(text, names):
    with pytest.raises(ValueError) as caught:
        parse_marked(text)
    assert str(caught.value).startswith(f"the marks are {names}; one entity ")


@pytest.mark.parametrize(
    "text, message",
    [
        ("[E1][/E1] [E2]b[/E2]", "e1 holds no text"),
        ("[E1]a[/E1] [E2] \u2003[/E2]", "e2 holds no text"),
        (
            "e[E1]\u0301a[/E1] [E2]b[/E2]",
            "e1 starts within the character 'e\u0301'",
        ),
        (
            "[E1]a[/E1] [E2]क[/E2]ि",
            "e2 ends within the character 'कि'",
        ),
        ("[e1]a[/e1]", "the mark [E1] is missing"),
    ],
)
def test_entities_that_are_no_texts(text, message):
    with pytest.raises(ValueError) as caught:
        parse_marked(text)
    assert str(caught.value).startswith(message)


def test_entities_may_touch():
    assert parse_marked("[E2]a[/E2][E1]b[/E1]") == ("ab", (1, 2), (0, 1))


CHARACTERS = st.characters(exclude_categories=["Cs", "Mn", "Mc", "Me"])
TEXTS = st.text(CHARACTERS)
ENTITIES = TEXTS.filter(str.strip)


@given(
    parts=st.tuples(TEXTS, ENTITIES, TEXTS, ENTITIES, TEXTS),
    is_reversed=st.booleans(),
)
def test_marks_come_back(parts, is_reversed):
    before, first, between, second, _ = map(len, parts)
    start = before + first + between
    spans = (before, before + first), (start, start + second)
    e1, e2 = spans[::-1] if is_reversed else spans
    example = RelationExample("", "".join(parts), e1, e2)
    assert example.parts() == [*parts]
    assert parse_marked(example.marked()) == (example.text, e1, e2)


# ---------------------------------------------------------------------------
# JSON.


def test_json():
    rows = (ROW, {**ROW, "e1": ["21", 27], "e2": [4, 9], "label": None})
    first, second = read_json(*rows, set_type="test")
    assert (first.guid, second.guid) == ("test-0", "test-1")
    assert (first.text, first.e1, first.e2) == (FIRST.text, (4, 9), (21, 27))
    assert (second.e1, second.label) == ((21, 27), None)
    assert second.is_reversed
    row = {name: value for name, value in ROW.items() if name != "label"}
    assert read_json(row, set_type="test")[0].label is None
    assert error_of(read_json, row) == (
        'x.jsonl:1: no "label"; the keys are text, e1, e2'
    )


def test_places_are_characters():
    text = "naïve 👍🏽 日本"
    row = {"text": text, "e1": [0, 5], "e2": [9, 11], "label": "Other"}
    assert read_json(row)[0].parts() == ["", "naïve", " 👍🏽 ", "日本", ""]


WHOLE = "must be a list of two whole numbers: start, end"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"e1": 4}, f"e1 {WHOLE}"),
        ({"e1": [4]}, f"e1 {WHOLE}"),
        ({"e2": [4, 9, 10]}, f"e2 {WHOLE}"),
        ({"e2": [4, 9.5]}, f"e2 {WHOLE}"),
        ({"e2": [4, True]}, f"e2 {WHOLE}"),
        ({"e2": None}, f"e2 {WHOLE}"),
        (
            {"e1": [-1, 3]},
            "e1 is [-1, 3], which is not a part of the text of 2",
        ),
        ({"e1": [9, 4]}, "e1 is [9, 4], which is not a part of the text of 28"),
        ({"e2": [21, 29]}, "e2 is [21, 29], which is not a part of the text"),
        ({"e1": [4, 4]}, "e1 holds no text"),
        ({"e1": [3, 4]}, "e1 holds no text"),
        ({"text": None}, "e1 is [4, 9], which is not a part of the text of 0"),
        ({"e1": [4, 27]}, "e1 and e2 overlap: 'child was in the cradle' and"),
        ({"e1": [4, 22]}, "e1 and e2 overlap: 'child was in the c' and 'crad"),
        ({"e1": [21, 27]}, "e1 and e2 overlap: 'cradle' and 'cradle'"),
        (
            {"text": "The chile\u0301 was in the crade."},
            "e1 ends within the character 'e\u0301'",
        ),
    ],
)
def test_wrong_json_is_named(change, message):
    for set_type in ("dev", "test"):
        found = error_of(read_json, ROW, {**ROW, **change}, set_type=set_type)
        assert found.startswith(f"x.jsonl:2: {message}")


def test_missing_keys():
    row = {name: value for name, value in ROW.items() if name != "e2"}
    assert error_of(read_json, row) == (
        'x.jsonl:1: no "e2"; the keys are text, e1, label'
    )
    assert error_of(read, "", name="x.json") == (
        "x.json: no sentence in this file"
    )


def test_ids():
    (one,) = read_json({**ROW, "key": " a  b"}, id_column="key")
    assert one.guid == "a b"
    (one,) = read_json({**ROW, "key": None}, id_column="key")
    assert one.guid == "dev-0"
    assert error_of(read, SENTENCES, id_column="key") == (
        "id_column=key: x.txt has SemEval's layout, and ids of its own"
    )


def test_ids_are_needed_where_predictions_are_written():
    """A training file in another layout, or without the key, will do."""
    row = json.dumps({**ROW, "label": "A"})
    other = json.dumps({**ROW, "label": "B"})
    write(f"{row}\n{other}\n", "train.jsonl")
    write(SENTENCES, "train.txt")
    write(json.dumps({**ROW, "key": "k 1"}), "test.jsonl")
    for train_file in ("train.jsonl", "train.txt"):
        settings = FileSettings(train_file=train_file, test_file="test.jsonl")
        sets, _ = relations.read_sets(settings, ["train", "test"], "key")
        assert sets["test"][0].guid == "k 1" and len(sets["train"]) == 2
    settings = FileSettings(test_file="train.jsonl")
    with pytest.raises(UserError, match="key"):
        relations.read_sets(settings, ["test"], "key")


# ---------------------------------------------------------------------------
# Relations.


def test_sentences_without_a_relation(warnings):
    content = SENTENCES + "3\t<e1>a</e1> <e2>b</e2>\n"
    for set_type in ("train", "dev"):
        assert read(content, set_type) == [FIRST, SECOND]
        assert warnings()[-1] == (
            "x.txt: 1 of 3 sentences has no relation (line 9 first): left out"
        )
    assert [e.label for e in read(content, "test")][2] is None
    assert len(warnings()) == 2
    assert error_of(read, content, strict=True) == (
        "x.txt:9: no relation, under strict"
    )
    rows = (ROW, {**ROW, "label": " "}, {**ROW, "label": "NaN"})
    assert len(read_json(*rows)) == 1
    assert warnings()[-1].startswith(
        "x.jsonl: 2 of 3 sentences have no relation (line 2"
    )
    content = "1\t<e1>a</e1> <e2>b</e2>\n"
    assert error_of(read, content) == "x.txt: no sentence has a relation"


def test_lists_of_one_relation():
    rows = [{**ROW, "label": label} for label in (["a"], "b", [])]
    assert [e.label for e in read_json(*rows, set_type="test")] == [
        "a",
        "b",
        None,
    ]
    assert error_of(read_json, {**ROW, "label": ["a", "b"]}) == (
        'x.jsonl:1: "label" must be one relation'
    )


def test_nothing_to_learn():
    assert error_of(read_json, ROW, ROW, set_type="train") == (
        "x.jsonl: all 2 sentences have the relation "
        "'Entity-Destination(e1,e2)': there is nothing to learn"
    )
    assert len(read_json(ROW, ROW)) == 2


def test_relations_that_were_not_in_training(warnings):
    labels = ["Cause-Effect(e2,e1)", "Other"]
    found = read(SENTENCES, "test")
    assert relations.check_labels(found, [FIRST.label, *labels], "dev", True)
    message = (
        "x.txt:1: relation 'Entity-Destination(e1,e2)' was not in training, "
        "which had Cause-Effect(e2,e1), Other"
    )
    check = relations.check_labels
    for set_type in ("dev", "test"):
        assert error_of(check, found, labels, set_type, True).startswith(
            "x.txt:1: "
        )
    assert error_of(check, found, labels[1:], "dev", False).startswith(
        "x.txt:1: relation 'Entity-Destination(e1,e2)' was not in training"
    )
    assert error_of(check, found, labels, "dev", True) == message
    assert warnings() == []
    for set_type in ("dev", "test"):
        assert check(found, labels, set_type, False) == found
    assert (
        warnings()
        == [
            "x.txt: 1 of 2 sentences has a relation that was not in training "
            "(line 1 first): 'Entity-Destination(e1,e2)' (1); it counts as "
            "wrong, and eval_loss leaves it out"
        ]
        * 2
    )
    checked = check(found, labels[1:], "test", False)
    assert [e.label for e in checked] == [None, None]


def test_marks_of_relations(warnings):
    """NA is a relation; the mark ? is none."""
    rows = [{**ROW, "label": label} for label in ("a", "b", "NA", "?", "-1")]
    found = read_json(*rows, set_type="train")
    assert [e.label for e in found] == ["a", "b", "NA", "-1"]
    assert "'-1'" in warnings()[0] and "left out" in warnings()[1]
    found = read_json(*rows, set_type="train", missing_label=["NA", "-1"])
    assert [e.label for e in found] == ["a", "b", "?"]
    check = relations.check_labels
    known = ["a", "b", "NA"]
    found = check(read_json(*rows), known, "dev", False)
    assert [e.label for e in found] == ["a", "b", "NA"]
    found = check(read_json(*rows, set_type="test"), known, "test", False)
    assert [e.label for e in found] == ["a", "b", "NA", None, None]
    assert error_of(check, read_json(*rows), known, "dev", True) == (
        "x.jsonl:4: no relation, under strict"
    )


@pytest.mark.parametrize("key_name", ["TEST_FILE_KEY.TXT", "TEST_FILE_KEY.txt"])
def test_the_key_of_a_test_file(key_name, infos):
    lines = [f'{i}\t"<e1>a</e1> of <e2>b</e2>"\n' for i in (8001, 8002, 8003)]
    write("8002\tOther\r\n\n8001\tCause-Effect(e1,e2)\n", key_name)
    found = read("".join(lines), "test", "TEST_FILE.txt")
    assert [e.label for e in found] == ["Cause-Effect(e1,e2)", "Other", None]
    assert infos == [f"TEST_FILE.txt: the relations are those of {key_name}"]
    # A file with relations of its own needs no key.
    write("damaged", "x_KEY.TXT")
    assert read(SENTENCES) == [FIRST, SECOND]


@pytest.mark.parametrize(
    "content, message",
    [
        ("1 Other\n", "t_KEY.txt:1: must be an id, a tab and a relation"),
        ("1\t\n", "t_KEY.txt:1: must be an id, a tab and a relation"),
        ("1\tOther\n1\tOther", "t_KEY.txt:2: a second line for the id 1"),
        ("1\tOther\n7\tOther", "t_KEY.txt: t.txt has no sentence 7"),
    ],
)
def test_wrong_keys_are_named(content, message):
    write(content, "t_KEY.txt")
    sentence = "1\t<e1>a</e1> <e2>b</e2>\n"
    assert error_of(read, sentence, "test", "t.txt") == message


# ---------------------------------------------------------------------------
# Sets.


@pytest.mark.parametrize("form", ["json", "semeval"])
def test_splits(form):
    rows = [
        {"text": f"a{i} b", "e1": [0, 2], "e2": [-1, -1], "label": label}
        for i, label in enumerate(["X(e1,e2)", "X(e2,e1)"] * 50)
    ]
    for row in rows:
        row["e2"] = [len(row["text"]) - 1, len(row["text"])]
    content, name = json_lines(*rows), "all.jsonl"
    if form == "semeval":
        name = "all.txt"
        content = "".join(
            f"{i}\t<e1>a{i}</e1> <e2>b</e2>\n{row['label']}\n\n"
            for i, row in enumerate(rows)
        )
    settings = FileSettings(
        train_file=write(content, name), dev_fraction=0.2, test_fraction=0.1
    )
    found, labels = relations.read_sets(settings, ["train", "dev", "test"])
    assert labels == ["X(e1,e2)", "X(e2,e1)"]
    assert [len(examples) for examples in found.values()] == [70, 20, 10]
    for set_type, examples in found.items():
        same = [e for e in examples if e.label == "X(e1,e2)"]
        assert len(same) == len(examples) / 2
        for example in examples:
            number = example.text.split()[0][1:]
            prefix = "" if form == "semeval" else f"{set_type}-"
            assert example.guid == prefix + number


def test_labels_are_those_of_the_training_file():
    settings = FileSettings(
        train_file=write(SENTENCES), test_file=write(SENTENCES, "y.txt")
    )
    found, labels = relations.read_sets(settings, ["train", "test"])
    assert labels == ["Cause-Effect(e2,e1)", "Entity-Destination(e1,e2)"]
    assert found == {"train": [FIRST, SECOND], "test": [FIRST, SECOND]}
    assert relations.read_sets(settings, ["test"])[1] == []


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_in_json_under_any_name(indent):
    rows = [
        {"text": "a b", "e1": [0, 1], "e2": [2, 3], "label": "r"},
        {"text": "c d", "e1": [2, 3], "e2": [0, 1], "label": "s"},
    ]
    examples = read(json.dumps(rows, indent=indent), "dev", "x.txt")
    assert [e.label for e in examples] == ["r", "s"]
    assert examples[1].e1 == (2, 3)
