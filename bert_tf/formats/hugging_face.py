"""Folders of Hugging Face's transformers: the settings and the weights.

config.json            the network, the head, the labels
model.safetensors      the weights, or model.safetensors.index.json and
                       several files; tf_model.h5 of transformers 4
vocab.txt, tokenizer.json, tokenizer_config.json
                       see `tokenizer_files`
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats import hugging_face_names as names
from bert_tf.formats.safetensors_files import SafetensorsArrays
from bert_tf.formats.weights import ForeignWeights

CONFIG = "config.json"
# transformers' name of an activation: ours. Its "gelu" is the exact one, and
# that of Google's models has several names.
ACTIVATIONS = {
    "gelu": "gelu_exact",
    "gelu_python": "gelu_exact",
    "gelu_pytorch_tanh": "gelu",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_accurate": "gelu",
    "relu": "relu",
    "tanh": "tanh",
    "linear": "linear",
}
_ACTIVATIONS_BACK = {
    "gelu_exact": "gelu",
    "gelu": "gelu_pytorch_tanh",
    "relu": "relu",
    "tanh": "tanh",
    "linear": "linear",
    "": "linear",
    None: "linear",
}
# Settings that change what BERT computes, and the values that it has here.
_NEEDED = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({},),
}
# What only transformers writes: a config with one of these is its own.
_MARKS = (
    "architectures",
    "model_type",
    "output_attentions",
    "output_past",
    "transformers_version",
)
# The kind of a head by the class of its model.
KINDS = {
    "BertForPreTraining": "pretraining",
    "BertForMaskedLM": "masked_lm",
    "BertLMHeadModel": "masked_lm",
    "BertForNextSentencePrediction": "next_sentence",
    "BertForSequenceClassification": "single_label",
    "BertForTokenClassification": "tags",
    "BertForMultipleChoice": "multiple_choice",
    "BertForQuestionAnswering": "question_answering",
}
ARCHITECTURES: dict[str | None, str] = {
    **{kind: name for name, kind in KINDS.items() if name != "BertLMHeadModel"},
    "multi_label": "BertForSequenceClassification",
    "regression": "BertForSequenceClassification",
    "embedding": "BertModel",
    None: "BertModel",
}
_PROBLEMS = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
# Models whose class has no pooler in transformers.
WITHOUT_POOLER = ("masked_lm", "tags", "question_answering")


# ---------------------------------------------------------------------------
# config.json


def is_config(values: object) -> bool:
    """Whether the content of a JSON file is a config of transformers' BERT."""
    return isinstance(values, dict) and any(mark in values for mark in _MARKS)


def to_config(values: Mapping[str, Any], path: str) -> BertConfig:
    """Translates the content of a config.json.

    Args:
        values: the content.
        path: the file, for errors.

    Raises:
        UserError: the model is not a BERT as it is built here.
    """
    for name, allowed in _NEEDED.items():
        value = values.get(name)
        if value is not None and value not in allowed:
            raise UserError(
                f"{path}: {name}={value!r}; {allowed[0]!r} is what this "
                "package reads"
            )
    # As `BertConfig` of transformers has it, where a file says nothing.
    own = {"layer_norm_eps": 1e-12, "type_vocab_size": 2, **values}
    own["hidden_act"] = _to_activation(own.get("hidden_act", "gelu"), path)
    try:
        # It logs keys that it does not know, of which these files are full.
        known = {field.name for field in dataclasses.fields(BertConfig)}
        return BertConfig.from_dict({n: own[n] for n in own if n in known})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _to_activation(name: object, path: str) -> str:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise UserError(
            f"{path}: hidden_act={name!r} is not one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def from_config(
    config: BertConfig,
    kind: str | None = None,
    labels: list[str] | None = None,
    num_outputs: int | None = None,
) -> dict[str, Any]:
    """The content of a config.json that transformers reads.

    Args:
        config: the model's.
        kind: kind of its head, see `ARCHITECTURES`; None without a head.
        labels: the labels of its classes or tags, if it has any.
        num_outputs: number of classes or tags, for a head with any.
    """
    values = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": "bert",
        **config.to_dict(),
        "hidden_act": _ACTIVATIONS_BACK[config.activation_name],
        "layer_norm_eps": config.layer_norm_eps,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
    }
    if kind in _PROBLEMS:
        values["problem_type"] = _PROBLEMS[kind]
    if num_outputs and kind in (*_PROBLEMS, "tags"):
        if not labels or len(labels) != num_outputs:
            labels = [f"LABEL_{i}" for i in range(num_outputs)]
        values["id2label"] = {str(i): name for i, name in enumerate(labels)}
        values["label2id"] = {name: i for i, name in enumerate(labels)}
    return values


