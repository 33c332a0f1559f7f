"""Files of questions as other tools write them."""

import csv
import gzip
import json
import lzma

import pytest
from support.common import ROOT

from bert_tf.data.squad import examples as squad_examples
from bert_tf.errors import UserError

REPORTS = ROOT / "tests" / "reports"
CONTEXT = (
    "The lighthouse was built in 1871 by Marta Lindqvist, from Bergen. "
    "It is 40 metres tall."
)
WHO, WHEN = "Who built the lighthouse?", "When was it built?"
MARTA = {"text": "Marta Lindqvist", "answer_start": 36}
ROW = {"id": "a", "question": WHO, "context": CONTEXT, "answers": [MARTA]}


def written(tmp_path, content, name="squad.json"):
    path = tmp_path / name
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(content)
    return str(path)


def read(path, is_training=True, **settings):
    return squad_examples.SquadExamples(str(path), is_training, **settings)


def answers_in(found):
    """{id: words of the answer, or None without one}."""
    return {
        e.qas_id: None
        if e.answer_words is None
        else " ".join(e.doc_tokens[e.start_position : e.end_position + 1])
        for e in found
    }


def nested(*questions, context=CONTEXT):
    return {"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}


def one(context=CONTEXT, **question):
    return nested({"id": "a", "question": WHO, **question}, context=context)


# ---------------------------------------------------------------------------
# The reported files.


@pytest.mark.parametrize(
    "name, ids",
    [
        ("S01_haystack.json", ["70000", "70001", "70002", "70003"]),
        ("S06_hf.jsonl", ["q0", "q1", "q2", "q3"]),
        (
            "S10_noid.json",
            [f"data[0].paragraphs[0].qas[{i}]" for i in range(4)],
        ),
    ],
)
def test_reported_files_are_read_as_the_plain_one(name, ids):
    plain = list(read(REPORTS / "S_train.json"))
    found = read(REPORTS / name)
    assert [e.qas_id for e in found][:4] == ids
    assert found.num_skipped == 0
    assert len(found) == len(plain)
    for ours, theirs in zip(found, plain, strict=True):
        assert ours.question_text == theirs.question_text
        assert ours.doc_tokens == theirs.doc_tokens
        assert ours.answer_words == theirs.answer_words
    assert len(list(read(REPORTS / name, False))) == len(plain)
    expected = squad_examples.read_answers(str(REPORTS / "S_train.json"))
    answers = squad_examples.read_answers(str(REPORTS / name))
    assert [*answers.values()] == [*expected.values()]
    assert not found.notes
    notes = read(REPORTS / name, False).notes
    if name == "S10_noid.json":
        assert notes.pop("made_id").number == len(plain)
    assert not notes


def test_numbers_and_flags_as_text():
    found = read(REPORTS / "S09_strings.json", version_2_with_negative=True)
    answers = list(answers_in(found).values())
    assert answers[:4] == ["Marta Lindqvist,", "1871", "40 metres", None]
    assert found.num_marked_impossible == len(found) // 4
    assert not found.notes
    with pytest.raises(UserError, match="is_impossible is true: .*give `?vers"):
        read(REPORTS / "S09_strings.json")


def test_an_answerable_question_without_an_answer():
    path = REPORTS / "S02_empty_answers.json"
    with pytest.raises(UserError) as caught:
        read(path, version_2_with_negative=True)
    message = str(caught.value)
    assert message.startswith(f"{path}: data[0].paragraphs[0].qas[3]: an answ")
    assert '"answers" is empty, and "is_impossible" is missing' in message
    assert 'write "is_impossible": true' in message
    assert "version_2_with_negative" not in message
    with pytest.raises(UserError, match="give version_2_with_negative, and m"):
        read(path)


@pytest.mark.parametrize(
    "changes, says",
    [
        (
            {"answers": [], "is_impossible": False},
            '"answers" is empty, and "is_impossible" is false',
        ),
        ({"answers": None}, '"answers" is empty, and "is_impossible" is miss'),
        ({}, '"answers" is missing, and "is_impossible" is missing'),
    ],
)
def test_messages_do_not_advise_what_is_given(tmp_path, changes, says):
    path = written(tmp_path, one(**changes))
    with pytest.raises(UserError, match=says) as caught:
        read(path, version_2_with_negative=True)
    assert "version_2" not in str(caught.value)
    with pytest.raises(UserError, match="give version_2_with_negative"):
        read(path)


# ---------------------------------------------------------------------------
# Forms of files.


def test_answers_without_a_place_and_other_keys_are_named(tmp_path):
    context = "Marta saw Rome. Marta left."
    item = {"context": context, "question": "Who?", "answer": "Marta"}
    path = written(tmp_path, json.dumps(item) + "\n")
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).endswith(
        ".json:1: the context has the answer at several places, and "
        '"answer_start" does not say which; no question is left'
    )
    item["label"] = item.pop("answer")
    with pytest.raises(UserError, match=':1: "answers" is missing, and'):
        read(written(tmp_path, json.dumps(item) + "\n"))


