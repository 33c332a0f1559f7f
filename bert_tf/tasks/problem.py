"""What can be asked about an example: its features, head, loss and scores.

    text_problems      SingleLabel        one of C labels
                       MultiLabel         any of C labels
                       Regression         a number
    tagging_problem    Tagging            one of C tags for each word
    choice_problem     MultipleChoice     one of N endings

Here is what they have in common. A problem knows nothing of files: examples
come from `data`, and what is written is text.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bert_tf import heads
from bert_tf.config import BertConfig
from bert_tf.data import pipeline
from bert_tf.data.features import FeatureSpec
from bert_tf.data.text_reader import TextReader
from bert_tf.export.answering import Answering, Shape

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

    @functools.cached_property
    def ids(self) -> dict:
        """{label: its place among the outputs}."""
        return {label: index for index, label in enumerate(self.labels)}

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

    def answering(
        self, model, reader: TextReader, shape: Shape, takes_pairs: bool
    ) -> Answering:
        """What an exported model computes.

        Args:
            model: of `build_model`.
            reader: as in training.
            shape: what of the inputs' shapes is fixed.
            takes_pairs: whether a second text belongs to each.
        """
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
