"""Warm-up requests: TensorFlow Serving answers them while it loads a model.

The first answers of a model take seconds instead of milliseconds, because its
parts are made ready when they are first used. TensorFlow Serving answers the
requests that it finds in a SavedModel before it answers clients. They are a
TFRecord file, https://www.tensorflow.org/tfx/serving/saved_model_warmup, with
these messages of tensorflow_serving/apis, encoded here without that package:

    PredictionLog   {6: PredictLog}
    PredictLog      {1: PredictRequest}
    PredictRequest  {1: ModelSpec, 2: entry, repeated}
    ModelSpec       {3: name of the signature}
    entry           {1: name of the input, 2: TensorProto}
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  Its ops are in SavedModels that read text.

from bert_tf import files
from bert_tf.data.example_proto import record, varint
from bert_tf.export import saved_models

PATH = os.path.join("assets.extra", "tf_serving_warmup_requests")
MOST_REQUESTS = 1000  # A server does not load a model that has more.

Inputs = Mapping[str, Any]  # {input: array or list}


def write_warmup(
    folder: str,
    requests: Mapping[str, Sequence[Inputs]],
    model: Any = None,
) -> None:
    """Writes a SavedModel's warm-up file, whole or not at all.

        write_warmup(
            "/tmp/sst2/export",
            {"serving_default": [{"text": ["good"]}, {"text": ["a", "b"]}]},
        )

    Each request is tried, because a server does not load a model that fails on
    one of them.

    Args:
        folder: the folder of the SavedModel.
        requests: {name of a signature: list of {name of an input: array or
            list}}. A few are enough: one for each shape that is served often.
        model: the SavedModel, if it is loaded already.

    Raises:
        ValueError: there are too many requests; the model has no such
            signature; or the signature has other inputs or other shapes.
    """
    number = sum(map(len, requests.values()))
    if number > MOST_REQUESTS:
        raise ValueError(
            f"There must be at most {MOST_REQUESTS} requests. "
            f"Received: {number}"
        )
    if model is None:
        with files.naming(folder):
            model = saved_models.load_any(folder)
    records = []
    for name, several in requests.items():
        signature = _signature(model, name)
        for inputs in several:
            tensors = _tensors(signature, inputs)
            signature(**tensors)
            records.append(record(_prediction_log(name, tensors)))
    path = os.path.join(folder, PATH)
    files.make_folder_of(path)
    with files.replacing(path) as temporary:
        with files.open_binary(temporary, "wb") as writer:
            writer.write(b"".join(records))


def _signature(model, name):
    if name not in model.signatures:
        raise ValueError(
            f"The model's signatures are {', '.join(sorted(model.signatures))}."
            f" Received: {name}"
        )
    return model.signatures[name]


def _tensors(signature, inputs: Inputs) -> dict[str, tf.Tensor]:
    """Converts the inputs of a request to the signature's types."""
    _, specs = signature.structured_input_signature
    if set(inputs) != set(specs):
        raise ValueError(
            f"The signature's inputs are {', '.join(sorted(specs))}. "
            f"Received: {', '.join(sorted(inputs))}"
        )
    tensors = {
        # Sorted, because the signature has them in any order.
        name: tf.convert_to_tensor(inputs[name], spec.dtype)
        for name, spec in sorted(specs.items())
    }
    for name, tensor in tensors.items():
        # The signature itself takes other shapes; a server does not.
        if not specs[name].shape.is_compatible_with(tensor.shape):
            raise ValueError(
                f"{name} must have the shape {specs[name].shape}. "
                f"Received: {tensor.shape}"
            )
    return tensors


def _prediction_log(signature_name: str, tensors) -> bytes:
    """Serializes a PredictionLog."""
    model_spec = _field(3, signature_name.encode())
    request = _field(1, model_spec)
    for name, tensor in tensors.items():
        value = tf.make_tensor_proto(tensor).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, value))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """Encodes a field: its number with wire type 2, its length, its content."""
    return varint(number << 3 | 2) + varint(len(content)) + content
