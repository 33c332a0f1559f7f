"""fine_tune and FineTuned: one small run, and the process around it."""

import json
import logging
import random
import signal
import sys

import keras
import numpy as np
import pytest
from absl import flags
from absl import logging as absl_logging
from support.common import ROOT
from support.programs import (
    DEMO,
    RUN_CLASSIFIER,
    SMALL_CONFIG,
    values_of,
)

import bert_tf
from bert_tf.errors import UserError
from bert_tf.fine_tuning import engine

TEXTS = {"delivery": "where is my parcel", "billing": "refund the invoice"}
ROWS = [(f"{TEXTS[x]} {n}", x) for n in range(10) for x in TEXTS]
SMALL = {
    "do_lower_case": True,
    "learning_rate": 1e-3,
    "max_seq_length": 16,
    "num_train_epochs": 1,
    "train_batch_size": 8,
    "vocab_file": DEMO / "demo" / "vocab.txt",
}


def state_of_process():
    """What a call must leave as it is."""
    handlers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    loggers = [logging.getLogger(), absl_logging.get_absl_logger()]
    handler = absl_logging.get_absl_handler().python_handler
    return {
        "flags": {n: flags.FLAGS[n].__dict__.copy() for n in flags.FLAGS},
        "parsed": flags.FLAGS.is_parsed(),
        "handlers": [signal.getsignal(number) for number in handlers],
        "levels": [logger.level for logger in loggers],
        "log": [[*x.handlers, *x.filters] for x in loggers],
        "shown": handler.filters[:],
        "filters": [h.filters[:] for x in loggers for h in x.handlers],
        "stream": handler.stream,
        "format": handler.formatter,
        "argv": sys.argv[:],
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "policy": keras.config.dtype_policy().name,
    }


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "config.json"
    path.write_text(json.dumps(SMALL_CONFIG))
    return {**SMALL, "bert_config_file": path}


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """(result, state of the process before it, state after it)."""
    folder = tmp_path_factory.mktemp("run") / "new"
    before = state_of_process()
    model = bert_tf.fine_tune(ROWS, output_dir=folder, **config)
    return model, before, state_of_process()


def test_a_run_is_as_the_program_writes_it(run):
    model, *_ = run
    names = {path.name for path in model_folder(model).iterdir()}
    assert names >= {
        *("train.json", "task.json", "eval_results.txt", "run.log"),
        *("labels.txt", "vocab.txt", "data"),
    }
    assert model.task == "jsonl" and model.labels == ["billing", "delivery"]
    assert 0 <= model.scores["eval_accuracy"] <= 1
    assert model.settings["max_seq_length"] == 16
    assert model.settings["dev_fraction"] == 0.1
    first = (model_folder(model) / "run.log").read_text("utf-8").split("\n")[0]
    assert "python run_classifier.py --task_name=jsonl" in first


def model_folder(model):
    return type(ROOT)(model.output_dir)


def test_the_process_is_as_before(run):
    _, before, after = run
    for name, value in before.items():
        assert after[name] == value, name


def test_a_notebook_shows_scores_and_the_report(run):
    model, *_ = run
    assert "eval_accuracy" in model._repr_html_()
    assert "eval_accuracy" in repr(model)
    assert model.report is None  # Tests draw none.
    page = model_folder(model) / "report.html"
    page.write_text("<p>a page")
    assert model.report == str(model_folder(model) / "report.html")
    assert model.report._repr_html_().startswith("<iframe srcdoc=")


@pytest.mark.slow
def test_the_same_call_resumes(run, config, capsys):
    model, *_ = run
    again = bert_tf.fine_tune(
        ROWS, output_dir=model.output_dir, test=ROWS[:3], **config
    )
    assert again.scores == model.scores
    assert "Resuming from" in capsys.readouterr().out
    assert (model_folder(model) / "test_predictions.tsv").exists()


def test_other_rows_need_another_folder(run, config):
    model, *_ = run
    with pytest.raises(UserError, match="holds a run on other rows"):
        bert_tf.fine_tune(ROWS[2:], output_dir=model.output_dir, **config)


def test_an_earlier_run_is_opened(run, tmp_path):
    model, *_ = run
    opened = bert_tf.FineTuned(model_folder(model))
    assert opened.scores == model.scores and opened.task == model.task
    with pytest.raises(UserError, match="holds no run"):
        bert_tf.FineTuned(tmp_path)


def test_of_several_runs_the_best_is_opened(run, tmp_path):
    model, *_ = run
    (tmp_path / "seed-2").symlink_to(model_folder(model))
    table = {"best": {"folder": "seed-2"}, "runs": []}
    (tmp_path / "runs.json").write_text(json.dumps(table))
    opened = bert_tf.FineTuned(tmp_path)
    assert opened.run_dir == str(tmp_path / "seed-2")
    assert opened.scores == model.scores


