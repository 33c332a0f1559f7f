"""Folders and checkpoints of the original, and of runs of this package.

bert_config.json  vocab.txt  bert_model.ckpt.*       a released model
train.json  task.json  labels.txt  model.ckpt-N.*  best/   a run
"""

import os
from collections.abc import Callable
from typing import Any

from bert_tf import files, json_files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats.checkpoint_paths import prefixes_in
from bert_tf.formats.model import StoredModel
from bert_tf.formats.tokenizer_files import settings_in
from bert_tf.formats.weights import Weights
from bert_tf.tokenizer_settings import TokenizerSettings

CONFIG, VOCABULARY = "bert_config.json", "vocab.txt"
RUN, TASK, LABELS, BEST = "train.json", "task.json", "labels.txt", "best"
_TOKENIZER = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
CHECKPOINT, SCORES = "bert_model.ckpt", "eval_results.txt"


def is_model(folder: str) -> bool:
    """Whether a folder has a config of the original and a checkpoint."""
    has_config = files.exists(os.path.join(folder, CONFIG))
    return has_config and bool(prefixes_in(folder))


def open_model(
    path: str,
    folder: str,
    prefix: str,
    *,
    form: str = "a checkpoint of the original",
    open_weights: Callable[[str], Weights] | None = None,
) -> StoredModel:
    """Describes a released model, or a run.

    Args:
        path: what was asked for, for errors.
        folder: the folder with the config and the vocabulary.
        prefix: the checkpoint, or another file with weights.
        form: what it is, for people.
        open_weights: function(prefix) -> weights; by default of a checkpoint.

    Raises:
        UserError: a file cannot be used.
    """
    config_file = os.path.join(folder, CONFIG)
    if not files.exists(config_file):
        raise UserError(f"{path}: {config_file} is missing")
    vocab_file = os.path.join(folder, VOCABULARY)
    has_vocab = files.exists(vocab_file)
    record = _flags_in(folder)
    task = task_in(folder)
    reader = open_weights or open_checkpoint
    return StoredModel(
        path=path,
        format="a run" if record else form,
        config=BertConfig.from_json_file(config_file),
        config_file=config_file,
        vocab_file=vocab_file if has_vocab else None,
        tokenizer=_settings_of(record, folder),
        weights_file=prefix,
        open_weights=reader,
        kind=task.get("problem"),
        labels=task.get("labels") or _labels_in(folder),
        task=task,
    )


def open_folder(path: str, folder: str) -> StoredModel:
    """Describes the model in a folder: of a run the best, else the newest.

    Raises:
        UserError: a file cannot be used.
    """
    return open_model(path, folder, _checkpoint_of(folder))


def _checkpoint_of(folder: str) -> str:
    flags = _flags_in(folder)
    best = prefixes_in(os.path.join(folder, BEST))
    # Without evaluations, `best` would be of an earlier training.
    if flags.get("eval_steps") and best:
        return best[0]
    return prefixes_in(folder)[0]


def task_in(folder: str) -> dict[str, Any]:
    """The content of a folder's task.json, {} without one.

    Raises:
        UserError: it is damaged.
    """
    return check_task(_json_in(folder, TASK), os.path.join(folder, TASK))


def _json_in(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    return json_files.read_object(path) if files.exists(path) else {}


def _flags_in(folder: str) -> dict[str, Any]:
    """The flags of the training in a run's train.json; {} without one."""
    record = _json_in(folder, RUN).get("train", {})
    flags = record.get("flags", {}) if isinstance(record, dict) else None
    if not isinstance(flags, dict) or not all(
        flags.get(name) in (None, True, False) for name in _TOKENIZER
    ):
        raise UserError(
            f"{os.path.join(folder, RUN)}: damaged; train again, or name "
            "another folder"
        )
    return flags


def check_task(task: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns the content of a task.json.

    Args:
        task: the content; {} without a file.
        path: the file, for errors.

    Raises:
        UserError: the kind or the labels are not what a run writes.
    """
    labels = task.get("labels")
    if not isinstance(task.get("problem", ""), str) or not (
        labels is None
        or isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
    ):
        raise UserError(
            f"{path}: damaged: the name of a kind and a list of labels are "
            "needed"
        )
    return task


def _settings_of(
    flags: dict[str, Any], folder: str
) -> TokenizerSettings | None:
    if "do_lower_case" in flags:
        return TokenizerSettings.of(flags)
    return settings_in(folder)


def _labels_in(folder: str) -> list[str] | None:
    path = os.path.join(folder, LABELS)
    if not files.exists(path):
        return None
    return files.read_text(path).splitlines()


def open_checkpoint(prefix: str) -> Weights:
    """Opens a checkpoint, which may be one of Model Garden."""
    # They load TensorFlow, which is not needed to describe a model.
    from bert_tf.formats import model_garden, tf2_arrays
    from bert_tf.formats.checkpoint import Checkpoint

    checkpoint = Checkpoint(prefix)
    if tf2_arrays.GRAPH in checkpoint.shapes:
        return model_garden.open_weights(prefix)
    return checkpoint
