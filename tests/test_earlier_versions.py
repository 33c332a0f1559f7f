"""What version 0.1.0 wrote still loads, resumes and answers the same.

tests/golden/earlier/
    export.tar.gz, answers.json      a SavedModel and its answers
    run/, run_without_dropout/       trainings that stopped at step 25
    model.ckpt-60, eval_results.txt  the one without dropout, without the stop
"""

import shutil
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from support.common import GOLDEN, read_json
from support.programs import RUN_CLASSIFIER, results_of, values_of

from bert_tf import BertConfig
from bert_tf.export import Predictor
from bert_tf.programs.resuming import warn_of_other_masks

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


def resume(folder, **changes):
    """Resumes a run in `folder`; the weights at its end."""
    shutil.copytree(EARLIER, folder, dirs_exist_ok=True)
    settings = {
        "task_name": "csv",
        "train_file": "train.csv",
        "dev_file": "dev.csv",
        "vocab_file": "vocab.txt",
        "max_seq_length": 12,
        "train_batch_size": 8,
        "num_train_epochs": 12.0,
        "learning_rate": 0.01,
        "resume": "must",
        "do_train": True,
        "do_eval": True,
        **changes,
    }
    RUN_CLASSIFIER.run(**settings)
    return values_of(f"{settings['output_dir']}/model.ckpt-60")


def scores_of(path):
    return {name: float(value) for name, value in results_of(path).items()}


NEW_MASKS = "resumes with new masks"


@pytest.mark.slow
def test_a_run_resumes_as_if_it_had_not_stopped(here, tmp_path, warnings):
    resumed = resume(
        tmp_path,
        output_dir="run_without_dropout",
        bert_config_file="config_without_dropout.json",
        classifier_dropout=0.0,
    )
    assert not any(" before, and is " in line for line in warnings())
    assert not any(NEW_MASKS in line for line in warnings())
    whole = values_of("model.ckpt-60")
    assert resumed.keys() == whole.keys()
    for name, values in whole.items():
        if name.endswith("key/bias"):  # Softmax ignores it: steps of noise.
            continue
        np.testing.assert_allclose(
            resumed[name], values, atol=1e-6, err_msg=name
        )
    results = scores_of(tmp_path / "run_without_dropout" / "eval_results.txt")
    expected = scores_of(EARLIER / "eval_results.txt")
    assert results == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_run_with_dropout_says_that_its_masks_are_new(
    here, tmp_path, warnings
):
    """It is said once: from then on the run has these masks."""
    resumed = resume(
        tmp_path,
        output_dir="run",
        bert_config_file="bert_config.json",
        do_eval=False,
    )
    assert not any(" before, and is " in line for line in warnings())
    assert sum(NEW_MASKS in line for line in warnings()) == 1
    whole = values_of("model.ckpt-60")
    assert resumed.keys() == whole.keys()
    assert resumed["global_step"] == whole["global_step"] == 60
    assert all(np.isfinite(values).all() for values in resumed.values())
    record = read_json(tmp_path / "run" / "train.json")["train"]
    assert record["resumed_at_step"] == 25
    warn_of_other_masks(record, SimpleNamespace(config=BertConfig(30)))
    assert sum(NEW_MASKS in line for line in warnings()) == 1
