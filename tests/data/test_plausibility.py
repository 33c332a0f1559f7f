"""Warnings about files whose rows are hardly what they are taken for."""

import itertools
import json
import os
import random
import shutil
import time

import pytest
from absl import logging
from support.common import TESTS, shared

from bert_tf import pretrained
from bert_tf.data import multiple_choice, plausibility, relations, tagging
from bert_tf.data.labelled_table import TableSettings, read_sets
from bert_tf.data.plausible import kinds, texts
from bert_tf.data.plausible.examples import of_questions
from bert_tf.data.plausible.labels import plain_label
from bert_tf.data.splits import FileSettings
from bert_tf.data.squad.examples import SquadExamples
from bert_tf.errors import UserError
from bert_tf.tasks.registry import TaskSettings, get_task

REPORTS = TESTS / "reports"
WORDS = "a cold loud and empty film with sweet smart moving songs".split()


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings(monkeypatch):
    """function() that returns the warnings since it was called last."""
    lines = []
    monkeypatch.setattr(
        logging, "warning", lambda line, *values: lines.append(line % values)
    )

    def taken():
        found = [*lines]
        lines.clear()
        return found

    return taken


def sentences(number, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=9)) for _ in range(number)]


def read(rows, names="text,label", sets=("train",), path="x.csv", **settings):
    """Reads rows as CSV files, the same or others for each set."""
    if path:
        with open(path, "w", encoding="utf-8") as writer:
            writer.write(names + "\n")
            for row in rows:
                cells = [str(cell).replace('"', '""') for cell in row]
                writer.write(",".join(f'"{cell}"' for cell in cells) + "\n")
        settings.setdefault(f"{sets[0]}_file", path)
    return read_sets(TableSettings(**settings), "csv", sets)


def labelled(texts, labels=("x", "y")):
    return [*zip(texts, itertools.cycle(labels))]  # noqa: B905


def assert_one(warnings, *parts):
    (line,) = warnings()
    for part in parts:
        assert part in line, line


# ---------------------------------------------------------------------------
# Texts.


@pytest.mark.parametrize(
    "kind, texts",
    [
        (
            "number",
            ["1", "-2.5", "1,234.50", "1.234,50", "12%", "$5", "€ 5", "1e-5"]
            + ["٣", "7 000"],
        ),
        (
            "date",
            ["2020-01-31", "03/04/2020", "3.4.20", "Jan 3, 2020", "10:45 PM"]
            + ["2020-01-03T10:11:12Z", "Mon Apr 06 22:19:45 PDT 2009"]
            + ["3 January 2020", "2020-01-03 10:11:12+00:00"],
        ),
        (
            "path",
            ["img/cat_01.jpg", "my photo.PNG", "https://a.b/c", "www.x.de/"]
            + ["C:\\a\\b", "/home/x/y", "./a/b", "../x/y.z", "s3://b/k"]
            + ["github.com/a/b", "cat.wav"],
        ),
        (
            "id",
            ["train_001", "B00813GRG4", "0000997932d777bf", "a1b2", "a@b.de"]
            + ["550e8400-e29b-41d4-a716-446655440000", "192.168.0.1"]
            + ["555-1234", "#12", "deadbeefdeadbeef"],
        ),
        ("word", ["lovely", "don't", "Grüße", "привет", "N/A", "and/or", "!"]),
        (
            None,
            ["hello there", "I was born in 1990", "你好吗", "今日は", "สวัสดี"]
            + ["12 45 77 23", "call 555-1234", "4.5 stars", "row 12", ""]
            + ["It ends with file.txt here", "May I go at 10:45?"],
        ),
    ],
)
def test_kinds_of_texts(kind, texts):
    tests = {
        name: getattr(kinds, f"is_{name}")
        for name in ("number", "date", "path", "id", "word")
    }
    for text in texts:
        found = next((n for n, test in tests.items() if test(text)), None)
        assert found == kind, text


