"""Explanations of tiny models of each kind."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from bert_tf import BertConfig, heads, pretrained
from bert_tf.choices import FINE_TUNED_KINDS
from bert_tf.errors import UserError
from bert_tf.explanations import Explainer, network
from bert_tf.explanations.attention import attention_of
from bert_tf.explanations.settings import ReadingSettings
from bert_tf.places import AllPlaces
from bert_tf.text.word_offsets import words_with_offsets
from bert_tf.tokenization import BasicTokenizer, FullTokenizer

TOKENIZER = FullTokenizer(pretrained.BUNDLED_MODEL["vocab_file"])
CONFIG = BertConfig(
    vocab_size=len(TOKENIZER.vocab),
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=64,
    initializer_range=0.5,
)
LABELS = ["O", "B-PER", "I-PER"]
TEXT = "Café-bars, Ann Wexwykx!"
MODELS = {
    "single_label": (heads.BertClassifier, TEXT),
    "multi_label": (heads.BertClassifier, (TEXT, "a second one")),
    "regression": (heads.BertClassifier, TEXT),
    "tags": (heads.BertTokenClassifier, TEXT),
    "relation": (heads.BertRelationClassifier, "[E2]Bo[/E2] saw <e1>it</e1>"),
    "multiple_choice": (heads.BertMultipleChoice, (TEXT, ["one", "two now"])),
    "question_answering": (heads.BertSpanLabeler, ("who is it?", TEXT * 4)),
}


@pytest.fixture(scope="module", autouse=True)
def without_graphs():
    # To trace a graph of each kind takes longer than the computation.
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def explainers():
    keras.utils.set_random_seed(3)
    found = {}
    for kind, (model_class, _) in MODELS.items():
        with_labels = model_class.__init__.__annotations__.get("num_labels")
        number = 1 if kind == "regression" else len(LABELS)
        arguments = {"num_labels": number} if with_labels else {}
        model = model_class(CONFIG, **arguments)
        found[kind] = Explainer(
            model,
            kind,
            TOKENIZER,
            ReadingSettings(max_seq_length=32, doc_stride=8),
            labels=LABELS if with_labels else None,
            mean=5.0,
            deviation=2.0,
        )
    return found


def test_every_kind_is_here():
    assert {*MODELS} == {*FINE_TUNED_KINDS} == {*network.LOGITS}


@pytest.mark.parametrize("kind", MODELS)
def test_scores_sum_to_what_the_words_add(explainers, kind):
    explainer, item = explainers[kind], MODELS[kind][1]
    found = explainer.explain(item, tolerance=0.001)
    total = sum(word.score for word in found.words)
    difference = found.logit - found.baseline_logit
    assert abs(total - difference) <= max(0.001 * abs(difference), 3e-4)
    assert found.is_complete and len(found.words) > 2
    for word in found.words:
        assert found.texts[word.field][word.start : word.end] == word.text
    # The logit is that of the model itself.
    target = explainer.target(item)
    inputs = {n: x[np.newaxis] for n, x in target.read.inputs.items()}
    logit = network.LOGITS[kind](explainer.model(inputs), target.index)
    scale, mean = (2.0, 5.0) if kind == "regression" else (1.0, 0.0)
    np.testing.assert_allclose(
        found.logit, scale * float(logit[0]) + mean, rtol=1e-4, atol=1e-5
    )


def test_a_linear_model_is_explained_exactly():
    weights = np.random.default_rng(0).normal(size=8).astype("float32")
    table = np.random.default_rng(1).normal(size=(CONFIG.vocab_size, 8))

    class Linear(keras.Model):
        def __init__(self):
            super().__init__()
            embeddings = types.SimpleNamespace(
                word_embeddings=table.astype("float32"), given_words=None
            )
            self.bert = types.SimpleNamespace(
                config=CONFIG, embeddings=embeddings
            )

        def call(self, inputs, training=None):
            ids = inputs["input_ids"]
            words = self.bert.embeddings.given_words
            if words is None:
                words = ops.take(self.bert.embeddings.word_embeddings, ids, 0)
            words = ops.reshape(words, (*ops.shape(ids), 8))
            return ops.sum(ops.matmul(words, weights), 1, keepdims=True)

    explainer = Explainer(
        Linear(),
        "single_label",
        TOKENIZER,
        ReadingSettings(max_seq_length=32),
        labels=["x"],
    )
    found = explainer.explain("call now to claim")
    for word in found.words:
        ids = TOKENIZER.convert_tokens_to_ids(TOKENIZER.tokenize(word.text))
        expected = float((table[ids] @ weights).sum())
        assert word.score == pytest.approx(expected, abs=1e-4)


def test_another_label_a_word_and_an_answer(explainers):
    label = explainers["single_label"].explain(TEXT, "I-PER")
    assert label.target == "I-PER" and label.answer in LABELS
    tag = explainers["tags"].explain(TEXT, "O", word="Ann")
    assert (tag.word.text, tag.target) == ("Ann", "O")
    item = {"words": ["New York", "'s", "Ann"]}
    given = explainers["tags"].explain(item, word="Ann")
    shown = [word.text for word in given.words]
    assert shown == ["New", "York", "'", "s", "Ann"]
    answer = explainers["question_answering"].explain(
        ("who?", TEXT), "Ann Wexwykx"
    )
    assert answer.target == "Ann Wexwykx"
    ending = explainers["multiple_choice"].explain(("a b", ["c", "d e"]), "1")
    assert ending.texts == {"text": "a b", "ending": "d e"}


@pytest.mark.parametrize(
    "kind, item, settings, message",
    [
        ("single_label", TEXT, {"label": "B-PRE"}, "did you mean 'B-PER'"),
        ("tags", TEXT, {"word": "An"}, "did you mean 'Ann'"),
        ("single_label", TEXT, {"word": "Ann"}, "only a model of tags"),
        ("regression", TEXT, {"label": "1"}, "has no labels"),
        ("question_answering", ("a", "b"), {"label": "c"}, "no such words"),
        ("single_label", "", {}, "no word to explain"),
        ("single_label", {"txet": "a"}, {}, "unknown"),
        ("relation", "no marks", {}, "is missing"),
    ],
)
def test_mistakes(explainers, kind, item, settings, message):
    with pytest.raises(ValueError, match=message):
        explainers[kind].explain(item, **settings)


def test_what_is_cut_off_is_said(explainers):
    found = explainers["single_label"].explain("one two three " * 30)
    assert found.truncated and len(found.words) == 30


def test_windows_are_explained_together(explainers):
    model = explainers["single_label"].model
    reading = ReadingSettings(max_seq_length=8, max_windows=3)
    explainer = Explainer(
        model, "single_label", TOKENIZER, reading, labels=LABELS
    )
    found = explainer.explain("one two three four five six seven eight now")
    assert found.is_complete and found.words[-1].text == "now"
    total = sum(word.score for word in found.words)
    assert total == pytest.approx(found.logit - found.baseline_logit, rel=0.01)


def test_other_heads_are_refused():
    model = heads.BertPretrainer
    with pytest.raises(UserError, match="only answers of fine-tuned models"):
        Explainer(
            model, "pretraining", TOKENIZER, ReadingSettings(max_seq_length=8)
        )


def test_attention_is_what_the_layer_computes(explainers):
    bert = explainers["single_label"].model.bert
    inputs = {
        "input_ids": np.array([[2, 7, 9, 3, 0]]),
        "input_mask": np.array([[1, 1, 1, 1, 0]]),
        "segment_ids": np.zeros((1, 5), int),
    }
    probabilities = attention_of(bert, inputs, 1)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)
    assert np.all(probabilities[..., 4] < 1e-6)
    rows = bert.encode(inputs).all_rows[0]
    layer = bert.encoder.transformer_layers[1].attention.self_attention
    places = AllPlaces(ops.convert_to_tensor(inputs["input_mask"], "int32"))
    (value,) = layer.heads(places.sequences(layer.value(rows)))
    context = np.matmul(probabilities, value)
    expected = ops.convert_to_numpy(layer(rows, places=places))
    actual = ops.convert_to_numpy(layer.join_heads(context))[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


ODD = (
    "ΌΔΟΣ İstanbul’s ﬁ e\u0301\u0301! 東京tower\x00 a\u00adb\u2028c "
    "\ud55c\uae00"
)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("chinese", [True, False])
def test_words_and_their_places(lower, chinese):
    tokenizer = BasicTokenizer(lower, tokenize_chinese_chars=chinese)
    words = words_with_offsets(tokenizer, ODD)
    assert [word.text for word in words] == tokenizer.tokenize(ODD)
    for word in words:
        assert tokenizer.tokenize(ODD[word.start : word.end]) == [word.text]
    assert all(a.end <= b.start for a, b in zip(words, words[1:], strict=False))
