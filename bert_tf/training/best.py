"""Keeps the best weights by a dev metric, and stops a training early."""

import keras
import tensorflow as tf
from absl import logging

from bert_tf import checkpoints


def is_better(value: float, other: float, metric: str) -> bool:
    """Of a loss or an error the lower one is, of other metrics the higher."""
    is_lower_better = metric.endswith(("loss", "error"))
    return value < other if is_lower_better else value > other


class DevScores(keras.callbacks.Callback):
    """Follows --metric_for_best over the evaluations while training.

    It keeps the weights of the best one in --output_dir/best, and ends
    training when there was no better one for --early_stopping_patience.

    Args:
        history: list of {"step": …, metric: …}, one for each evaluation so
            far, which a run that resumes brings along.
        metric: --metric_for_best.
        patience: --early_stopping_patience; 0 for ever.
        folder: of the best checkpoint.
        record: function(history), called after each evaluation.
        writes: whether this process writes files.
    """

    def __init__(self, history, metric, patience, folder, record, writes):
        super().__init__()
        self.history = list(history)
        self.metric = metric
        self.patience = patience
        self.saver = checkpoints.CheckpointFolder(folder, max_to_keep=1)
        if writes:
            self.saver.clean()
        self.record = record
        self.writes = writes

    @staticmethod
    def best_of(history, metric) -> dict | None:
        """The first of the best evaluations that know the metric."""
        best = None
        for scores in history:
            if metric in scores and (
                best is None or is_better(scores[metric], best[metric], metric)
            ):
                best = scores
        return best

    def best(self) -> dict | None:
        return self.best_of(self.history, self.metric)

    def is_exhausted(self) -> bool:
        best = self.best()
        if not self.patience or not best:
            return False
        since = len(self.history) - 1 - self.history.index(best)
        return since >= self.patience

    def on_epoch_end(self, step, logs):
        shown = ", ".join(f"{k} = {v:.4g}" for k, v in sorted(logs.items()))
        logging.info("step %d: %s", step, shown)
        numbers = {name: float(value) for name, value in logs.items()}
        self.history.append({"step": step, **numbers})
        if self.writes and self.best() is self.history[-1]:
            tensors = checkpoints.tensors_of(self.model)
            tensors["global_step"] = tf.constant(step, tf.int64)
            self.saver.save(tensors, step)
        self.record(self.history)
        if self.is_exhausted():
            self.model.stop_training = True

    def describe(self) -> str:
        best = self.best()
        return (
            f"{self.metric} was no better than {best[self.metric]:.4g}, of "
            f"step {best['step']}, in {self.patience} evaluations"
        )
