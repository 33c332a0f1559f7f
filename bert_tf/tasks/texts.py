"""What can be asked about a text: a label, several labels, a number.

The answers of `BertClassifier`; examples are `features.InputExample`s.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf import heads, losses, metrics
from bert_tf.data.features import FeatureSpec
from bert_tf.errors import UserError
from bert_tf.export.answering import TextAnswering
from bert_tf.metrics import reports
from bert_tf.tasks.problem import (
    IS_REAL,
    Evaluation,
    PredictionFile,
    Problem,
    as_float32,
    cross_entropies,
    line,
    mean_losses,
    sigmoid,
    softmax,
)


class TextProblem(Problem):
    """One text, or a pair of texts: an `InputExample`."""

    label_spec: FeatureSpec

    def prepare(self, examples, reader):
        """Raises UserError for pairs, of which windows cannot be made."""
        first = next(iter(examples))
        if reader.has_windows and first.text_b is not None:
            raise UserError(
                "--long_documents=windows: not for pairs of texts; head_tail "
                "takes them"
            )
        return examples

    def label_value(self, label):
        """The label as a number, or list of numbers; of None anything."""
        raise NotImplementedError

    @property
    def num_outputs(self) -> int:
        return len(self.labels)

    def feature_specs(self, reader):
        return [*reader.sequence_specs(), self.label_spec, IS_REAL]

    def convert(self, example, reader):
        converted, tokens = reader.convert(example.text_a, example.text_b)
        converted[self.label_spec.name] = self.label_value(example.label)
        return {**converted, IS_REAL.name: 1}, tokens

    def row_signature(self, reader):
        label = self.label_spec
        dtype = tf.int32 if label.dtype == "int64" else label.dtype
        return {
            "text_a": tf.string,
            "text_b": tf.string,
            label.name: tf.TensorSpec(label.shape, dtype),
            IS_REAL.name: tf.int32,
        }

    def encode(self, example, reader):
        return {
            "text_a": example.text_a.encode(),
            "text_b": (example.text_b or "").encode(),
            self.label_spec.name: self.label_value(example.label),
            IS_REAL.name: 1,
        }

    def features_of_rows(self, rows, reader):
        texts = reader.read(rows["text_a"], rows["text_b"])
        others = (self.label_spec.name, IS_REAL.name)
        return {**texts, **{name: rows[name] for name in others}}

    def num_tokens(self, examples, reader):
        return reader.num_tokens(
            [example.text_a for example in examples],
            [example.text_b for example in examples],
        )

    def build_model(self, config, settings):
        return heads.BertClassifier(
            config,
            self.num_outputs,
            settings.dropout_rate,
            settings.hidden_units,
            settings.pooling,
        )

    def answering(self, model, reader, shape, takes_pairs):
        return TextAnswering(
            self.kind, takes_pairs, model, reader, self.served, shape
        )

    def served(self, logits) -> dict:
        """float [B, C] -> what an exported model answers, in the graph.

        Returns:
            {name: tensor [B, …]}.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class SingleLabel(TextProblem):
    """One label for each example.

    Attributes:
        labels: see `Problem`.
        metrics: {name: function(label_ids, predictions)}, reported beside
            the accuracy.
    """

    labels: list
    metrics: dict = dataclasses.field(default_factory=dict)

    label_spec = FeatureSpec("label_ids", ())
    kind = "single_label"
    description = "one label for each text"

    def label_value(self, label):
        # The original writes the first label where none is known.
        return 0 if label is None else self.ids[label]

    def loss_terms(self, class_weights, label_smoothing):
        return losses.classifier_loss(class_weights, label_smoothing)

    def served(self, logits):
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return labelled(probabilities, self.labels)

    @property
    def metric_names(self):
        return {
            *("eval_accuracy", "eval_loss", "loss", "balanced_loss"),
            *("num_labels_predicted", *self.metrics),
        }

    def evaluate(self, labels, outputs, batch_size):
        """The original's keys are float32: eval_accuracy, and the losses."""
        label_ids = np.array([self.ids[label] for label in labels])
        logits = np.stack(outputs)
        predictions = logits.argmax(axis=-1)
        each = cross_entropies(logits, label_ids)
        results = {
            "eval_accuracy": metrics.accuracy(label_ids, predictions),
            **mean_losses(each, batch_size),
        }
        extra = {
            name: metric(label_ids, predictions)
            for name, metric in self.metrics.items()
        }
        # What --class_weights=balanced minimizes: labels count as much.
        by_label = [each[label_ids == i].mean() for i in np.unique(label_ids)]
        extra["balanced_loss"] = float(np.mean(by_label))
        number = extra["num_labels_predicted"] = len(np.unique(predictions))
        report = reports.classification_report(
            self.labels, label_ids, predictions
        )
        return Evaluation(as_float32(results), extra, report, number < 2)

    def prediction_files(self):
        def best(example, logits):
            probabilities = softmax(logits)
            index = int(np.argmax(probabilities))
            return line(example.guid, self.labels[index], probabilities[index])

        return {
            "test_results.tsv": PredictionFile(
                "", lambda _, logits: line(*softmax(logits))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "label", "score"), best
            ),
        }


