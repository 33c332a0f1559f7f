"""Scores of searches and of cosines, against plain loops and scipy."""

import math

import numpy as np
import pytest
import scipy.stats

from bert_tf.metrics import retrieval, similarity

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_first_k_are_exact_in_blocks(k):
    queries, corpus = RNG.normal(size=(5, 8)), RNG.normal(size=(50, 8))
    corpus[30] = corpus[4]  # Equal ones are in the order of the corpus.
    places, products = retrieval.top_k(
        queries, corpus, k, query_block=2, corpus_block=9
    )
    expected = np.argsort(-(queries @ corpus.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(
        products, np.take_along_axis(queries @ corpus.T, expected, 1)
    )


@pytest.mark.parametrize("k", [1, 2, 3, 5, 20])
def test_of_equal_ones_the_first_are_found(k):
    """Whole numbers have exact products, many of which are equal."""
    queries = RNG.integers(-1, 2, (40, 3)).astype("float32")
    corpus = RNG.integers(-1, 2, (60, 3)).astype("float32")
    for block in (7, 60):
        places, products = retrieval.top_k(
            queries, corpus, k, query_block=16, corpus_block=block
        )
        every = queries @ corpus.T
        expected = np.argsort(-every, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(places, expected)
        assert (products == np.take_along_axis(every, expected, 1)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_small_blocks_find_what_a_whole_sort_finds(dtype):
    """Every k up to the corpus and beyond, and all sizes of blocks."""
    queries = RNG.integers(-2, 3, (7, 4)).astype(dtype)
    corpus = RNG.integers(-2, 3, (13, 4)).astype(dtype)
    every = queries @ corpus.T  # Whole numbers: exact in each type.
    order = np.argsort(-every, axis=1, kind="stable")
    for k in (1, 12, 13, 99):
        for block in (1, 5, 13, 50):
            places, products = retrieval.top_k(
                queries, corpus, k, query_block=3, corpus_block=block
            )
            np.testing.assert_array_equal(places, order[:, :k])
            assert (
                products == np.take_along_axis(every, order[:, :k], 1)
            ).all()


def test_edges_of_a_search():
    places, products = retrieval.top_k(np.zeros([0, 3]), np.ones([4, 3]), 2)
    assert places.shape == products.shape == (0, 2)
    for k in (0, -1):
        with pytest.raises(ValueError, match=f"Received: k={k}"):
            retrieval.top_k(np.ones([1, 3]), np.ones([4, 3]), k)


def plain_scores(places, relevant):
    """The definitions, query by query."""
    found = {name: [] for name in retrieval.RETRIEVAL_NAMES}
    for row, right in zip(places, relevant, strict=True):
        for k in (1, 10, 100):
            hits = [place for place in row[:k] if place in right]
            found[f"recall@{k}"].append(len(hits) / len(right))
        ranks = [r for r, place in enumerate(row[:10], 1) if place in right]
        found["mrr@10"].append(1 / ranks[0] if ranks else 0)
        gain = sum(
            right.get(place, 0) / math.log2(r + 1)
            for r, place in enumerate(row[:10], 1)
        )
        best = sorted(right.values(), reverse=True)[:10]
        ideal = sum(g / math.log2(r + 1) for r, g in enumerate(best, 1))
        found["ndcg@10"].append(gain / ideal)
    return {name: sum(v) / len(v) for name, v in found.items()}


@pytest.mark.parametrize("size", [150, 8])
def test_scores_are_their_definitions(size):
    places = np.stack([RNG.permutation(size)[:100] for _ in range(20)])
    relevant = [
        {
            int(place): float(RNG.integers(1, 4))
            for place in RNG.choice(size, RNG.integers(1, 8), replace=False)
        }
        for _ in places
    ]
    found = retrieval.retrieval_scores(places, relevant)
    assert found == pytest.approx(plain_scores(places.tolist(), relevant))


def test_correlations_are_scipys():
    first, second = RNG.normal(size=(2, 40, 6)).astype("float32")
    second[:20] += first[:20]
    scores = np.repeat([3.0, 1.0], 20)
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(first, second, strict=True)
    ]
    found = similarity.similarity_scores(first, second, scores)
    assert found == pytest.approx(
        {
            "pearson": scipy.stats.pearsonr(cosines, scores).statistic,
            "spearman": scipy.stats.spearmanr(cosines, scores).statistic,
        },
        abs=1e-6,
    )
    assert not similarity.normalized(np.zeros((1, 4))).any()
