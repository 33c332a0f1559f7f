"""SQuAD's scores, by the rules of the official scripts for 1.1 and 2.0.

Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1, and
Rajpurkar et al. 2018, https://arxiv.org/abs/1806.03822. Scores are percentages.
"""

import collections
import math
import re
import string
from collections.abc import Mapping, Sequence
from typing import TypeAlias

# {question id: the right answers}; [] for a question without an answer.
Answers: TypeAlias = Mapping[str, Sequence[str]]
# {question id: the predicted answer}; "" for no answer.
Predictions: TypeAlias = Mapping[str, str]


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """The text in lower case, without punctuation, articles and extra spaces.

    Only ASCII punctuation is removed, as in the official scripts.
    """
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(prediction: str, answer: str) -> float:
    """1 if both texts are the same once normalized, else 0."""
    return float(normalize_answer(prediction) == normalize_answer(answer))


def token_f1(prediction: str, answer: str) -> float:
    """The F1 of the words: the harmonic mean of precision and recall.

    Precision is the share of the prediction's words that are in the answer,
    recall the share of the answer's words that are in the prediction. A word
    counts as often as it is in both; 0 if they have no word in common.
    """
    prediction_tokens = normalize_answer(prediction).split()
    answer_tokens = normalize_answer(answer).split()
    common = collections.Counter(prediction_tokens) & collections.Counter(
        answer_tokens
    )
    num_same = sum(common.values())
    if not num_same:
        return 0.0
    precision = 1.0 * num_same / len(prediction_tokens)
    recall = 1.0 * num_same / len(answer_tokens)
    return (2 * precision * recall) / (precision + recall)


def squad_v1_scores(
    answers: Answers, predictions: Predictions
) -> dict[str, float]:
    """SQuAD 1.1's exact_match and f1, against the best of the answers.

    A question without a prediction scores 0.
    """
    exact, f1 = squad_question_scores(answers, predictions, False)
    return {
        "exact_match": 100.0 * sum(exact.values(), 0.0) / len(answers),
        "f1": 100.0 * sum(f1.values(), 0.0) / len(answers),
    }


def squad_v2_scores(
    answers: Answers,
    predictions: Predictions,
    null_odds: Mapping[str, float] | None = None,
    null_odds_threshold: float = 1.0,
) -> dict[str, float]:
    """SQuAD 2.0's scores of all questions, of those with an answer and without.

    Args:
        answers, predictions: a question without a prediction does not count.
        null_odds: {question id: null odds} of each question with a prediction.
        null_odds_threshold: a question with larger null odds counts as not
            answered.

    Returns:
        exact, f1 and total, the number of questions; the same with the prefixes
        HasAns_ and NoAns_, where there are such questions; and with null odds
        the results of `squad_best_thresholds`.
    """
    exact, f1 = _scores_by_question(answers, predictions)
    if null_odds:
        for qas_id in exact:
            if null_odds[qas_id] > null_odds_threshold:
                exact[qas_id] = f1[qas_id] = float(not answers[qas_id])
    with_answer = [qas_id for qas_id in exact if answers[qas_id]]
    without = [qas_id for qas_id in exact if not answers[qas_id]]
    results: dict[str, float] = {}
    for prefix, ids in (
        ("", [*exact]),
        ("HasAns_", with_answer),
        ("NoAns_", without),
    ):
        if ids:
            for name, scores in (("exact", exact), ("f1", f1)):
                total = sum(scores[qas_id] for qas_id in ids)
                results[f"{prefix}{name}"] = 100.0 * total / len(ids)
            results[f"{prefix}total"] = len(ids)
    if null_odds is not None:
        results |= squad_best_thresholds(answers, predictions, null_odds)
    return results


def squad_best_thresholds(
    answers: Answers, predictions: Predictions, null_odds: Mapping[str, float]
) -> dict[str, float]:
    """The best scores of SQuAD 2.0, and the thresholds that give them.

    Args:
        answers: see `squad_v2_scores`.
        predictions: the answers where the null odds do not exceed a threshold.
        null_odds: {question id: null odds}.

    Returns:
        best_exact, best_exact_thresh, best_f1 and best_f1_thresh, as the
        official script has them. Where it is best to answer no question, its
        threshold is 0.0, with which some are answered; thresholds to use are
        those of `squad_usable_thresholds`.
    """
    exact, f1 = _scores_by_question(answers, predictions)
    results = {}
    for name, scores in (("exact", exact), ("f1", f1)):
        # At first no question is answered, then one after the other is.
        total = best = float(sum(not answers[qas_id] for qas_id in scores))
        threshold = 0.0
        for qas_id in sorted(null_odds, key=null_odds.__getitem__):
            if qas_id not in scores:
                continue
            if answers[qas_id]:
                total += scores[qas_id]
            elif predictions[qas_id]:
                total -= 1
            if total > best:
                best, threshold = total, null_odds[qas_id]
        results[f"best_{name}"] = 100.0 * best / len(scores)
        results[f"best_{name}_thresh"] = threshold
    return results


