"""The commands that a run suggests work where they are typed."""

import os
import sys
import types

import pytest

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
