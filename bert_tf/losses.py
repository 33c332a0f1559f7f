"""What training minimizes, in the form that stays right when a batch is split.

A loss is a sum of terms, and each term a fraction:

    loss = Σ_terms  numerator(outputs, batch) / denominator(batch)

Both parts are sums over examples, and the denominator depends on the batch
alone, never on the model. So the parts of a batch that sits on several
replicas, or comes in several micro-batches, can each be divided by the
denominator of the whole batch, and their gradients simply add.

Shape letters: B batch size, C number of classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops


class LossTerm(NamedTuple):
    """One fraction of the loss.

    Attributes:
        name: how metrics call it.
        numerator: function(outputs, batch) -> float scalar.
        denominator: function(batch) -> float scalar.
    """

    name: str
    numerator: Callable[[Any, dict], Any]
    denominator: Callable[[dict], Any]


def softmax_cross_entropy(logits, label_ids):
    """-log softmax(logits)[label], float [B, C] and int [B] -> float32 [B].

    Computed in at least float32, whatever the precision of the logits.
    """
    if ops.dtype(logits) in ("float16", "bfloat16"):
        logits = ops.cast(logits, "float32")
    log_probs = ops.log_softmax(logits, axis=-1)
    one_hot = ops.one_hot(label_ids, logits.shape[-1], dtype=log_probs.dtype)
    return -ops.sum(one_hot * log_probs, axis=-1)


def _example_weights(batch, dtype="float32"):
    """1 for an example and 0 for one that only fills up the batch."""
    return ops.cast(batch["is_real_example"], dtype)


def _classifier_numerator(logits, batch):
    per_example_loss = softmax_cross_entropy(logits, batch["label_ids"])
    weights = _example_weights(batch, per_example_loss.dtype)
    return ops.sum(per_example_loss * weights)


def _num_real_examples(batch):
    return ops.sum(_example_weights(batch))


# The mean cross entropy over the examples of a batch.
CLASSIFIER_LOSS = (LossTerm("loss", _classifier_numerator, _num_real_examples),)
