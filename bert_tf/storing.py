"""Writes models as folders that this package or another library reads.

    original      bert_config.json, bert_model.ckpt.*, vocab.txt
    huggingface   config.json, model.safetensors, vocab.txt, tokenizer.json …
    keras         model.keras, bert_config.json, vocab.txt

Beside them: labels.txt, task.json of a run, and README.md, a model card.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from bert_tf import checkpoints, files, pretrained
from bert_tf.choices import MODEL_FORMATS
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats import (
    exported,
    heads,
    hugging_face,
    hugging_face_folder,
    keras_files,
    original,
)
from bert_tf.formats.encoder_shapes import check_encoder
from bert_tf.formats.model import StoredModel
from bert_tf.formats.model_card import model_card
from bert_tf.formats.tokenizer_files import (
    check_special_tokens,
    write_tokenizer_config,
    write_tokenizer_files,
)
from bert_tf.formats.weights import Weights
from bert_tf.tokenizer_settings import TokenizerSettings
from bert_tf.vocab_files import is_cased, load_vocab, tokens_by_id

CARD = "README.md"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
    """What a folder of a model is to hold.

    Attributes:
        name: the model's name, for the model card.
        config: the shape of the network.
        weights: {name in the original: array}.
        kind: kind of its head, see `formats.heads.SCOPES`.
        labels: labels of its classes or tags, if it has any.
        tokens: the vocabulary in the order of the ids; None to write none.
        tokenizer: how text becomes words.
        task: the content of a run's task.json, {} for none.
        scores: {metric: value} of an evaluation, for the model card.
        dropout_rate: dropout before the output of its head, if it is known.
        model: the Keras model, which the format keras needs.
    """

    name: str
    config: BertConfig
    weights: dict[str, np.ndarray]
    kind: str | None = None
    labels: list[str] | None = None
    tokens: list[str] | None = None
    tokenizer: TokenizerSettings = TokenizerSettings()
    task: dict[str, Any] = dataclasses.field(default_factory=dict)
    scores: dict[str, str] = dataclasses.field(default_factory=dict)
    dropout_rate: float | None = None
    model: keras.Model | None = None


def write_folder(folder: str, contents: Contents, format: str) -> list[str]:
    """Writes a model's files into a folder, the weights last.

    Args:
        folder: the folder, which is made if it is not there. Files of the same
            names are replaced, but for a model card.
        contents: what to write.
        format: one of `choices.MODEL_FORMATS`.

    Returns:
        The variables that this format has no place for.

    Raises:
        UserError: the format is unknown, or cannot hold the model.
        OSError: a file could not be written.
    """
    if format not in MODEL_FORMATS:
        raise UserError(
            f"one of {', '.join(MODEL_FORMATS)} is needed",
            setting="format",
            value=format,
        )
    arrays: dict[str, np.ndarray] = {}
    _check(contents)
    if format == "huggingface":
        arrays = _own_arrays(contents)
    _check_folder(folder, format)
    files.make_folder(folder)
    _write_labels(folder, contents, _task_to_write(contents, format))
    card = os.path.join(folder, CARD)
    if not files.exists(card):  # Somebody may have filled one in.
        files.write_text(card, _card(contents, format))
    if format == "huggingface":
        return _write_hugging_face(folder, contents, arrays)
    if contents.tokens is not None:
        lines = "".join(f"{token}\n" for token in contents.tokens)
        files.write_text(os.path.join(folder, original.VOCABULARY), lines)
        if contents.tokenizer != _settings_told_by(contents.tokens):
            write_tokenizer_config(folder, contents.tokenizer)
    config = json.dumps(contents.config.to_dict(), indent=2) + "\n"
    files.write_text(os.path.join(folder, original.CONFIG), config)
    if format == "keras":
        keras_files.write_model(folder, contents.model)
    else:
        prefix = os.path.join(folder, original.CHECKPOINT)
        checkpoints.write_checkpoint(prefix, contents.weights)
    return []


def _check(contents: Contents) -> None:
    """Raises UserError before anything is written that could not be read."""
    own = {*heads.variables_of(contents.kind, contents.weights)}
    labels = contents.labels
    if labels is None:
        return
    if contents.kind is not None and contents.kind not in heads.LABELLED:
        raise UserError(
            f"a model of the kind {contents.kind} has none",
            setting="labels",
            value=labels,
        )
    bias = contents.weights.get("output_bias") if "output_bias" in own else None
    number = len(labels) if bias is None else len(bias)
    if len(labels) != number or len({*labels}) != number:
        raise UserError(
            f"{number} different ones are needed, one for each output",
            setting="labels",
            value=labels,
        )
    if any(not label or label.splitlines() != [label] for label in labels):
        raise UserError(
            "each is a line of a file, and cannot be empty or have line breaks",
            setting="labels",
            value=labels,
        )


def _check_folder(folder: str, format: str) -> None:
    """Refuses a folder whose own model would be read, not the new one."""
    if not files.is_folder(folder):
        return
    own = os.path.join(folder, original.CHECKPOINT)
    others = [p for p in original.prefixes_in(folder) if p != own]
    is_other = exported.is_model(folder) or bool(others)
    if format != "original":
        is_other = is_other or original.is_model(folder)
    if format == "huggingface":
        is_other = is_other or keras_files.is_model(folder)
    if is_other:
        raise UserError(
            "holds another model; name another folder",
            setting="folder",
            value=folder,
        )


def _own_arrays(contents: Contents) -> dict[str, np.ndarray]:
    """{name in the original: array} of what transformers has a place for.

    Raises:
        UserError: it has no such head, or needs another vocabulary.
    """
    hugging_face.check_kind(contents.kind)
    if contents.tokens is not None:
        check_special_tokens(contents.tokens)
    own = heads.variables_of(contents.kind, contents.weights)
    if contents.kind in hugging_face.WITHOUT_POOLER:
        own = [name for name in own if not name.startswith(heads.POOLER)]
    arrays = {name: contents.weights[name] for name in own}
    hugging_face.to_arrays(arrays, contents.kind)  # It checks the names.
    return arrays


def _settings_told_by(tokens: Sequence[str]) -> TokenizerSettings:
    """The settings that `pretrained.open` takes from a vocabulary alone."""
    return TokenizerSettings(do_lower_case=not is_cased(tokens))


def _task_to_write(contents: Contents, format: str) -> dict[str, Any]:
    """The content of task.json."""
    if format == "keras" and contents.kind in heads.HALVES:
        return {"problem": contents.kind}
    return contents.task


def _write_labels(
    folder: str, contents: Contents, task: dict[str, Any]
) -> None:
    # Those of a model that was here before would be taken for this one's.
    for name in (original.LABELS, original.TASK):
        files.remove_if_there(os.path.join(folder, name))
    if contents.labels:
        lines = "".join(f"{label}\n" for label in contents.labels)
        files.write_text(os.path.join(folder, original.LABELS), lines)
    if task:
        text = json.dumps(task, indent=2) + "\n"
        files.write_text(os.path.join(folder, original.TASK), text)


def _write_hugging_face(
    folder: str, contents: Contents, arrays: dict[str, np.ndarray]
) -> list[str]:
    if contents.tokens is not None:
        write_tokenizer_files(folder, contents.tokens, contents.tokenizer)
    hugging_face_folder.write_folder(
        folder,
        contents.config,
        arrays,
        kind=contents.kind,
        labels=contents.labels,
        dropout_rate=contents.dropout_rate,
    )
    return [name for name in contents.weights if name not in arrays]


def _card(contents: Contents, format: str) -> str:
    is_foreign = format == "huggingface"
    return model_card(
        contents.name,
        contents.config,
        contents.kind,
        contents.labels,
        contents.scores,
        "transformers" if is_foreign else "keras",
        hugging_face.ARCHITECTURES[contents.kind] if is_foreign else None,
        contents.task,
    )


def contents_of(name: str, head: str | None = None) -> Contents:
    """Reads the whole of a model.

    Args:
        name: a name or a path, see `pretrained.open`.
        head: the kind of its head, if the files do not say it; "" leaves the
            head out.

    Raises:
        UserError: there is no such model, a file is damaged, or the encoder is
            incomplete.
    """
    stored = pretrained.open(name)
    weights = stored.weights()
    names = checkpoints.weights_in(weights)
    kind = stored.kind_with(weights)
    if head is not None:
        kind = head or None
    elif kind is None and heads.has_head_at_root(names):
        raise UserError(
            f"must be given: {name} does not say which kind of head it has, "
            f"one of {', '.join(k for k in heads.SCOPES if k)}",
            setting="head",
        )
    elif scope := heads.scope_without(kind, names):
        raise UserError(
            f"{name}: its files say that its head is of the kind {kind}, but "
            f"the weights have no {scope}; an empty `head` leaves it out"
        )
    own = heads.variables_of(kind, names)
    missing = check_encoder(weights, stored.config)
    if missing:
        logging.warning("%s: not there: %s", name, ", ".join(missing))
    for unused in (*(n for n in names if n not in own), *unused_of(weights)):
        logging.warning("%s: not converted: %s", name, unused)
    tokens = None
    if stored.vocab_file is not None:
        tokens = tokens_by_id(load_vocab(stored.vocab_file))
    folder = os.path.dirname(os.path.abspath(stored.config_file))
    is_stored_head = head is None or kind == stored.kind_with(weights)
    labels, task = answers_of(stored, weights, kind)
    task = task if is_stored_head else _task_of(kind, labels, {})
    return Contents(
        name=os.path.basename(name.rstrip("/")),
        config=stored.config,
        weights={n: weights.read(n) for n in own},
        kind=kind,
        labels=labels,
        tokens=tokens,
        tokenizer=stored.tokenizer or TokenizerSettings(),
        task=task,
        scores=_scores_in(folder) if is_stored_head else {},
        dropout_rate=stored.dropout_rate,
    )


def answers_of(
    stored: StoredModel, weights: Weights, kind: str | None
) -> tuple[list[str] | None, dict[str, Any]]:
    """What a stored model says of the outputs of its head.

    Args:
        stored: the model.
        weights: its weights.
        kind: the kind of the head.

    Returns:
        (labels, or None if it has none; the content of task.json).
    """
    labels = None
    if kind in heads.LABELLED:
        labels = stored.labels or unnamed_labels(weights)
    return labels, dict(stored.task) or _task_of(kind, labels, {})


def unnamed_labels(weights: Weights) -> list[str] | None:
    """Names for outputs that have none, as transformers gives them.

    A folder of the original says by its labels that it has a head, and which.
    """
    shape = weights.shapes.get("output_bias")
    return [f"LABEL_{i}" for i in range(shape[0])] if shape else None


def unused_of(weights: Weights) -> Sequence[str]:
    """The arrays of another library's file that the original has not."""
    return getattr(weights, "unused", ())


