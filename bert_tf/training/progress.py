"""Shows how far long work is: a bar on a terminal, or lines in a log.

Reporter       counts work of any kind, and logs a line now and then
with_progress  reports on what an iterable yields
ProgressBar    reports on a training
TensorBoard    writes the event files of a training
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import files

SECONDS_BETWEEN_LINES = 10.0
T = TypeVar("T")
# {name: number}, as callbacks get them.
Logs = dict[str, float]


def format_seconds(seconds: float) -> str:
    """3 725 s -> "1:02:05"; 65 s -> "1:05"."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"


class Reporter:
    """Counts work while it is done, and logs a line now and then.

    Its clock starts with `start`, or else with the first `add`. A subclass
    that has more to say overrides `text`.

    Args:
        unit: what is counted, in the plural.
        total: how much of it there will be; None if that is unknown.

    Attributes:
        done: how much of it is done.
    """

    def __init__(self, unit: str, total: int | None = None):
        self.unit = unit
        self.total = total
        self.done = 0
        self.started_at: float | None = None
        self.last_line_at = 0.0

    def start(self) -> None:
        """Starts the clock."""
        self.started_at = self.last_line_at = time.monotonic()

    def add(self, number: int = 1) -> None:
        """Counts work that was done; logs if the last line is long ago."""
        if self.started_at is None:
            self.start()
        self.done += number
        if self.is_due():
            self.log()

    def is_due(self) -> bool:
        """Whether the last line is long ago."""
        return time.monotonic() - self.last_line_at > SECONDS_BETWEEN_LINES

    def log(self) -> None:
        """Logs a line now, if anything has started."""
        if self.started_at is not None:
            self.last_line_at = time.monotonic()
            logging.info(self.text())

    def seconds(self) -> float:
        """How long the work has taken so far; never 0."""
        return max(time.monotonic() - (self.started_at or 0.0), 1e-6)

    def rate(self) -> float:
        """How much is done in a second."""
        return self.done / self.seconds()

    def text(self) -> str:
        """The line: `30 of 90 texts  10.0 texts/s  0:06 left`."""
        rate = self.rate()
        speed = f"{self.unit}  {rate:.1f} {self.unit}/s"
        if self.total is None:
            return f"{self.done} {speed}"
        left = format_seconds((self.total - self.done) / rate)
        return f"{self.done} of {self.total} {speed}  {left} left"


def with_progress(
    stream: Iterable[T], total: int | None = None, unit: str = "texts"
) -> Iterator[T]:
    """Yields what `stream` yields, and logs now and then how far it is.

    Args:
        stream: values of any kind.
        total: how many there will be; None if that is unknown.
        unit: what they are, in the plural.
    """
    reporter = Reporter(unit, total)
    reporter.start()
    for value in stream:
        yield value
        reporter.add()


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

    def is_due(self) -> bool:
        is_last = self.step == self.last_step
        return self.is_first or is_last or super().is_due()

    def seconds(self) -> float:
        return max(self.seconds_in_steps, 1e-6)

    def text(self) -> str:
        text = (
            f"step {self.step}/{self.last_step}  "
            f"loss {self.logs['loss']:.4f}  lr {self.logs['learning_rate']:.2e}"
        )
        if self.num_steps:
            seconds_per_step = self.seconds() / self.num_steps
            left = (self.last_step - self.step) * seconds_per_step
            text += (
                f"  {self.rate():.1f} {self.unit}/s  "
                f"{format_seconds(left)} left"
            )
        return text

    def bar(self, width: int = 20) -> str:
        done = width * self.step // self.last_step
        return "[" + "=" * done + "." * (width - done) + "]"


class DocumentReporter(Reporter):
    """Logs, now and then, how many documents are done, and how fast.

    Args:
        verb: what is done with documents, in the past tense.
    """

    def __init__(self, verb: str):
        super().__init__("documents")
        self.verb = verb
        self.num_characters = 0
        self.share_done: float | None = None

    def add_documents(
        self,
        number: int = 1,
        num_characters: int = 0,
        share_done: float | None = None,
    ) -> None:
        """Counts documents.

        Args:
            number: how many.
            num_characters: in these documents, if that is counted.
            share_done: share of the whole work that is done, if it is known.
        """
        self.num_characters += num_characters
        self.share_done = share_done
        self.add(number)

    def text(self) -> str:
        """The line: `Read 1,200 documents, 400/s, 2.10 MB/s`."""
        text = f"{self.verb} {self.done:,} {self.unit}, {self.rate():,.0f}/s"
        seconds = self.seconds()
        if self.num_characters:
            text += f", {self.num_characters / seconds / 1e6:.2f} MB/s"
        if self.share_done:
            left = format_seconds(seconds / self.share_done - seconds)
            text += f", {100 * self.share_done:.0f} %, {left} left"
        return text


class ProgressBar(keras.callbacks.Callback):
    """Shows step, loss, learning rate, examples/s and the time left.

    Where `stream` is a terminal it is a bar that rewrites its line. In files
    and pipes it is a log line now and then.

    Args:
        batch_size: examples in a step.
        stream: where the bar goes; default: standard error.
    """

    def __init__(self, batch_size: int, stream: TextIO | None = None):
        super().__init__()
        self.batch_size = batch_size
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.reporter = _StepReporter(
            self.params["start"], self.params["steps"], self.batch_size
        )

    def on_train_batch_end(self, step: int, logs: Logs) -> None:
        self.reporter.add_steps(step, logs)
        if self.is_terminal:
            text = f"{self.reporter.bar()} {self.reporter.text()}"
            self.stream.write(f"\r{text}\033[K")
            self.stream.flush()
        elif self.reporter.is_due():
            self.reporter.log()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.is_terminal:
            self.stream.write("\n")  # The next output starts a new line.


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
