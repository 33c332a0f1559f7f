"""FittedSettings: what an export must know besides a model and its texts.

The checks raise UserError where the settings do not fit the model.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import keras

from bert_tf.errors import UserError
from bert_tf.export import kinds
from bert_tf.export.confidence import Confidence
from bert_tf.export.question_windows import SquadSettings
from bert_tf.export.serving_modules import InputShape
from bert_tf.heads import BertClassifier

SINGLE_LABEL = kinds.SINGLE_LABEL.name
MULTI_LABEL = kinds.MULTI_LABEL.name
REGRESSION = kinds.REGRESSION.name
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)

# Settings that belong to some problem types alone.
_OWN = {
    "thresholds": (MULTI_LABEL,),
    "temperature": (SINGLE_LABEL, MULTI_LABEL),
    "coverage": (SINGLE_LABEL,),
    "set_threshold": (SINGLE_LABEL,),
    "mean": (REGRESSION,),
    "deviation": (REGRESSION,),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedSettings:
    """The settings of `export_model` that the model does not contain.

    Attributes:
        labels: the label of each output of the model, in their order.
        problem_type: what a `BertClassifier` answers, one of `PROBLEM_TYPES`.
            By default that of the head that `from_pretrained` has read. For a
            new head it is "single_label", and "regression" for one output
            without a label.
        takes_pairs: whether each text has a second one.
        thresholds: {label: the least probability at which it applies}, for
            "multi_label"; 0.5 for the others.
        temperature, coverage, set_threshold: how sure answers are, see
            `export.confidence`; None for what was not fitted.
        mean, deviation: for "regression", whose answer is output * deviation +
            mean.
        max_windows, doc_stride: for a `BertClassifier` that was trained on
            `preprocessor.windows(text, max_windows, doc_stride)`.
        squad: how a `BertSpanLabeler` reads contexts and chooses answers.
        shape: sizes of the inputs that are fixed, for accelerators.
    """

    labels: Sequence[str] | None = None
    problem_type: str | None = None
    takes_pairs: bool = False
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    temperature: float | None = None
    coverage: float | None = None
    set_threshold: float | None = None
    mean: float = 0.0
    deviation: float = 1.0
    max_windows: int | None = None
    doc_stride: int | None = None
    squad: SquadSettings = SquadSettings()
    shape: InputShape = InputShape()

    @property
    def confidence(self) -> Confidence:
        """How sure answers are.

        Raises:
            UserError: a value cannot have been fitted.
        """
        return Confidence(
            temperature=self.temperature,
            coverage=self.coverage,
            set_threshold=self.set_threshold,
        )


def labels_of(model: keras.Model, settings: FittedSettings) -> list[str]:
    """Returns the labels, one for each output of the model.

    Raises:
        UserError: there are none, too few or too many, or two are the same.
    """
    number = model.num_labels
    if settings.labels is None:
        raise UserError(
            f"must be given; the model has {number} outputs", setting="labels"
        )
    why = None
    labels = [*map(str, settings.labels)]
    if isinstance(settings.labels, str):
        why = "must be a list of str"
    elif len(labels) != number:
        why = f"the model has {number} outputs, and there are {len(labels)}"
    elif len({*labels}) < number:
        why = "each label must be a different one"
    if why:
        raise UserError(why, setting="labels", value=settings.labels)
    return labels


def problem_type_of(model: BertClassifier, settings: FittedSettings) -> str:
    """Returns what a classifier answers, one of `PROBLEM_TYPES`.

    Raises:
        UserError: other settings do not fit it, or the model does not.
    """
    kind = settings.problem_type or model.kind
    if kind is None:
        is_number = settings.labels is None and model.num_labels == 1
        kind = REGRESSION if is_number else SINGLE_LABEL
    _check_problem_type(kind, model)
    for name, owners in _OWN.items():
        value = getattr(settings, name)
        if kind not in owners and value != getattr(FittedSettings(), name):
            raise UserError(
                f"only for `problem_type`={' and '.join(owners)}, and this is "
                f"{kind}",
                setting=name,
                value=value,
            )
    if kind == REGRESSION and settings.labels is not None:
        raise UserError(
            "not for `problem_type`=regression",
            setting="labels",
            value=settings.labels,
        )
    if settings.max_windows is not None and settings.takes_pairs:
        raise UserError(
            "does not support pairs of texts",
            setting="max_windows",
            value=settings.max_windows,
        )
    if settings.max_windows is None and settings.doc_stride is not None:
        raise UserError(
            "only with `max_windows`",
            setting="doc_stride",
            value=settings.doc_stride,
        )
    return kind


def _check_problem_type(kind: str, model: BertClassifier) -> None:
    number = model.num_labels
    why = None
    if kind not in PROBLEM_TYPES:
        why = f"must be one of {', '.join(PROBLEM_TYPES)}"
    elif kind == REGRESSION and number != 1:
        why = f"needs a model with one output, and this one has {number}"
    elif kind == SINGLE_LABEL and number == 1:
        why = (
            "the model has one output, whose label would always be right; "
            "multi_label says whether it applies"
        )
    if why:
        raise UserError(why, setting="problem_type", value=kind)


def thresholds_of(
    labels: Sequence[str], settings: FittedSettings
) -> dict[str, float]:
    """Returns {label: threshold}.

    Raises:
        UserError: a threshold is that of an unknown label.
    """
    for label in settings.thresholds:
        if label not in labels:
            raise UserError(
                f"{label} is not one of the labels {', '.join(labels)}",
                setting="thresholds",
                value=settings.thresholds,
            )
    return {**settings.thresholds}
