"""Checkpoints in the original's format: variables by name.

A checkpoint is a prefix such as `out/model.ckpt-343` of two files,
`….index` and `….data-00000-of-00001`, that TensorFlow 1 wrote and reads by
variable name. As every `variable.path` of our models *is* the original's name,
loading and saving need no table of names. Training adds:

    <variable>/<slot>     the optimizer's slots, such as adam_m and adam_v
    global_step           int64, steps taken so far
    bert_tf/…             what an exact resume needs besides
"""

import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.formats import folders
from bert_tf.formats.checkpoint import (
    READ_ERRORS,
    Checkpoint,
    DamagedCheckpoint,
)
from bert_tf.formats.weights import Weights
from bert_tf.optimization import SLOT_NAMES

ENCODER_SCOPE = "bert/"
POOLER_SCOPE = "bert/pooler/"
SCRATCH_PREFIX = ".saving-"  # Checkpoints are written in such folders.
_TRAINING_STATE = re.compile(
    rf"/({'|'.join(SLOT_NAMES)})$|^global_step$|^bert_tf/"
)


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """The result of `load_weights`, by variable name.

    Attributes:
        loaded: read from the checkpoint.
        missing: in the model, not in the checkpoint; left as they were.
        unexpected: in the checkpoint, and not in the model or of a head that
            is not read. The state of training (slots, global_step) does not
            count.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]


def weights_in(checkpoint: Weights) -> list[str]:
    """The sorted names in a checkpoint, without the state of training."""
    names = sorted(checkpoint.shapes)
    return [name for name in names if not _TRAINING_STATE.search(name)]


def weights_of(model: keras.Model) -> list[keras.Variable]:
    """A model's variables in the original's order: the encoder's, a head's.

    Frozen variables are included, the state of random generators is not.
    """
    return sorted(
        model.weights, key=lambda v: not v.path.startswith(ENCODER_SCOPE)
    )


def tensors_of(model: keras.Model) -> dict[str, tf.Tensor]:
    """{name in a checkpoint: tensor} of a model's variables."""
    return {v.path: v.value for v in weights_of(model)}


def open_weights(path: str) -> Weights:
    """Opens a checkpoint, or weights that another library wrote.

    Args:
        path: see `Checkpoint`; or a path that `formats.folders` recognises.

    Raises:
        UserError: there are no weights, or they are damaged.
    """
    if folders.holds_weights(path):
        return folders.open_path(path).weights()
    return Checkpoint(path)


def load_weights(
    model: keras.Model,
    prefix: str | Weights,
    not_read: Collection[str] = (),
) -> LoadReport:
    """Reads every variable of a model that a checkpoint contains.

    A head's variable may be missing: it keeps its initial value and is in the
    report. So may the pooler's, which models of other libraries lack where
    their head does not use it; a model that does not use it either does not
    miss it. No variable is assigned before all values have been read.

    Args:
        model: a Keras model whose variable paths are the original's names.
        prefix: prefix of a checkpoint in the original's format, or a path
            that `open_weights` opens; or weights that are open, such as
            `pretrained.open(…).weights()`.
        not_read: variables of a head that keep their initial values.

    Returns:
        The names that were loaded, missing and unexpected.

    Raises:
        UserError: the checkpoint cannot be read, a variable of the encoder is
            missing, or a shape differs (naming the first, and both shapes).
    """
    checkpoint = open_weights(prefix) if isinstance(prefix, str) else prefix
    variables = {v.path: v for v in weights_of(model)}
    for name in not_read:
        del variables[name]
    loaded = [name for name in variables if name in checkpoint.shapes]
    for name in loaded:  # First: a wrong shape says more than a missing name.
        _check_shape(checkpoint, name, variables[name].shape)
    missing = [name for name in variables if name not in checkpoint.shapes]
    absent = [name for name in missing if name.startswith(ENCODER_SCOPE)]
    absent = [name for name in absent if not name.startswith(POOLER_SCOPE)]
    if not loaded:  # Such as an encoder under another name.
        absent = missing
    if absent:
        raise UserError(
            f"{checkpoint.prefix}: {len(absent)} of the encoder's variables "
            f"are not in the checkpoint, {absent[0]} first; it holds "
            f"{_some(sorted(checkpoint.shapes))}"
        )
    values = {name: checkpoint.read(name) for name in loaded}
    for name, value in values.items():
        variables[name].assign(value)
    unexpected = [
        name for name in weights_in(checkpoint) if name not in variables
    ]
    if not getattr(model, "reads_pooled_output", True):
        missing = [n for n in missing if not n.startswith(POOLER_SCOPE)]
    return LoadReport(loaded, missing, unexpected)


