"""Sentences in JSON, in the forms of annotation tools and data sets."""

import json

import pytest
from support.common import ROOT

from bert_tf.data import tagging
from bert_tf.data.splits import FileSettings
from bert_tf.data.tagged.character_spans import words_of
from bert_tf.data.tagging import WordColumns
from bert_tf.errors import UserError

DOCCANO = ROOT / "tests" / "reports" / "N09_doccano_entities.jsonl"
TEXT = "Anna Smith's in New York."
WORDS = "Anna Smith ' s in New York .".split()
TAGS = "B-PER I-PER O O O B-LOC I-LOC O".split()
SPANS = [(0, 10, "PER", "Anna Smith"), (16, 24, "LOC", "New York")]


def read(path, set_type="train", strict=False, **columns):
    files = {f"{set_type}_file": str(path), "train_file": str(DOCCANO)}
    files[f"{set_type}_file"] = str(path)
    settings = FileSettings(**files, strict=strict)
    sets = ["train"] if set_type == "train" else ["train", set_type]
    found = tagging.read_sets(settings, sets, None, WordColumns(**columns))
    return found.sets[set_type]


def named(**names):
    """Spans as objects with other keys."""
    keys = {"start": "start", "end": "end", "label": "label", **names}
    return [
        {keys["start"]: a, keys["end"]: b, keys["label"]: label}
        for a, b, label, _ in SPANS
    ]


STUDIO = [
    {
        "type": "labels",
        "value": {"start": a, "end": b, "text": t, "labels": [x]},
    }
    for a, b, x, t in SPANS
]
OBJECTS = {
    "doccano": {
        "text": TEXT,
        "entities": named(start="start_offset", end="end_offset"),
        "relations": [],
    },
    "doccano's labels": {"text": TEXT, "label": [s[:3] for s in SPANS]},
    "doccano's older labels": {"text": TEXT, "labels": [s[:3] for s in SPANS]},
    "prodigy": {
        "text": TEXT,
        "tokens": [{"text": "Anna", "start": 0, "end": 4, "id": 0}],
        "spans": [{**s, "token_start": 0, "token_end": 1} for s in named()],
        "answer": "accept",
    },
    "label studio": {
        "id": 7,
        "data": {"text": TEXT},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {"result": [*STUDIO, {"type": "relation", "from_id": "x"}]},
        ],
    },
    "label studio's small form": {
        "text": TEXT,
        "label": [entry["value"] for entry in STUDIO],
        "annotator": 1,
    },
    "spacy": {"text": TEXT, "ents": named()},
    "spacy's lists": [TEXT, {"entities": [s[:3] for s in SPANS]}],
    "cluener": {
        "text": TEXT,
        "label": {x: {t: [[a, b - 1]]} for a, b, x, t in SPANS},
    },
    "sagemaker": {
        "source": TEXT,
        "job": {
            "annotations": {
                "entities": named(start="startOffset", end="endOffset"),
                "labels": [{"label": "PER"}],
            }
        },
    },
    "vertex": {
        "textContent": TEXT,
        "textSegmentAnnotations": named(
            start="startOffset", end="endOffset", label="displayName"
        ),
    },
    "automl": {
        "text_snippet": {"content": TEXT},
        "annotations": [
            {
                "display_name": x,
                "text_extraction": {
                    "text_segment": {"start_offset": a, "end_offset": b}
                },
            }
            for a, b, x, _ in SPANS
        ],
    },
    "another key in label studio": {
        "data": {"comment": TEXT},
        "annotations": [{"result": STUDIO}],
    },
    "spacy 2": {
        "paragraphs": [
            {
                "sentences": [
                    {
                        "tokens": [
                            {"id": i, "orth": w, "tag": "X", "ner": t}
                            for i, (w, t) in enumerate(
                                zip(WORDS, TAGS, strict=True)
                            )
                        ]
                    }
                ]
            }
        ]
    },
    "dataturks": {
        "content": TEXT,
        "annotation": [
            {"label": [x], "points": [{"start": a, "end": b - 1, "text": t}]}
            for a, b, x, t in SPANS
        ],
    },
    "pipelines": {"text": TEXT, "entities": named(label="entity_group")},
    "strings as numbers": {
        "text": TEXT,
        "spans": [[str(a), str(b), x] for a, b, x, _ in SPANS],
    },
    "hugging face": {"id": "0", "tokens": WORDS, "ner_tags": TAGS},
    "tags": {"words": WORDS, "tags": TAGS},
    "strings": {"text": " ".join(WORDS), "labels": " ".join(TAGS)},
    "objects": {
        "tokens": [
            {"text": w, "ner": t} for w, t in zip(WORDS, TAGS, strict=True)
        ]
    },
    "spert": {
        "tokens": WORDS,
        "entities": [
            {"type": "PER", "start": 0, "end": 2},
            {"type": "LOC", "start": 5, "end": 7},
        ],
    },
    "gliner": {"tokenized_text": WORDS, "ner": [[0, 1, "PER"], [5, 6, "LOC"]]},
}


