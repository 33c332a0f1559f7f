"""Every kind of labelled text through run_classifier.py, start to end."""

import csv
import json
import pathlib
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.common import TESTS, thorough_but
from support.labelled_files import (
    KINDS,
    NUM_ROWS,
    WORDS,
    flags_of,
    make,
)
from support.programs import RUN_CLASSIFIER, program_of, results_of, write

from bert_tf import pretrained
from bert_tf.errors import UserError
from bert_tf.export.predictor import Predictor

EXPORT_MODEL = program_of("bert_tf.tools.export_model")
EXPORTED = [kind for kind in KINDS if kind != "ner"]
PACKED = ["single_label", "ner", "relations"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of each kind, and the runs that tests have trained."""
    return make(tmp_path_factory.mktemp("kinds"))


def trained(kind, folder):
    """The folder of a trained run, which the first test that asks trains."""
    if not (folder / kind).exists():
        RUN_CLASSIFIER.run(
            **flags_of(kind, folder, num_train_epochs=1.0),
            do_train=True,
            do_eval=True,
            do_predict=True,
        )
    return folder / kind


def checkpoint_of(kind, folder):
    """The prefix of a trained run's newest checkpoint."""
    return tf.train.latest_checkpoint(str(trained(kind, folder)))


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_predictions(folder, kind):
    out = trained(kind, folder)
    results = results_of(out / "eval_results.txt")
    assert int(results["global_step"]) >= 6
    scores = json.loads((out / "eval_report.json").read_text())["scores"]
    assert {*results} <= {*scores}
    # The test files have labels: they are scored as well, by the same names.
    on_test = results_of(out / "test_eval_results.txt")
    assert {*on_test} == {*scores} - {"global_step"}
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", thorough_but(KINDS, "single_label", "ner", "regression")
)
def test_test_scores_are_those_of_evaluation(folder, kind):
    """The same file as dev and as test set has the same scores.

    And the same predictions in one padded batch.
    """
    out = folder / f"{kind}-swapped"
    flags = flags_of(
        kind,
        folder,
        output_dir=str(out),
        predict_batch_size=64,
        pad_to_max_length=True,
    )
    flags["dev_file"] = flags["test_file"]
    flags["init_checkpoint"] = checkpoint_of(kind, folder)
    RUN_CLASSIFIER.run(**flags, do_eval=True, do_predict=True)
    assert_same_predictions(out, folder / kind)
    scores = json.loads((out / "eval_report.json").read_text())["scores"]
    on_test = results_of(folder / kind / "test_eval_results.txt")
    # Predictions of numbers are almost the same for all texts here, so that a
    # correlation shows how padding rounds.
    rel = 1e-3 if kind == "regression" else 1e-5
    for name, value in on_test.items():
        # Thresholds are tuned on the dev set.
        if kind != "multi_label" or name in ("micro_f1", "eval_loss"):
            assert float(value) == pytest.approx(
                scores[name], rel=rel, abs=1e-6
            )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ner", "swag"])
