"""MultipleChoice: which of several endings fits a text.

The model is a `BertMultipleChoice`; examples are
`multiple_choice.ChoiceExample`s.

Shape letters: B examples of a batch, N choices.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf import heads, losses, metrics
from bert_tf.config import BertConfig
from bert_tf.data.features import FeatureSpec
from bert_tf.data.multiple_choice import ChoiceExample
from bert_tf.data.text_reader import TextReader
from bert_tf.export import kinds, serving_outputs
from bert_tf.export.confidence import NOT_FITTED, Confidence
from bert_tf.export.serving_modules import ChoiceServing, InputShape, Tensors
from bert_tf.metrics import reports
from bert_tf.pooling import NO_CHOICE
from bert_tf.tasks.problem import (
    IS_REAL,
    LONG_FLAGS,
    Evaluation,
    HeadSettings,
    Labels,
    LossTerms,
    Outputs,
    PredictionFile,
    Problem,
    Record,
    as_float32,
    cross_entropies,
    line,
    mean_losses,
    softmax,
)


@dataclasses.dataclass(frozen=True)
class MultipleChoice(Problem):
    """Which of N endings fits; an example may have fewer than N."""

    num_choices: int
    confidence: Confidence = NOT_FITTED

    gives_sets = True
    kind = kinds.MULTIPLE_CHOICE.name
    description = "multiple choice"
    refused_flags = (
        "class_weights",
        "classifier_hidden",
        "label_smoothing",
        "export_tflite",
        "pack_sequences",
        *LONG_FLAGS,
    )

    labels = None  # The number of an ending has no meaning of its own.

    def feature_specs(self, reader: TextReader) -> list[FeatureSpec]:
        return [
            *(
                FeatureSpec(spec.name, (self.num_choices, *spec.shape))
                for spec in reader.sequence_specs()
            ),
            FeatureSpec("label_ids", ()),
            IS_REAL,
        ]

    def convert(
        self, example: ChoiceExample, reader: TextReader
    ) -> tuple[dict[str, Any], list[str]]:
        sequences = [
            reader.convert(example.text, ending) for ending in example.endings
        ]
        rows = [row for row, _ in sequences]
        rows += [reader.numbers([], [])] * (self.num_choices - len(rows))
        converted: dict[str, Any] = {
            name: [row[name] for row in rows] for name in rows[0]
        }
        converted["label_ids"] = int(example.label or 0)
        tokens = [token for _, tokens in sequences for token in tokens]
        return {**converted, IS_REAL.name: 1}, tokens

    def row_signature(self, reader: TextReader) -> dict[str, Any]:
        return {
            "text": tf.string,
            "endings": tf.TensorSpec([self.num_choices], tf.string),
            "num_endings": tf.int32,
            "label_ids": tf.int32,
            IS_REAL.name: tf.int32,
        }

    def encode(
        self, example: ChoiceExample, reader: TextReader
    ) -> dict[str, Any]:
        missing = self.num_choices - len(example.endings)
        endings = [ending.encode() for ending in example.endings]
        return {
            "text": example.text.encode(),
            "endings": endings + [b""] * missing,
            "num_endings": len(example.endings),
            "label_ids": int(example.label or 0),
            IS_REAL.name: 1,
        }

    def item_of(self, example: ChoiceExample) -> dict[str, Any]:
        return {"text": example.text, "endings": example.endings}

    def features_of_rows(self, rows: Tensors, reader: TextReader) -> Tensors:
        texts = reader.read_choices(
            rows["text"],
            tf.ensure_shape(rows["endings"], [None, self.num_choices]),
            rows["num_endings"],
        )
        others = ("label_ids", IS_REAL.name)
        return {**texts, **{name: rows[name] for name in others}}

    def num_tokens(
        self, examples: list[ChoiceExample], reader: TextReader
    ) -> np.ndarray:
        """Counts the tokens of each example's longest sequence."""
        lengths = reader.num_tokens(
            [e.text for e in examples for _ in e.endings],
            [ending for e in examples for ending in e.endings],
        )
        sizes = [len(example.endings) for example in examples]
        return np.maximum.reduceat(lengths, np.cumsum([0, *sizes[:-1]]))

    def build_model(
        self, config: BertConfig, settings: HeadSettings
    ) -> keras.Model:
        return heads.BertMultipleChoice(config, settings.dropout_rate)

    def loss_terms(
        self, class_weights: Any, label_smoothing: float
    ) -> LossTerms:
        return losses.classifier_loss()

    def serving_module(
        self,
        model: keras.Model,
        reader: TextReader,
        shape: InputShape,
        takes_pairs: bool,
    ) -> ChoiceServing:
        return ChoiceServing(
            model, reader, outputs_of=self.serving_outputs, shape=shape
        )

    def serving_outputs(self, logits: tf.Tensor) -> Tensors:
        """Computes an exported model's outputs of logits, float [B, N]."""
        return serving_outputs.choice(logits, self.confidence)

    @property
    def calibrates(self) -> bool:
        return type(self).serving_outputs is MultipleChoice.serving_outputs

    def judged(
        self, labels: Labels, outputs: Outputs
    ) -> tuple[np.ndarray, np.ndarray]:
        logits = np.stack(outputs)
        # No temperature makes an ending likely that is not there.
        logits = np.where(logits <= NO_CHOICE / 2, -np.inf, logits)
        return logits, np.array([int(label) for label in labels])

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(self.confidence.scaled(logits))

    @property
    def metric_names(self) -> set[str]:
        return {"eval_accuracy", "eval_loss", "loss", "num_labels_predicted"}

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        label_ids = np.array([int(label) for label in labels])
        predictions = np.array([logits.argmax() for logits in outputs])
        each = np.array(
            [
                cross_entropies(logits, label_id)
                for logits, label_id in zip(outputs, label_ids, strict=True)
            ]
        )
        results = {
            "eval_accuracy": metrics.accuracy(label_ids, predictions),
            **mean_losses(each, batch_size),
        }
        number = len(np.unique(predictions))
        last = max(label_ids.max(), predictions.max())
        report = reports.classification_report(
            [str(index) for index in range(last + 1)], label_ids, predictions
        )
        return Evaluation(
            as_float32(results),
            {"num_labels_predicted": number},
            report,
            number < 2,
        )

    def example_columns(self, example: ChoiceExample) -> dict[str, str]:
        return {"text": example.text, "true_label": example.label or ""}

    def report_row(
        self, example: ChoiceExample, output: np.ndarray
    ) -> dict[str, Any]:
        return super().report_row(example, output[: len(example.endings)])

    def prediction_files(self) -> dict[str, PredictionFile]:
        def probabilities(example, logits):
            return self.probabilities(logits[: len(example.endings)])

        def best(example, logits):
            row = probabilities(example, logits)
            cells = [example.guid, np.argmax(row), np.max(row)]
            sets = self.confidence.label_set(row, range(len(row)))
            cells += [",".join(map(str, endings)) for endings in sets]
            return line(*cells)

        return {
            "test_results.tsv": PredictionFile(
                "", lambda *pair: line(*probabilities(*pair))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "label", "score", *self.confidence.columns),
                best,
                self.example_columns,
            ),
        }

    def record(self) -> Record:
        return {**self.confidence.record()}

    @classmethod
    def check_record(cls, record: Mapping[str, Any]) -> None:
        """Accepts records without labels: endings have numbers."""
        Confidence.from_record(record)
