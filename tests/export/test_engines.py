"""Engines: each answers as the SavedModel does, in the order of the items."""

import gzip
import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import needs
from support.programs import DEMO, SMALL_CONFIG, Messages, run_here

from bert_tf import BertConfig, BertPreprocessor, heads
from bert_tf.errors import UserError
from bert_tf.export import (
    Predictor,
    agreement,
    calibration,
    export_model,
    int8,
)
from bert_tf.export.engines import choice, tuned
from bert_tf.export.engines.sequences import Sequences
from bert_tf.export.serving_base import SAMPLES
from bert_tf.pooling import BertEmbedder
from bert_tf.tools import beam_answers

needs("ai_edge_litert.interpreter", "ai-edge-litert")
CONFIG = BertConfig.from_dict(SMALL_CONFIG)
VOCAB = str(DEMO / "demo" / "vocab.txt")
PREPROCESS = BertPreprocessor(VOCAB, max_seq_length=24)
LABELS = ["ham", "spam", "no"]
TEXTS = [text.replace("\0", "") for text in SAMPLES]
MARKED = ["[E1]Ann[/E1] likes [E2]tea[/E2]", "so [E2]I[/E2] and [E1]x[/E1] go"]

# {name: (model, settings of the export, items)}; fewer items than
# `choice.FEW_SEQUENCES` are read by LiteRT, more by TensorFlow.
MODELS = {
    "single_label": (
        lambda: heads.BertClassifier(CONFIG, 3),
        {"labels": LABELS},
        TEXTS,
    ),
    "pairs": (
        lambda: heads.BertClassifier(CONFIG, 1),
        {"takes_pairs": True},
        [*zip(TEXTS, TEXTS[::-1], strict=True)],
    ),
    "windows": (
        lambda: heads.BertClassifier(CONFIG, 3),
        {"labels": LABELS, "problem_type": "multi_label", "max_windows": 3},
        TEXTS,
    ),
    "tags": (
        lambda: heads.BertTokenClassifier(CONFIG, 3),
        {"labels": LABELS},
        [*TEXTS, {"words": ["New York", "'s"]}],
    ),
    "choices": (
        lambda: heads.BertMultipleChoice(CONFIG),
        {},
        [("a", ["b", "c"]), ("is", ["it", "", TEXTS[2]]), (TEXTS[-1], ["x"])],
    ),
    "relation": (
        lambda: heads.BertRelationClassifier(CONFIG, 3),
        {"labels": LABELS},
        MARKED,
    ),
    "questions": (
        lambda: heads.BertSpanLabeler(CONFIG),
        {},
        [("Who likes tea?", " ".join(TEXTS)), ("is it?", TEXTS[0]), ("", "")],
    ),
    "vectors": (lambda: BertEmbedder(CONFIG, layers=(-1,)), {}, TEXTS),
    "tokens": (
        lambda: BertEmbedder(CONFIG, pooling="none", layers=(-1,)),
        {},
        TEXTS,
    ),
}


MARKS = dict.fromkeys(("pairs", "tags", "questions"), pytest.mark.slow)


def randomized(model):
    """The model with weights that tell texts apart."""
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.path.endswith(("kernel", "embeddings", "output_weights")):
            variable.assign(rng.normal(size=variable.shape) * 0.15)
    return model


@pytest.fixture(
    scope="module",
    params=[
        name
        if name == "single_label"
        else pytest.param(name, marks=MARKS.get(name, pytest.mark.thorough))
        for name in MODELS
    ],
)
def exported(request, tmp_path_factory):
    """(folder, items, answers of the signature) of a kind of models."""
    make, settings, items = MODELS[request.param]
    keras.utils.set_random_seed(3)
    folder = str(tmp_path_factory.mktemp(request.param) / "export")
    export_model(
        folder,
        randomized(make()),
        PREPROCESS,
        int8=int8.Int8Settings(items=items, allow_loss=True),
        **settings,
    )
    predictor = Predictor(folder)
    requests = predictor.prepare([i for i in items if not isinstance(i, dict)])
    columns = predictor._reader.columns(requests)
    outputs = predictor.signatures["serving_default"](**columns)
    whole = {name: value.numpy() for name, value in outputs.items()}
    return folder, items, predictor.format(whole)


def assert_close(found, expected, tolerance):
    """Compares answers; whole numbers and texts are equal, or nearly tie."""
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for name in found:
            assert_close(found[name], expected[name], tolerance)
    elif isinstance(found, list) and found and isinstance(found[0], dict):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, tolerance)
    elif np.asarray(found).dtype.kind == "f":
        np.testing.assert_allclose(found, expected, atol=tolerance)
    elif tolerance < 1e-3:
        assert found == expected


