"""An index of texts that finds those whose vectors are nearest to a query's.

A folder with these files:

    vectors.npy     float32 [N, E], of length 1
    rows.jsonl      {"id": "…", "text": "…"} of each
    offsets.npy     int64 [N], where each line of rows.jsonl starts
    index.json      the model that made the vectors, and their number

The search is exact: it compares a query with every vector, in blocks. The
vectors stay on the disk, and the system keeps in memory what it can. N texts,
E components of a vector, Q queries.
"""

import contextlib
import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bert_tf import files, json_files
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.kinds import EMBEDDING
from bert_tf.export.predictor import Predictor
from bert_tf.metrics.retrieval import top_k
from bert_tf.metrics.similarity import normalized

VECTORS, ROWS, OFFSETS = "vectors.npy", "rows.jsonl", "offsets.npy"
DESCRIPTION = "index.json"
VERSION = 1
DIGITS = 6  # Digits after the point of a score in JSON.


@dataclasses.dataclass(frozen=True)
class Hit:
    """A text that was found.

    Attributes:
        id: its id.
        score: the cosine of its vector and the query's, -1 to 1.
        text: the text.
    """

    id: str
    score: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """The text as a JSON object; its score has `DIGITS` digits."""
        return {
            "id": self.id,
            "score": round(self.score, DIGITS),
            "text": self.text,
        }


class SearchIndex:
    """An index that was written by `write`; several threads may search it.

    It keeps its files open: if its folder is replaced, it stays as it was.

    Args:
        folder: the index.

    Attributes:
        folder: the index.
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
        self._description = json_files.read_object(path)
        self.vectors: NDArray[np.float32] = self._array(VECTORS, 2)
        self._offsets = self._array(OFFSETS, 1)
        if len(self._offsets) != len(self.vectors):
            raise UserError(f"{folder}: {VECTORS} and {OFFSETS} do not agree")
        path = os.path.join(folder, ROWS)
        with _naming_damage(path):
            self._rows = np.memmap(path, np.uint8, mode="r")

    def _array(self, name: str, rank: int) -> NDArray[Any]:
        path = os.path.join(self.folder, name)
        with _naming_damage(path):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim != rank:
            raise UserError(f"{path}: damaged")
        return array

    def __len__(self) -> int:
        return len(self.vectors)

    def was_made_by(
        self, predictor: Predictor, description: dict[str, Any]
    ) -> bool:
        """Whether a model made the vectors, so that its own can be compared.

        Args:
            predictor: the model.
            description: its `description_of`.
        """
        return (
            makes_vectors(predictor)
            and _width_of(predictor) == self.vectors.shape[1]
            and self._description.get("model") == description
        )

    def check_model(self, predictor: Predictor) -> None:
        """Checks that a model makes vectors like those of the index.

        Args:
            predictor: the model.

        Raises:
            UserError: it is another one, or makes no vectors.
        """
        check_makes_vectors(predictor)
        found = description_of(predictor)
        if self.was_made_by(predictor, found):
            return
        known = self._description.get("model")
        if known == found:  # A file of it was replaced.
            known = f"of vectors with {self.vectors.shape[1]} components"
        raise UserError(
            f"was made with another model, {known}; write it again, or "
            f"give that model in place of {found}",
            setting="index",
            value=self.folder,
        )

    def search(self, queries: NDArray[np.floating], k: int) -> list[list[Hit]]:
        """Finds the nearest texts, the nearest first.

        Args:
            queries: float [Q, E], of any length.
            k: how many; all of a smaller index.

        Returns:
            For each query its hits.
        """
        places, scores = self.nearest(queries, k)
        return [self.hits(*found) for found in zip(places, scores, strict=True)]

    def nearest(
        self, queries: NDArray[np.floating], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        """Finds the places of the nearest texts, without reading the texts.

        Args:
            queries, k: see `search`.

        Returns:
            (places, cosines): int64 and float32 [Q, k], the nearest first; of
            equally near ones the first.
        """
        wanted = normalized(np.asarray(queries, np.float32))
        return top_k(wanted, self.vectors, k)

    def hits(
        self, places: NDArray[np.int64], scores: NDArray[np.floating]
    ) -> list[Hit]:
        """Reads the texts at some places.

        Args:
            places, scores: int64 and float [K], a row of `nearest`.
        """
        return [
            Hit(score=float(score), **self._row(int(place)))
            for place, score in zip(places, scores, strict=True)
        ]

    def num_bytes(self, places: NDArray[np.int64]) -> int:
        """How many bytes of the disk the ids and texts at some places take.

        Args:
            places: int64, of any shape.
        """
        last = len(self._offsets) - 1
        next_ones = self._offsets[np.minimum(places + 1, last)]
        ends = np.where(places == last, len(self._rows), next_ones)
        return int(np.sum(ends - self._offsets[places]))

    def _end(self, place: int) -> int:
        """Where the line of a text ends."""
        is_last = place + 1 == len(self._offsets)
        return len(self._rows) if is_last else int(self._offsets[place + 1])

    def _row(self, place: int) -> dict[str, str]:
        start = int(self._offsets[place])
        row = json.loads(self._rows[start : self._end(place)].tobytes())
        return {"id": row["id"], "text": row["text"]}


@contextlib.contextmanager
def _naming_damage(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {files.reason(error)}") from None


def check_replaceable(folder: str) -> None:
    """Raises UserError if a folder holds something else than an index."""
    if files.exists(folder) and not files.exists(
        os.path.join(folder, DESCRIPTION)
    ):
        raise UserError(
            "not an index; give a new folder, because what is there would be "
            "replaced",
            setting="index",
            value=folder,
        )


def makes_vectors(predictor: Predictor) -> bool:
    """Whether a model makes one vector for each text."""
    serve = predictor.signatures["serving_default"].structured_outputs
    return predictor.kind == EMBEDDING.name and "num_tokens" not in serve


def check_makes_vectors(predictor: Predictor) -> None:
    """Raises UserError unless a model makes one vector for each text."""
    if not makes_vectors(predictor):
        raise UserError(
            "a model that makes one vector for each text is needed, such as an "
            "exported encoder with the pooling mean",
            setting="model",
            value=predictor.folder,
        )


def _width_of(predictor: Predictor) -> int:
    """The number of components of a model's vectors."""
    serve = predictor.signatures["serving_default"].structured_outputs
    return serve["embedding"].shape[-1]