@pytest.mark.parametrize(
    "text, what",
    [
        ("{i}", "50 of 50 rows have a number in text_column=text"),
        ("2020-01-{i:02}", "a date or a time"),
        ("img/cat {i}.jpg", "a path or an address"),
        ("https://example.org/{i}?x=y", "a path or an address"),
        ("train_{i:04}", "an id or a code"),
        ("{i:032x}", "an id or a code"),
        ("the same text", "50 of 50 rows have the same text, 'the same text'"),
        ("document number {i}", "50 rows count up in text_column=text, such"),
    ],
)
def test_texts_that_are_none(text, what, warnings):
    texts = [text.format(i=i) for i in range(50)]
    read(labelled(texts))
    assert_one(warnings, what, "x.csv: ", "line 2 first")
    with pytest.raises(UserError, match=r"x\.csv:2: .*, under strict"):
        read(labelled(texts), strict=True)
    # A few of them among texts are texts.
    assert not warnings()
    read(labelled(sentences(50) + texts[:5]))
    assert not warnings()


def test_words_in_place_of_texts(warnings):
    read(labelled([a + b for a in WORDS for b in WORDS]))
    assert_one(warnings, "121 of 121 rows have one word in text_column=text")
    # Chinese has no white space between words, and short texts are texts.
    read(labelled([f"这部电影很好看{chr(0x4E00 + i)}" for i in range(30)]))
    read(labelled([f"{a} {b}" for a in WORDS for b in WORDS]))
    read(labelled(["good", "bad"] * 4))  # Too few to say what they are.
    read(labelled(WORDS + sentences(20)))
    assert not warnings()


def test_the_first_odd_row_is_named(warnings):
    read(labelled(["A text among them.", *(f"id{i}" for i in range(40))]))
    assert_one(warnings, "40 of 41 rows have an id", "row of line 3 first")


def test_the_label_as_the_text(warnings):
    labels = ["very good", "rather bad"]
    read([(label.upper(), label) for label in labels * 10])
    assert_one(warnings, "20 of 20 rows have the label as the text in text_c")
    texts = sentences(20)
    read([(f"{i % 2}. {t}", i % 2) for i, t in enumerate(texts)])
    assert_one(warnings, "20 of 20 rows have a text that starts with its label")
    read([(f"__label__{i % 2} {t}", i % 2) for i, t in enumerate(texts)])
    assert_one(warnings, "starts with its label")
    read([(f"{i}0 {t}", i % 2) for i, t in enumerate(texts)])
    assert not warnings()


def test_pairs(warnings):
    texts = sentences(20)
    names = {"names": "a,b,label", "text_column": "a", "text_pair_column": "b"}
    read([(t, t, "xy"[i % 2]) for i, t in enumerate(texts)], **names)
    assert_one(
        warnings, "20 of 20 rows have the same text in text_column=a and"
    )
    read([(t, i, "xy"[i % 2]) for i, t in enumerate(texts)], **names)
    assert_one(warnings, "a number in text_pair_column=b")
    # The same hypothesis or question for all texts is common.
    read(
        [(t, "Is it good?", "xy"[i % 2]) for i, t in enumerate(texts)], **names
    )
    assert not warnings()


@pytest.mark.parametrize(
    "fault, what",
    [
        ("cafÃ© {}", "characters such as Ã© or â€™"),
        ("itâ€™s {}", "characters such as Ã© or â€™"),
        ("{} fÃ¼r Ã¤lter", "characters such as Ã© or â€™"),
        ("{} РџСЂРёРІРµС‚", "characters such as Ã© or â€™"),  # Russian.
        ("{} 浣犲ソ涓栫晫", "characters such as Ã© or â€™"),  # Chinese.
        ("{} \ufffd", "the character U+FFFD"),
        ("{} 锟斤拷", "the character U+FFFD"),
        ("null", "a mark for a missing value"),
        ("[removed]", "a mark for a missing value"),
        ("#N/A", "a mark for a missing value"),
    ],
)
def test_faults_of_some_texts(fault, what, warnings):
    texts = [*sentences(45), *map(fault.format, sentences(5, seed=1))]
    read(labelled(texts))
    assert_one(warnings, f"5 of 50 rows have {what}", "line 47 first")


