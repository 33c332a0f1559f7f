"""Regression: a number for each text.

The model is a `BertClassifier` with one output; examples are
`InputExample`s.
"""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import distillation_losses, losses, metrics
from bert_tf.data.features import FeatureSpec
from bert_tf.data.input_example import InputExample
from bert_tf.export import kinds, serving_outputs
from bert_tf.export.serving_modules import Tensors
from bert_tf.tasks.problem import (
    Evaluation,
    Labels,
    LossTerms,
    Outputs,
    PredictionFile,
    Record,
    as_float32,
    line,
    mean_losses,
)
from bert_tf.tasks.text_problem import TextProblem


@dataclasses.dataclass(frozen=True)
class Regression(TextProblem):
    """A number for each example.

    The model's output is (number - mean) / deviation, so that its size does
    not depend on the unit of the numbers.
    """

    mean: float = 0.0
    deviation: float = 1.0

    labels = None
    num_outputs = 1
    label_spec = FeatureSpec("label_values", (), "float32")
    main_metric = "pearson"
    kind = kinds.REGRESSION.name
    description = "numbers"
    refused_flags = ("class_weights", "label_smoothing", "distill_temperature")

    def label_value(self, label: float | None) -> float:
        return 0.0 if label is None else (label - self.mean) / self.deviation

    def loss_terms(
        self, class_weights: Any, label_smoothing: float
    ) -> LossTerms:
        return losses.regression_loss()

    def teacher_loss(self, temperature: float) -> LossTerms:
        return distillation_losses.number_loss(temperature)

    def serving_outputs(self, logits: tf.Tensor) -> Tensors:
        return serving_outputs.number(logits, self.mean, self.deviation)

    @property
    def metric_names(self) -> set[str]:
        return {"eval_loss", "loss", *metrics.REGRESSION_NAMES}

    def predict(self, output: np.ndarray) -> float:
        """Returns the number that an output, float [1], means."""
        return float(output[0]) * self.deviation + self.mean

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        truth = np.array(labels, np.float64)
        predictions = np.array([self.predict(output) for output in outputs])
        errors = (predictions - truth) / self.deviation
        results = mean_losses(errors**2, batch_size)
        report = metrics.regression_scores(truth, predictions)
        is_collapsed = bool(np.ptp(predictions) < 1e-6 * self.deviation)
        results = as_float32({**results, **report})
        return Evaluation(results, {}, report, is_collapsed)

    def label_text(self, label: float) -> str:
        return f"{label:.9g}"

    def report_row(
        self, example: InputExample, output: np.ndarray
    ) -> dict[str, Any]:
        row = super().report_row(example, output)
        del row["logits"]
        return {**row, "prediction": self.predict(output)}

    def prediction_files(self) -> dict[str, PredictionFile]:
        def number(output):
            return f"{self.predict(output):.9g}"

        return {
            "test_results.tsv": PredictionFile(
                "", lambda _, output: line(number(output))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "prediction"),
                lambda example, output: line(example.guid, number(output)),
                self.example_columns,
            ),
        }

    def record(self) -> Record:
        return {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def check_record(cls, record: Mapping[str, Any]) -> None:
        if not all(
            isinstance(value, numbers.Real) and math.isfinite(value)
            for value in (record.get("mean"), record.get("deviation"))
        ):
            raise ValueError("mean and deviation must be finite numbers")