def test_float32_answers_as_the_signature_does(exported):
    """One at a time LiteRT computes, and many at once TensorFlow."""
    folder, items, expected = exported
    predictor = Predictor(folder, num_threads=1)
    assert predictor.engine == "float32"
    if predictor.kind == "question_answering":  # The same in all processes.
        names = "answer score start end end_byte start_byte"
        assert " ".join(expected[0]) == names
    plain = [item for item in items if not isinstance(item, dict)]
    alone = [predictor.predict([item])[0] for item in plain]
    many = predictor.predict(plain * choice.FEW_SEQUENCES)
    if "embedding" in expected[0] and expected[0]["embedding"].ndim == 2:
        many, expected = many[: len(plain)], many[: len(plain)]
    assert_close(alone, expected, 1e-5)
    assert_close(many[: len(plain)], expected, 1e-5)
    assert_close(many[-len(plain) :], many[: len(plain)], 1e-5)
    if len(plain) < len(items):
        words = items[-1]["words"]
        (answer,) = predictor.predict([items[-1]])
        assert answer["words"] == words
        assert len(predictor.predict(items)) == len(items)


def test_bfloat16_and_int8_answer_almost_so(exported):
    folder, items, _ = exported
    expected = Predictor(folder).predict(items)
    for engine, tolerance in {"bfloat16": 0.1, "int8": 0.3}.items():
        predictor = Predictor(folder, engine=engine, num_threads=2)
        predictor.warm_up()
        found = predictor.predict(items)
        if predictor.kind in ("single_label", "multi_label", "relation"):
            assert_close(found, expected, tolerance)
        assert agreement.agreement(predictor.kind, expected, found) > 0.5
        # Whatever else is read with it.
        again = [predictor.predict([item])[0] for item in items]
        assert_close(again, found, 0.02)


def test_what_int8_costs_is_in_the_folder(exported):
    folder, items, _ = exported
    description = json.loads(
        open(f"{folder}/assets.extra/model.json", encoding="utf-8").read()
    )
    cost = description["int8"]
    assert cost["num_items"] == len(items)
    assert cost["measured_on"] == "dev set"
    assert 0.0 <= cost["agreement"] <= 1.0


def test_lengths_of_texts(exported):
    folder, items, _ = exported
    predictor = Predictor(folder, with_lengths=True)
    for item, answer in zip(items, predictor.predict(items), strict=True):
        (again,) = predictor.predict([item])
        lengths = answer["num_tokens"], answer["truncated"]
        assert lengths == (again["num_tokens"], again["truncated"])
        assert lengths[0] >= 2 and isinstance(lengths[1], bool)
        if predictor.kind != "embedding":  # It may have "num_tokens" itself.
            assert [*answer][-2:] == ["num_tokens", "truncated"]
    if predictor.kind == "single_label":
        tokens = [answer["num_tokens"] for answer in predictor.predict(items)]
        expected = PREPROCESS.sequence_lengths(TEXTS).numpy().tolist()
        assert tokens == expected
        strict = Predictor(folder, on_long="error")
        assert strict.predict(TEXTS[:1])
        with pytest.raises(ValueError, match="item 1: is longer .* tokens"):
            strict.predict([TEXTS[0], TEXTS[-1]])


# ---------------------------------------------------------------------------
# Files of texts to compare answers on.

SQUAD = {
    "data": [
        {
            "title": "tea",
            "paragraphs": [
                {
                    "context": "I like tea.",
                    "qas": [{"id": "1", "question": "What?", "answers": []}],
                }
            ],
        }
    ]
}
CALIBRATION = {
    "single_label": [("new.csv", "text,label\na b,ham\n", ["a b"])],
    "pairs": [("new.txt", "a ||| b\nc\n", [("a", "b"), ("c", "")])],
    "windows": [("new.txt.gz", "a\n\nb\n", ["a", "", "b"])],
    "tags": [
        (
            "new.conll",
            "Ann O\nsleeps O\n\nI\n",
            [{"words": ["Ann", "sleeps"]}, {"words": ["I"]}],
        ),
        ("new.jsonl", '{"tokens": ["a", "b"]}\n', [{"words": ["a", "b"]}]),
        ("new.json", '[{"text": "Ann sleeps"}]', ["Ann sleeps"]),
    ],
    "choices": [
        ("new.json", '[{"text": "a", "endings": ["b"]}]', [("a", ["b"])]),
        ("swag.csv", "sent1,ending0,ending1\na,b,c\n", [("a", ["b", "c"])]),
    ],
    "questions": [
        ("squad.json", json.dumps(SQUAD), [("What?", "I like tea.")]),
        ("new.tsv", "question\tcontext\nq\tc\n", [("q", "c")]),
    ],
    "vectors": [("new.tsv", "text\nb\n", ["b"])],
    "relation": [("new.txt", MARKED[0], MARKED[:1])],
}


