"""Models that TensorFlow's libraries wrote, in their own files.

tests/golden/foreign/README.md says what made the files and the outputs.
"""

import json
import math
import shutil

import h5py
import numpy as np
import pytest
import tensorflow as tf
from support.common import GOLDEN
from support.foreign_models import inputs, unpack

from bert_tf import json_files
from bert_tf.checkpoints import load_weights
from bert_tf.errors import UserError
from bert_tf.formats import (
    hugging_face,
    keras_hub,
    model_garden,
    transformers_h5,
)
from bert_tf.formats.h5_arrays import H5Arrays
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertPretrainer,
    BertSpanLabeler,
    BertTokenClassifier,
)
from bert_tf.modeling import BertModel

TOLERANCE = 1e-5
HEADS = {
    "classes": lambda config: BertClassifier(config, num_labels=3),
    "tags": lambda config: BertTokenClassifier(config, num_labels=3),
    "choices": BertMultipleChoice,
    "questions": BertSpanLabeler,
    "pretraining": BertPretrainer,
    "masked_lm": BertPretrainer,
    "next_sentence": BertPretrainer,
}
# Model: (the kind of its head, what it has and no head here reads).
MODELS = {
    "transformers4/model": (None, []),
    "transformers4/pretraining": ("pretraining", []),
    "transformers4/masked_lm": ("masked_lm", []),
    "transformers4/next_sentence": ("next_sentence", []),
    "transformers4/classes": ("classes", []),
    "transformers4/tags": ("tags", []),
    "transformers4/choices": ("choices", []),
    "transformers4/questions": ("questions", []),
    "keras_hub/backbone": (None, []),
    "keras_hub/classes": ("classes", []),
    "keras_hub/masked_lm": ("masked_lm", []),
    "keras_hub/keras_nlp_0_12": (None, []),
    "keras_hub/keras_nlp_0_8": (None, []),
    "model_garden/pretraining_v1/ckpt": ("pretraining", ["pooler"]),
    "model_garden/pretraining_v2/ckpt-1": ("pretraining", ["pooler"]),
    "model_garden/classes/ckpt": ("classes", []),
    "model_garden/classes_own_pooler/ckpt": ("classes", ["pooler"]),
    "model_garden/tags/ckpt": ("tags", []),
    "model_garden/questions/ckpt": ("questions", []),
    "model_garden/hub_encoder": (None, []),
    "model_garden/hub_masked_lm": ("masked_lm", []),
    "model_garden/hub_exact_gelu": (None, []),
    "model_garden/hub_classes": ("classes", []),
}
# Variables of a model here that the files of a head do not have.
NEXT_SENTENCE = ["cls/seq_relationship/output_"]
MASKED_LM = ["cls/predictions/"]
POOLER = ["bert/pooler/"]
ABSENT = {
    "transformers4/masked_lm": NEXT_SENTENCE + POOLER,
    "transformers4/next_sentence": MASKED_LM,
    "transformers4/tags": POOLER,
    "transformers4/questions": POOLER,
    "keras_hub/masked_lm": NEXT_SENTENCE,
    "model_garden/hub_masked_lm": NEXT_SENTENCE,
}
_BUILT: dict = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("foreign"))


def open_model(folder, name):
    """The config and the weights of a model."""
    path = str(folder / name)
    if name.startswith("transformers4"):
        values = json_files.read_object(f"{path}/config.json")
        config = hugging_face.to_config(values, path)
        return config, transformers_h5.open_weights(f"{path}/tf_model.h5")
    module = keras_hub if name.startswith("keras_hub") else model_garden
    return module.read_config(path), module.open_weights(path)


def golden_of(folder, name):
    path = folder / name
    path = path if path.is_dir() else path.parent
    return dict(np.load(path / "golden.npz"))


def build(head, config):
    """A model with a head; models of one kind share their Keras object."""
    key = (head, config.hidden_act)
    if key not in _BUILT:
        _BUILT[key] = HEADS[head](config) if head else BertModel(config)
    return _BUILT[key]


def outputs_of(model, head):
    x = inputs()
    if head == "choices":
        del x["masked_lm_positions"]
        x = {name: np.stack([v, v[::-1]], 1) for name, v in x.items()}
    outputs = model(x)
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    return {name: np.asarray(value) for name, value in outputs.items()}


