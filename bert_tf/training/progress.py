"""What a person sees of a running training: a bar, or lines in a log."""

import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import files

SECONDS_BETWEEN_LINES = 10.0


def format_seconds(seconds: float) -> str:
    """3 725 s -> "1:02:05"; 65 s -> "1:05"."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"


def counted(stream, total: int | None = None, what: str = "texts"):
    """Yields what `stream` does, and logs now and then how far it is.

    Args:
        stream: iterable.
        total: how many there will be; None where nobody knows.
        what: they are.
    """
    start = last = time.monotonic()
    for number, value in enumerate(stream, start=1):
        yield value
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES:
            last = now
            speed = number / (now - start)
            if total is None:
                logging.info("%d %s  %.1f %s/s", number, what, speed, what)
                continue
            logging.info(
                "%d of %d %s  %.1f %s/s  %s left",
                number,
                total,
                what,
                speed,
                what,
                format_seconds((total - number) / speed),
            )


class Progress(keras.callbacks.Callback):
    """Shows step, loss, learning rate, examples/s and the time left.

    A bar that rewrites its line where `stream` is a terminal; elsewhere a log
    line now and then, for files and pipes.

    Args:
        batch_size: examples in a step.
        stream: where the bar goes; default: standard error.
    """

    def __init__(self, batch_size: int, stream=None):
        super().__init__()
        self.batch_size = batch_size
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()

    def on_train_begin(self, logs=None):
        self.start_step = self.params["start"]
        self.last_line = time.monotonic()
        # The first steps build the graph; they would spoil the forecast.
        self.steps = self.seconds = 0

    def on_train_batch_end(self, step, logs):
        is_first = step - logs["steps"] == self.start_step
        if not is_first:
            self.steps += logs["steps"]
            self.seconds += logs["seconds"]
        text = self._describe(step, logs)
        if self.is_terminal:
            self.stream.write(f"\r{self._bar(step)} {text}\033[K")
            self.stream.flush()
            return
        is_last = step == self.params["steps"]
        due = time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES
        if due or is_first or is_last:
            logging.info(text)
            self.last_line = time.monotonic()

    def on_train_end(self, logs=None):
        if self.is_terminal:
            self.stream.write("\n")  # What comes next starts a new line.

    def _describe(self, step, logs):
        total = self.params["steps"]
        text = (
            f"step {step}/{total}  loss {logs['loss']:.4f}  "
            f"lr {logs['learning_rate']:.2e}"
        )
        if self.steps:
            seconds_per_step = max(self.seconds, 1e-6) / self.steps
            text += (
                f"  {self.batch_size / seconds_per_step:.1f} examples/s  "
                f"{format_seconds((total - step) * seconds_per_step)} left"
            )
        return text

    def _bar(self, step, width=20):
        done = width * step // self.params["steps"]
        return "[" + "=" * done + "." * (width - done) + "]"


class TensorBoard(keras.callbacks.Callback):
    """Writes event files: training's into a folder, evaluations' into `eval`.

    Args:
        folder: of the run.
        batch_size: examples in a step.
    """

    def __init__(self, folder: str, batch_size: int):
        super().__init__()
        self.batch_size = batch_size
        self.folder = folder
        self.writers = {}

    def on_train_batch_end(self, step, logs):
        no_scalars = ("steps", "seconds")
        scalars = {k: v for k, v in logs.items() if k not in no_scalars}
        examples = self.batch_size * logs["steps"]
        scalars["examples_per_second"] = examples / logs["seconds"]
        self._write("", step, scalars)

    def on_epoch_end(self, step, logs):
        self._write("eval", step, logs)

    def on_train_end(self, logs=None):
        for writer in self.writers.values():
            writer.close()

    def _write(self, subfolder, step, scalars):
        path = os.path.join(self.folder, subfolder)
        if subfolder not in self.writers:
            self.writers[subfolder] = tf.summary.create_file_writer(path)
        # As tf.summary.scalar does, which needs TensorBoard to be installed.
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        writer = self.writers[subfolder]
        with files.naming(path, "cannot be written"), writer.as_default():
            for name, value in scalars.items():
                tf.summary.write(name, np.float32(value), step, metadata)