def rows(number=3):
    return [{**ROW, "id": i, "title": f"t{i}"} for i in range(number)]


def csv_text(rows, delimiter=",", **names):
    import io

    writer = io.StringIO()
    table = csv.writer(writer, delimiter=delimiter)
    columns = ["id", "context", "question", "answer_text", "answer_start"]
    table.writerow([names.get(c, c) for c in columns])
    for row in rows:
        (answer,) = row["answers"]
        table.writerow(
            [row["id"], row["context"], row["question"], *answer.values()]
        )
    return writer.getvalue()


def columns_of(rows):
    return {key: [row[key] for row in rows] for key in rows[0]}


def paragraphs(rows):
    return [
        {"context": r["context"], "qas": [{**r, "context": None}]} for r in rows
    ]


MRQA = [
    {"header": {"dataset": "own", "split": "train"}},
    {
        "id": "p",
        "context": CONTEXT,
        "qas": [
            {
                "qid": str(i),
                "question": WHO,
                "question_tokens": [["Who", 0]],
                "answers": ["Marta Lindqvist"],
                "detected_answers": [
                    {
                        "text": "Marta Lindqvist",
                        "char_spans": [[36, 50]],
                        "token_spans": [[7, 8]],
                    }
                ],
            }
            for i in range(3)
        ],
    },
]


def lines(items):
    return "".join(json.dumps(item) + "\n" for item in items)


FORMS = {
    "array.json": rows(),
    "pretty.json": json.dumps(rows(), indent=2),
    "pretty_objects.json": "\n".join(json.dumps(r, indent=2) for r in rows()),
    "lines.jsonl": lines(rows()),
    "lines_of_any_name": lines(rows()),
    "bom.jsonl": b"\xef\xbb\xbf" + lines(rows()).encode(),
    "packed.jsonl.gz": gzip.compress(lines(rows()).encode()),
    "packed.xz": lzma.compress(lines(rows()).encode()),
    "wide.json": json.dumps({"data": rows()}).encode("utf-16"),
    "packed.json.gz": gzip.compress(json.dumps({"data": rows()}).encode()),
    "data.json": {"version": "1", "data": rows()},
    "instances.json": {"instances": rows()},
    "server.json": {
        "features": [{"name": "id"}],
        "rows": [{"row_idx": 0, "row": row} for row in rows()],
    },
    "columns.json": columns_of(rows()),
    "data_columns.json": {"data": columns_of(rows())},
    "frame.json": {
        key: {str(i): cell for i, cell in enumerate(cells)}
        for key, cells in columns_of(rows()).items()
    },
    "articles.json": [{"title": "t", "paragraphs": paragraphs(rows())}],
    "article.json": {"title": "t", "paragraphs": paragraphs(rows())},
    "articles.jsonl": lines([{"paragraphs": paragraphs(rows())}]),
    "paragraphs.json": paragraphs(rows()),
    "paragraph.json": {"context": CONTEXT, "qas": rows()},
    "paragraph_pretty.json": json.dumps(
        {"context": CONTEXT, "qas": rows()}, indent=1
    ),
    "paragraphs_in_data.json": {"data": paragraphs(rows())},
    "one_paragraph.json": {
        "data": [{"paragraphs": {"context": CONTEXT, "qas": rows()}}]
    },
    "capitals.json": json.loads(
        json.dumps({"data": [{"paragraphs": paragraphs(rows())}]})
        .replace('"data"', '"Data"')
        .replace('"paragraphs"', '"Paragraphs"')
        .replace('"context"', '"Context"')
        .replace('"qas"', '"QAs"')
        .replace('"text"', '"Text"')
    ),
    "list_of_files.json": [{"version": "1", "data": rows()}],
    "label_studio.json": [
        {
            "id": i,
            "data": {"text": CONTEXT, "question": WHO},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {
                    "result": [
                        {
                            "type": "labels",
                            "value": {
                                "start": 36,
                                "end": 51,
                                "text": "Marta Lindqvist",
                                "labels": ["Answer"],
                            },
                        }
                    ]
                },
            ],
        }
        for i in range(3)
    ],
    "label_studio_min.json": [
        {
            "id": i,
            "text": CONTEXT,
            "question": WHO,
            "answer": [
                {"start": 36, "end": 51, "text": "Marta Lindqvist"},
            ],
        }
        for i in range(3)
    ],
    "mrqa.jsonl": lines(MRQA),
    "mrqa.jsonl.gz": gzip.compress(lines(MRQA).encode()),
    "table.csv": csv_text(rows()),
    "table.tsv": csv_text(rows(), "\t"),
    "semicolons.csv": csv_text(rows(), ";", answer_text="answer"),
    "names.csv": csv_text(
        rows(),
        context="Passage",
        question="Question Text",
        answer_text="Answer",
        answer_start="Answer-Start",
    ),
    "text.csv": csv_text(rows(), context="text", answer_text="answer"),
    "answer_is_text.csv": csv_text(rows(), answer_text="text"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path, name):
    path = written(tmp_path, FORMS[name], name)
    found = read(path)
    assert answers_in(found) == dict.fromkeys("012", "Marta Lindqvist,")
    assert not found.notes and not found.num_skipped
    assert [e.question_text for e in read(path, False)] == [WHO] * 3
    answers = squad_examples.read_answers(path)
    assert answers == dict.fromkeys("012", ["Marta Lindqvist"])