def test_calibration_files_have_the_forms_of_predict(exported, tmp_path):
    folder, *_ = exported
    predictor = Predictor(folder)
    name = pathlib.Path(folder).parent.name.rstrip("0123456789")
    for file, content, expected in CALIBRATION.get(name, []):
        path = tmp_path / file
        opened = gzip.open if file.endswith("gz") else open
        with opened(path, "wt", encoding="utf-8") as writer:
            writer.write(content)
        items = calibration.read_items(str(path), predictor, 10)
        assert [*map(predictor.check, items)] == [
            *map(predictor.check, expected)
        ]
        assert len(calibration.read_items(str(path), predictor, 1)) == 1
        path.write_bytes(b"")
        with pytest.raises(UserError, match=f"calibration_file=.*{file}"):
            calibration.read_items(str(path), predictor, 10)


# ---------------------------------------------------------------------------
# Of one model.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier of texts with an int8 network."""
    folder = str(tmp_path_factory.mktemp("engines") / "export")
    model = randomized(heads.BertClassifier(CONFIG, 3))
    export_model(
        folder, model, PREPROCESS, labels=LABELS, int8=int8.Int8Settings()
    )
    return folder


@pytest.mark.slow
def test_few_texts_need_no_weights_of_tensorflow(folder, monkeypatch):
    def load(*args):
        raise AssertionError("the weights were loaded")

    monkeypatch.setattr(choice.LoadedModel, "load_weights", load)
    assert Predictor(folder).predict(TEXTS[:2])
    assert Predictor(folder, engine="int8").predict(TEXTS * 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network.tflite", "network_int8.tflite"])
def test_a_damaged_file_is_one_line(folder, tmp_path, name):
    copy = tmp_path / "export"
    shutil.copytree(folder, copy)
    path = copy / "assets.extra" / name
    engine = "int8" if "int8" in name else "float32"
    content = path.read_bytes()
    for damaged in (content[:1000], b"", b"x" * 5000):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{name}: .*LiteRT") as caught:
            Predictor(str(copy), engine=engine).predict(TEXTS[:1])
        assert "\n" not in str(caught.value)
    path.unlink()
    if engine == "int8":
        with pytest.raises(UserError, match="exported without it"):
            Predictor(str(copy), engine=engine)
    else:
        assert Predictor(str(copy)).predict(TEXTS[:1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["float32", pytest.param("int8", marks=pytest.mark.slow)]
)
def test_a_loaded_model_stays_itself(folder, tmp_path, engine):
    """Its folder goes away, or another model takes its place."""
    expected = Predictor(folder, engine=engine).predict(TEXTS * 3)
    for happens in (shutil.rmtree, with_other_content):
        copy = tmp_path / happens.__name__
        shutil.copytree(folder, copy)
        predictor = Predictor(str(copy), engine=engine)
        happens(copy)
        assert_close(predictor.predict(TEXTS * 3), expected, 1e-5)
        with pytest.raises(UserError, match="load it again"):
            predictor.signatures["serving_default"](text=tf.constant(["a"]))


def test_weights_are_found_again(folder, tmp_path, monkeypatch):
    """A link to the folder is gone, and the working folder is another."""
    (tmp_path / "current").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    predictor = Predictor("current")
    (tmp_path / "current").unlink()
    monkeypatch.chdir("/")
    text = tf.constant(TEXTS[:1])
    outputs = predictor.signatures["serving_default"](text=text)
    (answer,) = predictor.predict(TEXTS[:1])
    assert outputs["score"].numpy()[0] == pytest.approx(answer["score"])


def with_other_content(folder):
    """Replaces each file of a folder."""
    for path in filter(pathlib.Path.is_file, folder.rglob("*")):
        path.unlink()
        path.write_bytes(b"another")


def test_engines_of_a_remote_folder(folder):
    """TensorFlow's file system in memory stands for gs://."""
    remote = "ram://engines"
    for path in filter(pathlib.Path.is_file, pathlib.Path(folder).rglob("*")):
        target = f"{remote}/{path.relative_to(folder)}"
        tf.io.gfile.makedirs(target.rpartition("/")[0])
        tf.io.gfile.copy(str(path), target, overwrite=True)
    expected = Predictor(folder).predict(TEXTS * 2)
    for engine in ("float32", "int8"):
        predictor = Predictor(remote, engine=engine)
        assert_close(predictor.predict(TEXTS * 2), expected, 0.3)


@pytest.mark.slow
def test_labels_of_an_edited_description(folder, tmp_path):
    """The graph knows them, too."""
    copy = tmp_path / "export"
    shutil.copytree(folder, copy)
    path = copy / "assets.extra" / "model.json"
    description = json.loads(path.read_text("utf-8"))
    expected = Predictor(folder).predict(TEXTS[:1])
    for labels in (None, ["a"], [1, 2, 3]):
        path.write_text(json.dumps({**description, "labels": labels}), "utf-8")
        assert_close(Predictor(str(copy)).predict(TEXTS[:1]), expected, 1e-6)


def test_settings_that_are_wrong(folder):
    for settings, message in (
        ({"num_threads": 0}, "num_threads=0: must be a whole number from 1"),
        ({"max_batch_tokens": 0.5}, "max_batch_tokens=0.5: must be a whole"),
        ({"batch_size": -1}, "batch_size=-1: must be a whole number"),
        ({"engine": "int4"}, "engine=int4: must be one of float32, "),
        ({"on_long": "cut"}, "on_long=cut: must be one of truncate, error"),
    ):
        with pytest.raises(UserError, match=message):
            Predictor(folder, **settings)


@pytest.mark.slow
def test_too_much_loss_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "agreement", lambda *args: 0.9)
    model = randomized(heads.BertClassifier(CONFIG, 3))
    path = str(tmp_path / "export")
    shutil.copytree(folder, path)
    with pytest.raises(
        UserError, match="agree .* to 90.0% on .*; less than 99%"
    ):
        export_model(
            path,
            model,
            PREPROCESS,
            labels=LABELS,
            int8=int8.Int8Settings(items=TEXTS),
        )
    assert [*tmp_path.iterdir()] == [tmp_path / "export"]
    assert Predictor(path, engine="int8").predict(TEXTS[:1])  # As before.


@pytest.mark.slow
def test_auto_takes_what_was_found_on_this_machine(folder):
    assert Predictor(folder, engine="auto").engine == "float32"
    found = tuned.Tuned(
        machine=tuned.machine(),
        engine="int8",
        num_threads=1,
        max_batch_tokens=512,
    )
    tuned.write(folder, found)
    assert Predictor(folder, engine="auto").engine == "int8"
    assert Predictor(folder).engine == "float32"
    # What is given wins, and what is missing is not used.
    settings = choice.EngineSettings(engine="auto", max_batch_tokens=9)
    model = choice.LoadedModel(folder)
    assert choice.with_tuned(model, settings).max_batch_tokens == 9
    # The workers of a pipeline answer as this process does.
    given = {"engine": "auto", "num_threads": None, "max_batch_tokens": 9}
    predictor = Predictor(folder, **given)
    of_workers = beam_answers.settings_of_workers(predictor, given)
    assert of_workers == {**given, "engine": "int8"}
    for change in ({"engine": "int4"}, {"num_threads": "2"}):
        path = os.path.join(folder, tuned.NAME)
        with open(path, "w", encoding="utf-8") as writer:
            json.dump({**vars(found), **change}, writer)
        assert Predictor(folder, engine="auto").engine == "float32"
    other = tuned.Tuned(**{**vars(found), "machine": "another, 2 cores"})
    tuned.write(folder, other)
    assert Predictor(folder, engine="auto").engine == "float32"


@pytest.mark.slow
def test_tune_keeps_the_fastest_settings(folder, tmp_path, monkeypatch):
    copy = tmp_path / "export"
    shutil.copytree(folder, copy, ignore=lambda *args: ["tuned.json"])
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(text.strip() or "a" for text in TEXTS))
    tool = "bert_tf/tools/tune.py"
    with Messages() as lines:
        done = run_here(
            tool, f"--model={copy}", f"--input={texts}", "--verbosity=0"
        )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "| int8 |" in line]
    assert rows and any("--engine=auto uses it" in line for line in lines)
    found = tuned.read(str(copy))
    assert found is not None
    assert Predictor(str(copy), engine="auto").engine == found.engine
    missing = run_here(tool, f"--model={tmp_path / 'none'}")
    assert missing.returncode == 1 and missing.stderr.count("\n") == 1


def test_batches_have_a_budget_of_tokens():
    lengths = np.array([3, 0, 9, 4, 12, 1])
    ids = {"input_ids": np.zeros((6, 12), np.int32)}
    batches = [b.tolist() for b in Sequences(ids, lengths).batches(12)]
    assert batches == [[4], [2], [3, 0, 5]]
    batches = [b.tolist() for b in Sequences(ids, lengths).batches(1, 2)]
    assert batches == [[4], [2], [3], [0], [5]]


def test_agreement_of_numbers_and_vectors():
    numbers = [{"prediction": x} for x in (1.0, 2.0, 3.0)]
    near = [{"prediction": x} for x in (1.01, 2.0, 3.5)]
    assert agreement.agreement("regression", numbers, near) == 2 / 3
    one, other = (
        [{"embedding": np.array(x)}] for x in ([1.0, 0.0], [1.0, 0.5])
    )
    assert agreement.agreement("embedding", one, one) == 1.0
    assert agreement.agreement("embedding", one, other) == 0.0
