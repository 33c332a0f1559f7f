"""LiteRT files, float32 and int8, against the functions they are made of."""

import dataclasses
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import needs

from bert_tf import BertConfig
from bert_tf.errors import UserError
from bert_tf.export import agreement, int8_words, lite
from bert_tf.export.engines.of_model import network_of_model
from bert_tf.export.engines.sequences import Sequences
from bert_tf.heads import BertClassifier, BertSpanLabeler
from bert_tf.pooling import BertEmbedder

# Large enough that the converter quantizes: 1,024 numbers and more.
CONFIG = BertConfig(
    vocab_size=1000,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=24,
    type_vocab_size=2,
)
ATTACHED = {"vocab.txt": "[PAD]\nDvořák\n", "labels.txt": "bad\ngood\n"}
OUTPUTS = {"probabilities", "score", "prediction", "embedding"}


def classifier(seed=3):
    keras.utils.set_random_seed(seed)
    model = BertClassifier(CONFIG, 2)
    weights = np.random.default_rng(seed).normal(size=(2, 64))
    model.output_weights.assign(weights)
    return model


class Module(tf.Module):
    """Ids in, an answer out, and where the labels are strings."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name)
            for name in lite.ID_NAMES
        ]
    )
    def ids(self, input_ids, input_mask, segment_ids):
        inputs = {
            "input_ids": input_ids,
            "input_mask": input_mask,
            "segment_ids": segment_ids,
        }
        probabilities = tf.nn.softmax(self.model(inputs, training=False))
        prediction = tf.argmax(probabilities, -1, output_type=tf.int32)
        return {
            "label": tf.gather(tf.constant(["bad", "good"]), prediction),
            "score": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
            "prediction": prediction,
            "embedding": self.model.bert(inputs)["pooled_output"],
        }


@pytest.fixture(scope="module")
def module():
    return Module(classifier())


@pytest.fixture(scope="module")
def folder(module, tmp_path_factory):
    """With float.tflite and int8.tflite."""
    path = tmp_path_factory.mktemp("lite")
    for name, quantize in (("float", False), ("int8", True)):
        lite.export_tflite(
            module.ids,
            str(path / f"{name}.tflite"),
            CONFIG,
            quantize=quantize,
            attached=ATTACHED,
        )
    return path


@pytest.mark.parametrize(
    "quantize", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_the_exact_gelu_is_one_operation(tmp_path, quantize):
    """LiteRT has no erf; the export compares the file with the model."""
    config = dataclasses.replace(
        CONFIG,
        num_hidden_layers=1,
        hidden_act="gelu_exact",
        layer_norm_eps=1e-3,
    )
    keras.utils.set_random_seed(3)
    path = str(tmp_path / "exact.tflite")
    module = Module(BertClassifier(config, 2))
    lite.export_tflite(module.ids, path, config, quantize=quantize)
    inputs = row(12, 12)
    np.testing.assert_allclose(
        lite.LiteModel(path)(**inputs)["embedding"],
        module.ids(**inputs)["embedding"],
        atol=0.05 if quantize else 1e-5,
    )


def row(length, num_tokens, seed=0):
    """Inputs of one text, int32 [1, length]; padding has ids too."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(CONFIG.vocab_size, size=(1, length), dtype=np.int32)
    mask = np.int32(np.arange(length) < num_tokens)[np.newaxis]
    return dict(input_ids=ids, input_mask=mask, segment_ids=mask // 2)


@pytest.mark.parametrize(
    "length, num_tokens", [(1, 1), (7, 7), (24, 5), (9, 0)]
)
def test_it_answers_as_the_function_does(module, folder, length, num_tokens):
    inputs = row(length, num_tokens)
    expected = module.ids(**inputs)
    found = lite.LiteModel(str(folder / "float.tflite"))(**inputs)
    assert found.keys() == OUTPUTS
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)
        assert value.dtype == expected[name].dtype


