"""The Open Inference Protocol, version 2: models as it describes and asks them.

    metadata   what a server and its models are, as values for JSON
    read_call  input tensors -> rows for a Batcher, and a function that turns
               their results into output tensors

Nothing here knows how a request travels: HTTP and gRPC share it. See
https://github.com/kserve/open-inference-protocol.

The inputs of a text model are those of its signature `serving_default`, each
a tensor of BYTES with the shape [n] or [n, 1]; `endings` has [n, endings], ""
after the last one. Tensors that are named as the inputs of another signature
are read by that one: `input_ids`, `input_mask` and `segment_ids`, or
`examples`. The parameter `signature_name` chooses one by its name.

The outputs are the columns of TensorFlow Serving's API, with n rows. What has
no regular shape is JSON: `entities` of tags and `label_set` are tensors of
BYTES [n], and each element is a list in JSON.
"""

import base64
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import bert_tf
from bert_tf.export.confidence import LABEL_SET
from bert_tf.export.kinds import KINDS, LENGTHS
from bert_tf.export.predictor import Predictor
from bert_tf.serving import json_bodies, rest, signatures
from bert_tf.serving.batching import Columns, KeyedPayload
from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.limits import Limits, check_count
from bert_tf.serving.models import ServedModel, Version
from bert_tf.serving.tensors import BYTES, Tensor, datatype_of, text_of
from bert_tf.serving.texts import TEXTS

SERVER = "bert_tf"
PLATFORM = "tensorflow_savedmodel"
BINARY_DATA = "binary_tensor_data"  # Triton's name of its extension.
SIGNATURE = "signature_name"
# Parts of answers that are lists, and are not columns of their own.
NESTED = ("entities", LABEL_SET)
# What other servers do for these parameters would be missed in silence.
REFUSED_PARAMETERS = ("sequence_id", "shared_memory_region", "classification")


def server_metadata() -> dict[str, Any]:
    """Describes the server."""
    return {
        "name": SERVER,
        "version": bert_tf.__version__,
        "extensions": [BINARY_DATA],
    }


def model_metadata(model: ServedModel, version: Version) -> dict[str, Any]:
    """Describes a version of a model, with what `TEXTS` takes and returns.

    Args:
        model: the model, whose versions that answer are listed.
        version: the version that is described.
    """
    predictor = version.predictor
    specs = signatures.inputs_of(predictor, TEXTS)
    return {
        "name": model.name,
        "versions": [str(number) for number in model.available()],
        "platform": PLATFORM,
        "inputs": [_described(n, specs[n]) for n in _ordered(predictor, specs)],
        "outputs": _outputs(predictor, TEXTS),
    }


def _described(name, spec):
    shape = [-1 if size is None else size for size in spec.shape.as_list()]
    datatype = datatype_of(spec.dtype.as_numpy_dtype)
    return {"name": name, "datatype": datatype, "shape": shape}


def _ordered(predictor, names):
    """The names of inputs, in the order of the model's own."""
    order = [name for name in predictor.input_names if name in names]
    return [*order, *sorted({*names} - {*order})]


def _outputs(predictor, signature):
    """Describes the outputs of a signature."""
    outputs = predictor.signatures[signature].structured_outputs
    found = [_described(name, outputs[name]) for name in sorted(outputs)]
    for name in _nested(predictor, outputs):
        found.append({"name": name, "datatype": BYTES, "shape": [-1]})
    return found


def _nested(predictor, names):
    """The names of outputs in JSON, where there are columns of these names."""
    has_tags = KINDS[predictor.kind].answers("tags", "starts", "ends")
    is_there = {
        "entities": has_tags and "tags" in names,
        LABEL_SET: "in_set" in names,
    }
    return [name for name in NESTED if is_there[name]]


@dataclasses.dataclass
class TensorCall:
    """A request that was read.

    Attributes:
        rows: the row of each text, as a Batcher takes them.
        answer: function({output name: array [n, …]}) that returns the output
            tensors; `results.stack` makes its argument of a Batcher's results.
    """

    rows: list[KeyedPayload]
    answer: Callable[[Columns], list[Tensor]]


