"""What `import bert_tf` alone does: Keras' names, and what `dir` lists."""

import importlib
import json
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.common import ROOT, TINY_CONFIG

import bert_tf
from bert_tf import registration
from bert_tf.heads import BertClassifier
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay

IDS = np.array([[2, 5, 7, 3]], "int32")
# What each face is for; `dir` lists nothing else.
FACES = {
    "bert_tf": {"BertConfig", "BertModel", "heads", "export", "__version__"},
    "bert_tf.data": {"pretraining", "squad"},
    "bert_tf.data.pretraining": {"create_training_instances"},
    "bert_tf.data.squad": {"read_squad_examples", "compute_predictions"},
    "bert_tf.export": {"Predictor", "QuestionAnswerer", "export_model"},
    "bert_tf.metrics": {"macro_f1", "accuracy"},
    "bert_tf.tasks": {"TASKS", "get_task"},
    "bert_tf.training": {"Trainer", "train"},
}


@pytest.mark.parametrize("name", FACES)
def test_dir_lists_what_people_use(name):
    module = importlib.import_module(name)
    listed = dir(module)
    assert FACES[name] <= {*listed}
    assert {*listed} - {*module.__all__} <= {"__version__"}
    for public in listed:
        assert getattr(module, public) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_every_registered_name_is_listed():
    for module in pkgutil.iter_modules(bert_tf.__path__):
        if not module.ispkg:
            importlib.import_module(f"bert_tf.{module.name}")
    listed = {
        f"bert_tf>{name}": f"bert_tf.{module}"
        for module, names in registration.NAMES.items()
        for name in names
    }
    known = keras.saving.get_custom_objects()
    found = {name for name in known if name.startswith("bert_tf>")}
    assert found == {*listed}
    for name, module in listed.items():
        actual = getattr(importlib.import_module(module), name.split(">")[1])
        assert known[name] is actual


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled model in a file; (path, its logits)."""
    model = BertClassifier(TINY_CONFIG, num_labels=3)
    model.compile(
        AdamWeightDecay(WarmupLinearDecay(1e-3, 10)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(IDS, np.array([1]), verbose=0)
    path = str(tmp_path_factory.mktemp("saved") / "model.keras")
    model.save(path)
    return path, np.array(model(IDS))


@pytest.mark.slow
def test_a_model_is_loaded_after_the_import_alone(saved):
    """Neither Keras nor TensorFlow is loaded before it is needed."""
    path, expected = saved
    code = f"""
import json, sys
import bert_tf
assert not {{"keras", "tensorflow", "numpy"}} & {{*sys.modules}}
assert "heads" in dir(bert_tf)
import keras
assert not [m for m in sys.modules if m.startswith("bert_tf.heads")]
assert not [f for f in sys.meta_path if "bert_tf" in type(f).__module__]
model = keras.models.load_model({path!r})
assert type(model.optimizer).__name__ == "AdamWeightDecay"
assert type(model) is bert_tf.heads.BertClassifier
activation = {{
    "class_name": "function", "config": "bert_tf>gelu",
    "module": "builtins", "registered_name": "function",
}}
gelu = keras.activations.get(activation)
assert abs(float(gelu(1.0)) - 0.841192) < 1e-5
print(json.dumps(model(keras.ops.array({IDS.tolist()})).numpy().tolist()))
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout.strip().split("\n")[-1])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_keras_may_be_imported_first(saved, monkeypatch):
    path, expected = saved
    known = keras.saving.get_custom_objects()
    for name in [name for name in known if name.startswith("bert_tf>")]:
        monkeypatch.delitem(known, name)
    with pytest.raises(TypeError, match="Could not locate class"):
        keras.models.load_model(path)
    registration.register_with_keras()
    try:
        model = keras.models.load_model(path)
    finally:
        for name in [name for name in known if name.startswith("bert_tf>")]:
            del known[name]
    np.testing.assert_array_equal(model(IDS), expected)
    assert int(model.optimizer.iterations) == 1
