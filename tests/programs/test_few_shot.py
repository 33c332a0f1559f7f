"""--few_shot: pairs of texts, and a logistic regression on their vectors."""

import json
import types

import numpy as np
import pytest
from absl import flags
from sklearn.linear_model import LogisticRegression
from support.programs import (
    RUN_CLASSIFIER,
    arguments,
    make_folder,
    results_of,
    run,
    values_of,
)

from bert_tf.errors import UserError
from bert_tf.programs import labelled_program
from bert_tf.programs.few_shot import HEAD, check, make_pairs
from bert_tf.programs.logistic_head import fit_head
from bert_tf.programs.several_runs import Outcome
from bert_tf.tasks.texts import SingleLabel

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("label_ids", [[0, 0, 1, 1, 1, 2], [0, 1]])
def test_pairs_are_half_of_the_same_label(label_ids):
    labels = np.array(label_ids)
    number = 10 * 2 * len(labels)
    pairs = make_pairs(labels, number, seed=3)
    assert pairs.shape == (number, 3)
    first, second, is_same = pairs.T
    np.testing.assert_array_equal(labels[first] == labels[second], is_same)
    assert is_same.mean() == 0.5
    np.testing.assert_array_equal(np.bincount(first), 2 * 10)
    alone = np.bincount(labels)[labels[first]] == 1
    assert ((first == second) == (alone & (is_same == 1))).all()
    np.testing.assert_array_equal(pairs, make_pairs(labels, number, seed=3))
    assert (pairs != make_pairs(labels, number, seed=4)).any()


@pytest.mark.parametrize("num_labels", [2, 3])
def test_the_head_gives_the_probabilities_of_scikit_learn(num_labels):
    ids = np.arange(60) % num_labels
    vectors = RNG.normal(size=(60, 5)) + ids[:, None]
    kernel, bias = fit_head(
        vectors.astype(np.float32), ids, num_labels, chooses_strength=False
    )
    logits = vectors @ kernel + bias
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    model = LogisticRegression(max_iter=2000).fit(vectors, ids)
    np.testing.assert_allclose(found, model.predict_proba(vectors), atol=1e-3)


@pytest.mark.slow
def test_a_run_on_few_examples(tmp_path):
    folder = make_folder(tmp_path)
    settings = {"few_shot": True, "train_batch_size": 16, "seed": 5}
    settings |= {"num_train_epochs": 0.5, "save_checkpoints_steps": 20}
    run(folder, do_train=True, do_eval=True, do_predict=True, **settings)
    out = folder / "out"
    assert int(results_of(out / "eval_results.txt")["global_step"]) == 51
    first = values_of(out / "model.ckpt-51")
    zeros, row = first["output_weights"]  # It was fitted: see `fit_head`.
    assert not zeros.any() and np.abs(row).max() > 0.001
    # Until the end nothing looks like a head.
    before = values_of(out / "model.ckpt-40")
    assert first.keys() - before.keys() == {*HEAD}
    probabilities = np.loadtxt(out / "test_results.tsv")
    assert probabilities.shape == (41, 2)
    # A training that was interrupted ends with the same model.
    for path in out.glob("model.ckpt-51*"):
        path.unlink()
    with pytest.raises(UserError, match="ckpt-40 has no output_weights, out"):
        run(folder, do_eval=True)
    run(folder, do_train=True, **settings)
    for name, value in values_of(out / "model.ckpt-51").items():
        np.testing.assert_allclose(value, first[name], atol=1e-6, err_msg=name)


def test_other_kinds_of_answers_are_refused(tmp_path):
    rows = "text\tlabel\na\t1.5\nb\t2.5\n"
    (tmp_path / "train.tsv").write_text(rows)
    folder = make_folder(tmp_path)
    values = arguments(folder, do_train=True, few_shot=True)
    values |= {"task_name": "tsv", "problem_type": "regression"}
    values |= {"train_file": str(tmp_path / "train.tsv"), "data_dir": None}
    with pytest.raises(UserError, match="--few_shot=True: not for"):
        RUN_CLASSIFIER.run(**values)
    assert not (folder / "out").exists()


def checked(labels, found, few_shot=True, before=None):
    """Checks a run on texts with labels; `before` is how it was begun."""
    examples = [types.SimpleNamespace(label=label) for label in found]
    record = {"train": {"flags": {"few_shot": before}}}
    session = types.SimpleNamespace(
        folder=types.SimpleNamespace(record=record),
        existing=[] if before is None else ["model.ckpt-7"],
    )
    with RUN_CLASSIFIER.flags(few_shot=few_shot, output_dir="out"):
        check(SingleLabel(labels), examples, session)


def test_each_label_needs_a_text():
    checked(["a", "b"], ["b", "a", "b"])
    # Such as those of the run that --pretrained names.
    with pytest.raises(UserError, match="the training set has none of b, d$"):
        checked(["a", "b", "c", "d"], ["c", "a"])


def test_a_training_goes_on_as_it_was_begun():
    checked(["a"], ["a"], few_shot=True, before=True)
    checked(["a"], [], few_shot=False, before=False)
    with pytest.raises(UserError, match="out was begun without it, and"):
        checked(["a"], ["a"], few_shot=True, before=False)
    with pytest.raises(UserError, match="out was begun with it, and is only"):
        checked(["a"], ["a"], few_shot=False, before=True)


def test_every_run_has_its_settings(tmp_path, monkeypatch):
    """Each of several runs, and one that resumes without its flags."""
    found = []

    def once(modes, strategy, settings, export_folder=None):
        found.append(
            (
                settings.seed,
                settings.train_batch_size,
                settings.learning_rate,
                flags.FLAGS.num_train_epochs,
            )
        )
        scores = {"eval_accuracy": 0.5}
        return Outcome(
            scores=scores, metric="eval_accuracy", is_collapsed=False
        )

    monkeypatch.setattr(labelled_program, "run_once", once)
    folder = make_folder(tmp_path)
    given = {"num_train_epochs": None, "learning_rate": None}
    given |= {"train_batch_size": None, "do_train": True, "do_eval": True}
    run(folder, few_shot=True, num_seeds=2, seed=1, **given)
    assert found == [(1, 16, 2e-5, 1.0), (2, 16, 2e-5, 1.0)]
    out = folder / "one"
    out.mkdir()
    before = {"few_shot": True, "num_train_epochs": 7.0, "learning_rate": 0.5}
    before |= {"train_batch_size": 4, "seed": 3}
    record = {"task_name": "sms", "train": {"flags": before}}
    (out / "train.json").write_text(json.dumps(record))
    for few_shot in (None, True):
        run(folder, few_shot=few_shot, output_dir=str(out), **given)
        assert found[-1] == (3, 4, 0.5, 7.0)
