"""Tells MLflow and Weights & Biases about a training.

Both have Keras callbacks of their own, which need `model.fit`:
`mlflow.keras.MlflowCallback` reads the steps and the settings of
`model.optimizer`, which only `compile` makes, and
`wandb.integration.keras.WandbMetricsLogger` counts its calls as steps, while
this package's loop reports after several. So the callbacks here use the two
libraries' functions for any training loop.

A tracker that fails does not end a training: it says why, and is silent then.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import keras
from absl import logging

from bert_tf import files

PROJECT = "bert_tf"
IDS = "tracking.json"
MAX_BATCH = 100  # MLflow's largest number of parameters in one call.
NO_METRICS = ("steps", "seconds")


class Tracker(keras.callbacks.Callback):
    """Base of the callbacks; see the top of training/loop.py for their calls.

    A run that resumes is reported to the same place: the file tracking.json
    keeps the run's ids.

    Args:
        folder: of the run.
        settings: {name: value} that the tracker shows.
    """

    name: str

    def __init__(self, folder: str, settings: Mapping[str, Any]):
        super().__init__()
        self.folder = folder
        self.settings = {n: v for n, v in settings.items() if v is not None}
        self.works = True
        self.step = 0

    def start(self, earlier: str | None) -> str:
        """Starts a run, or opens an earlier one; returns its id."""
        raise NotImplementedError

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Reports numbers."""
        raise NotImplementedError

    def stop(self, status: str) -> None:
        """Ends the run: "FINISHED" or "KILLED"."""
        raise NotImplementedError

    # --- Called by the loop -------------------------------------------------

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._try(self._begin)

    def on_train_batch_end(self, step: int, logs: Mapping[str, float]) -> None:
        self.step = step
        numbers = {n: v for n, v in logs.items() if n not in NO_METRICS}
        self.scores("train", numbers)

    def on_epoch_end(self, step: int, logs: Mapping[str, float]) -> None:
        """Reports the scores of an evaluation; see `training.train`."""
        self.scores("dev", logs)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        is_over = self.step >= self.params["steps"] or self.model.stop_training
        self._try(lambda: self.stop("FINISHED" if is_over else "KILLED"))

    def scores(self, prefix: str, scores: Mapping[str, Any]) -> None:
        """Reports scores, as `prefix/name`; after the training, too.

        Args:
            prefix: what they are of: "train", "dev", "eval", …
            scores: {name: number}.
        """
        numbers = {f"{prefix}/{n}": float(v) for n, v in scores.items()}
        self._try(lambda: self.log(numbers, self.step))

    def _begin(self):
        path = os.path.join(self.folder, IDS)
        ids = json.loads(files.read_text(path)) if files.exists(path) else {}
        found = self.start(ids.get(self.name))
        if found != ids.get(self.name):
            text = json.dumps({**ids, self.name: found}, indent=2)
            files.write_text(path, text + "\n")

    def _try(self, action):
        if not self.works:
            return
        try:
            action()
        except Exception as error:
            self.works = False
            logging.warning(
                "Nothing is reported to %s any more: %s",
                self.name,
                str(error).strip().split("\n")[0] or type(error).__name__,
            )


class MlflowTracker(Tracker):
    """Reports to MLflow: to MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME."""

    name = "mlflow"

    def start(self, earlier: str | None) -> str:
        import mlflow

        self.client = mlflow.MlflowClient()
        run = None
        if earlier:
            with contextlib.suppress(mlflow.exceptions.MlflowException):
                run = mlflow.start_run(run_id=earlier)
        is_new = run is None
        if run is None:
            name = os.path.basename(os.path.abspath(self.folder))
            run = mlflow.start_run(run_name=name)
        self.run_id = run.info.run_id
        # The client knows the run by its id; no other run is to write there.
        mlflow.end_run("RUNNING")
        if is_new:
            params = [
                mlflow.entities.Param(n, str(v))
                for n, v in self.settings.items()
            ]
            for index in range(0, len(params), MAX_BATCH):
                self.client.log_batch(
                    self.run_id, params=params[index : index + MAX_BATCH]
                )
        return str(self.run_id)

    def log(self, metrics: dict[str, float], step: int) -> None:
        import mlflow

        now = int(time.time() * 1000)
        self.client.log_batch(
            self.run_id,
            metrics=[
                mlflow.entities.Metric(name, value, now, step)
                for name, value in metrics.items()
            ],
        )

    def stop(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)


class WandbTracker(Tracker):
    """Reports to Weights & Biases: to WANDB_PROJECT, as WANDB_MODE says.

    Its local files are in the run's folder. The run stays open for scores
    after the training, until the process ends or starts another one.
    """

    name = "wandb"

    def start(self, earlier: str | None) -> str:
        import wandb

        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=os.path.basename(os.path.abspath(self.folder)),
            dir=self.folder,
            config=dict(self.settings),
            id=earlier,
            resume="allow",
            reinit="finish_previous",
        )
        return str(self.run.id)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.run.log({**metrics, "step": step})

    def stop(self, status: str) -> None:
        if status != "FINISHED":
            self.run.finish(exit_code=1)


TRACKERS = {"mlflow": MlflowTracker, "wandb": WandbTracker}