@pytest.mark.parametrize("name", ["float", "int8"])
def test_padding_changes_nothing(folder, name):
    model = lite.LiteModel(str(folder / f"{name}.tflite"))
    padded = row(20, 6)
    alone = {key: ids[:, :6] for key, ids in padded.items()}
    expected = model(**alone)
    for key, value in model(**padded).items():
        np.testing.assert_allclose(value, expected[key], atol=1e-5)


def test_int8_is_a_quarter_and_nearly_the_same(module, folder):
    path = folder / "int8.tflite"
    content = path.stat().st_size
    numbers = sum(np.prod(v.shape) for v in module.model.variables)
    assert (folder / "float.tflite").stat().st_size > 4 * numbers
    # What is beside the weights does not shrink, and counts in small models.
    assert content < 1.25 * numbers + 60_000
    model = lite.LiteModel(str(path))
    for seed in range(10):
        inputs = row(12, 12, seed)
        expected, found = module.ids(**inputs), model(**inputs)
        assert found["embedding"].dtype == np.float32
        np.testing.assert_allclose(
            found["embedding"], expected["embedding"], atol=0.05
        )
        assert np.any(found["embedding"] != expected["embedding"])


@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated")
def test_the_embedding_table_is_int8(folder):
    interpreter = tf.lite.Interpreter(str(folder / "int8.tflite"))
    tables = [
        details["dtype"]
        for details in interpreter.get_tensor_details()
        if details["shape"].tolist() == [CONFIG.vocab_size, CONFIG.hidden_size]
    ]
    assert tables == [np.int8]


@pytest.mark.parametrize(
    "shape", [(None, 8), pytest.param((2, 8), marks=pytest.mark.slow)]
)
def test_other_shapes(module, tmp_path, shape):
    path = str(tmp_path / "model.tflite")
    lite.export_tflite(module.ids, path, CONFIG, shape=shape)
    model = lite.LiteModel(path)
    assert model.shape == shape
    first, second = row(8, 8), row(8, 3, seed=1)
    both = {key: np.concatenate([first[key], second[key]]) for key in first}
    expected = module.ids(**both)
    for name, value in model(**both).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)


@pytest.mark.slow
def test_other_heads_and_signatures_of_a_savedmodel(tmp_path):
    model = BertSpanLabeler(CONFIG)
    ids = tf.function(
        lambda input_ids, input_mask, segment_ids: model(
            {
                "input_ids": input_ids,
                "input_mask": input_mask,
                "segment_ids": segment_ids,
            }
        ),
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name)
            for name in lite.ID_NAMES
        ],
    )
    module = tf.Module()
    module.model, module.ids = model, ids
    saved = str(tmp_path / "saved")
    tf.saved_model.save(module, saved, signatures={"ids": ids})
    loaded = tf.saved_model.load(saved)
    path = str(tmp_path / "model.tflite")
    lite.export_tflite(loaded.signatures["ids"], path, CONFIG)
    lite.check_same(ids, path, CONFIG, lite.TOLERANCE)
    assert lite.LiteModel(path)(**row(5, 4))["end_logits"].shape == (1, 5)


def test_attached_files(folder, tmp_path):
    path = folder / "int8.tflite"
    assert lite.read_attached(str(path)) == ATTACHED
    alone = tmp_path / "model.tflite"
    alone.write_bytes(path.read_bytes()[: -len(lite._attach(b"", ATTACHED))])
    assert lite.read_attached(str(alone)) == {}
    assert lite.LiteModel(str(alone)).shape == (1, None)


@pytest.mark.slow
def test_a_file_of_other_weights_is_found(folder):
    other = Module(classifier(seed=4))
    for name, tolerance in (
        ("float", lite.TOLERANCE),
        ("int8", lite.INT8_TOLERANCE),
    ):
        with pytest.raises(RuntimeError, match="embedding is off by 0"):
            path = str(folder / f"{name}.tflite")
            lite.check_same(other.ids, path, CONFIG, tolerance)