@pytest.fixture
def file(tmp_path):
    def write(*objects, name="words.jsonl"):
        path = tmp_path / name
        lines = [json.dumps(o, ensure_ascii=False) + "\n" for o in objects]
        path.write_text("".join(lines), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_forms_of_an_object(file, value):
    for sentences in read(file(value)), read(file(value, value), "test"):
        assert (sentences[0].words, sentences[0].labels) == (WORDS, TAGS)


def test_doccano():
    sentences = read(DOCCANO)
    assert len(sentences) == 30
    assert sentences[0].labels == "B-PER I-PER O O B-LOC O O O".split()


def test_spacy_in_one_list(tmp_path):
    path = tmp_path / "train.json"
    pair = OBJECTS["spacy's lists"]
    for content in (
        [pair, pair],
        {"classes": ["PER"], "annotations": [pair, pair, None]},
    ):
        path.write_text(json.dumps(content, indent=isinstance(content, list)))
        if isinstance(content, dict):
            path.write_text(json.dumps(content))
        sentences = read(path)
        assert [s.labels for s in sentences] == [TAGS, TAGS]


def test_numbers_get_their_names(file, tmp_path, caplog):
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    numbers = [names.index(tag) for tag in TAGS]
    numbers[3] = -100
    value = {"tokens": WORDS, "pos_tags": numbers[::-1], "ner_tags": numbers}
    expected = [*TAGS]
    expected[3] = None
    (sentence,) = read(file({**value, "label_list": names}))
    assert sentence.labels == expected
    # Without names each number is a tag.
    (sentence,) = read(file(value))
    assert sentence.labels == [str(n) if n >= 0 else None for n in numbers]
    assert caplog.text.count("'ner_tags' are numbers without names") == 1
    with pytest.raises(UserError, match="'t.*' are numbers without names"):
        read(file({"tokens": ["a", "b"], "tags": [0, 1]}), strict=True)
    feature = {"feature": {"names": names, "_type": "ClassLabel"}}
    info = {"features": {"ner_tags": {**feature, "_type": "Sequence"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (sentence,) = read(file(value))
    assert sentence.labels == expected
    with pytest.raises(UserError, match="tag 5 has no name; there are 5"):
        read(file({"tokens": ["a"], "ner_tags": [5]}))


def test_odd_spans_are_counted(file, monkeypatch):
    from absl import logging

    lines = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: lines.append(text % args)
    )
    spans = [
        [0, 10, "PER"],
        [0, 4, "FIRST"],  # Inside another one.
        [15, 24, "LOC"],  # Starts with a blank.
        [0, 10, "PER"],  # Again.
        [24, 25, "END"],
        [12, 12, "NONE"],
    ]
    path = file({"text": TEXT, "label": spans}, {"text": "Rome", "label": []})
    assert read(path)[0].labels == [*TAGS[:-1], "B-END"]
    assert [line.partition(": ")[2] for line in lines] == [
        "1 of 5 entities has a blank at an end: it is left out "
        "(line of the first)",
        "1 of 5 entities holds no word: left out (line of the first)",
        "1 of 5 entities overlaps a longer one: left out (line of the first)",
    ]
    with pytest.raises(UserError, match=":1: 1 of 5 entities .* strict"):
        read(path, strict=True)
    lines.clear()
    path = file({"text": TEXT, "label": [[2, 8, "PER"]]})
    assert read(path)[0].labels[:3] == ["B-PER", "I-PER", "O"]
    assert "1 of 1 entity cuts a word" in lines[0]


@pytest.mark.parametrize(
    "count",
    [
        lambda text: len(text.encode("utf-16-le")) // 2,
        lambda text: len(text.encode()),
        len,
    ],
)
@pytest.mark.parametrize("last", [0, 1])
def test_places_count_what_their_texts_say(file, count, last):
    text = "😀 é Anna in Rome"
    spans = []
    for word in "Anna", "Rome":
        start = text.index(word)
        end = start + len(word)
        if last and count is not len:
            continue
        places = count(text[:start]), count(text[:end]) - last
        spans.append({"start": places[0], "end": places[1], "label": "X"})
        spans[-1]["text"] = word
    if spans:
        (sentence,) = read(file({"text": text, "spans": spans}))
        assert sentence.labels == ["O", "O", "B-X", "O", "B-X"]


def test_what_annotators_refused(file):
    answers = [
        {**OBJECTS["prodigy"], "answer": a} for a in ("accept", "reject")
    ]
    answers += [{"text": "No entities were looked for"}, {"text": ""}]
    path = file(*answers)
    assert len(read(path)) == 1
    sentences = read(path, "test")  # Predicted, not scored.
    assert [s.labels is None for s in sentences] == [False, True, True]
    assert sentences[-1].after == [""]
    with pytest.raises(UserError, match=':2: 1 of 4 objects has "answer": "r'):
        read(path, strict=True)


@pytest.mark.parametrize(
    "value, message",
    [
        ({"text": "Anna", "label": [[0, 9, "X"]]}, "is outside the text of 4 "),
        ({"text": "Anna", "label": [[3, 1, "X"]]}, "ends before it starts"),
        ({"text": "Anna", "label": [[0, "x", "X"]]}, "must have a start, an "),
        ({"text": "Anna", "spans": [{"start": 0, "end": 4}]}, "must have a "),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 words in 'tokens', but 1 "),
        ({"tokens": ["a", None], "tags": ["O", "O"]}, "neither words nor a "),
        ({"tokens": ["a"], "tags": [True]}, "must be a string or a number"),
        (
            {"tokens": ["a"], "entities": [[0, 2, "X"]]},
            "the text of 1 word",
        ),
        (
            {
                "text": "Anna in Rome",
                "spans": [{"start": 1, "end": 3, "label": "X", "text": "Anna"}],
            },
            "1 to 3 is 'nn' in the text, but the entity says 'Anna'",
        ),
        ({"premise": "a"}, "neither words nor a text: .* it has premise"),
    ],
)
def test_wrong_objects_are_named(file, value, message):
    with pytest.raises(UserError, match=f"words.jsonl:2: .*{message}"):
        read(file(OBJECTS["doccano"], value))


def test_keys_by_name(file):
    value = {"chars": ["a", "b"], "pos_tags": ["NN", "VB"], "ner_tags": TAGS}
    columns = {"word_column": "chars", "tag_column": "pos_tags"}
    (sentence,) = read(file(value), **columns)
    assert sentence.labels == ["NN", "VB"]


def test_words_of_a_text():
    text = "Dr. Ann's “A-1”,\u200b 東京\u00a0x\t"
    found = [text[a:b] for a, b in words_of(text)]
    assert found == "Dr . Ann ' s “ A - 1 ” , 東 京 x".split()


def test_predictions_as_spans(file):
    first = {"id": 5, **OBJECTS["doccano"]}
    sentences = read(file({"text": " "}, first, {"text": "Rome"}), "test")
    scores = [0.9, 0.8, 1, 1, 1, 0.7, 0.99, 1]
    lines = tagging.span_lines(sentences[0], TAGS, scores)
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"text": " ", "spans": []},
        {
            "id": 5,
            "text": TEXT,
            "spans": [
                {
                    "start": a,
                    "end": b,
                    "label": label,
                    "text": text,
                    "score": score,
                }
                for (a, b, label, text), score in zip(
                    SPANS, (0.8, 0.7), strict=True
                )
            ],
        },
    ]
    path = file(name="words.conll")
    path.write_text("Anna x\nSmith x\n\nOslo x\n")
    first, _ = read(path, "test", word_column="1")
    (line,) = tagging.span_lines(first, ["B-P", "I-P"], [1, 1]).splitlines()
    found = json.loads(line)
    assert found["text"] == "Anna Smith"
    assert found["spans"][0]["text"] == "Anna Smith"


def test_tables_of_other_kinds(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "words.parquet"
    table = {"tokens": [WORDS, ["Rome"]], "ner_tags": [TAGS, ["B-LOC"]]}
    pandas.DataFrame(table).to_parquet(path)
    assert [s.labels for s in read(path)] == [TAGS, ["B-LOC"]]
    path = tmp_path / "words.xlsx"
    table = {
        "Sentence #": ["Sentence: 1", *[None] * (len(WORDS) - 1)],
        "Word": WORDS,
        "Tag": TAGS,
    }
    pandas.DataFrame(table).to_excel(path, index=False)
    (sentence,) = read(path)
    assert (sentence.words, sentence.labels) == (WORDS, TAGS)


def test_what_an_entity_lacks_is_named(file):
    spans = [{"token_start": 0, "label": "X"}]
    path = file({"tokens": ["a", "b"], "spans": spans})
    with pytest.raises(UserError, match=":1: no 'token_end' in an entity"):
        read(path)
    point = {"start": "0", "text": "a"}
    spans = [{"label": ["X"], "points": [point]}]
    path = file({"content": "a b", "annotation": spans})
    with pytest.raises(UserError, match="must have a start, an end and a lab"):
        read(path)
    spans = [{"label": ["X"], "points": [{**point, "end": "0"}]}]
    path = file({"content": "a b", "annotation": spans})
    assert read(path)[0].labels == ["B-X", "O"]


@pytest.mark.parametrize("kind", ["Sequence", "List", "list"])
def test_names_in_the_schema_of_a_data_set(kind, tmp_path, caplog):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = {"names": ["O", "B-PER", "B-LOC"], "_type": "ClassLabel"}
    tags = [names] if kind == "list" else {"feature": names, "_type": kind}
    info = {"info": {"features": {"ner_tags": tags}}}
    table = pa.table(
        {"tokens": [["Anna", "saw", "Rome"]], "ner_tags": [[1, 0, 2]]}
    )
    metadata = {b"huggingface": json.dumps(info).encode()}
    path = tmp_path / "train.parquet"
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    sentences = read(path)
    assert sentences[0].labels == ["B-PER", "O", "B-LOC"]
    assert "without names" not in caplog.text


def test_spans_of_a_start_and_a_length(file):
    spans = [{"offset": 0, "length": 4, "category": "PER"}]
    value = {"text": "Anna saw Rome", "entities": spans}
    sentences = read(file(value))
    assert sentences[0].labels == ["B-PER", "O", "O"]
