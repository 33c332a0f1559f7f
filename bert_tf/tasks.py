"""Task: what run_classifier needs to know about each task."""

import dataclasses
from collections.abc import Callable

import numpy as np

from bert_tf import losses, metrics
from bert_tf.config import BertConfig
from bert_tf.data import glue
from bert_tf.errors import UserError
from bert_tf.heads import BertClassifier


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

    loss_terms = losses.CLASSIFIER_LOSS

    @property
    def labels(self) -> list:
        return self.processor.get_labels()

    def feature_specs(self, max_seq_length: int) -> list:
        return glue.classification_specs(max_seq_length)

    def convert(self, example, max_seq_length: int, tokenizer):
        """(features, tokens, truncated), as `glue.convert_single_example`."""
        label_ids = {label: i for i, label in enumerate(self.labels)}
        return glue.convert_single_example(
            example, label_ids, max_seq_length, tokenizer
        )

    def build_model(self, config: BertConfig) -> BertClassifier:
        return BertClassifier(config, len(self.labels))

    def evaluate(self, batches):
        """Scores the (logits, batch) pairs that `training.predict` yields.

        Returns:
            (results, metrics). `results` has the original's keys, each a
            float32: eval_accuracy and eval_loss over examples, and loss, the
            mean of the batches' mean losses, which differs from eval_loss
            where the last batch is short. `metrics` has this task's own.
        """
        all_losses, batch_losses, label_ids, predictions = [], [], [], []
        for logits, batch in batches:
            real = batch["is_real_example"] == 1
            if not real.any():
                continue
            labels = batch["label_ids"][real]
            log_probs = log_softmax(logits[real])
            example_losses = -log_probs[np.arange(len(labels)), labels]
            all_losses.append(example_losses)
            batch_losses.append(example_losses.mean())
            label_ids.append(labels)
            predictions.append(logits[real].argmax(axis=-1))
        label_ids = np.concatenate(label_ids)
        predictions = np.concatenate(predictions)
        results = {
            "eval_accuracy": metrics.accuracy(label_ids, predictions),
            "eval_loss": np.concatenate(all_losses).mean(),
            "loss": np.mean(batch_losses),
        }
        extra = {
            name: metric(label_ids, predictions)
            for name, metric in self.metrics.items()
        }
        return {k: np.float32(v) for k, v in results.items()}, extra

    def probabilities(self, batches):
        """Yields one float32 [C] for each real example, in order."""
        for logits, batch in batches:
            real = batch["is_real_example"] == 1
            probabilities = np.exp(log_softmax(logits[real]))
            yield from probabilities.astype(np.float32)


def log_softmax(logits):
    """float [B, C] -> float64 [B, C]."""
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
