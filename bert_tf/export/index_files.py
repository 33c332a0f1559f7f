"""The files of an index of texts: opened, checked, read.

    vectors.npy     float32 [N, E], of length 1
    rows.jsonl      {"id": "…", "text": "…"} of each
    offsets.npy     int64 [N], where each line of rows.jsonl starts
    index.json      the model that made the vectors, and their number

The vectors stay on the disk, and the system keeps in memory what it can.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bert_tf import files, json_files
from bert_tf.errors import UserError

VECTORS, ROWS, OFFSETS = "vectors.npy", "rows.jsonl", "offsets.npy"
DESCRIPTION = "index.json"
ROW = ("id", "text")
VERSION = 1


class IndexFiles:
    """The open files of an index.

    Args:
        folder: the index.

    Attributes:
        folder: the index.
        model: what made the vectors; see `search_index.description_of`.
        vectors: float32 [N, E], read from the disk as they are needed.

    Raises:
        UserError: the folder has no index, or a file of it is damaged.
    """

    def __init__(self, folder: str):
        self.folder = folder
        path = os.path.join(folder, DESCRIPTION)
        if not files.exists(path):
            raise UserError(
                f"holds no index: it has no {DESCRIPTION}",
                setting="index",
                value=folder,
            )
        description = json_files.read_object(path)
        _check_version(path, description)
        self.model = description.get("model")
        self.vectors: NDArray[np.float32] = self._array(VECTORS, np.float32, 2)
        self._offsets = self._array(OFFSETS, np.int64, 1)
        self._rows_path = os.path.join(folder, ROWS)
        with _naming_damage(self._rows_path):
            self._rows = np.memmap(self._rows_path, np.uint8, mode="r")
        self._check_sizes(description)
        self._check_places()

    def _array(self, name: str, dtype: type, rank: int) -> NDArray[Any]:
        path = os.path.join(self.folder, name)
        with _naming_damage(path):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        # An archive of several arrays has neither.
        found = getattr(array, "dtype", None), getattr(array, "ndim", 0)
        if found != (dtype, rank):
            raise UserError(
                f"{path}: damaged: an array of {rank} dimensions and of "
                f"{dtype.__name__} is needed"
            )
        return array

    def _check_sizes(self, description: dict[str, Any]) -> None:
        """Raises UserError unless the files are of one index."""
        number, width = self.vectors.shape
        for name, found, known in (
            ("num_texts", description.get("num_texts"), number),
            ("dimension", description.get("dimension"), width),
            (OFFSETS, len(self._offsets), number),
        ):
            if found != known:
                raise UserError(
                    f"{self.folder}: damaged: {name} is {found!r}, but "
                    f"{VECTORS} has {known:,}; write the index again"
                )

    def _check_places(self) -> None:
        """Raises UserError unless lines are where they should be."""
        starts, end = self._offsets, len(self._rows)
        if not (
            len(starts)
            and starts[0] == 0
            and np.all(starts[1:] > starts[:-1])
            and starts[-1] < end
            and self._rows[end - 1] == ord("\n")
        ):
            raise UserError(
                f"{self._rows_path}: damaged: its lines are not where "
                f"{OFFSETS} says; write the index again"
            )

    def num_bytes(self, places: NDArray[np.int64]) -> int:
        """How many bytes of the disk the ids and texts at some places take.

        Args:
            places: int64, of any shape.
        """
        return int(np.sum(self._ends(places) - self._offsets[places]))

    def _ends(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the lines of texts end."""
        last = len(self._offsets) - 1
        starts_of_next = self._offsets[np.minimum(places + 1, last)]
        return np.where(places == last, len(self._rows), starts_of_next)

    def row(self, place: int) -> dict[str, str]:
        """The id and the text at a place.

        Raises:
            UserError: the file is damaged there.
        """
        start = self._offsets[place]
        line = self._rows[start : self._ends(np.array(place))].tobytes()
        path = f"{self._rows_path}:{place + 1}"
        with _naming_damage(path):
            row = json.loads(line)
        values = row if isinstance(row, dict) else {}
        if not all(isinstance(values.get(name), str) for name in ROW):
            raise UserError(f"{path}: damaged: {' and '.join(ROW)} are needed")
        return {name: values[name] for name in ROW}


def _check_version(path: str, description: dict[str, Any]) -> None:
    found = description.get("version")
    if found != VERSION:
        raise UserError(
            f"{path}: the version is {found!r}, and {VERSION} is read; write "
            "the index again"
        )


@contextlib.contextmanager
def _naming_damage(path: str) -> Iterator[None]:
    """Turns the errors of reading a file into UserErrors that name it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or files.reason(error)
        raise UserError(f"{path}: {why}") from None
    # NumPy raises the second for an empty file, JSON the third.
    except (ValueError, EOFError, RecursionError) as error:
        raise UserError(f"{path}: damaged: {files.reason(error)}") from None


class RepeatedId(UserError):
    """An id that two rows have. A caller who knows their lines can say more.

    Args:
        one: the id.
        first, second: the numbers of the rows, from 1.

    Attributes:
        one: the id.
    """

    def __init__(self, one: str, first: int, second: int):
        super().__init__(
            f"the id {one!r} is that of the rows {first} and {second}: ids "
            "must differ"
        )
        self.one = one


def write_rows(writer: IO[bytes], rows: Iterable[tuple[str, str]]) -> list[int]:
    """Writes the lines of the texts; returns where each starts."""
    offsets: list[int] = []
    places: dict[str, int] = {}
    for one, text in rows:
        if (before := places.setdefault(one, len(offsets))) != len(offsets):
            raise RepeatedId(one, before + 1, len(offsets) + 1)
        offsets.append(writer.tell())
        row = json.dumps({"id": one, "text": text})
        writer.write(f"{row}\n".encode())
    if not offsets:
        raise UserError("there are no texts to search in")
    return offsets