def test_faults_of_many_texts(warnings):
    texts = sentences(40)
    read(labelled([f"<p>{text}</p>" for text in texts]))
    assert_one(warnings, "40 of 40 rows have tags or entities of HTML")
    read(labelled([text.replace(" and", " &amp;") for text in texts]))
    assert_one(warnings, "tags or entities of HTML")
    read(labelled([text.replace(" ", "\\n", 1) for text in texts]))
    assert_one(warnings, "escapes such as \\n")
    read(labelled([text + " \\u00e9" for text in texts]))
    assert_one(warnings, "escapes such as \\n")
    long = [(text * 20)[: 255 - i % 2] for i, text in enumerate(texts)]
    read(labelled(long))
    assert_one(warnings, "20 of 40 rows have exactly 255 characters")
    read(labelled([*long, "a " * 300]))
    read(labelled([str(text.split()) for text in texts]))
    assert_one(warnings, "brackets or quotes of another program around it")
    read(labelled([f"b'{text}'" for text in texts]))
    assert_one(warnings, "brackets or quotes of another program around it")
    # Words that may look so.
    read(labelled([f"$\\nabla \\rho$ «Â» {text}" for text in texts]))
    read(labelled([f"Привет, мир! Россия {text} 你好世界" for text in texts]))
    read(labelled([f"'{text}' and \"{text}\"" for text in texts]))
    read(labelled([f"{text} <3 R&D; a < b > c \\o/ é Ãl" for text in texts]))
    assert not warnings()


# ---------------------------------------------------------------------------
# Labels.


def test_labels_that_differ_by_case(warnings):
    """C20_case.csv of public reports; blanks around a label do not count."""
    path = str(REPORTS / "C20_case.csv")
    sets = read([], path=None, train_file=path)
    assert_one(
        warnings,
        "Negative (10), negative (10); POSITIVE (10), Positive (10), positive",
        "differ only by case",
        "line 2 first",
        "each is a label of its own",
    )
    assert len({*sets["train"].labels}) == 5
    with pytest.raises(UserError, match=r"C20_case.csv:2: .*under strict"):
        read([], path=None, train_file=path, strict=True)


@pytest.mark.parametrize(
    "label, other, shown",
    [
        ("not spam", "notspam", "not spam (10), notspam (10)"),
        ("caf\u00e9", "cafe\u0301", "'cafe\\u0301' (10)"),
        ("yes", "\uff59\uff45\uff53", "'\\uff59\\uff45\\uff53' (10)"),
        ("yes", "y\u200bes", "'y\\u200bes' (10)"),
        ("yes", "\ufeffyes", "'\\ufeffyes' (10)"),
        ("yes", "\u202ayes\u202c", "'\\u202ayes\\u202c' (10)"),
        ("1", "1.0", "1 (10), 1.0 (10)"),
        ("no answer", "no\u00a0Answer", "no Answer (10), no answer (10)"),
    ],
)
def test_labels_that_look_alike(label, other, shown, warnings):
    texts = sentences(30)
    read(labelled(texts, (label, other, "else")), names="text,label")
    assert_one(warnings, shown, "line 2 first")
    assert plain_label(label) == plain_label(other)
    assert not warnings()


@pytest.mark.parametrize(
    "labels, part",
    [
        (["__label__a", "__label__b"], "2 of 2 labels in label_column=label"),
        (["0.5", "1.7", "2.25", "3.0"], "all 4 labels in label_column=label"),
        (["2020-01-02", "2020-01-03", "2020-02-01"], "labels in label_column="),
        (["a", "b", "a|b", "b|a"], "2 of 4 labels in label_column=label look"),
        (["a", "a, b", "b, c", "c, a"], "with ',' between them"),
    ],
)
def test_labels_that_are_something_else(labels, part, warnings):
    read(labelled(sentences(60), labels))
    assert_one(warnings, part, "x.csv: ", " first): ")


def test_labels_that_are_fine(warnings):
    for labels in (
        ["0", "1", "2"],
        ["1.0", "2.0", "3.0", "4.0"],  # What pandas writes.
        ["R&B", "Rock & Roll", "Jazz"],
        ["a/b", "c/d", "e"],
        ["Food, Drinks", "Travel, Cars", "Art"],
        ["O'Neill", "(none)", "C++", "C"],
        ["don't know", '"quoted" word', "x"],
        ["\u00e9t\u00e9", "hiver"],
        ["é", "e"],
        [f"intent {i}" for i in range(30)],
    ):
        read(labelled(sentences(90), labels), path=f"{len(labels)}.csv")
        assert not warnings(), labels