def read_newest(
    prefixes: Sequence[str], read: Callable[[str], object]
) -> list[str]:
    """Calls `read(prefix)` on the newest checkpoint that can be read.

    A warning names each damaged checkpoint, and the one before it is tried.

    Args:
        prefixes: prefixes of checkpoints, the newest first.
        read: function(prefix).

    Returns:
        The prefix that was read, and the older ones after it.

    Raises:
        UserError: raised by `read` for the last prefix.
    """
    for index, prefix in enumerate(prefixes):
        try:
            read(prefix)
        except DamagedCheckpoint as error:
            if prefix == prefixes[-1]:
                raise
            logging.warning("%s; trying the one before", error)
        else:
            return list(prefixes[index:])
    return []


def read_matching(
    checkpoint: Weights, shapes: Mapping[str, Sequence[int]]
) -> dict[str, np.ndarray]:
    """Reads the variables of `shapes`, {name: shape}: all of them or none.

    Raises:
        UserError: a variable is missing or has another shape.
    """
    for name, shape in shapes.items():
        if name not in checkpoint.shapes:
            raise UserError(f"{checkpoint.prefix}: {name} is missing")
        _check_shape(checkpoint, name, shape)
    return {name: checkpoint.read(name) for name in shapes}


def _check_shape(checkpoint, name, shape):
    stored = checkpoint.shapes[name]
    if tuple(shape) == stored:
        return
    is_encoder = name.startswith(ENCODER_SCOPE)
    why = "the models differ in size" if is_encoder else "another task's head"
    raise UserError(
        f"{checkpoint.prefix}: {name} has shape {list(stored)}, the model "
        f"needs {list(shape)}: {why}"
    )


def _some(names: Sequence[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def save_checkpoint(model: keras.Model, prefix: str) -> None:
    """Writes a model's variables under the original's names."""
    write_checkpoint(prefix, tensors_of(model))


def write_checkpoint(prefix: str, tensors: Mapping[str, Any]) -> None:
    """Writes {name: tensor} as one new checkpoint, whole or not at all.

    The files are written in a temporary folder next to the target and renamed,
    the index last: without its index a checkpoint is not found. If the prefix
    exists already, its files are replaced one by one.

    Args:
        prefix: path of the checkpoint, without `.index`.
        tensors: {name: tensor or array}.

    Raises:
        OSError: the files could not be written.
    """
    folder, base = os.path.split(prefix)
    folder = folder or "."
    files.make_folder(folder)
    with files.naming(
        prefix, "could not be written", os.path.join(folder, SCRATCH_PREFIX)
    ):
        if files.is_remote(folder):
            _save(prefix, tensors)  # It also writes the index last.
            return
        with tempfile.TemporaryDirectory(
            dir=folder, prefix=SCRATCH_PREFIX
        ) as scratch:
            _save(os.path.join(scratch, base), tensors)
            if files.exists(prefix + ".index"):
                files.remove(prefix + ".index")
            for name in sorted(os.listdir(scratch)):  # data-… before index
                files.move(
                    os.path.join(scratch, name), os.path.join(folder, name)
                )


def remove_checkpoint(prefix: str) -> None:
    """Removes those files of a checkpoint that exist."""
    # The index first: a checkpoint half removed must not look complete.
    for suffix in (".index", ".data-00000-of-00001", ".meta"):
        files.remove_if_there(prefix + suffix)


def _save(prefix, tensors):
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.convert_to_tensor(tensor) for tensor in tensors.values()],
    )