@pytest.mark.slow
def test_outputs_that_are_no_numbers_or_missing(module, folder):
    path = str(folder / "float.tflite")

    def nothing(**inputs):
        found = module.ids(**inputs)
        return {**found, "score": found["score"] * np.nan}

    with pytest.raises(RuntimeError, match="score is off by nan"):
        lite.check_same(nothing, path, CONFIG, lite.TOLERANCE)

    def one(**inputs):
        return {"score": module.ids(**inputs)["score"]}

    with pytest.raises(RuntimeError, match="prediction, .*, not score"):
        lite.check_same(one, path, CONFIG, lite.TOLERANCE)


def test_what_answers_otherwise_is_not_written(module, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_text("old")
    monkeypatch.setattr(lite, "TOLERANCE", 0.0)
    with pytest.raises(RuntimeError, match="more than 0 of its size"):
        lite.export_tflite(module.ids, str(path), CONFIG)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_a_shape_without_a_number(module, tmp_path):
    with pytest.raises(ValueError, match="must have a number"):
        path = str(tmp_path / "model.tflite")
        lite.export_tflite(module.ids, path, CONFIG, shape=(None, None))


def test_files_that_hold_no_model(tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(OSError, match="model.tflite"):
        lite.LiteModel(str(path))
    for content in (b"", b"nothing", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a LiteRT model"):
            lite.LiteModel(str(path))


def test_it_runs_without_tensorflow(folder):
    interpreter = needs("ai_edge_litert.interpreter", "ai-edge-litert")
    for name in ("float", "int8"):
        path = str(folder / f"{name}.tflite")
        run = interpreter.Interpreter(path).get_signature_runner()
        expected = lite.LiteModel(path)
        for length in (7, 24, 3):
            inputs = row(length, length)
            found = run(**inputs)
            for key, value in expected(**inputs).items():
                np.testing.assert_allclose(found[key], value, atol=1e-5)


def test_questions_agree_by_their_words():
    def share(*texts):
        one, other = ([{"answer": text}] for text in texts)
        return agreement.agreement("question_answering", one, other)

    assert share("in 1969", "September 1969") == 0.5
    assert share("tea", "tea") == share("", "") == share("!", "!") == 1.0
    assert share("tea", "") == share("tea", "I") == 0.0
    assert agreement.least_agreement("question_answering") == 0.95
    assert agreement.least_agreement("tags") == 0.99


def test_each_word_has_a_scale_of_its_own():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(50, 16)) * 10.0 ** rng.uniform(-6, 3, size=(50, 1))
    table[7] = 0.0
    words, scales, unit = int8_words.rounded_rows(table.astype(np.float32))
    found = words * scales.astype(np.float32) * np.float32(unit)
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - table) <= 0.5 * largest / 127 + 3e-5)
    assert not found[7].any()
    none, *_ = int8_words.rounded_rows(np.zeros((2, 3), np.float32))
    assert not none.any()


def test_a_large_word_costs_others_nothing():
    """One scale for the whole table would leave two of its 255 numbers."""
    keras.utils.set_random_seed(3)
    model = BertEmbedder(CONFIG, normalize=True)
    table = model.bert.embeddings.word_embeddings
    rows = table.numpy()
    rows[1] *= 100.0
    table.assign(rows)
    cosines = vectors(model, "float32") * vectors(model, "int8")
    assert cosines.sum(axis=-1).min() > 0.99


def vectors(model, engine):
    """Vectors of some ids."""
    network = network_of_model(
        model, "embedding", engine=engine, max_batch_tokens=512, num_threads=1
    )
    ids = np.random.default_rng(0).integers(5, 200, size=(4, 9), dtype=np.int32)
    inputs = {
        "input_ids": ids,
        "input_mask": np.ones_like(ids),
        "segment_ids": np.zeros_like(ids),
    }
    return network.run(Sequences(inputs, np.full(4, 9)))["embedding"]
