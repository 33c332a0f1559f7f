"""What pyproject.toml says of the package, against the files."""

import ast
import importlib
import json
import os
import runpy
import subprocess
import sys
import tomllib

import pytest
from support.common import ROOT
from support.programs import arguments, as_flags, make_folder, run_here

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
# The file that each command runs.
PROGRAMS = {
    "bert-classifier": "run_classifier.py",
    "bert-squad": "run_squad.py",
    "bert-pretraining": "run_pretraining.py",
    "bert-doctor": "bert_tf/tools/doctor.py",
    "bert-export": "bert_tf/tools/export_model.py",
    "bert-predict": "bert_tf/tools/predict.py",
    "bert-serve": "bert_tf/tools/serve.py",
}


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_command_runs_its_program(command, monkeypatch):
    module, _, name = SCRIPTS[command].partition(":")
    started = []
    monkeypatch.setattr(
        runpy,
        "run_module",
        lambda module, run_name, alter_sys: started.append(module),
    )
    getattr(importlib.import_module(module), name)()
    path = ROOT / PROGRAMS[command]
    assert [path.relative_to(ROOT).with_suffix("").parts] == [
        tuple(module.split(".")) for module in started
    ]
    last = ast.parse(path.read_text("utf-8")).body[-1]
    assert isinstance(last, ast.If) and "__main__" in ast.unparse(last.test)


def test_every_program_has_a_command():
    assert {*SCRIPTS} == {*PROGRAMS}


def test_all_files_are_packed():
    settings = PROJECT["tool"]["setuptools"]
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert modules == {*settings["py-modules"]}
    folder = ROOT / "bert_tf"
    packed = {
        path
        for pattern in settings["package-data"]["bert_tf"]
        for path in folder.glob(pattern)
        if path.is_file()
    }
    others = {
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert packed == others
    code = {path.parent for path in folder.rglob("*.py")}
    assert all((path / "__init__.py").exists() for path in code)


def test_requirements_are_those_of_the_package():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    found = {line for line in lines if line and not line.startswith("#")}
    extras = PROJECT["project"]["optional-dependencies"]
    assert found == {*PROJECT["project"]["dependencies"], *extras["test"]}


@pytest.mark.slow
def test_a_command_is_the_same_as_its_program(tmp_path):
    """It records the same flags, and ends in the same way."""
    folder = make_folder(tmp_path)
    code = "from bert_tf.programs import entry_points as e; e.classifier()"

    def command(*flags):
        return subprocess.run(
            [sys.executable, "-c", code, *flags],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    def program(*flags):
        return run_here("run_classifier.py", *flags)

    records = []
    for start in (program, command):
        output = folder / start.__name__
        values = {**arguments(folder), "output_dir": str(output)}
        done = start("--do_train", *as_flags(values))
        assert done.returncode == 0, done.stderr
        record = json.loads((output / "train.json").read_text("utf-8"))
        flags = record["train"]["flags"]
        assert flags.pop("output_dir") == str(output)
        records.append(flags)
    assert records[0] == records[1]
    done = command("--nonsense")
    assert done.returncode == 1
    last = done.stderr.strip().split("\n")[-1]
    assert last.startswith("run_classifier.py: ") and "nonsense" in last
