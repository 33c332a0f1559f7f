"""The int8 network of an export, and what it costs in accuracy."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from absl import logging

from bert_tf.errors import UserError
from bert_tf.export import lite, saved_models
from bert_tf.export.agreement import agreement, least_agreement
from bert_tf.export.calibration import read_items
from bert_tf.export.predictor import Predictor
from bert_tf.export.serving_base import ServingModule

MOST_ITEMS = 5000  # Items that are compared.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Int8Settings:
    """How an int8 network is measured.

    Attributes:
        items: texts, as `Predictor` takes them, that float32 and int8 both
            answer.
        calibration_file: a file of texts, instead of these. Without both the
            network is not measured.
        allow_loss: whether less than `least_agreement` is accepted.
    """

    items: Sequence[Any] = ()
    calibration_file: str | None = None
    allow_loss: bool = False


def check_form(module: ServingModule, precision: str) -> None:
    """Raises UserError if a module cannot have an int8 network."""
    if precision != "float32":
        raise UserError(
            "is for an export in float32",
            setting="export_int8",
            value=True,
        )
    if not module.has_parts:
        raise UserError(
            "is not for inputs of fixed sizes",
            setting="export_int8",
            value=True,
        )


def add_int8(
    folder: str, module: ServingModule, settings: Int8Settings
) -> dict[str, Any]:
    """Writes the int8 network into the folder of an export, and measures it.

    Args:
        folder: a folder with the SavedModel and its network of float32.
        module: what it was written from.
        settings: how it is measured.

    Returns:
        What model.json says of it.

    Raises:
        UserError: too many answers differ.
    """
    path = os.path.join(folder, saved_models.INT8_NETWORK)
    lite.write_network(module.lite_network(int8=True), path, quantize=True)
    predictor = Predictor(folder)
    items, source = settings.items, "dev set"
    if settings.calibration_file:
        items = read_items(settings.calibration_file, predictor, MOST_ITEMS)
        source = os.path.basename(settings.calibration_file)
    items = items[:MOST_ITEMS]
    if not items:
        logging.warning(
            "The int8 network was not measured: there are no texts to compare "
            "its answers on. Evaluate in the same run, or give texts as "
            "`calibration_file`"
        )
        return {"num_items": 0}
    expected = predictor.predict(items)
    found = Predictor(folder, engine="int8").predict(items)
    share = agreement(module.kind, expected, found)
    logging.info(
        "  int8 agrees with float32 to %.2f %% on %d items (%s)",
        100 * share,
        len(items),
        source,
    )
    least = least_agreement(module.kind)
    if share < least and not settings.allow_loss:
        raise UserError(
            f"its answers agree with those of float32 to {share:.1%} on "
            f"{len(items)} items ({source}); less than {least:.0%} is accepted "
            "only with `allow_loss`",
            setting="export_int8",
            value=True,
        )
    return {
        "num_items": len(items),
        "measured_on": source,
        "agreement": round(share, 6),
    }
