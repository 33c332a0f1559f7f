"""The requests that TensorFlow Serving answers itself before others' come.

The first answers of a model are slow, seconds instead of milliseconds: its
parts are made ready when they are first used. A server that finds requests in
the SavedModel answers them while it loads the model. They are a TFRecord file,
https://www.tensorflow.org/tfx/serving/saved_model_warmup, of these messages of
tensorflow_serving/apis, here without that package:

    PredictionLog   {6: PredictLog}
    PredictLog      {1: PredictRequest}
    PredictRequest  {1: ModelSpec, 2: entry, repeated}
    ModelSpec       {3: name of the signature}
    entry           {1: name of the input, 2: TensorProto}
"""

import os

import tensorflow as tf
import tensorflow_text  # noqa: F401  Its ops are in SavedModels that read text.

from bert_tf import files
from bert_tf.data.example_proto import record, varint

PATH = os.path.join("assets.extra", "tf_serving_warmup_requests")
MOST_REQUESTS = 1000  # With more a server does not load the model.


def write_warmup(folder: str, requests: dict, model=None):
    """Writes a SavedModel's warm-up file, whole or not at all.

        write_warmup(
            "/tmp/sst2/export",
            {"serving_default": [{"text": ["good"]}, {"text": ["a", "b"]}]},
        )

    Each request is tried: a server does not load a model that fails on one.

    Args:
        folder: of the SavedModel.
        requests: {name of a signature: list of {name of an input: array or
            list}}. Few will do, one for each shape that is served often.
        model: the SavedModel, where it is loaded already.

    Raises:
        ValueError: there are too many requests, or the model has no such
            signature, or that one has other inputs, or of other shapes.
    """
    number = sum(map(len, requests.values()))
    if number > MOST_REQUESTS:
        raise ValueError(
            f"There must be at most {MOST_REQUESTS} requests. "
            f"Received: {number}"
        )
    if model is None:
        with files.naming(folder):
            model = tf.saved_model.load(folder)
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


def _tensors(signature, inputs) -> dict:
    """The inputs of a request, of the signature's types and shapes."""
    _, specs = signature.structured_input_signature
    if set(inputs) != set(specs):
        raise ValueError(
            f"The signature's inputs are {', '.join(sorted(specs))}. "
            f"Received: {', '.join(sorted(inputs))}"
        )
    tensors = {
        # The signature has them in any order.
        name: tf.convert_to_tensor(inputs[name], spec.dtype)
        for name, spec in sorted(specs.items())
    }
    for name, tensor in tensors.items():
        # The signature itself takes other shapes, a server does not.
        if not specs[name].shape.is_compatible_with(tensor.shape):
            raise ValueError(
                f"{name} must have the shape {specs[name].shape}. "
                f"Received: {tensor.shape}"
            )
    return tensors


def _prediction_log(signature_name, tensors) -> bytes:
    """A serialized PredictionLog."""
    model_spec = _field(3, signature_name.encode())
    request = _field(1, model_spec)
    for name, tensor in tensors.items():
        value = tf.make_tensor_proto(tensor).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, value))
    return _field(6, _field(1, request))


def _field(number, content: bytes) -> bytes:
    """A field's number, that a length follows (2), the length, the content."""
    return varint(number << 3 | 2) + varint(len(content)) + content
