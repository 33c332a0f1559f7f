"""Relation classification from files to served answers."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf
from support.common import TINY_CONFIG, json_lines
from support.programs import (
    RUN_CLASSIFIER,
    arguments,
    make_folder,
    program_of,
    results_of,
    write,
)

from bert_tf.errors import UserError
from bert_tf.export.predictor import Predictor
from bert_tf.heads import BertClassifier, BertRelationClassifier
from bert_tf.metrics.relations import relation_report
from bert_tf.serving import rest, texts
from bert_tf.serving.limits import Limits, Refusal

# All ask one run, which takes ten seconds.
pytestmark = pytest.mark.slow

PREDICT = program_of("bert_tf.tools.predict")
ANIMALS = "cat dog bird fish horse cow".split()
VERBS = {"called": "Call", "watched": "Watch", "and": None}


def examples(number, seed):
    """Sentences such as "the cat called the dog", half of them from e1 to e2.

    The same sentence has either relation: what differs is the marks alone.
    """
    rng = random.Random(seed)
    rows = []
    for _ in range(number):
        verb = rng.choice([*VERBS])
        first, second = rng.sample(ANIMALS, 2)
        text = f"today the {first} {verb} the {second}" + " ." * rng.randint(
            0, 4
        )
        start = text.index(second, text.index(verb))
        e1, e2 = (10, 10 + len(first)), (start, start + len(second))
        label = VERBS[verb] and f"{VERBS[verb]}(e1,e2)"
        if rng.random() < 0.5:
            e1, e2 = e2, e1
            label = label and f"{VERBS[verb]}(e2,e1)"
        rows.append(
            {"text": text, "e1": e1, "e2": e2, "label": label or "Other"}
        )
    return rows


def marked(row):
    places = sorted([(*row["e1"], "e1"), (*row["e2"], "e2")], reverse=True)
    text = row["text"]
    for start, end, name in places:
        text = f"{text[:start]}<{name}>{text[start:end]}</{name}>{text[end:]}"
    return text


def as_semeval(rows):
    return "".join(
        f'{number}\t"{marked(row)}"\n{row["label"]}\nComment:\n\n'
        for number, row in enumerate(rows, start=1)
    )


TEST = examples(40, seed=2)


def flags_of(folder, **changes):
    return arguments(
        folder,
        **{
            "task_name": "relations",
            "data_dir": None,
            "train_file": str(folder / "train.txt"),
            "dev_file": str(folder / "dev.txt"),
            "test_file": str(folder / "test.jsonl"),
            "train_batch_size": 32,
            "num_train_epochs": 7.0,
            "learning_rate": 5e-3,
            "class_weights": "balanced",
            "label_smoothing": 0.1,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run, with its predictions and its SavedModel."""
    folder = make_folder(tmp_path_factory.mktemp("relations"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 32, "hidden_dropout_prob": 0.0}
    write(folder, "config.json", json.dumps(config))
    write(folder, "train.txt", as_semeval(examples(480, seed=0)))
    write(folder, "dev.txt", as_semeval(examples(80, seed=1)))
    write(folder, "test.jsonl", json_lines(*TEST))
    RUN_CLASSIFIER.run(
        **flags_of(folder),
        do_train=True,
        do_eval=True,
        do_predict=True,
        do_export=True,
    )
    return folder


@pytest.fixture(scope="module")
def predictor(folder):
    return Predictor(str(folder / "out" / "export"))


def test_it_learns_what_the_marks_say(folder):
    results = results_of(folder / "out" / "eval_results.txt")
    # Text alone has at most half of the directions right.
    assert float(results["eval_accuracy"]) > 0.9, results
    assert float(results["macro_f1"]) > 0.9, results


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_files_of_predictions(folder):
    out = folder / "out"
    labels = lines_of(out / "labels.txt")
    assert labels == [
        *("Call(e1,e2)", "Call(e2,e1)", "Other"),
        *("Watch(e1,e2)", "Watch(e2,e1)"),
    ]
    rows = [line.split("\t") for line in lines_of(out / "test_results.tsv")]
    probabilities = np.array(rows, float)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    best = [labels[i] for i in probabilities.argmax(axis=1)]
    assert lines_of(out / "proposed_answers.txt") == [
        f"test-{row}\t{label}" for row, label in enumerate(best)
    ]
    head, *rows = lines_of(out / "test_predictions.tsv")
    assert head == "id\tlabel\tscore\ttext\ttrue_label"
    text, label = rows[0].split("\t")[3:]
    assert "[E1]" in text and label == TEST[0]["label"]
    assert [row.split("\t")[1] for row in rows] == best
    # The test file has relations: its predictions are scored.
    report = relation_report([row["label"] for row in TEST], best)
    results = results_of(out / "test_eval_results.txt")
    assert float(results["macro_f1"]) == pytest.approx(
        report["macro_avg"]["f1"]
    )
    written = json.loads((out / "test_report.json").read_text())
    assert [*written["labels"]] == ["Call", "Watch", "Other"]
    assert written["macro_avg"] == report["macro_avg"]
    assert {*results} == {*written["scores"]}


def test_the_predictor_answers_as_the_program(folder, predictor):
    rows = [
        line.split("\t")
        for line in lines_of(folder / "out" / "test_results.tsv")
    ]
    spans = [{name: row[name] for name in ("text", "e1", "e2")} for row in TEST]
    for items in (map(marked, TEST), spans):
        answers = predictor.predict(items)
        assert [*answers[0]] == ["label", "score", "probabilities"]
        found = [[*answer["probabilities"].values()] for answer in answers]
        np.testing.assert_allclose(found, np.array(rows, float), atol=1e-5)
    assert [*answers[0]["probabilities"]] == predictor.labels
    assert predictor.info["marks"] == [f"[unused{i}]" for i in range(4)]
    predictor.warm_up()


@pytest.mark.parametrize(
    "item, message",
    [
        ("a cat", "the mark [E1] is missing; two entities must be marked"),
        ("[E1]a[/E1] [E1]b[/E1]", "the mark [E1] occurs 2 times"),
        ("[E1]a [E2]b[/E2][/E1]", "the marks are [E1] [E2] [/E2] [/E1]; one"),
        ({"text": "a cat", "e1": [0, 1]}, "e2 must be a list of two whole"),
        ({"text": "a cat", "e1": [0, 1], "e2": [2, 6]}, "e2 is [2, 6], which"),
        ({"text": "a cat", "e1": [0, 3], "e2": [2, 5]}, "e1 and e2 overlap"),
        (
            {"text": "[E1] cat", "e1": [0, 4], "e2": [5, 8]},
            "the mark [E1] occurs 2 times",
        ),
        ({"text": 1, "e1": [0, 3]}, "must have text, and has text and e1"),
        ({"e1": [0, 3], "e2": [2, 5]}, "must have text, and has e1 and e2"),
        (("a", "b"), "must have 1 values, text, not 2"),
        (7, "must be str, tuple or dict, not int"),
    ],
)
def test_items_without_two_entities(predictor, item, message):
    with pytest.raises(ValueError) as caught:
        predictor.predict([marked(TEST[0]), item])
    assert str(caught.value).startswith(f"item 1: {message}")
    # The server refuses it in one line.
    with pytest.raises(Refusal) as refusal:
        call = rest.predict_call(predictor, {"instances": [item]}, Limits())
        texts.prepare_rows(predictor, Limits(), call.rows)
    assert refusal.value.status == 400


def test_signatures_of_the_model(predictor):
    good = marked(TEST[0])
    strings = predictor.signatures["serving_default"]
    ids = predictor.signatures["ids"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="two marked ent"):
        strings(text=tf.constant([good, "no entity"]))
    numbers = tf.ones([1, 16], tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="marks of both"):
        ids(input_ids=numbers, input_mask=numbers, segment_ids=0 * numbers)


def test_requests_of_the_server(predictor):
    bodies = [
        {"instances": [marked(TEST[0])]},
        {"instances": [{n: TEST[0][n] for n in ("text", "e1", "e2")}]},
        {"inputs": {"text": [marked(TEST[0])]}},
    ]
    ids = []
    for body in bodies:
        body = json.loads(json.dumps(body))
        call = rest.predict_call(predictor, body, Limits())
        ((_, request),) = texts.prepare_rows(predictor, Limits(), call.rows)
        ids.append(request.ids["input_ids"].tolist())
    assert ids[0] == ids[1] == ids[2]
    columns = predictor.run([request])
    (answer,) = call.answer(columns)["outputs"]["label"]
    assert answer == predictor.predict([marked(TEST[0])])[0]["label"]
    call = rest.classify_call(
        predictor, {"examples": [{"text": marked(TEST[0])}]}, Limits()
    )
    (scores,) = call.answer(columns)["results"]
    assert [label for label, _ in scores] == predictor.labels


@pytest.mark.parametrize("name", ["texts.txt", "texts.jsonl"])
def test_the_tool_predict(folder, predictor, tmp_path, name):
    content = "".join(f"{marked(row)}\n" for row in TEST)
    if name.endswith(".jsonl"):
        content = json_lines(*TEST)  # Their labels are left out.
    path = write(tmp_path, name, content)
    out = tmp_path / "answers.tsv"
    flags = {"model": str(folder / "out" / "export"), "input": str(path)}
    PREDICT.run(**flags, output=str(out), output_format="tsv")
    head, *rows = lines_of(out)
    columns = ["text", "label", "score"]
    if name.endswith(".jsonl"):
        columns = ["text", "e1", "e2", "true_label", "label", "score"]
    assert head.split("\t") == columns
    expected = predictor.predict(map(marked, TEST))
    found = [row.split("\t")[-2] for row in rows]
    assert found == [answer["label"] for answer in expected]
    path.write_text(content + "no entity\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        PREDICT.run(**flags, output=str(out))
    assert str(caught.value).startswith(f"{path}:41: ")


def test_a_vocabulary_without_marks(folder, tmp_path, monkeypatch):
    """It is one error, before anything is written."""
    monkeypatch.chdir(tmp_path)
    vocab = (folder / "vocab.txt").read_text(encoding="utf-8")
    write(tmp_path, "words.txt", vocab.replace("[unused", "[used"))
    flags = flags_of(folder, output_dir="out", vocab_file="words.txt")
    with pytest.raises(UserError) as caught:
        RUN_CLASSIFIER.run(**flags, do_train=True)
    message = str(caught.value)
    assert message.startswith(
        "--vocab_file has no entries for the marks [E1], "
    )
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_the_head():
    rng = np.random.default_rng(0)
    model = BertRelationClassifier(TINY_CONFIG, 3)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    ids = rng.integers(1, 20, [4, 6]).astype("int32")
    positions = np.array([[1, 3], [3, 1], [0, 5], [2, 2]])
    batch = {"input_ids": ids, "entity_positions": positions}
    logits = np.array(model(batch))
    states = np.array(model.bert(ids)["sequence_output"])
    for row, (first, second) in enumerate(positions):
        x = np.concatenate([states[row, first], states[row, second]])
        expected = np.array(model.output_weights) @ x
        expected += np.array(model.output_bias)
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)
    trained = np.array(model(batch, training=True, seed=[1, 2]))
    assert not np.allclose(trained, logits)
    copy = BertRelationClassifier.from_config(model.get_config())
    assert (copy.num_labels, copy.dropout_rate) == (3, 0.1)
    # The original's names, with twice the width.
    other = BertClassifier(TINY_CONFIG, 3)
    assert [v.path for v in copy.trainable_variables] == [
        v.path for v in other.trainable_variables
    ]
    assert tuple(copy.output_weights.shape) == (3, 16)