def _scores_in(folder: str) -> dict[str, str]:
    """The lines of a run's eval_results.txt, {metric: value}."""
    path = os.path.join(folder, original.SCORES)
    if not files.exists(path):
        return {}
    pairs = [line.split(" = ") for line in files.read_text(path).splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def save_pretrained(
    model: keras.Model,
    folder: str,
    *,
    labels: list[str] | None = None,
    format: str = "original",
    kind: str | None = None,
) -> None:
    """Writes a model so that `from_pretrained` reads it.

    The tokenizer of the model writes its own files, by its `save_pretrained`
    with the same folder.

    Args:
        model: an encoder, or a head.
        folder: the folder, which is made if it is not there.
        labels: the labels of its classes or tags; by default those that
            `from_pretrained` has read. Without labels the original's format
            and Keras' do not say which kind of labels a head has.
        format: one of `choices.MODEL_FORMATS`.
        kind: which of the kinds of its class it is, such as "multi_label"; by
            default that of `from_pretrained`, else the first.

    Raises:
        UserError: the format cannot hold the model; the class has no such
            kind; or the labels are not those of its outputs.
        OSError: a file could not be written.
    """
    kinds = getattr(model, "kinds", ())
    if kind is not None and kind not in kinds:
        raise UserError(
            f"{type(model).__name__} has {', '.join(kinds) or 'no kinds'}",
            setting="kind",
            value=kind,
        )
    model_kind = getattr(model, "kind", None)
    kind = kind or model_kind or next(iter(kinds), None)
    own = dict(getattr(model, "task", {})) if kind == model_kind else {}
    labels = own.get("labels") if labels is None else labels
    weights = {v.path: v.numpy() for v in checkpoints.weights_of(model)}
    contents = Contents(
        name=os.path.basename(os.path.abspath(folder)),
        config=model.config,
        weights=weights,
        kind=kind,
        labels=labels,
        task=_task_of(kind, labels, own),
        dropout_rate=getattr(model, "dropout_rate", None),
        model=model,
    )
    not_written = write_folder(folder, contents, format)
    if not getattr(model, "reads_pooled_output", True):
        not_written = [
            name for name in not_written if not name.startswith(heads.POOLER)
        ]
    if not_written:
        logging.warning(
            "%s: %s has no place for %s", folder, format, ", ".join(not_written)
        )


def _task_of(
    kind: str | None, labels: list[str] | None, known: Mapping[str, Any]
) -> dict[str, Any]:
    """The task.json of a model.

    Args:
        kind: the kind of its head.
        labels: its labels, if it has any.
        known: what was read with the head.
    """
    if kind in heads.LABELLED and labels:
        return {"problem": kind, **known, "labels": labels}
    if kind == "regression":  # Its output is the number that is asked for.
        return {"problem": kind, "mean": 0.0, "deviation": 1.0, **known}
    return {"problem": kind} if kind == "multiple_choice" else {}
