"""Losses that compare the vectors of a whole batch of texts with each other.

An example has T texts, and the model makes a vector of each. The other
examples of the batch take part in an example's loss, so such a loss is not a
sum over examples, and `losses.LossTerm` cannot hold it. It is a function

    loss(vectors, batch) -> scalar

of all vectors of the global batch, float [B, T, E], and of what else is known
of the examples:

    is_real_example   int [B], 0 for rows that only fill up the batch
    label_ids         int [B], only for labelled texts
    label_values      float [B], only for scored pairs, 0 to 1

Vectors need not have length 1: cosines are computed from any. Everything is
computed in at least float32.

Shape letters: B batch, T texts of an example, E size of a vector.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from keras import ops

from bert_tf.backend import Tensor, at_least_float32
from bert_tf.losses import Batch

VectorLoss: TypeAlias = Callable[[Tensor, Batch], Tensor]

# What a cosine is multiplied by: the reciprocal of the temperature 0.05 of
# SimCSE (Gao et al. 2021, https://arxiv.org/abs/2104.08821) and of CoSENT.
SCALE = 20.0
MARGIN = 0.5  # A difference of cosine distances, which are 0 to 2.
EXCLUDED = -1e9  # The logit of a candidate that does not count.
TINY = 1e-12


def normalized(vectors: Tensor) -> Tensor:
    """Vectors of length 1, float [..., E]; zeros stay zeros.

    The gradient of a vector of zeros is finite, too.
    """
    vectors = at_least_float32(vectors)
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, TINY))


def in_batch_negatives(
    scale: float = SCALE, *, symmetric: bool = False
) -> VectorLoss:
    """Each text must find its own partner among the partners of all others.

    Row i is an anchor a_i, its positive p_i and T - 2 hard negatives. The
    candidates are the positives and negatives of the whole batch:

        loss = mean_i -log softmax_c(scale cos(a_i, c))[p_i]

    Henderson et al. 2017 (https://arxiv.org/abs/1705.00652), section 4.4; van
    den Oord et al. 2018 (https://arxiv.org/abs/1807.03748), equation 4. With
    `label_ids`, other rows of the anchor's label are not candidates: they would
    be wrong negatives.

    Args:
        scale: multiplies the cosines; 1 / temperature.
        symmetric: also asks each positive for its anchor among all anchors,
            and takes the mean of both losses.
    """

    def loss(vectors: Tensor, batch: Batch) -> Tensor:
        vectors = normalized(vectors)
        anchors, positives = vectors[:, 0], vectors[:, 1]
        num_texts = vectors.shape[1]
        weights = ops.cast(batch["is_real_example"], vectors.dtype)
        allowed = _may_be_compared(batch, weights)
        # [B, (T - 1) B]: all positives, then all first negatives, and so on.
        logits = ops.concatenate(
            [
                _logits(anchors, vectors[:, place], scale, allowed)
                for place in range(1, num_texts)
            ],
            axis=-1,
        )
        total = _cross_entropy_of_diagonal(logits, weights)
        if not symmetric:
            return total
        backward = _logits(positives, anchors, scale, allowed)
        return (total + _cross_entropy_of_diagonal(backward, weights)) / 2.0

    return loss


def _may_be_compared(batch: Batch, weights: Tensor) -> Tensor:
    """bool [B, B]: whether the texts of row j are candidates for row i.

    A row's own texts always are.
    """
    number = ops.shape(weights)[0]
    places = ops.arange(number)
    is_own = places[:, None] == places[None, :]
    allowed = ops.broadcast_to(weights[None, :] > 0, (number, number))
    if "label_ids" in batch:
        labels = batch["label_ids"]
        allowed = ops.logical_and(allowed, labels[:, None] != labels[None, :])
    return ops.logical_or(allowed, is_own)


def _logits(anchors: Tensor, others: Tensor, scale: float, allowed: Tensor):
    """Scaled cosines, [B, E] and [B, E] -> [B, B]."""
    cosines = ops.matmul(anchors, ops.transpose(others))
    return ops.where(allowed, scale * cosines, EXCLUDED)


def _cross_entropy_of_diagonal(logits: Tensor, weights: Tensor) -> Tensor:
    """mean_i -log softmax(logits_i)[i] over the rows with a weight."""
    log_probs = ops.log_softmax(logits, axis=-1)
    per_row = -ops.diagonal(log_probs[:, : ops.shape(weights)[0]])
    return _mean(per_row, weights)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of the rows that have a weight; 0 if none has."""
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


def cosent(scale: float = SCALE) -> VectorLoss:
    """A pair with the higher score must have the higher cosine.

        loss = log(1 + Σ_{i, j: y_i > y_j} exp(scale (cos_j - cos_i)))

    Su 2022, CoSENT (https://kexue.fm/archives/8847). Only the order of the
    scores matters. Rows are scored pairs: T is 2.

    Args:
        scale: multiplies the cosines.
    """

    def loss(vectors: Tensor, batch: Batch) -> Tensor:
        cosines = _cosines_of_pairs(vectors)
        scores = batch["label_values"]
        is_real = batch["is_real_example"] > 0
        counts = ops.logical_and(
            scores[:, None] > scores[None, :],
            ops.logical_and(is_real[:, None], is_real[None, :]),
        )
        differences = scale * (cosines[None, :] - cosines[:, None])
        terms = ops.where(counts, differences, EXCLUDED)
        # The 1 is the exponential of this 0.
        terms = ops.concatenate(
            [ops.zeros_like(terms[0, :1]), ops.ravel(terms)]
        )
        return ops.logsumexp(terms)

    return loss


def _cosines_of_pairs(vectors: Tensor) -> Tensor:
    """The cosine of the first two texts of each row, [B, T, E] -> [B]."""
    vectors = normalized(vectors)
    return ops.sum(vectors[:, 0] * vectors[:, 1], axis=-1)


def cosine_regression() -> VectorLoss:
    """The mean squared error of the cosine of a pair against its score.

    loss = mean_i (cos_i - y_i)²

    Reimers and Gurevych 2019 (https://arxiv.org/abs/1908.10084), section 3.
    """

    def loss(vectors: Tensor, batch: Batch) -> Tensor:
        cosines = _cosines_of_pairs(vectors)
        scores = ops.cast(batch["label_values"], cosines.dtype)
        weights = ops.cast(batch["is_real_example"], cosines.dtype)
        return _mean(ops.square(cosines - scores), weights)

    return loss


def triplet(margin: float = MARGIN) -> VectorLoss:
    """An anchor must be closer to its positive than to each negative.

        loss = mean over i and k of max(0, d(a_i, p_i) - d(a_i, n_ik) + margin)

    with d = 1 - cos. Schroff et al. 2015 (https://arxiv.org/abs/1503.03832),
    equation 1, with the cosine's distance.

    Args:
        margin: by how much closer.
    """

    def loss(vectors: Tensor, batch: Batch) -> Tensor:
        vectors = normalized(vectors)
        cosines = ops.sum(vectors[:, :1] * vectors[:, 1:], axis=-1)
        losses = ops.relu(cosines[:, 1:] - cosines[:, :1] + margin)
        weights = ops.cast(batch["is_real_example"], losses.dtype)
        return _mean(ops.mean(losses, axis=-1), weights)

    return loss


def matryoshka(
    loss: VectorLoss,
    sizes: Sequence[int],
    weights: Sequence[float] | None = None,
) -> VectorLoss:
    """A loss for the first components of the vectors, too.

        Σ_k w_k loss(vectors[..., :size_k])

    So the first components alone are good vectors. Kusupati et al. 2022
    (https://arxiv.org/abs/2205.13147), equation 1.

    Args:
        loss: the loss for each size.
        sizes: numbers of components.
        weights: a weight for each; by default 1.
    """
    factors = [1.0] * len(sizes) if weights is None else list(weights)

    def total(vectors: Tensor, batch: Batch) -> Tensor:
        parts = [
            factor * loss(vectors[..., :size], batch)
            for size, factor in zip(sizes, factors, strict=True)
        ]
        return sum(parts[1:], parts[0])

    return total