def largest_difference(found, expected, mask):
    """The largest difference where there is no padding."""
    difference = np.abs(found - expected)
    if difference.shape[:2] == mask.shape:
        difference = difference[mask == 1]
    return difference.max()


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_library(folder, name, record_property):
    head, not_used = MODELS[name]
    config, weights = open_model(folder, name)
    is_unused = [
        any(part in unused for part in not_used) for unused in weights.unused
    ]
    assert all(is_unused) and bool(is_unused) == bool(not_used)
    golden = golden_of(folder, name)
    compared, read = set(), set()
    for kind in {None, head}:
        model = build(kind, config)
        report = load_weights(model, weights)
        absent = tuple(ABSENT.get(name, []))
        assert all(n.startswith(absent) for n in report.missing if absent)
        assert absent or not report.missing
        read |= {*report.loaded}
        for output, found in outputs_of(model, kind).items():
            if output not in golden or (name, output) == (
                "keras_hub/masked_lm",
                "mlm_logits",  # See the test of that head.
            ):
                continue
            difference = largest_difference(
                found, golden[output], inputs()["input_mask"]
            )
            record_property(output, float(difference))
            assert difference < TOLERANCE, output
            compared.add(output)
    not_compared = {"mlm_logits"} if name == "keras_hub/masked_lm" else set()
    assert compared == {*golden} - not_compared
    # Two logits may also be those of two classes: under that name, too.
    also = {"output_weights", "output_bias"}
    is_ambiguous = name == "model_garden/questions/ckpt"
    assert {*weights.shapes} - read == (also if is_ambiguous else set())


def test_every_array_of_a_file_is_accounted_for(folder):
    name = "transformers4/pretraining"
    _, weights = open_model(folder, name)
    arrays = H5Arrays(str(folder / name / "tf_model.h5"))
    # The head has the five arrays of the embeddings once more.
    twice = [n for n in arrays.shapes if n.startswith("mlm___cls/")]
    twice = [n for n in twice if "/bert/embeddings/" in n]
    assert len(twice) == 5
    assert len(weights.shapes) == len(arrays.shapes) - len(twice)


def test_the_masked_lm_head_of_keras_hub(folder, caplog):
    """It has the exact gelu and another epsilon, whatever the encoder has."""
    name = "keras_hub/masked_lm"
    config, weights = open_model(folder, name)
    assert "exact gelu" in caplog.text
    golden = golden_of(folder, name)
    rows = np.take_along_axis(
        golden["sequence_output"],
        inputs()["masked_lm_positions"][..., None],
        axis=1,
    )
    scope = "cls/predictions/transform/"
    x = rows @ weights.read(f"{scope}dense/kernel")
    x = x + weights.read(f"{scope}dense/bias")
    x = x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5)
    x = x * weights.read(f"{scope}LayerNorm/gamma")
    x = x + weights.read(f"{scope}LayerNorm/beta")
    logits = x @ weights.read("bert/embeddings/word_embeddings").T
    logits = logits + weights.read("cls/predictions/output_bias")
    np.testing.assert_allclose(logits, golden["mlm_logits"], atol=TOLERANCE)
    # The head here is close, and not the same.
    model = build("masked_lm", config)
    load_weights(model, weights)
    found = outputs_of(model, "masked_lm")["mlm_logits"]
    assert 1e-4 < np.abs(found - golden["mlm_logits"]).max() < 5e-3


def test_heads_may_have_an_axis_of_their_own(folder, tmp_path):
    """As transformers 4.2 wrote kernels and biases of attention."""
    source = folder / "transformers4" / "model" / "tf_model.h5"
    changed = tmp_path / "weights"
    with h5py.File(source) as old, h5py.File(changed, "w") as new:
        for name in H5Arrays(str(source)).shapes:
            value = old[name][()]
            if "/self/" in name:
                value = value.reshape((*value.shape[:-1], 4, 8))
            elif "attention/output/dense/kernel" in name:
                value = value.reshape((4, 8, -1))
            new[name.replace("tf_bert_model", "my/own")] = value
    assert_same_weights(
        transformers_h5.open_weights(str(changed)),
        transformers_h5.open_weights(str(source)),
    )


def assert_same_weights(found, expected):
    assert not found.unused
    assert found.shapes == expected.shapes
    for name, shape in found.shapes.items():
        assert shape == found.read(name).shape
        np.testing.assert_array_equal(found.read(name), expected.read(name))