def test_settings_are_written_as_flags():
    values = {
        "a": True,
        "b": 0.5,
        "c": ["x", "y,z"],
        "d": None,
        "e": ROOT,
        "grid": {"learning_rate": [1e-3, 1e-4], "optimizer": ["lamb"]},
    }
    assert list(engine.arguments_of(values)) == [
        *("--a=true", "--b=0.5", '--c=x,"y,z"', f"--e={ROOT}"),
        "--grid=learning_rate:0.001,0.0001;optimizer:lamb",
    ]


@pytest.mark.parametrize(
    "settings, why",
    [
        ({"max_length": 8}, "no such setting; did you mean max_seq_length"),
        ({"max_seq_length": "x"}, "max_seq_length=x: must be a whole number"),
        ({"optimizer": "adam"}, "did you mean adamw"),
        ({"text_column": "txt"}, "no \"txt\"; .*did you mean 'text'"),
        ({"task": "cvs"}, "did you mean csv"),
        ({"train_file": "x"}, "is the argument data here"),
        ({"do_train": False}, "do_train=False: this trains"),
        ({"num_seeds": 2, "dev_fraction": 0}, "num_seeds=2 needs do_eval"),
        ({"dev": "no/such.csv"}, "dev=no/such.csv: no such file"),
        ({"test": [("a",)]}, "test: row 1: must be a dict"),
        ({"data": None}, "data must be given, or task"),
        ({"data": []}, "data: there are no rows"),
        ({"data": {"text": ["a"], "label": []}}, "different lengths"),
        ({"task": "squad", "test": ROWS}, "test not for questions"),
        ({"pretrained": "bert-bas-uncased"}, "did you mean bert-base-uncased"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(
    settings, why, config, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = state_of_process()
    values = {"data": ROWS, **config, **settings}
    if "pretrained" in settings:
        del values["vocab_file"], values["bert_config_file"]
    with pytest.raises(ValueError, match=why) as error:
        bert_tf.fine_tune(output_dir=tmp_path / "out", **values)
    assert "--" not in str(error.value) and "`" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert state_of_process() == before


@pytest.mark.slow
def test_a_stopped_training_is_a_keyboard_interrupt(
    config, tmp_path, monkeypatch
):
    from bert_tf.training import loop

    class Stopped(loop.StopRequest):
        def __enter__(self):
            super().__enter__()
            self.received = "SIGINT"
            return self

    monkeypatch.setattr(loop, "StopRequest", Stopped)
    before = state_of_process()
    with pytest.raises(KeyboardInterrupt, match="the same call resumes"):
        bert_tf.fine_tune(ROWS, output_dir=tmp_path, verbose=False, **config)
    assert state_of_process() == before


@pytest.mark.slow
def test_it_trains_the_weights_of_the_program(run, config, tmp_path):
    model, *_ = run
    RUN_CLASSIFIER.run(
        task_name="jsonl",
        do_train=True,
        dev_fraction=0.1,
        train_file=str(model_folder(model) / "data" / "train.jsonl"),
        output_dir=str(tmp_path),
        **{n: str(v) if n.endswith("_file") else v for n, v in config.items()},
    )
    theirs = values_of(tmp_path / "model.ckpt-2")
    ours = values_of(model_folder(model) / "model.ckpt-2")
    assert {*theirs} == {*ours}
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name], value)


@pytest.mark.slow
def test_it_predicts(run, tmp_path):
    pandas = pytest.importorskip("pandas")
    model, *_ = run
    texts = ["my parcel", "an invoice"]
    answers = model.predict(texts)
    assert (model_folder(model) / "export").is_dir()
    table = pandas.DataFrame({"text": texts, "other": [1, 2]})
    assert model.predict(table) == answers
    assert model.predict(texts[0])[0]["label"] == answers[0]["label"]
    with pytest.raises(UserError, match="no such setting; did you mean"):
        model.export(tmp_path / "saved", export_int=True)


@pytest.mark.slow
def test_questions(config, tmp_path):
    context = "The book was written by Ada in Paris."
    rows = [
        {
            "id": str(n),
            "question": "Who wrote the book?",
            "context": context,
            "answers": {
                "text": np.array(["Ada"]),
                "answer_start": np.array([context.index("Ada")]),
            },
        }
        for n in range(8)
    ]
    values = {**config, "max_seq_length": 32}
    model = bert_tf.fine_tune(
        rows, output_dir=tmp_path, dev=rows, max_query_length=12, **values
    )
    assert model.task == "squad" and "f1" in model.scores


def test_a_teacher_may_be_what_was_trained_before(tmp_path, monkeypatch):
    record = {"task_name": "csv", "train": {}}
    (tmp_path / "train.json").write_text(json.dumps(record))
    asked = {}
    monkeypatch.setattr(
        engine, "run", lambda program, values, verbose: asked.update(values)
    )
    larger = bert_tf.FineTuned(tmp_path)
    bert_tf.fine_tune(ROWS, output_dir=tmp_path, teacher=larger)
    assert asked["teacher"] == str(tmp_path)
