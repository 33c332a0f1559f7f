"""What can be asked about an example: its features, head, loss and scores.

    Problem            answer to an example                head
    SingleLabel        one of C labels                     BertClassifier
    MultiLabel         any of C labels                     BertClassifier
    Regression         a number                            BertClassifier
    Tagging            one of C tags for each word         BertTokenClassifier
    MultipleChoice     one of N endings                    BertMultipleChoice

A problem knows nothing of files: examples come from `data`, and what is
written is text.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import entities, heads, losses, metrics, reports
from bert_tf.config import BertConfig
from bert_tf.data import pipeline, tagging
from bert_tf.data.features import FeatureSpec
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError

# Of the flags, those on texts that are too long.
LONG_FLAGS = ("long_documents", "max_windows", "window_pooling", "doc_stride")
IS_REAL = FeatureSpec("is_real_example", ())


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """What the flags say about the head, see `heads.BertClassifier`."""

    dropout_rate: float = heads.CLASSIFIER_DROPOUT
    hidden_units: int | None = None
    pooling: str = "mean"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The scores of a set.

    Attributes:
        results: {name: number}, what eval_results.txt holds: the original's
            names alone where it has any.
        metrics: more of them.
        report: what `reports.format_report` shows.
        is_collapsed: all answers are the same.
    """

    results: dict
    metrics: dict
    report: dict
    is_collapsed: bool

    @property
    def scores(self) -> dict:
        return {**self.results, **self.metrics}


class PredictionFile(NamedTuple):
    """A file of predictions.

    Attributes:
        header: its first line, or "".
        text_of: function(example, output) -> str, whole lines.
    """

    header: str
    text_of: Callable


def line(*cells) -> str:
    return "\t".join(map(str, cells)) + "\n"


class Problem:
    """Base of all problems.

    Attributes:
        kind: its name in task.json and, of texts, that of --problem_type.
        labels: every label, in the order of the model's outputs; None where
            there are none.
        description: how errors call it.
        main_metric: what makes a checkpoint the best, unless a flag tells.
        refused_flags: of the program, without sense here.
        tunes: whether `tune` does anything.
    """

    kind: str
    labels: list | None
    description: str
    main_metric = "eval_accuracy"
    refused_flags = ()
    tunes = False

    # --- Examples to features ---------------------------------------------

    def prepare(self, examples, reader: TextReader):
        """What one row of features each is made of."""
        return examples

    def feature_specs(self, reader: TextReader) -> list:
        raise NotImplementedError

    def convert(self, example, reader: TextReader):
        """(features, tokens): a value for each of `feature_specs`; in Python.

        Tokens are without padding.
        """
        raise NotImplementedError

    def row_signature(self, reader: TextReader) -> dict:
        """What `encode` returns, as `pipeline.from_examples` wants it."""
        raise NotImplementedError

    def encode(self, example, reader: TextReader) -> dict:
        """The example as it is shuffled, not tokenized yet."""
        raise NotImplementedError

    def features_of_rows(self, rows: dict, reader: TextReader) -> dict:
        """What `encode` returned, {name: [N, …]}, -> features, in the graph."""
        raise NotImplementedError

    def rows(self, examples, reader: TextReader) -> tf.data.Dataset:
        return pipeline.from_examples(
            examples,
            functools.partial(self.encode, reader=reader),
            self.row_signature(reader),
        )

    def num_tokens(self, examples: list, reader: TextReader):
        """int [N]: tokens of each example if nothing were cut off."""
        raise NotImplementedError

    # --- The model ----------------------------------------------------------

    def build_model(self, config: BertConfig, settings: HeadSettings):
        raise NotImplementedError

    def loss_terms(self, class_weights, label_smoothing: float) -> tuple:
        raise NotImplementedError

    # --- Its answers --------------------------------------------------------

    def answers(self, rows, examples):
        """Yields (example, output) for each example, in the file's order.

        Args:
            rows: (outputs, features) of `pipeline.in_file_order`.
            examples: what `prepare` returned.
        """
        for example, (output, _) in zip(examples, rows, strict=True):
            yield example, output

    @property
    def metric_names(self) -> set:
        """Names of what `evaluate` reports."""
        raise NotImplementedError

    def tune(self, labels: list, outputs: list) -> "Problem":
        """The problem with what is chosen on a dev set."""
        return self

    def evaluate(self, labels: list, outputs: list, batch_size: int):
        """The `Evaluation` of outputs against labels.

        Args:
            labels: of each example, as in its `label`; none is None.
            outputs: of `answers`.
            batch_size: of the original's `loss`, see `mean_losses`.
        """
        raise NotImplementedError

    def prediction_files(self) -> dict:
        """{name: PredictionFile}."""
        raise NotImplementedError

    # --- What must be known beside the weights ------------------------------

    def learned(self) -> dict:
        """What task.json keeps of the problem; see `task_record`."""
        return {"problem": self.kind, "labels": self.labels}


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

    @functools.cached_property
    def ids(self) -> dict:
        return {label: index for index, label in enumerate(self.labels)}

    def label_value(self, label):
        # The original writes the first label where none is known.
        return 0 if label is None else self.ids[label]

    def loss_terms(self, class_weights, label_smoothing):
        return losses.classifier_loss(class_weights, label_smoothing)

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
        thresholds = [self.thresholds.get(label, 0.5) for label in self.labels]
        return (sigmoid(logits) >= np.array(thresholds)).astype(int)

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


