"""Problem: what can be asked about an example.

    texts              SingleLabel        one of C labels
                       MultiLabel         any of C labels
    regression         Regression         a number
    tagging            Tagging            one of C tags for each word
    multiple_choice    MultipleChoice     one of N endings

A problem has the features of an example, its head, loss, scores and lines of
predictions. It reads and writes no files: examples come from `data`, and its
predictions are text.

Shape letters: N examples, C labels.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import scipy.special
import tensorflow as tf

from bert_tf import distillation_losses, heads, losses
from bert_tf.config import BertConfig
from bert_tf.data import pipeline
from bert_tf.data.features import FeatureSpec
from bert_tf.data.text_reader import TextReader
from bert_tf.export.confidence import NOT_FITTED, Confidence
from bert_tf.export.serving_modules import InputShape, ServingModule, Tensors

# Flags that say how texts longer than a sequence are read.
LONG_FLAGS = ("long_documents", "max_windows", "window_pooling", "doc_stride")
IS_REAL = FeatureSpec("is_real_example", ())

Example = Any  # Each problem has its own class.
Output = np.ndarray  # The model's logits for one example.
Outputs = Sequence[Output]
Labels = Sequence[Any]  # The labels of examples.
LossTerms = tuple[losses.LossTerm, ...]
Record = dict[str, Any]  # The values in task.json.


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Settings of the head, see `heads.BertClassifier`."""

    dropout_rate: float = heads.CLASSIFIER_DROPOUT
    hidden_units: int | None = None
    pooling: str = "mean"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The scores of a set.

    Attributes:
        results: {name: number} for eval_results.txt: the original's names
            alone, if it evaluates this kind of problem.
        metrics: {name: number}, more scores.
        report: the scores of each label, for `reports.format_report`.
        is_collapsed: whether all answers are the same.
    """

    results: dict[str, Any]
    metrics: dict[str, Any]
    report: dict[str, Any]
    is_collapsed: bool

    @property
    def scores(self) -> dict[str, Any]:
        return {**self.results, **self.metrics}


@dataclasses.dataclass(frozen=True)
class PredictionFile:
    """A file of predictions.

    Attributes:
        header: its first line, or "".
        text_of: function(example, output) -> str, whole lines.
        example_columns: function(example) -> {column: text} of columns that
            are added to each line: what was read. None adds none.
    """

    header: str
    text_of: Callable[[Example, Output], str]
    example_columns: Callable[[Example], dict[str, str]] | None = None

    def first_line(self, examples: Sequence[Example]) -> str:
        """The header of a file for these examples."""
        if self.example_columns is None or not len(examples):
            return self.header
        return _appended(
            self.header, self.example_columns(next(iter(examples)))
        )

    def lines(self, example: Example, output: Output) -> str:
        """The lines of one example."""
        text = self.text_of(example, output)
        if self.example_columns is None:
            return text
        return _appended(text, self.example_columns(example).values())


def _appended(text: str, cells: Iterable[str]) -> str:
    """Adds cells to a line; white space in them becomes one space."""
    cells = [" ".join(cell.split()) for cell in cells]
    return line(text.removesuffix("\n"), *cells)


def line(*cells: object) -> str:
    """Joins cells to a line of a TSV file."""
    return "\t".join(map(str, cells)) + "\n"


class Problem:
    """Base of all problems.

    Attributes:
        kind: name of the kind of its answers, see `export.kinds`.
        labels: every label, in the order of the model's outputs; None if the
            problem has no labels.
        description: its name in messages.
        main_metric: the metric that chooses the best checkpoint by default.
        refused_flags: flags of the program that do not apply to this problem.
        tunes: whether `tune` does anything.
        calibrates: whether its answers have probabilities that a temperature
            may change; then it has `judged` and `probabilities`, and is a
            dataclass with a field `confidence`.
        gives_sets: whether sets of its labels can be given, too.
        confidence: how sure its answers are, see `tasks.confidence`.
    """

    kind: str
    labels: list[str] | None
    description: str
    main_metric: str = "eval_accuracy"
    refused_flags: tuple[str, ...] = ()
    tunes: bool = False
    gives_sets: bool = False
    confidence: Confidence = NOT_FITTED

    @property
    def calibrates(self) -> bool:
        return False

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """{label: its place among the outputs}."""
        return {label: index for index, label in enumerate(self.labels or ())}

    # --- Examples to features ---------------------------------------------

    def prepare(
        self, examples: Sequence[Example], reader: TextReader
    ) -> Sequence[Example]:
        """Checks examples, and splits those that become several rows."""
        self.check(examples, reader)
        return examples

    def check(self, examples: Sequence[Example], reader: TextReader) -> None:
        """Raises UserError if the reader cannot read examples like these."""

    def feature_specs(self, reader: TextReader) -> list[FeatureSpec]:
        """Returns the features of an example."""
        raise NotImplementedError

    def convert(
        self, example: Example, reader: TextReader
    ) -> tuple[dict[str, Any], list[str]]:
        """Converts an example in Python.

        Returns:
            (a value for each of `feature_specs`, the tokens without padding).
        """
        raise NotImplementedError

    def row_signature(self, reader: TextReader) -> dict[str, Any]:
        """Returns the types of `encode`'s values, for the pipeline."""
        raise NotImplementedError

    def encode(self, example: Example, reader: TextReader) -> dict[str, Any]:
        """Returns an example as it is shuffled, not tokenized yet."""
        raise NotImplementedError

    def features_of_rows(self, rows: Tensors, reader: TextReader) -> Tensors:
        """Converts `encode`'s values, {name: [N, …]}, in the graph."""
        raise NotImplementedError

    def rows(
        self, examples: Iterable[Example], reader: TextReader
    ) -> tf.data.Dataset:
        """Returns a data set of what `encode` makes of each example."""
        return pipeline.from_examples(
            examples,
            functools.partial(self.encode, reader=reader),
            self.row_signature(reader),
        )

    def num_tokens(
        self, examples: list[Example], reader: TextReader
    ) -> np.ndarray:
        """Counts each example's tokens, int [N], if nothing were cut off."""
        raise NotImplementedError

    def item_of(self, example: Example) -> dict[str, Any]:
        """Returns an example as `Predictor` takes it."""
        raise NotImplementedError

    # --- The model ----------------------------------------------------------

    def build_model(
        self, config: BertConfig, settings: HeadSettings
    ) -> keras.Model:
        """Builds the encoder with this problem's head."""
        raise NotImplementedError

    def loss_terms(
        self, class_weights: Any, label_smoothing: float
    ) -> LossTerms:
        """Returns what training minimizes, see `losses`."""
        raise NotImplementedError

    def teacher_loss(self, temperature: float) -> LossTerms:
        """Returns how a teacher's answers count: `distillation_losses`."""
        return distillation_losses.softmax_loss(temperature)

    def serving_module(
        self,
        model: keras.Model,
        reader: TextReader,
        shape: InputShape,
        takes_pairs: bool,
    ) -> ServingModule:
        """Returns the module that is exported.

        Args:
            model: a model of `build_model`.
            reader: the reader of the training.
            shape: the fixed sizes of the inputs.
            takes_pairs: whether each text has a second one.
        """
        raise NotImplementedError

    # --- Its answers --------------------------------------------------------

    def predictions(
        self,
        rows: Iterable[tuple[Output, dict[str, Any]]],
        examples: Sequence[Example],
    ) -> Iterator[tuple[Example, Output]]:
        """Yields (example, output) for each example, in the file's order.

        Args:
            rows: (outputs, features) of `pipeline.in_file_order`.
            examples: what `prepare` returned.
        """
        for example, (output, _) in zip(examples, rows, strict=True):
            yield example, output

    @property
    def metric_names(self) -> set[str]:
        """The names of the scores of `evaluate`."""
        raise NotImplementedError

    def tune(
        self, labels: Labels, outputs: Outputs, metric: str = ""
    ) -> "Problem":
        """Returns the problem with values chosen on a dev set.

        Args:
            labels: the `label` of each example; none of them is None.
            outputs: those of `predictions`.
            metric: the metric that they are chosen by, one of `metric_names`;
                `main_metric` where it does not depend on them.
        """
        return self

    def judged(
        self, labels: Labels, outputs: Outputs
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what a temperature is fitted on.

        Args:
            labels: the `label` of each example; none of them is None.
            outputs: those of `predictions`.

        Returns:
            (logits, float [N, C]; label ids, int [N] or [N, C]), as
            `metrics.calibration` takes them. The id of a label that the model
            does not know is C or more.
        """
        raise NotImplementedError

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """float [..., C] -> float32 [..., C], with the temperature."""
        raise NotImplementedError

    def with_confidence(self, confidence: Confidence) -> Self:
        """Returns the problem with another confidence, and the same answers."""
        changed: Any = self  # Those that calibrate are dataclasses.
        return dataclasses.replace(changed, confidence=confidence)

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        """Scores outputs against labels.

        Args:
            labels: the `label` of each example; none of them is None.
            outputs: those of `predictions`.
            batch_size: the batch size of the original's `loss`, see
                `mean_losses`.
        """
        raise NotImplementedError

    def example_columns(self, example: Example) -> dict[str, str]:
        """Returns what people want to see of an example next to its answer."""
        return {}

    def report_row(self, example: Example, output: Output) -> dict[str, Any]:
        """Returns what the run's report shows of an example, for JSON.

        Args:
            example: one of `prepare`'s examples.
            output: its logits.

        Returns:
            "id", the texts as `item_of` has them, "label", None where it is
            not known, and "logits"; a problem whose logits mean nothing by
            themselves has others. See `report.sections`.
        """
        return {
            "id": example.guid,
            **self.item_of(example),
            "label": example.label,
            "logits": np.round(output, 4),
        }

    def prediction_files(self) -> dict[str, PredictionFile]:
        """Returns the files of predictions by their names."""
        raise NotImplementedError

    def other_prediction_files(self) -> list[str]:
        """Returns names of files of an earlier run with the same answers."""
        return []

    # --- What must be known besides the weights -----------------------------

    def record(self) -> Record:
        """Returns what a later run with the same weights must know, for JSON.

        It is kept in task.json, and in the model.json of an export.
        """
        return {"labels": self.labels, **self.confidence.record()}

    @classmethod
    def check_record(cls, record: Mapping[str, Any]) -> None:
        """Raises ValueError unless `record` could have returned the values."""
        labels = record.get("labels")
        if not isinstance(labels, list) or not all(
            isinstance(label, str) for label in labels
        ):
            raise ValueError("labels must be a list of str")
        Confidence.from_record(record)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float [..., C] -> float32 [..., C]."""
    exact = scipy.special.softmax(np.asarray(logits, np.float64), axis=-1)
    return exact.astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float -> float32, of the same shape."""
    exact = scipy.special.expit(np.asarray(logits, np.float64))
    return exact.astype(np.float32)


def cross_entropies(logits: np.ndarray, label_ids: np.ndarray) -> np.ndarray:
    """-log softmax(logits)[label], [..., C] and int [...] -> float64 [...]."""
    logits = np.asarray(logits, np.float64)
    log_probs = scipy.special.log_softmax(logits, axis=-1)
    index = np.asarray(label_ids)[..., np.newaxis]
    return -np.take_along_axis(log_probs, index, axis=-1)[..., 0]


def mean_losses(each: np.ndarray, batch_size: int) -> dict[str, Any]:
    """Computes the original's two means of the losses of examples, [N].

    `eval_loss` is the mean over examples, and `loss` the mean over batches, in
    the file's order, of their means. They differ if the last batch is short.
    Both are nan without examples.
    """
    if not len(each):
        return {"eval_loss": math.nan, "loss": math.nan}
    batches = np.split(each, range(batch_size, len(each), batch_size))
    return {
        "eval_loss": each.mean(),
        "loss": np.mean([batch.mean() for batch in batches]),
    }


def as_float32(results: Mapping[str, Any]) -> dict[str, Any]:
    """Rounds scores to float32, in which the original prints them."""
    return {name: np.float32(value) for name, value in results.items()}
