"""The losses, in a form that stays right when a batch is split.

A loss is a sum of terms, and each term a fraction:

    loss = Σ_terms  numerator(outputs, batch) / denominator(batch)

Numerator and denominator are sums over examples, and the denominator depends
on the batch alone, never on the model. So a batch may be spread over several
replicas or micro-batches: each part is divided by the denominator of the whole
batch, and the gradients simply add up.

Shape letters: B batch size, S sequence length, C number of classes, P
predictions of a sequence, V vocabulary size.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import keras
from keras import ops

from bert_tf.backend import Tensor, at_least_float32

Batch: TypeAlias = dict[str, Tensor]
Outputs: TypeAlias = dict[str, Tensor] | Tensor  # What a head returns.


class LossTerm(NamedTuple):
    """One fraction of the loss.

    Attributes:
        name: its name among the metrics.
        numerator: function(outputs, batch) -> float scalar.
        denominator: function(batch) -> float scalar.
    """

    name: str
    numerator: Callable[[Outputs, Batch], Tensor]
    denominator: Callable[[Batch], Tensor]


def softmax_cross_entropy(
    logits: Tensor, label_ids: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """-Σ_c target_c log softmax(logits)_c, [B, C] and int [B] -> float32 [B].

    The target is 1 for the label and 0 for the others. Smoothing takes a part
    of it and spreads that evenly over all classes (Szegedy et al. 2015,
    https://arxiv.org/abs/1512.00567, section 7).

    It is computed in at least float32, whatever the precision of the logits.

    Args:
        logits: float [B, C].
        label_ids: int [B].
        label_smoothing: the part that is spread, 0 to 1.

    Returns:
        float [B].
    """
    logits = at_least_float32(logits)
    log_probs = ops.log_softmax(logits, axis=-1)
    num_classes = ops.shape(logits)[-1]  # A tensor for spans: S varies.
    target = ops.one_hot(label_ids, num_classes, dtype=log_probs.dtype)
    if label_smoothing:
        target = (
            target * (1.0 - label_smoothing) + label_smoothing / num_classes
        )
    return -ops.sum(target * log_probs, axis=-1)


def real_examples(batch: Batch) -> Tensor:
    """float [B]: 1 for examples, 0 for rows that only fill up the batch."""
    return ops.cast(batch["is_real_example"], keras.config.floatx())


def mean_loss(
    per_example_loss: Callable[[Outputs, Batch], Tensor],
    example_weights: Callable[[Batch], Tensor] = real_examples,
) -> tuple[LossTerm, ...]:
    """The mean over the examples of a batch, Σ w l / Σ w.

    Args:
        per_example_loss: function(outputs, batch) -> float [B, …].
        example_weights: function(batch) -> float of the same shape.

    Returns:
        One term, "loss".
    """

    def numerator(outputs, batch):
        loss = per_example_loss(outputs, batch)
        return ops.sum(loss * ops.cast(example_weights(batch), loss.dtype))

    def denominator(batch):
        return ops.sum(example_weights(batch))

    return (LossTerm("loss", numerator, denominator),)


def classifier_loss(
    class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0
) -> tuple[LossTerm, ...]:
    """The mean cross entropy over the examples of a batch.

    Args:
        class_weights: a weight for each class, or None. With weights the mean
            is a weighted one: each example counts with its label's weight.
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


def tagging_loss(label_smoothing: float = 0.0) -> tuple[LossTerm, ...]:
    """The mean cross entropy over the words of a batch, at their first piece.

    `label_mask`, int [B, S], is 1 at these and 0 elsewhere.
    """
    return mean_loss(
        lambda logits, batch: softmax_cross_entropy(
            logits, batch["label_ids"], label_smoothing
        ),
        lambda batch: ops.cast(batch["label_mask"], keras.config.floatx()),
    )


def multi_label_loss() -> tuple[LossTerm, ...]:
    """Cross entropy of each label by itself, its mean over labels and examples.

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


def regression_loss() -> tuple[LossTerm, ...]:
    """The mean squared error of float [B, 1] against `label_values`."""

    def per_example_loss(outputs, batch):
        outputs = at_least_float32(outputs)[:, 0]
        labels = ops.cast(batch["label_values"], outputs.dtype)
        return ops.square(outputs - labels)

    return mean_loss(per_example_loss)


def span_loss() -> tuple[LossTerm, ...]:
    """The mean cross entropy of an answer's start and end.

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


MASKED_LM_EPSILON = 1e-5  # The original adds it to the sum of the weights.


def masked_lm_cross_entropy(
    mlm_logits: Tensor, masked_lm_ids: Tensor
) -> Tensor:
    """-log softmax(logits)[id], [B, P, V] and int [B, P] -> float32 [B, P].

    It is `softmax_cross_entropy` without a second tensor of the logits' size,
    the largest tensor of pretraining.
    """
    return ops.sparse_categorical_crossentropy(
        masked_lm_ids, at_least_float32(mlm_logits), from_logits=True
    )


def pretraining_loss() -> tuple[LossTerm, ...]:
    """The sum of the losses of masked LM and next sentence prediction.

    masked_lm_loss = Σ w ce / (Σ w + 1e-5) over the predictions of the batch,
    where the weights w are 0 for the padding after them;
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


def pretraining_sums(outputs: Batch, batch: Batch) -> dict[str, Tensor]:
    """The sums over each example's predictions that evaluation adds up.

    With them the logits, [B, P, V], need not leave the device.

    Args:
        outputs: of a `BertPretrainer`.
        batch: the labels, as `pretraining_loss` takes them.

    Returns:
        {name: float [B]}; `metrics.pretraining_scores` reads them.
    """
    loss = masked_lm_cross_entropy(
        outputs["mlm_logits"], batch["masked_lm_ids"]
    )
    weights = ops.cast(batch["masked_lm_weights"], loss.dtype)

    def is_right(logits, labels):
        predicted = ops.cast(ops.argmax(logits, axis=-1), labels.dtype)
        return ops.cast(predicted == labels, loss.dtype)

    def weighted_sum(values):
        return ops.sum(weights * values, axis=-1)

    labels = batch["next_sentence_labels"]
    return {
        "masked_lm_loss": weighted_sum(loss),
        "masked_lm_accuracy": weighted_sum(
            is_right(outputs["mlm_logits"], batch["masked_lm_ids"])
        ),
        "masked_lm_weight": ops.sum(weights, axis=-1),
        "next_sentence_loss": softmax_cross_entropy(
            outputs["nsp_logits"], labels
        ),
        "next_sentence_accuracy": is_right(outputs["nsp_logits"], labels),
    }
