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


def at_least_float32(x):
    """What is of half precision in float32: losses need the digits."""
    is_half = ops.dtype(x) in ("float16", "bfloat16")
    return ops.cast(x, "float32") if is_half else x


def softmax_cross_entropy(logits, label_ids, label_smoothing: float = 0.0):
    """-Σ_c target_c log softmax(logits)_c, [B, C] and int [B] -> float32 [B].

    The target is 1 for the label and 0 for the others; smoothing takes a part
    of it and deals that to all classes alike (Szegedy et al. 2015,
    https://arxiv.org/abs/1512.00567, section 7).

    Computed in at least float32, whatever the precision of the logits.
    """
    logits = at_least_float32(logits)
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


def mean_loss(per_example_loss, example_weights=real_examples) -> tuple:
    """The mean over the examples of a batch, Σ w l / Σ w.

    Args:
        per_example_loss: function(outputs, batch) -> float [B, …].
        example_weights: function(batch) -> float of the same shape.
    """

    def numerator(outputs, batch):
        loss = per_example_loss(outputs, batch)
        return ops.sum(loss * ops.cast(example_weights(batch), loss.dtype))

    def denominator(batch):
        return ops.sum(example_weights(batch))

    return (LossTerm("loss", numerator, denominator),)


def classifier_loss(class_weights=None, label_smoothing: float = 0.0) -> tuple:
    """The mean cross entropy over the examples of a batch.

    Args:
        class_weights: a weight for each class, or None. The mean is then a
            weighted one, each example with its label's weight.
        label_smoothing: see `softmax_cross_entropy`.
    """

    def example_weights(batch):
        weights = real_examples(batch)
        if class_weights is None:
            return weights
        by_class = ops.convert_to_tensor(class_weights, weights.dtype)
        return weights * ops.take(by_class, batch["label_ids"])

    return mean_loss(
        lambda logits, batch: softmax_cross_entropy(
            logits, batch["label_ids"], label_smoothing
        ),
        example_weights,
    )


CLASSIFIER_LOSS = classifier_loss()


def tagging_loss(label_smoothing: float = 0.0) -> tuple:
    """The mean cross entropy over the words of a batch, at their first piece.

    `label_mask`, int [B, S], tells where these are.
    """
    return mean_loss(
        lambda logits, batch: softmax_cross_entropy(
            logits, batch["label_ids"], label_smoothing
        ),
        lambda batch: ops.cast(batch["label_mask"], keras.config.floatx()),
    )


def multi_label_loss() -> tuple:
    """Cross entropy of each label by itself: the mean over labels, examples.

    loss = -(t log σ(x) + (1 - t) log(1 - σ(x))), t = 1 for labels that hold.
    """

    def per_example_loss(logits, batch):
        logits = at_least_float32(logits)
        return ops.mean(
            ops.binary_crossentropy(
                ops.cast(batch["label_ids"], logits.dtype),
                logits,
                from_logits=True,
            ),
            axis=-1,
        )

    return mean_loss(per_example_loss)


def regression_loss() -> tuple:
    """The mean of the squared errors: float [B, 1] against `label_values`."""

    def per_example_loss(outputs, batch):
        outputs = at_least_float32(outputs)[:, 0]
        labels = ops.cast(batch["label_values"], outputs.dtype)
        return ops.square(outputs - labels)

    return mean_loss(per_example_loss)


def span_loss() -> tuple:
    """Mean cross entropy of an answer's start and of its end.

    loss = mean over examples of (ce(start) + ce(end)) / 2
    """

    def per_example_loss(outputs, batch):
        start_loss = softmax_cross_entropy(
            outputs["start_logits"], batch["start_positions"]
        )
        end_loss = softmax_cross_entropy(
            outputs["end_logits"], batch["end_positions"]
        )
        return (start_loss + end_loss) / 2.0

    return mean_loss(per_example_loss)


# The original adds it to the sum of the weights.
MASKED_LM_EPSILON = 1e-5


def masked_lm_cross_entropy(mlm_logits, masked_lm_ids):
    """-log softmax(logits)[id], [B, P, V] and int [B, P] -> float32 [B, P].

    `softmax_cross_entropy` without a second tensor of the logits' size, which
    is the largest there is in pretraining.
    """
    return ops.sparse_categorical_crossentropy(
        masked_lm_ids, at_least_float32(mlm_logits), from_logits=True
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

    (next_sentence,) = mean_loss(
        lambda outputs, batch: softmax_cross_entropy(
            outputs["nsp_logits"], batch["next_sentence_labels"]
        )
    )
    return (
        LossTerm("masked_lm_loss", masked_lm_numerator, masked_lm_denominator),
        next_sentence._replace(name="next_sentence_loss"),
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
