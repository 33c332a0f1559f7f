"""What tests share: where golden files are, and small models."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from bert_tf import BertConfig

TESTS = pathlib.Path(__file__).parents[1]
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
# Larger outputs of the original, real checkpoints and data sets, under their
# own licences. A test that needs them is skipped where they are absent.
SHARED = ROOT.parent / "shared"

TINY_CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
    type_vocab_size=2,
)


def shared(path: str) -> pathlib.Path:
    """A file or folder of SHARED; skips the test where it is absent."""
    found = SHARED / path
    if not found.exists():
        # One reason for all, so that pytest shows them in one line.
        pytest.skip(
            "a file of ../shared is absent: docs/contributing.md says what it "
            "holds, and where that comes from"
        )
    return found


def needs(module: str, package: str):
    """A module; skips the test where its package is not installed."""
    why = f"{package} is not installed: pip install '{package}'"
    return pytest.importorskip(module, reason=why)


def run_module(name: str, *arguments):
    """`python -m name`; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def thorough_but(values, *others):
    """The values as parameters of a test; all but the others are thorough."""
    assert {*others} <= {*values}
    return [
        value
        if value in others
        else pytest.param(value, marks=pytest.mark.thorough)
        for value in values
    ]


def read_json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def read_npz(path) -> dict:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def json_lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
