"""--calibrate and --coverage in whole runs, and where their values go."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from support.labelled_files import flags_of, make
from support.programs import RUN_CLASSIFIER, Messages, program_of
from support.programs import make_folder as make_sms
from support.programs import run as run_sms
from support.server_requests import predict, send_request
from support.serving_fakes import make_serving, running

from bert_tf.errors import UserError
from bert_tf.export.predictor import Predictor
from bert_tf.programs import labelled_run

EXPORT_MODEL = program_of("bert_tf.tools.export_model")
PREDICT = program_of("bert_tf.tools.predict")
FITTED = ("temperature", "coverage", "set_threshold")


def json_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def numbers_of(out):
    rows = [row.split("\t") for row in lines_of(out / "test_results.tsv")]
    return np.array(rows, np.float64)


def run(folder, **changes):
    """Runs the bundled model, which learns in a few steps."""
    run_sms(folder, vocab_file=None, bert_config_file=None, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, and `plain` and `out`: a run without the flags, and one with."""
    folder = make_sms(tmp_path_factory.mktemp("calibrated"))
    modes = {"do_train": True, "do_eval": True, "do_predict": True}
    # It learns the messages by heart, and is too sure of others.
    learns = {"num_train_epochs": 6.0}
    run(folder, **modes, **learns, output_dir=str(folder / "plain"))
    shutil.copytree(folder / "plain", folder / "out")
    run(
        folder,
        do_eval=True,
        do_predict=True,
        do_export=True,
        export_int8=True,
        allow_loss=True,
        calibrate=True,
        coverage=0.8,
    )
    return folder


@pytest.mark.slow
def test_a_trained_run_is_calibrated(folder):
    before, after = (numbers_of(folder / name) for name in ("plain", "out"))
    task = json_of(folder / "out" / "task.json")
    assert {*task} == {"problem", "labels", *FITTED}
    assert task["temperature"] > 1
    powers = before ** (1 / task["temperature"])
    np.testing.assert_allclose(
        after, powers / powers.sum(-1, keepdims=True), atol=1e-5
    )
    plain, rows = (
        [line.split("\t") for line in lines_of(path)]
        for path in folder.glob("*/test_predictions.tsv")
    )
    if len(plain[0]) > len(rows[0]):
        plain, rows = rows, plain
    assert rows[0][:4] == ["id", "label", "score", "label_set"]
    least = task["set_threshold"]
    for old, row, p in zip(plain[1:], rows[1:], after, strict=True):
        assert row[:2] == old[:2] and row[4:] == old[3:]
        pairs = zip(("ham", "spam"), p, strict=True)
        assert row[3] == ",".join(x for x, q in pairs if q >= least)
    for name in ("eval", "test"):
        scores = json_of(folder / "out" / f"{name}_report.json")["scores"]
        old = json_of(folder / "plain" / f"{name}_report.json")["scores"]
        assert scores["eval_loss"] == old["eval_loss"]
        assert scores["nll_uncalibrated"] == pytest.approx(old["eval_loss"])
        assert {"ece", "ece_uncalibrated", "mean_set_size"} <= {*scores}
        assert not {"ece", "coverage", "temperature"} & {*old}
        if name == "eval":
            assert scores["nll"] <= scores["nll_uncalibrated"]
            assert scores["coverage"] >= 0.8


@pytest.mark.slow
def test_an_export_answers_as_the_run_does(folder, tmp_path):
    expected = numbers_of(folder / "out")
    rows = [
        line.split("\t")
        for line in lines_of(folder / "out/test_predictions.tsv")
    ][1:]
    texts = [line.split("\t")[1] for line in lines_of(folder / "data/test.tsv")]
    texts = texts[1:] if len(texts) > len(rows) else texts
    sets = [row[3].split(",") if row[3] else [] for row in rows]
    EXPORT_MODEL.run(
        pretrained=str(folder / "out" / "export"),
        max_seq_length=16,
        export_dir=str(tmp_path / "again"),
    )
    for model in (folder / "out", tmp_path / "again"):
        predictor = Predictor(str(model))
        answers = predictor.predict(texts)
        found = [[*answer["probabilities"].values()] for answer in answers]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert [answer["label_set"] for answer in answers] == sets
        # TensorFlow Serving computes the whole answer in the graph.
        graph = predictor.signatures["serving_default"](text=tf.constant(texts))
        np.testing.assert_allclose(graph["probabilities"], expected, atol=1e-6)
        is_in = [[x in chosen for x in ("ham", "spam")] for chosen in sets]
        np.testing.assert_array_equal(graph["in_set"], is_in)
    for engine in ("int8", "bfloat16"):
        answers = Predictor(str(folder / "out"), engine=engine).predict(texts)
        found = [[*answer["probabilities"].values()] for answer in answers]
        np.testing.assert_allclose(found, expected, atol=0.05)
    serving = make_serving(load=Predictor, folder=folder / "out" / "export")
    serving.models["model"].start()
    with running(serving) as (_, port):
        body = {"instances": texts[:5]}
        answer = send_request(port, predict("model"), body)[1]
    for row, label_set in zip(answer["predictions"], sets, strict=False):
        assert row["label_set"] == label_set
    PREDICT.run(
        model=str(folder / "out"),
        input=str(folder / "data" / "test.tsv"),
        output=str(tmp_path / "answers.tsv"),
        text_column="text",
    )
    header, first, *_ = lines_of(tmp_path / "answers.tsv")
    assert header.split("\t")[-3:] == ["label", "score", "label_set"]
    *_, label, score, label_set = first.split("\t")
    assert [label, label_set] == [rows[0][1], rows[0][3]]
    assert float(score) == pytest.approx(float(rows[0][2]), abs=1e-6)


