"""SavedModels of question answering, against the Python way."""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.pages import blocks
from support.programs import DEMO, SMALL_CONFIG
from support.squad_files import BAKERY, LIGHTHOUSE

from bert_tf import BertConfig, BertPreprocessor, FullTokenizer
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad import windows as squad_windows
from bert_tf.data.squad.answers import AnswerSettings, RawResult, find_answer
from bert_tf.errors import UserError
from bert_tf.export import QuestionAnswerer, saved_models, writing
from bert_tf.export.question_answering import QuestionServing
from bert_tf.export.question_windows import SquadSettings
from bert_tf.heads import BertSpanLabeler

VOCAB = str(DEMO / "demo" / "vocab.txt")
LENGTH = 40
SETTINGS = SquadSettings(
    doc_stride=7, max_query_length=8, version_2_with_negative=True
)
TEXTS = [
    ("Who built the lighthouse?", LIGHTHOUSE),
    ("When do the ovens open?", BAKERY),
    ("", "One word."),
    ("Why?", ""),
    ("Why?", "\u200b \n"),
    ("What is it, and why is it so, and for how long?", LIGHTHOUSE * 3),
    ("東京?", "東京 is large. ÉTÉ! İstanbul, ΣΑΣ\u2028 \ud7ff 👍🏽 \x00 end"),
    ("Where?", "a" * 300 + " and then " + BAKERY),
]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(2)
    model = BertSpanLabeler(BertConfig.from_dict(SMALL_CONFIG))
    # So that answers differ, and null answers are among them.
    model.cls.variables[0].assign(np.random.default_rng(0).normal(size=(2, 16)))
    return model


def module(model, **changes):
    return QuestionServing(
        model,
        BertPreprocessor(VOCAB, max_seq_length=LENGTH),
        dataclasses.replace(SETTINGS, **changes),
    )


@pytest.fixture(scope="module")
def exported(model):
    """The module that `folder` holds."""
    return module(model)


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    writing.export_module(str(path), exported)
    return path


@pytest.fixture(scope="module")
def answerer(folder):
    return QuestionAnswerer(str(folder))


def python_answer(model, text, context, settings):
    """(Answer, windows) of the Python way."""
    example = squad_examples.SquadExample("q", text, context.split())
    windows = squad_windows.FeatureConverter(
        FullTokenizer(VOCAB),
        max_seq_length=LENGTH,
        doc_stride=settings.doc_stride,
        max_query_length=settings.max_query_length,
        is_training=False,
    ).convert(example)
    results = []
    by_length = itertools.groupby(windows, lambda window: window.num_places)
    for places, group in by_length:  # In batches without padding.
        group = list(group)
        names = ("input_ids", "input_mask", "segment_ids")
        inputs = {
            name: np.array([getattr(w, name)[:places] for w in group], "int32")
            for name in names
        }
        logits = model(inputs)
        starts, ends = (logits[f"{x}_logits"].numpy() for x in ("start", "end"))
        for window, start, end in zip(group, starts, ends, strict=True):
            results.append(RawResult(window.unique_id, start, end))
    return find_answer(
        example,
        windows,
        results,
        AnswerSettings(
            n_best_size=settings.n_best_size,
            max_answer_length=settings.max_answer_length,
            version_2_with_negative=settings.version_2_with_negative,
            null_score_diff_threshold=settings.null_score_diff_threshold,
        ),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"version_2_with_negative": False},
        pytest.param(
            {"null_score_diff_threshold": 1e3}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"doc_stride": 1, "n_best_size": 5, "max_answer_length": 3},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"doc_stride": 1000, "n_best_size": 1}, marks=pytest.mark.slow
        ),
    ],
)
def test_it_answers_as_the_python_way(model, changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    # Those that Python's alignment of characters does not fail on.
    texts = TEXTS[:6]
    exported = module(model, **changes)
    found = exported.answer(*zip(*texts, strict=True))
    found = {name: value.numpy() for name, value in found.items()}
    for row, (text, context) in enumerate(texts):
        expected = python_answer(model, text, context, settings)
        answer = found["answer"][row].decode()
        if expected.text == "empty":
            assert answer == "" and found["start"][row] == -1
            assert found["score"][row] == 0.0
            continue
        assert " ".join(answer.split()) == expected.text
        by_text = {e["text"]: e["probability"] for e in expected.nbest}
        # The text that is a sentence, three times, fills few of the places.
        tolerance = 0.02 if context == LIGHTHOUSE * 3 else 1e-5
        assert found["score"][row] == pytest.approx(
            by_text[expected.text], abs=tolerance
        )
        if settings.version_2_with_negative:
            assert found["null_probability"][row] == pytest.approx(
                by_text[""], abs=tolerance
            )


def test_places_are_characters_and_bytes(answerer):
    for text, context in TEXTS:
        found = answerer.answer(text, context)
        if found["start"] < 0:
            assert found["answer"] == ""
            assert (
                found["end"] == found["start_byte"] == found["end_byte"] == -1
            )
            continue
        assert context[found["start"] : found["end"]] == found["answer"]
        part = slice(found["start_byte"], found["end_byte"])
        assert context.encode()[part].decode() == found["answer"]
        assert 0 < found["score"] <= 1 and 0 <= found["null_probability"] < 1
    nothing = answerer.answer("Why?", "")
    assert nothing["null_probability"] == nothing["score"] == 1.0


def test_several_at_once_are_answered_as_one_by_one(answerer):
    together = answerer.answer_all(*map(list, zip(*TEXTS, strict=True)))
    for (text, context), expected in zip(TEXTS, together, strict=True):
        found = answerer.answer(text, context)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-5), name
    assert answerer.answer_all([], []) == []
    with pytest.raises(ValueError, match="same length"):
        answerer.answer_all(["Why?"], [])


