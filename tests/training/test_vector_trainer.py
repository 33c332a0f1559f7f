"""Steps on all vectors of a batch: the same on replicas and in parts."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.common import ROOT, TESTS
from support.vector_steps import COMPARED

# Softmax ignores it: its true gradient is zero, and Adam makes steps of noise.
NOT_COMPARED = "key/bias"


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    path = tmp_path_factory.mktemp("steps") / "steps.npz"
    subprocess.run(
        [sys.executable, "-m", "support.vector_steps", str(path)],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"},
    )
    return np.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("name, loss", COMPARED)
def test_replicas_and_parts_change_nothing(arrays, name, loss):
    prefix = f"one/{loss}/"
    expected = {
        key.removeprefix(prefix): arrays[key]
        for key in arrays.files
        if key.startswith(prefix)
    }
    assert len(np.unique(expected["loss"])) > 1  # It has moved.
    for what, array in expected.items():
        if NOT_COMPARED not in what:
            found = arrays[f"{name}/{loss}/{what}"]
            np.testing.assert_allclose(
                found, array, atol=1e-6, rtol=1e-6, err_msg=what
            )