@pytest.mark.parametrize("ending", ["parquet", "feather", "xlsx"])
def test_forms_that_are_no_text(tmp_path, ending):
    pandas = pytest.importorskip("pandas")
    answers = {"text": ["Marta Lindqvist"], "answer_start": [36]}
    frame = pandas.DataFrame([{**row, "answers": answers} for row in rows()])
    path = str(tmp_path / f"train.{ending}")
    if ending == "xlsx":
        frame["answers"] = frame["answers"].astype(str)
        frame.to_excel(path, index=False)
    else:
        getattr(frame, f"to_{ending}")(path)
    found = read(path)
    assert answers_in(found) == dict.fromkeys("012", "Marta Lindqvist,")
    assert not found.notes
    answers = squad_examples.read_answers(path)
    assert answers == dict.fromkeys("012", ["Marta Lindqvist"])


@pytest.mark.parametrize(
    "content, name, message",
    [
        ({"train": {"data": []}}, "a.json", "the keys here are train"),
        ([[1]], "a.json", r"a.json: \[0\]: must be an object"),
        ([{"a": 1}], "a.json", r"a.json: \[0\]: not a SQuAD file: .*are a$"),
        (lines([ROW, {"a": 1}]), "a.jsonl", "a.jsonl:2: not a SQuAD file"),
        (lines([ROW]) + "{", "a.jsonl", "a.jsonl:2: not JSON"),
        (
            {"question": ["a"], "context": ["b", "c"]},
            "a.json",
            "a.json: context has other rows than question: 2 and 1",
        ),
        ([{**ROW, "context": ["a", "b"]}], "a.json", '"context" must be text'),
        (
            one(answers=[36, 51]),
            "a.json",
            r"qas\[0\].answers: \[36, 51\] are numbers; answers must be t",
        ),
        (one(answers=[[36, 51]]), "a.json", r"answers\[0\]: must be a text"),
        (
            one(answers={"text": ["a", "b"], "answer_start": [1]}),
            "a.json",
            "answers: 2 texts, but 1 start",
        ),
        (
            [{**ROW, "answers": None, "answer_start": 36, "answer_end": 99}],
            "a.json",
            "36 to 99 is not a part of the context, which has 87 characters",
        ),
        (
            lines([ROW, {**ROW, "question": None}]),
            "a.jsonl",
            'a.jsonl:2: "question" must be text',
        ),
        (
            '{"id": "a", "question": "a", "context": "\\ud800"}\n' * 2,
            "a.jsonl",
            'a.jsonl:1: "context" has half a surrogate pair',
        ),
        ("text,label\na,b\n", "a.csv", "needs a header with the columns ques"),
        (
            "question,context\nWer?,Der Bäcker\n".encode("latin-1"),
            "a.csv",
            "a.csv: not utf-8: byte 0xe4 in line 2; write it as CSV in UTF-8$",
        ),
    ],
)
def test_other_files_are_named(tmp_path, content, name, message):
    path = written(tmp_path, content, name)
    with pytest.raises(UserError, match=message) as caught:
        read(path, False)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------
