"""POST /search: the texts of an index that are nearest to a query.

A model makes the vectors of the queries, in batches with all other requests. A
thread then compares them with the index, see `served_index`.
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bert_tf.export.predictor import Predictor
from bert_tf.export.search_index import SearchIndex
from bert_tf.serving import rest
from bert_tf.serving.batching import Columns, KeyedPayload
from bert_tf.serving.errors import Refusal
from bert_tf.serving.limits import MAX_HITS, Limits
from bert_tf.serving.schemas import MAX_K, K
from bert_tf.serving.texts import TEXTS

KEYS = {"query", "queries", "k", "model"}
# What the texts of one answer have at most, so that its memory is bounded.
MAX_HIT_BYTES = 16 << 20
# Reads the texts of answers and writes them as JSON, for which the event loop
# would have to wait.
ANSWERS = ThreadPoolExecutor(1, "found-texts")


@dataclasses.dataclass
class SearchCall:
    """A request that was read.

    Attributes:
        rows: the row of each query, as a Batcher takes them.
        k: how many texts are wanted for each.
    """

    rows: list[KeyedPayload]
    k: int


def search_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> SearchCall:
    """Reads {"queries": ["…"], "k": 10}, or one "query".

    Raises:
        Refusal: the request is wrong, or asks for too much.
    """
    rest.check_keys(body, KEYS)
    if ("query" in body) == ("queries" in body):
        raise Refusal(400, "one of query and queries must be given")
    if "query" in body:
        queries, names = [body["query"]], ["query"]
    else:
        queries = rest.list_of(body, "queries", limits)
        names = [f"queries[{place}]" for place in range(len(queries))]
    for name, query in zip(names, queries, strict=True):
        if not isinstance(query, str):
            raise Refusal(400, f"{name} must be a string")
        if not query.strip():  # What would be found has nothing to do with it.
            raise Refusal(400, f"{name} is empty: it must have a word")
    k = _k_of(body)
    if len(queries) * k > MAX_HITS:
        raise Refusal(
            413,
            f"{len(queries):,} queries with k={k:,}: a request may ask for "
            f"{MAX_HITS:,} texts in all",
        )
    rows = rest.to_rows(predictor, TEXTS, queries, limits, with_lengths=False)
    return SearchCall(rows, k)


def _k_of(body):
    k = body.get("k", K)
    # Not isinstance: true in JSON is True in Python, which is an int.
    if type(k) is not int or not 1 <= k <= MAX_K:
        raise Refusal(400, f"k must be a whole number from 1 to {MAX_K:,}")
    return k


@dataclasses.dataclass(frozen=True)
class Query:
    """A query as the thread that searches gets it.

    Attributes:
        vector: float [E].
        k: how many texts are wanted.
    """

    vector: NDArray[np.floating]
    k: int


def nearest(index: SearchIndex, queries: Sequence[Query]) -> Columns:
    """Searches the queries of a batch.

    Args:
        index: where.
        queries: what is searched.

    Returns:
        {"places", "scores"}: [B, K], where K is the largest k.

    Raises:
        ValueError: a vector is not finite.
    """
    vectors = np.stack([query.vector for query in queries])
    places, scores = index.nearest(vectors, max(query.k for query in queries))
    return {"places": places, "scores": scores}


def answer(
    index: SearchIndex, k: int, results: Sequence[Columns]
) -> dict[str, object]:
    """Reads the texts that were found; returns the answer's JSON value.

    Args:
        index: the index that was searched.
        k: how many texts are wanted for each query.
        results: what `nearest` found for each query, k or more.

    Raises:
        Refusal: the texts are too long for one answer.
    """
    places = np.stack([result["places"][:k] for result in results])
    size = index.num_bytes(places)
    if size > MAX_HIT_BYTES:
        raise Refusal(
            413,
            f"the texts that were found have {size:,} bytes: "
            f"{MAX_HIT_BYTES:,} are allowed; ask for fewer",
        )
    return {
        "results": [
            [hit.to_json() for hit in index.hits(found, result["scores"][:k])]
            for found, result in zip(places, results, strict=True)
        ]
    }
