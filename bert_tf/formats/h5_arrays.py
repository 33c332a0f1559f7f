"""Arrays in an HDF5 file, as Keras and transformers wrote their weights."""

import contextlib
from collections.abc import Iterator

import h5py
import numpy as np

from bert_tf import files
from bert_tf.errors import UserError

# h5py raises one of these, depending on the kind of damage.
_READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_h5(path: str) -> bool:
    """Whether a file starts as an HDF5 file does."""
    if not files.exists(path) or files.is_folder(path):
        return False
    with files.naming(path), files.open_binary(path) as reader:
        return reader.read(len(_SIGNATURE)) == _SIGNATURE


class H5Arrays:
    """All arrays of an HDF5 file, by their paths in it.

    Only names and shapes are read at first. A link to another file, and data
    that lies in another file, is not followed: a model is one file.

    Args:
        path: of the file.

    Attributes:
        path: as given.
        shapes: {path in the file, such as "layers/dense/vars/0": shape}.

    Raises:
        UserError: the file is missing, is not an HDF5 file, or is damaged.
    """

    def __init__(self, path: str):
        self.path = path
        if not files.exists(path):
            raise UserError(f"{path}: no such file")
        if not is_h5(path):
            raise UserError(f"{path}: this is not an HDF5 file")
        self.shapes: dict[str, tuple[int, ...]] = {}
        with self._opened() as file:
            self._collect(file, "", set())

    def read(self, name: str) -> np.ndarray:
        """The value of one array.

        Raises:
            UserError: the file is damaged.
        """
        with self._opened(name) as file:
            return file[name][()]

    @contextlib.contextmanager
    def _opened(self, name: str = "") -> Iterator[h5py.File]:
        """Yields the file; what h5py raises becomes one line."""
        try:
            with files.open_binary(self.path) as reader:
                with h5py.File(reader, "r") as file:
                    yield file
        except UserError:  # A ValueError, too.
            raise
        except _READ_ERRORS as error:
            where = f"{self.path}: {name}" if name else self.path
            why = files.reason(error).strip("'\"")
            raise UserError(
                f"{where}: the file is damaged or incomplete: {why}"
            ) from None

    def _collect(self, group: h5py.Group, start: str, above: set) -> None:
        """Adds the arrays of a group and of those in it.

        Args:
            start: the group's path, with a slash at the end.
            above: the groups that it is in: a link to one would be a circle.
        """
        inside = above | {h5py.h5o.get_info(group.id).addr}
        for key in group:
            name = start + key
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UserError(
                    f"{self.path}: {name} is a link to another place, which "
                    "is not followed"
                )
            item = group[key]
            if isinstance(item, h5py.Group):
                if h5py.h5o.get_info(item.id).addr in inside:
                    raise UserError(f"{self.path}: {name} holds itself")
                self._collect(item, name + "/", inside)
            elif isinstance(item, h5py.Dataset):
                self._add(name, item)

    def _add(self, name: str, item: h5py.Dataset) -> None:
        if item.external or item.is_virtual:
            raise UserError(
                f"{self.path}: {name} lies in another file, which is not read"
            )
        if item.dtype.kind in "fiub" and item.shape is not None:
            self.shapes[name] = tuple(item.shape)
