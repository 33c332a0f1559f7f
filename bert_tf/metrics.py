"""What each task reports about its predictions.

Every metric is a function(label_ids, predictions) -> float of two int arrays
[N]. The definitions are scikit-learn's.
"""

import warnings

from sklearn import metrics as sklearn_metrics


def accuracy(label_ids, predictions) -> float:
    """Share of the predictions that are right."""
    return float(sklearn_metrics.accuracy_score(label_ids, predictions))


def f1(label_ids, predictions) -> float:
    """F1 of class 1, as GLUE reports it for MRPC and QQP; 0 for none found."""
    return float(
        sklearn_metrics.f1_score(label_ids, predictions, zero_division=0)
    )


def matthews_correlation(label_ids, predictions) -> float:
    """Matthews' correlation, as GLUE reports it for CoLA.

    -1 to 1; 0 for a constant prediction, which plain accuracy would praise.
    """
    with warnings.catch_warnings():
        # A constant column: the coefficient is then defined as 0.
        warnings.simplefilter("ignore")
        return float(sklearn_metrics.matthews_corrcoef(label_ids, predictions))
