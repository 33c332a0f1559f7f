"""TensorFlow Serving's REST API: what its requests ask, what its answers say.

Each `…_call` reads a request's body; the Call that it returns holds the rows
for the model and makes the answer of their results.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from bert_tf.export.kinds import KINDS
from bert_tf.serving import signatures
from bert_tf.serving.limits import (
    Limits,
    Refusal,
    check_count,
    check_text,
    shown,
)

PREDICT = "tensorflow/serving/predict"


@dataclasses.dataclass
class Call:
    """A request that was read.

    Attributes:
        rows: (key, payload) of each, for a Batcher.
        answer: function({output name: array [B, …]}) that returns the
            answer's JSON value.
    """

    rows: list
    answer: Callable


def predict_call(predictor, body: dict, limits: Limits) -> Call:
    """Of {"instances": [row, …]} or {"inputs": {input name: column}}.

    Raises:
        Refusal: the request is not right.
    """
    known = {"signature_name", "instances", "inputs"}
    check_keys(body, known)
    signature = body.get("signature_name", "")
    if signature == "":
        signature = signatures.TEXTS
    if not isinstance(signature, str) or signature not in predictor.signatures:
        names = ", ".join(sorted(predictor.signatures))
        raise Refusal(
            400, f"signature_name {shown(signature)}: there are {names}"
        )
    if ("instances" in body) == ("inputs" in body):
        raise Refusal(400, "one of instances and inputs must be given")
    if "instances" in body:
        items = list_of(body, "instances", limits)
        return Call(
            to_rows(predictor, signature, items, limits),
            lambda columns: {"predictions": _by_row(columns)},
        )
    items = _rows_of_columns(predictor, signature, body["inputs"], limits)
    return Call(
        to_rows(predictor, signature, items, limits),
        lambda columns: {"outputs": _by_column(columns)},
    )


def classify_call(predictor, body: dict, limits: Limits) -> Call:
    """Of {"examples": [{input name: value}, …], "context": {…}}.

    Raises:
        Refusal: the request is not right, or the model gives no labels.
    """
    items = _examples(body, limits)
    if not KINDS[predictor.kind].answers("labels", "probabilities"):
        raise Refusal(400, f"a model of {predictor.kind}: use :predict")
    return Call(
        to_rows(predictor, signatures.TEXTS, items, limits),
        lambda columns: {"results": _label_scores(columns)},
    )


def regress_call(predictor, body: dict, limits: Limits) -> Call:
    """Of the same body as `classify_call`.

    Raises:
        Refusal: the request is not right, or the model gives no number.
    """
    items = _examples(body, limits)
    if not KINDS[predictor.kind].answers("prediction"):
        raise Refusal(400, f"a model of {predictor.kind}: use :predict")
    return Call(
        to_rows(predictor, signatures.TEXTS, items, limits),
        lambda columns: {"results": to_json(next(iter(columns.values())))},
    )


def to_rows(predictor, signature: str, items: list, limits: Limits) -> list:
    """(key, payload) of each item.

    Raises:
        Refusal: an item is not what the signature takes, or too long.
    """
    try:
        if signatures.is_default(predictor, signature):
            items = [
                _checked(predictor, place, item, limits)
                for place, item in enumerate(items)
            ]
        return signatures.rows_of(predictor, signature, items, limits)
    except ValueError as error:
        raise Refusal(400, str(error)) from None


def _checked(predictor, place, item, limits):
    """An item that is decoded, has the right names and no text too long."""
    try:
        item = _decoded(item)
        if isinstance(item, dict):
            item = KINDS[predictor.kind].to_inputs(item)
            signatures.check_names(item, predictor.input_names)
    except ValueError as error:
        raise ValueError(f"item {place}: {error}") from None
    for text in signatures.strings_of(item):
        check_text(place, text, limits)
    return item


def _decoded(value, depth=signatures.DEPTH):
    """An item with text where it has {"b64": "…"}, which `bytes_of` reads.

    What is nested deeper than an item can be stays as it is.
    """
    if isinstance(value, dict) and set(value) == {"b64"}:
        return signatures.bytes_of(value).decode("utf-8")
    if depth and isinstance(value, dict):
        return {
            name: _decoded(inner, depth - 1) for name, inner in value.items()
        }
    if depth and isinstance(value, list):
        return [_decoded(inner, depth - 1) for inner in value]
    return value


def check_keys(body: dict, known: set):
    """Raises Refusal where a body has other keys."""
    if unknown := sorted(set(body) - known):
        names = ", ".join(sorted(known))
        raise Refusal(400, f"{shown(unknown[0])} is unknown; known are {names}")


def list_of(body: dict, key: str, limits: Limits) -> list:
    """The list under a key, neither empty nor too long.

    Raises:
        Refusal: it is something else.
    """
    values = body.get(key)
    if not isinstance(values, list):
        raise Refusal(400, f"{key} must be a list")
    check_count(len(values), limits)
    return values


def _examples(body, limits):
    check_keys(body, {"signature_name", "context", "examples"})
    if body.get("signature_name", signatures.TEXTS) != signatures.TEXTS:
        raise Refusal(400, f"signature_name must be {signatures.TEXTS}")
    context = body.get("context", {})
    examples = list_of(body, "examples", limits)
    if not all(isinstance(each, dict) for each in [context, *examples]):
        raise Refusal(400, "context and each of examples must be objects")
    return [{**context, **example} for example in examples]


def _rows_of_columns(predictor, signature, inputs, limits):
    names = sorted(signatures.inputs_of(predictor, signature))
    if len(names) == 1 and isinstance(inputs, list):
        inputs = {names[0]: inputs}
    try:
        signatures.check_names(inputs, names)
    except ValueError as error:
        raise Refusal(400, f"inputs {error}") from None
    columns = [list_of(inputs, name, limits) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise Refusal(400, "the columns of inputs have different lengths")
    return [
        dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
    ]


def to_json(array):
    """An array as lists; bytes as text, as they hold nothing else."""
    return _texts(array.tolist()) if array.dtype == object else array.tolist()


def _texts(value):
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return value.decode("utf-8", "replace")


def _by_column(columns):
    values = {name: to_json(column) for name, column in columns.items()}
    return values if len(values) > 1 else next(iter(values.values()))


def _by_row(columns):
    """An object for each row; the value alone where there is one output."""
    values = _by_column(columns)
    if len(columns) == 1:
        return values
    return [
        dict(zip(values, row, strict=True))
        for row in zip(*values.values(), strict=True)
    ]


def _label_scores(columns):
    labels, scores = to_json(columns["labels"]), columns["probabilities"]
    return [
        [list(pair) for pair in zip(*row, strict=True)]
        for row in zip(labels, scores.tolist(), strict=True)
    ]


def metadata(name: str, version) -> dict:
    """The signatures of a version."""
    functions = version.predictor.signatures
    return {
        "model_spec": {
            "name": name,
            "signature_name": "",
            "version": str(version.number),
        },
        "metadata": {
            "signature_def": {
                "signature_def": {
                    signature: _signature_def(signature, function)
                    for signature, function in functions.items()
                }
            }
        },
    }


def _signature_def(signature, function):
    return {
        "inputs": _tensors(signature, function.structured_input_signature[1]),
        "outputs": _tensors(signature, function.structured_outputs),
        "method_name": PREDICT,
    }


def _tensors(signature, specs):
    return {
        name: {
            "dtype": "DT_" + _dtype_name(spec.dtype),
            "tensor_shape": {
                "dim": [
                    {"size": str(-1 if size is None else size), "name": ""}
                    for size in spec.shape.as_list()
                ],
                "unknown_rank": False,
            },
            "name": f"{signature}_{name}:0",
        }
        for name, spec in specs.items()
    }


def _dtype_name(dtype):
    return tf.as_dtype(dtype).name.upper().replace("FLOAT32", "FLOAT")
