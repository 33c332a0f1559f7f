"""Replicas, micro-batches, recomputation: the same numbers as without."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.common import ROOT, TESTS, read_npz

from bert_tf.errors import UserError
from bert_tf.training import distribution

# Softmax ignores it: its true gradient is zero, and Adam makes steps of noise.
NOT_COMPARED = "key/bias"
DROPOUT = {"floatx": "float32", "dropout": 0.1}
# More cases of the others.
THOROUGH = ["one, 4 parts", "four, 4 parts", "rows, two, 2 parts, recomputed"]
RUNS = {
    "one": {},
    "one, 4 parts": {"num_micro_batches": 4},
    "two, 2 parts": {"cpu_replicas": 2, "num_micro_batches": 2},
    "four, 4 parts": {"cpu_replicas": 4, "num_micro_batches": 4},
    "rows": {"compute_padding": False},
    "rows, two, 2 parts, recomputed": {
        "compute_padding": False,
        "cpu_replicas": 2,
        "num_micro_batches": 2,
        "recompute": True,
    },
    "taught": {"taught": True},
    "taught, two, 2 parts": {
        "taught": True,
        "compute_padding": False,
        "cpu_replicas": 2,
        "num_micro_batches": 2,
    },
    "float32": {"floatx": "float32"},
    "float32, xla": {"floatx": "float32", "jit_compile": True},
    "dropout": DROPOUT,
    "dropout, recomputed, two, 2 parts": {
        **DROPOUT,
        "recompute": True,
        "cpu_replicas": 2,
        "num_micro_batches": 2,
    },
    "dropout, two, 2 parts": {
        **DROPOUT,
        "cpu_replicas": 2,
        "num_micro_batches": 2,
    },
    "packed, recomputed, two, 2 parts": {
        "packed": True,
        "recompute": True,
        "cpu_replicas": 2,
        "num_micro_batches": 2,
    },
    "packed, float32, xla, 2 parts": {
        "packed": True,
        "floatx": "float32",
        "jit_compile": True,
        "num_micro_batches": 2,
    },
    # 2**24 overflows for a few steps, in which the scale is halved.
    "float16, two, rows": {
        "floatx": "float32",
        "policy": "mixed_float16",
        "cpu_replicas": 2,
        "loss_scale": 2.0**24,
        "compute_padding": False,
    },
}


class Results(dict):
    """{name: arrays} of `RUNS`, made when they are asked for.

    One process makes all that have the same number of replicas, except those
    in `THOROUGH`.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, name):
        alike = {
            other: self.folder / f"{place}.npz"
            for place, other in enumerate(RUNS)
            if self._group(other) == self._group(name)
        }
        arguments = [
            json.dumps({**RUNS[other], "out": str(path)})
            for other, path in alike.items()
        ]
        done = subprocess.run(
            [
                sys.executable,
                str(TESTS / "support" / "replicas.py"),
                *arguments,
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"},
        )
        assert done.returncode == 0, done.stderr
        self.update({other: read_npz(path) for other, path in alike.items()})
        return self[name]

    def _group(self, name):
        return RUNS[name].get("cpu_replicas", 0), name in THOROUGH


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results(tmp_path_factory.mktemp("replicas"))


def compare(ours, theirs, tolerance):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        if NOT_COMPARED not in name:
            difference = np.abs(ours[name] - value).max()
            assert difference <= tolerance, (name, difference)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "two, 2 parts",
        "rows",
        "packed, recomputed, two, 2 parts",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in THOROUGH),
    ],
)
def test_replicas_and_micro_batches_change_nothing(results, name):
    compare(results[name], results["one"], 1e-12)
    assert (results[name]["losses"][:, 1] > 0.5).any()  # Some were clipped.


@pytest.mark.slow
def test_a_teacher_says_the_same_to_all_parts(results):
    compare(results["taught, two, 2 parts"], results["taught"], 1e-12)
    losses = (results[name]["losses"][:, 0] for name in ("taught", "one"))
    assert (next(losses) != next(losses)).all()


@pytest.mark.slow
def test_float32_and_xla_differ_by_rounding(results):
    for name in ("float32, xla", "packed, float32, xla, 2 parts"):
        difference = results[name]["losses"] - results["float32"]["losses"]
        assert np.abs(difference[:, 0]).max() < 1e-6


@pytest.mark.slow
def test_replicas_draw_masks_of_their_own(results):
    one, two = (
        results[name]["losses"] for name in ("dropout", "dropout, two, 2 parts")
    )
    assert np.abs(one[0, 0] - two[0, 0]) > 1e-4


@pytest.mark.slow
def test_recomputation_draws_the_same_masks(results):
    name = "dropout, two, 2 parts"
    compare(results["dropout, recomputed, two, 2 parts"], results[name], 1e-6)


@pytest.mark.slow
def test_an_overflow_leaves_the_step_out_everywhere(results):
    ours = results["float16, two, rows"]
    overflowed = ~np.isfinite(ours["losses"][:, 1])
    assert overflowed[0] and not overflowed[-1]
    assert all(np.isfinite(ours[n]).all() for n in ours if n != "losses")
    assert ours["bert_tf/loss_scale"] == 2.0 ** (24 - overflowed.sum())
    assert ours["global_step"] == 20


def test_batch_sizes_that_do_not_divide():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    distribution.check_divisible(strategy, "train_batch_size", 12, 4)
    with pytest.raises(UserError, match="=10 does not divide .*: use 8 or 12"):
        distribution.check_divisible(strategy, "train_batch_size", 10, 4)
    with pytest.raises(UserError, match="=3 does not divide .*: use 4"):
        distribution.check_divisible(strategy, "train_batch_size", 3, 4)


def test_strategies_that_cannot_be_made(monkeypatch):
    with pytest.raises(UserError, match="known are auto, one_device, mirrored"):
        distribution.make_strategy("horovod")
    with pytest.raises(UserError, match="TF_CONFIG must name two workers"):
        distribution.make_strategy("multi_worker_mirrored")
    with pytest.raises(UserError, match="^tpu_name=local: the TPU cannot"):
        distribution.make_strategy("tpu")
    two = {"worker": ["a:1", "b:2"]}
    first = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": two, "task": first}))
    with pytest.raises(UserError, match="^cpu_replicas=2: these are for one"):
        distribution.make_strategy(cpu_replicas=2)
    for text, message in {
        "{": "Expecting property name",
        "[]": "list indices",
        '{"task": {}}': "'cluster' is missing",
        json.dumps({"cluster": two}): "'task' is missing",
        json.dumps({"cluster": two, "task": {"type": "worker"}}): "'index' is",
        **{
            json.dumps({"cluster": cluster, "task": task}): message
            for cluster, task, message in (
                (two, {"type": "worker", "index": 7}, "not one of the cluster"),
                (two, {"type": "worker", "index": "a"}, "not one of the clus"),
                (two, {"type": "evaluator", "index": 0}, "not one of the clu"),
                ({"worker": "abc"}, first, 'must be a list of "host:port"'),
                ({"worker": ["x", "y"]}, first, 'must be a list of "host:po'),
                ({"worker": [1, 2]}, first, "expected string"),
                ({**two, "ps": ["c:3"]}, first, "jobs must be 'worker'"),
                ([], first, "no attribute 'values'"),
            )
        },
    }.items():
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match=message) as error:
            distribution.make_strategy()
        assert str(error.value).startswith(f"TF_CONFIG={text}: ")
