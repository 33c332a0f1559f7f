"""The commands that a run suggests work where they are typed."""

import os
import sys
import types

import pytest
from support.common import ROOT
from support.programs import RUN_CLASSIFIER, RUN_SQUAD

from bert_tf.programs import entry_points, labelled_modes, next_step
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.texts import MultiLabel, SingleLabel


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Function(folder, *sys.path) -> the commands suggested there."""
    checkout = tmp_path / "checkout"
    (checkout / "bert_tf").mkdir(parents=True)
    (tmp_path / "site" / "bert_tf").mkdir(parents=True)
    found: list[str] = []

    def suggested(folder, *path):
        found.clear()
        monkeypatch.chdir(folder)
        program = os.path.relpath(checkout / "run_classifier.py")
        monkeypatch.setattr(sys, "argv", [program])
        monkeypatch.setattr(sys, "path", [str(checkout), *map(str, path)])
        next_step.log_next_step(["export"], labels_files=True)
        return list(found)

    log = types.SimpleNamespace(show=lambda key, text: found.append(text))
    monkeypatch.setattr(next_step, "console", log)
    run = types.SimpleNamespace(output_dir="runs/mine")
    monkeypatch.setattr(next_step, "FLAGS", run)
    return suggested


def test_a_suggested_tool_is_found(commands, tmp_path):
    tools = [
        "python -m bert_tf.tools.predict --model=runs/mine --input=FILE",
        "python -m bert_tf.tools.serve --model=mine=runs/mine",
    ]

    def plain(found):
        return [x.partition("  #")[0] for x in found]

    checkout = tmp_path / "checkout"
    assert plain(commands(checkout)) == tools
    # Installed.
    assert plain(commands(tmp_path, tmp_path / "site")) == tools
    # `python -m` does not look next to a program in another folder.
    assert plain(commands(tmp_path)) == [
        f"PYTHONPATH={checkout} {tool}" for tool in tools
    ]


@pytest.mark.parametrize(
    "program, flags, labels_files, command",
    [
        (RUN_CLASSIFIER, {}, True, "--do_eval --dev_file=FILE --output_dir"),
        (RUN_CLASSIFIER, {"dev_file": "x"}, True, "--do_eval --output_dir"),
        (RUN_CLASSIFIER, {"dev_fraction": 0.1}, True, "--do_eval --output_dir"),
        (RUN_CLASSIFIER, {}, False, "--do_eval --output_dir"),
        (RUN_SQUAD, {}, True, "--do_eval --predict_file=FILE --output_dir"),
        (RUN_SQUAD, {"predict_file": "x"}, True, "--do_eval --output_dir"),
    ],
)
def test_a_file_that_the_run_does_not_know_is_asked_for(
    program, flags, labels_files, command, caplog
):
    caplog.set_level("DEBUG", logger="absl")
    with program.flags(output_dir="out", **flags):
        next_step.log_next_step(["train"], labels_files)
    assert f" {command}=out  # evaluate it" in caplog.text


@pytest.mark.parametrize(
    "problem, class_weights, is_advised",
    [
        (SingleLabel(["a", "b"]), None, True),
        (SingleLabel(["a", "b"]), "balanced", False),
        (SingleLabel(["a", "b"]), "1,2", False),
        (MultiLabel(["a", "b"]), None, False),  # The flag is refused there.
        (Regression(), None, False),
    ],
)
def test_weights_are_advised_where_they_can_help(
    problem, class_weights, is_advised, monkeypatch, caplog
):
    job = types.SimpleNamespace(problem=problem)
    evaluation = types.SimpleNamespace(report={}, scores={}, is_collapsed=True)
    folder = types.SimpleNamespace(write_json=lambda name, content: None)
    monkeypatch.setattr(
        labelled_modes.reports, "format_report", lambda report: []
    )
    with RUN_CLASSIFIER.flags(class_weights=class_weights):
        labelled_modes.show_scores(
            folder, evaluation, "eval", labelled_modes.weighs_labels(job), 7
        )
    assert "same answer" in caplog.text
    assert ("--class_weights" in caplog.text) == is_advised


def test_a_tool_is_suggested_by_its_module(monkeypatch):
    path = os.path.join(ROOT, "bert_tf", "tools", "train_embeddings.py")
    monkeypatch.setattr(sys, "argv", [path])
    monkeypatch.setattr(sys, "path", [str(ROOT), str(ROOT)])
    command = ["python", "-m", "bert_tf.tools.train_embeddings"]
    assert next_step.this_program() == command


def test_an_installed_command_is_suggested_as_it_was_typed(monkeypatch):
    ran = []
    monkeypatch.setattr(
        entry_points.runpy, "run_module", lambda *_, **__: ran.append(this())
    )
    monkeypatch.setattr(entry_points, "typed", "")
    monkeypatch.setattr(sys, "argv", ["/venv/bin/bert-squad"])
    this = next_step.this_program
    entry_points.squad()
    assert ran == [["bert-squad"]]