@dataclasses.dataclass(frozen=True)
class Tagging(Problem):
    """A tag for each word of a sentence: a `tagging.Sentence`.

    Scores are those of named entities, as conlleval counts them.
    """

    labels: list

    main_metric = "f1"
    kind = "tags"
    description = "tags of words"
    refused_flags = ("class_weights", "classifier_hidden", *LONG_FLAGS)

    @functools.cached_property
    def ids(self) -> dict:
        return {label: index for index, label in enumerate(self.labels)}

    def prepare(self, examples, reader):
        windows = tagging.split_into_windows(
            examples, reader.tokenizer, reader.max_seq_length
        )
        if len(windows) > len(examples):
            logging.info(
                "%d sentences are read in %d windows of %d tokens",
                len(examples),
                len(windows),
                reader.max_seq_length,
            )
        return windows

    def feature_specs(self, reader):
        return tagging.tagging_specs(reader.max_seq_length)

    def convert(self, example, reader):
        return tagging.convert_window(
            example, self.ids, reader.max_seq_length, reader.tokenizer
        )

    def row_signature(self, reader):
        return {
            spec.name: tf.TensorSpec(spec.shape, tf.int32)
            for spec in self.feature_specs(reader)
        }

    def encode(self, example, reader):
        return self.convert(example, reader)[0]

    def features_of_rows(self, rows, reader):
        return rows

    def num_tokens(self, examples, reader):
        return np.array(
            [
                sum(map(len, window.pieces)) + window.num_cut + 2
                for window in examples
            ]
        )

    def build_model(self, config, settings):
        return heads.BertTokenClassifier(
            config, len(self.labels), settings.dropout_rate
        )

    def loss_terms(self, class_weights, label_smoothing):
        return losses.tagging_loss(label_smoothing)

    def answers(self, rows, examples):
        """Yields (sentence, float [words, C])."""
        return tagging.join_windows(
            (window, tagging.first_piece_rows(logits, row["label_mask"]))
            for window, (logits, row) in zip(examples, rows, strict=True)
        )

    @property
    def metric_names(self):
        return {
            *("eval_accuracy", "eval_loss", "precision", "recall", "f1"),
            "num_labels_predicted",
        }

    def tags(self, logits) -> list:
        return [self.labels[index] for index in logits.argmax(axis=-1)]

    def evaluate(self, labels, outputs, batch_size):
        predictions = [self.tags(logits) for logits in outputs]
        scores = entities.entity_scores(labels, predictions)
        label_ids = [self.ids[tag] for tags in labels for tag in tags]
        each = cross_entropies(np.concatenate(outputs), np.array(label_ids))
        results = {
            "eval_accuracy": scores["accuracy"],
            "eval_loss": each.mean(),
            "precision": scores["precision"],
            "recall": scores["recall"],
            "f1": scores["f1"],
        }
        number = len({*itertools.chain.from_iterable(predictions)})
        return Evaluation(
            as_float32(results),
            {"num_labels_predicted": number},
            reports.entity_report(scores),
            number < 2,
        )

    def prediction_files(self):
        return {
            "test_predictions.conll": PredictionFile(
                "",
                lambda sentence, logits: tagging.conll_lines(
                    sentence, self.tags(logits)
                ),
            )
        }