def squad_usable_thresholds(
    answers: Answers, predictions: Predictions, null_odds: Mapping[str, float]
) -> dict[str, float]:
    """The thresholds that score best when they are used, and their scores.

    Questions with larger null odds than the threshold get no answer. The
    thresholds lie between the null odds of two questions, in the middle, or
    outside all of them.

    Args:
        answers, predictions, null_odds: see `squad_best_thresholds`.

    Returns:
        null_score_diff_threshold_exact and null_score_diff_threshold_f1; the
        same names with "_score" at the end have the exact or F1, in per cent,
        that `squad_v2_scores` gives for the answers with this threshold.
    """
    answered = _scores_by_question(answers, predictions)
    silent = _scores_by_question(answers, dict.fromkeys(answered[0], ""))
    results = {}
    for name, scores, null_scores in zip(
        ("exact", "f1"), answered, silent, strict=True
    ):
        changes: dict[float, float] = collections.defaultdict(float)
        for qas_id, score in scores.items():
            if predictions[qas_id]:  # It is the same answer otherwise.
                change = score - null_scores[qas_id]
                changes[null_odds[qas_id]] += change
        threshold = _best_threshold(changes)
        total = sum(
            score if null_odds[qas_id] <= threshold else null_scores[qas_id]
            for qas_id, score in scores.items()
        )
        key = f"null_score_diff_threshold_{name}"
        results[key] = threshold
        results[f"{key}_score"] = 100.0 * total / len(scores)
    return results


def _best_threshold(changes: Mapping[float, float]) -> float:
    """The first threshold with the largest sum of changes up to it.

    Args:
        changes: {null odds: how the score changes where questions with these
            odds are answered}.
    """
    odds = sorted(changes)
    total = best = 0.0
    number = 0  # Of the null odds up to the threshold.
    for place, value in enumerate(odds, start=1):
        total += changes[value]
        if total > best:
            best, number = total, place
    if not odds:
        return 0.0
    if not number:
        below = odds[0] - 1.0
        return below if below < odds[0] else math.nextafter(below, -math.inf)
    low = odds[number - 1]
    if number == len(odds):
        return low + 1.0
    middle = low + (odds[number] - low) / 2.0
    return middle if low <= middle < odds[number] else low


def squad_question_scores(
    answers: Answers, predictions: Predictions, has_unanswerable: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Exact match and F1 of each question, from 0 to 1.

    Their means are those of `squad_v1_scores` and `squad_v2_scores`.

    Args:
        answers: see `squad_v2_scores`.
        predictions: a question without a prediction has no score.
        has_unanswerable: whether SQuAD 2.0's rules count, and not 1.1's.

    Returns:
        ({question id: exact match}, {question id: F1}).
    """
    if has_unanswerable:
        return _scores_by_question(answers, predictions)
    exact, f1 = {}, {}
    for qas_id, texts in answers.items():
        if qas_id in predictions:
            prediction = predictions[qas_id]
            exact[qas_id] = max(exact_match(prediction, t) for t in texts)
            f1[qas_id] = max(token_f1(prediction, text) for text in texts)
    return exact, f1


def squad_threshold_curve(
    answers: Answers, predictions: Predictions, null_odds: Mapping[str, float]
) -> tuple[list[float], list[float], list[float]]:
    """Exact match and F1, in per cent, for each threshold of the null odds.

    Args:
        answers, predictions, null_odds: see `squad_best_thresholds`.

    Returns:
        (thresholds, exact, f1): a threshold below all null odds, and then the
        null odds of the questions, ascending and each once; the scores where
        questions with larger null odds get no answer.
    """
    answered = _scores_by_question(answers, predictions)
    silent = _scores_by_question(answers, dict.fromkeys(answered[0], ""))
    ids = sorted(answered[0], key=null_odds.__getitem__)
    curves: list[list[float]] = []
    thresholds: list[float] = []
    for scores, null_scores in zip(answered, silent, strict=True):
        total = float(sum(null_scores.values()))
        thresholds = [null_odds[qas_id] - 1.0 for qas_id in ids[:1]]
        curve = [100.0 * total / len(ids) for _ in thresholds]
        for qas_id in ids:
            total += scores[qas_id] - null_scores[qas_id]
            if thresholds[-1] < null_odds[qas_id]:
                thresholds.append(null_odds[qas_id])
                curve.append(0.0)
            curve[-1] = 100.0 * total / len(ids)
        curves.append(curve)
    return thresholds, curves[0], curves[1]


def _scores_by_question(
    answers: Answers, predictions: Predictions
) -> tuple[dict[str, float], dict[str, float]]:
    """({question id: exact match}, {question id: f1}), best of the answers."""
    exact, f1 = {}, {}
    for qas_id, texts in answers.items():
        if qas_id not in predictions:
            continue
        prediction = predictions[qas_id]
        # An answer of nothing but articles and punctuation does not count.
        texts = [text for text in texts if normalize_answer(text)] or [""]
        exact[qas_id] = max(exact_match(prediction, text) for text in texts)
        f1[qas_id] = max(_f1_or_both_empty(prediction, t) for t in texts)
    return exact, f1


def _f1_or_both_empty(prediction: str, answer: str) -> float:
    if normalize_answer(prediction) and normalize_answer(answer):
        return token_f1(prediction, answer)
    return exact_match(prediction, answer)