def description_of(predictor: Predictor) -> dict[str, Any]:
    """What of a model decides its vectors, for JSON.

    The index of the weights has a checksum of each. So the model's folder may
    move.
    """
    info = predictor.info
    names = ("pooling", "layers", "normalize", "dimension", "max_seq_length")
    found = {name: info[name] for name in names if name in info}
    path = os.path.join(predictor.folder, "variables", "variables.index")
    with files.open_binary(path) as reader:
        return {**found, "weights": f"{zlib.crc32(reader.read()):08x}"}


def embed(predictor: Predictor, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of texts, float32 [N, E], of length 1."""
    answers = predictor.predict(texts)
    return normalized(np.stack([answer["embedding"] for answer in answers]))


def write(
    folder: str, predictor: Predictor, rows: Iterable[tuple[str, str]]
) -> int:
    """Writes an index, whole or not at all; returns its number of texts.

    Args:
        folder: where; an index that is there is replaced.
        predictor: makes the vectors.
        rows: (id, text) of each, read as they are needed.

    Raises:
        UserError: there are no rows, or an id occurs twice.
    """
    check_makes_vectors(predictor)
    check_replaceable(folder)
    width = (
        predictor.signatures["serving_default"]
        .structured_outputs["embedding"]
        .shape[-1]
    )
    with saved_models.replacing_folder(folder) as scratch:
        files.make_folder(scratch)
        paths = {n: os.path.join(scratch, n) for n in (ROWS, VECTORS, OFFSETS)}
        with open(paths[ROWS], "wb") as writer:
            offsets = _write_rows(writer, rows)
        _write_vectors(
            paths[VECTORS], predictor, paths[ROWS], len(offsets), width
        )
        np.save(paths[OFFSETS], np.array(offsets, np.int64))
        text = json.dumps(
            {
                "version": VERSION,
                "num_texts": len(offsets),
                "dimension": width,
                "model": description_of(predictor),
            },
            indent=2,
        )
        files.write_text(os.path.join(scratch, DESCRIPTION), text + "\n")
    return len(offsets)


def _write_rows(
    writer: IO[bytes], rows: Iterable[tuple[str, str]]
) -> list[int]:
    """Writes the lines of the texts; returns where each starts."""
    offsets: list[int] = []
    places: dict[str, int] = {}
    for one, text in rows:
        if (before := places.setdefault(one, len(offsets))) != len(offsets):
            raise UserError(
                f"the id {one!r} is that of the rows {before + 1} and "
                f"{len(offsets) + 1}: ids must differ"
            )
        offsets.append(writer.tell())
        row = json.dumps({"id": one, "text": text})
        writer.write(f"{row}\n".encode())
    if not offsets:
        raise UserError("there are no texts to search in")
    return offsets


def _write_vectors(
    path: str, predictor: Predictor, rows: str, number: int, width: int
) -> None:
    """Writes the vectors of the texts in a file of rows, block by block."""
    vectors = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(number, width)
    )
    with open(rows, "rb") as reader:
        texts = (json.loads(line)["text"] for line in reader)
        for place, answer in enumerate(predictor.stream(texts)):
            vectors[place] = normalized(answer["embedding"])
    vectors.flush()