def test_labels_that_are_as_many_as_rows(warnings):
    texts = sentences(40)
    read([(text, f"id {i} x") for i, text in enumerate(texts)])
    assert_one(warnings, "40 different labels in 40 rows of label_column=label")
    read([(text, i * 7) for i, text in enumerate(texts)])
    assert_one(warnings, "40 different labels", "problem_type=regression")
    # With two examples each there is something to learn.
    read([(text, f"intent {i % 20}") for i, text in enumerate(texts)])
    assert not warnings()
    few = [f"rare {i}" if i < 8 else f"often {i % 4}" for i in range(40)]
    read(zip(texts, few, strict=True))
    assert_one(
        warnings, "8 of 12 labels in label_column=label have one row only"
    )


def test_several_labels(warnings):
    settings = {"problem_type": "multi_label"}
    texts = sentences(30)
    labels = ["Joy,fear", "joy", "fear,anger", "anger"]
    read(labelled(texts, labels), **settings)
    assert_one(warnings, "Joy (8), joy (8)")
    read(labelled(texts, ["joy,fear", "joy", "fear"]), **settings)
    read(labelled(texts, ["", "joy,fear", "joy"]), **settings)
    assert not warnings()


def test_numbers_that_count_up(warnings):
    settings = {"problem_type": "regression"}
    read([(t, i + 7) for i, t in enumerate(sentences(30))], **settings)
    assert_one(warnings, "the numbers in label_column=label count up")
    read([(t, i % 9) for i, t in enumerate(sentences(30))], **settings)
    assert not warnings()


def test_contradictions_are_counted(warnings):
    texts = sentences(20)
    rows = labelled(texts) + labelled(texts[:3], ("y", "x"))
    read(rows)
    assert_one(
        warnings,
        "6 of 23 rows have a text that comes again with another label (3",
        "line 2 first",
    )
    read(rows, names="text,label", sets=("dev",))
    read(labelled(texts) + labelled(texts[:4]))  # The same label again.
    assert not warnings()


def test_ids(warnings):
    texts = sentences(20)
    names = {"names": "text,label,key", "id_column": "key"}
    rows = [(text, "xy"[i % 2]) for i, text in enumerate(texts)]
    read([(*row, row[1]) for row in rows], **names)
    assert_one(
        warnings, "20 of 20 rows have the label as the id in id_column=k"
    )
    read([(*row, "ab c"[i % 4]) for i, row in enumerate(rows)], **names)
    assert_one(warnings, "20 rows have 4 different ids in id_column=key")
    read([(*row, i) for i, row in enumerate(rows)], **names)
    assert not warnings()


# ---------------------------------------------------------------------------
# Sets.


@pytest.mark.parametrize("how", ["same", "link", "hard link", "copy"])
def test_a_dev_set_that_is_the_training_set(how, warnings):
    read(labelled(sentences(30)), path="train.csv")
    path = "train.csv" if how == "same" else "dev.csv"
    if how == "link":
        os.symlink("train.csv", path)
    elif how == "hard link":
        os.link("train.csv", path)
    elif how == "copy":
        shutil.copy("train.csv", path)
    files = {"train_file": "train.csv", "dev_file": path, "test_file": path}
    sets = ("train", "dev", "test")
    read([], path=None, sets=sets, **files)
    lines = warnings()
    assert len(lines) == 2
    what = "it is the training set" if how == "copy" else "is the training file"
    assert what in lines[0] and "development" in lines[0]
    assert what in lines[1] and "test" in lines[1]
    with pytest.raises(UserError, match="under strict"):
        read([], path=None, sets=sets, strict=True, **files)
    # Somebody may well score on the training set, if it is not trained on.
    read([], path=None, sets=("dev",), dev_file="train.csv")
    assert not warnings()


@pytest.mark.parametrize("number, is_said", [(3, False), (12, True)])
def test_sets_that_overlap(number, is_said, warnings):
    train = sentences(100)
    dev = [*sentences(30 - number, seed=1), *train[:number]]
    read(labelled(train), path="train.csv")
    read(
        labelled(dev),
        sets=("dev", "train"),
        path="dev.csv",
        train_file="train.csv",
    )
    found = warnings()
    assert bool(found) == is_said
    if is_said:
        assert found == [
            "dev.csv: 12 of 30 different texts of the development set are in "
            "the training set, too (row of line 20 first): its scores are too "
            "good"
        ]