def test_the_first_modules_of_tensorflow_hub(folder, tmp_path):
    """Their names come from earlier code of Model Garden."""
    _, weights = open_model(folder, "model_garden/hub_encoder")
    old = {
        "bert/": "bert_model/",
        "embeddings/word_embeddings": "word_embeddings/embeddings",
        "embeddings/": "embedding_postprocessor/",
        "token_type_embeddings": "type_embeddings",
        "embedding_postprocessor/LayerNorm": (
            "embedding_postprocessor/layer_norm"
        ),
        "attention/self": "self_attention",
        "attention/output/dense": "self_attention_output",
        "attention/output/LayerNorm": "self_attention_layer_norm",
        "intermediate/dense": "intermediate",
        "output/dense": "output",
        "output/LayerNorm": "output_layer_norm",
        "pooler/dense": "pooler_transform",
    }
    variables = []
    for name in weights.shapes:
        value, foreign = weights.read(name), name
        for start, end in old.items():
            if not (start == "embeddings/" and "word_embeddings" in foreign):
                foreign = foreign.replace(start, end)
        if "/attention/self/" in name:
            value = value.reshape((*value.shape[:-1], 4, 8))
        if "attention/output/dense/kernel" in name:
            value = value.reshape((4, 8, -1))
        variables.append(tf.Variable(value, name=foreign))
    prefix = tf.train.Checkpoint(v=variables).write(str(tmp_path / "ckpt"))
    assert model_garden.recognises(prefix)
    assert_same_weights(model_garden.open_weights(prefix), weights)
    assert (
        model_garden.read_config(prefix)
        == open_model(folder, "model_garden/hub_encoder")[0]
    )


def test_what_is_said_of_texts_and_heads(folder):
    hub = [str(folder / "keras_hub" / n) for n in ("backbone", "masked_lm")]
    settings = [keras_hub.tokenizer_settings(path) for path in hub]
    assert settings[0] == {
        "do_lower_case": False,
        "strip_accents": False,
        "tokenize_chinese_chars": True,
    }
    assert settings[1]["do_lower_case"] and not settings[1]["strip_accents"]
    words = (folder / "model_garden/hub_encoder/assets/vocab.txt").read_text(
        "utf-8"
    )
    vocabulary = keras_hub.vocab_file(hub[0])
    assert vocabulary.startswith(hub[0])
    with open(vocabulary, encoding="utf-8") as reader:
        assert reader.read() == words
    classes = str(folder / "keras_hub/classes")
    assert keras_hub.head_kind(classes) == "single_label"
    assert keras_hub.num_labels(classes) == 3
    assert keras_hub.dropout_rate(classes) == 0.3
    assert keras_hub.read_config(classes).hidden_dropout_prob == 0.2
    assert keras_hub.head_kind(hub[0]) is None
    old = str(folder / "keras_hub/keras_nlp_0_8")
    assert keras_hub.vocab_file(old) is None
    assert keras_hub.tokenizer_settings(old) is None

    garden = folder / "model_garden"
    for name, lower in (("hub_masked_lm", True), ("hub_encoder", False)):
        path = str(garden / name)
        assert model_garden.tokenizer_settings(path) == {"do_lower_case": lower}
        assert model_garden.vocab_file(path) == f"{path}/assets/vocab.txt"
    exact = str(garden / "hub_exact_gelu")
    assert model_garden.vocab_file(exact) is None
    assert model_garden.read_config(exact).hidden_act == "gelu_exact"
    kinds = {
        "classes/ckpt": "single_label",
        "pretraining_v1/ckpt": "pretraining",
        "hub_masked_lm": "masked_lm",
        "tags/ckpt": None,
        "hub_encoder": None,
    }
    for name, kind in kinds.items():
        assert model_garden.head_kind(str(garden / name)) == kind


def test_each_format_is_recognised_by_content_alone(folder, tmp_path):
    h5 = tmp_path / "anything"
    shutil.copy(folder / "transformers4" / "tags" / "tf_model.h5", h5)
    preset = folder / "keras_hub" / "classes"
    saved_model = folder / "model_garden" / "hub_classes"
    checkpoint = folder / "model_garden" / "tags" / "ckpt"
    checkpoints = folder / "model_garden" / "pretraining_v1"
    original = GOLDEN / "modeling" / "odd" / "bert_model.ckpt"
    weights = preset / "model.weights.h5"
    config = folder / "transformers4" / "tags"
    paths = [h5, preset, saved_model, checkpoint, checkpoints]
    paths += [original, original.parent, weights, config]
    for module, own in (
        (transformers_h5, [h5]),
        (keras_hub, [preset]),
        (model_garden, [saved_model, checkpoint, checkpoints]),
    ):
        found = [path for path in paths if module.recognises(str(path))]
        assert found == own


