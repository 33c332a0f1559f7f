"""Exports a Keras model that `fit` trained, or any other loop.

    model           a head of `bert_tf.heads`, or a `BertEmbedder`
    preprocessor    the `BertPreprocessor` that made the ids of its training
    settings        what neither of the two contains, such as the labels

The SavedModel is the same as that of a program's run: `Predictor`, the tools
and the server answer with it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras

from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export import confidence, saved_models, writing
from bert_tf.export import serving_outputs as outputs
from bert_tf.export.fitted_settings import (
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    FittedSettings,
    labels_of,
    problem_type_of,
    thresholds_of,
)
from bert_tf.export.int8 import Int8Settings
from bert_tf.export.question_answering import QuestionServing
from bert_tf.export.relations import RelationServing
from bert_tf.export.serving_modules import (
    ChoiceServing,
    EmbeddingServing,
    ServingModule,
    Tensors,
    TextServing,
)
from bert_tf.export.tagging import TagServing
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertRelationClassifier,
    BertSpanLabeler,
    BertTokenClassifier,
)
from bert_tf.pooling import BertEmbedder
from bert_tf.preprocessing import BertPreprocessor


def export_model(
    folder: str,
    model: keras.Model | ServingModule,
    preprocessor: BertPreprocessor | None = None,
    *,
    precision: str = "float32",
    int8: Int8Settings | None = None,
    description: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Writes a SavedModel that takes raw text, whole or not at all.

        model.compile(AdamWeightDecay(3e-4), loss, metrics=["accuracy"])
        model.fit(dataset)
        export_model("export", model, preprocess, labels=["ham", "spam"])
        Predictor("export").predict(["Call now to claim your prize!"])

    Args:
        folder: the folder of the SavedModel; one that is there is replaced.
        model: a `BertClassifier`, `BertTokenClassifier`, `BertMultipleChoice`,
            `BertRelationClassifier`, `BertSpanLabeler` or `BertEmbedder`; or
            a `ServingModule`, for which the arguments are those of
            `writing.export_module`.
        preprocessor: the preprocessor of the model's training.
        precision: "float32" or "bfloat16", of the weights in the folder.
        int8: how an int8 network is measured, `Int8Settings(items=texts)`;
            None to write none.
        description: more for model.json.
        **settings: those of `fitted_settings.FittedSettings` that the model
            needs, such as `labels`.

    Raises:
        UserError: the model, the preprocessor and the settings do not fit
            together, or the folder is not a SavedModel that may be replaced.
        RuntimeError: what was written does not answer as the model does.
    """
    if isinstance(model, ServingModule):
        settings |= {
            "precision": precision,
            "int8": int8,
            "description": description,
        }
        if preprocessor is not None:  # The third argument of this form.
            settings["trained"] = preprocessor
        writing.export_module(folder, model, **settings)
        return
    module_of, record = parts_of(model, preprocessor, settings)
    _check_precision(precision)
    saved_models.check_replaceable(folder)
    modules = {
        name: module_of(writing.plain_copy(model, lambda: new_of(model), name))
        for name in {"float32", precision}
    }
    writing.export_module(
        folder,
        modules[precision],
        modules["float32"],
        precision=precision,
        int8=int8,
        description={**record, **(description or {})},
    )


def parts_of(
    model: keras.Model,
    preprocessor: BertPreprocessor | None,
    settings: Mapping[str, Any],
) -> "_Export":
    """What the SavedModel of a model is made of.

    Args:
        model, preprocessor, settings: see `export_model`.

    Returns:
        (function from a copy of the model to what the SavedModel computes, the
        values for model.json).

    Raises:
        UserError: they do not fit together.
    """
    form = _form_of(model)
    _check_settings(model, form, settings)
    reads = _checked(preprocessor, model)
    known = _known_of(model, form, settings)
    return form.export_of(model, reads, FittedSettings(**known))