def test_parts_of_the_training_file(warnings):
    """They are no copy of it; but rows that come again are in several sets."""
    read(
        labelled(sentences(100)),
        sets=("train", "dev", "test"),
        train_file="x.csv",
        dev_fraction=0.2,
        test_fraction=0.2,
    )
    assert not warnings()
    read(
        labelled(sentences(15) * 10),
        sets=("train", "dev"),
        train_file="x.csv",
        dev_fraction=0.2,
    )
    (line,) = [line for line in warnings() if "different texts" in line]
    assert "of the development set are in the training set, too" in line


# ---------------------------------------------------------------------------
# Other tasks.


def test_published_folders(warnings):
    rows = [f"{t}\t{i % 2}\n" for i, t in enumerate(sentences(30))]
    for name in ("train", "dev"):
        with open(f"{name}.tsv", "w") as writer:
            writer.writelines(["sentence\tlabel\n", *rows])
    settings = TaskSettings(data_dir=".")
    get_task("sst-2").read(["train", "dev"], settings, {})
    assert_one(warnings, "./dev.tsv: ", "it is the training set")
    with open("train.tsv", "w") as writer:
        writer.writelines(
            ["sentence\tlabel\n", *(f"{i}\t{i % 2}\n" for i in range(30))]
        )
    get_task("sst-2").read(["train"], settings, {})
    assert_one(
        warnings,
        "./train.tsv: 30 of 30 rows have a number in the text",
        "line 2",
    )
    with pytest.raises(UserError, match=r"train\.tsv:2: .*under strict"):
        strict = TaskSettings(data_dir=".", strict=True)
        get_task("sst-2").read(["train"], strict, {})


def write_conll(path, texts, tag="B-X"):
    with open(path, "w") as writer:
        writer.write("-DOCSTART- O\n\n")
        for text in texts:
            words = [f"{word} O\n" for word in text.split()]
            writer.writelines([*words[1:], f"end {tag}\n", "\n"])


def test_words_with_tags(warnings):
    write_conll("train.conll", sentences(30))
    write_conll("dev.conll", sentences(30, seed=1))
    settings = FileSettings(train_file="train.conll", dev_file="dev.conll")
    tagging.read_sets(settings, ["train", "dev"])
    assert not warnings()
    write_conll("dev.conll", sentences(30))
    tagging.read_sets(settings, ["train", "dev"])
    assert_one(warnings, "dev.conll: 30 of 30 different texts", "line 3 first")
    write_conll("train.conll", ["1 2 3", "4 5 6"] * 20)
    with open("train.conll", "a") as writer:
        writer.write("7 B-x\n")
    tagging.read_sets(FileSettings(train_file="train.conll"), ["train"])
    assert_one(warnings, "differ only by case", "B-X", "B-x")
    with open("train.conll", "w") as writer:
        writer.writelines(
            f"{i} {'OB'[i % 2]}{'-X' * (i % 2)}\n\n" for i in range(20)
        )
    with pytest.raises(UserError, match="all words are numbers in column 1"):
        tagging.read_sets(FileSettings(train_file="train.conll"), ["train"])


def test_endings_and_relations(warnings):
    with open("x.csv", "w") as writer:
        writer.write("sent1,ending0,ending1,label\n")
        writer.writelines(
            f"{i},{t},no,{i % 2}\n" for i, t in enumerate(sentences(20))
        )
    multiple_choice.read_sets(TableSettings(train_file="x.csv"), ["train"])
    assert_one(
        warnings, "x.csv: 20 of 20 rows have a number in sent1", "line 2"
    )
    row = {"text": "a cold film", "e1": [0, 1], "e2": [2, 6]}
    with open("x.jsonl", "w") as writer:
        for i, text in enumerate(sentences(20)):
            label = ("Cause", "cause", "Other")[i % 3]
            values = {**row, "text": f"a cold {text}", "label": label}
            writer.write(json.dumps(values) + "\n")
    relations.read_sets(FileSettings(train_file="x.jsonl"), ["train"])
    assert_one(warnings, "Cause (7), cause (7)", "line 1 first")


