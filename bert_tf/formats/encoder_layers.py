"""Takes layers out of an encoder; the others get new numbers.

keep_layers(weights, (0, 2, 4))    layer_0 → layer_0
                                   layer_2 → layer_1
                                   layer_4 → layer_2

The result is a start for training, and no finished model: each layer gets
other inputs than it was trained on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from bert_tf.errors import UserError

Value = TypeVar("Value")
_LAYER = re.compile(r"(bert/encoder/layer_)(\d+)(/.*)")


def num_layers(names: Iterable[str]) -> int:
    """The number of layers of the encoder that variables belong to.

    Args:
        names: the variables' names, as the original has them.
    """
    found = (_LAYER.fullmatch(name) for name in names)
    return max((1 + int(match[2]) for match in found if match), default=0)


def check_layers(layers: Sequence[int], number: int) -> None:
    """Checks which layers are to stay.

    Args:
        layers: their numbers, from 0.
        number: how many layers the encoder has.

    Raises:
        UserError: the encoder does not have one of them, or they are not in
            rising order.
    """
    why = ""
    if not layers:
        why = "at least one layer must stay"
    elif unknown := [n for n in layers if not 0 <= n < number]:
        why = (
            f"there is no layer {unknown[0]}: the encoder has {number}, from "
            f"0 to {number - 1}"
        )
    elif any(a >= b for a, b in zip(layers, layers[1:], strict=False)):
        why = "each layer can be named once, in rising order"
    if why:
        shown = ",".join(map(str, layers))
        raise UserError(why, setting="keep_layers", value=shown)


def keep_layers(
    weights: Mapping[str, Value], layers: Sequence[int]
) -> dict[str, Value]:
    """The variables without those of other layers, under their new names.

    Args:
        weights: {name in the original: value}, of an encoder and any head.
        layers: numbers of the layers that stay, from 0.

    Raises:
        UserError: see `check_layers`.
    """
    check_layers(layers, num_layers(weights))
    places = {number: place for place, number in enumerate(layers)}
    kept = {}
    for name, value in weights.items():
        if match := _LAYER.fullmatch(name):
            number = int(match[2])
            if number not in places:
                continue
            name = f"{match[1]}{places[number]}{match[3]}"
        kept[name] = value
    return kept
