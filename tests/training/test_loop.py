"""The loop: saving, resuming, stopping; and what a person sees of it."""

import io
import os
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import TINY_CONFIG

from bert_tf import checkpoints, progress, training
from bert_tf.errors import UserError
from bert_tf.heads import BertClassifier
from bert_tf.losses import CLASSIFIER_LOSS
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay
from bert_tf.progress import format_seconds
from bert_tf.training.progress import ProgressBar

NUM_STEPS = 12


def make_dataset():
    ids = np.random.default_rng(0).integers(1, 20, (64, 6)).astype("int32")
    examples = {
        "input_ids": ids,
        "input_mask": np.ones_like(ids),
        "segment_ids": np.zeros_like(ids),
        "label_ids": (ids[:, 0] > 9).astype("int32"),
        "is_real_example": np.ones(64, "int32"),
    }
    dataset = tf.data.Dataset.from_tensor_slices(examples)
    return dataset.shuffle(64, seed=1).repeat().batch(8, drop_remainder=True)


def batches(first_step):
    return make_dataset().skip(first_step)


def make_trainer(learning_rate=1e-3):
    keras.utils.set_random_seed(7)
    schedule = WarmupLinearDecay(learning_rate, NUM_STEPS, 2)
    return training.Trainer(
        BertClassifier(TINY_CONFIG, 2),
        AdamWeightDecay(),
        schedule,
        CLASSIFIER_LOSS,
        seed=3,
    )


class Record(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.steps = []

    def on_train_batch_end(self, step, logs):
        self.steps.append((step, logs["steps"]))


def values_of(trainer):
    return {n: np.array(t) for n, t in trainer.tensors().items()}


@pytest.fixture(scope="module")
def shared_trainer():
    """(trainer, its values before any step), for `trainer`."""
    trainer = make_trainer()
    return trainer, values_of(trainer)


@pytest.fixture
def trainer(shared_trainer):
    """A trainer at its start; its step is traced once for all tests."""
    trainer, values = shared_trainer
    for name, tensor in trainer.tensors().items():
        tensor.assign(values[name])
    return trainer


@pytest.mark.slow
def test_a_resumed_run_ends_bit_for_bit_where_it_would_have(tmp_path):
    """Dropout is on, so its masks and the order of examples resume too."""
    folder = checkpoints.CheckpointFolder(str(tmp_path), max_to_keep=10)
    trainer = make_trainer()
    record = Record()
    training.train(
        trainer,
        batches,
        NUM_STEPS,
        save=folder.save,
        save_checkpoints_steps=5,
        callbacks=[record],
    )
    expected = values_of(trainer)
    assert [record.steps[0], record.steps[-1][0]] == [(1, 1), NUM_STEPS]
    assert sum(count for _, count in record.steps) == NUM_STEPS
    saved = sorted(p.stem for p in tmp_path.glob("*.index"))
    assert saved == [f"model.ckpt-{n}" for n in (0, 10, 12, 5)]

    resumed = make_trainer()
    assert resumed.restore(str(tmp_path / "model.ckpt-5")) == 5
    training.train(resumed, batches, NUM_STEPS)
    for name, value in values_of(resumed).items():
        assert value.tobytes() == expected[name].tobytes(), name


@pytest.mark.slow
def test_training_lowers_the_loss():
    trainer, losses = make_trainer(1e-2), []

    class Losses(keras.callbacks.Callback):
        def on_train_batch_end(self, step, logs):
            losses.append(logs["loss"])

    training.train(
        trainer,
        batches,
        NUM_STEPS,
        max_steps_per_loop=1,
        callbacks=[Losses()],
    )
    assert len(losses) == NUM_STEPS and losses[-1] < losses[0]


def test_each_step_draws_its_own_dropout_mask(trainer):
    batch = next(iter(make_dataset()))
    one, scale = [tf.constant(8.0)], tf.constant(1.0)

    def loss(step):
        seed = trainer._dropout_seed(tf.constant(step, tf.int64))
        (loss,) = trainer.forward_backward(batch, seed, one, scale)[0]
        return float(loss)

    losses = [trainer.strategy.run(loss, args=(step,)) for step in (0, 1, 2, 1)]
    assert len(set(losses)) == 3 and losses[1] == losses[3]


@pytest.mark.slow
def test_the_whole_step_compiles_for_one_device(trainer):
    """What a TPU needs: static shapes, no strings, no way back to Python.

    XLA on the CPU stands for it.
    """
    batch = {
        name: tf.ensure_shape(value, value.shape)
        for name, value in next(iter(make_dataset())).items()
    }
    plain = tf.function(trainer.replica_step)
    compiled = tf.function(trainer.replica_step, jit_compile=True)
    before = values_of(trainer)
    losses = []
    for step in (plain, compiled):
        for name, tensor in trainer.tensors().items():
            tensor.assign(before[name])
        losses.append(
            [
                float(trainer.strategy.run(step, args=(batch,))["loss"])
                for _ in range(5)
            ]
        )
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]

    graph = plain.get_concrete_function(batch).graph
    functions = graph.as_graph_def().library.function
    nodes = [*graph.as_graph_def().node]
    nodes += [node for function in functions for node in function.node_def]
    kinds = {node.op for node in nodes}
    assert not any("PyFunc" in kind or "String" in kind for kind in kinds)
    types = {attr.type for node in nodes for attr in node.attr.values()}
    assert tf.string.as_datatype_enum not in types
    assert tf.variant.as_datatype_enum not in types