def _known_of(
    model: keras.Model, form: "_Form", settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings, and those that `from_pretrained` has read with the head."""
    kind = getattr(model, "kind", None)
    if settings.get("problem_type", kind) != kind:
        return dict(settings)
    task = getattr(model, "task", {})
    return {
        **{name: task[name] for name in form.takes if name in task},
        **settings,
    }


def new_of(model: keras.Model) -> keras.Model:
    """A new model of the same shape, in the precision that Keras has now."""
    config = model.get_config()
    for name in ("dtype", "how_to_compute"):  # An export decides both.
        config.pop(name, None)
    new = type(model).from_config(config)
    if [w.shape for w in new.weights] != [w.shape for w in model.weights]:
        raise UserError(
            f"{type(model).__name__}.from_config makes a model with other "
            "weights; create all weights in its constructor",
            setting="model",
        )
    return new


# ---------------------------------------------------------------------------
# Checks.


def _check_settings(
    model: keras.Model, form: "_Form", settings: Mapping[str, Any]
) -> None:
    name_of_class = type(model).__name__
    known = {field.name for field in dataclasses.fields(FittedSettings)}
    for name, value in settings.items():
        if name not in known:
            raise TypeError(
                f"export_model() got an unexpected keyword argument {name!r}; "
                f"a {name_of_class} takes {', '.join(form.takes)}"
            )
        if name not in form.takes:
            raise UserError(
                f"not for a {name_of_class}", setting=name, value=value
            )


def _check_precision(precision: str) -> None:
    if precision not in writing.TOLERANCES:
        raise UserError(
            f"must be one of {', '.join(writing.TOLERANCES)}",
            setting="precision",
            value=precision,
        )


def _checked(
    preprocessor: BertPreprocessor | None, model: keras.Model
) -> BertPreprocessor:
    """Returns the preprocessor if the model can read its ids."""
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"a SavedModel needs Keras' backend tensorflow, not "
            f"{keras.backend.backend()}"
        )
    if not isinstance(preprocessor, BertPreprocessor):
        raise UserError(
            "must be the BertPreprocessor of the model's training",
            setting="preprocessor",
            value=preprocessor,
        )
    unbuilt = [layer.name for layer in model.layers if not layer.built]
    if unbuilt or not model.built:
        raise UserError(
            f"is not built; {', '.join(unbuilt) or model.name} has no weights "
            "before the model is called once",
            setting="model",
        )
    longest = model.config.max_position_embeddings
    if preprocessor.max_seq_length > longest:
        raise UserError(
            f"the model reads at most {longest} tokens",
            setting="max_seq_length",
            value=preprocessor.max_seq_length,
        )
    num_ids = max(preprocessor.tokenizer.vocab.values()) + 1
    if num_ids > model.config.vocab_size:
        raise UserError(
            f"has {num_ids} entries, and the model knows "
            f"{model.config.vocab_size}",
            setting="vocab_file",
            value=preprocessor.vocab_file,
        )
    # However the sequences of the training were padded.
    return preprocessor.with_length_multiple(None)


# ---------------------------------------------------------------------------
# Each class: (function from a copy of the model to what the SavedModel
# computes, the values for model.json).

_Export = tuple[Callable[[keras.Model], ServingModule], dict[str, Any]]


def _classifier(
    model: BertClassifier,
    preprocess: BertPreprocessor,
    settings: FittedSettings,
) -> _Export:
    kind = problem_type_of(model, settings)
    fitted, record = settings.confidence, dict[str, Any]()
    answer: Callable[..., Tensors]
    if kind == REGRESSION:
        record = {"mean": settings.mean, "deviation": settings.deviation}
        answer = functools.partial(outputs.number, **record)
    elif kind == MULTI_LABEL:
        labels = labels_of(model, settings)
        record = {
            "labels": labels,
            "thresholds": thresholds_of(labels, settings),
        }
        answer = functools.partial(
            outputs.label_set, **record, confidence=fitted
        )
    else:
        record = {"labels": labels_of(model, settings)}
        answer = functools.partial(outputs.label, **record, confidence=fitted)
    reader = TextReader.from_preprocessor(
        preprocess, settings.max_windows, settings.doc_stride
    )

    def module_of(copy):
        return TextServing(
            copy,
            reader,
            kind=kind,
            takes_pairs=settings.takes_pairs,
            outputs_of=answer,
            shape=settings.shape,
            answers_softmax=kind == SINGLE_LABEL and not reader.has_windows,
            confidence=fitted,
        )

    return module_of, {**record, **fitted.record()}


def _tags(
    model: BertTokenClassifier,
    preprocess: BertPreprocessor,
    settings: FittedSettings,
) -> _Export:
    labels = labels_of(model, settings)
    padded = preprocess.with_length_multiple(saved_models.LENGTH_MULTIPLE)
    return lambda copy: TagServing(copy, padded, labels), {"labels": labels}


def _choice(
    model: BertMultipleChoice,
    preprocess: BertPreprocessor,
    settings: FittedSettings,
) -> _Export:
    reader = TextReader.from_preprocessor(preprocess)

    def module_of(copy):
        return ChoiceServing(
            copy,
            reader,
            outputs_of=functools.partial(
                outputs.choice, confidence=settings.confidence
            ),
            shape=settings.shape,
        )

    return module_of, settings.confidence.record()


def _relation(
    model: BertRelationClassifier,
    preprocess: BertPreprocessor,
    settings: FittedSettings,
) -> _Export:
    record = {"labels": labels_of(model, settings)}
    reader = TextReader.from_preprocessor(preprocess)

    def module_of(copy):
        return RelationServing(
            copy,
            reader,
            outputs_of=functools.partial(
                outputs.label, **record, confidence=settings.confidence
            ),
            shape=settings.shape,
        )

    return module_of, {**record, **settings.confidence.record()}


def _question(
    model: BertSpanLabeler,
    preprocess: BertPreprocessor,
    settings: FittedSettings,
) -> _Export:
    return lambda copy: QuestionServing(copy, preprocess, settings.squad), {}


def _embedding(
    model: BertEmbedder, preprocess: BertPreprocessor, settings: FittedSettings
) -> _Export:
    reader = TextReader.from_preprocessor(preprocess)
    record = {
        "pooling": model.pooling,
        "normalize": model.normalize,
        "layers": model.layer_indexes,
        "dimension": model.dimension,
    }
    return lambda copy: EmbeddingServing(copy, reader, settings.shape), record


@dataclasses.dataclass(frozen=True)
class _Form:
    """How the models of a class are exported.

    Attributes:
        model_class: the class.
        export_of: function(model, preprocessor, settings) -> _Export.
        takes: the settings that apply.
    """

    model_class: type[keras.Model]
    export_of: Callable[..., _Export]
    takes: tuple[str, ...]


_CLASSIFIER_TAKES = (
    "labels",
    "problem_type",
    "takes_pairs",
    "thresholds",
    *confidence.NAMES,
    "mean",
    "deviation",
    "max_windows",
    "doc_stride",
    "shape",
)
_FORMS = (
    _Form(BertClassifier, _classifier, _CLASSIFIER_TAKES),
    _Form(BertTokenClassifier, _tags, ("labels",)),
    _Form(BertMultipleChoice, _choice, ("shape", *confidence.NAMES)),
    _Form(
        BertRelationClassifier,
        _relation,
        ("labels", "shape", *confidence.NAMES),
    ),
    _Form(BertSpanLabeler, _question, ("squad",)),
    _Form(BertEmbedder, _embedding, ("shape",)),
)


def _form_of(model: Any) -> _Form:
    for form in _FORMS:
        if isinstance(model, form.model_class):
            return form
    known = ", ".join(form.model_class.__name__ for form in _FORMS)
    raise UserError(
        f"is a {type(model).__name__}, and must be one of {known}",
        setting="model",
    )
