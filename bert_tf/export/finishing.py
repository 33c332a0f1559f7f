"""The last part of answers: what the network computed becomes outputs.

A function of the SavedModel does it. For one label of several, the most common
kind, NumPy does the same: TensorFlow needs half a millisecond for each call,
which is long beside the network of a small model.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.export.engines.sequences import Numbers
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.saved_models import NOT_FINISHED, SOFTMAX

Columns = dict[str, np.ndarray]  # {output: array [B, …]}
# From what the part `read` of an answer gave, and the network's numbers.
Finish = Callable[[Mapping[str, Any], Numbers], Columns]


def finish_of(model: LoadedModel) -> Finish:
    """Returns what computes a model's outputs from the network's numbers."""
    labels: Any = model.info.get("labels")
    if model.info.get("finish") == SOFTMAX and _fit(labels, model):
        return softmax_finish(labels)
    (function,) = model.functions.finish.concrete_functions

    def finish(read: Mapping[str, Any], numbers: Numbers) -> Columns:
        kept = {n: x for n, x in read.items() if n not in NOT_FINISHED}
        parts = (
            {name: tf.convert_to_tensor(x) for name, x in part.items()}
            for part in (kept, numbers)
        )
        outputs = function(*parts)
        return {name: value.numpy() for name, value in outputs.items()}

    return finish


def _fit(labels: Any, model: LoadedModel) -> bool:
    """Whether labels of model.json, which may be edited, fit the network."""
    return (
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        and len(labels) == model.shapes["logits"][-1]
    )


def softmax_finish(labels: list[str]) -> Finish:
    """The same as `serving_outputs.label`, in NumPy.

    Args:
        labels: the names of the logits' columns.
    """
    names = np.array([label.encode() for label in labels], object)

    def finish(read: Mapping[str, Any], numbers: Numbers) -> Columns:
        logits = numbers["logits"]
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)
        return {
            "label": names[probabilities.argmax(axis=-1)],
            "score": probabilities.max(axis=-1),
            "probabilities": probabilities,
            "labels": np.broadcast_to(names, probabilities.shape),
        }

    return finish