@pytest.mark.slow
def test_a_batch_that_counts_nothing_changes_no_weight_but_by_decay(trainer):
    """All its labels may have the class weight 0: no NaN comes of it."""
    batch = dict(next(iter(make_dataset())))
    batch["is_real_example"] = tf.zeros(8, tf.int32)
    metrics = trainer.strategy.run(
        tf.function(trainer.replica_step), args=(batch,)
    )
    assert float(metrics["loss"]) == float(metrics["gradient_norm"]) == 0
    assert all(
        np.isfinite(value).all() for value in values_of(trainer).values()
    )


def test_restoring_needs_the_moments(trainer, tmp_path):
    prefix = str(tmp_path / "weights.ckpt")
    checkpoints.save_checkpoint(trainer.model, prefix)
    with pytest.raises(ValueError, match="global_step is missing"):
        trainer.restore(prefix)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    folder = checkpoints.CheckpointFolder(str(tmp_path))
    with pytest.raises(training.TrainingDiverged, match="nan at step 3"):
        training.train(make_trainer(1e30), batches, NUM_STEPS, save=folder.save)
    assert folder.newest_first()[0].endswith("model.ckpt-0")


def test_predictions_come_in_order(trainer):
    model = trainer.model
    dataset = make_dataset().take(2).cache()
    predict = training.BatchRunner(model)
    for (logits, batch), expected in zip(
        predict(dataset), list(dataset), strict=True
    ):
        assert np.array_equal(batch["label_ids"], expected["label_ids"])
        np.testing.assert_allclose(logits, model(expected), atol=1e-6)


def test_seconds():
    times = [format_seconds(s) for s in (0, 59.6, 65, 3725)]
    assert times == ["0:00", "1:00", "1:05", "1:02:05"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_of_unknown_width(monkeypatch):
    monkeypatch.setattr(progress.os, "get_terminal_size", lambda _: size)
    size = os.terminal_size((0, 0))
    with open(os.devnull, "w") as stream:
        assert progress._width_of(stream) == progress.DEFAULT_WIDTH


def test_progress_bar_on_a_terminal(trainer):
    stream = Terminal()
    with progress.bars_on(stream):
        training.train(
            trainer,
            batches,
            4,
            max_steps_per_loop=2,
            callbacks=[ProgressBar(8)],
        )
    states = stream.getvalue().split("\r")
    assert states[-1].startswith("[====================] step 4/4  loss 0.")
    assert "examples/s" in states[-1] and states[-1].endswith("\033[K\n")
    assert "lr " in states[-1] and "left" in states[-1]


def wait_for(is_there):
    """Waits for another thread, which a busy machine may keep waiting."""
    for _ in range(1000):
        if is_there():
            return
        time.sleep(0.01)


def test_work_without_a_count_shows_its_time(monkeypatch, caplog):
    monkeypatch.setattr(progress, "SECONDS_OF_A_CLOCK", 0.01)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    stream, lock = Terminal(), threading.RLock()
    with progress.bars_on(stream, lock), progress.working("Exporting"):
        with lock:  # As while a line is written: no bar is drawn in it.
            before = stream.getvalue()
            time.sleep(0.05)
            assert stream.getvalue() == before
        wait_for(lambda: "Exporting" in stream.getvalue())
    shown = stream.getvalue()
    assert "\rExporting: 0:00\033[K" in shown
    assert shown.endswith(progress.ERASE)
    with caplog.at_level("INFO", logger="absl"), progress.working("Reading"):
        wait_for(lambda: caplog.messages)
    assert "Reading: 0:00" in caplog.messages


def test_plain_lines_elsewhere(trainer, caplog):
    stream = io.StringIO()
    with caplog.at_level("INFO", logger="absl"), progress.bars_on(stream):
        training.train(trainer, batches, 4, callbacks=[ProgressBar(8)])
    assert stream.getvalue() == ""
    lines = [r.message for r in caplog.records if "step " in r.message]
    assert lines[0].startswith("step 1/4") and lines[-1].startswith("step 4/4")


def test_a_file_that_is_lost_while_it_is_read(trainer):
    def examples():
        yield from make_dataset().take(3).as_numpy_iterator()
        open("/nowhere/train.tsv")

    dataset = tf.data.Dataset.from_generator(
        examples, output_signature=make_dataset().element_spec
    )
    with pytest.raises(UserError, match="^/nowhere/train.tsv: No such file"):
        training.train(trainer, lambda step: dataset, NUM_STEPS)


def test_a_mistake_in_a_file_is_found_while_it_is_read(trainer):
    """Python runs inside tf.data, which wraps what it raises."""

    def examples():
        yield from make_dataset().take(3).as_numpy_iterator()
        raise UserError("train.tsv:25: label 'eggs' is not one of 0, 1")

    dataset = tf.data.Dataset.from_generator(
        examples, output_signature=make_dataset().element_spec
    )
    with pytest.raises(UserError, match="^train.tsv:25: label 'eggs' is not"):
        training.train(trainer, lambda step: dataset, NUM_STEPS)
    with pytest.raises(UserError, match="^train.tsv:25: label 'eggs' is not"):
        list(training.BatchRunner(trainer.model)(dataset))
