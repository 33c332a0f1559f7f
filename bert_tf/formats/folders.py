"""Recognises what a folder or a file holds by its content, and opens it."""

import os
from collections.abc import Callable
from typing import Any

from bert_tf import files, json_files
from bert_tf.errors import UserError
from bert_tf.formats import (
    exported,
    hugging_face,
    hugging_face_folder,
    keras_files,
    keras_hub,
    original,
)
from bert_tf.formats.h5_arrays import is_h5
from bert_tf.formats.model import StoredModel
from bert_tf.formats.safetensors_files import INDEX, is_safetensors
from bert_tf.tokenizer_settings import TokenizerSettings


def _described(
    path: str, place: str, form: str, module: Any, dropout_rate: float | None
) -> StoredModel:
    """Describes a model whose format has a module of one shape.

    Args:
        path: what was asked for, for errors.
        place: the folder or the prefix.
        form: what it is, for people.
        module: `keras_hub` or `model_garden`.
        dropout_rate: see `StoredModel`.
    """
    settings = module.tokenizer_settings(place)
    return StoredModel(
        path=path,
        format=form,
        config=module.read_config(place),
        config_file=place,
        vocab_file=module.vocab_file(place),
        tokenizer=TokenizerSettings(**settings) if settings else None,
        weights_file=place,
        open_weights=module.open_weights,
        kind=module.head_kind(place),
        dropout_rate=dropout_rate,
    )


def _open_preset(path: str, folder: str) -> StoredModel:
    """Describes a preset of keras-hub; see `open_path`."""
    rate = keras_hub.dropout_rate(folder)
    return _described(path, folder, "a preset of keras-hub", keras_hub, rate)


def _is_encoder(path: str) -> bool:
    """Whether a folder or a prefix holds an encoder of Model Garden."""
    names = files.entries(path) if files.is_folder(path) else []
    if files.exists(f"{path}.index") or any(
        name == "saved_model.pb" or name.endswith(".index") for name in names
    ):
        from bert_tf.formats import model_garden  # It loads TensorFlow.

        return model_garden.recognises(path)
    return False


def _open_encoder(path: str, place: str) -> StoredModel:
    """Describes an encoder of Model Garden: a folder or a prefix."""
    from bert_tf.formats import model_garden  # It loads TensorFlow.

    form = "an encoder of Model Garden"
    return _described(path, place, form, model_garden, None)


# (whether a folder is one, function(path, folder) -> model); the first counts.
_FORMATS: list[
    tuple[Callable[[str], bool], Callable[[str, str], StoredModel]]
] = [
    (exported.is_model, exported.open_folder),
    (original.is_model, original.open_folder),
    (keras_files.is_model, keras_files.open_folder),
    (keras_hub.recognises, _open_preset),
    (hugging_face_folder.is_model, hugging_face_folder.open_folder),
    (_is_encoder, _open_encoder),
]
KNOWN = (
    "a released model of Google (bert_config.json, vocab.txt, "
    "bert_model.ckpt.*), the folder of a run, an exported model, a folder of "
    "Hugging Face (config.json, model.safetensors or tf_model.h5), a preset "
    "of keras-hub, a SavedModel of an encoder from TensorFlow Hub, or a "
    "checkpoint of Model Garden"
)


def open_path(path: str) -> StoredModel:
    """Describes the model in a folder, or of a file in it.

    Args:
        path: a folder, the prefix of a checkpoint, or a file with weights.

    Raises:
        UserError: there is no model, or it cannot be read.
    """
    if files.is_folder(path) and not files.exists(f"{path}.index"):
        return _open_folder(path, path)
    if files.exists(f"{path}.index"):
        if export := exported.folder_of_weights(path):
            return exported.open_folder(path, export)
        folder = os.path.dirname(path) or "."
        # The best checkpoint of a run is in a folder of its own.
        if not files.exists(os.path.join(folder, original.CONFIG)):
            outer = os.path.dirname(os.path.abspath(folder))
            if files.exists(os.path.join(outer, original.CONFIG)):
                folder = outer
        has_config = files.exists(os.path.join(folder, original.CONFIG))
        if not has_config and _is_encoder(path):
            return _open_encoder(path, path)
        return original.open_model(path, folder, path)
    if not files.exists(path):
        raise UserError(f"{path}: no such file or folder, and no known name")
    return _open_file(path)


def holds_model(path: str) -> bool:
    """Whether there is a model in a folder, or in one folder inside it.

    Args:
        path: a folder, the prefix of a checkpoint, or anything else.
    """
    if files.exists(f"{path}.index"):
        return True
    if not files.is_folder(path):
        return False
    return any(
        is_model(folder)
        for folder in (path, *_inner_folders(path))
        for is_model, _ in _FORMATS
    ) or any(
        files.exists(os.path.join(path, n)) for n in hugging_face_folder.PICKLES
    )


def _inner_folders(folder: str) -> list[str]:
    paths = [
        os.path.join(folder, name)
        for name in files.entries(folder)
        if not name.startswith((".", "__MACOSX"))
    ]
    return [path for path in paths if files.is_folder(path)]


def _open_folder(path: str, folder: str) -> StoredModel:
    for is_model, open_folder in _FORMATS:
        if is_model(folder):
            return open_folder(path, folder)
    inner = _inner_folders(folder)
    models = [f for f in inner if any(is_model(f) for is_model, _ in _FORMATS)]
    if len(models) == 1:  # As a zip archive is unpacked.
        return _open_folder(path, models[0])
    if models:
        raise UserError(
            f"{path}: several models, {', '.join(sorted(models))}; name one of "
            "them"
        )
    for name in hugging_face_folder.PICKLES:
        pickle = os.path.join(folder, name)
        if files.exists(pickle):
            raise hugging_face_folder.pickle_refused(pickle, {})
    held = ", ".join(sorted(files.entries(folder))[:5]) or "nothing"
    raise UserError(f"{path}: no model here, but {held}; known are {KNOWN}")


def holds_weights(path: str) -> bool:
    """Whether a path has weights in the format of another library.

    Args:
        path: a file, a folder or a prefix.
    """
    if files.is_folder(path) or files.exists(f"{path}.index"):
        return (
            exported.folder_of_weights(path) is not None
            or keras_hub.recognises(path)
            or _is_encoder(path)
        )
    if not files.exists(path):
        return False
    name = os.path.basename(path)
    return (
        is_safetensors(path)
        or is_h5(path)
        or name == INDEX
        or name in hugging_face_folder.PICKLES
        or keras_files.is_file(path)
    )


def _open_file(path: str) -> StoredModel:
    """Describes the model that a file with weights belongs to."""
    name = os.path.basename(path)
    folder = os.path.dirname(path) or "."
    if name in hugging_face_folder.PICKLES:
        values = {}
        if files.exists(hugging_face.config_file(folder)):
            values = json_files.read_object(hugging_face.config_file(folder))
        raise hugging_face_folder.pickle_refused(path, values)
    stem = path.rpartition(".index")[0] or path.rpartition(".data-")[0]
    if stem and files.exists(f"{stem}.index"):
        return open_path(stem)
    if holds_weights(path):
        model = _open_folder(folder, folder)
        if files.is_same(model.weights_file, path):
            return model
    raise UserError(
        f"{path}: not a file that a model can be opened by; name its folder"
    )
