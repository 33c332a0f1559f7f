"""Several runs of one command, without the runs."""

import json

import numpy as np
import pytest
from support.programs import RUN_CLASSIFIER

from bert_tf.errors import UserError
from bert_tf.programs import labelled_flags, seeds
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.tasks.problem import Evaluation


def settings_of(**values):
    with RUN_CLASSIFIER.flags(output_dir="out", **values) as flags:
        return from_flags(RunSettings, flags.flag_values_dict())


def run_three(settings):
    """(settings of the runs, summary), of runs whose accuracy is the seed."""
    runs = []

    def run_once(settings):
        runs.append(settings)
        scores = {"eval_accuracy": np.float32(settings.seed)}
        return Evaluation(
            results=scores,
            metrics={},
            report={},
            is_collapsed=settings.seed == 6,
        )

    return runs, seeds.run_seeds(run_once, settings, 3)


def test_each_run_has_a_seed_and_a_folder():
    runs, summary = run_three(settings_of(seed=5))
    assert [run.seed for run in runs] == summary["seeds"] == [5, 6, 7]
    folders = [run.output_dir for run in runs]
    assert folders == ["out/seed-5", "out/seed-6", "out/seed-7"]
    assert {run.train_batch_size for run in runs} == {32}
    assert summary["collapsed"] == [6]
    assert summary["eval_accuracy"] == {
        "mean": 6.0,
        "std": 1.0,
        "values": [5.0, 6.0, 7.0],
    }
    json.dumps(summary)


@pytest.mark.parametrize(
    "resume, expected",
    [
        ("auto", ["auto"] * 3),
        ("never", ["never"] * 3),
        ("must", ["must", "auto", "auto"]),  # Later runs may still be missing.
    ],
)
def test_runs_resume(resume, expected):
    runs, _ = run_three(settings_of(resume=resume))
    assert [run.resume for run in runs] == expected


def test_the_last_seed_is_an_int32():
    labelled_flags.check_seeds(2**31 - 2, 2)
    with pytest.raises(UserError, match="2147483647 is the last"):
        labelled_flags.check_seeds(2**31 - 1, 2)
