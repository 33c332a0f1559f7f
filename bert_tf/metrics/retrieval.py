"""How well vectors find the right texts: recall, reciprocal rank, nDCG.

    recall@k   the share of a query's right texts among the first k
    mrr@k      1 / the rank of the first right text; 0 if none is among k
    ndcg@k     Σ_r rel_r / log2(r + 1) over the first k, divided by the same of
               the best order

Each is the mean over all queries. Manning et al. 2008, Introduction to
Information Retrieval, chapter 8; Järvelin and Kekäläinen 2002
(https://doi.org/10.1145/582415.582418), with the relevance itself as the gain.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RECALLS, MRR, NDCG = (1, 10, 100), 10, 10
RETRIEVAL_NAMES = (
    *(f"recall@{k}" for k in RECALLS),
    f"mrr@{MRR}",
    f"ndcg@{NDCG}",
)
QUERY_BLOCK, CORPUS_BLOCK = 256, 16_384

Vectors = NDArray[np.floating]


def top_k(
    queries: Vectors,
    corpus: Vectors,
    k: int,
    *,
    query_block: int = QUERY_BLOCK,
    corpus_block: int = CORPUS_BLOCK,
    digits: int | None = None,
) -> tuple[NDArray[np.int64], Vectors]:
    """The texts with the largest products, exactly, in bounded memory.

    Products of vectors of length 1 are their cosines.

    Args:
        queries: float [Q, E].
        corpus: float [N, E].
        k: how many, 1 or more; of a smaller corpus all.
        query_block, corpus_block: vectors that are compared at once.
        digits: to how many digits after the point products are rounded before
            they are compared. Without it two products of the same vectors may
            differ in the last bit, as their places in a block do.

    Returns:
        (places, products): int64 and float [Q, k], the largest first; of equal
        ones the first in the corpus.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more. Received: k={k}")
    k = min(k, len(corpus))
    found = [
        _top_of_block(
            queries[start : start + query_block],
            corpus,
            k,
            corpus_block,
            digits,
        )
        for start in range(0, len(queries), query_block)
    ]
    if not found:
        return np.zeros([0, k], np.int64), np.zeros([0, k], corpus.dtype)
    places, products = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(products)


def _top_of_block(queries, corpus, k, block, digits):
    best_places = np.zeros([len(queries), 0], np.int64)
    best = np.zeros([len(queries), 0], corpus.dtype)
    for start in range(0, len(corpus), block):
        products = queries @ corpus[start : start + block].T
        if digits is not None:
            np.round(products, digits, out=products)
        places = _places_of_largest(products, k)
        products = np.take_along_axis(products, places, axis=1)
        best_places = np.concatenate([best_places, start + places], axis=1)
        best = np.concatenate([best, products], axis=1)
        order = np.lexsort((best_places, -best), axis=1)[:, :k]
        best_places = np.take_along_axis(best_places, order, axis=1)
        best = np.take_along_axis(best, order, axis=1)
    return best_places, best


def _places_of_largest(products, k):
    """The k largest of each row, [Q, N] -> int64 [Q, k], in any order.

    Of those that equal the smallest of them, the first are taken.
    """
    number = products.shape[1]
    if number <= k:
        return np.broadcast_to(np.arange(number), products.shape)
    places = np.argpartition(products, number - k, axis=1)[:, number - k :]
    least = np.take_along_axis(products, places[:, :1], axis=1)
    # The partition takes any of those that equal the k-th.
    is_tied = np.count_nonzero(products >= least, axis=1) > k
    for row in np.flatnonzero(is_tied):
        above = np.flatnonzero(products[row] > least[row])
        equal = np.flatnonzero(products[row] == least[row])
        places[row] = np.concatenate([above, equal[: k - len(above)]])
    return places


def retrieval_scores(
    places: NDArray[np.int64], relevant: Sequence[Mapping[int, float]]
) -> dict[str, float]:
    """Recall, reciprocal rank and nDCG.

    Args:
        places: int [Q, K]: the texts that were found for each query, the best
            first; K is 100, or the whole corpus.
        relevant: of each query {place: how relevant, above 0}.

    Returns:
        {name: score} for `RETRIEVAL_NAMES`.
    """
    gains = np.zeros(places.shape)
    ideal = np.zeros([len(places), NDCG])
    numbers = np.array([len(of_query) for of_query in relevant])
    for row, of_query in enumerate(relevant):
        gains[row] = [of_query.get(int(place), 0.0) for place in places[row]]
        best = sorted(of_query.values(), reverse=True)[:NDCG]
        ideal[row, : len(best)] = best
    is_right = gains > 0
    scores = {
        f"recall@{k}": float(np.mean(is_right[:, :k].sum(1) / numbers))
        for k in RECALLS
    }
    first = is_right[:, :MRR]
    ranks = np.where(first.any(1), first.argmax(1) + 1, np.inf)
    scores[f"mrr@{MRR}"] = float(np.mean(1 / ranks))
    ratio = _discounted(gains[:, :NDCG]) / _discounted(ideal)
    scores[f"ndcg@{NDCG}"] = float(np.mean(ratio))
    return scores


def _discounted(gains):
    """Σ_r rel_r / log2(r + 1), [Q, K] -> [Q]."""
    return gains @ (1 / np.log2(np.arange(gains.shape[1]) + 2))
