"""Metrics, on cases worked out by hand from the official definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tf import metrics

ANSWERS = {
    "a": ["the Normans", "Norman people"],
    "b": ["in 1871", "1871"],
    "c": [],
    "d": [],
    "e": ["The!"],  # Nothing is left of it, so it does not count.
}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The Normans.", "normans"),
        ("  an  A-B (c) ", "ab c"),
        ("then a panther", "then panther"),
        ("the", ""),
        ("“quoted” – here", "“quoted” – here"),  # ASCII punctuation alone.
        ("U.S.A", "usa"),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles(text, expected):
    assert metrics.normalize_answer(text) == expected


def test_f1_compares_words():
    # 1 word in common, of 2 predicted and 3 right ones.
    f1 = metrics.token_f1("big cat", "the cat sat here")
    assert f1 == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert metrics.token_f1("cat cat", "cat") == pytest.approx(2 / 3)
    assert metrics.token_f1("dog", "cat") == 0.0
    assert metrics.token_f1("the", "the") == 0.0  # As in the script for 1.1.


def test_squad_1_takes_the_best_answer_and_0_for_none():
    answers = {name: ANSWERS[name] for name in "ab"}
    scores = metrics.squad_v1_scores(answers, {"a": "Normans!", "z": "x"})
    assert scores == {"exact_match": 50.0, "f1": 50.0}
    scores = metrics.squad_v1_scores(answers, {"a": "norman", "b": "1871"})
    assert scores == {
        "exact_match": 50.0,
        "f1": pytest.approx(100 * (2 / 3 + 1) / 2),
    }


def test_squad_2_counts_questions_without_an_answer():
    predictions = {"a": "norman", "b": "1871", "c": "", "d": "x", "e": "a"}
    scores = metrics.squad_v2_scores(ANSWERS, predictions)
    assert scores == {
        "exact": pytest.approx(60.0),
        "f1": pytest.approx(100 * (2 / 3 + 3) / 5),
        "total": 5,
        # "e" has answers in the file, though nothing is left of them.
        "HasAns_exact": pytest.approx(200 / 3),
        "HasAns_f1": pytest.approx(100 * (2 / 3 + 2) / 3),
        "HasAns_total": 3,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }
    counts = {"total", "HasAns_total", "NoAns_total"}
    assert set(scores) - counts < set(metrics.SQUAD_V2_NAMES)
    # A question without a prediction does not count.
    scores = metrics.squad_v2_scores(ANSWERS, {"c": ""})
    assert (scores["total"], scores["exact"]) == (1, 100.0)
    assert "HasAns_exact" not in scores


def test_a_threshold_takes_answers_away():
    predictions = {"a": "Normans", "c": "x"}
    odds = {"a": 2.0, "c": 0.5}
    # Questions without a prediction do not count.
    best = metrics.squad_best_thresholds(ANSWERS, predictions, odds)
    assert best["best_f1"] == 50.0
    scores = metrics.squad_v2_scores(ANSWERS, predictions, odds, 1.0)
    assert (scores["HasAns_exact"], scores["NoAns_exact"]) == (0.0, 0.0)
    scores = metrics.squad_v2_scores(ANSWERS, predictions, odds, 0.0)
    assert (scores["HasAns_exact"], scores["NoAns_exact"]) == (0.0, 100.0)


def test_the_best_threshold():
    answers = {"a": ["x"], "b": ["y"], "c": [], "d": []}
    predictions = {"a": "x", "b": "y", "c": "z", "d": "z"}
    # By odds: a (right), c (wrong to answer), b (right), d (wrong).
    odds = {"d": 4.0, "b": 2.0, "c": 1.0, "a": -3.0}
    best = metrics.squad_best_thresholds(answers, predictions, odds)
    # Nothing answered 2, then 3, 2, 3, 2 of 4: the first best one counts.
    assert best == {
        "best_exact": 75.0,
        "best_exact_thresh": -3.0,
        "best_f1": 75.0,
        "best_f1_thresh": -3.0,
    }
    scores = metrics.squad_v2_scores(answers, predictions, odds)
    assert best.items() <= scores.items()
    # If all answers are wrong, it is best to give none.
    wrong = dict.fromkeys(predictions, "w")
    best = metrics.squad_best_thresholds(answers, wrong, odds)
    assert (best["best_f1"], best["best_f1_thresh"]) == (50.0, 0.0)


def scores_of_a_run(answers, best_texts, odds, threshold):
    """The scores of the answers that a run with a threshold gives."""
    predictions = {
        qas_id: "" if odds[qas_id] > threshold else text
        for qas_id, text in best_texts.items()
    }
    return metrics.squad_v2_scores(answers, predictions)


WORDS = st.sampled_from(["", "x", "y", "x y", "the", "x the y z", "."])
QUESTIONS = st.lists(
    st.tuples(
        st.lists(WORDS.filter(bool), max_size=2),
        WORDS,
        st.one_of(
            st.integers(-3, 3).map(float),  # Equal odds are frequent.
            st.floats(-1e6, 1e6, width=32),
            st.sampled_from([1e6, -0.0, 1.0, 1.0 + 2**-52, 1e300, -1e300]),
        ),
    ),
    min_size=1,
    max_size=12,
)


@given(QUESTIONS)
def test_usable_thresholds_keep_their_promise_and_none_is_better(questions):
    answers, texts, odds = (
        dict(enumerate(values)) for values in zip(*questions, strict=True)
    )
    answers, texts, odds = (
        {str(key): value for key, value in d.items()}
        for d in (answers, texts, odds)
    )
    found = metrics.squad_usable_thresholds(answers, texts, odds)
    others = {*odds.values(), -math.inf}  # Every set of answers there is.
    for name in ("exact", "f1"):
        # As it is printed in eval_results.txt, and read by a flag.
        threshold = float(str(found[f"null_score_diff_threshold_{name}"]))
        promised = found[f"null_score_diff_threshold_{name}_score"]
        assert math.isfinite(threshold)
        scores = scores_of_a_run(answers, texts, odds, threshold)
        assert scores[name] == promised
        best = max(
            scores_of_a_run(answers, texts, odds, other)[name]
            for other in others
        )
        assert promised == pytest.approx(best, abs=1e-9)


def test_usable_thresholds():
    answers = {"a": ["x"], "b": ["y"], "c": [], "d": []}
    texts = {"a": "x", "b": "y", "c": "z", "d": "z"}

    def found(odds, texts=texts, answers=answers):
        scores = metrics.squad_usable_thresholds(answers, texts, odds)
        name = "null_score_diff_threshold_exact"
        return scores[name], scores[f"{name}_score"]

    # Between the last that is answered and the next one.
    odds = {"d": 4.0, "b": 2.0, "c": 1.0, "a": -3.0}
    assert found(odds) == (-1.0, 75.0)
    # Of equal odds all are answered, or none.
    assert found(odds | {"a": 1.0}) == (3.0, 75.0)
    # To answer nothing is best: 0.0, the official threshold, answers some.
    odds = {"a": -9.0, "b": -8.0, "c": -7.0, "d": -6.0}
    wrong = dict.fromkeys(texts, "w")
    assert found(odds, wrong) == (-10.0, 50.0)
    best = metrics.squad_best_thresholds(answers, wrong, odds)
    assert (best["best_exact"], best["best_exact_thresh"]) == (50.0, 0.0)
    assert scores_of_a_run(answers, wrong, odds, 0.0)["exact"] == 0.0
    # All are answered.
    right = {"a": ["x"], "b": ["y"], "c": ["z"], "d": ["z"]}
    assert found(odds, answers=right) == (-5.0, 100.0)
    # There is nothing to answer with.
    assert found(odds, dict.fromkeys(texts, "")) == (0.0, 50.0)


def test_pretraining_scores_without_predictions_and_of_large_losses():
    def scores(weight, loss):
        batch = {
            "masked_lm_loss": [loss, 0.0],
            "masked_lm_accuracy": [0.0, 0.0],
            "masked_lm_weight": [weight, 0.0],
            "next_sentence_loss": [0.5, 1.5],
            "next_sentence_accuracy": [1.0, 0.0],
        }
        return metrics.pretraining_scores([batch], 1e-5)

    nothing = scores(0.0, 0.0)
    assert set(nothing) == set(metrics.PRETRAINING_NAMES)
    assert nothing["loss"] == nothing["next_sentence_loss"] == 1.0
    assert nothing["next_sentence_accuracy"] == 0.5
    assert nothing["masked_lm_loss"] == nothing["masked_lm_accuracy"] == 0.0
    assert nothing["masked_lm_perplexity"] == 1.0
    for loss in (1e4, np.inf):
        assert np.isfinite(scores(1.0, loss)["masked_lm_perplexity"])
    assert np.isnan(scores(1.0, np.nan)["masked_lm_loss"])
