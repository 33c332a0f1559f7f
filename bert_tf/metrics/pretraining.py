"""The scores of masked LM and next sentence prediction."""

import collections
import math

import numpy as np

PRETRAINING_NAMES = (
    *("loss", "masked_lm_loss", "masked_lm_accuracy", "masked_lm_perplexity"),
    *("next_sentence_loss", "next_sentence_accuracy"),
)


def pretraining_scores(batches, masked_lm_epsilon: float) -> dict:
    """The original's figures, and the perplexity, e^masked_lm_loss.

    Those of masked LM are means over all predictions, those of next sentence
    prediction over all examples; `loss` is the mean of the batches' losses.

    Args:
        batches: iterable of {name: float [B]}, of `losses.pretraining_sums`,
            without examples that only fill up.
        masked_lm_epsilon: what a batch's loss adds to its weights.
    """
    totals, losses, num_examples = collections.Counter(), [], 0
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
        # A number, whatever the loss is.
        "masked_lm_perplexity": math.exp(min(scores["masked_lm_loss"], 700.0)),
    }
