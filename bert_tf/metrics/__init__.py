"""The scores of all tasks, and the reports that programs print of them."""

from bert_tf.choices import PRETRAINING_NAMES, SQUAD_V1_NAMES, SQUAD_V2_NAMES
from bert_tf.metrics.classification import (
    MULTI_LABEL_NAMES,
    REGRESSION_NAMES,
    accuracy,
    f1,
    macro_f1,
    matthews_correlation,
    multi_label_scores,
    regression_scores,
)
from bert_tf.metrics.entities import (
    entity_errors,
    entity_scores,
    entity_spans,
)
from bert_tf.metrics.pretraining import (
    distillation_scores,
    pretraining_scores,
)
from bert_tf.metrics.reports import (
    classification_report,
    entity_report,
    format_report,
    multi_label_report,
)
from bert_tf.metrics.squad import (
    exact_match,
    normalize_answer,
    squad_best_thresholds,
    squad_question_scores,
    squad_threshold_curve,
    squad_usable_thresholds,
    squad_v1_scores,
    squad_v2_scores,
    token_f1,
)
from bert_tf.metrics.thresholds import best_thresholds

__all__ = [
    "MULTI_LABEL_NAMES",
    "PRETRAINING_NAMES",
    "REGRESSION_NAMES",
    "SQUAD_V1_NAMES",
    "SQUAD_V2_NAMES",
    "accuracy",
    "best_thresholds",
    "classification_report",
    "distillation_scores",
    "entity_errors",
    "entity_report",
    "entity_scores",
    "entity_spans",
    "exact_match",
    "f1",
    "format_report",
    "macro_f1",
    "matthews_correlation",
    "multi_label_report",
    "multi_label_scores",
    "normalize_answer",
    "pretraining_scores",
    "regression_scores",
    "squad_best_thresholds",
    "squad_question_scores",
    "squad_threshold_curve",
    "squad_usable_thresholds",
    "squad_v1_scores",
    "squad_v2_scores",
    "token_f1",
]


def __dir__() -> list[str]:
    return __all__
