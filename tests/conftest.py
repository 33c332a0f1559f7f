"""What tests share: where golden files are, and small models."""

import json
import pathlib

import numpy as np
import pytest

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
# Larger outputs of the original, real checkpoints and data sets, under their
# own licences. A test that needs them is skipped where they are absent.
SHARED = ROOT.parent / "shared"


def shared(path: str) -> pathlib.Path:
    """A file or folder of SHARED; skips the test where it is absent."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"{found} is absent")
    return found


def read_json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def read_npz(path) -> dict:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
