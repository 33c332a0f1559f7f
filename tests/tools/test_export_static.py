"""export_static as people run it, with a small encoder."""

import json

import keras
import numpy as np
import pytest
from support.programs import DEMO, SMALL_CONFIG, program_of, write

from bert_tf import BertConfig, checkpoints
from bert_tf.errors import UserError
from bert_tf.export import Predictor
from bert_tf.export.lite import LiteModel
from bert_tf.pooling import BertEmbedder

PROGRAM = program_of("bert_tf.tools.export_static")
SMS = DEMO / "sms"
CONFIG = SMALL_CONFIG | {"hidden_size": 64}
TEXTS = ["Call now to win a prize!", "see you at home", "", "call " * 700]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{flag: file} of an encoder with random weights."""
    folder = tmp_path_factory.mktemp("static")
    keras.utils.set_random_seed(4)
    model = BertEmbedder(BertConfig.from_dict(CONFIG), layers=(-1,))
    checkpoints.save_checkpoint(model, str(folder / "bert_model.ckpt"))
    (folder / "bert_config.json").write_text(json.dumps(CONFIG))
    return {
        "bert_config_file": str(folder / "bert_config.json"),
        "init_checkpoint": str(folder / "bert_model.ckpt"),
        "vocab_file": str(DEMO / "demo" / "vocab.txt"),
        "pooling_layer": "-1",
    }


@pytest.fixture(scope="module")
def vectors(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    PROGRAM.run(
        **files,
        export_dir=str(folder),
        corpus=str(SMS / "dev.tsv"),
        export_tflite=True,
    )
    return folder


@pytest.mark.slow
def test_vectors_are_means_of_the_table(vectors):
    predictor = Predictor(str(vectors))
    assert predictor.info["static"] == {"num_components": CONFIG["hidden_size"]}
    found = [a["embedding"] for a in predictor.predict(TEXTS)]
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1], atol=1e-5)
    # Repeating a word changes nothing, nor do other texts of the batch.
    alone = predictor.predict(["call"])[0]["embedding"]
    np.testing.assert_allclose(found[3], alone, atol=1e-5)


@pytest.mark.slow
def test_the_files_for_phones_are_small_and_the_same(vectors):
    plain, int8 = (vectors.parent / f"model{x}.tflite" for x in ("", "_int8"))
    assert int8.stat().st_size < 0.4 * plain.stat().st_size
    ids = np.array([[2, 500, 900, 3]], np.int32)
    inputs = {"input_ids": ids, "segment_ids": ids * 0, "input_mask": ids > 0}
    inputs["input_mask"] = inputs["input_mask"].astype(np.int32)
    one, other = (LiteModel(str(p))(**inputs) for p in (plain, int8))
    cosine = float((one["embedding"] * other["embedding"]).sum())
    assert cosine == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_labels(files, tmp_path):
    folder = tmp_path / "labels"
    PROGRAM.run(
        **files,
        export_dir=str(folder),
        train_file=str(SMS / "train.tsv"),
        dev_file=str(SMS / "dev.tsv"),
    )
    rows = (SMS / "dev.tsv").read_text("utf-8").splitlines()[1:]
    labels, texts = zip(*(row.split("\t") for row in rows), strict=True)
    answers = Predictor(str(folder)).predict(texts)
    right = np.mean(
        [a["label"] == y for a, y in zip(answers, labels, strict=True)]
    )
    assert right > 0.65, right  # Words alone say as much.


@pytest.mark.slow
def test_labels_that_training_has_not_are_named(files, tmp_path, caplog):
    train = write(tmp_path, "train.csv", "text,label\nwin,spam\nhome,ham\n")
    dev = write(tmp_path, "dev.csv", "text,label\nwin,spam\na,other\n")
    values = {**files, "export_dir": str(tmp_path / "x")}
    PROGRAM.run(**values, train_file=str(train), dev_file=str(dev))
    assert "1 of 2 rows has a label that was not in training" in caplog.text
    other = write(tmp_path, "other.csv", "text,label\na,other\n")
    values["export_dir"] = str(tmp_path / "y")
    with pytest.raises(UserError, match="other.csv:2: label 'other' was not"):
        PROGRAM.run(**values, train_file=str(train), dev_file=str(other))
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"num_components": 999},
            "--num_components=999: the encoder's vectors",
        ),
        ({"pooling": "none"}, "--pooling=none: the vector of a piece is"),
        ({"train_file": "/no/such"}, "--train_file=/no/such: no such file"),
        ({"corpus": "/no/*.txt"}, "--corpus: no file matches /no/"),
    ],
)
def test_mistakes_are_named(files, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        PROGRAM.run(**{**files, "export_dir": str(tmp_path / "x"), **changes})
    assert not (tmp_path / "x").exists()


def test_a_corpus_without_text_is_named(files, tmp_path):
    empty = write(tmp_path, "empty.txt", "\n\n")
    with pytest.raises(UserError, match="empty.txt: contains no text"):
        PROGRAM.run(**files, export_dir=str(tmp_path / "x"), corpus=str(empty))
