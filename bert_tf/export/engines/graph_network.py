"""GraphNetwork: TensorFlow computes the network, in batches of many tokens.

Dense layers compute the tokens of a batch alone, and attention its padding,
too: see `bert_tf.places`. So a batch is best when it has many tokens, and
sequences of about the same length.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# It has no public name.
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from bert_tf.export.engines.sequences import (
    Network,
    Numbers,
    OutputShapes,
    Sequences,
)
from bert_tf.text.packing import ID_NAMES

Function = Callable[..., dict[str, tf.Tensor]]


class GraphNetwork(Network):
    """A function of a SavedModel.

    Args:
        function: from int32 [R, S] `input_ids`, `input_mask` and
            `segment_ids` to {name: float32 [R, …]}.
        shapes: see `Network`.
        max_batch_tokens: places of a batch, padding included.
        max_rows: sequences of a batch at most.
    """

    def __init__(
        self,
        function: Function,
        shapes: OutputShapes,
        *,
        max_batch_tokens: int,
        max_rows: int | None = None,
    ):
        super().__init__(shapes)
        self._function = function
        self._max_batch_tokens = max_batch_tokens
        self._max_rows = max_rows

    def run(self, sequences: Sequences) -> Numbers:
        numbers = sequences.empty_numbers(self.shapes)
        batches = sequences.batches(self._max_batch_tokens, self._max_rows)
        for rows in batches:
            length = int(sequences.lengths[rows[0]])
            ids = (
                tf.constant(sequences.ids[name][rows, :length])
                for name in ID_NAMES
            )
            for name, value in self._function(*ids).items():
                value = value.numpy()
                if len(self.shapes[name]) > 1 and self.shapes[name][1] is None:
                    numbers[name][rows, :length] = value
                else:
                    numbers[name][rows] = value
        return numbers

    def warm_up(self, longest: int) -> None:
        ids = dict.fromkeys(ID_NAMES, np.ones([1, longest], np.int32))
        self.run(Sequences(ids, np.array([longest])))


def frozen(function: Function) -> Function:
    """A function of a SavedModel whose variables are constants.

    TensorFlow's graph optimizer then casts the weights once, and not at each
    call.
    """
    (concrete,) = getattr(function, "concrete_functions", [function])
    constant = convert_variables_to_constants_v2(concrete)
    names = [*concrete.structured_outputs]
    places = [tensor.name.split(":")[0] for tensor in constant.inputs]

    def call(*ids: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = dict(zip(ID_NAMES, ids, strict=True))
        outputs = constant(*(by_name[place] for place in places))
        return dict(zip(names, outputs, strict=True))

    return call
