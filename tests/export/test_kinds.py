"""Kinds of answers: each record is complete, and one record makes a kind."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import ROOT
from support.programs import DEMO, SMALL_CONFIG

from bert_tf import BertConfig, FullTokenizer
from bert_tf.data.tabular.text_rows import Row
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.export import Predictor, export_model, kinds
from bert_tf.export.answer_files import model_columns
from bert_tf.export.kinds import KINDS, Kind, Request
from bert_tf.export.serving_modules import InputShape, TextServing
from bert_tf.export.serving_outputs import labelled
from bert_tf.heads import BertClassifier
from bert_tf.serving import rest, signatures, texts
from bert_tf.serving.limits import Limits, Refusal
from bert_tf.tasks.registry import PROBLEMS

VOCAB = str(DEMO / "demo" / "vocab.txt")
LABELS = ["ham", "spam"]
PAGE = (ROOT / "bert_tf" / "serving" / "page.js").read_text("utf-8")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_record_is_complete(kind):
    assert KINDS[kind.name] is kind
    content = PAGE.split("const SHOW = {")[1].split("\n};")[0]
    shown = re.findall(r"^  (\w+): ", content, re.MULTILINE)
    assert kind.shown_as in shown
    page = json.loads(json.dumps(kind.for_page()))
    assert [*page["inputs"]] == [entry.name for entry in kind.inputs]
    assert page["does"].endswith(".") and "{" not in page["does"]
    values = [entry.encode(entry.sample) for entry in kind.inputs]
    sizes = kind.sequences_of(
        Request(inputs=tuple(values), ids={}, length=40), 16
    )
    assert all(size > 0 for size in sizes)
    item = {entry.name: entry.sample for entry in kind.inputs} | {"id": 7}
    assert kind.to_inputs(kind.to_inputs(item)) == kind.to_inputs(item) == item
    # Its example, as JSON has it, is valid, too.
    example = page["example"]
    assert kind.to_inputs(example) == example
    assert all(entry.encode(example[entry.name]) for entry in kind.inputs)


def test_a_problem_has_the_kind_of_its_name():
    assert {*PROBLEMS} <= {*KINDS}


def test_what_the_server_answers_with_a_kind():
    def those_with(*outputs):
        return [name for name, kind in KINDS.items() if kind.answers(*outputs)]

    assert those_with("labels", "probabilities") == [
        "single_label",
        "multi_label",
        "relation",
    ]
    assert those_with("prediction") == ["regression"]
    assert those_with("embedding") == ["embedding"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a", "endings must be a list of str, and not empty"),
        ([], "endings must be a list of str, and not empty"),
        (["a", 1], "each of endings must be str, not int"),
        (["", ""], "one of the endings must not be empty"),
    ],
)
def test_values_that_are_no_endings(value, message):
    with pytest.raises(ValueError, match=message):
        kinds.ENDINGS.encode(value)


def test_endings_end_with_the_last_one_that_is_not_empty():
    assert kinds.ENDINGS.encode(("", "é", "")) == (b"", "é".encode())


def test_vectors_are_cut_to_the_tokens_of_each_text():
    columns = {
        "embedding": np.arange(12.0).reshape(2, 3, 2),
        "num_tokens": np.array([3, 1]),
    }
    found = kinds.vectors(columns)
    assert [row["embedding"].shape for row in found] == [(3, 2), (1, 2)]
    assert found[1]["embedding"].tolist() == [[6.0, 7.0]]


# ---------------------------------------------------------------------------
# A kind that the package does not have: one record is all that it needs.


def mark(item):
    """{"text": …, "place": [start, end]} -> a text with [E] … [/E]."""
    if "place" not in item:
        return item
    item = dict(item)
    start, end = item.pop("place")
    text = item["text"]
    if not 0 <= start < end <= len(text):
        raise ValueError("place must be within the text")
    marked = f"{text[:start]}[E] {text[start:end]} [/E]{text[end:]}"
    return {**item, "text": marked}


MARKED = Kind(
    name="marked",
    inputs=(dataclasses.replace(kinds.TEXT, sample="[E] a [/E]"),),
    to_inputs=mark,
    outputs=kinds.SINGLE_LABEL.outputs,
    format=kinds.labels_with_scores,
    tsv_columns=("label", "score"),
    shown_as="label",
)
MARKED_TEXT = "see [E] you [/E] at home"
PLACES = {"text": "see you at home", "place": [4, 7]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    keras.utils.set_random_seed(3)
    module = TextServing(
        BertClassifier(BertConfig.from_dict(SMALL_CONFIG), 2),
        TextReader(
            FullTokenizer(VOCAB),
            TextReaderSettings(
                vocab_file=VOCAB, do_lower_case=True, max_seq_length=24
            ),
        ),
        kind="marked",
        outputs_of=lambda logits: labelled(tf.nn.softmax(logits), LABELS),
        shape=InputShape(),
    )
    folder = str(tmp_path_factory.mktemp("marked") / "export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "marked", MARKED)
        export_model(folder, module, description={"labels": LABELS})
        yield folder


@pytest.fixture(scope="module")
def predictor(folder):
    return Predictor(folder)


def test_a_new_kind_is_predicted(predictor):
    predictor.warm_up()
    text, places = predictor.predict([MARKED_TEXT, PLACES])
    assert text == places and text["label"] in LABELS
    with pytest.raises(ValueError, match="item 1: place must be within"):
        predictor.predict([MARKED_TEXT, PLACES | {"place": [4, 99]}])
    with pytest.raises(ValueError, match="must have text, and has text and x"):
        predictor.predict([{"text": "a", "x": 1}])


def test_a_new_kind_is_predicted_from_a_file(predictor):
    columns = model_columns(predictor.kind, predictor.input_names, {})
    row = Row(place="f:1", values={"id": 1, **PLACES})
    assert columns.item_of(row) == {"text": MARKED_TEXT}
    wrong = Row(place="f:2", values={**PLACES, "place": [3, 2]})
    with pytest.raises(ValueError, match="f:2: place must be within the text"):
        columns.item_of(wrong)


def test_a_new_kind_is_served(predictor):
    limits = Limits()
    body = {"instances": [MARKED_TEXT, PLACES]}
    call = rest.predict_call(predictor, body, limits)
    rows = texts.prepare_rows(predictor, limits, call.rows)
    (first_key, first), (second_key, second) = rows
    assert first_key == second_key and first.inputs == second.inputs
    outputs = signatures.run(predictor, first_key, [first, second])
    answer = call.answer(outputs)
    assert answer["predictions"][0]["label"] in LABELS
    call = rest.classify_call(predictor, {"examples": [PLACES]}, limits)
    assert len(call.rows) == 1
    with pytest.raises(Refusal, match="item 0: place must be within"):
        body = {"instances": [PLACES | {"place": [7, 4]}]}
        call = rest.predict_call(predictor, body, limits)
        texts.prepare_rows(predictor, limits, call.rows)
