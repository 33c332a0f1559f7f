"""The training loop: runs steps, saves, evaluates, and stops on a signal.

Callbacks are Keras callbacks, but this loop counts steps, not epochs. It calls
four of their methods, and two of them mean something else than in `model.fit`:

    on_train_begin()                before the first step; `params` has the
                                    first step as "start", the last as "steps"
    on_train_batch_end(step, logs)  after one or SEVERAL steps; `logs` has loss
                                    and its terms, gradient_norm,
                                    learning_rate, and the seconds and steps
                                    since the last call
    on_epoch_end(step, logs)        after an EVALUATION, with its scores; its
                                    first argument is the step, not an epoch
    on_train_end()                  at the end, even after an error

A callback that needs other methods, such as on_epoch_begin, or that counts
epochs, does not work here. Training ends when a callback sets
`model.stop_training`, as keras.callbacks.EarlyStopping does.
"""

import contextlib
import signal
import threading
import time
import types
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from bert_tf.errors import UserError
from bert_tf.training import distribution
from bert_tf.training.inference import user_errors
from bert_tf.training.trainer import Trainer

# How long the loop may stay inside TensorFlow before it reports, in seconds.
SECONDS_PER_LOOP = 0.5
# Several processes must take the same number of steps without asking each
# other: their reductions find each other by the iteration of the loop, and
# would wait for ever.
STEPS_PER_LOOP_OF_SEVERAL = 10
# Function(first step) -> dataset of batches.
Batches = Callable[[int], tf.data.Dataset]


class TrainingDiverged(UserError):
    """The loss became NaN or infinite."""


class Interrupted(UserError):
    """Somebody asked training to stop; it saved what it had.

    Args:
        why: see `UserError`.
        signal_name: the signal that asked; None if another process got it.
    """

    def __init__(self, why: str, signal_name: str | None = None):
        super().__init__(why)
        self.signal_name = signal_name
        number = signal.Signals[signal_name or "SIGTERM"]
        self.exit_status = 128 + number  # The status of shells.