# Ids.


def test_ids_that_are_missing_are_made_of_their_places(tmp_path):
    row = {**ROW, "id": None}
    path = written(tmp_path, lines([ROW, row, {**ROW, "id": ""}]), "a.jsonl")
    for is_training in (True, False):
        found = read(path, is_training)
        assert [e.qas_id for e in found] == ["a", "line 2", "line 3"]
        if is_training:
            assert not found.notes
            continue
        note = found.notes["made_id"]
        assert (note.number, note.place) == (2, f"{path}:2")
    assert [*squad_examples.read_answers(path)] == ["a", "line 2", "line 3"]
    path = written(tmp_path, [row])
    assert [e.qas_id for e in read(path)] == ["[0]"]


def test_a_number_and_its_text_are_one_id(tmp_path):
    path = written(tmp_path, [{**ROW, "id": 1}, {**ROW, "id": "1"}])
    message = r"\[1\]: the id '1' comes twice, first at \[0\]; predict"
    with pytest.raises(UserError, match=message):
        read(path, False)
    with pytest.raises(UserError, match=message):
        squad_examples.read_answers(path)
    assert len(read(path)) == 2


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("id", 7.0, "7"),
        ("guid", "klue-1", "klue-1"),
        ("qid", 3, "3"),
        ("_id", "x", "x"),
        ("question_id", 0, "0"),
    ],
)
def test_ids_of_other_names(tmp_path, key, value, expected):
    question = {"question": WHO, "answers": [MARTA], key: value}
    (example,) = read(written(tmp_path, nested(question)))
    assert example.qas_id == expected


# ---------------------------------------------------------------------------
# Answers.


@pytest.mark.parametrize(
    "answers",
    [
        {"answers": MARTA},
        {"answers": [{**MARTA, "answer_start": "36"}]},
        {"answers": [{**MARTA, "answer_start": 36.0}]},
        {"answers": {"text": ["Marta Lindqvist"], "answer_start": [36]}},
        {"answers": {"text": ["Marta Lindqvist"], "answer_start": ["36"]}},
        {"answers": "Marta Lindqvist", "answer_start": 36},
        {"answers": ["Marta Lindqvist"], "answer_start": [36]},
        {"answer": "Marta Lindqvist", "answer_start": "36"},
        {"answer": MARTA},
        {"answers": [], "answer": MARTA},
        {"answers": None, "answer_text": "Marta Lindqvist", "answer_start": 36},
        {"answers": [MARTA], "answer": "other"},
        {"context": CONTEXT, "text": "Marta Lindqvist", "answer_start": 36},
        {"answer_text": "Marta Lindqvist", "answer_start": 36},
        {"answers_text": ["Marta Lindqvist"], "answers_start": [36]},
        {"answers": [{"answer": "Marta Lindqvist", "start": 36, "end": 51}]},
        {"answers": [{"start": 36, "end": 51}]},
        {"answer_start": 36, "answer_end": 51},
        {"consensus": {"s": 36, "e": 51}},
        {"answers": [{**MARTA, "answerStart": 3}]},
        {"answers": "{'text': ['Marta Lindqvist'], 'answer_start': [36]}"},
        {
            "answers": "{'text': array(['Marta Lindqvist'], dtype=object), "
            "'answer_start': array([36], dtype=int32)}"
        },
        {"answers": json.dumps([MARTA])},
        {"answers": "['Marta Lindqvist']", "answer_start": "[36]"},
        {
            "detected_answers": {
                "text": ["Marta Lindqvist"],
                "char_spans": [[[36, 50]]],
            }
        },
        {
            "detected_answers": {
                "text": ["Marta Lindqvist"],
                "char_spans": [{"start": [36], "end": [50]}],
            }
        },
    ],
)
def test_forms_of_answers(tmp_path, answers):
    row = {"id": "a", "question": WHO, "context": CONTEXT, **answers}
    question = {key: row[key] for key in row if key != "context"}
    for content in ([row], nested(question)):
        path = written(tmp_path, content)
        found = read(path)
        assert answers_in(found) == {"a": "Marta Lindqvist,"}
        assert not found.notes
        answers = squad_examples.read_answers(path)
        assert answers == {"a": ["Marta Lindqvist"]}


