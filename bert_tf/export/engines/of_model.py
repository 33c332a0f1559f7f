"""The network of a Keras model in memory, with an engine of one's choice."""

import os
import tempfile

import keras
import tensorflow as tf

from bert_tf.errors import UserError
from bert_tf.export import lite
from bert_tf.export.engines import tuned
from bert_tf.export.engines.graph_network import GraphNetwork, cast_once
from bert_tf.export.engines.lite_network import LiteNetwork
from bert_tf.export.engines.sequences import (
    Network,
    OutputShapes,
    check_sizes,
)
from bert_tf.export.int8_words import words_in_int8
from bert_tf.modeling import computed_in, reading_one_sequence
from bert_tf.text.packing import ID_NAMES

ENGINES = ("float32", "bfloat16", "int8")


def network_of_model(
    model: keras.Model,
    output: str,
    *,
    engine: str,
    max_batch_tokens: int,
    max_rows: int | None = None,
    num_threads: int | None = None,
) -> Network:
    """Returns the network of a model that computes one tensor.

    Args:
        model: a model whose output depends on no padding, such as a
            `BertEmbedder`.
        output: the name of its output.
        engine: one of `ENGINES`.
        max_batch_tokens, max_rows: see `GraphNetwork`.
        num_threads: see `LiteNetwork`; None for as many as there are cores.

    Raises:
        UserError: there is no such engine, or a number is not one from 1.
    """
    check_sizes(
        num_threads=num_threads,
        max_batch_tokens=max_batch_tokens,
        batch_size=max_rows,
    )
    if engine not in ENGINES:
        raise UserError(
            f"must be one of {', '.join(ENGINES)}",
            setting="engine",
            value=engine,
        )
    specs = [
        tf.TensorSpec([None, None], tf.int32, name=name) for name in ID_NAMES
    ]

    def compute(*ids):
        inputs = dict(zip(ID_NAMES, ids, strict=True))
        policy = "float32" if engine != "bfloat16" else "mixed_bfloat16"
        with computed_in(model, policy):
            vectors = model(inputs, training=False)
        return {output: tf.cast(vectors, tf.float32)}

    # One graph for batches of any shape. TensorFlow leaves out what the output
    # does not need, such as the layers above those taken.
    function = tf.function(compute, input_signature=specs, autograph=False)
    concrete = function.get_concrete_function()
    outputs = concrete.structured_outputs
    shapes = {name: tuple(x.shape.as_list()) for name, x in outputs.items()}
    if engine == "int8":
        return _int8(model, output, shapes, num_threads or tuned.num_cores())
    return GraphNetwork(
        cast_once(concrete) if engine == "bfloat16" else function,
        shapes,
        max_batch_tokens=max_batch_tokens,
        max_rows=max_rows,
    )


def _int8(
    model: keras.Model, output: str, shapes: OutputShapes, num_threads: int
) -> LiteNetwork:
    def compute(input_ids, segment_ids):
        inputs = {"input_ids": input_ids, "segment_ids": segment_ids}
        with reading_one_sequence(model), words_in_int8(model):
            return {output: model(inputs, training=False)}

    specs = [
        tf.TensorSpec([1, None], tf.int32, name=name)
        for name in ("input_ids", "segment_ids")
    ]
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "network_int8.tflite")
    function = tf.function(compute, input_signature=specs, autograph=False)
    lite.write_network(function, path, quantize=True)
    return LiteNetwork(
        path,
        shapes,
        num_threads=num_threads,
        shares_cores=True,
        folder=folder,
    )
