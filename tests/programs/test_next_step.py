"""The commands that a run suggests work where they are typed."""

import os
import sys
import types

import pytest
from support.programs import RUN_CLASSIFIER, RUN_SQUAD

from bert_tf.programs import next_step


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

    log = types.SimpleNamespace(info=lambda form, *x: found.append(form % x))
    monkeypatch.setattr(next_step, "logging", log)
    run = types.SimpleNamespace(output_dir="runs/mine")
    monkeypatch.setattr(next_step, "FLAGS", run)
    return suggested


def test_a_suggested_tool_is_found(commands, tmp_path):
    tools = [
        "python -m bert_tf.tools.predict --model=runs/mine --input=FILE",
        "python -m bert_tf.tools.serve --model=mine=runs/mine",
    ]

    def plain(found):
        return [x.removeprefix("Next: ").partition("  #")[0] for x in found]

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
    caplog.set_level("INFO", logger="absl")
    with program.flags(output_dir="out", **flags):
        next_step.log_next_step(["train"], labels_files)
    assert f" {command}=out  # evaluate it" in caplog.text
