"""What each task reports about its predictions.

The metrics of classification are functions(label_ids, predictions) -> float of
two int arrays [N], with scikit-learn's definitions. Those of SQuAD compare
texts, by the rules of the official evaluation scripts for 1.1 and 2.0. Those
of named entities are in `entities`, tables of each class in `reports`.
"""

import collections
import math
import re
import string
import warnings

import numpy as np
import scipy.stats
from sklearn import metrics as sklearn_metrics


def accuracy(label_ids, predictions) -> float:
    """Share of the predictions that are right."""
    return float(sklearn_metrics.accuracy_score(label_ids, predictions))


def f1(label_ids, predictions) -> float:
    """F1 of class 1, as GLUE reports it for MRPC and QQP; 0 for none found."""
    return float(
        sklearn_metrics.f1_score(label_ids, predictions, zero_division=0)
    )


def macro_f1(label_ids, predictions) -> float:
    """Mean of the F1 of all classes that occur, each counting as much."""
    return float(
        sklearn_metrics.f1_score(
            label_ids, predictions, average="macro", zero_division=0
        )
    )


def matthews_correlation(label_ids, predictions) -> float:
    """Matthews' correlation, as GLUE reports it for CoLA.

    -1 to 1; 0 for a constant prediction, which plain accuracy would praise.
    """
    with warnings.catch_warnings():
        # A constant column: the coefficient is then defined as 0.
        warnings.simplefilter("ignore")
        return float(sklearn_metrics.matthews_corrcoef(label_ids, predictions))


REGRESSION_NAMES = (
    *("pearson", "spearman"),
    *("mean_squared_error", "mean_absolute_error"),
)


def regression_scores(truth, predictions) -> dict:
    """Correlations, as GLUE reports them for STS-B, and errors.

    Args:
        truth, predictions: float [N].

    Returns:
        {name: float} of `REGRESSION_NAMES`. A correlation with a constant is
        0.
    """
    truth, predictions = np.asarray(truth), np.asarray(predictions)
    errors = predictions - truth
    is_constant = len(truth) < 2 or not (np.ptp(truth) and np.ptp(predictions))
    return {
        "pearson": 0.0
        if is_constant
        else float(scipy.stats.pearsonr(truth, predictions).statistic),
        "spearman": 0.0
        if is_constant
        else float(scipy.stats.spearmanr(truth, predictions).statistic),
        "mean_squared_error": float(np.mean(errors**2)),
        "mean_absolute_error": float(np.mean(np.abs(errors))),
    }


MULTI_LABEL_NAMES = ("micro_f1", "macro_f1", "exact_match")


def multi_label_scores(truth, predictions) -> dict:
    """F1 over all decisions, its mean over labels, share of right examples.

    Args:
        truth, predictions: int [N, C], 1 where a label holds.
    """
    micro, macro = (
        sklearn_metrics.f1_score(
            truth, predictions, average=average, zero_division=0
        )
        for average in ("micro", "macro")
    )
    right = np.all(truth == predictions, axis=-1)
    return {
        "micro_f1": float(micro),
        "macro_f1": float(macro),
        "exact_match": float(np.mean(right)),
    }


def best_thresholds(truth, probabilities):
    """The probability of each label from which on giving it has the best F1.

    Args:
        truth: int [N, C].
        probabilities: float [N, C].

    Returns:
        float64 [C]; 0.5 for a label that no example has.
    """
    thresholds = []
    for right, found in zip(truth.T, probabilities.T, strict=True):
        if not right.any():
            thresholds.append(0.5)
            continue
        precision, recall, candidates = sklearn_metrics.precision_recall_curve(
            right, found
        )
        total = precision + recall
        scores = 2 * precision * recall / np.where(total, total, 1.0)
        best = int(np.argmax(scores[:-1]))
        # Half way to the next lower one, which a new text may lie between.
        below = found[found < candidates[best]]
        lower = below.max() if below.size else 0.0
        thresholds.append((float(candidates[best]) + float(lower)) / 2)
    return np.array(thresholds)


# ---------------------------------------------------------------------------
# SQuAD.
#
# `answers` is {question id: list of right answers}, in 2.0 an empty one where
# there is none; `predictions` is {question id: text}, "" for none. Scores are
# in per cent.

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


# ---------------------------------------------------------------------------
# Pretraining.

PRETRAINING_NAMES = (
    *("loss", "masked_lm_loss", "masked_lm_accuracy", "masked_lm_perplexity"),
    *("next_sentence_loss", "next_sentence_accuracy"),
)


def pretraining_scores(batches, masked_lm_epsilon: float) -> dict:
    """The original's figures, and the perplexity, e^masked_lm_loss.

    Those of masked LM are means over all predictions, those of next sentence
    prediction over all examples; `loss` is the mean of the batches' losses.

    Args:
        batches: iterable of {name: float [B]}, of `losses.pretraining_sums`,
            without examples that only fill up.
        masked_lm_epsilon: what a batch's loss adds to its weights.
    """
    totals, losses, num_examples = collections.Counter(), [], 0
    for sums in batches:
        size = len(sums["next_sentence_loss"])
        added = {name: np.sum(x, dtype=np.float64) for name, x in sums.items()}
        losses.append(
            added["masked_lm_loss"]
            / (added["masked_lm_weight"] + masked_lm_epsilon)
            + added["next_sentence_loss"] / size
        )
        num_examples += size
        totals.update(added)
    weight = totals.pop("masked_lm_weight")
    scores = {
        name: float(total)
        / (weight or 1.0 if name.startswith("masked_lm") else num_examples)
        for name, total in totals.items()
    }
    return {
        **scores,
        "loss": float(np.mean(losses)),
        # A number, whatever the loss is.
        "masked_lm_perplexity": math.exp(min(scores["masked_lm_loss"], 700.0)),
    }
