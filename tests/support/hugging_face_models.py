"""Small folders of transformers 5, and changed copies of them."""

import json
import pathlib
import shutil
import tarfile

import numpy as np
from safetensors.numpy import load_file, save_file

from bert_tf import BertModel
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertPretrainer,
    BertSpanLabeler,
    BertTokenClassifier,
)
from support.common import GOLDEN, read_json

WEIGHTS = "model.safetensors"
CLASSES = {
    "encoder": BertModel,
    "encoder_tanh": BertModel,
    "single_label": BertClassifier,
    "multi_label": BertClassifier,
    "regression": BertClassifier,
    "tags": BertTokenClassifier,
    "multiple_choice": BertMultipleChoice,
    "question_answering": BertSpanLabeler,
    "pretraining": BertPretrainer,
    "masked_lm": BertPretrainer,
    "next_sentence": BertPretrainer,
}
LABELS = ["down", "level", "up"]  # Of those that have any.


def unpack(folder: pathlib.Path) -> pathlib.Path:
    """Unpacks the golden folders into a folder, and returns it."""
    path = GOLDEN / "foreign" / "hugging_face" / "models.tar.xz"
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder


def arrays_of(folder) -> dict:
    return load_file(pathlib.Path(folder) / WEIGHTS)


def copy(source, target, arrays=None, **config):
    """A copy with other settings in config.json, and other arrays."""
    shutil.copytree(source, target)
    if arrays is not None:
        arrays = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
        save_file(arrays, target / WEIGHTS)
    values = {**read_json(target / "config.json"), **config}
    (target / "config.json").write_text(json.dumps(values), "utf-8")
    return target


def write_raw(path, dtype: str, arrays: dict) -> None:
    """A file of safetensors in a type that NumPy may not have.

    Args:
        path: the file.
        dtype: the type's name in the file.
        arrays: {name: array of the bytes as unsigned integers}.
    """
    header, content = {}, b""
    for name, array in arrays.items():
        start = len(content)
        content += array.tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": [*array.shape],
            "data_offsets": [start, len(content)],
        }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
