"""The metrics of labels and numbers.

Those of single labels are functions(label_ids, predictions) -> float of two
int arrays [N], with scikit-learn's definitions.
"""

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
