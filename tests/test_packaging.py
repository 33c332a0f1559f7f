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
import zipfile

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
OF_DEVELOPERS = {"benchmark", "build_normalization", "soak"}
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
    # The package itself uses nothing of `docs`.
    assert {*extras.MODULES} == {*EXTRAS} - {"all", "docs", "test"}
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
    code = (
        "import sys; sys.argv[0] = '/usr/bin/bert-classifier'; "
        "from bert_tf.programs import entry_points as e; e.classifier()"
    )

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
    assert last.startswith("bert-classifier: ") and "nonsense" in last


SBOM = runpy.run_path(str(ROOT / ".ci" / "sbom.py"))


def small_wheel(folder):
    """A wheel that needs NumPy, and what there is not."""
    path = folder / "one-1.0-py3-none-any.whl"
    about = (
        "Name: One\nVersion: 1.0\nLicense-Expression: MIT\n"
        "Requires-Dist: keras>=3\nRequires-Dist: no_such_package\n"
        "Requires-Dist: pytest; extra == 'test'\n"
    )
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("one-1.0.dist-info/METADATA", about)
    return str(path)


def test_the_sbom_has_the_form_of_cyclonedx(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    path = small_wheel(tmp_path)
    bom = SBOM["bom_of"](path)
    assert bom == SBOM["bom_of"](path)
    assert "no-such-package is not installed" in capsys.readouterr().err
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bom["serialNumber"])
    assert bom["metadata"]["timestamp"] == "2001-09-09T01:46:40Z"
    subject = bom["metadata"]["component"]
    assert subject["purl"] == "pkg:pypi/one@1.0"
    assert subject["licenses"] == [{"expression": "MIT"}]
    names = [c["name"] for c in bom["components"]]
    assert names == sorted({*names})
    assert {"keras", "numpy", "h5py"} <= {*names} and "pytest" not in names
    refs = {c["bom-ref"] for c in (subject, *bom["components"])}
    assert len(refs) == len(names) + 1
    for one in (subject, *bom["components"]):
        assert one["type"] == "library" and one["version"]
        assert one["bom-ref"] == one["purl"]
    assert {d["ref"] for d in bom["dependencies"]} == refs
    for dependency in bom["dependencies"]:
        assert {*dependency["dependsOn"]} <= refs


@pytest.mark.slow
def test_a_wheel_is_built_twice_alike_and_runs_anywhere(tmp_path):
    """The demo runs from another folder, without this checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("a wheel is built of a clone, and this is none")
    hashes = []
    for name in ("first", "second"):
        done = subprocess.run(
            [str(ROOT / ".ci" / "wheel"), str(tmp_path / name)],
            capture_output=True,
            text=True,
        )
        if "No matching distribution found for setuptools" in done.stderr:
            pytest.skip("a wheel needs setuptools, and no index is reached")
        assert done.returncode == 0, done.stderr
        files = sorted((tmp_path / name).iterdir())
        assert [path.suffix for path in files] == [".whl", ".json"]
        hashes.append([path.read_bytes() for path in files])
    assert hashes[0] == hashes[1]
    with zipfile.ZipFile(files[0]) as wheel:
        assert len({one.date_time for one in wheel.infolist()}) == 1
        wheel.extractall(tmp_path / "installed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "run_classifier", "--task_name=sms"),
            *("--do_train", "--num_train_epochs=0.02", "--output_dir=out"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "train.json").exists()
