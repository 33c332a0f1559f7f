"""Which labels mean that there is none."""

import pytest

from bert_tf.data.labels.missing_labels import (
    in_doubt,
    marks_among,
    taken_for_labels,
    whole_number,
)


@pytest.mark.parametrize(
    "labels, marks",
    [
        ("0 1 2 -1", "-1"),
        ("0.0 1.0 2.0 -1.0", "-1.0"),
        ("1 2 3 4 5 -1", "-1"),
        ("0 1 2 -100", "-100"),
        ("0 1 2 -1 ? nan", "-1 ? nan"),
        ("-1 0 1", "-1"),
        # Real labels.
        ("-1 -2", ""),
        ("-1 1", ""),
        ("-1 0", ""),
        ("-2 -1 0 1 2", ""),
        ("-1 5 7", ""),
        ("-1 0.5 1", ""),
        ("-1 good bad", ""),
        ("+ -", ""),
        ("+ - 0", ""),
        (". , ! ? -", ""),
        ("? spam", ""),
        ("None spam", ""),
        ("EU NA AS", ""),
        ("none some all", ""),
        # Marks beside words.
        ("yes no ?", "?"),
        ("entailment neutral -", "-"),
        (
            "a b null NULL NaN nan N/A n/a None NA",
            "null NULL NaN nan N/A n/a None NA",
        ),
        ("a b <NA> #N/A \\N NaT", "<NA> #N/A \\N NaT"),
        # Programs' marks are never a class.
        ("spam null", "null"),
    ],
)
def test_marks_in_a_training_file(labels, marks):
    assert marks_among(labels.split()) == {*marks.split()}


def test_an_empty_label_is_missing():
    assert marks_among(["a", "b", ""]) == {""}


@pytest.mark.parametrize(
    "named, marks",
    [
        ([], ""),
        (["unsure"], "unsure"),
        (["-1"], "-1.0"),
        (["2.0", "x"], "2"),
    ],
)
def test_named_marks_are_the_only_ones(named, marks):
    labels = ["-1.0", "2", "3", "?", "null", "unsure"]
    assert marks_among(labels, named) == {*marks.split()}
    assert marks_among(labels, named, known=["2"]) == {*marks.split()}


@pytest.mark.parametrize(
    "labels, known, marks",
    [
        ("-1", "0 1", "-1"),
        ("-1 ham", "ham spam", "-1"),
        ("- ? + .", "+ -", "?"),
        ("-1", "-2 -3", ""),
        ("-1 0 1", "-1 0 1", ""),
        ("None new", "a None", ""),
        ("None new", "a b", "None"),
    ],
)
def test_marks_beside_the_labels_of_training(labels, known, marks):
    found = marks_among(labels.split(), known=known.split())
    assert found == {*marks.split()}


@pytest.mark.parametrize(
    "counts, doubt",
    [
        ({"-1": 2, "0": 4, "1": 4}, "-1"),
        ({"-1.0": 2, "0.0": 4, "1.0": 4}, "-1.0"),
        ({"-1": 2, "0": 4, "1": 4, "-100": 1, "?": 1}, None),
        ({"-1": 1, "0": 5, "1": 4}, None),
        ({"-1": 9, "0": 5, "1": 4, "2": 1}, None),
        ({"None": 4, "mild": 4, "severe": 4}, "None"),
        ({"None": 1, "mild": 4, "severe": 4}, None),
        ({"null": 9, "a": 4, "b": 4}, None),
        ({"?": 9, "a": 4, "b": 4}, None),
    ],
)
def test_marks_that_may_be_labels(counts, doubt):
    assert in_doubt(counts, marks_among(counts)) == doubt


@pytest.mark.parametrize(
    "labels, kept",
    [
        ("-1 good bad", "-1"),
        ("None spam", "None"),
        ("EU NA AS", "NA"),
        ("-1 1", ""),
        ("+ -", ""),
        ("-1 0 1 2", ""),
    ],
)
def test_marks_that_are_kept_as_labels(labels, kept):
    labels = labels.split()
    assert taken_for_labels(labels, marks_among(labels)) == kept.split()


def test_whole_numbers():
    found = [*map(whole_number, ["1", "1.0", "-1.", "1.5", "1_0", "x", ""])]
    assert found == [1, 1, -1, None, None, None, None]
