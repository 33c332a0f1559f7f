"""Presets of keras-hub, and of keras-nlp before it: BERT in a folder.

    config.json                        the encoder, BertBackbone
    model.weights.h5                   its weights
    tokenizer.json                     settings of the tokenizer
    assets/tokenizer/vocabulary.txt    the vocabulary
    task.json, task.weights.h5         a head, if there is one

The files name Python classes. Here a name is compared with those that are
known, and no class is looked up or made.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from absl import logging

from bert_tf import files, json_files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats.h5_arrays import H5Arrays
from bert_tf.formats.tables import (
    HEADS_FIRST,
    HEADS_LAST,
    SAME,
    TRANSPOSED,
    Layout,
    Rule,
    Table,
)
from bert_tf.formats.weights import ForeignWeights, Joined, Renamed

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
TOKENIZER, TASK = "tokenizer.json", "task.json"
TASK_WEIGHTS = "task.weights.h5"
# Models of more than some gigabytes are written in several files.
_SHARDS = "model.weights.json"
_VOCABULARIES = ("assets/tokenizer/vocabulary.txt", "assets/vocabulary.txt")
_BACKBONE = "BertBackbone"
_CLASSIFIERS = ("BertTextClassifier", "BertClassifier")
_MASKED_LM = "BertMaskedLM"
# Its name in a preset: the name in `BertConfig`.
_SIZES = {
    "vocabulary_size": "vocab_size",
    "hidden_dim": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
# Settings of the tokenizer that must have one value, and which.
_FIXED = {
    "split": True,
    "suffix_indicator": "##",
    "oov_token": "[UNK]",
    "special_tokens_in_strings": False,
}


# ---------------------------------------------------------------------------
# Settings.


def recognises(path: str) -> bool:
    """Whether a folder is a preset of a BERT encoder, by its config.json."""
    file = os.path.join(path, CONFIG)
    if not files.exists(file) or files.is_folder(file):
        return False
    try:
        return _class_of(json_files.read_object(file)) == _BACKBONE
    except UserError:
        return False


def read_config(path: str) -> BertConfig:
    """The shape of a preset's encoder.

    Its activation is the original's gelu and its epsilon 1e-12, whatever the
    preset: BertBackbone has no setting for them.

    Args:
        path: the folder.

    Raises:
        UserError: a value is missing or wrong, or the encoder is another kind.
    """
    file, values = _read(path, CONFIG, (_BACKBONE,))
    _check_precision(file, values)
    sizes: dict[str, Any] = {}
    for name, own in _SIZES.items():
        size = sizes[own] = values.get(name)
        if type(size) is not int or size < 1:
            raise UserError(
                f"{file}: config.{name}={size!r}; a positive whole number is "
                "needed"
            )
    dropout = _dropout(file, values)
    try:
        return BertConfig(
            **sizes,
            hidden_act="gelu",
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def vocab_file(path: str) -> str | None:
    """The path of a preset's vocabulary; None if it has none."""
    for name in _VOCABULARIES:
        if files.exists(os.path.join(path, name)):
            return os.path.join(path, name)
    return None


def tokenizer_settings(path: str) -> dict[str, bool] | None:
    """How a preset's tokenizer cuts text into words; None if it has none.

    It folds case where this package's lower-cases ("ß" becomes "ss"), and
    cuts a word at a control character, which is dropped here.

    Args:
        path: the folder.

    Returns:
        `do_lower_case`, `strip_accents` and `tokenize_chinese_chars`, with the
        meanings that they have in Hugging Face's tokenizers.

    Raises:
        UserError: a setting is one that this package's tokenizer does not
            have.
    """
    if not files.exists(os.path.join(path, TOKENIZER)):
        return None
    file, values = _read(path, TOKENIZER, ("BertTokenizer",))
    for name, needed in _FIXED.items():
        found = values.get(name, needed)
        if found != needed:
            raise UserError(
                f"{file}: config.{name}={found!r} is not supported; only "
                f"{needed!r} is"
            )
    return {
        "do_lower_case": _flag(file, values, "lowercase", False),
        "strip_accents": _flag(file, values, "strip_accents", False),
        "tokenize_chinese_chars": _flag(file, values, "split_on_cjk", True),
    }