@pytest.mark.slow
def test_the_export_of_a_run_knows_it(folder, tmp_path, monkeypatch):
    found = {}
    monkeypatch.setattr(
        labelled_run,
        "export",
        lambda folder, model, **parts: found.update(parts),
    )
    EXPORT_MODEL.run(
        output_dir=str(folder / "out"), export_dir=str(tmp_path / "x")
    )
    task = json_of(folder / "out" / "task.json")
    record = found["problem"].confidence.record()
    assert record == {name: task[name] for name in FITTED}


@pytest.mark.slow
def test_what_keeps_a_temperature_and_what_drops_it(folder):
    out, task = folder / "kept", json_of(folder / "out" / "task.json")
    shutil.copytree(folder / "out", out)
    run(folder, output_dir=str(out), do_eval=True, do_predict=True)
    assert json_of(out / "task.json") == task
    np.testing.assert_array_equal(numbers_of(out), numbers_of(folder / "out"))
    # A temperature that is fitted again needs sets that fit it.
    run(folder, output_dir=str(out), do_predict=True, calibrate=True)
    fitted = json_of(out / "task.json")
    assert {*fitted} == {*task}
    for name in FITTED:
        assert fitted[name] == pytest.approx(task[name], rel=1e-4)
    with Messages() as messages:
        run(
            folder,
            output_dir=str(out),
            num_train_epochs=6.1,
            do_train=True,
        )
    assert any("are not those of the weights" in line for line in messages)
    assert {*json_of(out / "task.json")} == {"problem", "labels"}
    path = folder / "out" / "task.json"
    damaged = folder / "damaged"
    shutil.copytree(folder / "out", damaged)
    (damaged / "task.json").write_text(
        path.read_text().replace(str(task["temperature"]), "0")
    )
    with pytest.raises(UserError, match="task.json: .*temperature=0: must be"):
        run(folder, output_dir=str(damaged), do_eval=True)


@pytest.mark.slow
def test_other_kinds(tmp_path):
    make(tmp_path)
    modes = {"do_train": True, "do_eval": True, "do_predict": True}
    # Relations are as one label.
    for kind in ("multi_label", "swag"):
        flags = flags_of(kind, tmp_path, num_train_epochs=0.5)
        sets = {} if kind == "multi_label" else {"coverage": 0.9}
        RUN_CLASSIFIER.run(**flags, **modes, calibrate=True, **sets)
        report = json_of(tmp_path / kind / "test_report.json")["scores"]
        assert report["temperature"] > 0 and 0 <= report["ece"] <= 1
        assert ("coverage" in report) == bool(sets)
    task = json_of(tmp_path / "multi_label" / "task.json")
    assert {*task} == {"problem", "labels", "thresholds", "temperature"}


@pytest.mark.parametrize(
    ("kind", "flags", "message"),
    [
        ("ner", {"calibrate": True}, "--calibrate=True: not for"),
        ("regression", {"calibrate": True}, "--calibrate=True: not for numb"),
        ("multi_label", {"coverage": 0.9}, "--coverage=0.9: not for several"),
        ("single_label", {"coverage": 1.0}, "--coverage=1.0: must be above 0"),
        (
            "single_label",
            {"coverage": 0.95},
            "--coverage=0.95: needs 19 examples .* there are 13$",
        ),
        (
            "single_label",
            {"calibrate": True, "dev_file": None},
            "--calibrate=True: needs a dev set: --dev_file or --dev_fraction",
        ),
    ],
)
def test_mistakes_are_found_before_training(
    kind_files, kind, flags, message, tmp_path
):
    out = str(tmp_path / "out")
    flags = flags_of(kind, kind_files, output_dir=out, **flags)
    with pytest.raises(UserError, match=message) as error:
        RUN_CLASSIFIER.run(**flags, do_train=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def kind_files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("kinds"))
