"""SQuAD's scores, by the rules of the official scripts for 1.1 and 2.0."""

import collections
import re
import string

# The scores of which more is better.
SQUAD_V1_NAMES = ("exact_match", "f1")


SQUAD_V2_NAMES = (
    *("exact", "HasAns_exact", "NoAns_exact", "best_exact"),
    *("f1", "HasAns_f1", "NoAns_f1", "best_f1"),
)


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and extra spaces."""
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(prediction: str, answer: str) -> float:
    return float(normalize_answer(prediction) == normalize_answer(answer))


def token_f1(prediction: str, answer: str) -> float:
    """Harmonic mean of precision and recall of words; 0 for none in common."""
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


def squad_v1_scores(answers: dict, predictions: dict) -> dict:
    """SQuAD 1.1: exact_match and f1, each against the best of the answers.

    A question without a prediction scores 0.
    """
    exact = f1 = 0.0
    for qas_id, texts in answers.items():
        if qas_id in predictions:
            prediction = predictions[qas_id]
            exact += max(exact_match(prediction, text) for text in texts)
            f1 += max(token_f1(prediction, text) for text in texts)
    return {
        "exact_match": 100.0 * exact / len(answers),
        "f1": 100.0 * f1 / len(answers),
    }


def squad_v2_scores(
    answers: dict,
    predictions: dict,
    null_odds: dict | None = None,
    null_odds_threshold: float = 1.0,
) -> dict:
    """SQuAD 2.0: over all questions, those with an answer, those without.

    Args:
        answers, predictions: a question without a prediction counts nowhere.
        null_odds: {question id: float} of each question with a prediction;
            with it also the best thresholds.
        null_odds_threshold: a question with larger null odds counts as not
            answered.
    """
    exact, f1 = _scores_by_question(answers, predictions)
    for qas_id in exact if null_odds else ():
        if null_odds[qas_id] > null_odds_threshold:
            exact[qas_id] = f1[qas_id] = float(not answers[qas_id])
    with_answer = [qas_id for qas_id in exact if answers[qas_id]]
    without = [qas_id for qas_id in exact if not answers[qas_id]]
    results = {}
    for prefix, ids in (
        ("", [*exact]),
        ("HasAns_", with_answer),
        ("NoAns_", without),
    ):
        if ids:
            results[f"{prefix}exact"] = (
                100.0 * sum(map(exact.get, ids)) / len(ids)
            )
            results[f"{prefix}f1"] = 100.0 * sum(map(f1.get, ids)) / len(ids)
            results[f"{prefix}total"] = len(ids)
    if null_odds is not None:
        results |= squad_best_thresholds(answers, predictions, null_odds)
    return results


def squad_best_thresholds(
    answers: dict, predictions: dict, null_odds: dict
) -> dict:
    """The thresholds of the null odds that give the best scores, and these.

    Args:
        answers: see above.
        predictions: what is answered where the null odds do not exceed the
            threshold.
        null_odds: {question id: float}.
    """
    exact, f1 = _scores_by_question(answers, predictions)
    results = {}
    for name, scores in (("exact", exact), ("f1", f1)):
        # At first nothing is answered; one question after the other then is.
        total = best = sum(not answers[qas_id] for qas_id in scores)
        threshold = 0.0
        for qas_id in sorted(null_odds, key=null_odds.get):
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


def _scores_by_question(answers, predictions):
    """({question id: exact match}, {question id: f1}), best of the answers."""
    exact, f1 = {}, {}
    for qas_id, texts in answers.items():
        if qas_id not in predictions:
            continue
        prediction = predictions[qas_id]
        # An answer of articles and punctuation alone is none.
        right = [text for text in texts if normalize_answer(text)] or [""]
        exact[qas_id] = max(exact_match(prediction, text) for text in right)
        f1[qas_id] = max(_f1_or_both_empty(prediction, t) for t in right)
    return exact, f1


def _f1_or_both_empty(prediction, answer):
    if normalize_answer(prediction) and normalize_answer(answer):
        return token_f1(prediction, answer)
    return exact_match(prediction, answer)
