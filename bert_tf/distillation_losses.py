"""What a student learns from a teacher, in terms as those of `losses`.

    loss = (1 - w) labels_loss + w teacher_loss + layers_loss

A teacher is another model of the same task. It reads the same batch, and what
it says is in the batch, as if it were a label:

    teacher_logits                               of labels, numbers, endings
    teacher_start_logits, teacher_end_logits     of questions, float [B, S]
    teacher_layer_0, teacher_layer_1, …          hidden states, float [A, S, D]
    is_labelled                                  int [B], 0 for texts without a
                                                 label; absent if all have one

Texts without a label count in teacher_loss and layers_loss alone.

Shape letters: B batch size, S sequence length, A sequences of the batch, D
hidden size, C number of classes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from bert_tf.backend import Tensor, at_least_float32
from bert_tf.losses import Batch, LossTerm, Outputs, mean_loss

LOGITS, LAYER = "teacher_logits", "teacher_layer_"
IS_LABELLED = "is_labelled"
SPANS = ("start_logits", "end_logits")

# One fraction or several, as `losses` has them.
LossTerms = tuple[LossTerm, ...]


class Distilled(NamedTuple):
    """What a student says, where its hidden states are compared as well.

    Attributes:
        answers: the outputs of its head.
        layers: hidden states, float [A, S, D] each.
    """

    answers: Outputs
    layers: tuple[Tensor, ...]


# ---------------------------------------------------------------------------
# Formulas.


def softmax_divergence(
    teacher_logits: Tensor, logits: Tensor, temperature: float
) -> Tensor:
    """How far a student is from the soft targets of one of C classes.

        p = softmax(teacher_logits / T)    q = softmax(logits / T)
        T² Σ_c p_c (log p_c - log q_c)

    Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2: the cross
    entropy with the soft targets p, times T², by which its gradient is about
    as large at every temperature. The entropy of p, which no student changes,
    is subtracted: where both agree it is 0. The gradient is the same.

    It is computed in at least float32, whatever the precision of the logits.

    Args:
        teacher_logits, logits: float [..., C].
        temperature: T, more than 0.

    Returns:
        float [...].
    """
    soft, own = (
        ops.log_softmax(at_least_float32(x) / temperature, axis=-1)
        for x in (teacher_logits, logits)
    )
    soft = ops.cast(soft, own.dtype)
    return temperature**2 * ops.sum(ops.exp(soft) * (soft - own), axis=-1)


def sigmoid_divergence(
    teacher_logits: Tensor, logits: Tensor, temperature: float
) -> Tensor:
    """The same for C labels of which each holds or not, their mean.

        p = σ(teacher_logits / T)    q = σ(logits / T)
        T² / C Σ_c p_c log(p_c / q_c) + (1 - p_c) log((1 - p_c) / (1 - q_c))

    Args, returns: see `softmax_divergence`.
    """
    soft, own = (
        at_least_float32(x) / temperature for x in (teacher_logits, logits)
    )
    soft = ops.cast(soft, own.dtype)
    # log σ(x) = x - softplus(x), and log(1 - σ(x)) = -softplus(x).
    each = ops.softplus(own) - ops.softplus(soft)
    each += ops.sigmoid(soft) * (soft - own)
    return temperature**2 * ops.mean(each, axis=-1)


# ---------------------------------------------------------------------------
# teacher_loss of each kind of answer. All take the temperature, so that they
# are called alike.


def softmax_loss(temperature: float) -> LossTerms:
    """For one of C labels, and for one of several endings."""
    return mean_loss(
        lambda logits, batch: softmax_divergence(
            batch[LOGITS], logits, temperature
        )
    )


def tags_loss(temperature: float) -> LossTerms:
    """For a tag of each word, at its first piece; see `losses.tagging_loss`."""
    return mean_loss(
        lambda logits, batch: softmax_divergence(
            batch[LOGITS], logits, temperature
        ),
        lambda batch: ops.cast(batch["label_mask"], keras.config.floatx()),
    )


def sigmoid_loss(temperature: float) -> LossTerms:
    """For several labels of each text."""
    return mean_loss(
        lambda logits, batch: sigmoid_divergence(
            batch[LOGITS], logits, temperature
        )
    )


def number_loss(temperature: float) -> LossTerms:
    """The squared error against the teacher's number, which has no softer form.

    `teacher_logits`, float [B, 1], is in the unit of the student's output.
    """

    def per_example_loss(outputs, batch):
        outputs = at_least_float32(outputs)[:, 0]
        wanted = ops.cast(batch[LOGITS], outputs.dtype)[:, 0]
        return ops.square(outputs - wanted)

    return mean_loss(per_example_loss)


def span_loss(temperature: float) -> LossTerms:
    """For the start and the end of an answer, their mean.

    As in `losses.span_loss`, all places of a sequence compete.
    """

    def per_example_loss(outputs, batch):
        start, end = (
            softmax_divergence(
                batch[f"teacher_{name}"], outputs[name], temperature
            )
            for name in SPANS
        )
        return (start + end) / 2.0

    return mean_loss(per_example_loss)


# ---------------------------------------------------------------------------
# layers_loss, and the sum of all.


def layers_loss(num_pairs: int) -> LossTerm:
    """The mean squared error of hidden states over the tokens of a batch.

        Σ_pairs mean over tokens and D of (teacher's state - student's)²

    Jiao et al. 2019, https://arxiv.org/abs/1909.10351, equation 8, with states
    of the same width. Padding does not count.

    Args:
        num_pairs: how many layers of both are compared.
    """

    def numerator(outputs, batch):
        total = 0.0
        for place in range(num_pairs):
            own = at_least_float32(outputs.layers[place])
            wanted = ops.cast(batch[f"{LAYER}{place}"], own.dtype)
            error = ops.mean(ops.square(own - wanted), axis=-1)  # [A, S]
            mask = ops.reshape(batch["input_mask"], ops.shape(error))
            total += ops.sum(error * ops.cast(mask, error.dtype))
        return total

    def denominator(batch):
        return ops.cast(ops.sum(batch["input_mask"]), keras.config.floatx())

    return LossTerm("layers_loss", numerator, denominator)


def distilled(
    labels: Sequence[LossTerm],
    teacher: Sequence[LossTerm],
    weight: float,
    num_pairs: int = 0,
) -> LossTerms:
    """The terms of a student's loss, see above; they add up to the loss.

    Args:
        labels: what is minimized without a teacher.
        teacher: what one of the functions above returns.
        weight: w, the share of the teacher's term, 0 to 1.
        num_pairs: how many layers are compared; if any are, the student's
            outputs are `Distilled`.

    Returns:
        "labels_loss", "teacher_loss", "layers_loss"; those whose share is 0
        are left out.
    """
    terms = []
    if weight < 1.0:
        terms += [
            _scaled(_of_labelled(term), 1.0 - weight, f"labels_{term.name}")
            for term in labels
        ]
    if weight > 0.0:
        terms += [
            _scaled(term, weight, f"teacher_{term.name}") for term in teacher
        ]
    if num_pairs:
        terms = [_of_answers(term) for term in terms]
        terms.append(layers_loss(num_pairs))
    return tuple(terms)


def _scaled(term: LossTerm, factor: float, name: str) -> LossTerm:
    return LossTerm(
        name,
        lambda outputs, batch: factor * term.numerator(outputs, batch),
        term.denominator,
    )


def _of_labelled(term: LossTerm) -> LossTerm:
    """A term in which rows without a label do not count."""

    def labelled(batch: Batch) -> Batch:
        if IS_LABELLED not in batch:
            return batch
        is_real = batch["is_real_example"]
        is_labelled = ops.cast(batch[IS_LABELLED], is_real.dtype)
        return {**batch, "is_real_example": is_real * is_labelled}

    return LossTerm(
        term.name,
        lambda outputs, batch: term.numerator(outputs, labelled(batch)),
        lambda batch: term.denominator(labelled(batch)),
    )


def _of_answers(term: LossTerm) -> LossTerm:
    """A term for outputs that are `Distilled`."""

    def numerator(outputs: Any, batch: Batch) -> Tensor:
        return term.numerator(outputs.answers, batch)

    return term._replace(numerator=numerator)
