"""The last part of answers: what the network computed becomes outputs.

A function of the SavedModel does it. For one label of several, the most common
kind, NumPy does the same: TensorFlow needs half a millisecond for each call,
which is long beside the network of a small model.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.errors import UserError
from bert_tf.export.confidence import NOT_FITTED, Confidence
from bert_tf.export.engines.sequences import Numbers
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.saved_models import (
    DESCRIPTION,
    NOT_FINISHED,
    SCALED_SOFTMAX,
    SOFTMAX,
)

Columns = dict[str, np.ndarray]  # {output: array [B, …]}
# From what the part `read` of an answer gave, and the network's numbers.
Finish = Callable[[Mapping[str, Any], Numbers], Columns]


def finish_of(model: LoadedModel) -> Finish:
    """Returns what computes a model's outputs from the network's numbers."""
    labels: Any = model.info.get("labels")
    if model.info.get("finish") == SOFTMAX and _fit(labels, model):
        return softmax_finish(labels)
    if model.info.get("finish") == SCALED_SOFTMAX and _fit(labels, model):
        return softmax_finish(labels, _confidence_of(model))
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


def _confidence_of(model: LoadedModel) -> Confidence:
    try:
        return Confidence.from_record(model.info)
    except UserError as error:
        path = os.path.join(model.folder, DESCRIPTION)
        raise UserError(f"{path}: {error}") from None


def _fit(labels: Any, model: LoadedModel) -> bool:
    """Whether labels of model.json, which may be edited, fit the network."""
    return (
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        and len(labels) == model.shapes["logits"][-1]
    )


def softmax_finish(
    labels: list[str], confidence: Confidence = NOT_FITTED
) -> Finish:
    """The same as `serving_outputs.label`, in NumPy.

    Args:
        labels: the names of the logits' columns.
        confidence: how sure the answers are.
    """
    # NumPy would round a float to the type of an array.
    least = np.array(confidence.set_threshold, np.float64)
    names = np.array([label.encode() for label in labels], object)

    def finish(read: Mapping[str, Any], numbers: Numbers) -> Columns:
        logits = confidence.scaled(numbers["logits"])
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)
        outputs = {
            "label": names[probabilities.argmax(axis=-1)],
            "score": probabilities.max(axis=-1),
            "probabilities": probabilities,
            "labels": np.broadcast_to(names, probabilities.shape),
        }
        if confidence.set_threshold is not None:
            outputs["in_set"] = probabilities >= least
        return outputs

    return finish
