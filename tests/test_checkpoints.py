"""Checkpoints: round trips, strict reports, damage, faults while writing."""

import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import GOLDEN, ROOT, TINY_CONFIG, shared

from bert_tf import BertConfig, BertModel, losses, training
from bert_tf.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    load_weights,
    save_checkpoint,
    write_checkpoint,
)
from bert_tf.errors import UserError
from bert_tf.heads import BertClassifier
from bert_tf.optimization import AdamWeightDecay

ODD = str(GOLDEN / "modeling" / "odd" / "bert_model.ckpt")


def odd_model(**changes):
    config = BertConfig.from_json_file(
        str(GOLDEN / "modeling" / "odd" / "bert_config.json")
    )
    return BertModel(BertConfig(**{**config.to_dict(), **changes}))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return BertModel(TINY_CONFIG)


def tensors_of(prefix):
    checkpoint = Checkpoint(str(prefix))
    return {name: checkpoint.read(name) for name in checkpoint.shapes}


def assert_same_bytes(ours, theirs):
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert value.tobytes() == theirs[name].tobytes(), name


def test_original_to_keras_to_original(tmp_path):
    model = odd_model()
    report = load_weights(model, ODD)
    assert not report.missing
    # The heads of pretraining, which this model does not have.
    assert report.unexpected
    assert all(name.startswith("cls/") for name in report.unexpected)
    save_checkpoint(model, str(tmp_path / "again.ckpt"))
    again = tensors_of(tmp_path / "again.ckpt")
    assert sorted(again) == sorted(report.loaded)
    assert_same_bytes(again, tensors_of(ODD))
    # TensorFlow's own reader, as the original uses it.
    names = [
        name
        for name, _ in tf.train.list_variables(str(tmp_path / "again.ckpt"))
    ]
    assert "bert/encoder/layer_2/output/dense/kernel" in names


def test_tensorflow_1_restores_what_training_writes(tmp_path):
    """A graph of TensorFlow 1 with the original's variables, and its Saver."""
    trainer = training.Trainer(
        BertClassifier(TINY_CONFIG, 2),
        AdamWeightDecay(),
        lambda step: 1e-3,
        losses.CLASSIFIER_LOSS,
    )
    prefix = str(tmp_path / "model.ckpt-0")
    tensors = trainer.tensors()
    write_checkpoint(prefix, tensors)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {
            name: v1.get_variable(name, t.shape, t.dtype, use_resource=False)
            for name, t in tensors.items()
        }
        v1.train.Saver().restore(session, prefix)
        restored = session.run(variables)
    assert len(restored) == 1 + 3 * len(trainer.variables)
    for name, value in restored.items():
        assert np.array_equal(value, tensors[name].numpy()), name


def test_real_checkpoint_round_trip(tmp_path):
    folder = shared("checkpoints/uncased_L-6_H-384_A-12_minilm")
    config = BertConfig.from_json_file(str(folder / "bert_config.json"))
    model = BertModel(config)
    report = load_weights(model, str(folder / "bert_model.ckpt"))
    assert not report.missing and not report.unexpected
    save_checkpoint(model, str(tmp_path / "again.ckpt"))
    assert_same_bytes(
        tensors_of(tmp_path / "again.ckpt"),
        tensors_of(folder / "bert_model.ckpt"),
    )


def test_fine_tuned_checkpoint_of_the_original():
    """Its head is read; the optimizer's slots are not `unexpected`."""
    folder = shared("golden/2_modeling/odd_classifier")
    config = BertConfig.from_json_file(str(folder / "bert_config.json"))
    report = load_weights(
        BertClassifier(config, 3), str(folder / "model.ckpt-7")
    )
    assert {"output_weights", "output_bias"} <= set(report.loaded)
    assert report.missing == report.unexpected == []
    with pytest.raises(UserError, match=r"output_weights has shape \[3, 96\]"):
        load_weights(BertClassifier(config, 2), str(folder / "model.ckpt-7"))


def test_missing_extra_and_misshapen_are_named(model, tmp_path):
    tensors = {v.path: v.numpy() for v in model.trainable_variables}
    prefix = str(tmp_path / "changed.ckpt")
    lost = "bert/encoder/layer_1/attention/self/key/kernel"

    write_checkpoint(prefix, {k: v for k, v in tensors.items() if k != lost})
    with pytest.raises(UserError, match=lost):
        load_weights(model, prefix)

    extra = "bert/encoder/layer_2/output/dense/bias"
    write_checkpoint(prefix, {**tensors, extra: np.zeros(8, "float32")})
    assert load_weights(model, prefix).unexpected == [extra]

    write_checkpoint(prefix, {**tensors, lost: np.zeros((8, 9), "float32")})
    with pytest.raises(UserError, match=r"key/kernel has shape \[8, 9\].*8, 8"):
        load_weights(model, prefix)

    write_checkpoint(prefix, {"global_step": np.int64(3)})
    with pytest.raises(UserError, match="encoder's variables are not in"):
        load_weights(model, prefix)


def test_a_frozen_or_renamed_model_never_loads_nothing(tmp_path):
    frozen = BertClassifier(TINY_CONFIG, 2)
    frozen.bert.trainable = False
    prefix = str(tmp_path / "frozen.ckpt")
    save_checkpoint(frozen, prefix)
    assert len(Checkpoint(prefix).shapes) == len(frozen.weights) > 30
    report = load_weights(frozen, prefix)
    assert len(report.loaded) == len(frozen.weights)
    with pytest.raises(UserError, match="my_bert/embeddings"):
        load_weights(BertModel(TINY_CONFIG, name="my_bert"), prefix)


