"""Temperatures and sets of labels in problems, their files and their graphs."""

import json

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data.input_example import InputExample
from bert_tf.errors import UserError
from bert_tf.export import finishing, kinds
from bert_tf.export.confidence import Confidence
from bert_tf.tasks import confidence
from bert_tf.tasks import record as task_record
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.texts import MultiLabel, SingleLabel

RNG = np.random.default_rng(0)
LOGITS = (RNG.normal(size=(60, 3)) * 6).astype(np.float32)
LABELS = ["a", "b", "c"]
# The likeliest label is right for two of three.
GOLD = [
    LABELS[(row.argmax() + (i % 3 == 0)) % 3] for i, row in enumerate(LOGITS)
]
SETS = [
    tuple(x for x in LABELS if i % 2 or x == gold)
    for i, gold in enumerate(GOLD)
]
SCALED = Confidence(temperature=2.5, coverage=0.9, set_threshold=0.2)


def softmax(logits):
    powers = np.exp(np.float64(logits) - np.max(logits, -1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def cells_of(problem, name, example, logits):
    file = problem.prediction_files()[name]
    header, line = file.first_line([example]), file.lines(example, logits)
    return header.rstrip("\n").split("\t"), line.rstrip("\n").split("\t")


def test_one_label_stays_and_its_probability_changes():
    before = SingleLabel(LABELS, delimiter="|")
    problem = confidence.calibrated(before, GOLD, LOGITS)
    temperature = problem.confidence.temperature
    assert temperature > 2
    problem = confidence.with_sets(problem, GOLD, LOGITS, 0.9)
    example = InputExample("x", "text", None, "a")
    for logits in LOGITS:
        expected = softmax(logits / temperature)
        _, row = cells_of(problem, "test_results.tsv", example, logits)
        np.testing.assert_allclose(np.float64(row), expected, atol=1e-6)
        header, row = cells_of(problem, "test_predictions.tsv", example, logits)
        assert header[:4] == ["id", "label", "score", "label_set"]
        _, old = cells_of(before, "test_predictions.tsv", example, logits)
        assert row[1] == old[1] == LABELS[logits.argmax()]
        least = problem.confidence.set_threshold
        chosen = [
            x for x, p in zip(LABELS, expected, strict=True) if p >= least
        ]
        assert row[3].split("|") == (chosen or [""])
        assert row[4:] == old[3:]
    scores = confidence.scores(problem, GOLD, LOGITS)
    assert scores["ece"] < scores["ece_uncalibrated"] / 2
    assert scores["nll"] < scores["nll_uncalibrated"]
    assert scores["coverage"] >= 0.9
    assert 1 < scores["mean_set_size"] <= 3 and scores["empty_sets"] == 0
    # What training minimizes, and which checkpoint is best, stay.
    old, new = (p.evaluate(GOLD, LOGITS, 8) for p in (before, problem))
    assert old.scores == new.scores
    assert confidence.scores(before, GOLD, LOGITS) == {}


def test_several_labels_keep_their_answers():
    before = MultiLabel(LABELS, {"a": 0.2, "b": 0.999, "c": 1.0})
    problem = confidence.calibrated(before, SETS, LOGITS)
    assert problem.confidence.temperature > 2
    np.testing.assert_array_equal(
        problem.predict(LOGITS), before.predict(LOGITS)
    )
    # Calibrated again, thresholds are those of the first fit.
    again = confidence.calibrated(problem, SETS, LOGITS)
    assert again.confidence == problem.confidence
    assert again.thresholds == pytest.approx(problem.thresholds)
    # A threshold that is tuned is one of the new probabilities.
    tuned = problem.tune(SETS, LOGITS)
    plain = MultiLabel(LABELS).tune(SETS, LOGITS)
    np.testing.assert_array_equal(tuned.predict(LOGITS), plain.predict(LOGITS))
    scores = confidence.scores(problem, SETS, LOGITS)
    assert scores["nll"] < scores["nll_uncalibrated"]
    assert scores["ece"] < scores["ece_uncalibrated"]


def test_endings_that_are_missing_have_no_part():
    logits = np.where([True, True, False], LOGITS, np.float32(-1e9))
    gold = [
        str(int(row[:2].argmax() + (i % 4 == 0)) % 2)
        for i, row in enumerate(logits)
    ]
    problem = confidence.calibrated(MultipleChoice(3), gold, logits)
    alone = confidence.calibrated(MultipleChoice(2), gold, logits[:, :2])
    assert problem.confidence.temperature == pytest.approx(
        alone.confidence.temperature
    )
    problem = confidence.with_sets(problem, gold, logits, 0.9)
    scores = confidence.scores(problem, gold, logits)
    assert scores["coverage"] >= 0.9 and scores["mean_set_size"] <= 2
    outputs = problem.serving_outputs(tf.constant(logits))
    for row in kinds.choices({n: x.numpy() for n, x in outputs.items()}):
        assert {*row["label_set"]} <= {0, 1} and "in_set" not in row
        assert len(row["probabilities"]) == 2


@pytest.mark.parametrize(
    "problem",
    [SingleLabel(LABELS), MultiLabel(LABELS, {"a": 0.3}), MultipleChoice(3)],
)
def test_the_graph_and_numpy_give_the_same(problem):
    problem = problem.with_confidence(SCALED)
    outputs = problem.serving_outputs(tf.constant(LOGITS))
    p = problem.probabilities(LOGITS)
    np.testing.assert_allclose(outputs["probabilities"], p, atol=1e-6)
    if isinstance(problem, MultiLabel):
        np.testing.assert_array_equal(
            outputs["is_given"], problem.predict(LOGITS)
        )
    else:
        np.testing.assert_array_equal(outputs["in_set"], p >= 0.2)
        np.testing.assert_array_equal(
            [row.argmax() for row in LOGITS],
            outputs["probabilities"].numpy().argmax(-1),
        )
    if isinstance(problem, SingleLabel):
        found = finishing.softmax_finish(LABELS, SCALED)({}, {"logits": LOGITS})
        assert {*found} == {*outputs}
        np.testing.assert_allclose(found["probabilities"], p, atol=1e-6)
        np.testing.assert_array_equal(found["in_set"], outputs["in_set"])
        answer = kinds.labels_with_scores(found)[0]
        chosen = [x for x, q in zip(LABELS, p[0], strict=True) if q >= 0.2]
        assert answer["label_set"] == chosen


def test_a_stored_confidence_is_that_of_the_next_run(tmp_path):
    problem = SingleLabel(LABELS, confidence=SCALED)
    record = task_record.TaskRecord.of(problem)
    (tmp_path / "task.json").write_text(json.dumps(record.to_json()))
    values = task_record.read(str(tmp_path)).values
    again = confidence.with_learned(SingleLabel(LABELS), values)
    assert again.confidence == SCALED
    # Files of earlier versions have no such values, and plain runs write none.
    assert SingleLabel(LABELS).record() == {"labels": LABELS}
    assert MultipleChoice(2).record() == {}
    plain = confidence.with_learned(SingleLabel(LABELS), {"labels": LABELS})
    assert plain.confidence == Confidence()
    several = confidence.with_learned(MultiLabel(LABELS), values)
    assert several.confidence == Confidence(temperature=2.5)
    number = confidence.with_learned(Regression(), {"temperature": 2.0})
    assert "temperature" not in number.record()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ('"temperature": 0', "temperature=0: must be a number, above 0"),
        ('"temperature": "x"', "temperature=x: must be a number, above 0"),
        ('"temperature": NaN', "temperature=nan: must be a number, above 0"),
        ('"temperature": true', "temperature=True: must be"),
        ('"coverage": 1, "set_threshold": 0.5', "coverage=1: .* below 1$"),
        (
            '"coverage": 0.9, "set_threshold": 1.5',
            "set_threshold=1.5: .* at least 0 and at most 1$",
        ),
        ('"coverage": 0.9', "set_threshold must be given"),
    ],
)
def test_damaged_values_are_named(tmp_path, values, message):
    path = tmp_path / "task.json"
    path.write_text(f'{{"problem": "multiple_choice", {values}}}')
    with pytest.raises(UserError, match=f"task.json: {message}") as error:
        task_record.read(str(tmp_path))
    assert "\n" not in str(error.value)


def test_what_cannot_be_fitted():
    unknown = ["x"] * len(LOGITS)
    with pytest.raises(UserError, match="calibrate=True: .* no example whose"):
        confidence.calibrated(SingleLabel(LABELS), unknown, LOGITS)
    with pytest.raises(
        UserError, match="coverage=0.99: needs 99 examples .* there are 60"
    ):
        confidence.with_sets(SingleLabel(LABELS), GOLD, LOGITS, 0.99)
