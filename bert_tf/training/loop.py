"""The training loop: runs steps, saves, evaluates, and stops on a signal."""

import contextlib
import signal
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from bert_tf.errors import UserError
from bert_tf.training import distribution
from bert_tf.training.inference import user_errors
from bert_tf.training.trainer import Trainer

# How long the loop may stay inside TensorFlow before it reports, in seconds.
SECONDS_PER_LOOP = 0.5
# Several processes must agree on the number of steps without talking: their
# reductions find each other by the iteration of the loop, and wait for ever.
STEPS_PER_LOOP_OF_SEVERAL = 10


class TrainingDiverged(UserError):
    """The loss is no longer a number."""


class Interrupted(UserError):
    """Somebody asked training to stop; it saved what it had."""


class StopRequest:
    """Turns SIGTERM and SIGINT, inside its block, into a wish to stop.

    The loop ends in an orderly way. A second signal ends it at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self):
        self.received = None
        self._previous = {}
        # Python lets only its main thread set handlers.
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._handle)
                for number in self.SIGNALS
            }
        return self

    def _handle(self, number, frame):
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def train(
    trainer: Trainer,
    batches,
    num_train_steps: int,
    *,
    save=None,
    save_checkpoints_steps: int = 1000,
    evaluate=None,
    eval_steps: int = 0,
    max_steps_per_loop: int = 1000,
    callbacks=(),
):
    """Trains from the trainer's step on until `num_train_steps`.

    Args:
        trainer: a `Trainer`, fresh or restored.
        batches: function(first step) -> dataset of global batches without
            end, the same ones in every process.
        num_train_steps: the step at which training ends.
        save: function(tensors, step), or None. Called before the first step
            unless the trainer was restored, every `save_checkpoints_steps`
            steps, at the end, and when a signal asks to stop.
        save_checkpoints_steps: see above.
        evaluate: function() -> {name: number}, or None. Called every
            `eval_steps` steps and at the end.
        eval_steps: see above; 0 for the end alone.
        max_steps_per_loop: so many steps at most are run inside TensorFlow
            before callbacks hear of them.
        callbacks: Keras callbacks, of which four methods are called:
            `on_train_begin`, with `params["start"]` and `params["steps"]`
            the first and last step; `on_train_batch_end(step, logs)` after
            one or several steps, with loss and its terms, gradient_norm,
            learning_rate, and the seconds and steps since the last call;
            `on_epoch_end(step, logs)` after an evaluation, with what it
            returned; and `on_train_end`. Training ends when one sets
            `model.stop_training`, as keras.callbacks.EarlyStopping does.

    Returns:
        The step it ended at.

    Raises:
        TrainingDiverged: the loss became NaN or infinite. What was saved
            before stays.
        Interrupted: SIGTERM or SIGINT came; the state was saved.
    """
    step = int(trainer.global_step.numpy())
    model = trainer.model
    model.stop_training = False
    iterator = iter(distribution.distribute(trainer.strategy, batches(step)))
    callbacks = keras.callbacks.CallbackList(
        list(callbacks), model=model, steps=num_train_steps, start=step
    )
    callbacks.on_train_begin()
    saved_step = trainer.restored_step
    num_processes = distribution.num_processes(trainer.strategy)
    with contextlib.ExitStack() as stack:
        stack.callback(callbacks.on_train_end)
        stop = stack.enter_context(StopRequest())
        if save and saved_step is None:
            save(trainer.tensors(), step)  # Finds out early if it cannot.
            saved_step = step
        wanted = 1
        while step < num_train_steps and not model.stop_training:
            to_next = [num_train_steps - step]
            for interval in (save_checkpoints_steps, eval_steps):
                if interval:
                    to_next.append(interval - step % interval)
            count = min(wanted, *to_next)
            logs = _run_steps(trainer, iterator, count, stop.received)
            step += logs["steps"]
            if not logs.pop("is_good"):
                raise _diverged(step, logs, batches)
            wishes = logs.pop("wishes")
            callbacks.on_train_batch_end(step, logs)
            is_last = step == num_train_steps
            if evaluate and (is_last or eval_steps and step % eval_steps == 0):
                callbacks.on_epoch_end(step, evaluate())
            # All processes stop together, or some would wait for the others.
            is_wished = stop.received if num_processes == 1 else wishes > 0
            ends = is_last or is_wished or model.stop_training
            if save and (ends or step % save_checkpoints_steps == 0):
                save(trainer.tensors(), step)
                saved_step = step
            if ends and distribution.any_process(
                trainer.strategy, bool(stop.received)
            ):
                why = stop.received or "a signal to another process"
                saved = f", saved at step {saved_step}" if save else ""
                raise Interrupted(f"stopped by {why}{saved}")
            wanted = int(logs["steps"] * SECONDS_PER_LOOP / logs["seconds"])
            if num_processes > 1:
                wanted = STEPS_PER_LOOP_OF_SEVERAL
            wanted = min(max(wanted, 1), max_steps_per_loop)
    return step


def _run_steps(trainer, iterator, count, is_asked_to_stop):
    start = time.perf_counter()
    wish = tf.constant(float(bool(is_asked_to_stop)), keras.config.floatx())
    with user_errors(), distribution.lost_processes(trainer.strategy):
        logs = trainer.train_steps(iterator, tf.constant(count), wish)
    logs = {name: value.numpy().item() for name, value in logs.items()}
    return {**logs, "seconds": max(time.perf_counter() - start, 1e-6)}


def _diverged(step, logs, batches):
    name = "gradient_norm" if np.isfinite(logs["loss"]) else "loss"
    # The order of examples is known: the batch is simply made once more.
    (batch,) = batches(step - 1).take(1)
    where = ""
    if "example_index" in batch:
        numbers = ", ".join(map(str, sorted(batch["example_index"].numpy())))
        where = f" on the examples {numbers} (counted from 0)"
    return TrainingDiverged(
        f"the {name} is {logs[name]} at step {step}{where}, learning rate "
        f"{logs['learning_rate']:.3g}: lower --learning_rate, and check that "
        "the vocabulary fits the checkpoint"
    )
