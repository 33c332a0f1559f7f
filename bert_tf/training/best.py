"""Keeps the best weights by a dev metric, and stops a training early."""

from collections.abc import Callable

import keras
import tensorflow as tf
from absl import logging

from bert_tf import checkpoints
from bert_tf.metrics.comparing import best_of

# An evaluation: {"step": …, metric: …}.
Scores = dict[str, float]


class DevScores(keras.callbacks.Callback):
    """Follows a metric over the evaluations of a training.

    It keeps the weights of the best evaluation in a folder, and ends training
    after `patience` evaluations that are not better.

    Args:
        history: the evaluations so far, which a run that resumes brings along.
        metric: the metric that makes an evaluation the best.
        patience: see above; 0 never ends training.
        folder: folder of the best checkpoint.
        record: function(history), called after each evaluation.
        writes: whether this process writes files.
    """

    def __init__(
        self,
        *,
        history: list[Scores],
        metric: str,
        patience: int,
        folder: str,
        record: Callable[[list[Scores]], None],
        writes: bool,
    ):
        super().__init__()
        self.history = list(history)
        self.metric = metric
        self.patience = patience
        self.saver = checkpoints.CheckpointFolder(folder, max_to_keep=1)
        if writes:
            self.saver.clean()
        self.record = record
        self.writes = writes

    def best(self) -> Scores | None:
        """The best evaluation so far."""
        return best_of(self.history, self.metric)

    def is_exhausted(self) -> bool:
        """Whether the last `patience` evaluations were no better."""
        best = self.best()
        if not self.patience or not best:
            return False
        since = len(self.history) - 1 - self.history.index(best)
        return since >= self.patience

    def on_epoch_end(self, step: int, logs: Scores) -> None:
        """Takes the scores of an evaluation; see `training.train`."""
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
        """Why training ended early, in a few words."""
        best = self.best()
        if best is None:
            return f"no evaluation had {self.metric}"
        return (
            f"{self.metric} was no better than {best[self.metric]:.4g}, of "
            f"step {best['step']}, in {self.patience} evaluations"
        )
