"""TensorFlow Serving's PredictionService and ModelService."""

from typing import Any

from google.protobuf import json_format

from bert_tf.export.kinds import KINDS
from bert_tf.export.predictor import Predictor
from bert_tf.serving import open_inference, rest
from bert_tf.serving.batching import Columns
from bert_tf.serving.errors import Refusal, shown
from bert_tf.serving.handler import no_version, use
from bert_tf.serving.limits import Limits
from bert_tf.serving.models import Version
from bert_tf.serving.rpc.exchange import Asked, Methods, answered
from bert_tf.serving.rpc.messages import Message, MessageClass, message_class
from bert_tf.serving.rpc.tensor_protos import proto_of, tensors_of
from bert_tf.serving.texts import TEXTS

PREDICTION = "tensorflow.serving.PredictionService"
MODELS = "tensorflow.serving.ModelService"
SIGNATURES = "signature_def"  # The one field of the metadata.
_ANY = "type.googleapis.com/"  # Before the name of a message in an Any.


def _class_of(name: str) -> MessageClass:
    return message_class(f"tensorflow.serving.{name}")


_SignatureDefMap = _class_of("SignatureDefMap")
_PredictResponse = _class_of("PredictResponse")
_ClassificationResponse = _class_of("ClassificationResponse")
_RegressionResponse = _class_of("RegressionResponse")
_GetModelMetadataResponse = _class_of("GetModelMetadataResponse")
_GetModelStatusResponse = _class_of("GetModelStatusResponse")


# ---------------------------------------------------------------------------
# Which model.


def _model_of(spec: Message) -> tuple[str, int | None]:
    """Returns (name, version) of a ModelSpec; no version is the newest."""
    if not spec.name:
        raise Refusal(400, "model_spec.name is missing")
    if spec.version_label:
        raise Refusal(
            404,
            f"version_label {shown(spec.version_label)}: the server has no "
            "labels; give the version",
        )
    return spec.name, spec.version.value if spec.HasField("version") else None


def _set_spec(answer: Message, name: str, version: Version, signature: str):
    """Says which model, version and signature has answered."""
    answer.model_spec.name = name
    answer.model_spec.version.value = version.number
    answer.model_spec.signature_name = signature


# ---------------------------------------------------------------------------
# Predict.


async def predict(asked: Asked) -> Message:
    """Answers named tensors with named tensors.

    Raises:
        Refusal: the request is wrong.
    """
    request, limits = asked.message, asked.serving.limits
    name, number = _model_of(request.model_spec)
    signature = request.model_spec.signature_name or TEXTS

    def read(predictor: Predictor) -> open_inference.TensorCall:
        tensors = tensors_of(request.inputs, limits)
        parameters = {open_inference.SIGNATURE: signature}
        return open_inference.read_call(
            predictor, tensors, [], parameters, limits
        )

    def write(version: Version, _: object, columns: Columns) -> Message:
        answer = _PredictResponse()
        _set_spec(answer, name, version, signature)
        for wanted in _filtered(request.output_filter, columns):
            answer.outputs[wanted].CopyFrom(proto_of(columns[wanted]))
        return answer

    return await answered(asked, name, number, read, write)


def _filtered(wanted, columns: Columns) -> list[str]:
    """The names of the outputs that a request wants; none is all."""
    for name in wanted:
        if name not in columns:
            names = ", ".join(columns)
            raise Refusal(
                400, f"output_filter {shown(name)}: there are {names}"
            )
    return [*wanted] or [*columns]


# ---------------------------------------------------------------------------
# Classify and Regress.


async def classify(asked: Asked) -> Message:
    """Answers tf.train.Examples of texts with scored labels.

    Raises:
        Refusal: the request is wrong, or the model has no labels.
    """

    def write(results: list[Any], answer: Message) -> None:
        for row in results:
            classes = answer.result.classifications.add().classes
            for label, score in row:
                classes.add(label=label, score=score)

    return await _of_examples(
        asked,
        ("labels", "probabilities"),
        rest.classify_call,
        _ClassificationResponse,
        write,
    )


async def regress(asked: Asked) -> Message:
    """Answers tf.train.Examples of texts with numbers.

    Raises:
        Refusal: the request is wrong, or the model does not give a number.
    """

    def write(results: list[Any], answer: Message) -> None:
        for value in results:
            answer.result.regressions.add(value=value)

    return await _of_examples(
        asked, ("prediction",), rest.regress_call, _RegressionResponse, write
    )