@pytest.mark.parametrize(
    "answer, note",
    [
        ({"text": "Marta Lindqvist"}, "searched"),
        ({"text": " Marta  Lindqvist\n"}, "searched"),
        ({"text": "Marta Lindqvist", "answer_start": None}, "searched"),
        ({"text": "Marta Lindqvist", "answer_start": -1}, "searched"),
        ({"text": "Marta Lindqvist", "answer_start": ""}, "searched"),
        ({"text": "Marta Lindqvist", "answer_start": 46}, "moved"),
        ({"text": "Marta Lindqvist", "answer_start": 3000}, "moved"),
        ({"text": "marta LINDQVIST", "answer_start": 36}, "case"),
    ],
)
def test_answers_that_can_be_at_one_place_only(tmp_path, answer, note):
    path = written(tmp_path, one(answers=[answer]))
    found = read(path)
    assert answers_in(found) == {"a": "Marta Lindqvist,"}
    assert [*found.notes] == [note]
    assert found.notes[note].place == f"{path}: data[0].paragraphs[0].qas[0]"


@pytest.mark.parametrize(
    "context, text, start",
    [
        ("It is what it is.", "is", None),
        ("It is what it is.", "is", 1),
        ("The isle.", "is", None),  # A part of a word.
        ("The isle.", "IS", None),
        ("The isle.", "was", 4),
        ("哈哈哈", "哈哈", None),  # Two places, which overlap.
    ],
)
def test_answers_in_doubt_are_left_out(tmp_path, context, text, start):
    good = {"id": "b", "question": WHO, "answers": [{"text": context}]}
    bad = {"id": "a", "question": WHO}
    bad["answers"] = [{"text": text, "answer_start": start}]
    path = written(tmp_path, nested(good, bad, context=context))
    skipped = []
    found = read(path, on_skip=lambda *args: skipped.append(args))
    assert [e.qas_id for e in found] == ["b"]
    assert ("in_doubt" in found.notes) == (context.count(text) > 1)
    assert skipped == [("a", f"{path}: data[0].paragraphs[0].qas[1]", text)]


def test_a_column_without_a_name_is_an_index(tmp_path):
    text = f',question,context,answer\n7,{WHO},"{CONTEXT}",Marta Lindqvist\n'
    found = read(written(tmp_path, text, "a.csv"))
    assert answers_in(found) == {"line 2": "Marta Lindqvist,"}
    assert [*found.notes] == ["searched"]


def test_rows_that_follow_one_another_share_their_context(tmp_path):
    others = [{**ROW, "id": i, "context": f"{CONTEXT} {i}"} for i in (5, 6)]
    found = list(read(written(tmp_path, [*rows(), *others])))
    tokens = [example.doc_tokens for example in found]
    assert tokens[0] is tokens[1] is tokens[2]
    assert tokens[4][-1] == "6" and tokens[3][-1] == "5"


def test_newsqa(tmp_path):
    consensus = [{"s": 36, "e": 52}, {"noAnswer": True}, {"badQuestion": True}]
    people = [{"sourcerAnswers": [{"s": 36, "e": 52}, {"noAnswer": True}]}]
    questions = [
        {"q": WHO, "consensus": c, "answers": people} for c in consensus
    ]
    story = {"storyId": "s", "text": CONTEXT, "questions": questions}
    path = written(tmp_path, {"data": [story], "version": "1"})
    found = read(path)
    assert [*answers_in(found).values()] == ["Marta Lindqvist,"]
    assert found.num_skipped == 2
    assert len(read(path, False)) == 3


def test_answers_in_scripts_without_blanks(tmp_path):
    path = written(tmp_path, one("东京是日本的首都。", answers="日本"))
    (example,) = read(path)
    assert example.orig_answer_text == "日本"


@pytest.mark.parametrize("context", ["😀😀😀😀😀", "Grüße 😀😀😀😀😀", "ééééé"])
@pytest.mark.parametrize("unit", ["utf-16-le", "utf-8"])
def test_starts_in_other_units(tmp_path, context, unit):
    """The text comes twice, so it is the unit that says where."""
    size = 2 if unit == "utf-16-le" else 1
    context = f"x 1871 {context} on 1871 or 1872"
    place = context.rindex("1871")
    start = len(context[:place].encode(unit)) // size
    if start == place:
        return
    answer = {"text": "1871", "answer_start": start}
    found = read(written(tmp_path, one(context, answers=[answer])))
    (example,) = found
    words = example.doc_tokens
    assert example.answer_words == (words.index("or") - 1,) * 2
    assert [*found.notes] == [unit]


def test_blanks_around_an_answer(tmp_path):
    answer = {"text": " Marta Lindqvist ", "answer_start": 35}
    path = written(tmp_path, one(answers=[answer]))
    (example,) = read(path)
    assert example.start_position is not None
    words = example.doc_tokens[example.start_position :]
    assert "Marta" in words[:2]


