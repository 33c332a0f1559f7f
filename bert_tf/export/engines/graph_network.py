"""GraphNetwork: TensorFlow computes the network, in batches of many tokens.

Dense layers compute the tokens of a batch alone, and attention its padding,
too: see `bert_tf.places`. So a batch is best when it has many tokens, and
sequences of about the same length.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from bert_tf.export.engines.sequences import (
    Network,
    Numbers,
    OutputShapes,
    Sequences,
    has_places,
)
from bert_tf.text.packing import ID_NAMES

BATCHES_AT_ONCE = 2
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
        # Not all operations of a batch use all cores: those of two batches
        # fill each other's gaps. That is a fifth more in bfloat16.
        self._pool = None
        if not tf.config.list_logical_devices("GPU"):
            self._pool = ThreadPoolExecutor(BATCHES_AT_ONCE)

    def run(self, sequences: Sequences) -> Numbers:
        numbers = sequences.empty_numbers(self.shapes)
        batches = list(
            sequences.batches(self._max_batch_tokens, self._max_rows)
        )

        def work(rows: np.ndarray) -> None:
            self._run_batch(sequences, rows, numbers)

        if self._pool is None or len(batches) == 1:
            for rows in batches:
                work(rows)
        else:
            for _ in self._pool.map(work, batches):
                pass
        return numbers

    def _run_batch(
        self, sequences: Sequences, rows: np.ndarray, numbers: Numbers
    ) -> None:
        """Computes the numbers of some rows into `numbers`."""
        length = int(sequences.lengths[rows[0]])
        ids = (
            tf.constant(sequences.ids[name][rows, :length]) for name in ID_NAMES
        )
        for name, value in self._function(*ids).items():
            value = value.numpy()
            if has_places(self.shapes[name]):
                numbers[name][rows, :length] = value
            else:
                numbers[name][rows] = value

    def warm_up(self, longest: int) -> None:
        self.run(Sequences.of_ones(1, longest))


def cast_once(function: Function) -> Function:
    """A function of a SavedModel that casts no weight when it is called.

    Layers that compute in bfloat16 cast their weights of float32 at each call.
    Here that is done once, before all calls: what was cast is an input of a
    copy of the graph.

    Args:
        function: a function of int32 [R, S] `input_ids`, `input_mask` and
            `segment_ids`, which reads variables.
    """
    (concrete,) = getattr(function, "concrete_functions", [function])
    graph = concrete.graph
    handle_of = {inside.name: outside for outside, inside in graph.captures}
    tensors: dict[str, tf.Tensor] = {}
    for read in graph.get_operations():
        if read.type != "ReadVariableOp":
            continue
        weights = tf.raw_ops.ReadVariableOp(
            resource=handle_of[read.inputs[0].name],
            dtype=read.outputs[0].dtype,
        )
        tensors[read.outputs[0].name] = weights
        for user in read.outputs[0].consumers():
            if user.type == "Cast":
                cast = user.outputs[0]
                tensors[cast.name] = tf.cast(weights, cast.dtype)
    outputs = sorted(concrete.structured_outputs)
    names = [tensor.name for tensor in concrete.outputs]
    inputs = [f"{name}:0" for name in ID_NAMES]
    graph_def, cut = _part_of(graph, names, {*tensors, *inputs})
    used = {name: tensors[name] for name in cut if name in tensors}

    def call(*ids):
        given = dict(zip(inputs, ids, strict=True))
        given = {name: x for name, x in given.items() if name in cut}
        # What was computed outside is not yet a tensor of this graph.
        weights = {name: tf.identity(x) for name, x in used.items()}
        found = tf.graph_util.import_graph_def(
            graph_def, {**given, **weights}, return_elements=names
        )
        return dict(zip(outputs, found, strict=True))

    spec = tf.TensorSpec([None, None], tf.int32)
    return tf.function(
        call, input_signature=[spec] * len(ID_NAMES), autograph=False
    )


def _part_of(graph, outputs, given):
    """The part of a graph between given tensors and its outputs.

    Args:
        graph: a tf.Graph.
        outputs: names of the outputs.
        given: names of tensors that need not be computed.

    Returns:
        (tf.compat.v1.GraphDef, the names of `given` that it needs).
    """
    needed, cut = set(), set()
    waiting = [graph.get_tensor_by_name(name) for name in outputs]
    while waiting:
        tensor = waiting.pop()
        if tensor.name in given:
            cut.add(tensor.name)
        elif tensor.op.name not in needed:
            needed.add(tensor.op.name)
            waiting += tensor.op.inputs
    part = tf.compat.v1.GraphDef()
    part.CopyFrom(graph.as_graph_def())
    kept = [node for node in part.node if node.name in needed]
    for node in kept:  # What must happen before is among the inputs.
        inputs = [name for name in node.input if not name.startswith("^")]
        node.input[:] = inputs
    del part.node[:]
    part.node.extend(kept)
    return part, cut
