"""Every kind of labelled text through run_classifier.py, start to end."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import TESTS
from labelled_files import KINDS, NUM_ROWS, checkpoint_of, flags_of, make
from programs import RUN_CLASSIFIER, results_of

from bert_tf.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run of each kind, in folders named by it."""
    folder = make(tmp_path_factory.mktemp("kinds"))
    for kind in KINDS:
        RUN_CLASSIFIER.run(
            **flags_of(kind, folder, num_train_epochs=1.0),
            do_train=True,
            do_eval=True,
            do_predict=True,
        )
    return folder


def predictions_of(out):
    """(lines of the readable file, numbers of test_results.tsv or None)."""
    (path,) = out.glob("test_predictions.*")
    numbers = None
    if (out / "test_results.tsv").exists():
        lines = (out / "test_results.tsv").read_text().splitlines()
        numbers = [float(x) for line in lines for x in line.split("\t")]
    return path.read_text(encoding="utf-8").split("\n"), numbers


def assert_same_predictions(out, other):
    lines, numbers = predictions_of(out)
    other_lines, other_numbers = predictions_of(other)
    if numbers is None:
        assert lines == other_lines
        return
    np.testing.assert_allclose(numbers, other_numbers, atol=2e-6, rtol=2e-6)
    ids = [line.split("\t")[0] for line in lines]
    assert ids == [line.split("\t")[0] for line in other_lines]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_predictions(folder, kind):
    out = folder / kind
    results = results_of(out / "eval_results.txt")
    assert int(results["global_step"]) >= 6
    report = json.loads((out / "eval_report.json").read_text())
    assert report
    # The test files have labels: they are scored as well, by the same names.
    on_test = results_of(out / "test_eval_results.txt")
    assert {*on_test} == {*results} - {"global_step"}
    lines, _ = predictions_of(out)
    number = NUM_ROWS["test"]
    if kind == "ner":
        source = folder / "ner-test.conll"
        read = source.read_text().split("\n")
        assert [line.rpartition(" ")[0] for line in lines[: len(read)]] == read
        assert lines[0] == "-DOCSTART- O O"
        return
    prefix = "row " if kind == "regression" else "test-"
    ids = [line.split("\t")[0] for line in lines]
    assert ids == ["id", *(f"{prefix}{i}" for i in range(number)), ""]


@pytest.mark.parametrize("kind", KINDS)
def test_test_scores_are_those_of_evaluation(folder, kind):
    """The same file as dev and as test set has the same scores."""
    out = folder / f"{kind}-swapped"
    flags = flags_of(kind, folder, output_dir=str(out))
    flags["dev_file"] = flags["test_file"]
    flags["init_checkpoint"] = checkpoint_of(kind, folder)
    RUN_CLASSIFIER.run(**flags, do_eval=True)
    results = results_of(out / "eval_results.txt")
    on_test = results_of(folder / kind / "test_eval_results.txt")
    for name, value in on_test.items():
        if not name.endswith("_tuned"):
            assert float(value) == pytest.approx(
                float(results[name]), rel=1e-5, abs=1e-6
            )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"predict_batch_size": 1}, id="1", marks=pytest.mark.slow),
        pytest.param(
            {"predict_batch_size": 3, "pad_to_max_length": True}, id="3 padded"
        ),
        pytest.param(
            {"predict_batch_size": 64, "write_tf_records": True},
            id="64 records",
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_do_not_depend_on_batches(folder, tmp_path, kind, changes):
    flags = flags_of(kind, folder, **changes)
    flags["init_checkpoint"] = checkpoint_of(kind, folder)
    # Labels come from beside the checkpoint: no training file is needed.
    flags["output_dir"], flags["train_file"] = str(tmp_path / "out"), None
    RUN_CLASSIFIER.run(**flags, do_predict=True)
    assert_same_predictions(tmp_path / "out", folder / kind)


@pytest.mark.slow
def test_two_replicas(folder):
    """They train, evaluate and predict each kind; predictions are the same."""
    done = subprocess.run(
        [sys.executable, "labelled_files.py", str(folder), *KINDS],
        cwd=TESTS,
        env={"PYTHONPATH": str(TESTS.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        assert_same_predictions(folder / f"{kind}-two-predict", folder / kind)
        assert results_of(folder / f"{kind}-two" / "eval_results.txt")


MISTAKES = {
    "no labels known": (
        "single_label",
        {"train_file": None},
        "--train_file must be given",
    ),
    "flag of another task": (
        "ner",
        {"text_column": "words"},
        "--text_column=words: --task_name=ner does not use it",
    ),
    "folder for files": (
        "single_label",
        {"data_dir": "/tmp"},
        "--data_dir=/tmp: --task_name=csv does not use it",
    ),
    "class weights": (
        "regression",
        {"class_weights": "balanced"},
        "--class_weights=balanced: not for numbers",
    ),
    "windows of words": (
        "ner",
        {"long_documents": "windows"},
        "--long_documents=windows: not for tags of words",
    ),
    "windows of pairs": (
        "single_label",
        {"long_documents": "windows"},
        "--long_documents=windows: not for pairs",
    ),
    "metric": (
        "regression",
        {"metric_for_best": "f1"},
        "--metric_for_best=f1: the evaluation reports eval_loss, ",
    ),
    "fraction": (
        "single_label",
        {"dev_fraction": 0.5},
        "only one of them can be given",
    ),
    "column": (
        "regression",
        {"label_column": "label"},
        "it has text, number, key",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(folder, tmp_path, mistake):
    kind, changes, message = MISTAKES[mistake]
    out = tmp_path / "out"
    flags = flags_of(kind, folder, output_dir=str(out), **changes)
    with RUN_CLASSIFIER.flags(**flags, do_eval=True, do_train=True) as FLAGS:
        for name in changes:  # As if given on the command line.
            FLAGS[name].present = 1
        with pytest.raises(UserError) as error:
            RUN_CLASSIFIER.module.main()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_labels_of_an_earlier_run(folder, tmp_path, caplog):
    """They keep their places where they do, and are named where not."""
    flags = flags_of("single_label", folder, num_train_epochs=1.0)
    flags["init_checkpoint"] = checkpoint_of("single_label", folder)
    flags["train_file"] = flags["dev_file"] = str(tmp_path / "other.csv")
    rows = (folder / "single_label-dev.csv").read_text()
    for name, label, labels in (
        ("fewer", None, 'a "ham"\nspam, or so\n'),
        ("other", "new", 'a "ham"\nnew\n'),
    ):
        text = rows.replace("spam, or so", label) if label else rows
        (tmp_path / "other.csv").write_text(text)
        flags["output_dir"] = str(tmp_path / name)
        RUN_CLASSIFIER.run(**flags, do_train=True)
        assert (tmp_path / name / "labels.txt").read_text() == labels
    assert "was trained for the labels" in caplog.text
