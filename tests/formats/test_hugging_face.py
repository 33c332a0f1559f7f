"""Folders of Hugging Face: those of transformers 5, and those written here.

tests/golden/foreign/hugging_face/README.md says what made the golden files.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.common import read_json, read_npz
from support.hugging_face_models import (
    CLASSES,
    LABELS,
    WEIGHTS,
    arrays_of,
    copy,
    unpack,
    write_raw,
)

from bert_tf import BertConfig, BertModel, pretrained, storing
from bert_tf.checkpoints import weights_of
from bert_tf.errors import UserError
from bert_tf.export.fitted_settings import FittedSettings, problem_type_of
from bert_tf.formats import heads, hugging_face, hugging_face_names
from bert_tf.heads import (
    BertClassifier,
    BertPretrainer,
    BertRelationClassifier,
    BertTokenClassifier,
)
from bert_tf.tasks import record as task_record

PLACES = ("sequence_output", "start_logits", "end_logits")
KIND = {"encoder": None, "encoder_tanh": None}
NOT_THERE = {  # Starts of the variables that a file of the head lacks.
    "masked_lm": (heads.POOLER, "cls/seq_relationship/"),
    "next_sentence": ("cls/predictions/",),
    "tags": (heads.POOLER,),
    "question_answering": (heads.POOLER,),
}
LABELLED = ("single_label", "multi_label", "tags")


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The folders that transformers wrote."""
    return unpack(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def models(golden):
    """The models that are read from them."""
    return {
        name: model_class.from_pretrained(str(golden / name))
        for name, model_class in CLASSES.items()
    }


@pytest.fixture(scope="module")
def classifier(golden):
    """The weights of one of them, under the original's names."""
    weights = pretrained.open(str(golden / "single_label")).weights()
    return {name: weights.read(name) for name in weights.shapes}


def weights_in(folder):
    weights = pretrained.open(str(folder)).weights()
    return {name: weights.read(name) for name in weights.shapes}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


# ---------------------------------------------------------------------------
# What transformers wrote.


@pytest.mark.parametrize("name", CLASSES)
def test_outputs_are_those_of_transformers(golden, models, name):
    inputs, outputs = read_npz(golden / "inputs.npz"), {}
    mask = inputs["input_mask"] == 1
    x = {n: v for n, v in inputs.items() if n != "masked_lm_positions"}
    if name == "multiple_choice":
        x = {n: np.stack([v, v[::-1]], 1) for n, v in x.items()}
    if CLASSES[name] is BertPretrainer:
        x["masked_lm_positions"] = inputs["masked_lm_positions"]
    outputs = models[name](x)
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    expected = {
        key.partition("/")[2]: value
        for key, value in read_npz(golden / "golden.npz").items()
        if key.startswith(f"{name}/")
    }
    assert expected
    for key, value in expected.items():
        difference = np.abs(np.asarray(outputs[key]) - value)
        if key in PLACES or name == "tags":
            difference = difference[mask]
        assert difference.max() < 1e-5, key


@pytest.mark.parametrize("name", CLASSES)
def test_arrays_are_written_as_transformers_did(golden, models, name, tmp_path):
    stored = pretrained.open(str(golden / name))
    assert stored.kind == KIND.get(name, name)
    assert stored.labels == (LABELS if name in LABELLED else None)
    models[name].save_pretrained(
        str(tmp_path),
        format="huggingface",
        kind=stored.kind,
        labels=stored.labels,
    )
    found, expected = arrays_of(tmp_path), arrays_of(golden / name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        assert found[key].tobytes() == value.tobytes(), key
    ours = read_json(tmp_path / "config.json")
    theirs = read_json(golden / name / "config.json")
    both = ours.keys() & theirs.keys()
    assert len(both) >= 15
    assert {k: ours[k] for k in both} == {k: theirs[k] for k in both}


# ---------------------------------------------------------------------------
# What is written here.


@pytest.mark.parametrize(
    "act", ["gelu_exact", pytest.param("gelu", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", [n for n in CLASSES if n != "encoder_tanh"])
def test_every_head_comes_back(name, act, tmp_path):
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        hidden_act=act,
        max_position_embeddings=6,
        type_vocab_size=2,
        layer_norm_eps=1e-7,
    )
    outputs = {"regression": 1, "tags": 3, "single_label": 3, "multi_label": 3}
    settings = {"num_labels": outputs[name]} if name in outputs else {}
    model = CLASSES[name](config, **settings)
    random = np.random.default_rng(1)
    for variable in weights_of(model):
        variable.assign(random.normal(size=variable.shape))
    labels = ["b", "a", "ü, \u201cc\u201d"] if name in LABELLED else None
    model.save_pretrained(
        str(tmp_path),
        labels=labels,
        format="huggingface",
        kind=KIND.get(name, name),
    )
    stored = pretrained.open(str(tmp_path))
    assert stored.config == config
    assert (stored.kind, stored.labels) == (KIND.get(name, name), labels)
    found = CLASSES[name].from_pretrained(str(tmp_path))
    for variable, other in zip(
        weights_of(model), weights_of(found), strict=True
    ):
        if not variable.path.startswith(NOT_THERE.get(name, ("-",))):
            assert variable.path == other.path
            np.testing.assert_array_equal(variable.numpy(), other.numpy())


@pytest.mark.parametrize("has_head", [True, False])
def test_names_are_read_in_both_directions(models, has_head):
    """Matrices of different sizes show whether they are turned round."""
    writing = hugging_face_names.WITHOUT_HEAD
    every = {v.path: v.numpy() for v in weights_of(models["encoder"])}
    if has_head:
        writing = hugging_face_names.WITH_HEAD
        for name, model in models.items():
            if name not in KIND:
                every |= {v.path: v.numpy() for v in weights_of(model)}
    assert len(every) == (50 if has_head else 39)
    written = {}
    for name, value in every.items():
        match = writing.to_foreign(name)
        assert match.name not in written, "two variables with one name"
        written[match.name] = match.layout.to_foreign(value, 4)
        back = hugging_face_names.READING.to_original(match.name)
        assert back.name == name
        found = back.layout.to_original(written[match.name])
        np.testing.assert_array_equal(found, value)
        assert back.layout.shape_to_original(written[match.name].shape) == (
            value.shape
        )


@pytest.mark.parametrize(
    "theirs, ours, back",
    [
        ("gelu", "gelu_exact", "gelu"),
        ("gelu_python", "gelu_exact", "gelu"),
        ("gelu_new", "gelu", "gelu_pytorch_tanh"),
        ("gelu_pytorch_tanh", "gelu", "gelu_pytorch_tanh"),
        ("relu", "relu", "relu"),
        ("linear", "linear", "linear"),
    ],
)
def test_activations_have_other_names(theirs, ours, back):
    values = {"vocab_size": 9, "hidden_act": theirs}
    config = hugging_face.to_config(values, "config.json")
    assert config == BertConfig(9, hidden_act=ours, type_vocab_size=2)
    written = hugging_face.from_config(config)
    assert (written["hidden_act"], written["layer_norm_eps"]) == (back, 1e-12)


# ---------------------------------------------------------------------------
# Files of other versions.


def old_name(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


@pytest.mark.parametrize("new_name", [old_name, str])
def test_names_of_earlier_versions(golden, classifier, new_name, tmp_path):
    arrays = arrays_of(golden / "single_label")
    arrays = {new_name(n): a for n, a in arrays.items()}
    arrays["bert.embeddings.position_ids"] = np.arange(16)[None]
    folder = copy(golden / "single_label", tmp_path / "old", arrays)
    assert_same(weights_in(folder), classifier)
    assert pretrained.open(str(folder)).weights().unused == []


def test_an_encoder_may_lack_the_prefix_or_have_it(golden, tmp_path):
    arrays = arrays_of(golden / "encoder")
    more = {f"bert.{n}": a for n, a in arrays.items()}
    folder = copy(golden / "encoder", tmp_path / "more", more)
    assert_same(weights_in(folder), weights_in(golden / "encoder"))
    arrays = arrays_of(golden / "tags")
    less = {n.removeprefix("bert."): a for n, a in arrays.items()}
    folder = copy(golden / "tags", tmp_path / "less", less)
    assert_same(weights_in(folder), weights_in(golden / "tags"))


def test_halves_are_read(golden, classifier, tmp_path):
    arrays = arrays_of(golden / "single_label")
    half = {n: a.astype(np.float16) for n, a in arrays.items()}
    folder = copy(golden / "single_label", tmp_path / "half", half)
    for name, value in weights_in(folder).items():
        np.testing.assert_array_equal(value, classifier[name].astype("float16"))
    # bfloat16: the first 16 bits of a float32.
    bits = {n: np.ascontiguousarray(a).view("<u4") for n, a in arrays.items()}
    folder = copy(golden / "single_label", tmp_path / "brain")
    halves = {n: (b >> 16).astype("<u2") for n, b in bits.items()}
    write_raw(folder / WEIGHTS, "BF16", halves)
    for name, value in weights_in(folder).items():
        assert value.dtype == np.float32
        expected = np.ascontiguousarray(classifier[name]).view("<u4") >> 16
        np.testing.assert_array_equal(
            np.ascontiguousarray(value).view("<u4") >> 16, expected
        )
    model = BertClassifier.from_pretrained(str(folder))
    assert {v.dtype for v in weights_of(model)} == {"float32"}


SHARDS = (
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
)


@pytest.fixture
def shards(golden, tmp_path):
    """A folder with the weights in two files, and its index."""
    folder = copy(golden / "single_label", tmp_path / "shards")
    arrays = arrays_of(folder)
    (folder / WEIGHTS).unlink()
    place = {name: SHARDS[i % 2] for i, name in enumerate(sorted(arrays))}
    for file in SHARDS:
        save_file(
            {n: a for n, a in arrays.items() if place[n] == file}, folder / file
        )
    return folder, place


def write_index(folder, places):
    text = json.dumps({"metadata": {}, "weight_map": places})
    (folder / f"{WEIGHTS}.index.json").write_text(text)


def test_weights_in_several_files(shards, classifier):
    folder, places = shards
    write_index(folder, places)
    assert_same(weights_in(folder), classifier)
    assert_same(weights_in(folder / f"{WEIGHTS}.index.json"), classifier)


def test_an_index_must_say_what_is_there(shards):
    folder, places = shards
    name = "classifier.weight"

    def message(places):
        write_index(folder, places)
        with pytest.raises(UserError) as error:
            weights_in(folder)
        assert "\n" not in str(error.value)
        return str(error.value)

    for outside in ("../x/model.safetensors", "/etc/passwd", 5):
        assert "a file in the same folder" in message({**places, name: outside})
    assert "damaged" in message({**places, name: ".."})
    assert message({**places, name: "no.safetensors"}).endswith("no such file")
    assert "more is missing, which" in message({**places, "more": SHARDS[0]})
    assert "nor an index" in message([*places]) and "nor an" in message({})
    # What is named there is not loaded, either.
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    assert "damaged, or not" in message({**places, name: "pytorch_model.bin"})


# ---------------------------------------------------------------------------
# What is not read.


def refused(folder):
    with pytest.raises(UserError) as error:
        weights_in(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("size", [0, 4, 9, 100, 5000, -4])
def test_files_that_are_cut_off(golden, size, tmp_path):
    folder = copy(golden / "single_label", tmp_path / "cut")
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:size])
    assert refused(folder).startswith(f"{folder / WEIGHTS}: ")


@pytest.mark.parametrize("dtype, size", [("F8_E4M3", 1), ("I8", 1), ("I64", 8)])
def test_quantized_weights(golden, dtype, size, tmp_path):
    folder = copy(golden / "encoder", tmp_path / "small")
    arrays = {
        n: np.zeros(a.shape, f"u{size}") for n, a in arrays_of(folder).items()
    }
    write_raw(folder / WEIGHTS, dtype, arrays)
    assert f"has the type {dtype}; one of F16, F32" in refused(folder)


def test_two_values_for_one_variable(golden, tmp_path):
    arrays = arrays_of(golden / "masked_lm")
    table, bias = "bert.embeddings.word_embeddings.weight", "cls.predictions."
    tied = {
        **arrays,
        f"{bias}decoder.weight": arrays[table],
        f"{bias}decoder.bias": arrays[f"{bias}bias"],
    }
    folder = copy(golden / "masked_lm", tmp_path / "tied", tied)
    assert_same(weights_in(folder), weights_in(golden / "masked_lm"))
    for name, why in (
        ("decoder.weight", "table of words"),
        ("decoder.bias",) * 2,
    ):
        changed = {**tied, bias + name: tied[bias + name] + 1}
        folder = copy(golden / "masked_lm", tmp_path / name, changed)
        assert why in refused(folder) and "differs from" in refused(folder)


def test_an_incomplete_encoder(golden, tmp_path, warnings):
    def with_arrays(name, keep):
        arrays = arrays_of(golden / "single_label")
        kept = {n: a for n, a in arrays.items() if keep(n)}
        return str(copy(golden / "single_label", tmp_path / name, kept))

    folder = with_arrays("layer", lambda n: "layer.1.output.dense" not in n)
    with pytest.raises(UserError, match="layer_1/output/dense/kernel first"):
        BertClassifier.from_pretrained(folder)
    folder = with_arrays("bias", lambda n: n != "classifier.bias")
    with pytest.raises(UserError, match="num_labels must be given"):
        BertClassifier.from_pretrained(folder)
    BertModel.from_pretrained(with_arrays("pooler", lambda n: "pool" not in n))
    assert "random now: bert/pooler/dense/kernel" in warnings()[-1]


def test_arrays_that_nothing_reads_are_named(golden, tmp_path, warnings):
    arrays = arrays_of(golden / "encoder")
    arrays["encoder.layer.2.output.dense.bias"] = np.zeros(32, "float32")
    arrays["adapter.weight"] = np.zeros(2, "float32")
    BertModel.from_pretrained(
        str(copy(golden / "encoder", tmp_path / "more", arrays))
    )
    assert warnings()[-1].endswith(
        "not used: bert/encoder/layer_2/output/dense/bias, adapter.weight"
    )


def test_a_head_without_names_of_labels_stays_one(golden, tmp_path):
    """A folder of the original has no other word for the kind of a head."""
    source, target = tmp_path / "unnamed", tmp_path / "original"
    copy(golden / "single_label", source, id2label=None)
    contents = storing.contents_of(str(source))
    storing.write_folder(str(target), contents, "original")
    stored = pretrained.open(str(target))
    names = ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert (stored.kind, stored.labels) == ("single_label", names)


@pytest.mark.parametrize("kind", ["masked_lm", "next_sentence"])
def test_one_head_of_pretraining_in_a_file_of_keras(models, tmp_path, kind):
    """The model in the file has the other one, with random numbers."""
    models[kind].save_pretrained(str(tmp_path), format="keras", kind=kind)
    stored = pretrained.open(str(tmp_path))
    assert stored.kind == kind
    assert heads.kind_of(stored.weights().shapes) == kind
    assert task_record.read(str(tmp_path)) is None
    file = tmp_path / "model.keras"
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes(99) + content[middle + 99 :])
    with pytest.raises(UserError, match="not a model of this package, or dam"):
        stored.weights()


def test_another_head_is_new(golden, warnings):
    """The variables of classes and of tags have the same names and sizes."""
    folder = str(golden / "single_label")
    with pytest.raises(UserError, match="must be given: .* and no head for"):
        BertTokenClassifier.from_pretrained(folder)
    model = BertTokenClassifier.from_pretrained(folder, num_labels=3)
    assert "the stored one is of the kind single_label" in warnings()[-1]
    stored = pretrained.open(folder).weights()
    found = {v.path: v.numpy() for v in weights_of(model)}
    assert not np.array_equal(
        found["output_weights"], stored.read("output_weights")
    )
    name = "bert/pooler/dense/kernel"
    np.testing.assert_array_equal(found[name], stored.read(name))


def test_a_head_that_is_read_keeps_its_kind(golden, tmp_path):
    """Else several labels or a number would be saved as classes."""
    for kind in ("multi_label", "regression"):
        model = BertClassifier.from_pretrained(str(golden / kind))
        model.save_pretrained(str(tmp_path / kind), format="huggingface")
        assert pretrained.open(str(tmp_path / kind)).kind == kind
        assert problem_type_of(model, FittedSettings()) == kind
    folder = str(golden / "multi_label")
    model = BertClassifier.from_pretrained(folder, num_labels=7)  # A new head.
    assert model.kind is None


# ---------------------------------------------------------------------------
# What is not written.


def test_what_is_not_written_leaves_no_folder(models, tmp_path):
    folder = tmp_path / "new"
    config, classifier = models["single_label"].config, models["single_label"]
    for model, settings, message in (
        (classifier, {"kind": "tags"}, "BertClassifier has single_label, "),
        (classifier, {"labels": ["a", "b"]}, "3 different ones are needed"),
        (classifier, {"labels": ["a", "b", "b"]}, "3 different ones"),
        (classifier, {"labels": ["a", "b", "c\nd"]}, "have line breaks"),
        (models["pretraining"], {"labels": ["a"]}, "pretraining has none"),
        (BertRelationClassifier(config, 3), {}, "has no such head; it has"),
        (
            BertClassifier(config, 3, hidden_units=8),
            {},
            "no variable like hidden/",
        ),
        (classifier, {"format": "onnx"}, "one of original, huggingface, keras"),
    ):
        with pytest.raises(UserError, match=message):
            model.save_pretrained(
                str(folder), **{"format": "huggingface", **settings}
            )
        assert not folder.exists()


def test_another_model_in_the_folder(models, tmp_path, warnings):
    """The one that is there would be read, or what it says of its head."""
    model, folder = models["single_label"], str(tmp_path)
    model.save_pretrained(folder, labels=LABELS)
    with pytest.raises(UserError, match="folder=.*: holds another model"):
        model.save_pretrained(folder, format="huggingface")
    models["tags"].save_pretrained(folder)
    stored = pretrained.open(folder)
    assert stored.kind == "tags"
    warnings().clear()
    models["masked_lm"].save_pretrained(
        str(tmp_path / "words"), format="huggingface", kind="masked_lm"
    )
    assert "has no place for bert/pooler/dense/kernel" in warnings()[-1]
