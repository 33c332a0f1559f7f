"""The scores of masked LM and next sentence prediction."""

import collections
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from bert_tf.choices import TEACHER_RELATIONS

NUM_TOKENS = "num_tokens"  # Beside the sums of relations.


def pretraining_scores(
    batches: Iterable[Mapping[str, npt.NDArray[np.floating]]],
    masked_lm_epsilon: float,
) -> dict[str, float]:
    """The original's figures, and the perplexity, e^masked_lm_loss.

    The scores of masked LM are means over all predictions, Σ w x / Σ w, those
    of next sentence prediction are means over all examples. `loss` is the mean
    of the batches' losses; see `losses.pretraining_loss`.

    Args:
        batches: {name: float [B]} of each batch, the results of
            `losses.pretraining_sums` without examples that only fill up.
        masked_lm_epsilon: the number that a batch's loss adds to Σ w.

    Returns:
        {name: score} for `choices.PRETRAINING_NAMES`.
    """
    totals: collections.Counter[str] = collections.Counter()
    losses, num_examples = [], 0
    for sums in batches:
        size = len(sums["next_sentence_loss"])
        added = {name: np.sum(x, dtype=np.float64) for name, x in sums.items()}
        losses.append(
            added["masked_lm_loss"]
            / (added["masked_lm_weight"] + masked_lm_epsilon)
            + added["next_sentence_loss"] / size
        )
        num_examples += size
        totals.update(added)
    weight = totals.pop("masked_lm_weight")
    scores = {
        name: float(total)
        / (weight or 1.0 if name.startswith("masked_lm") else num_examples)
        for name, total in totals.items()
    }
    return {
        **scores,
        "loss": float(np.mean(losses)),
        # e^700 is still a finite number.
        "masked_lm_perplexity": math.exp(min(scores["masked_lm_loss"], 700.0)),
    }


def distillation_scores(
    batches: Iterable[Mapping[str, npt.NDArray[np.floating]]],
    masked_lm_epsilon: float,
    masked_lm_weight: float,
) -> dict[str, float]:
    """The scores of a model that learns the relations of a teacher.

    The loss of a relation is its mean over all tokens. `loss` is what training
    minimizes: their sum and, with a weight, that of `pretraining_scores`.

    Args:
        batches: {name: float [B]} of each batch, the results of
            `attention_distillation.relation_sums`; with a weight also those of
            `losses.pretraining_sums`.
        masked_lm_epsilon: see `pretraining_scores`.
        masked_lm_weight: what its loss is multiplied by; 0 for none.

    Returns:
        {name: score}; with a weight also what `pretraining_scores` returns.
    """
    totals: collections.Counter[str] = collections.Counter()
    ours = (*TEACHER_RELATIONS.values(), NUM_TOKENS)

    def others():
        for sums in batches:
            for name in ours:
                if name in sums:
                    totals[name] += np.sum(sums[name], dtype=np.float64)
            yield {n: values for n, values in sums.items() if n not in ours}

    scores = {"loss": 0.0}
    if masked_lm_weight:
        scores = pretraining_scores(others(), masked_lm_epsilon)
    else:
        collections.deque(others(), maxlen=0)  # Reads all of them.
    number = totals.pop(NUM_TOKENS) or 1.0
    means = {name: float(total / number) for name, total in totals.items()}
    loss = masked_lm_weight * scores["loss"] + sum(means.values())
    return {**scores, **means, "loss": loss}