def read_call(
    predictor: Predictor,
    tensors: Sequence[Tensor],
    outputs: Sequence[str],
    parameters: Mapping[str, object],
    limits: Limits,
) -> TensorCall:
    """Reads the tensors of a request.

    Args:
        predictor: the model.
        tensors: the inputs.
        outputs: the names of the outputs that are wanted; none for all.
        parameters: those of the request. `signature_name` and `with_lengths`
            have a meaning; the others are those of other servers.
        limits: the limits of requests.

    Raises:
        Refusal: the request is wrong.
    """
    check_parameters(parameters)
    inputs = {tensor.name: tensor for tensor in tensors}
    if len(inputs) < len(tensors):
        raise Refusal(400, "an input is given twice")
    signature = _signature_of(predictor, inputs, parameters)
    body = {k: v for k, v in parameters.items() if k == rest.WITH_LENGTHS}
    with_lengths = rest.wants_lengths(predictor, body, signature)
    _check_outputs(predictor, signature, outputs, with_lengths)
    items = _items(predictor, signature, inputs, limits)
    return TensorCall(
        rest.to_rows(predictor, signature, items, limits, with_lengths),
        lambda columns: _tensors(predictor, columns, outputs),
    )


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Refuses parameters that are not scalars, or ask for what is not done.

    Args:
        parameters: those of a request, of an input or of an output.

    Raises:
        Refusal: a parameter is wrong.
    """
    for name, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            raise Refusal(
                400,
                f"parameter {shown(name)} must be a string, a number, true or "
                "false",
            )
        if name in REFUSED_PARAMETERS and value not in (0, ""):
            raise Refusal(400, f"parameter {name}: this server does not do it")


def _signature_of(predictor, inputs, parameters):
    """The signature that a request names, or that has its inputs' names."""
    given = predictor.signatures
    name = parameters.get(SIGNATURE, "")
    if name:
        if name not in given:
            names = ", ".join(sorted(given))
            raise Refusal(400, f"{SIGNATURE} {shown(name)}: there are {names}")
        taken = signatures.inputs_of(predictor, name)
        found = [name] if {*taken} == {*inputs} else []
    else:
        order = sorted(given, key=lambda name: (name != TEXTS, name))
        found = [
            name
            for name in order
            if {*signatures.inputs_of(predictor, name)} == {*inputs}
        ]
        taken = signatures.inputs_of(predictor, TEXTS)
    if not found:
        names = ", ".join(shown(name) for name in [*inputs][:3]) or "none"
        more = " …" if len(inputs) > 3 else ""
        wanted = ", ".join(_ordered(predictor, taken))
        raise Refusal(400, f"inputs must be {wanted}, not {names}{more}")
    return found[0]


def _check_outputs(predictor, signature, outputs, with_lengths):
    known = [each["name"] for each in _outputs(predictor, signature)]
    known += LENGTHS if with_lengths else ()
    for place, name in enumerate(outputs):
        if name not in known:
            names = ", ".join(known)
            raise Refusal(400, f"no output {shown(name)}; there are {names}")
        if name in outputs[:place]:
            raise Refusal(400, f"output {name} is asked for twice")


def _items(predictor, signature, inputs, limits):
    """The items of a request: {input name: value} for each row."""
    specs = signatures.inputs_of(predictor, signature)
    counts = {tensor.array.shape[0] for tensor in inputs.values()}
    if len(counts) > 1:
        raise Refusal(400, "the inputs have different numbers of rows")
    check_count(counts.pop(), limits)
    arrays = {
        name: _checked(tensor, specs[name]) for name, tensor in inputs.items()
    }
    is_text = signatures.is_default(predictor, signature)
    columns = [_column(name, array, is_text) for name, array in arrays.items()]
    return [
        dict(zip(arrays, row, strict=True))
        for row in zip(*columns, strict=True)
    ]


def _checked(tensor: Tensor, spec: Any) -> np.ndarray:
    """The array of an input, which has the type and axes of its spec."""
    expected = datatype_of(spec.dtype.as_numpy_dtype)
    are_numbers = expected != BYTES and tensor.array.dtype.kind in "iu"
    if tensor.datatype != expected and not are_numbers:
        raise Refusal(
            400, f"{tensor.name}: must be {expected}, not {tensor.datatype}"
        )
    array, axes = tensor.array, len(spec.shape)
    if array.ndim == axes + 1 and array.shape[-1] == 1:
        array = array[..., 0]  # Models in other servers often have [n, 1].
    sizes = zip(array.shape[1:], spec.shape[1:], strict=False)
    if array.ndim != axes or any(
        size not in (None, given) for given, size in sizes
    ):
        shape = [-1 if size is None else size for size in spec.shape]
        raise Refusal(
            400,
            f"{tensor.name}: shape {tensor.shape} does not fit {shape}",
        )
    return array


def _column(name: str, array: np.ndarray, is_text: bool) -> list[Any]:
    """The values of an input as items have them, a row after the other."""
    rows = array.tolist()
    if array.dtype != object:
        return rows
    if not is_text:
        return [_as_base64(value) for value in rows]
    column: list[Any] = []
    for place, row in enumerate(rows):
        try:
            if isinstance(row, list):
                column.append(_without_padding([text_of(v) for v in row]))
            else:
                column.append(text_of(row))
        except ValueError as error:
            raise Refusal(400, f"item {place}: {name} {error}") from None
    return column


def _as_base64(value):
    encoded = (
        value.encode("utf-8", "replace") if isinstance(value, str) else value
    )
    return {"b64": base64.b64encode(encoded).decode("ascii")}


def _without_padding(values: list[str]) -> list[str]:
    while values and not values[-1]:
        values.pop()
    return values


def _tensors(predictor, columns, wanted) -> list[Tensor]:
    """The outputs that are wanted, of all columns if none is named."""
    columns = dict(columns)
    nested = [
        name
        for name in _nested(predictor, columns)
        if not wanted or name in wanted
    ]
    if nested:
        answers = {n: c for n, c in columns.items() if n not in LENGTHS}
        rows = KINDS[predictor.kind].format(answers)
        for name in nested:
            lists = [json_bodies.write(row[name]) for row in rows]
            columns[name] = np.array(lists, object)
    return [Tensor(name, _known(columns[name])) for name in wanted or columns]


def _known(array: np.ndarray) -> np.ndarray:
    """An array of a type that the protocol has."""
    if datatype_of(array.dtype) == "FP32":
        return array.astype(np.float32, copy=False)
    return array
