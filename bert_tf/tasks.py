"""Task: what run_classifier needs to know about each task."""

import dataclasses
from collections.abc import Callable

import numpy as np

from bert_tf import losses, metrics
from bert_tf.config import BertConfig
from bert_tf.data import glue
from bert_tf.errors import UserError
from bert_tf.heads import BertClassifier

# What every task reports, the keys of the original's eval_results.txt.
RESULTS = ("eval_accuracy", "eval_loss", "loss")


@dataclasses.dataclass(frozen=True)
class Task:
    """One label for each text or pair of texts.

    Attributes:
        name: the value of --task_name.
        processor: reads the task's files.
        metrics: {name: function(label_ids, predictions)}, reported beside
            the accuracy.
    """

    name: str
    processor: glue.DataProcessor
    metrics: dict[str, Callable] = dataclasses.field(default_factory=dict)

    loss_terms = staticmethod(losses.classifier_loss)

    @property
    def labels(self) -> list:
        return self.processor.get_labels()

    @property
    def metric_names(self) -> set:
        """What `evaluate` reports."""
        return {*RESULTS, *self.metrics, "num_labels_predicted"}

    def feature_specs(self, max_seq_length: int) -> list:
        return glue.classification_specs(max_seq_length)

    def convert(self, example, max_seq_length: int, tokenizer):
        """(features, tokens, truncated), as `glue.convert_single_example`."""
        label_ids = {label: i for i, label in enumerate(self.labels)}
        return glue.convert_single_example(
            example, label_ids, max_seq_length, tokenizer
        )

    def rows(self, examples):
        """A dataset of the examples; `features_of_rows` reads its batches."""
        label_ids = {label: i for i, label in enumerate(self.labels)}
        return glue.text_rows(examples, label_ids)

    features_of_rows = staticmethod(glue.features_of_rows)
    sequence_lengths = staticmethod(glue.sequence_lengths)

    def build_model(self, config: BertConfig, dropout_rate: float):
        return BertClassifier(config, len(self.labels), dropout_rate)

    def evaluate(self, rows, batch_size: int):
        """Scores (logits, features) of each example, in the file's order.

        Args:
            rows: float [C] and a dict for each, of `pipeline.in_file_order`.
            batch_size: of the original's batches, see below.

        Returns:
            (results, metrics). `results` has the original's keys, each a
            float32: eval_accuracy and eval_loss over examples, and loss, the
            mean of the mean losses of batches in the file's order, which
            differs from eval_loss where the last batch is short. `metrics`
            has this task's own.
        """
        logits, label_ids = [], []
        for row_logits, row in rows:
            logits.append(row_logits)
            label_ids.append(row["label_ids"])
        logits, label_ids = np.stack(logits), np.array(label_ids)
        log_probs = log_softmax(logits)
        losses = -log_probs[np.arange(len(label_ids)), label_ids]
        predictions = logits.argmax(axis=-1)
        batches = np.split(losses, range(batch_size, len(losses), batch_size))
        results = {
            "eval_accuracy": metrics.accuracy(label_ids, predictions),
            "eval_loss": losses.mean(),
            "loss": np.mean([batch.mean() for batch in batches]),
        }
        extra = {
            name: metric(label_ids, predictions)
            for name, metric in self.metrics.items()
        }
        extra["num_labels_predicted"] = len(np.unique(predictions))
        return {k: np.float32(v) for k, v in results.items()}, extra

    def probabilities(self, rows):
        """Yields one float32 [C] for each (logits, features), in order."""
        for logits, _ in rows:
            yield np.exp(log_softmax(logits)).astype(np.float32)


def log_softmax(logits):
    """float [..., C] -> float64 [..., C]."""
    logits = logits.astype(np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


TASKS = {
    task.name: task
    for task in (
        Task(
            "cola",
            glue.ColaProcessor(),
            {"matthews_correlation": metrics.matthews_correlation},
        ),
        Task("mnli", glue.MnliProcessor()),
        Task("mrpc", glue.MrpcProcessor(), {"f1": metrics.f1}),
        Task("sms", glue.SmsProcessor(), {"f1": metrics.f1}),
        Task("sst-2", glue.Sst2Processor()),
        Task("xnli", glue.XnliProcessor()),
    )
}


def get_task(name: str) -> Task:
    """The task of a --task_name, upper or lower case.

    Raises:
        UserError: there is none; the message lists those that exist.
    """
    try:
        return TASKS[name.lower()]
    except KeyError:
        raise UserError(
            f"--task_name={name}: unknown task; known are {', '.join(TASKS)}"
        ) from None
