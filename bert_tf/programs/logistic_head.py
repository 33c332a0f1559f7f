"""A logistic regression as the last layer of a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUM_FOLDS = 5
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # Reciprocals of the penalty.
MAX_STEPS = 2000

Floats = NDArray[np.float32]


def fit_head(
    vectors: Floats,
    label_ids: Sequence[int] | NDArray[np.int_],
    num_labels: int,
    *,
    chooses_strength: bool = True,
) -> tuple[Floats, Floats]:
    """Fits a logistic regression.

    Args:
        vectors: float [N, E].
        label_ids: int [N], 0 to C - 1; each of them occurs.
        num_labels: C.
        chooses_strength: whether the penalty is chosen by cross-validation,
            where there are enough examples of each label.

    Returns:
        (kernel, float32 [E, C]; bias, float32 [C]): the logits are
        vectors @ kernel + bias.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    ids = np.asarray(label_ids)
    model = LogisticRegression(max_iter=MAX_STEPS)
    counts = np.bincount(ids, minlength=num_labels)
    if chooses_strength and counts.min() >= NUM_FOLDS:
        search = GridSearchCV(
            model, {"C": STRENGTHS}, cv=NUM_FOLDS, scoring="neg_log_loss"
        )
        model = search.fit(vectors, ids).best_estimator_
    else:
        model.fit(vectors, ids)
    kernel, bias = model.coef_.T, model.intercept_
    if num_labels == 2:  # scikit-learn has the logit of the second one alone.
        kernel = np.concatenate([np.zeros_like(kernel), kernel], axis=1)
        bias = np.concatenate([np.zeros_like(bias), bias])
    return kernel.astype(np.float32), bias.astype(np.float32)