def test_a_folder_names_its_newest_checkpoint(model, tmp_path):
    folder = CheckpointFolder(str(tmp_path))
    folder.save({v.path: v.value for v in model.weights}, 3)
    assert load_weights(model, str(tmp_path)).missing == []


def test_a_refused_checkpoint_changes_nothing(model, tmp_path):
    before = [v.numpy() for v in model.trainable_variables]
    tensors = {v.path: v.numpy() + 1 for v in model.trainable_variables}
    tensors["bert/pooler/dense/bias"] = np.zeros(3, "float32")
    write_checkpoint(str(tmp_path / "bad.ckpt"), tensors)
    with pytest.raises(UserError):
        load_weights(model, str(tmp_path / "bad.ckpt"))
    after = [v.numpy() for v in model.trainable_variables]
    assert all(map(np.array_equal, before, after))


def test_other_size_names_the_first_variable_and_both_shapes():
    with pytest.raises(UserError) as error:
        load_weights(odd_model(vocab_size=1600), ODD)
    message = str(error.value)
    assert "bert/embeddings/word_embeddings" in message
    assert "[1500, 96]" in message and "[1600, 96]" in message


@pytest.mark.parametrize("file", ["index", "data-00000-of-00001"])
def test_truncated_checkpoint(model, tmp_path, file):
    prefix = str(tmp_path / "cut.ckpt")
    save_checkpoint(model, prefix)
    with open(f"{prefix}.{file}", "r+b") as writer:
        writer.truncate(os.path.getsize(f"{prefix}.{file}") // 2)
    with pytest.raises(UserError, match="cut.ckpt: the checkpoint is damaged"):
        load_weights(model, prefix)


def test_flipped_bits_are_noticed(model, tmp_path):
    prefix = str(tmp_path / "flipped.ckpt")
    save_checkpoint(model, prefix)
    with open(f"{prefix}.data-00000-of-00001", "r+b") as writer:
        writer.seek(100)
        writer.write(b"\xff" * 8)
    with pytest.raises(UserError, match="damaged"):
        load_weights(model, prefix)


def test_prefixes_that_are_none(model, tmp_path):
    save_checkpoint(model, str(tmp_path / "bert_model.ckpt"))
    with pytest.raises(UserError, match="no such checkpoint"):
        load_weights(model, str(tmp_path / "other.ckpt"))
    with pytest.raises(UserError, match="this is a folder.*bert_model.ckpt"):
        load_weights(model, str(tmp_path))
    with pytest.raises(UserError, match="one file of a checkpoint; write"):
        load_weights(model, str(tmp_path / "bert_model.ckpt.index"))


def test_folder_keeps_the_newest(tmp_path):
    folder = CheckpointFolder(str(tmp_path), max_to_keep=2)
    assert folder.newest_first() == []
    for step in (0, 10, 20, 20):
        folder.save({"x": tf.constant(step)}, step)
        assert folder.newest_first()[0] == str(tmp_path / f"model.ckpt-{step}")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "checkpoint",
        "model.ckpt-10.index",
        "model.ckpt-10.data-00000-of-00001",
        "model.ckpt-20.index",
        "model.ckpt-20.data-00000-of-00001",
    }


def test_a_lost_newest_checkpoint_is_an_error(tmp_path):
    """To start again in silence would overwrite the rest of a run."""
    folder = CheckpointFolder(str(tmp_path))
    prefix = folder.save({"global_step": tf.constant(7, tf.int64)}, 7)
    assert Checkpoint(prefix).global_step() == 7
    os.remove(f"{prefix}.index")
    with pytest.raises(UserError, match="names .*ckpt-7, which does not"):
        folder.newest_first()
    (tmp_path / "checkpoint").write_text("junk")
    with pytest.raises(UserError, match="checkpoint: names no checkpoint"):
        folder.newest_first()
    (tmp_path / "checkpoint").write_bytes(b"\xff\xfe\x00junk")
    with pytest.raises(UserError, match="checkpoint: names no checkpoint"):
        folder.newest_first()


def test_checkpoints_that_no_file_names_are_found(tmp_path):
    folder = CheckpointFolder(str(tmp_path))
    for step in (0, 5, 10):
        last = folder.save({"x": tf.constant(step)}, step)
    state = tmp_path / "checkpoint"
    text = state.read_text()
    for damaged in (None, b"\xff", b"junk"):
        state.unlink()
        if damaged:
            state.write_bytes(damaged)
        assert folder.newest_first()[0] == last
        state.write_text(text)
    state.write_text('model_checkpoint_path: "model.ckpt-10"\n')
    os.remove(f"{last}.index")
    assert folder.newest_first()[0] == str(tmp_path / "model.ckpt-5")
    folder.save({"x": tf.constant(7)}, 7)
    assert folder.newest_first()[0] == str(tmp_path / "model.ckpt-7")


FULL_DISK = """
import resource, sys
import tensorflow as tf
from bert_tf.checkpoints import CheckpointFolder
folder = CheckpointFolder(sys.argv[1])
folder.save({"x": tf.zeros([1000])}, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    folder.save({"x": tf.ones([1000])}, 2)
except OSError as error:
    print(error.filename, error.strerror)
"""


@pytest.mark.slow
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path):
    """A limit on file size makes the kernel refuse the write midway."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/model.ckpt-2 could not be written" in done.stdout
    (latest,) = CheckpointFolder(str(tmp_path)).newest_first()
    assert latest.endswith("model.ckpt-1")
    assert not Checkpoint(latest).read("x").any()
    names = {path.name for path in tmp_path.iterdir()}
    assert not any("ckpt-2" in n or n.startswith(".") for n in names), names