def head_kind(path: str) -> str | None:
    """The kind of a preset's head: "single_label", "masked_lm", …; or None.

    A head of classes with a sigmoid is "multi_label", one with a single
    output and no activation "regression".

    Raises:
        UserError: `task.json` is damaged.
    """
    file, values = _task(path)
    if not file:
        return None
    name = values["class"]
    if name == _MASKED_LM:
        return "masked_lm"
    if name not in _CLASSIFIERS:
        logging.warning("%s: a head %s is not known here", file, name)
        return None
    if values.get("activation") == "sigmoid":
        return "multi_label"
    if num_labels(path) == 1 and values.get("activation") in (None, "linear"):
        return "regression"
    return "single_label"


def num_labels(path: str) -> int | None:
    """The number of classes of a preset's head; None without such a head.

    Raises:
        UserError: `task.json` is damaged.
    """
    file, values = _task(path)
    if not file or values["class"] not in _CLASSIFIERS:
        return None
    number = values.get("num_classes")
    if type(number) is not int or number < 1:
        raise UserError(
            f"{file}: config.num_classes={number!r}; a positive whole number "
            "is needed"
        )
    return number


def dropout_rate(path: str) -> float | None:
    """Dropout before the output of a head of classes; None without one.

    Raises:
        UserError: `task.json` is damaged.
    """
    file, values = _task(path)
    if not file or values["class"] not in _CLASSIFIERS:
        return None
    return _dropout(file, values)


def labels(path: str) -> list[str] | None:
    """None: a preset does not name its classes."""
    del path
    return None


def _task(path: str) -> tuple[str, dict[str, Any]]:
    """The path and the settings of a head, with its "class"; "" for none."""
    if not files.exists(os.path.join(path, TASK)):
        return "", {}
    file = os.path.join(path, TASK)
    values = json_files.read_object(file)
    return file, {**_config_of(file, values), "class": _class_of(values)}


def _read(
    path: str, name: str, classes: tuple[str, ...]
) -> tuple[str, Mapping[str, Any]]:
    """The path and the settings of an object whose class is in `classes`."""
    file = os.path.join(path, name)
    if not files.exists(file):
        raise UserError(f"{file}: no such file")
    values = json_files.read_object(file)
    if _class_of(values) not in classes:
        raise UserError(
            f"{file}: registered_name={values.get('registered_name')!r}; "
            f"{' or '.join(classes)} is what this package reads"
        )
    return file, _config_of(file, values)


def _class_of(values: Mapping[str, Any]) -> str | None:
    """A class's name without its package: "keras_hub>Bert…" -> "Bert…"."""
    name = values.get("registered_name")
    if not isinstance(name, str):
        return None
    package, _, name = name.rpartition(">")
    return name if package in ("keras_hub", "keras_nlp") else None


def _config_of(file: str, values: Mapping[str, Any]) -> dict[str, Any]:
    config = values.get("config")
    if not isinstance(config, dict):
        raise UserError(f"{file}: config={config!r}; an object is needed")
    return config


def _dropout(file: str, values: Mapping[str, Any]) -> float:
    rate = values.get("dropout", 0.1)
    if type(rate) not in (int, float) or not 0 <= rate < 1:
        raise UserError(
            f"{file}: config.dropout={rate!r}; a number of at least 0 and "
            "below 1 is needed"
        )
    return rate


def _flag(
    file: str, values: Mapping[str, Any], name: str, default: bool
) -> bool:
    value = values.get(name, default)
    if type(value) is not bool:
        raise UserError(
            f"{file}: config.{name}={value!r}; true or false is needed"
        )
    return value


def _check_precision(file: str, values: Mapping[str, Any]) -> None:
    """Refuses quantized weights, which lie in the file as other arrays."""
    policy = values.get("dtype")
    name = policy.get("class_name") if isinstance(policy, dict) else None
    if name not in (None, "DTypePolicy", "Policy"):
        raise UserError(
            f"{file}: config.dtype={name}: quantized weights are not read; "
            "save the preset before it is quantized"
        )


# ---------------------------------------------------------------------------
# Weights. Keras stores the variables of a layer as vars/0, vars/1, …, and
# names it by its class, with a number from the second one on.

_ENCODER = "layers/transformer_encoder_{n}/"
_SELF = _ENCODER + "_self_attention_layer/"
_OWN = "bert/encoder/layer_{n}/"


