"""Macro F1 of relations: by hand, and as SemEval's scorer counts it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tf.metrics import reports
from bert_tf.metrics.relations import relation_of, relation_report

CAUSE, EFFECT = "Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)"
TOPIC, ORIGIN = "Message-Topic(e1,e2)", "Entity-Origin(e2,e1)"


def scores_of(row):
    return [row[name] for name in ("precision", "recall", "f1", "support")]


def test_by_hand():
    pairs = [
        (CAUSE, CAUSE),
        (CAUSE, EFFECT),  # The wrong direction.
        (EFFECT, EFFECT),
        (EFFECT, "Other"),
        (TOPIC, CAUSE),
        (TOPIC, TOPIC),
        ("Other", TOPIC),
        ("Other", "Other"),
        ("Other", ORIGIN),  # A relation of no label.
    ]
    report = relation_report(*zip(*pairs, strict=True))
    assert [*report["labels"]] == ["Cause-Effect", "Message-Topic", "Other"]
    rows = [scores_of(row) for row in report["labels"].values()]
    # Cause-Effect: 4 predicted, 4 there, 2 of them right.
    assert rows[0] == [0.5, 0.5, 0.5, 4]
    assert rows[1] == [0.5, 0.5, 0.5, 2]
    assert rows[2] == pytest.approx([1 / 2, 1 / 3, 2 / 5, 3])
    assert scores_of(report["macro_avg"]) == [0.5, 0.5, 0.5, 6]
    assert report["accuracy"] == 4 / 9
    text = "\n".join(reports.format_report(report))
    assert "macro avg" in text and "accuracy = 0.4444" in text


@pytest.mark.parametrize(
    "label, prediction, f1, accuracy",
    [
        (CAUSE, CAUSE, 1.0, 1.0),
        (CAUSE, EFFECT, 0.0, 0.0),
        (CAUSE, TOPIC, 0.0, 0.0),
        (CAUSE, "Other", 0.0, 0.0),
        ("Other", "Other", 0.0, 1.0),  # No relation to score.
        ("Other", CAUSE, 0.0, 0.0),
        ("friend", "friend", 1.0, 1.0),  # No direction.
        ("friend", "friend(e1,e2)", 0.0, 0.0),
    ],
)
def test_one_example(label, prediction, f1, accuracy):
    report = relation_report([label], [prediction])
    assert report["macro_avg"]["f1"] == f1
    assert report["accuracy"] == accuracy


def test_a_rare_relation_counts_as_much():
    labels = [CAUSE] * 9 + [TOPIC]
    report = relation_report(labels, [CAUSE] * 10)
    # Cause-Effect: P 9/10, R 1, F1 18/19.
    assert report["macro_avg"]["f1"] == pytest.approx((18 / 19 + 0) / 2)
    assert report["macro_avg"]["precision"] == pytest.approx(0.9 / 2)


def test_nothing_to_score():
    report = relation_report([], [])
    assert scores_of(report["macro_avg"]) == [0.0, 0.0, 0.0, 0]
    with pytest.raises(ValueError):
        relation_report([CAUSE], [])


def test_directions():
    assert relation_of(CAUSE) == relation_of(EFFECT) == "Cause-Effect"
    assert relation_of("per:spouse") == "per:spouse"
    assert relation_of("f(e1,e2)(e2,e1)") == "f(e1,e2)"
    assert relation_of("f(e3,e1)") == "f(e3,e1)"


def scorer(labels, predictions):
    """The official scorer's steps: (P, R, F1), the means in per cent.

    It fills a confusion matrix [predicted][label] of relations, in which an
    example of the wrong direction has a row of its own, WRONG_DIR.
    """
    wrong = "WRONG_DIR"
    matrix, proposed, answers = {}, {}, {}
    for label, prediction in zip(labels, predictions, strict=True):
        row, column = relation_of(prediction), relation_of(label)
        if row == column and label != prediction:
            row = wrong
        matrix[row, column] = matrix.get((row, column), 0) + 1
        proposed[row] = proposed.get(row, 0) + 1
        answers[column] = answers.get(column, 0) + 1
    totals = [0.0, 0.0, 0.0]
    for relation, number in answers.items():
        if relation == "Other":
            continue
        correct = matrix.get((relation, relation), 0)
        precision = 0.0
        if proposed.get(relation, 0):
            precision = 100.0 * correct
            precision /= proposed[relation] + matrix.get((wrong, relation), 0)
        recall = 100.0 * correct / number
        f1 = 0.0
        if precision + recall:
            f1 = 2 * precision * recall / (precision + recall)
        totals = [
            total + score
            for total, score in zip(
                totals, (precision, recall, f1), strict=True
            )
        ]
    distinct = len(answers) - ("Other" in answers)
    return [total / distinct if distinct else 0.0 for total in totals]


LABELS = st.sampled_from(
    [CAUSE, EFFECT, TOPIC, ORIGIN, "Entity-Origin(e1,e2)", "friend", "Other"]
)


@given(pairs=st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_the_scores_are_those_of_the_scorer(pairs):
    labels, predictions = zip(*pairs, strict=True)
    row = relation_report(labels, predictions)["macro_avg"]
    found = [100 * row[name] for name in ("precision", "recall", "f1")]
    assert found == pytest.approx(scorer(labels, predictions))