@pytest.mark.parametrize(
    "changes",
    [
        {"answers": [{"text": "", "answer_start": -1}]},
        {"answers": [{"text": "", "answer_start": 0}]},
        {"answers": {"text": [""], "answer_start": [-1]}},
        {"answers": [], "is_impossible": "true"},
        {"answers": None, "is_impossible": 1},
        {"is_impossible": "1"},
        {"answers": [MARTA], "is_impossible": "True"},
        {"answers": [MARTA], "answerable": 0},
    ],
)
def test_questions_that_say_they_have_no_answer(tmp_path, changes):
    path = written(tmp_path, one(**changes))
    found = read(path, version_2_with_negative=True)
    assert [e.is_impossible for e in found] == [True]
    answers = squad_examples.read_answers(path, True)
    assert answers == {"a": []}
    is_marked = {"is_impossible", "answerable"} & {*changes}
    expected = [] if is_marked else ["unmarked"]
    expected = ["impossible"] if changes.get("answers") == [MARTA] else expected
    assert [*found.notes] == expected


@pytest.mark.parametrize(
    "flag", ["false", "False", "0", 0, 0.0, None, "", False, "None"]
)
def test_questions_that_have_an_answer(tmp_path, flag):
    path = written(tmp_path, one(answers=[MARTA], is_impossible=flag))
    found = read(path, version_2_with_negative=True)
    assert answers_in(found) == {"a": "Marta Lindqvist,"}
    assert not found.notes


@pytest.mark.parametrize(
    "answers",
    [
        {"text": [], "answer_start": []},
        [],
        None,
        "",
        {"text": "", "answer_start": -1},
    ],
)
def test_rows_without_an_answer(tmp_path, answers):
    """Hugging Face's squad_v2 has no flag, but empty lists."""
    row = {**ROW, "id": "b", "answers": answers}
    path = written(tmp_path, lines([ROW, row]), "a.jsonl")
    found = read(path, version_2_with_negative=True)
    assert answers_in(found) == {"a": "Marta Lindqvist,", "b": None}
    assert found.notes["unmarked"].place == f"{path}:2"
    expected = {"a": ["Marta Lindqvist"], "b": []}
    assert squad_examples.read_answers(path, True) == expected
    if answers != "" and not isinstance(answers, dict) or answers == {}:
        with pytest.raises(UserError, match="give version_2_with_negative$"):
            read(path)


def test_rows_without_a_column_of_answers(tmp_path):
    row = {key: ROW[key] for key in ROW if key != "answers"}
    path = written(tmp_path, lines([row]), "a.jsonl")
    assert len(read(path, False)) == 1
    with pytest.raises(UserError, match='a.jsonl:1: "answers" is missing'):
        squad_examples.read_answers(path)
    with pytest.raises(UserError, match='"answers" is missing'):
        read(path, version_2_with_negative=True)


def test_files_without_any_answer(tmp_path, caplog):
    question = {"question": WHO, "answers": []}
    path = written(tmp_path, nested(*({**question, "id": i} for i in "ab")))
    answers = squad_examples.read_answers(path)
    with pytest.raises(UserError, match="no question has an answ"):
        squad_examples.check_answered(path, answers)
    assert not caplog.text
    squad_examples.read_answers(path, True)
    assert "no question has an answer, and none is m" in caplog.text
    path = written(tmp_path, one(answers=[], is_impossible=True))
    caplog.clear()
    squad_examples.read_answers(path, True)
    assert not caplog.text


def test_plausible_answers_are_not_answers(tmp_path):
    question = {"plausible_answers": [MARTA], "answers": []}
    path = written(tmp_path, one(**question, is_impossible=True))
    found = read(path, version_2_with_negative=True)
    assert answers_in(found) == {"a": None} and not found.notes


def test_an_answer_that_looks_like_a_list(tmp_path):
    context = "He wrote ['a'] and [1871] on it."
    for text in ("['a']", "[1871]"):
        found = read(written(tmp_path, one(context, answers=text)))
        assert [e.orig_answer_text for e in found] == [text]


def test_a_file_whose_only_answer_is_in_doubt(tmp_path):
    bad = {"id": "a", "question": WHO, "answers": [{"text": "is"}]}
    path = written(tmp_path, nested(bad, context="It is what it is."))
    with pytest.raises(UserError, match=r"qas\[0\]: .* at several places"):
        read(path)
