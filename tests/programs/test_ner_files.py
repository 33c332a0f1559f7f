"""--task_name=ner on files as people have them, start to end."""

import json

import pytest
from support.common import ROOT
from support.programs import RUN_CLASSIFIER, arguments, make_folder, results_of

pytestmark = pytest.mark.slow
REPORTS = ROOT / "tests" / "reports"


def flags_of(folder, **changes):
    return arguments(
        folder,
        task_name="ner",
        data_dir=None,
        metric_for_best=None,
        max_seq_length=24,
        **changes,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that is trained on doccano's file, which predicts sentences."""
    folder = make_folder(tmp_path_factory.mktemp("ner"))
    RUN_CLASSIFIER.run(
        **flags_of(
            folder,
            train_file=str(REPORTS / "N09_doccano_entities.jsonl"),
            dev_file=str(REPORTS / "N13_dev_newtag.conll"),
            test_file=str(REPORTS / "N12_rawtext.txt"),
        ),
        do_train=True,
        do_eval=True,
        do_predict=True,
    )
    return folder


def test_texts_in_training_and_sentences_for_prediction(folder):
    out = folder / "out"
    results = results_of(out / "eval_results.txt")
    assert {"f1", "precision", "recall"} <= {*results}
    report = json.loads((out / "eval_report.json").read_text())
    assert report["labels"]["ORG"]["support"] == 1  # A tag that is not known.
    text = (out / "test_predictions.conll").read_text()
    sentences = [
        " ".join(line.split(" ")[0] for line in block.splitlines())
        for block in text.removesuffix("\n\n").split("\n\n")
    ]
    expected = (REPORTS / "N12_rawtext.txt").read_text().splitlines()
    assert sentences == expected
    assert not (out / "test_eval_results.txt").exists()


@pytest.mark.parametrize("name", ["N12_rawtext.txt", "N09", "N10"])
def test_predictions_as_spans(folder, name):
    (path,) = REPORTS.glob(f"{name}*")
    flags = flags_of(folder, test_file=str(path))
    if name != "N09":  # Texts with spans are answered so anyway.
        flags["prediction_format"] = "spans"
    RUN_CLASSIFIER.run(**flags, do_predict=True)
    out = folder / "out"
    if name != "N12_rawtext.txt":  # Each other file has a folder of its own.
        (out,) = (folder / "out").glob(f"*/{path.stem}*")
    assert not (out / "test_predictions.conll").exists()
    lines = (out / "test_predictions.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    if name == "N09":
        given = [json.loads(line) for line in path.read_text().splitlines()]
        expected = [(entry["text"], entry["id"]) for entry in given]
        assert [(line["text"], line["id"]) for line in found] == expected
    else:
        texts = (REPORTS / "N12_rawtext.txt").read_text().splitlines()
        if name == "N10":
            texts = ["Anna Smith went to Rome in May ."]
        assert [line["text"] for line in found][: len(texts)] == texts
    for line in found:
        for span in line["spans"]:
            place = slice(span["start"], span["end"])
            assert line["text"][place] == span["text"]
            assert span["label"] in ("PER", "LOC") and 0 < span["score"] <= 1
    is_scored = name != "N12_rawtext.txt"
    assert (out / "test_eval_results.txt").exists() == is_scored
