"""How many floating-point operations a training step needs.

A product of matrices [m, k] x [k, n] needs 2 m k n: a multiplication and an
addition each. The backward pass needs two products for each of the forward
pass, so a weight that each token meets costs 6 operations per token: C = 6 N T
of Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1. Attention
has products without weights, which depend on the length of the sequence:
Narayanan et al. 2021, https://arxiv.org/abs/2104.04473, section 5.1. What is
not a product of matrices is not counted.

Only tokens are counted, not padding: it is the work that the batch needs,
whatever a program does.
"""

from collections.abc import Iterable

import numpy as np

from bert_tf.config import BertConfig
from bert_tf.tools.benchmarks.peers.worker_loop import Arrays


def encoder_flops(config: BertConfig, lengths: np.ndarray) -> int:
    """The operations of a training step in the layers of the encoder.

    For each layer, with D the hidden size, I the width of the feed-forward
    layer, and s the tokens of a sequence:

        6 (4 D^2 + 2 D I) s  +  12 D s^2

    the weights of query, key, value, output and of the two feed-forward
    layers; and the two products of attention, Q K^T and its product with V.

    Args:
        config: the encoder's sizes.
        lengths: int [B], the tokens of each sequence.
    """
    width, inner = config.hidden_size, config.intermediate_size
    lengths = np.asarray(lengths, np.int64)
    weights = 4 * width**2 + 2 * width * inner
    layer = 6 * weights * lengths + 12 * width * lengths**2
    return config.num_hidden_layers * int(layer.sum())


def head_flops(config: BertConfig, problem: str, batch: Arrays) -> int:
    """The operations of a training step in the pooler and the masked LM.

    6 D^2 for each pooled output, and 6 (D^2 + D V) for each masked token, with
    V the size of the vocabulary. Products with a handful of labels are left
    out.

    Args:
        config: the encoder's sizes.
        problem: "classification", "questions" or "pretraining".
        batch: the batch.
    """
    if problem == "questions":
        return 0
    width = config.hidden_size
    flops = 6 * width**2 * len(batch["input_ids"])
    if problem == "pretraining":
        num_masked = int(np.count_nonzero(batch["masked_lm_weights"]))
        flops += 6 * (width**2 + width * config.vocab_size) * num_masked
    return flops


def training_flops(
    config: BertConfig, problem: str, batches: Iterable[Arrays]
) -> int:
    """The operations of one training step on each of the batches."""
    return sum(
        encoder_flops(config, batch["input_mask"].sum(axis=1))
        + head_flops(config, problem, batch)
        for batch in batches
    )
