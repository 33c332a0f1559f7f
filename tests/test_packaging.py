"""What pyproject.toml says of the package, against the files."""

import ast
import importlib
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib

import pytest
from programs.test_command_line import TOOLS
from support.common import ROOT
from support.programs import arguments, as_flags, make_folder, run_here

from bert_tf import extras
from bert_tf.errors import UserError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
# The file that each command runs.
PROGRAMS = {
    "bert-classifier": "run_classifier.py",
    "bert-squad": "run_squad.py",
    "bert-pretraining": "run_pretraining.py",
    "bert-export": "bert_tf/tools/export_model.py",
    "bert-pretraining-data": "bert_tf/tools/create_pretraining_data.py",
}
# Tools without a command: they are for those who develop the package.
OF_DEVELOPERS = {"benchmark", "build_normalization"}
for name in sorted({*TOOLS} - OF_DEVELOPERS):
    path = f"bert_tf/tools/{name}.py"
    if path not in PROGRAMS.values():
        PROGRAMS[f"bert-{name.replace('_', '-')}"] = path


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


EXTRAS = PROJECT["project"]["optional-dependencies"]
CORE = PROJECT["project"]["dependencies"]


def packages_of(extra):
    """The requirements of an extra, and of those that it names."""
    for requirement in EXTRAS[extra]:
        if found := re.fullmatch(r"bert-tf\[(.*)\]", requirement):
            for other in found[1].split(","):
                yield from packages_of(other)
        else:
            yield requirement


def test_requirements_are_those_of_the_package():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    assert len(found) == len({*found})
    assert {*found} == {*CORE, *packages_of("test")}
    # No package has two ranges.
    every = {*CORE, *(r for extra in EXTRAS for r in packages_of(extra))}
    names = [re.match(r"[\w.-]+", requirement)[0] for requirement in every]
    assert len(names) == len({*names})


def test_extras_are_those_of_the_package():
    assert {*extras.MODULES} == {*EXTRAS} - {"all", "test"}
    assert {*packages_of("all")} == {
        requirement
        for extra in {*extras.MODULES} - {"beam"}
        for requirement in packages_of(extra)
    }
    for extra, modules in extras.MODULES.items():
        names = [re.match(r"[\w-]+", r)[0] for r in packages_of(extra)]
        for module in modules:
            first = module.split(".")[0].replace("_", "-")
            assert any(first in name.replace("io", "") for name in names), (
                module
            )


def test_an_absent_extra_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr(extras, "is_there", lambda name: name != "uvicorn")
    extras.require("report", "a page")
    with pytest.raises(UserError) as error:
        extras.require("serving", "the server")
    assert str(error.value) == (
        "the server needs uvicorn, which is not installed: "
        "pip install 'bert-tf[serving]'"
    )


# What the extras import; the core must do without it.
ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NAMES:
            raise ModuleNotFoundError(name)

NAMES = %r
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.slow
def test_the_core_imports_nothing_of_an_extra(tmp_path):
    """All of the package is imported, but the server and Beam's workers."""
    names = {m.split(".")[0] for x in extras.MODULES.values() for m in x}
    names |= {"starlette", "pydantic"} - {"grpc"}
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "bert_tf").rglob("*.py"))
        if not {"serving", "tools"} & {*path.relative_to(ROOT).parts[:-1]}
    ]
    code = ABSENT % (names - {"grpc"}) + (
        f"import importlib\nfor name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "from bert_tf.tools import serve\n"
        "from absl import flags\n"
        "flags.FLAGS(['serve', '--model=a=b'])\n"
        "try:\n    serve.main()\n"
        "except ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the server needs fastapi, fastapi_offline")


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
