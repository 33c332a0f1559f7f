"""Trains a model as the flags ask: trainer, number of steps, records."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf
from absl import flags

from bert_tf import checkpoints, choices, dropout, training
from bert_tf.errors import UserError
from bert_tf.losses import LossTerm
from bert_tf.optimization import OPTIMIZERS, WarmupLinearDecay, layer_rates
from bert_tf.programs import console, resuming, run_record
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.settings import RunSettings
from bert_tf.programs.training_checks import check_metric
from bert_tf.report import stored
from bert_tf.training.best import DevScores
from bert_tf.training.progress import ProgressBar, TensorBoard
from bert_tf.training.step_log import StepLog
from bert_tf.training.trackers import TRACKERS
from bert_tf.training.vector_trainer import VectorTrainer
from bert_tf.vector_losses import VectorLoss

FLAGS = flags.FLAGS

# Terms that are summed, or a function of the vectors of the whole batch.
Loss: TypeAlias = Sequence[LossTerm] | VectorLoss


def count_train_steps(num_examples: int) -> int:
    """How many steps --num_train_epochs are.

    As in the original, a rest of less than a step is dropped.

    Raises:
        UserError: it is less than one step, or more than can be counted.
    """
    if not num_examples:
        return 0
    epochs, batch_size = FLAGS.num_train_epochs, FLAGS.train_batch_size
    steps = num_examples / batch_size * epochs
    if steps < 1:
        raise UserError(
            f"--num_train_epochs={epochs} of {num_examples} examples in "
            f"batches of --train_batch_size={batch_size} is less than one step"
        )
    if steps > choices.MAX_COUNT:
        raise UserError(
            f"--num_train_epochs={epochs} makes {steps:.3g} steps; "
            f"{choices.MAX_COUNT} are the most"
        )
    return int(steps)


def count_warmup_steps(num_train_steps: int) -> int:
    """How many steps --warmup_proportion is."""
    return int(num_train_steps * FLAGS.warmup_proportion)


def check_evaluations(
    settings: RunSettings, metric_names: Collection[str]
) -> None:
    """Checks the settings of evaluations while training.

    Args:
        settings: the settings of the run.
        metric_names: the metrics that evaluations report.

    Raises:
        UserError: a setting is wrong.
    """
    check_metric(settings.metric, metric_names)
    if settings.early_stopping_patience and not settings.eval_steps:
        raise UserError(
            f"--early_stopping_patience={settings.early_stopping_patience} "
            "needs --eval_steps: how often to evaluate"
        )


def make_trainer(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    loss: Loss,
    *,
    settings: RunSettings,
    num_train_steps: int,
    num_warmup_steps: int,
    teacher: training.Teacher | None = None,
    forward: training.Forward | None = None,
    not_saved: Collection[str] = (),
) -> training.Trainer:
    """Makes the trainer, inside the strategy's scope."""
    assert settings.learning_rate is not None, "it is chosen before training"
    schedule = WarmupLinearDecay(
        settings.learning_rate, num_train_steps, num_warmup_steps
    )
    make: Callable[..., training.Trainer] = training.Trainer
    if callable(loss):
        make = VectorTrainer
    with strategy.scope():
        is_float16 = settings.precision == "float16"
        return make(
            model,
            OPTIMIZERS[settings.optimizer](
                bias_correction=settings.adam_bias_correction
            ),
            schedule,
            loss,
            strategy,
            seed=settings.seed,
            num_micro_batches=settings.gradient_accumulation_steps,
            rate_factors=layer_rates(
                model.trainable_variables,
                settings.layerwise_lr_decay,
                model.config.num_hidden_layers,
            ),
            loss_scale=training.LossScale() if is_float16 else None,
            jit_compile=settings.xla,
            teacher=teacher,
            forward=forward,
            not_saved=not_saved,
        )


