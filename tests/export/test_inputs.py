"""Examples: each kind's is answered by a model of the kind."""

import keras
import pytest
from support.programs import DEMO, SMALL_CONFIG

from bert_tf import BertConfig, BertPreprocessor, FullTokenizer
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.export import Predictor, saved_models
from bert_tf.export.inputs import TEXT, TEXT_OR_PAIR, example_item
from bert_tf.export.kinds import KINDS
from bert_tf.export.question_answering import QuestionServing
from bert_tf.export.question_windows import SquadSettings
from bert_tf.export.serving_modules import EmbeddingServing, InputShape
from bert_tf.heads import BertSpanLabeler
from bert_tf.pooling import BertEmbedder
from bert_tf.serving.pages import page_of
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.problem import HeadSettings
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.relations import Relations
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, SingleLabel

VOCAB = str(DEMO / "demo" / "vocab.txt")
LENGTH = 48
CONFIG = BertConfig.from_dict(SMALL_CONFIG)
LABELS = ["ham", "spam"]


def test_labels_choose_the_example():
    spam = example_item([TEXT], ["ham", "spam"])
    assert "prize" in spam["text"]
    assert example_item([TEXT], ["Spam", "Ham", "other"]) == spam
    assert example_item([TEXT], ["0", "1"]) == {"text": TEXT.example}
    pair = example_item(TEXT_OR_PAIR, ["entailment", "not_entailment"])
    assert [*pair] == ["text", "text_pair"]
    assert pair["text"] != TEXT.example


def module_of(kind, reader):
    """A small model of a kind, whose weights are random."""
    if kind == "question_answering":
        preprocess = BertPreprocessor(VOCAB, max_seq_length=LENGTH)
        model = BertSpanLabeler(CONFIG)
        return QuestionServing(model, preprocess, SquadSettings(doc_stride=8))
    if kind == "embedding":
        model = BertEmbedder(CONFIG, layers=(-1,))
        return EmbeddingServing(model, reader, InputShape())
    problem = {
        "single_label": SingleLabel(LABELS),
        "multi_label": MultiLabel(LABELS, {}),
        "regression": Regression(),
        "tags": Tagging(["O", "B-PER", "I-PER"]),
        "multiple_choice": MultipleChoice(4),
        "relation": Relations(["Other", "Cause-Effect(e1,e2)"]),
    }[kind]
    model = problem.build_model(CONFIG, HeadSettings())
    pairs = kind in ("multiple_choice", "single_label")
    return problem.serving_module(model, reader, InputShape(), pairs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_answers_the_example_of_its_kind(kind, tmp_path):
    keras.utils.set_random_seed(3)
    settings = TextReaderSettings(vocab_file=VOCAB, max_seq_length=LENGTH)
    reader = TextReader(FullTokenizer(VOCAB), settings)
    folder = str(tmp_path / "export")
    module = module_of(kind, reader)
    # Without the checks of `export_model`, which take most of its time.
    saved_models.save(folder, module, {"kind": kind, **module.description()})
    predictor = Predictor(folder)
    page = page_of(predictor)
    assert len(predictor.check(page["example"])) == len(predictor.input_names)
    assert len(predictor.predict([page["example"]])) == 1
    cut = "may have about 35 words"
    any_length = kind in ("tags", "question_answering")
    assert ("any length" if any_length else cut) in page["length"]
