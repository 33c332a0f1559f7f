"""What training minimizes, in the form that stays right when a batch is split.

A loss is a sum of terms, and each term a fraction:

    loss = Σ_terms  numerator(outputs, batch) / denominator(batch)

Both parts are sums over examples, and the denominator depends on the batch
alone, never on the model. So the parts of a batch that sits on several
replicas, or comes in several micro-batches, can each be divided by the
denominator of the whole batch, and their gradients simply add.

Shape letters: B batch size, C number of classes, P predictions of a sequence,
V vocabulary size.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
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


def softmax_cross_entropy(logits, label_ids, label_smoothing: float = 0.0):
    """-Σ_c target_c log softmax(logits)_c, [B, C] and int [B] -> float32 [B].

    The target is 1 for the label and 0 for the others; smoothing takes a part
    of it and deals that to all classes alike (Szegedy et al. 2015,
    https://arxiv.org/abs/1512.00567, section 7).

    Computed in at least float32, whatever the precision of the logits.
    """
    if ops.dtype(logits) in ("float16", "bfloat16"):
        logits = ops.cast(logits, "float32")
    log_probs = ops.log_softmax(logits, axis=-1)
    num_classes = ops.shape(logits)[-1]  # Of spans it is known when run.
    target = ops.one_hot(label_ids, num_classes, dtype=log_probs.dtype)
    if label_smoothing:
        target = (
            target * (1.0 - label_smoothing) + label_smoothing / num_classes
        )
    return -ops.sum(target * log_probs, axis=-1)


def real_examples(batch):
    """float [B]: 1, and 0 for what only fills up the batch."""
    return ops.cast(batch["is_real_example"], keras.config.floatx())


def classifier_loss(class_weights=None, label_smoothing: float = 0.0) -> tuple:
    """The mean cross entropy over the examples of a batch.

    Args:
        class_weights: a weight for each class, or None. The mean is then a
            weighted one, Σ w l / Σ w, each example with its label's weight.
        label_smoothing: see `softmax_cross_entropy`.
    """

    def example_weights(batch):
        weights = real_examples(batch)
        if class_weights is None:
            return weights
        by_class = ops.convert_to_tensor(class_weights, weights.dtype)
        return weights * ops.take(by_class, batch["label_ids"])

    def numerator(logits, batch):
        per_example_loss = softmax_cross_entropy(
            logits, batch["label_ids"], label_smoothing
        )
        weights = ops.cast(example_weights(batch), per_example_loss.dtype)
        return ops.sum(per_example_loss * weights)

    def denominator(batch):
        return ops.sum(example_weights(batch))

    return (LossTerm("loss", numerator, denominator),)


CLASSIFIER_LOSS = classifier_loss()


def span_loss() -> tuple:
    """Mean cross entropy of an answer's start and of its end.

    loss = mean over examples of (ce(start) + ce(end)) / 2
    """

    def numerator(outputs, batch):
        start_loss = softmax_cross_entropy(
            outputs["start_logits"], batch["start_positions"]
        )
        end_loss = softmax_cross_entropy(
            outputs["end_logits"], batch["end_positions"]
        )
        loss = (start_loss + end_loss) / 2.0
        return ops.sum(loss * ops.cast(real_examples(batch), loss.dtype))

    def denominator(batch):
        return ops.sum(real_examples(batch))

    return (LossTerm("loss", numerator, denominator),)


# The original adds it to the sum of the weights.
MASKED_LM_EPSILON = 1e-5


def masked_lm_cross_entropy(mlm_logits, masked_lm_ids):
    """-log softmax(logits)[id], [B, P, V] and int [B, P] -> float32 [B, P].

    `softmax_cross_entropy` without a second tensor of the logits' size, which
    is the largest there is in pretraining.
    """
    if ops.dtype(mlm_logits) in ("float16", "bfloat16"):
        mlm_logits = ops.cast(mlm_logits, "float32")
    return ops.sparse_categorical_crossentropy(
        masked_lm_ids, mlm_logits, from_logits=True
    )


def pretraining_loss() -> tuple:
    """Masked LM and next sentence prediction, added up.

    masked_lm_loss = Σ w ce / (Σ w + 1e-5) over the predictions of the batch,
    where the weights w are 0 for the padding behind them;
    next_sentence_loss = mean over examples of ce.
    """

    def masked_lm_numerator(outputs, batch):
        loss = masked_lm_cross_entropy(
            outputs["mlm_logits"], batch["masked_lm_ids"]
        )
        weights = ops.cast(batch["masked_lm_weights"], loss.dtype)
        return ops.sum(weights * loss)

    def masked_lm_denominator(batch):
        return ops.sum(batch["masked_lm_weights"]) + MASKED_LM_EPSILON

    def next_sentence_numerator(outputs, batch):
        loss = softmax_cross_entropy(
            outputs["nsp_logits"], batch["next_sentence_labels"]
        )
        return ops.sum(loss * ops.cast(real_examples(batch), loss.dtype))

    def next_sentence_denominator(batch):
        return ops.sum(real_examples(batch))

    return (
        LossTerm("masked_lm_loss", masked_lm_numerator, masked_lm_denominator),
        LossTerm(
            "next_sentence_loss",
            next_sentence_numerator,
            next_sentence_denominator,
        ),
    )


def pretraining_sums(outputs, batch) -> dict:
    """What evaluation adds up, for each example: {name: float [B]}.

    So that the logits, [B, P, V], need not leave the device.
    """
    loss = masked_lm_cross_entropy(
        outputs["mlm_logits"], batch["masked_lm_ids"]
    )
    weights = ops.cast(batch["masked_lm_weights"], loss.dtype)

    def right(logits, labels):
        found = ops.cast(ops.argmax(logits, axis=-1), labels.dtype)
        return ops.cast(found == labels, loss.dtype)

    def of_predictions(values):
        return ops.sum(weights * values, axis=-1)

    labels = batch["next_sentence_labels"]
    return {
        "masked_lm_loss": of_predictions(loss),
        "masked_lm_accuracy": of_predictions(
            right(outputs["mlm_logits"], batch["masked_lm_ids"])
        ),
        "masked_lm_weight": ops.sum(weights, axis=-1),
        "next_sentence_loss": softmax_cross_entropy(
            outputs["nsp_logits"], labels
        ),
        "next_sentence_accuracy": right(outputs["nsp_logits"], labels),
    }
