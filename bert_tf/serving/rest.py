"""TensorFlow Serving's REST API: reads its requests and writes its answers.

Each `…_call` reads a request's body and returns a Call, which holds the rows
for the model and turns their results into the answer.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bert_tf.export.confidence import LABEL_SET
from bert_tf.export.kinds import KINDS, LENGTHS
from bert_tf.export.predictor import Predictor
from bert_tf.export.reading import NO_LENGTHS
from bert_tf.serving import signatures, texts
from bert_tf.serving.batching import Columns, KeyedPayload
from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.limits import Limits, check_count, check_text
from bert_tf.serving.models import Version
from bert_tf.serving.results import to_json

PREDICT = "tensorflow/serving/predict"
WITH_LENGTHS = "with_lengths"


@dataclasses.dataclass
class Call:
    """A request that was read.

    Attributes:
        rows: the row of each text, as a Batcher takes them.
        answer: function({output name: array [B, …]}) that returns the
            answer's JSON value; the outputs are those of the model, and
            `LENGTHS` if they are wanted.
    """

    rows: list[KeyedPayload]
    answer: Callable[[Columns], object]


def predict_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> Call:
    """Reads {"instances": [row, …]} or {"inputs": {input name: column}}.

    Raises:
        Refusal: the request is wrong.
    """
    check_keys(body, {"signature_name", "instances", "inputs", WITH_LENGTHS})
    signature = body.get("signature_name", "")
    if signature == "":
        signature = texts.TEXTS
    if not isinstance(signature, str) or signature not in predictor.signatures:
        names = ", ".join(sorted(predictor.signatures))
        raise Refusal(
            400, f"signature_name {shown(signature)}: there are {names}"
        )
    if ("instances" in body) == ("inputs" in body):
        raise Refusal(400, "one of instances and inputs must be given")
    with_lengths = wants_lengths(predictor, body, signature)
    if "instances" in body:
        items = list_of(body, "instances", limits)
        return Call(
            to_rows(predictor, signature, items, limits, with_lengths),
            lambda columns: {"predictions": _by_row(columns)},
        )
    items = _rows_of_columns(predictor, signature, body["inputs"], limits)
    return Call(
        to_rows(predictor, signature, items, limits, with_lengths),
        lambda columns: {"outputs": _by_column(columns)},
    )


def classify_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> Call:
    """Reads {"examples": [{input name: value}, …], "context": {…}}.

    Raises:
        Refusal: the request is wrong, or the model has no labels.
    """
    items = _examples(body, limits)
    if not KINDS[predictor.kind].answers("labels", "probabilities"):
        raise Refusal(400, f"a model of {predictor.kind}: use :predict")
    with_lengths = wants_lengths(predictor, body)
    return Call(
        to_rows(predictor, texts.TEXTS, items, limits, with_lengths),
        lambda columns: {
            "results": _label_scores(columns),
            **lengths_in(columns),
        },
    )


def regress_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> Call:
    """Reads the same body as `classify_call`.

    Raises:
        Refusal: the request is wrong, or the model does not give a number.
    """
    items = _examples(body, limits)
    if not KINDS[predictor.kind].answers("prediction"):
        raise Refusal(400, f"a model of {predictor.kind}: use :predict")
    with_lengths = wants_lengths(predictor, body)
    return Call(
        to_rows(predictor, texts.TEXTS, items, limits, with_lengths),
        lambda columns: {
            "results": to_json(columns["prediction"]),
            **lengths_in(columns),
        },
    )


def wants_lengths(
    predictor: Predictor,
    body: dict[str, object],
    signature: str = texts.TEXTS,
) -> bool:
    """Whether the answers shall say how long the texts of a request are.

    Raises:
        Refusal: that is not known.
    """
    is_default = signatures.is_default(predictor, signature)
    wanted = switch(body, WITH_LENGTHS, predictor.with_lengths and is_default)
    if not wanted:
        return False
    if not is_default:
        raise Refusal(400, f"{WITH_LENGTHS}: {signature} does not read texts")
    if not predictor.has_lengths:
        raise Refusal(400, f"{WITH_LENGTHS}: the model {NO_LENGTHS}")
    return True


def lengths_in(columns: Columns) -> dict[str, Any]:
    """Returns the lengths of texts, if the columns have them."""
    if not {*LENGTHS} <= {*columns}:
        return {}
    return {name: to_json(columns[name]) for name in LENGTHS}


def switch(body: dict[str, object], name: str, default: bool = False) -> bool:
    """Returns the value of a key that is true or false.

    Raises:
        Refusal: it is something else.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise Refusal(400, f"{name} must be true or false")
    return value