def kind_of(values: Mapping[str, Any], path: str) -> str | None:
    """The kind of the head that a config.json names; None without one.

    Raises:
        UserError: `architectures` or `problem_type` is not as transformers
            writes it.
    """
    classes = values.get("architectures") or []
    if not isinstance(classes, list) or not isinstance(
        (classes or [""])[0], str
    ):
        raise UserError(
            f"{path}: architectures={classes!r} is not a list of names"
        )
    kind = KINDS.get(classes[0]) if classes else None
    if kind != "single_label":
        return kind
    problem = values.get("problem_type")
    if problem is None:
        return "regression" if _num_labels(values) == 1 else kind
    for known, name in _PROBLEMS.items():
        if problem == name:
            return known
    raise UserError(
        f"{path}: problem_type={problem!r} is not one of "
        f"{', '.join(_PROBLEMS.values())}"
    )


def _num_labels(values):
    labels = values.get("id2label")
    return len(labels) if isinstance(labels, dict) else values.get("num_labels")


def labels_of(values: Mapping[str, Any], path: str) -> list[str] | None:
    """The labels in the order of their numbers, if a config.json has them.

    Raises:
        UserError: their numbers are not 0, 1, 2, …
    """
    by_id = values.get("id2label")
    if by_id is None:
        return None
    try:
        ordered = {int(number): str(label) for number, label in by_id.items()}
        return [ordered[i] for i in range(len(by_id))]
    except (ValueError, LookupError, AttributeError):
        raise UserError(
            f"{path}: id2label={by_id!r} does not have the numbers 0, 1, 2, …"
        ) from None


def dropout_of(values: Mapping[str, Any], path: str) -> float | None:
    """The dropout rate of a head of labels, if a config.json has it.

    Raises:
        UserError: it is not a rate.
    """
    rate = values.get("classifier_dropout")
    if rate is None:
        return values.get("hidden_dropout_prob")  # `to_config` checks it.
    if type(rate) not in (int, float) or not 0 <= rate < 1:
        raise UserError(
            f"{path}: classifier_dropout={rate!r}; a number of at least 0 and "
            "below 1 is needed"
        )
    return rate


# ---------------------------------------------------------------------------
# Weights.


def open_weights(path: str) -> ForeignWeights:
    """Opens a file of safetensors, or an index of such files.

    Raises:
        UserError: it is damaged, its output matrix of the masked LM is not
            the table of words, or it has two values for one variable.
    """
    arrays = SafetensorsArrays(path)
    _check_names(arrays)
    ignored = [*names.POSITION_IDS]
    if names.DECODER in arrays.shapes:
        _check_tied(arrays)
        ignored.append(names.DECODER)
    return ForeignWeights(arrays, names.READING, ignored)


def _check_names(arrays: SafetensorsArrays) -> None:
    """Refuses different values of one variable under two names."""
    first: dict[str, str] = {}
    for name in arrays.shapes:
        match = names.READING.to_original(name)
        other = first.setdefault(match.name, name) if match else name
        if other != name and not np.array_equal(
            arrays.read(other), arrays.read(name)
        ):
            raise UserError(
                f"{arrays.path}: {name} differs from {other}; both are one "
                "variable"
            )


def _check_tied(arrays: SafetensorsArrays) -> None:
    for prefix in (names.PREFIX, ""):
        table = f"{prefix}embeddings.word_embeddings.weight"
        if table in arrays.shapes and not np.array_equal(
            arrays.read(table), arrays.read(names.DECODER)
        ):
            raise UserError(
                f"{arrays.path}: {names.DECODER} differs from {table}; here "
                "the masked LM's output matrix is the table of words"
            )


def check_kind(kind: str | None) -> None:
    """Raises UserError if transformers' BERT has no head of a kind."""
    if kind not in ARCHITECTURES:
        raise UserError(
            "transformers' BERT has no such head; it has "
            f"{', '.join(k for k in ARCHITECTURES if k)}",
            setting="head",
            value=kind,
        )


def to_arrays(
    weights: Mapping[str, np.ndarray], kind: str | None
) -> dict[str, np.ndarray]:
    """Translates {name in the original: array} for transformers.

    Args:
        weights: the encoder's variables, and those of a head.
        kind: kind of the head, see `ARCHITECTURES`.

    Raises:
        UserError: transformers has no such head.
    """
    check_kind(kind)
    has_head = ARCHITECTURES[kind] != "BertModel"
    table = names.WITH_HEAD if has_head else names.WITHOUT_HEAD
    arrays = {}
    for name, value in weights.items():
        match = table.to_foreign(name)
        if match is None:
            raise UserError(f"transformers' BERT has no variable like {name}")
        arrays[match.name] = match.layout.to_foreign(value, 0)
    return arrays


def to_json(values: Mapping[str, Any]) -> str:
    """The text of a config.json, its settings in the order of their names."""
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def config_file(folder: str) -> str:
    """The path of a folder's config.json."""
    return os.path.join(folder, CONFIG)
