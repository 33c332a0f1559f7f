"""What a person sees of a running training, and what TensorBoard shows.

ProgressBar    a bar on a terminal, or lines in a log; see `bert_tf.progress`
TensorBoard    writes the event files of a training
"""

import os

import keras
import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.progress import Reporter, format_seconds, keep_bar

# {name: number}, as callbacks get them.
Logs = dict[str, float]


class _StepReporter(Reporter):
    """Reports steps of a training.

    Only the time inside steps counts: evaluations would spoil the forecast,
    and so would the first steps, which build the graph.
    """

    def __init__(self, first_step: int, last_step: int, batch_size: int):
        super().__init__("examples")
        self.first_step = first_step
        self.last_step = last_step
        self.batch_size = batch_size
        self.num_steps = 0
        self.seconds_in_steps = 0.0
        self.start()

    def add_steps(self, step: int, logs: Logs) -> None:
        """Counts the steps up to `step`, which ended last."""
        self.step, self.logs = step, logs
        self.is_first = step - logs["steps"] == self.first_step
        if not self.is_first:
            num_steps = int(logs["steps"])
            self.num_steps += num_steps
            self.done += self.batch_size * num_steps
            self.seconds_in_steps += logs["seconds"]

    def needs_bar(self) -> bool:
        return True  # A second or so has passed, or it is the last step.

    def is_due(self) -> bool:
        is_last = self.step == self.last_step
        return self.is_first or is_last or super().is_due()

    def seconds(self) -> float:
        return max(self.seconds_in_steps, 1e-6)

    def text(self) -> str:
        text = (
            f"step {self.step}/{self.last_step}  "
            f"loss {self.logs['loss']:.4f}{terms_of(self.logs)}  "
            f"lr {self.logs['learning_rate']:.2e}"
        )
        if self.num_steps:
            seconds_per_step = self.seconds() / self.num_steps
            left = (self.last_step - self.step) * seconds_per_step
            text += (
                f"  {self.rate():,.1f} {self.unit}/s  "
                f"{format_seconds(left)} left"
            )
        return text

    def share(self) -> float:
        return self.step / self.last_step


def terms_of(logs: Logs) -> str:
    """The terms of a loss that has several: ` (labels 0.02, teacher 0.15)`.

    Args:
        logs: of a step.
    """
    terms = [
        f"{name.removesuffix('_loss').replace('_', ' ')} {value:.4f}"
        for name, value in logs.items()
        if name.endswith("_loss")
    ]
    return f" ({', '.join(terms)})" if len(terms) > 1 else ""


class ProgressBar(keras.callbacks.Callback):
    """Shows step, loss, learning rate, examples/s and the time left.

    It is a bar where `progress.bars_on` has a terminal. Elsewhere it is a log
    line now and then.

    Args:
        batch_size: examples in a step.
    """

    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.reporter = _StepReporter(
            self.params["start"], self.params["steps"], self.batch_size
        )

    def on_train_batch_end(self, step: int, logs: Logs) -> None:
        self.reporter.add_steps(step, logs)
        self.reporter.show()

    def on_train_end(self, logs: Logs | None = None) -> None:
        keep_bar()


class TensorBoard(keras.callbacks.Callback):
    """Writes event files: training's into a folder, evaluations' into `eval`.

    Args:
        folder: the folder of the run.
        batch_size: examples in a step.
    """

    def __init__(self, folder: str, batch_size: int):
        super().__init__()
        self.batch_size = batch_size
        self.folder = folder
        self.writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_train_batch_end(self, step: int, logs: Logs) -> None:
        no_scalars = ("steps", "seconds")
        scalars = {k: v for k, v in logs.items() if k not in no_scalars}
        examples = self.batch_size * logs["steps"]
        scalars["examples_per_second"] = examples / logs["seconds"]
        self._write("", step, scalars)

    def on_epoch_end(self, step: int, logs: Logs) -> None:
        """Writes the scores of an evaluation; see `training.train`."""
        self._write("eval", step, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        for writer in self.writers.values():
            writer.close()

    def _write(self, subfolder, step, scalars):
        path = os.path.join(self.folder, subfolder)
        if subfolder not in self.writers:
            self.writers[subfolder] = tf.summary.create_file_writer(path)
        # tf.summary.scalar writes the same, but needs TensorBoard installed.
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        writer = self.writers[subfolder]
        with files.naming(path, "cannot be written"), writer.as_default():
            for name, value in scalars.items():
                tf.summary.write(name, np.float32(value), step, metadata)
