"""Makes models with the weights that `pretrained.open` found.

    model = make_model(BertClassifier, pretrained.open("some/folder"))

A head is read if the stored one answers the same kind of question and has as
many outputs; otherwise the new model's head starts from random numbers, which
is logged.
"""

import inspect
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import keras
from absl import logging

from bert_tf.checkpoints import ENCODER_SCOPE, load_weights, weights_of
from bert_tf.errors import UserError
from bert_tf.formats.model import StoredModel
from bert_tf.formats.weights import Weights
from bert_tf.pretrained import vector_settings

Model = TypeVar("Model", bound=keras.Model)

OUTPUT = "output_bias"  # The variable that says how many outputs a head has.
HIDDEN = "hidden/bias"  # The same of a head's additional layer.


def make_model(
    model_class: type[Model],
    stored: StoredModel,
    settings: dict[str, Any],
    *,
    is_whole: bool = False,
) -> Model:
    """Makes a model of a class, and loads its weights.

    Args:
        model_class: a class of `modeling`, `heads` or `pooling`.
        stored: the model that was opened.
        settings: arguments of the class besides the config. Those of the
            stored head are used where they are left out.
        is_whole: whether a variable that is missing is an error.

    Raises:
        UserError: the weights lack a part that is needed, or the number of
            labels is.
    """
    weights = stored.weights()
    kind = stored.kind_with(weights)
    is_same = kind is None or kind in getattr(model_class, "kinds", ())
    settings = {
        **_settings_of(model_class, stored, weights, is_same),
        **settings,
    }
    names = inspect.signature(model_class).parameters
    if "num_labels" in names and is_whole and OUTPUT not in weights.shapes:
        raise UserError(
            f"{weights.prefix}: {OUTPUT} is missing: the head is not trained"
        )
    if "num_labels" in names and "num_labels" not in settings:
        has = "" if kind is None else f"a head of the kind {kind}, and "
        raise UserError(
            f"must be given: {stored.path} has {has}no head for "
            f"{model_class.__name__}",
            setting="num_labels",
        )
    model = model_class(stored.config, **settings)
    not_read = _not_read(model, weights, is_same)
    _load(model, stored.path, weights, not_read, is_whole)
    if not_read:
        why = (
            f"{not_read[0]} has shape {list(weights.shapes[not_read[0]])}"
            if is_same
            else f"the stored one is of the kind {kind}"
        )
        logging.warning(
            "%s: the encoder is loaded, and the head is new: %s",
            stored.path,
            why,
        )
    if kind in getattr(model, "kinds", ()) and not not_read:
        # What saves or exports it must know.
        model.kind = kind
        model.task = MappingProxyType(stored.task_of(kind))
    return model


def _load(
    model: keras.Model,
    path: str,
    weights: Weights,
    not_read: list[str],
    is_whole: bool,
) -> None:
    """Loads weights, and logs what one side has and the other has not."""
    report = load_weights(model, weights, not_read)
    if report.missing and is_whole:
        raise UserError(
            f"{weights.prefix}: {', '.join(report.missing)} is missing"
        )
    if report.missing:
        logging.warning(
            "%s: not there, so they are random now: %s",
            path,
            ", ".join(report.missing),
        )
    _log_unused(path, report.unexpected, getattr(weights, "unused", ()))


def _log_unused(
    path: str, unexpected: Sequence[str], unknown: Sequence[str]
) -> None:
    """Logs what is not read: that of another head is as usual."""
    strange = [
        *(name for name in unexpected if name.startswith(ENCODER_SCOPE)),
        *unknown,
    ]
    usual = [name for name in unexpected if name not in strange]
    if strange:
        logging.warning("%s: not used: %s", path, ", ".join(strange))
    if usual:
        logging.info("%s: not used: %s", path, ", ".join(usual))


def _settings_of(
    model_class: type[keras.Model],
    stored: StoredModel,
    weights: Weights,
    is_same: bool,
) -> dict[str, Any]:
    """The arguments that make the head that was stored."""
    found: dict[str, Any] = {}
    if is_same and OUTPUT in weights.shapes:
        found["num_labels"] = weights.shapes[OUTPUT][0]
    if is_same and HIDDEN in weights.shapes:
        found["hidden_units"] = weights.shapes[HIDDEN][0]
    if stored.dropout_rate is not None:
        found["dropout_rate"] = stored.dropout_rate
    found |= vector_settings(stored)
    names = inspect.signature(model_class).parameters
    return {name: value for name, value in found.items() if name in names}


def _not_read(model: keras.Model, weights: Weights, is_same: bool) -> list[str]:
    """Variables of a head that the weights have, and that are not this one."""
    shapes = {
        v.path: tuple(v.shape)
        for v in weights_of(model)
        if not v.path.startswith(ENCODER_SCOPE) and v.path in weights.shapes
    }
    at_root = [name for name in shapes if "/" not in name]
    misfits = [n for n, shape in shapes.items() if weights.shapes[n] != shape]
    if misfits or (at_root and not is_same):
        return [*misfits, *(name for name in shapes if name not in misfits)]
    return []
