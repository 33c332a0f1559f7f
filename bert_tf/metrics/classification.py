"""The metrics of labels and numbers, with scikit-learn's definitions.

The metrics of single labels take two int arrays [N], the right classes and the
predicted ones, and return a float.

    precision = TP / (TP + FP)      recall = TP / (TP + FN)
    F1 = 2 precision recall / (precision + recall)

where TP, FP and FN count the true positives, the false positives and the false
negatives of a class. GLUE is Wang et al. 2018, https://arxiv.org/abs/1804.07461.
"""

import warnings
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.stats
from sklearn import metrics as sklearn_metrics

Ints: TypeAlias = npt.NDArray[np.integer]
Floats: TypeAlias = npt.NDArray[np.floating]


def accuracy(label_ids: Ints, predictions: Ints) -> float:
    """The share of the predictions that are right."""
    return float(sklearn_metrics.accuracy_score(label_ids, predictions))


def f1(label_ids: Ints, predictions: Ints) -> float:
    """The F1 of class 1, as GLUE reports it for MRPC and QQP.

    0 if no prediction of class 1 is right.
    """
    return float(
        sklearn_metrics.f1_score(
            label_ids,
            predictions,
            # Labels that training did not have make more than two classes.
            labels=[1],
            average="macro",
            zero_division=0,
        )
    )


def macro_f1(label_ids: Ints, predictions: Ints) -> float:
    """The mean of the F1 of all classes that occur, with equal weights."""
    return float(
        sklearn_metrics.f1_score(
            label_ids, predictions, average="macro", zero_division=0
        )
    )


def matthews_correlation(label_ids: Ints, predictions: Ints) -> float:
    """Matthews' correlation, as GLUE reports it for CoLA: from -1 to 1.

    For two classes it is Pearson's correlation of the two arrays (Matthews
    1975). 0 for a constant prediction, which accuracy may praise.
    """
    with warnings.catch_warnings():
        # It warns of a constant array, where the coefficient is defined as 0.
        warnings.simplefilter("ignore")
        return float(sklearn_metrics.matthews_corrcoef(label_ids, predictions))


REGRESSION_NAMES = (
    "pearson",
    "spearman",
    "mean_squared_error",
    "mean_absolute_error",
)


def regression_scores(truth: Floats, predictions: Floats) -> dict[str, float]:
    """Correlations, as GLUE reports them for STS-B, and errors.

    Pearson's is the correlation of the values, Spearman's that of their ranks.
    The errors are the means of (p - t)² and of |p - t|.

    Args:
        truth, predictions: float [N].

    Returns:
        {name: score} for `REGRESSION_NAMES`. A correlation with a constant is
        0.
    """
    truth, predictions = np.asarray(truth), np.asarray(predictions)
    errors = predictions - truth
    pearson = spearman = 0.0
    if len(truth) > 1 and np.ptp(truth) and np.ptp(predictions):
        pearson = float(scipy.stats.pearsonr(truth, predictions).statistic)
        spearman = float(scipy.stats.spearmanr(truth, predictions).statistic)
    return {
        "pearson": pearson,
        "spearman": spearman,
        "mean_squared_error": float(np.mean(errors**2)),
        "mean_absolute_error": float(np.mean(np.abs(errors))),
    }


MULTI_LABEL_NAMES = ("micro_f1", "macro_f1", "exact_match")


def multi_label_scores(truth: Ints, predictions: Ints) -> dict[str, float]:
    """The scores of examples with several labels or none.

    Args:
        truth, predictions: int [N, C], 1 where a label holds.

    Returns:
        {name: score} for `MULTI_LABEL_NAMES`: the F1 over all N C decisions,
        the mean of the labels' F1, and the share of the examples whose labels
        are all right.
    """
    micro, macro = (
        sklearn_metrics.f1_score(
            truth, predictions, average=average, zero_division=0
        )
        for average in ("micro", "macro")
    )
    is_right = np.all(truth == predictions, axis=-1)
    return {
        "micro_f1": float(micro),
        "macro_f1": float(macro),
        "exact_match": float(np.mean(is_right)),
    }
