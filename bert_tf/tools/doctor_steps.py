"""Trains a few steps, to say how long a run takes and what memory it needs."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from bert_tf import losses, training
from bert_tf.config import BertConfig
from bert_tf.data.features import FeatureSpec
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.data.squad import dataset as squad_dataset
from bert_tf.doctor.findings import Finding
from bert_tf.doctor.machine import GIB
from bert_tf.heads import BertSpanLabeler
from bert_tf.programs import (
    devices,
    labelled_run,
    pretraining_objectives,
    training_run,
    weights,
)
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.tasks.problem import Problem
from bert_tf.tokenization import FullTokenizer
from bert_tf.training.progress import format_seconds

FLAGS = flags.FLAGS
MULTIPLE = 8  # Batches are padded to it.
NUM_FIRST = 2  # Steps that build the graph, and are not counted.


def measure(
    number: int,
    make_model: Callable[[], keras.Model],
    loss_terms: Any,
    features: dict[str, np.ndarray],
    num_train_steps: int,
    steps_per_epoch: float | None = None,
    teacher_of: Callable[[keras.Model], training.Teacher | None] | None = None,
) -> Finding:
    """Trains some steps from random weights, and takes their time.

    Args:
        number: of the steps.
        make_model: function() -> model.
        loss_terms: what training minimizes.
        features: of one batch, which all steps read.
        num_train_steps: of the whole run.
        steps_per_epoch: steps that read all examples once, if it is known.
        teacher_of: function(model) -> its teacher, if it has one.
    """
    strategy = devices.set_up(["train"])
    settings = from_flags(RunSettings, FLAGS.flag_values_dict())
    training.set_seed(settings.seed)
    with strategy.scope():
        model = make_model()
    weights.prepare(model, devices.needs_static_shapes(strategy))
    with strategy.scope():
        teacher = teacher_of(model) if teacher_of else None
    total = NUM_FIRST + number
    trainer = training_run.make_trainer(
        model,
        strategy,
        loss_terms,
        settings=settings,
        num_train_steps=total,
        num_warmup_steps=0,
        teacher=teacher,
    )
    clock = _Clock()

    def batches(first_step: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(features).repeat()

    training.train(
        trainer, batches, total, max_steps_per_loop=1, callbacks=[clock]
    )
    seconds = float(np.median(clock.seconds[NUM_FIRST:]))
    whole = format_seconds(seconds * num_train_steps)
    has_teacher = FLAGS.flag_values_dict().get("teacher")
    alone = " without the teacher" if has_teacher and not teacher else ""
    epoch = ""
    if steps_per_epoch is not None:
        epoch = f"an epoch {format_seconds(seconds * steps_per_epoch)}, "
    return Finding(
        severity="note",
        name="time",
        what=f"a training step{alone} takes {seconds:.2f} s, {epoch}and all "
        f"{num_train_steps} steps {whole}; the process had "
        f"{clock.gib():.1f} GiB of memory at the most",
    )


def batch_of(
    specs: Sequence[FeatureSpec],
    batch_size: int,
    lengths: Sequence[int],
    max_seq_length: int,
) -> dict[str, np.ndarray]:
    """A batch with sequences of random tokens, as long as those of the run.

    Args:
        specs: the features of an example.
        batch_size: of the training.
        lengths: tokens of some sequences; [] for sequences of full length.
        max_seq_length: the setting.
    """
    draw = np.random.default_rng(0)
    chosen = draw.choice(lengths or [max_seq_length], batch_size)
    chosen = np.minimum(chosen, max_seq_length)
    width = min(max_seq_length, -(-int(chosen.max()) // MULTIPLE) * MULTIPLE)
    mask = (np.arange(width) < chosen[:, np.newaxis]).astype(np.int32)
    batch = {}
    for spec in specs:
        shape = list(spec.shape)
        if spec.name in ("input_ids", "input_mask", "segment_ids"):
            shape[-1] = width
        dtype = np.float32 if spec.dtype == "float32" else np.int32
        values = np.zeros((batch_size, *shape), dtype)
        if spec.name in ("input_ids", "input_mask"):
            values += mask.reshape(batch_size, *[1] * (len(shape) - 1), width)
        elif spec.name == "masked_lm_weights":
            values += 1
        batch[spec.name] = values
    return batch


def of_classifier(
    number: int,
    problem: Problem,
    config: BertConfig,
    tokenizer: FullTokenizer,
    lengths: Sequence[int],
    num_train_steps: int,
    num_examples: int,
) -> Finding:
    """Measures steps of run_classifier; see `measure` and `batch_of`."""
    values = FLAGS.flag_values_dict()
    reader = labelled_run.make_reader(tokenizer, values)
    return measure(
        number,
        lambda: labelled_run.build_model(problem, config, values),
        problem.loss_terms(None, FLAGS.label_smoothing),
        batch_of(
            problem.feature_specs(reader),
            FLAGS.train_batch_size,
            lengths,
            FLAGS.max_seq_length,
        ),
        num_train_steps,
        num_examples / FLAGS.train_batch_size,
    )


def of_squad(
    number: int, config: BertConfig, num_train_steps: int, num_examples: int
) -> Finding:
    """Measures steps of run_squad, with windows of full length."""
    length = FLAGS.max_seq_length
    specs = squad_dataset.window_specs(length, is_training=True)
    return measure(
        number,
        lambda: BertSpanLabeler(config),
        losses.span_loss(),
        batch_of(specs, FLAGS.train_batch_size, [], length),
        num_train_steps,
        num_examples / FLAGS.train_batch_size,
    )


def of_pretraining(number: int, config: BertConfig) -> Finding:
    """Measures steps of run_pretraining, with records of full length."""
    specs = pretraining_dataset.pretraining_specs(
        FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
    )
    objective = pretraining_objectives.from_flags(config)

    def teacher_of(model: keras.Model) -> training.Teacher | None:
        objective.read_teacher()
        objective.read_as(model)
        return objective.teacher

    batch = batch_of(specs, FLAGS.train_batch_size, [], FLAGS.max_seq_length)
    # A record does not have it.
    batch["is_real_example"] = np.ones(FLAGS.train_batch_size, np.int32)
    return measure(
        number,
        lambda: objective.make_model(config),
        objective.loss(),
        batch,
        FLAGS.num_train_steps,
        teacher_of=teacher_of,
    )


class _Clock(keras.callbacks.Callback):
    """Takes the time of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now

    def gib(self) -> float:
        """The most memory that the process has had, in GiB."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / GIB