async def _of_examples(asked, outputs, make_call, response, fill) -> Message:
    """Answers examples, if the model has the outputs that this needs."""
    request, limits = asked.message, asked.serving.limits
    name, number = _model_of(request.model_spec)

    def read(predictor: Predictor) -> rest.Call:
        if not KINDS[predictor.kind].answers(*outputs):
            raise Refusal(501, f"a model of {predictor.kind}: use Predict")
        body = _examples_of(request.input, limits)
        if request.model_spec.signature_name:
            body["signature_name"] = request.model_spec.signature_name
        return make_call(predictor, body, limits)

    def write(version: Version, call: rest.Call, columns: Columns) -> Message:
        answer = response()
        _set_spec(answer, name, version, TEXTS)
        results: Any = call.answer(columns)
        fill(results["results"], answer)
        return answer

    return await answered(asked, name, number, read, write)


def _examples_of(given: Message, limits: Limits) -> dict[str, Any]:
    """The examples of an Input, as the REST API has them."""
    kind = given.WhichOneof("choice")
    if kind is None:
        raise Refusal(400, "input holds no examples")
    holder = getattr(given, kind)
    context = {}
    if kind == "example_list_with_context":
        context = _example("the context", holder.context)
    examples = [
        _example(f"item {place}", example)
        for place, example in enumerate(holder.examples[: limits.max_texts + 1])
    ]
    return {"examples": examples, "context": context}


def _example(which: str, example: Message) -> dict[str, Any]:
    """{name: text, or texts} of a tf.train.Example."""
    values: dict[str, Any] = {}
    for name, feature in example.features.feature.items():
        given = feature.bytes_list.value
        if not given:
            raise Refusal(400, f"{which}: {shown(name)} must be in bytes_list")
        try:
            decoded = [value.decode("utf-8") for value in given]
        except UnicodeDecodeError as error:
            raise Refusal(
                400,
                f"{which}: {shown(name)} is not UTF-8: byte {error.start + 1}",
            ) from None
        values[name] = decoded if len(decoded) > 1 else decoded[0]
    return values


# ---------------------------------------------------------------------------
# What a model is, and its versions.


async def get_model_metadata(asked: Asked) -> Message:
    """Describes the signatures of a model.

    Raises:
        Refusal: the request is wrong.
    """
    request = asked.message
    for field in request.metadata_field:
        if field != SIGNATURES:
            raise Refusal(
                400, f"metadata_field {shown(field)}: there is {SIGNATURES}"
            )
    if not request.metadata_field:
        raise Refusal(400, f"metadata_field is missing: there is {SIGNATURES}")
    name, number = _model_of(request.model_spec)
    answer = _GetModelMetadataResponse()
    with use(asked.serving.model(name), number) as version:
        described: Any = rest.metadata(name, version)["metadata"]
        _set_spec(answer, name, version, "")
    asked.model = name
    signatures = json_format.ParseDict(
        described[SIGNATURES], _SignatureDefMap()
    )
    packed = answer.metadata[SIGNATURES]
    packed.type_url = _ANY + _SignatureDefMap.DESCRIPTOR.full_name
    packed.value = signatures.SerializeToString()
    return answer


async def get_model_status(asked: Asked) -> Message:
    """Lists the versions of a model and their states.

    Raises:
        Refusal: the request is wrong.
    """
    name, number = _model_of(asked.message.model_spec)
    model = asked.serving.model(name)
    asked.model = name
    try:
        statuses = model.status(number)
    except KeyError:
        raise no_version(name, number) from None
    return json_format.ParseDict(
        {"model_version_status": statuses}, _GetModelStatusResponse()
    )


async def not_offered(asked: Asked) -> Message:
    """Refuses a method that this server does not have."""
    raise Refusal(
        501, "the server does not do this; it looks for new versions itself"
    )


async def one_task_only(asked: Asked) -> Message:
    """Refuses MultiInference."""
    raise Refusal(501, "a request is for one task: use Predict")


METHODS: Methods = {
    PREDICTION: {
        "Predict": (_class_of("PredictRequest"), predict),
        "Classify": (_class_of("ClassificationRequest"), classify),
        "Regress": (_class_of("RegressionRequest"), regress),
        "GetModelMetadata": (
            _class_of("GetModelMetadataRequest"),
            get_model_metadata,
        ),
        "MultiInference": (None, one_task_only),
    },
    MODELS: {
        "GetModelStatus": (
            _class_of("GetModelStatusRequest"),
            get_model_status,
        ),
        "HandleReloadConfigRequest": (None, not_offered),
    },
}
