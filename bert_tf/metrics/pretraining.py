"""The scores of masked LM and next sentence prediction."""

import collections
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt


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