def squad_sample(questions):
    data = [
        {
            "paragraphs": [
                {
                    "context": context,
                    "qas": [
                        {
                            "id": str(i),
                            "question": question,
                            "answers": [
                                {
                                    "text": answer,
                                    "answer_start": context.index(answer),
                                }
                            ],
                        }
                    ],
                }
            ]
        }
        for i, (context, question, answer) in enumerate(questions)
    ]
    with open("x.json", "w") as writer:
        json.dump({"data": data}, writer)
    found = SquadExamples("x.json", True)
    return of_questions(
        found.first,
        "x.json",
        "train",
        places=found.places,
        number=len(found),
        keys=found.keys,
    )


def test_questions(warnings):
    texts = sentences(20)
    plausibility.warn(squad_sample([(t, f"{t}?", t[:4]) for t in texts]), False)
    assert not warnings()
    odd = [(t, chr(97 + i), t[:4]) for i, t in enumerate(texts)]
    plausibility.warn(squad_sample(odd), False)
    assert_one(warnings, "20 of 20 questions have one word in the question")
    plausibility.warn(
        squad_sample([(t, "What is it?", t[:4]) for t in texts]), False
    )
    assert_one(
        warnings, "questions have the same text, 'What is it?'", "data[0]"
    )
    plausibility.warn(squad_sample([(t, f"{t}?", t) for t in texts]), False)
    assert_one(warnings, "questions have the answer as the text in the context")


@pytest.mark.usefixtures("here")
def test_one_question_about_two_texts_of_one_length_is_two():
    rows = [
        (f"The mill in {town} stands.", "Where?", town)
        for town in ("Oslo", "Riga")
    ]
    keys = [*squad_sample(rows).keys()]
    assert len(rows[0][0]) == len(rows[1][0]) and len({*keys}) == 2


# ---------------------------------------------------------------------------
# Files that are good.


def test_bundled_data_gives_no_warning(warnings):
    folder = os.path.join(pretrained.ASSETS, "sms")
    settings = TaskSettings(data_dir=folder)
    get_task("sms").read(["train", "dev", "test"], settings, {})
    assert not warnings()


@pytest.mark.parametrize(
    "task, folder",
    [
        ("mrpc", "MRPC"),
        ("cola", "CoLA"),
        ("sst-2", "SST-2"),
        ("sts-b", "STS-B"),
    ],
)
def test_glue_gives_no_warning(task, folder, warnings):
    settings = TaskSettings(data_dir=str(shared(f"data/glue/{folder}")))
    get_task(task).read(["train", "dev", "test"], settings, {})
    assert not warnings()


def test_published_tables_give_no_warning(warnings):
    sms = TableSettings(
        train_file=str(shared("data/sms_spam/SMSSpamCollection")),
        header=False,
        label_column="1",
        text_column="2",
        dev_fraction=0.1,
        test_fraction=0.1,
    )
    read_sets(sms, "tsv", ["train", "dev", "test"])
    path = "data/multiple_choice/cosmosqa_valid_swag_columns.csv"
    choices = TableSettings(train_file=str(shared(path)), dev_fraction=0.2)
    multiple_choice.read_sets(choices, ["train", "dev"])
    assert not warnings()


def test_squad_gives_no_warning(warnings):
    for path in sorted(shared("data/squad").glob("*.json")):
        found = SquadExamples(str(path), "train" in path.name)
        sample = of_questions(
            found.first,
            str(path),
            "train",
            places=found.places,
            number=len(found),
            keys=found.keys,
        )
        plausibility.warn(sample, True)
    assert not warnings()


@pytest.mark.parametrize(
    "text",
    ["1" * 59 + "x", "a/" * 145 + " ", '"a' * 9_000 + '"', "<p " * 9_000]
    + ["1 jan " * 9 + "x", "1," * 145, "." * 290 + " ", f"{7:032x}"],
)
def test_no_text_takes_long(text):
    """A pattern must not try what is in vain again and again."""
    start = time.process_time()
    for name in ("number", "date", "path", "id", "word"):
        getattr(kinds, f"is_{name}")(text)
    for name in ("notation", "html", "escaped", "mojibake", "nothing"):
        getattr(texts, f"is_{name}")(text)
    assert time.process_time() - start < 1
