"""`python -m bert_tf.tools.models` in processes, as people call it."""

import os
import subprocess
import sys

import pytest
from support.common import ROOT
from support.model_server import TINY, archive_of, files_of


@pytest.fixture
def models(tmp_path):
    """Function that runs the tool with a mirror and a cache of its own."""
    archive = tmp_path / "mirror" / TINY.path
    archive.parent.mkdir(parents=True)
    archive.write_bytes(archive_of(files_of()))
    environment = {
        **os.environ,
        "BERT_TF_HOME": str(tmp_path / "home"),
        "BERT_TF_MIRROR": (tmp_path / "mirror").as_uri(),
    }

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "bert_tf.tools.models", *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        return done.returncode, done.stdout, done.stderr.strip().splitlines()

    return run


def test_path_prints_a_folder_and_list_shows_it(models, tmp_path):
    home = tmp_path / "home"
    status, text, errors = models("path", "bert-tiny")
    assert (status, text) == (0, f"{home / TINY.name}\n")
    assert errors[-1].endswith(f"{TINY.name}: now in {home / TINY.name}")
    assert models("path", TINY.name) == (0, text, [])
    status, text, errors = models("list")
    lines = text.splitlines()
    assert (status, errors, len(lines)) == (0, [], 37)
    rows = [line.split() for line in lines]
    assert "demo 2 128 2 1.1 M lower case bundled".split() in rows
    assert (f"{TINY.name} 2 128 2 4.4 M lower case 0 MB bert-tiny").split() in (
        rows
    )
    assert (
        "cased_L-12_H-768_A-12 12 768 12 108.3 M cased - bert-base-cased"
        in ([" ".join(row) for row in rows])
    )
    assert lines[-1] == f"The cache is {home}"


def test_remove_frees_the_cache(models, tmp_path):
    models("path", "bert-tiny")
    status, text, errors = models("remove", "bert-tiny")
    assert (status, text) == (0, "")
    assert errors[0].endswith(f"{TINY.name}: removed, 0.4 MB are free again")
    (lock,) = (tmp_path / "home").iterdir()
    assert lock.name == f".{TINY.name}.lock"
    status, text, errors = models("remove", "bert-tiny")
    assert (status, text, len(errors)) == (1, "", 1)
    assert errors[0].startswith(f"models.py: {TINY.name}: not in the cache")


def test_the_bundled_model_has_a_path(models):
    folder = ROOT / "bert_tf" / "assets" / "demo"
    assert models("path", "demo") == (0, f"{folder}\n", [])


def test_a_model_that_the_mirror_lacks_ends_in_one_line(models, tmp_path):
    status, text, errors = models("path", "bert-mini")
    assert (status, text) == (1, "")
    assert errors[-1].startswith("models.py: uncased_L-4_H-256_A-4: not in ")
    assert len([line for line in errors if "models.py" in line]) == 1
    assert "Traceback" not in "".join(errors)
