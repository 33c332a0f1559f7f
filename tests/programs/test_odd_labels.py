"""Whole runs on people's labels: marks, lists, vectors, labels that are new.

The files are in tests/reports.
"""

import json

import pytest
from support.common import ROOT, json_lines
from support.programs import DEMO, RUN_CLASSIFIER, Messages, results_of

from bert_tf.errors import UserError

REPORTS = ROOT / "tests" / "reports"
TOXIC = "toxic,severe_toxic,obscene,threat,insult,identity_hate"


def run(out, task, **flags):
    """Runs with the bundled model for a few steps; returns the log."""
    for name in ("train_file", "dev_file", "test_file"):
        if name in flags:
            flags[name] = str(REPORTS / flags[name])
    with Messages() as lines:
        RUN_CLASSIFIER.run(
            task_name=task,
            vocab_file=str(DEMO / "demo" / "vocab.txt"),
            bert_config_file=str(DEMO / "demo" / "bert_config.json"),
            init_checkpoint=str(DEMO / "demo" / "bert_model.ckpt"),
            output_dir=str(out),
            max_seq_length=32,
            train_batch_size=8,
            num_train_epochs=1.0,
            learning_rate=1e-3,
            **flags,
        )
    return lines


def labels_of(out):
    return (out / "labels.txt").read_text().split()


def report_of(out, name="eval"):
    return json.loads((out / f"{name}_report.json").read_text())


@pytest.mark.slow
def test_a_class_that_is_none(tmp_path):
    """C07: -1 is left out of training and of the score, and still labelled."""
    texts = {
        "text_column": "premise",
        "text_pair_column": "hypothesis",
    }
    rows = (REPORTS / "C07_snli_dev.jsonl").read_text().splitlines()
    rows = [json.loads(row) for row in rows]
    rows[2]["label"], rows[5]["label"] = -1, 7
    test = tmp_path / "test.jsonl"
    test.write_text(json_lines(*rows))
    lines = run(
        tmp_path / "out",
        "jsonl",
        train_file="C07_snli_train.jsonl",
        dev_file="C07_snli_dev.jsonl",
        test_file=test,
        do_train=True,
        do_eval=True,
        do_predict=True,
        **texts,
    )
    out = tmp_path / "out"
    assert labels_of(out) == ["0", "1", "2"]
    assert any("the label '-1', which means that" in line for line in lines)
    # The label 7 counts as wrong, -1 is not scored.
    assert "11 of 12 examples have a known label" in lines
    report = report_of(out, "test")
    assert report["labels"]["7"] == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "support": 1,
    }
    assert sum(row["support"] for row in report["labels"].values()) == 11
    predictions = (out / "test_predictions.tsv").read_text().splitlines()
    assert len(predictions) == 13
    on_test = results_of(out / "test_eval_results.txt")
    assert float(on_test["eval_accuracy"]) <= 10 / 11 + 1e-6
    assert float(on_test["eval_loss"]) > 0
    with pytest.raises(UserError, match="test.jsonl:6: label '7' was not in"):
        run(
            out,
            "jsonl",
            test_file=test,
            strict=True,
            do_predict=True,
            **texts,
        )


@pytest.mark.slow
def test_columns_that_are_not_known(tmp_path):
    """C17: rows of -1 in a test file are labelled and not scored."""
    out = tmp_path / "out"
    lines = run(
        out,
        "csv",
        problem_type="multi_label",
        train_file="C17_train.csv",
        test_file="C17_test_minus1.csv",
        text_column="comment_text",
        label_column=TOXIC,
        do_train=True,
        do_predict=True,
    )
    assert labels_of(out) == TOXIC.split(",")
    assert "10 of 20 examples have a known label" in lines
    predictions = (out / "test_predictions.tsv").read_text().splitlines()
    assert len(predictions) == 21


@pytest.mark.parametrize(
    "name, task, labels",
    [
        ("C08_list_repr.csv", "csv", ["anger", "fear", "joy", "love"]),
        ("C08_multihot.jsonl", "jsonl", ["0", "1", "2", "3"]),
    ],
)
@pytest.mark.slow
def test_several_labels_in_a_list(tmp_path, name, task, labels):
    """C08; thresholds are tuned by the metric that is asked for."""
    out = tmp_path / "out"
    lines = run(
        out,
        task,
        problem_type="multi_label",
        train_file=name,
        dev_fraction=0.25,
        label_column="labels",
        metric_for_best="macro_f1_tuned",
        do_train=True,
        do_eval=True,
    )
    assert labels_of(out) == labels
    report = report_of(out)
    assert {*report["thresholds"]} == {*labels}
    scores = report["scores"]
    assert scores["macro_f1_tuned"] >= scores["macro_f1"]
    assert report["at_0.5"]["micro_avg"]["f1"] == pytest.approx(
        scores["micro_f1"], abs=1e-6
    )
    assert any("With thresholds of 0.5 instead" in line for line in lines)


@pytest.mark.slow
def test_lists_of_one_label(tmp_path):
    """C18, and a dev file with a label that training did not have."""
    rows = (REPORTS / "C18_doccano.jsonl").read_text().splitlines()
    rows = [json.loads(row) for row in rows[:8]]
    rows[0]["label"] = ["mixed"]
    dev = tmp_path / "dev.jsonl"
    dev.write_text(json_lines(*rows))
    out = tmp_path / "out"
    lines = run(
        out,
        "jsonl",
        train_file="C18_doccano.jsonl",
        dev_file=dev,
        class_weights="balanced",
        do_train=True,
        do_eval=True,
    )
    assert labels_of(out) == ["negative", "positive"]
    assert any(
        "was not in training" in line and "'mixed' (1)" in line
        for line in lines
    )
    assert report_of(out)["labels"]["mixed"]["support"] == 1
    results = results_of(out / "eval_results.txt")
    assert {*results} == {"eval_accuracy", "eval_loss", "global_step", "loss"}
    assert float(results["eval_accuracy"]) <= 7 / 8
