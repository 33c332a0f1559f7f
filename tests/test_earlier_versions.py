"""What version 0.1.0 wrote still loads, resumes and answers the same.

tests/golden/earlier/
    export.tar.gz, answers.json      a SavedModel and its answers
    run/                             a training that stopped at step 25
    model.ckpt-60, eval_results.txt  the training without the stop
"""

import shutil
import tarfile

import numpy as np
import pytest
from support.common import GOLDEN, read_json
from support.programs import RUN_CLASSIFIER, results_of, values_of

from bert_tf.export import Predictor

EARLIER = GOLDEN / "earlier"


def test_an_export_answers_as_it_did(tmp_path):
    with tarfile.open(EARLIER / "export.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    expected = read_json(EARLIER / "answers.json")
    answers = Predictor(str(tmp_path / "export")).predict(expected["texts"])
    for answer, before in zip(answers, expected["answers"], strict=True):
        assert answer.keys() == before.keys()
        assert answer["label"] == before["label"]
        assert answer["score"] == pytest.approx(before["score"], abs=1e-6)
        assert answer["probabilities"] == pytest.approx(
            before["probabilities"], abs=1e-6
        )


def test_a_run_resumes_as_if_it_had_not_stopped(here, tmp_path):
    shutil.copytree(EARLIER, tmp_path, dirs_exist_ok=True)
    RUN_CLASSIFIER.run(
        task_name="csv",
        train_file="train.csv",
        dev_file="dev.csv",
        vocab_file="vocab.txt",
        bert_config_file="bert_config.json",
        output_dir="run",
        max_seq_length=12,
        train_batch_size=8,
        num_train_epochs=12.0,
        learning_rate=0.01,
        resume="must",
        do_train=True,
        do_eval=True,
    )
    resumed = values_of("run/model.ckpt-60")
    whole = values_of("model.ckpt-60")
    assert resumed.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(resumed[name], values, atol=1e-6)
    results, expected = (
        {name: float(value) for name, value in results_of(path).items()}
        for path in (
            tmp_path / "run" / "eval_results.txt",
            EARLIER / "eval_results.txt",
        )
    )
    assert results == pytest.approx(expected, rel=1e-5)
