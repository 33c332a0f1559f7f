"""Files of safetensors: one, or several that an index names.

model.safetensors                    all arrays
model.safetensors.index.json         {"weight_map": {array: file}}
model-00001-of-00002.safetensors     some of them
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from bert_tf import files
from bert_tf.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
# What the library and the system raise for files that are damaged or missing.
_READ_ERRORS = (safetensors.SafetensorError, OSError, ValueError)
_FLOATS = ("F16", "F32", "F64")
# Bytes of a file's header at most, as the library has it.
_MAX_HEADER = 100_000_000


def is_safetensors(path: str) -> bool:
    """Whether a file starts as one of safetensors does."""
    try:
        with files.open_binary(path) as reader:
            head = reader.read(9)
    except OSError:
        return False
    size = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and 2 <= size <= _MAX_HEADER


class SafetensorsArrays:
    """The arrays of one file, or of the files that an index names.

    Args:
        path: a file of safetensors, or an index in JSON.

    Attributes:
        path: the path.
        shapes: {name: shape}.

    Raises:
        UserError: a file is missing or damaged, or does not hold what the
            index says.
    """

    def __init__(self, path: str):
        self.path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Any] = {}
        if is_safetensors(path):
            self._add(path, None)
            return
        by_file: dict[str, set[str]] = {}
        for name, file in _weight_map(path).items():
            by_file.setdefault(file, set()).add(name)
        for file, names in sorted(by_file.items()):
            self._add(os.path.join(os.path.dirname(path), file), names)

    def _add(self, path: str, names: set[str] | None) -> None:
        try:
            file = safetensors.safe_open(path, framework="np")
            held = {*file.keys()}
        except _READ_ERRORS as error:
            raise _damaged(path, error) from None
        if names is not None and not names <= held:
            raise UserError(
                f"{path}: {min(names - held)} is missing, which {self.path} "
                "says is there"
            )
        for name in sorted(held if names is None else names):
            self._files[name] = (path, file)
            self.shapes[name] = tuple(file.get_slice(name).get_shape())

    def read(self, name: str) -> np.ndarray:
        """The value of one array; bfloat16 becomes float32.

        Raises:
            UserError: the file is damaged, or the array has another type.
        """
        path, file = self._files[name]
        try:
            dtype = file.get_slice(name).get_dtype()
            if dtype == "BF16":
                return _read_bfloat16(path, name)
            if dtype in _FLOATS:
                return file.get_tensor(name)
        except _READ_ERRORS as error:
            raise _damaged(path, error) from None
        # The numbers of a quantized model mean nothing without their scales.
        raise UserError(
            f"{path}: {name} has the type {dtype}; one of "
            f"{', '.join((*_FLOATS, 'BF16'))} is needed"
        )


def _weight_map(path: str) -> Mapping[str, str]:
    """The content of an index, checked."""
    try:
        weight_map = json.loads(files.read_text(path))["weight_map"]
        if not weight_map:
            raise ValueError
        for name, file in weight_map.items():
            # A file elsewhere would not belong to this model.
            if not isinstance(file, str) or file != os.path.basename(file):
                raise UserError(
                    f"{path}: weight_map has {name} in {file!r}; the name of "
                    "a file in the same folder is needed"
                )
    except UserError:  # A ValueError, too.
        raise
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        raise UserError(
            f"{path}: neither a file of safetensors nor an index of such files"
        ) from None
    return weight_map


def _read_bfloat16(path: str, name: str) -> np.ndarray:
    """NumPy has no bfloat16: its bits are the first half of a float32's."""
    with files.open_binary(path) as reader:
        size = int.from_bytes(reader.read(8), "little")
        entry = json.loads(reader.read(size))[name]
        start, end = entry["data_offsets"]
        reader.seek(8 + size + start)
        bits = np.frombuffer(reader.read(end - start), "<u2")
    wide = (bits.astype(np.uint32) << 16).view(np.float32)
    return wide.reshape(entry["shape"])


def _damaged(path: str, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file")
    return UserError(
        f"{path}: damaged, or not a file of safetensors: {files.reason(error)}"
    )


def write_safetensors(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes {name: array} as one file, whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    # Other libraries refuse a file that does not say whose layout it has.
    metadata = {"format": "pt"}
    with files.replacing(path) as scratch:
        if files.is_remote(path):
            content = safetensors.numpy.save(arrays, metadata)
            with files.open_binary(scratch, "wb") as writer:
                writer.write(content)
            return
        with files.open_binary(scratch, "wb") as writer:
            mode = os.fstat(writer.fileno()).st_mode
        try:  # Its content is as large as the model: it is not made in memory.
            safetensors.numpy.save_file(arrays, scratch, metadata)
            os.chmod(scratch, mode)  # The library lets only the owner read it.
        except safetensors.SafetensorError as error:
            raise OSError(None, files.reason(error)) from None
