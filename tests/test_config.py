"""BertConfig: released files load unchanged, wrong ones name their fault."""

import json

import pytest
from support.common import shared

from bert_tf import BertConfig
from bert_tf.errors import UserError


def write(tmp_path, text):
    path = tmp_path / "bert_config.json"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["uncased", "cased", "chinese"])
def test_released_configs(name):
    path = str(shared(f"data/vocab/{name}/bert_config.json"))
    config = BertConfig.from_json_file(path)
    assert config.hidden_size == 768 and config.type_vocab_size == 2


def test_defaults_are_the_originals():
    config = BertConfig(vocab_size=10)
    assert (config.type_vocab_size, config.hidden_act) == (16, "gelu")


def test_activation_in_any_case():
    config = BertConfig(vocab_size=10, hidden_act="GELU")
    assert config.activation_name == "gelu"


def test_round_trip(tmp_path):
    config = BertConfig(vocab_size=30, hidden_size=12, num_attention_heads=3)
    path = write(tmp_path, json.dumps(config.to_dict()))
    assert BertConfig.from_json_file(path) == config


def test_layer_norm_eps_is_written_where_it_is_not_the_originals(tmp_path):
    assert "layer_norm_eps" not in BertConfig(vocab_size=10).to_dict()
    config = BertConfig(
        vocab_size=10, hidden_act="gelu_exact", layer_norm_eps=1e-5
    )
    path = write(tmp_path, json.dumps(config.to_dict()))
    assert BertConfig.from_json_file(path) == config
    text = '{"vocab_size": 10, "layer_norm_eps": 1e-12}'
    assert BertConfig.from_json_file(write(tmp_path, text)) == BertConfig(10)


def test_unknown_keys_are_logged(tmp_path, caplog):
    path = write(tmp_path, '{"vocab_size": 9, "directionality": "bidi"}')
    with caplog.at_level("DEBUG", logger="absl"):
        BertConfig.from_json_file(path)
    assert "directionality" in caplog.text


@pytest.mark.parametrize(
    "text, message",
    [
        ("", r"bert_config.json:1: not JSON"),
        ('{\n"vocab_size": 1,,}', r"bert_config.json:2: not JSON"),
        ("[1]", "a JSON object"),
        ("{}", r"bert_config.json: vocab_size is missing"),
        ('{"vocab_size": "9"}', "vocab_size must be a positive whole number"),
        ('{"vocab_size": 0}', "Received: 0"),
        ('{"vocab_size": 9, "hidden_size": true}', "Received: True"),
        (
            '{"vocab_size": 9, "hidden_size": 10, "num_attention_heads": 3}',
            "hidden_size=10, num_attention_heads=3",
        ),
        (
            '{"vocab_size": 9, "hidden_act": "swish"}',
            r"hidden_act must be .* gelu_exact",
        ),
        ('{"vocab_size": 9, "hidden_dropout_prob": 1}', "below 1"),
        ('{"vocab_size": 9, "layer_norm_eps": 0}', "above 0 and below 1"),
        ('{"vocab_size": 9, "layer_norm_eps": "1e-12"}', "Received: '1e-12'"),
        ('{"vocab_size": 9, "layer_norm_eps": NaN}', "layer_norm_eps must be"),
    ],
)
def test_errors_name_file_and_fault(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        BertConfig.from_json_file(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_invalid_utf8(tmp_path):
    path = tmp_path / "bert_config.json"
    path.write_bytes(b'{"vocab_size": \xff}')
    with pytest.raises(UserError, match="bert_config.json:1: not UTF-8"):
        BertConfig.from_json_file(str(path))