def _step_of(prefix) -> int:
    step = prefix.rpartition("-")[2]
    return int(step) if step.isascii() and step.isdigit() else -1


class CheckpointFolder:
    """The checkpoints `model.ckpt-N` of one run, N being the step.

    Args:
        folder: path of the run's folder.
        max_to_keep: number of checkpoints to keep. Older ones are removed after
            a new one is complete.
    """

    def __init__(self, folder: str, max_to_keep: int = 5):
        self.folder = folder
        self.max_to_keep = max_to_keep

    def newest_first(self) -> list[str]:
        """Prefixes of the checkpoints that exist, the newest first.

        The file `checkpoint` says which is the newest. If it is lost or
        damaged, or names missing checkpoints, the others in the folder count.

        Raises:
            UserError: there was a run, and none of its checkpoints exists. To
                start again in silence would hide that.
        """
        path = self._state_file()
        named = self._named()
        existing = [p for p in named if files.exists(p + ".index")]
        others = sorted(self._unnamed(named), key=_step_of, reverse=True)
        if files.exists(path) and not existing + others:
            what = (
                f"names {named[0]}, which does not exist"
                if named
                else ("names no checkpoint; is it damaged?")
            )
            raise UserError(f"{path}: {what}; name another folder")
        if others and not existing or named[:1] != existing[:1]:
            logging.warning(
                "%s does not name a checkpoint that is there; using %s",
                path,
                (existing + others)[0],
            )
        return existing + others

    def clean(self) -> None:
        """Removes the temporary files of a program that was killed."""
        if files.is_remote(self.folder) or not files.exists(self.folder):
            return
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if name.startswith(SCRATCH_PREFIX):
                shutil.rmtree(path)
            elif files.is_temporary(name):
                os.remove(path)

    def save(self, tensors: Mapping[str, Any], step: int) -> str:
        """Writes `model.ckpt-step`, then names it in the file `checkpoint`.

        Args:
            tensors: {name: tensor or array}.
            step: number of steps taken.

        Returns:
            The prefix of the new checkpoint.

        Raises:
            OSError: the files could not be written.
        """
        base = f"model.ckpt-{step}"
        prefix = os.path.join(self.folder, base)
        write_checkpoint(prefix, tensors)
        named = [os.path.basename(path) for path in reversed(self._named())]
        others = [name for name in named if name != base]
        kept = (others + [base])[-self.max_to_keep :]
        files.write_text(
            self._state_file(),
            f'model_checkpoint_path: "{base}"\n'
            + "".join(f'all_model_checkpoint_paths: "{b}"\n' for b in kept),
        )
        for name in set(others) - set(kept):
            remove_checkpoint(os.path.join(self.folder, name))
        return prefix

    def remove(self) -> None:
        """Removes all checkpoints of the folder.

        The file that names them goes first: without the checkpoints that it
        names the folder would be taken for a damaged one.
        """
        files.remove_if_there(self._state_file())
        for prefix in self._unnamed([]):
            remove_checkpoint(prefix)

    def _state_file(self):
        return os.path.join(self.folder, "checkpoint")

    def _named(self) -> list[str]:
        """The prefixes in the file `checkpoint`, the newest first."""
        if not files.exists(self._state_file()):
            return []
        try:
            state = tf.train.get_checkpoint_state(self.folder)
        except READ_ERRORS:  # UnicodeDecodeError is a ValueError.
            return []
        if state is None or not state.model_checkpoint_path:
            return []
        listed = reversed(state.all_model_checkpoint_paths)
        return list(dict.fromkeys([state.model_checkpoint_path, *listed]))

    def _unnamed(self, named: list[str]) -> list[str]:
        """The prefixes that the file `checkpoint` does not name."""
        pattern = os.path.join(self.folder, "model.ckpt-*.index")
        prefixes = [path[: -len(".index")] for path in files.glob(pattern)]
        return [p for p in prefixes if p not in named and _step_of(p) >= 0]
