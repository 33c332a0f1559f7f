"""What a run leaves for its report; and that no report ends a run."""

import dataclasses
import json
import logging
from unittest import mock

import numpy as np
import pytest
from support.programs import (
    RUN_CLASSIFIER,
    arguments,
    draw_report,
    make_folder,
)

from bert_tf.data.input_example import InputExample
from bert_tf.data.multiple_choice import ChoiceExample
from bert_tf.data.relations import RelationExample
from bert_tf.data.tagged.sentences import Sentence
from bert_tf.programs import run_report
from bert_tf.report import pictures, writing
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.texts import MultiLabel, SingleLabel

SENTENCE = Sentence("dev-1", ["a"], None, ["a"], lines=[6])


@pytest.mark.parametrize(
    "example, expected",
    [
        (InputExample("dev-1", "a", line=3), ("/data/dev.tsv", 3)),
        (ChoiceExample("dev-1", "a", ["b", "c"], line=4), ("/data/dev.tsv", 4)),
        (
            RelationExample("1", "a b", (0, 1), (2, 3), place="/x:y.txt:5"),
            ("/x:y.txt", 5),
        ),
        (SENTENCE, ("/data/dev.tsv", 6)),
    ],
)
def test_examples_know_their_places(example, expected):
    found = run_report.place_of(example, "/data/dev.tsv")
    assert (found["file"], found["line"]) == expected


def test_an_example_without_a_line_has_no_place():
    assert run_report.place_of(InputExample("dev-1", "a"), "/x") == {}
    sentence = Sentence("dev-1", ["a"], None, ["a"])
    assert run_report.place_of(sentence, "/x") == {}


def test_labels_are_counted():
    labels = ["b", "a", "b", None, 2.0, ("a", "c"), ("c",), ()]
    examples = [InputExample("", "", label=label) for label in labels]
    counts = run_report.label_counts(examples)
    assert counts == {"b": 2, "a": 2, "c": 2}


def test_lengths_become_a_histogram():
    lengths = np.array([3, 3, 40, 401])
    found = run_report.length_histogram(lengths, capacity=40)
    assert found["num_truncated"] == 1 and found["longest"] == 401
    width, counts = found["bin_width"], found["counts"]
    assert counts.sum() == 4 and len(counts) <= run_report.NUM_BINS
    # The longest one, ten times as long as a sequence, is in the last bin.
    assert counts[3 // width] == 2 and counts[40 // width] == counts[-1] == 1
    assert found["last_is_open"] and width * (len(counts) - 1) <= 80


def test_rows_of_each_kind():
    pair = InputExample("dev-1", "a", "b", "y")
    row = SingleLabel(["x", "y"]).report_row(pair, np.float32([0.12345, 2]))
    assert {k: row[k] for k in ("id", "text", "text_pair", "label")} == {
        "id": "dev-1",
        "text": "a",
        "text_pair": "b",
        "label": "y",
    }
    np.testing.assert_allclose(row["logits"], [0.1234, 2], atol=1e-4)
    several = dataclasses.replace(pair, label=("x",))
    row = MultiLabel(["x", "y"]).report_row(several, np.float32([1, 2]))
    assert row["label"] == ("x",)
    number = dataclasses.replace(pair, label=7.0)
    row = Regression(mean=1.0, deviation=2.0).report_row(number, [3.0])
    assert row["prediction"] == 7.0 and "logits" not in row


@pytest.mark.slow
class TestWholeRun:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = make_folder(tmp_path_factory.mktemp("run"))
        self.run(folder, eval_steps=2, do_train=True, do_eval=True)
        return folder

    def run(self, folder, **flags):
        flags = {**arguments(folder), **flags}
        with mock.patch.object(run_report, "draw", draw_report):
            RUN_CLASSIFIER.run(**flags)

    def test_a_run_leaves_a_page_and_what_it_is_made_of(self, folder):
        output = folder / "out"
        assert "The most confident mistakes" in page_in(output)
        lines = (output / "report/eval.jsonl").read_text().splitlines()
        dev = (folder / "data/dev.tsv").read_text().split("\n")
        for line in lines:
            row = json.loads(line)
            assert row["file"] == str(folder / "data/dev.tsv")
            assert row["text"] in dev[row["line"] - 1]
        steps = (output / "report/steps.jsonl").read_text().splitlines()
        train = json.loads((output / "train.json").read_text())["train"]
        assert json.loads(steps[-1])["step"] == train["num_train_steps"]
        data = json.loads((output / "report/data.json").read_text())
        assert data["sets"]["eval"]["num_examples"] == len(lines)
        assert "eval_steps" in data["given_flags"]

    def test_a_later_prediction_adds_to_it(self, folder):
        self.run(folder, do_predict=True)
        data = json.loads((folder / "out/report/data.json").read_text())
        assert {*data["sets"]} == {"train", "eval", "test"}
        assert "eval_steps" in data["given_flags"]
        assert "Test set" in page_in(folder / "out")

    @pytest.mark.parametrize("what", ["error", "no matplotlib"])
    def test_a_run_does_without(self, folder, what, monkeypatch, caplog):
        caplog.set_level(logging.INFO, "absl")
        before = page_in(folder / "out")
        if what == "error":

            def fail(folder):
                raise ZeroDivisionError("of this test")

            monkeypatch.setattr(writing, "write_page", fail)
            expected = "No report of this run: of this test"
        else:
            monkeypatch.setattr(pictures, "is_available", lambda: False)
            expected = "report.html needs matplotlib: pip install 'bert"
        self.run(folder, do_eval=True)
        assert expected in caplog.text
        assert page_in(folder / "out") == before


def page_in(folder):
    return (folder / "report.html").read_text("utf-8")
