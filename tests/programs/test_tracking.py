"""Where a training is reported to."""

import importlib.util
import json

import pytest
from support.programs import RUN_PRETRAINING, RUN_SQUAD

from bert_tf.errors import UserError
from bert_tf.programs import tracking, training_checks
from bert_tf.programs.program import message_of
from bert_tf.training.trackers import Tracker


@pytest.mark.parametrize("a_program", [RUN_SQUAD, RUN_PRETRAINING])
@pytest.mark.parametrize(
    "names, why",
    [
        (["tensorbord"], "did you mean tensorboard?"),
        (["none", "tensorboard"], "none stands alone"),
        (["mlflow"], "is not installed: pip install mlflow"),
        (["tensorboard", "wandb"], "--report_to=wandb: needs the package"),
    ],
)
def test_a_wrong_name_ends_in_one_line(a_program, names, why, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with a_program.flags(report_to=names):
        training_checks.check_flags(trains=False)  # It is not read.
        with pytest.raises(UserError) as error:
            training_checks.check_flags(trains=True)
        assert why in message_of(error.value)


def test_tensorboard_needs_nothing():
    for names in (["tensorboard"], ["none"], []):
        tracking.check(names)


class Fake(Tracker):
    """Keeps what it is told; fails where it is asked to."""

    name = "fake"

    def __init__(self, folder, failing_step=None):
        super().__init__(str(folder), {"learning_rate": 1e-3, "metric": None})
        self.failing_step = failing_step
        self.told = []
        self.set_params({"steps": 9})

        class Model:
            stop_training = False

        self.set_model(Model)

    def start(self, earlier):
        self.told.append(earlier)
        return "id-1"

    def log(self, metrics, step):
        if step == self.failing_step:
            raise OSError("no connection\nmore")
        self.told.append((step, metrics))

    def stop(self, status):
        self.told.append(status)


def train(tracker, last_step):
    tracker.on_train_begin()
    for step in range(3, last_step + 1, 3):
        tracker.on_train_batch_end(step, {"loss": 1.0, "steps": 3})
    tracker.on_epoch_end(last_step, {"f1": 0.5})
    tracker.on_train_end()
    tracker.scores("eval", {"f1": 0.75})


def test_a_run_that_resumes_keeps_its_id(tmp_path):
    (tmp_path / "tracking.json").write_text('{"other": "x"}')
    tracker = Fake(tmp_path)
    train(tracker, 3)
    assert tracker.told == [
        None,
        (3, {"train/loss": 1.0}),
        (3, {"dev/f1": 0.5}),
        "KILLED",
        (3, {"eval/f1": 0.75}),
    ]
    assert tracker.settings == {"learning_rate": 1e-3}
    ids = json.loads((tmp_path / "tracking.json").read_text())
    assert ids == {"other": "x", "fake": "id-1"}
    tracker = Fake(tmp_path)
    train(tracker, 9)
    assert tracker.told[0] == "id-1" and "FINISHED" in tracker.told


def test_a_tracker_that_fails_does_not_end_a_training(tmp_path, warnings):
    tracker = Fake(tmp_path, failing_step=6)
    train(tracker, 9)
    assert tracker.told == [None, (3, {"train/loss": 1.0})]
    assert warnings() == ["Nothing is reported to fake any more: no connection"]