class TrainingRun:
    """A training in a run's folder, which may have begun earlier.

    Args:
        folder: the run's folder.
        settings: how the run is trained.
        flag_values: {flag: value} of the run, for train.json.
        num_train_steps: the step at which training ends.
        **sizes: how large the data set is, for train.json.

    Attributes:
        trackers: the callbacks of --report_to that also take scores.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: RunSettings,
        flag_values: dict[str, Any],
        num_train_steps: int,
        **sizes: int,
    ):
        self.folder = folder
        self.settings = settings
        self.flag_values = flag_values
        self.num_train_steps = num_train_steps
        self.sizes = sizes
        self.first_step = self.step = 0
        self.trackers = [
            TRACKERS[name](folder.path, flag_values)
            for name in settings.report_to
            if name in TRACKERS and folder.writes
        ]
        self.saver = checkpoints.CheckpointFolder(
            folder.path, settings.keep_checkpoints
        )

    def train(
        self,
        trainer: training.Trainer,
        existing: list[str],
        batches: Callable[[int], tf.data.Dataset],
        evaluate: Callable[[], dict[str, float]] | None,
    ) -> int:
        """Trains from where the run is; returns the step at which it ends.

        Args:
            trainer: a new trainer.
            existing: the run's checkpoints, the newest first.
            batches: function(first step) -> dataset.
            evaluate: function() -> {metric: value}, for --eval_steps.
        """
        settings = self.settings
        self.resume(trainer, existing)
        if self.step >= self.num_train_steps:
            self.log_finished(existing[0])
            return self.step
        dev_scores = self.follow_dev_scores()
        if dev_scores.is_exhausted():
            self.log_stopped_early(
                "Skipping training, which was stopped early", dev_scores
            )
            return self.step
        if self.first_step:
            before = self.folder.earlier("train")
            resuming.warn_of_other_masks(before, trainer.model)
        self.record(dev_scores.history)
        self.show()
        start = time.perf_counter()
        with resuming.resumable_command(settings.resume):
            self.step = training.train(
                trainer,
                batches,
                self.num_train_steps,
                save=self.saver.save if self.folder.writes else None,
                save_checkpoints_steps=settings.save_checkpoints_steps,
                evaluate=evaluate if settings.eval_steps else None,
                eval_steps=settings.eval_steps,
                max_steps_per_loop=settings.iterations_per_loop,
                callbacks=self.callbacks(dev_scores),
            )
        if self.step < self.num_train_steps:
            self.log_stopped_early("Stopped early", dev_scores)
        if self.folder.writes:
            console.show_written(self.folder.path, f"model.ckpt-{self.step}")
        self.record(dev_scores.history, time.perf_counter() - start)
        return self.step

    def show(self) -> None:
        """Shows how long the training is."""
        settings = self.settings
        start = f"{self.first_step:,} to " if self.first_step else ""
        console.show(
            "Training",
            f"{start}{self.num_train_steps:,} steps of "
            f"{settings.train_batch_size} examples, learning rate "
            f"{settings.learning_rate:g}",
        )

    def resume(self, trainer: training.Trainer, existing: list[str]) -> None:
        """Restores the newest checkpoint, if there is one."""
        if self.folder.writes:
            self.saver.clean()
        if existing:
            before = run_record.flags_of(self.folder.record, ["train"])
            resuming.warn_of_changed_flags(
                {**resuming.BEFORE_THERE_WAS, **before}, self.flag_values
            )
        self.first_step = self.step = resuming.restore(
            trainer, existing, self.settings.output_dir
        )

    def follow_dev_scores(self) -> DevScores:
        """The evaluations up to the step where training resumes."""
        evaluations = self.folder.earlier("train").get("evaluations", [])
        return DevScores(
            history=[s for s in evaluations if s["step"] <= self.first_step],
            metric=self.settings.metric,
            patience=self.settings.early_stopping_patience,
            folder=self.folder.file("best"),
            record=self.record,
            writes=self.folder.writes,
        )

    def callbacks(
        self, dev_scores: DevScores
    ) -> list[keras.callbacks.Callback]:
        """The callbacks that show and follow the training."""
        batch_size = self.settings.train_batch_size
        callbacks = [ProgressBar(batch_size)]
        if self.folder.writes and "tensorboard" in self.settings.report_to:
            callbacks.append(TensorBoard(self.folder.path, batch_size))
        if self.folder.writes:
            steps = stored.file_of(self.folder.path, stored.STEPS)
            callbacks.append(StepLog(steps))
        callbacks += self.trackers
        if self.settings.eval_steps:
            callbacks.append(dev_scores)
        return callbacks

    def record(
        self,
        evaluations: list[dict[str, float]],
        seconds: float | None = None,
    ) -> None:
        """Writes train.json.

        Args:
            evaluations: the scores of each evaluation so far.
            seconds: how long training took; None before its end.
        """
        self.folder.record_mode(
            "train",
            self.flag_values,
            num_train_steps=self.num_train_steps,
            seconds=seconds,
            resumed_at_step=self.first_step,
            dropout_masks=dropout.MASKS_VERSION,
            evaluations=evaluations,
            **self.sizes,
        )

    def log_finished(self, prefix: str) -> None:
        """Logs that a checkpoint is at the last step already."""
        console.show(
            "Training",
            "Skipping training since max_steps has already saved: %s is at "
            "step %d of %d",
            prefix,
            self.step,
            self.num_train_steps,
        )

    def log_stopped_early(self, event: str, dev_scores: DevScores) -> None:
        """Logs an event, and why training ended before the last step."""
        console.show(
            "Training",
            "%s at step %d of %d: %s",
            event,
            self.step,
            self.num_train_steps,
            dev_scores.describe(),
        )