def test_a_student_of_its_own_kind(folder, kind):
    out = folder / f"{kind}-student"
    flags = flags_of(kind, folder, output_dir=str(out), num_train_epochs=0.4)
    flags |= {"teacher": str(trained(kind, folder)), "precision": "bfloat16"}
    RUN_CLASSIFIER.run(**flags, distill_layers="-1:-1", do_train=True)
    line = (out / "report" / "steps.jsonl").read_text().splitlines()[0]
    terms = json.loads(line)["losses"]
    assert {*terms} == {"labels_loss", "teacher_loss", "layers_loss"}
    assert all(value > 0 for value in terms.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", thorough_but(KINDS, "single_label", "windows"))
def test_predictions_do_not_depend_on_batches(folder, tmp_path, kind):
    flags = flags_of(kind, folder, predict_batch_size=1, write_tf_records=True)
    flags["init_checkpoint"] = checkpoint_of(kind, folder)
    # Labels come from beside the checkpoint: no training file is needed.
    flags["output_dir"], flags["train_file"] = str(tmp_path / "out"), None
    RUN_CLASSIFIER.run(**flags, do_predict=True)
    assert_same_predictions(tmp_path / "out", folder / kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", thorough_but(PACKED, "ner"))
def test_packed_training(folder, kind, tmp_path, caplog):
    caplog.set_level("DEBUG", logger="absl")
    flags = flags_of(
        kind,
        folder,
        pack_sequences=True,
        max_seq_length=64,
        train_batch_size=16,
        output_dir=str(tmp_path / "out"),
    )
    RUN_CLASSIFIER.run(**flags, do_train=True, do_eval=True)
    assert "rows of --max_seq_length=64 for 16 examples; tok" in caplog.text
    results = results_of(tmp_path / "out" / "eval_results.txt")
    assert np.isfinite(float(results["eval_loss"]))


def inputs_of(kind, path):
    """Items of a test file, as a `Predictor` takes them."""
    if kind == "ner":
        blocks = path.read_text(encoding="utf-8").split("\n\n")
        rows = [block.split("\n") for block in blocks]
        return [
            " ".join(row.split()[0] for row in block if row)
            for block in rows
            if any(row and "-DOCSTART-" not in row for row in block)
        ]
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
        with open(path, newline="", encoding="utf-8") as reader:
            rows = [*csv.DictReader(reader, dialect=dialect)]
    if kind == "swag":
        endings = [f"ending{i}" for i in range(4)]
        return [
            (
                f"{row['sent1']} {row['sent2']}",
                [row[e] for e in endings if row.get(e)],
            )
            for row in rows
        ]
    if kind == "single_label":
        return [(row["text"], row["pair"]) for row in rows]
    if kind == "relations":
        return [{n: row[n] for n in ("text", "e1", "e2")} for row in rows]
    return [row["text"] for row in rows]


def numbers_of(kind, answers):
    """The numbers of test_results.tsv, of a `Predictor`'s answers."""
    if kind == "regression":
        return [answer["prediction"] for answer in answers]
    probabilities = [answer["probabilities"] for answer in answers]
    if kind != "swag":
        probabilities = [row.values() for row in probabilities]
    return [number for row in probabilities for number in row]


@pytest.mark.slow
@pytest.mark.parametrize("kind", thorough_but(EXPORTED, "single_label", "swag"))
def test_the_exported_model_predicts_as_the_program(folder, kind):
    flags = {**flags_of(kind, folder), "train_file": None, "test_file": None}
    out = trained(kind, folder)
    RUN_CLASSIFIER.run(**flags, do_export=True)
    predictor = Predictor(str(out / "export"))
    path = folder / pathlib.Path(flags_of(kind, folder)["test_file"]).name
    found = numbers_of(kind, predictor.predict(inputs_of(kind, path)))
    _, expected = predictions_of(out)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_the_exported_model_tags_as_the_program(folder):
    out = trained("ner", folder)
    RUN_CLASSIFIER.run(**flags_of("ner", folder), do_export=True)
    predictor = Predictor(str(out / "export"))
    words = predictor.signatures["words"]
    texts = inputs_of("ner", folder / "ner-test.conll")
    tags = words(text=tf.constant(texts))["tags"].numpy()
    found = [tag.decode() for row in tags for tag in row if tag]
    lines, _ = predictions_of(out)
    expected = [
        line.rpartition(" ")[2]
        for line in lines
        if line and not line.startswith("-DOCSTART-")
    ]
    assert found == expected


@pytest.mark.slow
def test_export_model_writes_what_do_export_does(folder, tmp_path):
    kind = "multi_label"
    target = tmp_path / "model"
    EXPORT_MODEL.run(
        output_dir=str(trained(kind, folder)), export_dir=str(target)
    )
    flags = {**flags_of(kind, folder), "train_file": None}
    RUN_CLASSIFIER.run(**flags, do_export=True)
    texts = ["call home", "", "free prize now"]
    found, expected = (
        Predictor(str(path)).predict(texts)
        for path in (target, folder / kind / "export")
    )
    assert found == expected


@pytest.mark.slow
def test_two_replicas(folder):
    """They train, evaluate and predict; predictions are the same.

    The other kinds are computed as the first of these.
    """
    kinds = ("windows", "ner")
    for kind in kinds:
        trained(kind, folder)
    done = subprocess.run(
        [sys.executable, "-m", "support.labelled_files", str(folder), *kinds],
        cwd=TESTS,
        env={"PYTHONPATH": str(TESTS.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for kind in kinds:
        assert_same_predictions(folder / f"{kind}-two-predict", folder / kind)
        assert results_of(folder / f"{kind}-two" / "eval_results.txt")


@pytest.mark.thorough
def test_long_documents_are_read_to_their_end(folder, tmp_path):
    """What the last word alone tells is learned if it is read."""
    rng = random.Random(0)
    rows = [
        " ".join([*rng.choices(WORDS[3:], k=30), word]) + f",{word}\n"
        for word in ("call", "home") * 150
    ]
    path = write(tmp_path, "long.csv", "text,label\n" + "".join(rows))
    accuracy = {}
    for long_documents in ("truncate", "head_tail", "windows"):
        out = tmp_path / long_documents
        flags = flags_of("windows", folder, output_dir=str(out))
        flags |= {"dev_file": None, "test_file": None, "dev_fraction": 0.2}
        flags |= {"long_documents": long_documents, "train_file": str(path)}
        for name in ("bert_config_file", "vocab_file", "init_checkpoint"):
            flags[name] = pretrained.DEMO_FLAGS[name]
        # With one seed in five so high a rate ends in the same answer for all.
        flags |= {"num_train_epochs": 5.0, "learning_rate": 3e-4, "seed": 1}
        RUN_CLASSIFIER.run(**flags, do_train=True, do_eval=True)
        results = results_of(out / "eval_results.txt")
        accuracy[long_documents] = float(results["eval_accuracy"])
    assert accuracy["truncate"] < 0.7, accuracy
    assert accuracy["head_tail"] > 0.85, accuracy
    assert accuracy["windows"] > 0.85, accuracy


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
    "packed choices": (
        "swag",
        {"pack_sequences": True},
        "--pack_sequences=True: not for multiple choice",
    ),
    "windows of pairs": (
        "single_label",
        {"long_documents": "windows"},
        "--long_documents=windows: does not support pairs",
    ),
    "windows without windows": (
        "single_label",
        {"doc_stride": 5},
        "--doc_stride=5: only with --long_documents=windows",
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
            RUN_CLASSIFIER.main()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not out.exists()


def predict(kind, folder, out, **changes):
    flags = flags_of(kind, folder, output_dir=str(out), train_file=None)
    flags["init_checkpoint"] = checkpoint_of(kind, folder)
    RUN_CLASSIFIER.run(**{**flags, **changes}, do_predict=True)


@pytest.mark.slow
def test_a_checkpoint_knows_what_it_was_trained_for(folder, tmp_path):
    """Other labels, or another kind of problem, are never mixed up."""
    predict("single_label", folder, tmp_path / "out")
    assert results_of(tmp_path / "out" / "test_eval_results.txt")
    # Labels of the folder and of the checkpoint differ.
    with pytest.raises(UserError, match='the labels a "ham", spam, or so, not'):
        predict(
            "single_label",
            folder,
            tmp_path / "out",
            init_checkpoint=checkpoint_of("windows", folder_of_other(folder)),
            classifier_hidden=8,
        )
    kinds = {
        "regression": "single_label",
        "ner": "single_label",
        "swag": "regression",
        "single_label": "multi_label",
        "multi_label": "tags",
    }
    sources = {"tags": "ner"}
    for kind, other in kinds.items():
        source = checkpoint_of(sources.get(other, other), folder)
        with pytest.raises(UserError, match=f"run of the kind {other}, not "):
            predict(
                kind,
                folder,
                tmp_path / "new",
                init_checkpoint=source,
                # Otherwise it is that of the checkpoint's run.
                problem_type=flags_of(kind, folder).get(
                    "problem_type", "single_label"
                ),
            )
    assert not (tmp_path / "new").exists()


def folder_of_other(folder):
    """The runs, with other labels told of the one with windows."""
    other = folder / "other"
    if not other.exists():
        shutil.copytree(trained("windows", folder), other / "windows")
        told = {"problem": "single_label", "labels": ["no", "yes"]}
        (other / "windows" / "task.json").write_text(json.dumps(told))
    return other


@pytest.mark.slow
def test_without_task_json_labels_come_from_training(folder, tmp_path):
    shutil.copytree(trained("single_label", folder), tmp_path / "single_label")
    (tmp_path / "single_label" / "task.json").unlink()
    (tmp_path / "single_label" / "train.json").unlink()
    source = checkpoint_of("single_label", tmp_path)
    with pytest.raises(UserError, match="there is no task.json next"):
        predict(
            "single_label", folder, tmp_path / "out", init_checkpoint=source
        )
    train_file = str(folder / "single_label-train.csv")
    predict(
        "single_label",
        folder,
        tmp_path / "out",
        init_checkpoint=source,
        train_file=train_file,
    )
    assert_same_predictions(tmp_path / "out", folder / "single_label")


@pytest.mark.slow
def test_scores_do_not_outlive_their_predictions(folder, tmp_path):
    out = tmp_path / "out"
    source = (folder / "regression-test.tsv").read_text()
    path = write(tmp_path, "new.tsv", source)
    predict("regression", folder, out, test_file=str(path))
    assert (out / "test_eval_results.txt").exists()
    rows = ["\t".join(row.split("\t")[::2]) for row in source.splitlines()]
    write(tmp_path, "new.tsv", "\n".join(rows))
    predict("regression", folder, out, test_file=str(path))
    assert not (out / "test_eval_results.txt").exists()
    assert not (out / "test_report.json").exists()
    assert_same_predictions(out, folder / "regression")


@pytest.mark.slow
def test_a_new_training_learns_its_own_numbers(folder, tmp_path):
    """Mean and deviation are those of its data, not of the checkpoint's."""
    rows = "".join(f"word {i}\t{i / 10}\tk{i}\n" for i in range(16))
    path = write(tmp_path, "small.tsv", "text\tnumber\tkey\n" + rows)
    flags = flags_of("regression", folder, output_dir=str(tmp_path / "out"))
    flags["init_checkpoint"] = checkpoint_of("regression", folder)
    flags["train_file"] = flags["dev_file"] = str(path)
    RUN_CLASSIFIER.run(**flags, do_train=True, do_eval=True)
    told = json.loads((tmp_path / "out" / "task.json").read_text())
    assert told["mean"] == pytest.approx(0.75)


@pytest.mark.slow
def test_thresholds_belong_to_the_chosen_weights(folder, tmp_path):
    flags = flags_of("multi_label", folder, output_dir=str(tmp_path / "out"))
    RUN_CLASSIFIER.run(
        **{**flags, "metric_for_best": "macro_f1_tuned", "eval_steps": 6},
        do_train=True,
        do_predict=True,
    )
    told = json.loads((tmp_path / "out" / "task.json").read_text())
    assert {*told["thresholds"]} == {"free", "home"}


@pytest.mark.slow
def test_another_split_is_named(folder, tmp_path, caplog):
    flags = flags_of("single_label", folder, output_dir=str(tmp_path / "out"))
    flags |= {"dev_file": None, "dev_fraction": 0.25}
    RUN_CLASSIFIER.run(**flags, do_train=True)
    RUN_CLASSIFIER.run(**{**flags, "split_seed": 7}, do_train=True)
    assert "--split_seed was 12345 before, and is 7 now" in caplog.text


@pytest.mark.slow
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
