"""SingleLabel and MultiLabel: a label, or several labels, for each text.

The model is a `BertClassifier`; examples are `InputExample`s.

Shape letters: B examples of a batch, C labels.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import expit, logit

from bert_tf import distillation_losses, losses, metrics
from bert_tf.data.features import FeatureSpec
from bert_tf.export import kinds, serving_outputs
from bert_tf.export.confidence import NOT_FITTED, Confidence
from bert_tf.export.serving_modules import Tensors
from bert_tf.metrics import reports
from bert_tf.tasks.problem import (
    Evaluation,
    Labels,
    LossTerms,
    Outputs,
    PredictionFile,
    Record,
    as_float32,
    cross_entropies,
    line,
    mean_losses,
    sigmoid,
    softmax,
)
from bert_tf.tasks.text_problem import TextProblem, unknown_labels


@dataclasses.dataclass(frozen=True)
class SingleLabel(TextProblem):
    """One label for each example.

    Attributes:
        labels: see `Problem`.
        metrics: {name: function(label_ids, predictions)}, reported besides
            the accuracy.
        confidence: see `Problem`.
        delimiter: separates the labels of a set in a file of predictions.
    """

    labels: list[str]
    metrics: dict[str, Callable[[Any, Any], float]] = dataclasses.field(
        default_factory=dict
    )
    confidence: Confidence = NOT_FITTED
    delimiter: str = ","

    gives_sets = True
    label_spec = FeatureSpec("label_ids", ())
    kind = kinds.SINGLE_LABEL.name
    description = "one label for each text"

    def label_value(self, label: str | None) -> int:
        # The original writes the first label if it is unknown.
        return self.ids.get(label or "", 0)

    def loss_terms(
        self, class_weights: Any, label_smoothing: float
    ) -> LossTerms:
        return losses.classifier_loss(class_weights, label_smoothing)

    def serving_outputs(self, logits: tf.Tensor) -> Tensors:
        return serving_outputs.label(logits, self.labels, self.confidence)

    @property
    def answers_softmax(self) -> bool:
        # Not if a problem that is derived from this one answers otherwise.
        return type(self).serving_outputs is SingleLabel.serving_outputs

    @property
    def calibrates(self) -> bool:
        return self.answers_softmax

    def judged(
        self, labels: Labels, outputs: Outputs
    ) -> tuple[np.ndarray, np.ndarray]:
        unknown = len(self.labels)
        ids = [self.ids.get(label, unknown) for label in labels]
        return np.stack(outputs), np.array(ids)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(self.confidence.scaled(logits))

    @property
    def metric_names(self) -> set[str]:
        return {
            "eval_accuracy",
            "eval_loss",
            "loss",
            "balanced_loss",
            "macro_f1",
            "num_labels_predicted",
            *self.metrics,
        }

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        """Scores labels; the scores that the original has are float32.

        Labels that the model does not know are classes of their own, which it
        never predicts. The losses are those of the other examples.
        """
        names = [*self.labels, *unknown_labels(labels, self.ids)]
        ids = {name: index for index, name in enumerate(names)}
        label_ids = np.array([ids[label] for label in labels])
        logits = np.stack(outputs)
        predictions = logits.argmax(axis=-1)
        is_known = label_ids < len(self.labels)
        known_ids = label_ids[is_known]
        each = cross_entropies(logits[is_known], known_ids)
        results = {
            "eval_accuracy": metrics.accuracy(label_ids, predictions),
            **mean_losses(each, batch_size),
        }
        extra = {
            name: metric(label_ids, predictions)
            for name, metric in self.metrics.items()
        }
        extra.setdefault("macro_f1", metrics.macro_f1(label_ids, predictions))
        # Balanced class weights minimize this: each label counts the same.
        by_label = [each[known_ids == i].mean() for i in np.unique(known_ids)]
        extra["balanced_loss"] = float(np.mean(by_label or math.nan))
        number = extra["num_labels_predicted"] = len(np.unique(predictions))
        report = reports.classification_report(names, label_ids, predictions)
        is_collapsed = number < 2 and len(np.unique(label_ids)) > 1
        return Evaluation(as_float32(results), extra, report, is_collapsed)

    def prediction_files(self) -> dict[str, PredictionFile]:
        def best(example, logits):
            probabilities = self.probabilities(logits)
            index = int(np.argmax(probabilities))
            cells = [example.guid, self.labels[index], probabilities[index]]
            sets = self.confidence.label_set(probabilities, self.labels)
            cells += [self.delimiter.join(labels) for labels in sets]
            return line(*cells)

        header = ["id", "label", "score", *self.confidence.columns]
        return {
            "test_results.tsv": PredictionFile(
                "", lambda _, logits: line(*self.probabilities(logits))
            ),
            "test_predictions.tsv": PredictionFile(
                line(*header), best, self.example_columns
            ),
        }


@dataclasses.dataclass(frozen=True)
class MultiLabel(TextProblem):
    """Any number of labels for each example, each decided by itself.

    Attributes:
        labels: see `Problem`.
        thresholds: {label: the smallest probability at which it applies};
            `tune` chooses them; 0.5 for labels that are not in it.
        delimiter: separates the labels in a file of predictions.
        confidence: see `Problem`.
    """

    labels: list[str]
    thresholds: dict[str, float] = dataclasses.field(default_factory=dict)
    delimiter: str = ","
    confidence: Confidence = NOT_FITTED

    main_metric = "micro_f1"
    tunes = True
    kind = kinds.MULTI_LABEL.name
    description = "several labels for each text"
    refused_flags = ("class_weights", "label_smoothing")

    @property
    def label_spec(self) -> FeatureSpec:
        return FeatureSpec("label_ids", (len(self.labels),))

    def label_text(self, label: Sequence[str]) -> str:
        return self.delimiter.join(label)

    def label_value(self, label: Sequence[str] | None) -> list[int]:
        return [int(name in (label or ())) for name in self.labels]

    def loss_terms(
        self, class_weights: Any, label_smoothing: float
    ) -> LossTerms:
        return losses.multi_label_loss()

    def teacher_loss(self, temperature: float) -> LossTerms:
        return distillation_losses.sigmoid_loss(temperature)

    def serving_outputs(self, logits: tf.Tensor) -> Tensors:
        return serving_outputs.label_set(
            logits, self.labels, self.thresholds, self.confidence
        )

    @property
    def calibrates(self) -> bool:
        return type(self).serving_outputs is MultiLabel.serving_outputs

    def judged(
        self, labels: Labels, outputs: Outputs
    ) -> tuple[np.ndarray, np.ndarray]:
        truth, _ = self._truth(labels)
        return np.stack(outputs), truth[:, : len(self.labels)]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return sigmoid(self.confidence.scaled(logits))

    def with_confidence(self, confidence: Confidence) -> "MultiLabel":
        # A threshold moves with the probabilities: the same logits pass it.
        before, now = (
            known.temperature or 1.0 for known in (self.confidence, confidence)
        )
        thresholds = {
            label: float(expit(logit(value) * (before / now)))
            if 0.0 < value < 1.0
            else value
            for label, value in self.thresholds.items()
        }
        return dataclasses.replace(
            self, confidence=confidence, thresholds=thresholds
        )

    @property
    def _thresholds(self):
        """float64 [C]."""
        return serving_outputs.thresholds_of(self.labels, self.thresholds)

    @property
    def metric_names(self) -> set[str]:
        names = metrics.MULTI_LABEL_NAMES
        tuned = {f"{name}_tuned" for name in names}
        return {"eval_loss", "loss", "num_labels_predicted", *names, *tuned}

    def tune(
        self, labels: Labels, outputs: Outputs, metric: str = ""
    ) -> "MultiLabel":
        metric = metric.removesuffix("_tuned")
        if metric not in metrics.MULTI_LABEL_NAMES:
            metric = self.main_metric  # Thresholds do not change a loss.
        truth, num_unknown = self._truth(labels)
        best = metrics.best_thresholds(
            truth[:, : len(self.labels)],
            self.probabilities(np.stack(outputs)),
            metric,
            num_unknown,
        )
        thresholds = dict(zip(self.labels, map(float, best), strict=True))
        return dataclasses.replace(self, thresholds=thresholds)

    def _truth(self, labels):
        """(int [N, C and unknown labels], int [N]: unknown ones of each)."""
        unknown = unknown_labels(labels, self.ids)
        names = [*self.labels, *unknown]
        truth = np.array(
            [[int(name in label) for name in names] for label in labels]
        )
        return truth, truth[:, len(self.labels) :].sum(axis=1)

    def predict(self, logits: np.ndarray) -> np.ndarray:
        """float [..., C] -> int [..., C]: 1 for the labels that apply."""
        return (self.probabilities(logits) >= self._thresholds).astype(int)

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        """Scores labels.

        Labels that the model does not know are classes of their own, which it
        never predicts; the losses are those of the labels that it knows.
        """
        truth, _ = self._truth(labels)
        names = [*self.labels, *unknown_labels(labels, self.ids)]
        logits = np.stack(outputs).astype(np.float64)
        known = truth[:, : len(self.labels)]
        each = np.logaddexp(0.0, logits) - known * logits
        results = mean_losses(each.mean(axis=-1), batch_size)
        none = np.zeros([len(truth), len(names) - len(self.labels)], int)
        predictions = np.hstack([self.predict(logits), none])
        default = np.hstack([(sigmoid(logits) >= 0.5).astype(int), none])
        results |= metrics.multi_label_scores(truth, default)
        tuned = metrics.multi_label_scores(truth, predictions)
        results |= {f"{name}_tuned": value for name, value in tuned.items()}
        extra = {"num_labels_predicted": int(predictions.any(axis=0).sum())}
        report = reports.multi_label_report(names, truth, predictions)
        if self.thresholds:
            report["thresholds"] = self.thresholds
            report[reports.AT_DEFAULT] = reports.multi_label_report(
                names, truth, default
            )
        is_collapsed = len(np.unique(predictions, axis=0)) < 2
        return Evaluation(as_float32(results), extra, report, is_collapsed)

    def prediction_files(self) -> dict[str, PredictionFile]:
        def labels_of(example, logits):
            chosen = np.flatnonzero(self.predict(logits))
            names = self.delimiter.join(self.labels[i] for i in chosen)
            return line(example.guid, names)

        return {
            "test_results.tsv": PredictionFile(
                "", lambda _, logits: line(*self.probabilities(logits))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "labels"), labels_of, self.example_columns
            ),
        }

    def record(self) -> Record:
        return {**super().record(), "thresholds": self.thresholds}

    @classmethod
    def check_record(cls, record: Mapping[str, Any]) -> None:
        super().check_record(record)
        thresholds = record.get("thresholds", {})
        if not isinstance(thresholds, dict) or not all(
            isinstance(value, numbers.Real) for value in thresholds.values()
        ):
            raise ValueError("thresholds must be {label: number}")