def _layer(
    original: str, foreign: str, kernel: Layout = SAME, bias: Layout = SAME
) -> list[Rule]:
    return [
        Rule(f"{original}/kernel", f"{foreign}/vars/0", kernel),
        Rule(f"{original}/bias", f"{foreign}/vars/1", bias),
    ]


def _norm(original: str, foreign: str) -> list[Rule]:
    return [
        Rule(f"{original}/LayerNorm/gamma", f"{foreign}/vars/0"),
        Rule(f"{original}/LayerNorm/beta", f"{foreign}/vars/1"),
    ]


_EMBEDDINGS = "bert/embeddings"
_TRANSFORM = "cls/predictions/transform"
_LM = "task/layers/masked_lm_head/"
TABLE = Table(
    [
        *(
            Rule(f"{_EMBEDDINGS}/{name}", f"layers/{layer}/vars/0")
            for name, layer in (
                ("word_embeddings", "reversible_embedding"),
                ("position_embeddings", "position_embedding"),
                ("token_type_embeddings", "embedding"),
            )
        ),
        *_norm(_EMBEDDINGS, "layers/layer_normalization"),
        *(
            rule
            for part in ("query", "key", "value")
            for rule in _layer(
                f"{_OWN}attention/self/{part}",
                f"{_SELF}{part}_dense",
                HEADS_LAST,
                HEADS_LAST,
            )
        ),
        *_layer(
            f"{_OWN}attention/output/dense",
            f"{_SELF}output_dense",
            HEADS_FIRST,
        ),
        *_norm(
            f"{_OWN}attention/output", f"{_ENCODER}_self_attention_layer_norm"
        ),
        *_layer(
            f"{_OWN}intermediate/dense",
            f"{_ENCODER}_feedforward_intermediate_dense",
        ),
        *_layer(f"{_OWN}output/dense", f"{_ENCODER}_feedforward_output_dense"),
        *_norm(f"{_OWN}output", f"{_ENCODER}_feedforward_layer_norm"),
        *_layer("bert/pooler/dense", "layers/dense"),
        *_layer(f"{_TRANSFORM}/dense", f"{_LM}_intermediate_dense"),
        *_norm(_TRANSFORM, f"{_LM}_intermediate_layer_norm"),
        Rule("cls/predictions/output_bias", f"{_LM}vars/0"),
        Rule("output_weights", "task/layers/dense/vars/0", TRANSPOSED),
        Rule("output_bias", "task/layers/dense/vars/1"),
    ]
)
# Steps of the optimizer and states of random generators.
_NOT_LEARNED = re.compile(r"(.*/)?(optimizer|\w*seed_generator\w*)/.*")


def short_name(name: str) -> str:
    """A variable's name in the newest version, from that in any version.

    "_layer_checkpoint_dependencies/…" is "layers/…", "_key_dense" is
    "key_dense". The first layer gets a number, too.
    """
    name = name.replace("_layer_checkpoint_dependencies/", "layers/", 1)
    name = re.sub(r"/_(query|key|value|output)_dense/", r"/\1_dense/", name)
    return name.replace("/transformer_encoder/", "/transformer_encoder_0/")


def open_weights(path: str) -> ForeignWeights:
    """The weights of a preset's encoder and head.

    Args:
        path: the folder.

    Raises:
        UserError: a file is missing or damaged.
    """
    file = os.path.join(path, WEIGHTS)
    shards = os.path.join(path, _SHARDS)
    if not files.exists(file) and files.exists(shards):
        raise UserError(
            f"{shards}: weights in several files are not read; save the "
            "preset with max_shard_size=None"
        )
    arrays = {"": H5Arrays(file)}
    task_file = os.path.join(path, TASK_WEIGHTS)
    if files.exists(task_file):
        arrays["task/"] = H5Arrays(task_file)
    joined = Renamed(Joined(path, arrays), short_name)
    ignored = [n for n in joined.shapes if _NOT_LEARNED.fullmatch(n)]
    weights = ForeignWeights(joined, TABLE, ignored)
    if f"{_TRANSFORM}/dense/kernel" in weights.shapes:
        logging.warning(
            "%s: the masked LM head of keras-hub computes the exact gelu and "
            "a layer norm with an epsilon of 1e-5; here it computes as the "
            "encoder does, so its logits differ a little",
            task_file,
        )
    return weights
