"""The steps with which every program that trains begins and ends.

session = Session("squad", modes, strategy, settings)     folder, seed
…read the examples…
model = session.open(make_model)              model, weights, folder's files
step = session.train_or_load(train)           the weights to be used
session.record("eval", …)                     train.json
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, pretrained, training
from bert_tf.config import BertConfig
from bert_tf.export import saved_models
from bert_tf.programs import (
    console,
    defaults,
    devices,
    program,
    resuming,
    run_log,
    small_data,
    training_run,
    weights,
)
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.settings import RunSettings
from bert_tf.training import distribution
from bert_tf.training.trackers import Tracker


class Session:
    """A run of a program: its folder, devices, checkpoints and seed.

    Making it writes nothing; `open` does.

    Args:
        task_name: the run's task; a folder of another task is refused.
        modes: what the run does: "train", "eval", …
        strategy: where it runs.
        settings: how it is trained, evaluated and saved.

    Attributes:
        folder: the run's folder.
        existing: prefixes of its checkpoints, the newest first.
        model: the model, which `open` makes.

    Raises:
        UserError: the folder holds a run of another task, or --resume does
            not allow what is to be done.
    """

    def __init__(
        self,
        task_name: str,
        modes: Collection[str],
        strategy: tf.distribute.Strategy,
        settings: RunSettings,
    ):
        self.modes = modes
        self.strategy = strategy
        self.settings = settings
        training.set_seed(settings.seed)
        self.folder = RunFolder(
            settings.output_dir,
            task_name,
            writes=distribution.is_chief(strategy),
        )
        self.existing = resuming.existing_checkpoints(
            settings.output_dir, settings.resume
        )
        self.model: keras.Model
        self.trackers: list[Tracker] = []

    @property
    def trains(self) -> bool:
        """Whether the run is asked to train."""
        return "train" in self.modes

    def settle_metric(
        self, metric_names: Collection[str], default: str | None = None
    ) -> None:
        """Checks the settings of evaluations.

        Args:
            metric_names: the metrics that evaluations report.
            default: the metric that makes a checkpoint the best, if
                --metric_for_best is not given.

        Raises:
            UserError: a setting is wrong.
        """
        metric = self.settings.metric_for_best
        if metric is None:
            metric = default
        self.settings = dataclasses.replace(
            self.settings, metric_for_best=metric
        )
        training_run.check_evaluations(self.settings, metric_names)

    def check_export(self, folder: str | None) -> str:
        """Checks where the export goes, if the run exports.

        Args:
            folder: the folder; None for one in the run's folder.

        Returns:
            The folder.

        Raises:
            UserError: something else is there.
        """
        folder = folder or self.folder.file("export")
        if "export" in self.modes:
            saved_models.check_replaceable(folder)
        return folder

    def fit(
        self,
        config: BertConfig,
        num_train_examples: int,
        lengths: Sequence[int] | None = None,
    ) -> None:
        """Fills in the rates and lengths that flags leave out.

        Args:
            config: the model's.
            num_train_examples: the size of the training set, 0 without one.
            lengths: see `defaults.fit`.
        """
        small_data.fill(config, num_train_examples)
        defaults.fit(config, num_train_examples, lengths=lengths)
        chosen = ("learning_rate", "adam_bias_correction")
        self.settings = dataclasses.replace(
            self.settings,
            **{n: program.value_of(n) for n in chosen if n in flags.FLAGS},
        )

    def open(
        self,
        make_model: Callable[[], keras.Model],
        labels: list[str] | None = None,
        another_head: str = "",
    ) -> keras.Model:
        """Makes the model, loads its weights, and opens the folder.

        Args:
            make_model: function() -> model.
            labels: the labels for labels.txt, if the task has any.
            another_head: see `weights.load_weights`.

        Raises:
            UserError: no weights can be loaded.
        """
        with self.strategy.scope():
            self.model = make_model()
        weights.prepare(
            self.model,
            has_static_shapes=devices.needs_static_shapes(self.strategy),
        )
        self.existing = weights.load_weights(
            self.model,
            self.settings.output_dir,
            self.existing,
            self.trains,
            another_head,
        )
        self.folder.open(labels, self._model_files())
        if self.folder.writes:
            run_log.open_in(self.folder.path)
        return self.model

    def _model_files(self) -> dict[str, str]:
        """{name in the folder: path} of the model's files."""
        values = self.flag_values()
        # Pretraining has no flag for it, and who uses its model needs it.
        # A teacher reads the same ids.
        model = values.get("pretrained") or values.get("teacher")
        if "vocab_file" not in values and model:
            vocab_file = pretrained.open(model).vocab_file
            values = {**values, "vocab_file": vocab_file}
        return {
            name: values[flag]
            for flag, name in defaults.COPIES.items()
            if values.get(flag)
        }

    def train_or_load(self, train: Callable[[], int]) -> int:
        """Trains if the run is asked to, then loads the best weights.

        Args:
            train: function() -> the step at which training ended.

        Returns:
            The step of the weights that the model now has.
        """
        step = 0
        if self.existing:
            step = checkpoints.Checkpoint(self.existing[0]).global_step()
        if self.trains:
            step = train()
        best = weights.load_best(self.model, self.folder, self.settings.metric)
        return best or step

    def train(
        self,
        loss: training_run.Loss,
        batches: Callable[[int], tf.data.Dataset],
        *,
        num_train_steps: int,
        num_warmup_steps: int,
        evaluate: Callable[[], dict[str, float]] | None,
        teacher: training.Teacher | None = None,
        forward: training.Forward | None = None,
        not_saved: Collection[str] = (),
        **sizes: int,
    ) -> int:
        """Trains the model; returns the step at which training ended.

        Args:
            loss: what is minimized.
            batches: function(first step) -> dataset.
            num_train_steps: the step at which training ends.
            num_warmup_steps: steps in which the learning rate rises.
            evaluate: function() -> {metric: value}, for --eval_steps.
            teacher, forward, not_saved: see `training.Trainer`.
            **sizes: how large the data set is, for train.json.
        """
        trainer = training_run.make_trainer(
            self.model,
            self.strategy,
            loss,
            settings=self.settings,
            num_train_steps=num_train_steps,
            num_warmup_steps=num_warmup_steps,
            teacher=teacher,
            forward=forward,
            not_saved=not_saved,
        )
        run = training_run.TrainingRun(
            self.folder,
            self.settings,
            self.flag_values(),
            num_train_steps,
            **sizes,
        )
        self.trackers = run.trackers
        return run.train(trainer, self.existing, batches, evaluate)

    def results_folder(
        self, mode: str, labels: list[str] | None = None
    ) -> RunFolder:
        """The folder for the results of a mode: the run's, as a rule.

        A command that does not train, and reads another file than the run's
        results are of, leaves these as they are. Its own results go to a
        folder in the run's folder, which is named after the file.

        Args:
            mode: "eval" or "predict".
            labels: the labels for labels.txt, if the task has any.
        """
        flag_values = self.flag_values()
        if self.trains or self.folder.is_of_same_file(mode, flag_values):
            return self.folder
        folder = self.folder.folder_of_other_file(mode, flag_values)
        folder.open(labels)
        console.show("Results", "of this file: %s", folder.path)
        return folder

    def record(
        self, mode: str, folder: RunFolder | None = None, **values: Any
    ) -> None:
        """Writes to train.json what the run did in a mode.

        Args:
            mode: "train", "eval" or "predict".
            folder: of `results_folder`; None for the run's.
            **values: see `RunFolder.record_mode`.
        """
        folder = folder or self.folder
        folder.record_mode(mode, self.flag_values(), **values)
        for tracker in self.trackers:
            tracker.scores(mode, values.get("results") or {})

    def flag_values(self) -> dict[str, Any]:
        """{flag: value} of this run, which one of several seeds may have."""
        return {**program.values(), **dataclasses.asdict(self.settings)}


def log_results(
    results: Mapping[str, Any], title: str = "Eval results"
) -> None:
    """Logs the lines that people look for at the end of a run."""
    logging.debug("***** %s *****", title)
    for key, value in sorted(results.items()):
        logging.debug("  %s = %s", key, value)