def copy_of(source, target, *without):
    """Copies an HDF5 file but for some of its arrays."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name in H5Arrays(str(source)).shapes:
            if name not in without:
                new[name] = old[name][()]


def one_line(raised, path):
    """The message of a UserError, which names the file."""
    message = str(raised.value)
    assert "\n" not in message and str(path) in message
    return message


def test_an_incomplete_encoder_is_refused_by_name(folder, tmp_path):
    preset = tmp_path / "preset"
    shutil.copytree(folder / "keras_hub/backbone", preset)
    copy_of(
        folder / "keras_hub/backbone/model.weights.h5",
        preset / "model.weights.h5",
        "layers/transformer_encoder_1/_feedforward_output_dense/vars/1",
    )
    config = keras_hub.read_config(str(preset))
    weights = keras_hub.open_weights(str(preset))
    with pytest.raises(UserError) as raised:
        load_weights(build(None, config), weights)
    assert "bert/encoder/layer_1/output/dense/bias" in one_line(raised, preset)


@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("transformers4/tags", "tf_model.h5"),
        ("keras_hub/classes", "model.weights.h5"),
        ("keras_hub/classes", "task.weights.h5"),
        ("keras_hub/classes", "config.json"),
        ("model_garden/hub_classes", "variables/variables.index"),
        (
            "model_garden/hub_classes",
            "variables/variables.data-00000-of-00001",
        ),
        ("model_garden/hub_classes", "saved_model.pb"),
    ],
)
def test_a_cut_file_is_one_line(folder, tmp_path, name, file, share):
    copied = tmp_path / name
    shutil.copytree(folder / name, copied)
    content = (copied / file).read_bytes()
    (copied / file).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError) as raised:
        _, weights = open_model(tmp_path, name)
        for variable in weights.shapes:
            weights.read(variable)
    one_line(raised, copied)


@pytest.mark.parametrize("seed", range(3))
def test_an_overwritten_file_never_ends_in_another_error(
    folder, tmp_path, seed
):
    source = folder / "keras_hub" / "classes" / "task.weights.h5"
    content = bytearray(source.read_bytes())
    random = np.random.default_rng(seed)
    path = tmp_path / "weights"
    for _ in range(40):
        damaged = bytearray(content)
        start = random.integers(len(damaged) - 8)
        damaged[start : start + 8] = random.bytes(8)
        path.write_bytes(damaged)
        try:
            arrays = H5Arrays(str(path))
            for name in arrays.shapes:
                arrays.read(name)
        except UserError as error:
            assert "\n" not in str(error)


def test_links_out_of_a_file_are_not_followed(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.ones(3)
    for link in (
        h5py.ExternalLink(str(outside), "secret"),
        h5py.SoftLink("/secret"),
    ):
        with h5py.File(inside, "w") as file:
            file["a/b"] = link
        with pytest.raises(UserError, match="a/b is a link") as raised:
            H5Arrays(str(inside))
        one_line(raised, inside)
    with h5py.File(inside, "w") as file:
        file.create_group("a")["b"] = file
    with pytest.raises(UserError, match="a/b holds itself"):
        H5Arrays(str(inside))
    with h5py.File(inside, "w") as file:
        file.create_dataset("a", (3,), "f4", external=[(str(outside), 0, 12)])
    with pytest.raises(UserError, match="a lies in another file"):
        H5Arrays(str(inside))


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("config.json", "num_heads", "4", "config.num_heads='4'"),
        ("config.json", "num_heads", 5, "multiple of num_attention_heads"),
        ("config.json", "num_layers", True, "config.num_layers=True"),
        ("config.json", "hidden_dim", None, "config.hidden_dim=None"),
        ("config.json", "dropout", 1, "config.dropout=1"),
        (
            "config.json",
            "dtype",
            {"class_name": "QuantizedDTypePolicy"},
            "quantized",
        ),
        ("tokenizer.json", "lowercase", "yes", "config.lowercase='yes'"),
        ("tokenizer.json", "oov_token", "?", "config.oov_token='?'"),
        ("tokenizer.json", "split", False, "config.split=False"),
        ("task.json", "num_classes", 0, "config.num_classes=0"),
        ("task.json", "dropout", "0", "config.dropout='0'"),
    ],
)
def test_a_wrong_value_is_named(folder, tmp_path, file, key, value, message):
    shutil.copytree(folder / "keras_hub/classes", tmp_path, dirs_exist_ok=True)
    path = tmp_path / file
    content = json.loads(path.read_text())
    content["config"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as raised:
        keras_hub.read_config(str(tmp_path))
        keras_hub.tokenizer_settings(str(tmp_path))
        keras_hub.num_labels(str(tmp_path))
        keras_hub.dropout_rate(str(tmp_path))
    assert message in one_line(raised, path)


def test_another_class_is_named(folder, tmp_path):
    shutil.copytree(folder / "keras_hub/backbone", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("hub>BertB", "hub>DebertaV3B"))
    assert not keras_hub.recognises(str(tmp_path))
    with pytest.raises(UserError, match="keras_hub>DebertaV3Backbone") as e:
        keras_hub.read_config(str(tmp_path))
    one_line(e, path)