@dataclasses.dataclass(frozen=True)
class MultiLabel(TextProblem):
    """Any number of labels for each example, each by itself.

    Attributes:
        labels: see `Problem`.
        thresholds: {label: the probability from which on it is given}, of
            `tune`; 0.5 for what is not in it.
        delimiter: between the labels in a file of predictions.
    """

    labels: list
    thresholds: dict = dataclasses.field(default_factory=dict)
    delimiter: str = ","

    main_metric = "micro_f1"
    tunes = True
    kind = "multi_label"
    description = "several labels for each text"
    refused_flags = ("class_weights", "label_smoothing")

    @property
    def label_spec(self):
        return FeatureSpec("label_ids", (len(self.labels),))

    def label_value(self, label):
        return [int(name in (label or ())) for name in self.labels]

    def loss_terms(self, class_weights, label_smoothing):
        return losses.multi_label_loss()

    def served(self, logits):
        probabilities = tf.sigmoid(tf.cast(logits, tf.float32))
        return {
            **labelled(probabilities, self.labels),
            "is_given": tf.cast(probabilities, tf.float64) >= self._thresholds,
        }

    @property
    def _thresholds(self):
        """float64 [C]."""
        return np.array(
            [self.thresholds.get(label, 0.5) for label in self.labels]
        )

    @property
    def metric_names(self):
        names = metrics.MULTI_LABEL_NAMES
        tuned = {f"{name}_tuned" for name in names}
        return {"eval_loss", "loss", "num_labels_predicted", *names, *tuned}

    def tune(self, labels, outputs):
        best = metrics.best_thresholds(
            np.array([self.label_value(label) for label in labels]),
            sigmoid(np.stack(outputs)),
        )
        found = dict(zip(self.labels, map(float, best), strict=True))
        return dataclasses.replace(self, thresholds=found)

    def predict(self, logits):
        """float [..., C] -> int: 1 for the labels that are given."""
        return (sigmoid(logits) >= self._thresholds).astype(int)

    def evaluate(self, labels, outputs, batch_size):
        truth = np.array([self.label_value(label) for label in labels])
        logits = np.stack(outputs).astype(np.float64)
        each = np.logaddexp(0.0, logits) - truth * logits
        results = mean_losses(each.mean(axis=-1), batch_size)
        predictions = self.predict(logits)
        results |= metrics.multi_label_scores(
            truth, (sigmoid(logits) >= 0.5).astype(int)
        )
        tuned = metrics.multi_label_scores(truth, predictions)
        results |= {f"{name}_tuned": value for name, value in tuned.items()}
        extra = {"num_labels_predicted": int(predictions.any(axis=0).sum())}
        report = reports.multi_label_report(self.labels, truth, predictions)
        is_collapsed = len(np.unique(predictions, axis=0)) < 2
        return Evaluation(as_float32(results), extra, report, is_collapsed)

    def prediction_files(self):
        def given(example, logits):
            chosen = np.flatnonzero(self.predict(logits))
            names = self.delimiter.join(self.labels[i] for i in chosen)
            return line(example.guid, names)

        return {
            "test_results.tsv": PredictionFile(
                "", lambda _, logits: line(*sigmoid(logits))
            ),
            "test_predictions.tsv": PredictionFile(line("id", "labels"), given),
        }

    def learned(self):
        return {**super().learned(), "thresholds": self.thresholds}


@dataclasses.dataclass(frozen=True)
class Regression(TextProblem):
    """A number for each example.

    The model's output is (number - mean) / deviation, so that it has the same
    size whatever the numbers are.
    """

    mean: float = 0.0
    deviation: float = 1.0

    labels = None
    num_outputs = 1
    label_spec = FeatureSpec("label_values", (), "float32")
    main_metric = "pearson"
    kind = "regression"
    description = "numbers"
    refused_flags = ("class_weights", "label_smoothing")

    def label_value(self, label):
        return 0.0 if label is None else (label - self.mean) / self.deviation

    def loss_terms(self, class_weights, label_smoothing):
        return losses.regression_loss()

    def served(self, logits):
        number = tf.cast(logits, tf.float32)[:, 0]
        return {"prediction": number * self.deviation + self.mean}

    @property
    def metric_names(self):
        return {"eval_loss", "loss", *metrics.REGRESSION_NAMES}

    def predict(self, output) -> float:
        return float(output[0]) * self.deviation + self.mean

    def evaluate(self, labels, outputs, batch_size):
        truth = np.array(labels, np.float64)
        predictions = np.array([self.predict(output) for output in outputs])
        errors = (predictions - truth) / self.deviation
        results = mean_losses(errors**2, batch_size)
        report = metrics.regression_scores(truth, predictions)
        is_collapsed = bool(np.ptp(predictions) < 1e-6 * self.deviation)
        results = as_float32({**results, **report})
        return Evaluation(results, {}, report, is_collapsed)

    def prediction_files(self):
        def number(output):
            return f"{self.predict(output):.9g}"

        return {
            "test_results.tsv": PredictionFile(
                "", lambda _, output: line(number(output))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "prediction"),
                lambda example, output: line(example.guid, number(output)),
            ),
        }

    def learned(self):
        return {
            "problem": self.kind,
            "mean": self.mean,
            "deviation": self.deviation,
        }


def labelled(probabilities, labels: list) -> dict:
    """float32 [B, C] -> the likeliest label, its probability, and all of them.

    `labels`, the names of the columns, is repeated for each row, as
    TensorFlow Serving gives rows their parts of an output.
    """
    names = tf.constant(labels)
    return {
        "label": tf.gather(names, tf.argmax(probabilities, axis=-1)),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "labels": tf.repeat(names[tf.newaxis], tf.shape(probabilities)[0], 0),
    }