@dataclasses.dataclass(frozen=True)
class MultipleChoice(Problem):
    """Which of N endings fits: a `multiple_choice.ChoiceExample`.

    An example may have fewer than N endings.
    """

    num_choices: int

    kind = "multiple_choice"
    description = "multiple choice"
    refused_flags = (
        *("class_weights", "classifier_hidden", "label_smoothing"),
        *LONG_FLAGS,
    )

    labels = None  # A number says nothing about an ending.

    def feature_specs(self, reader):
        return [
            *(
                FeatureSpec(spec.name, (self.num_choices, *spec.shape))
                for spec in reader.sequence_specs()
            ),
            FeatureSpec("label_ids", ()),
            IS_REAL,
        ]

    def convert(self, example, reader):
        found = [
            reader.convert(example.text, ending) for ending in example.endings
        ]
        rows = [converted for converted, _ in found]
        rows += [reader.numbers([], [])] * (self.num_choices - len(rows))
        converted = {name: [r[name] for r in rows] for name in rows[0]}
        converted["label_ids"] = int(example.label or 0)
        tokens = [token for _, tokens in found for token in tokens]
        return {**converted, IS_REAL.name: 1}, tokens

    def row_signature(self, reader):
        return {
            "text": tf.string,
            "endings": tf.TensorSpec([self.num_choices], tf.string),
            "num_endings": tf.int32,
            "label_ids": tf.int32,
            IS_REAL.name: tf.int32,
        }

    def encode(self, example, reader):
        missing = self.num_choices - len(example.endings)
        endings = [ending.encode() for ending in example.endings]
        return {
            "text": example.text.encode(),
            "endings": endings + [b""] * missing,
            "num_endings": len(example.endings),
            "label_ids": int(example.label or 0),
            IS_REAL.name: 1,
        }

    def features_of_rows(self, rows, reader):
        number, length = self.num_choices, reader.max_seq_length
        texts = reader.read(
            tf.repeat(rows["text"], number),
            tf.reshape(rows["endings"], [-1]),
        )
        is_there = tf.range(number) < rows["num_endings"][:, tf.newaxis]
        is_there = tf.cast(is_there, tf.int32)[:, :, tf.newaxis]
        texts = {
            name: tf.reshape(ids, [-1, number, length]) * is_there
            for name, ids in texts.items()
        }
        others = ("label_ids", IS_REAL.name)
        return {**texts, **{name: rows[name] for name in others}}

    def num_tokens(self, examples, reader):
        """Of each example's longest sequence."""
        pairs = [(e.text, ending) for e in examples for ending in e.endings]
        lengths = reader.num_tokens(*zip(*pairs, strict=True))
        sizes = [len(example.endings) for example in examples]
        return np.maximum.reduceat(lengths, np.cumsum([0, *sizes[:-1]]))

    def build_model(self, config, settings):
        return heads.BertMultipleChoice(config, settings.dropout_rate)

    def loss_terms(self, class_weights, label_smoothing):
        return losses.classifier_loss()

    @property
    def metric_names(self):
        return {"eval_accuracy", "eval_loss", "loss", "num_labels_predicted"}

    def evaluate(self, labels, outputs, batch_size):
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

    def prediction_files(self):
        def probabilities(example, logits):
            return softmax(logits[: len(example.endings)])

        def best(example, logits):
            found = probabilities(example, logits)
            return line(example.guid, np.argmax(found), np.max(found))

        return {
            "test_results.tsv": PredictionFile(
                "", lambda *pair: line(*probabilities(*pair))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "label", "score"), best
            ),
        }

    def learned(self):
        return {"problem": self.kind}


def log_softmax(logits):
    """float [..., C] -> float64 [..., C]."""
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def softmax(logits):
    """float [..., C] -> float32 [..., C]."""
    return np.exp(log_softmax(logits)).astype(np.float32)


def sigmoid(logits):
    """float -> float32, of the same shape."""
    # Of a very negative logit e^-x is infinite, and the result 0.
    with np.errstate(over="ignore"):
        exact = 1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64)))
    return exact.astype(np.float32)


def cross_entropies(logits, label_ids):
    """-log softmax(logits)[label], [..., C] and int [...] -> float64 [...]."""
    log_probs = log_softmax(logits)
    index = np.asarray(label_ids)[..., np.newaxis]
    return -np.take_along_axis(log_probs, index, axis=-1)[..., 0]


def mean_losses(losses, batch_size: int) -> dict:
    """The original's two means of the losses of examples, [N].

    `eval_loss` is that over examples, and `loss` the mean of the mean losses
    of batches in the file's order, which differs where the last one is short.
    """
    batches = np.split(losses, range(batch_size, len(losses), batch_size))
    return {
        "eval_loss": losses.mean(),
        "loss": np.mean([batch.mean() for batch in batches]),
    }


def as_float32(results: dict) -> dict:
    """As the original prints them."""
    return {name: np.float32(value) for name, value in results.items()}
