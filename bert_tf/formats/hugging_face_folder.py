"""Opens and writes folders of Hugging Face; see `hugging_face`."""

import os
from collections.abc import Callable, Mapping

import numpy as np

from bert_tf import files, json_files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats import hugging_face, safetensors_files, transformers_h5
from bert_tf.formats.heads import LABELLED
from bert_tf.formats.model import StoredModel
from bert_tf.formats.original import task_in
from bert_tf.formats.tokenizer_files import settings_in
from bert_tf.formats.weights import Weights

H5 = "tf_model.h5"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# Files of a folder that hold weights, the ones to prefer first.
_READERS: dict[str, Callable[[str], Weights]] = {
    safetensors_files.WEIGHTS: hugging_face.open_weights,
    safetensors_files.INDEX: hugging_face.open_weights,
    H5: transformers_h5.open_weights,
}
_VOCABULARIES = ("vocab.txt", "tokenizer.json")


def is_model(folder: str) -> bool:
    """Whether a folder has a config of transformers, or weights of one."""
    if not files.exists(hugging_face.config_file(folder)):
        return False
    if any(
        files.exists(os.path.join(folder, n)) for n in (*_READERS, *PICKLES)
    ):
        return True
    values = json_files.read_object(hugging_face.config_file(folder))
    return hugging_face.is_config(values)


def open_folder(path: str, folder: str) -> StoredModel:
    """Describes the model in a folder.

    Args:
        path: what was asked for, for errors.
        folder: the folder.

    Raises:
        UserError: a file cannot be used, or the weights are a pickle.
    """
    config_file = hugging_face.config_file(folder)
    values = json_files.read_object(config_file)
    # Before the config is judged: it says why nothing can be opened.
    weights_file, reader = _weights_of(path, folder, values)
    vocabularies = [os.path.join(folder, name) for name in _VOCABULARIES]
    config = hugging_face.to_config(values, config_file)
    kind = hugging_face.kind_of(values, config_file)
    # Other heads' files may have them, too, and they mean nothing there.
    labels = hugging_face.labels_of(values, config_file)
    labels = labels if kind in LABELLED else None
    task = task_in(folder)
    if (task.get("problem"), task.get("labels", labels)) != (kind, labels):
        task = {}  # It is of something else, or config.json was edited.
    present = [name for name in vocabularies if files.exists(name)]
    return StoredModel(
        path=path,
        format="a folder of Hugging Face",
        config=config,
        config_file=config_file,
        vocab_file=present[0] if present else None,
        tokenizer=settings_in(folder),
        weights_file=weights_file,
        open_weights=reader,
        kind=kind,
        labels=labels,
        task=task,
        dropout_rate=hugging_face.dropout_of(values, config_file),
    )


def _weights_of(path, folder, values) -> tuple[str, Callable[[str], Weights]]:
    for name, reader in _READERS.items():
        if files.exists(os.path.join(folder, name)):
            return os.path.join(folder, name), reader
    for name in PICKLES:
        if files.exists(os.path.join(folder, name)):
            raise pickle_refused(os.path.join(folder, name), values)
    names = ", ".join(_READERS)
    raise UserError(f"{path}: there are no weights: none of {names}")


def pickle_refused(path: str, values: Mapping[str, object]) -> UserError:
    """The error of weights in a pickle, with the way to convert them.

    Args:
        path: the pickle.
        values: the content of the config.json beside it.
    """
    classes = values.get("architectures")
    name = "BertForPreTraining"
    if isinstance(classes, list) and classes and isinstance(classes[0], str):
        name = classes[0]
    folder = os.path.dirname(path) or "."
    return UserError(
        f"{path}: a pickle is not opened, because it can run code; if you "
        'trust it, write its weights as safetensors: python -c "import '
        f"transformers as t; f='{folder}'; t.{name}.from_pretrained(f)"
        '.save_pretrained(f)"'
    )


def write_folder(
    folder: str,
    config: BertConfig,
    weights: Mapping[str, np.ndarray],
    *,
    kind: str | None,
    labels: list[str] | None,
    dropout_rate: float | None = None,
) -> None:
    """Writes config and weights as transformers reads them.

    Args:
        folder: the folder, which exists.
        config: the model's.
        weights: {name in the original: array}, of the encoder and one head.
        kind: kind of the head, see `hugging_face.ARCHITECTURES`.
        labels: the labels of its classes or tags, if there are any.
        dropout_rate: dropout before the output of the head; None for the
            encoder's.

    Raises:
        UserError: transformers has no such head or variable.
        OSError: a file could not be written.
    """
    arrays = hugging_face.to_arrays(weights, kind)
    num_outputs = None
    if "output_bias" in weights:
        num_outputs = len(weights["output_bias"])
    values = hugging_face.from_config(config, kind, labels, num_outputs)
    if dropout_rate not in (None, config.hidden_dropout_prob):
        values["classifier_dropout"] = dropout_rate
    files.write_text(
        hugging_face.config_file(folder), hugging_face.to_json(values)
    )
    # Last: without weights a folder is not taken for a model.
    safetensors_files.write_safetensors(
        os.path.join(folder, safetensors_files.WEIGHTS), arrays
    )
