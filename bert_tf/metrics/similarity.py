"""How far the cosines of vectors agree with people's scores."""

import numpy as np
from numpy.typing import NDArray

from bert_tf.metrics.classification import regression_scores

Vectors = NDArray[np.floating]
SIMILARITY_NAMES = ("spearman", "pearson")


def normalized(vectors: Vectors, dimension: int | None = None) -> Vectors:
    """The first components, as vectors of length 1; zeros stay zeros.

    Args:
        vectors: float [..., E].
        dimension: how many components; None for all.
    """
    kept = vectors[..., :dimension]
    lengths = np.linalg.norm(kept, axis=-1, keepdims=True)
    return kept / np.maximum(lengths, np.finfo(kept.dtype).tiny)


def similarity_scores(
    first: Vectors, second: Vectors, scores: NDArray[np.floating]
) -> dict[str, float]:
    """Correlations of the cosines of pairs with their scores.

    Args:
        first, second: float [N, E], of any length.
        scores: float [N], larger for texts that are more alike.

    Returns:
        {name: correlation} for `SIMILARITY_NAMES`; 0 with a constant.
    """
    cosines = np.sum(normalized(first) * normalized(second), axis=1)
    found = regression_scores(scores, cosines.astype(np.float64))
    return {name: found[name] for name in SIMILARITY_NAMES}