def test_bytes_and_surrogates_that_are_no_text(answerer, exported):
    found = answerer.answer("Why\ud800?", "It \udfff is.")
    assert found["answer"] in "It ? is."
    raw = exported.answer([b"Why\xff?"], [b"caf\xe9 \xf0\x9f is"])
    assert raw["answer"].numpy()[0] in b"caf\xe9 \xf0\x9f is"


def test_a_long_context_among_short_ones(answerer):
    long = LIGHTHOUSE * 300 + " Its keeper was Ada."
    contexts = [BAKERY, long, BAKERY, ""]
    found = answerer.answer_all(["Who was its keeper?"] * 4, contexts)
    for context, answer in zip(contexts, found, strict=True):
        if answer["start"] >= 0:
            part = context[answer["start"] : answer["end"]]
            assert part == answer["answer"]
    assert found[0] == pytest.approx(found[2])


def test_questions_and_contexts_of_different_number(answerer):
    serve = answerer._predictor.signatures["serving_default"]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="the same number of rows"
    ):
        serve(question=tf.constant(["a"]), context=tf.constant(["a", "b"]))


SERVE = """
import json
import sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
outputs = model.signatures["serving_default"](
    question=tf.constant([sys.argv[2]]), context=tf.constant([sys.argv[3]])
)
print(outputs["answer"].numpy()[0].decode())
assert not any(name.startswith("bert_tf") for name in sys.modules)
"""


@pytest.mark.slow
def test_it_needs_tensorflow_and_tensorflow_text_alone(
    folder, answerer, tmp_path
):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in folder.rglob("*"):
        target = moved / path.relative_to(folder)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(moved), *TEXTS[1]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answerer.answer(*TEXTS[1])["answer"]


def test_each_weight_is_saved_once(folder, model):
    shapes = dict(tf.train.list_variables(str(folder / "variables/variables")))
    saved = [tuple(s) for name, s in shapes.items() if "VARIABLE" in name]
    expected = [tuple(v.shape) for v in model.trainable_variables]
    assert sorted(saved) == sorted(expected)


def test_a_new_export_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "export"
    target.mkdir()
    (target / "saved_model.pb").write_text("old")
    saved_models.check_replaceable(str(target))

    def replace():
        with saved_models.replacing_folder(str(target)) as scratch:
            assert (target / "saved_model.pb").read_text() == "old"
            os.mkdir(scratch)
            (pathlib.Path(scratch) / "saved_model.pb").write_text("new")

    # Interrupted while writing, or between the two renames.
    with (
        pytest.raises(RuntimeError),
        saved_models.replacing_folder(str(target)),
    ):
        raise RuntimeError("no space")
    rename = tf.io.gfile.rename

    def interrupted(source, to):
        if str(to) == str(target) and ".new" in str(source):
            raise KeyboardInterrupt
        rename(source, to)

    monkeypatch.setattr(tf.io.gfile, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace()
    monkeypatch.undo()
    assert (target / "saved_model.pb").read_text() == "old"
    # Killed there.
    target.rename(tmp_path / ".export.old.tmp")
    (tmp_path / ".export.new.tmp").mkdir()
    replace()
    assert (target / "saved_model.pb").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_what_a_link_stands_for_is_replaced(tmp_path):
    (tmp_path / "real" / "1").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "1")
    for text in ("one", "two"):
        with saved_models.replacing_folder(str(link)) as scratch:
            os.mkdir(scratch)
            (pathlib.Path(scratch) / "saved_model.pb").write_text(text)
        assert link.is_symlink()
        assert (tmp_path / "real/1/saved_model.pb").read_text() == text
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["1"]


def test_what_is_no_savedmodel_is_not_replaced(tmp_path):
    saved_models.check_replaceable(str(tmp_path / "export"))
    (tmp_path / "export").mkdir()
    with pytest.raises(UserError, match="export: not a SavedModel"):
        saved_models.check_replaceable(str(tmp_path / "export"))


def test_folders_that_hold_no_such_model(tmp_path):
    with pytest.raises(UserError, match="no SavedModel here"):
        QuestionAnswerer(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(UserError, match="other: a SavedModel that this "):
        QuestionAnswerer(str(tmp_path / "other"))
    description = tmp_path / "other" / saved_models.DESCRIPTION
    description.parent.mkdir()
    for text in ("{", "{}", "[]", '{"kind": "something"}'):
        description.write_text(text)
        with pytest.raises(UserError, match="model.json: damaged"):
            QuestionAnswerer(str(tmp_path / "other"))
    description.write_text('{"kind": "embedding"}')
    (tmp_path / "other" / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises((UserError, OSError), match="other"):
        QuestionAnswerer(str(tmp_path / "other"))


def test_only_text_is_answered(answerer):
    for pair in ((None, "x"), ("x", b"x")):
        with pytest.raises(ValueError, match="must be str"):
            answerer.answer(*pair)


def test_outputs_are_plain_numbers(answerer):
    json.dumps(answerer.answer(*TEXTS[0]))


def test_the_example_of_the_documentation_runs(folder):
    (example,) = [b for b in blocks("python") if "QuestionAnswerer(" in b]
    names = {}
    exec(example.replace("/tmp/squad_base/export", str(folder)), names)
    found, context = names["found"], names["context"]
    assert found["answer"] in context
