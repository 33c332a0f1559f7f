"""Checkpoints without the state of training, in float16."""

import numpy as np
import pytest
from support.common import GOLDEN
from support.programs import program_of, values_of

from bert_tf import BertConfig, BertModel, checkpoints
from bert_tf.errors import UserError

CONVERT = program_of("bert_tf.tools.convert_checkpoint")
ODD = GOLDEN / "modeling" / "odd"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint with what training adds."""
    prefix = str(tmp_path_factory.mktemp("trained") / "model.ckpt-7")
    tensors = values_of(ODD / "bert_model.ckpt")
    for name, value in [*tensors.items()]:
        tensors[f"{name}/adam_m"] = tensors[f"{name}/adam_v"] = value
    tensors["global_step"] = np.int64(7)
    tensors["bert_tf/loss_scale"] = np.float32(2)
    checkpoints.write_checkpoint(prefix, tensors)
    return prefix


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_weights_alone_are_kept(trained, tmp_path, precision):
    target = str(tmp_path / "new" / "bert_model.ckpt")
    CONVERT.run(
        init_checkpoint=trained, output_checkpoint=target, precision=precision
    )
    found, expected = values_of(target), values_of(ODD / "bert_model.ckpt")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == precision
        np.testing.assert_array_equal(found[name], value.astype(precision))
    model = BertModel(BertConfig.from_json_file(str(ODD / "bert_config.json")))
    assert not checkpoints.load_weights(model, target).missing
    assert {v.dtype for v in model.weights} == {"float32"}
    with pytest.raises(UserError, match="already exists"):
        CONVERT.run(init_checkpoint=trained, output_checkpoint=target)


def test_what_does_not_fit_is_refused(tmp_path):
    prefix = str(tmp_path / "large")
    checkpoints.write_checkpoint(prefix, {"bert/x": np.float32([1e6])})
    target = str(tmp_path / "small")
    with pytest.raises(UserError, match="--precision=float16: bert/x of .*lar"):
        CONVERT.run(
            init_checkpoint=prefix,
            output_checkpoint=target,
            precision="float16",
        )
    with pytest.raises(UserError, match="no such checkpoint"):
        CONVERT.run(init_checkpoint=target, output_checkpoint=target)
    assert not (tmp_path / "small.index").exists()