class StopRequest:
    """Turns SIGTERM and SIGINT, inside its block, into a wish to stop.

    The loop then ends in an orderly way. A second signal ends it at once.

    Attributes:
        received: name of the signal that came; None if none did.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.received: str | None = None
        self._previous: dict[int, Callable | int | None] = {}

    def __enter__(self) -> "StopRequest":
        # Python lets only its main thread set handlers.
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._handle)
                for number in self.SIGNALS
            }
        return self

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self.received:
            previous = self._previous[number]
            if callable(previous):
                previous(number, frame)
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def train(
    trainer: Trainer,
    batches: Batches,
    num_train_steps: int,
    *,
    save: Callable[[dict[str, tf.Tensor], int], object] | None = None,
    save_checkpoints_steps: int = 1000,
    evaluate: Callable[[], dict[str, float]] | None = None,
    eval_steps: int = 0,
    max_steps_per_loop: int = 1000,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> int:
    """Trains from the trainer's step on until `num_train_steps`.

    Args:
        trainer: a `Trainer`, new or restored.
        batches: function(first step) -> endless dataset of global batches,
            the same ones in every process.
        num_train_steps: the step at which training ends.
        save: function(tensors, step), or None. It is called before the first
            step of a new trainer, every `save_checkpoints_steps` steps, at the
            end, and when a signal asks to stop.
        evaluate: function() -> {name: number}, or None. It is called every
            `eval_steps` steps, if that is not 0, and at the end.
        save_checkpoints_steps, eval_steps: see above.
        max_steps_per_loop: at most this many steps run inside TensorFlow
            before callbacks hear of them.
        callbacks: Keras callbacks; see the top of this file.

    Returns:
        The step at which training ended.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
        Interrupted: SIGTERM or SIGINT came; the state was saved.
    """
    loop = _Loop(
        trainer,
        batches,
        num_train_steps,
        save=save,
        save_checkpoints_steps=save_checkpoints_steps,
        eval_steps=eval_steps,
        max_steps_per_loop=max_steps_per_loop,
        callbacks=callbacks,
    )
    with loop.callbacks_told(), StopRequest() as stop:
        loop.save_before_first_step()
        while not loop.is_done():
            logs = loop.run_steps(stop)
            loop.callbacks.on_train_batch_end(loop.step, logs)
            if evaluate and loop.must_evaluate():
                loop.callbacks.on_epoch_end(loop.step, evaluate())
            ends = loop.is_done() or loop.must_stop(stop)
            if ends or loop.must_save():
                loop.save()
            if ends:
                loop.raise_if_interrupted(stop)
    return loop.step


class _Loop:
    """The state of a `train` that runs; see there for the arguments.

    Attributes:
        step: the last step that was run.
        saved_step: the step of the newest checkpoint; None before the first.
        num_wanted: how many steps to run next, unless there is something to
            do before: about as many as take `SECONDS_PER_LOOP`.
    """

    def __init__(
        self,
        trainer,
        batches,
        num_train_steps,
        *,
        save,
        save_checkpoints_steps,
        eval_steps,
        max_steps_per_loop,
        callbacks,
    ):
        self.trainer = trainer
        self.batches = batches
        self.last_step = num_train_steps
        self._save = save
        self.save_checkpoints_steps = save_checkpoints_steps
        self.eval_steps = eval_steps
        self.max_steps_per_loop = max_steps_per_loop
        self.num_processes = distribution.num_processes(trainer.strategy)
        self.step = int(trainer.global_step.numpy())
        self.saved_step = trainer.restored_step
        self.num_wanted = 1
        self.num_wishes = 0.0  # Processes that were asked to stop.
        trainer.model.stop_training = False
        self.iterator = iter(
            distribution.distribute(trainer.strategy, batches(self.step))
        )
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            model=trainer.model,
            steps=num_train_steps,
            start=self.step,
        )

    @contextlib.contextmanager
    def callbacks_told(self):
        """Tells callbacks where training begins and, in any case, ends."""
        self.callbacks.on_train_begin()
        try:
            yield
        finally:
            self.callbacks.on_train_end()

    def is_done(self) -> bool:
        is_last = self.step >= self.last_step
        return is_last or self.trainer.model.stop_training

    def must_evaluate(self) -> bool:
        is_due = self.eval_steps and self.step % self.eval_steps == 0
        return bool(is_due) or self.step == self.last_step

    def must_save(self) -> bool:
        return self.step % self.save_checkpoints_steps == 0

    def save(self):
        if self._save:
            self._save(self.trainer.tensors(), self.step)
            self.saved_step = self.step

    def save_before_first_step(self):
        """Finds out early if no checkpoint can be written."""
        if self.saved_step is None:
            self.save()

    def run_steps(self, stop) -> dict:
        """Runs some steps; returns what callbacks get.

        Raises:
            TrainingDiverged: see `train`.
        """
        start = time.perf_counter()
        count = tf.constant(self._num_steps_to_run())
        wish = tf.constant(float(bool(stop.received)), keras.config.floatx())
        with user_errors(), distribution.lost_processes(self.trainer.strategy):
            logs = self.trainer.train_steps(self.iterator, count, wish)
        logs = {name: value.numpy().item() for name, value in logs.items()}
        logs["seconds"] = max(time.perf_counter() - start, 1e-6)
        self.step += logs["steps"]
        if not logs.pop("is_good"):
            raise _diverged(self.step, logs, self.batches)
        self.num_wanted = self._num_steps_of_next_loop(logs)
        self.num_wishes = logs.pop("wishes")
        return logs

    def must_stop(self, stop) -> bool:
        """Whether a signal came to this process or, in time, to another one.

        All processes stop together, or some would wait for the others.
        """
        if self.num_processes == 1:
            return stop.received is not None
        return self.num_wishes > 0

    def _num_steps_to_run(self) -> int:
        """Stops at the next checkpoint or evaluation, if that is earlier."""
        to_next = [self.last_step - self.step]
        for interval in (self.save_checkpoints_steps, self.eval_steps):
            if interval:
                to_next.append(interval - self.step % interval)
        return min(self.num_wanted, *to_next)

    def _num_steps_of_next_loop(self, logs) -> int:
        wanted = int(logs["steps"] * SECONDS_PER_LOOP / logs["seconds"])
        if self.num_processes > 1:
            wanted = STEPS_PER_LOOP_OF_SEVERAL
        return min(max(wanted, 1), self.max_steps_per_loop)

    def raise_if_interrupted(self, stop):
        """Raises Interrupted if a signal came to any of the processes."""
        is_interrupted = distribution.any_process(
            self.trainer.strategy, bool(stop.received)
        )
        if is_interrupted:
            why = stop.received or "a signal to another process"
            saved = f", saved at step {self.saved_step}" if self._save else ""
            raise Interrupted(f"stopped by {why}{saved}", stop.received)


def _diverged(step, logs, batches):
    name = "gradient_norm" if np.isfinite(logs["loss"]) else "loss"
    # The order of examples is known: the batch can be made a second time.
    (batch,) = batches(step - 1).take(1)
    where = ""
    if "example_index" in batch:
        mask = batch["input_mask"].numpy()
        # Rows of zeros fill up a batch.
        is_there = mask.any(axis=tuple(range(1, mask.ndim)))
        indices = sorted(batch["example_index"].numpy()[is_there])
        numbers = ", ".join(map(str, indices))
        where = f" on the examples {numbers} (counted from 0)"
    return TrainingDiverged(
        f"the {name} is {logs[name]} at step {step}{where}, learning rate "
        f"{logs['learning_rate']:.3g}: lower `learning_rate`, and check that "
        "the vocabulary fits the checkpoint"
    )