def to_rows(
    predictor: Predictor,
    signature: str,
    items: list[object],
    limits: Limits,
    with_lengths: bool,
) -> list[KeyedPayload]:
    """Returns the row of each item.

    Raises:
        Refusal: an item is not what the signature takes, or is too long.
    """
    try:
        if signatures.is_default(predictor, signature):
            items = [
                checked_item(predictor, place, item, limits)
                for place, item in enumerate(items)
            ]
        return signatures.rows_of(
            predictor, signature, items, limits, with_lengths
        )
    except ValueError as error:
        raise Refusal(400, str(error)) from None


def checked_item(
    predictor: Predictor, place: int, item: Any, limits: Limits
) -> Any:
    """Decodes an item; checks its names and the lengths of its texts.

    Args:
        predictor: the model.
        place: the item's place in its request, from 0.
        item: its JSON value.
        limits: the server's limits.

    Raises:
        ValueError: it has other names, or is not UTF-8.
        Refusal: a text is too long.
    """
    try:
        item = _decoded(item)
        if isinstance(item, dict):
            item = KINDS[predictor.kind].to_inputs(item)
            signatures.check_names(item, predictor.input_names)
    except ValueError as error:
        raise ValueError(f"item {place}: {error}") from None
    for text in texts.strings_of(item):
        check_text(place, text, limits)
    return item


def _decoded(value, depth=texts.DEPTH):
    """Replaces each {"b64": "…"} in an item by the text that it encodes.

    Values nested deeper than an item can be stay as they are.
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


def check_keys(body: dict[str, object], known: set[str]) -> None:
    """Raises Refusal if a body has other keys."""
    if unknown := sorted(set(body) - known):
        names = ", ".join(sorted(known))
        raise Refusal(400, f"{shown(unknown[0])} is unknown; known are {names}")


def list_of(body: dict[str, object], key: str, limits: Limits) -> list[Any]:
    """Returns the list under a key, with whatever JSON values it holds.

    Raises:
        Refusal: the value is not a list, is empty, or is too long.
    """
    values = body.get(key)
    if not isinstance(values, list):
        raise Refusal(400, f"{key} must be a list")
    check_count(len(values), limits)
    return values


def _examples(body, limits):
    check_keys(body, {"signature_name", "context", "examples", WITH_LENGTHS})
    if body.get("signature_name", texts.TEXTS) != texts.TEXTS:
        raise Refusal(400, f"signature_name must be {texts.TEXTS}")
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


def _by_column(columns):
    values = {name: to_json(column) for name, column in columns.items()}
    if "in_set" in values:
        values[LABEL_SET] = _label_sets(values)
    return values if len(values) > 1 else next(iter(values.values()))


def _label_sets(values):
    """The labels in the set of each row; places where they have no names."""
    places = range(max(map(len, values["in_set"]), default=0))
    labels = values.get("labels", [places] * len(values["in_set"]))
    return [
        [*itertools.compress(names, is_in)]
        for names, is_in in zip(labels, values["in_set"], strict=True)
    ]


def _by_row(columns):
    """An object for each row; only the value where there is one output."""
    values = _by_column(columns)
    if len(columns) == 1:
        return values
    return [
        dict(zip(values, row, strict=True))
        for row in zip(*values.values(), strict=True)
    ]


def _label_scores(columns):
    shown = (to_json(columns[name]) for name in ("labels", "probabilities"))
    return [
        [list(pair) for pair in zip(*row, strict=True)]
        for row in zip(*shown, strict=True)
    ]


def metadata(name: str, version: Version) -> dict[str, object]:
    """Describes the signatures of a version, and its engine."""
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
            },
            "engine": version.predictor.engine,
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
