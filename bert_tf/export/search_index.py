"""An index of texts that finds those whose vectors are nearest to a query's.

`index_files` says what its folder holds. The search is exact: it compares a
query with every vector, in blocks. N texts, E components of a vector, Q
queries.
"""

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bert_tf import files
from bert_tf.data import npy
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.index_files import (
    DESCRIPTION,
    OFFSETS,
    ROWS,
    VECTORS,
    VERSION,
    IndexFiles,
    write_rows,
)
from bert_tf.export.kinds import EMBEDDING
from bert_tf.export.predictor import Predictor
from bert_tf.metrics.retrieval import top_k
from bert_tf.metrics.similarity import normalized
from bert_tf.progress import with_progress

# Digits after the point of a score. The last bits of a cosine depend on what is
# computed with it, and the order of the texts must not.
DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Hit:
    """A text that was found.

    Attributes:
        id: its id.
        score: the cosine of its vector and the query's, -1 to 1, rounded to
            `DIGITS` digits.
        text: the text.
    """

    id: str
    score: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """The text as a JSON object."""
        return dataclasses.asdict(self)


class SearchIndex:
    """An index that was written by `write`; several threads may search it.

    It keeps its files open: if its folder is replaced, it stays as it was.

    Args:
        folder: the index.

    Attributes:
        folder: the index.
        vectors: float32 [N, E], read from the disk as they are needed.
        num_bytes: function(places) -> how many bytes of the disk the ids and
            texts there take.

    Raises:
        UserError: the folder has no index, or a file of it is damaged.
    """

    def __init__(self, folder: str):
        self._files = IndexFiles(folder)
        self.folder = folder
        self.vectors = self._files.vectors
        self.num_bytes = self._files.num_bytes

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
            and self._files.model == description
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
        known = self._files.model
        known = known if isinstance(known, dict) else {}
        different = "; ".join(
            f"{name} {known.get(name)!r} there, {found.get(name)!r} here"
            for name in {**found, **known}
            if known.get(name) != found.get(name)
        )
        raise UserError(
            f"was made with another model ({different}); write it again, or "
            "give that model",
            setting="index",
            value=self.folder,
        )

    def search(self, queries: NDArray[np.floating], k: int) -> list[list[Hit]]:
        """Finds the nearest texts, the nearest first.

        Args:
            queries: float [Q, E], of any length.
            k: how many, 1 or more; all of a smaller index.

        Returns:
            For each query its hits.

        Raises:
            ValueError: the queries have another width or are not finite, or
                k is below 1.
            UserError: the index is damaged.
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
            those whose cosines have the same `DIGITS` digits, the first.

        Raises:
            ValueError, UserError: see `search`.
        """
        wanted = np.asarray(queries, np.float32)
        width = self.vectors.shape[1]
        if wanted.ndim != 2 or wanted.shape[1] != width:
            raise ValueError(
                f"queries must have the shape [Q, {width}]. Received: "
                f"queries.shape={wanted.shape}"
            )
        if not np.isfinite(wanted).all():
            raise ValueError("a vector is not finite")
        places, cosines = top_k(
            normalized(wanted), self.vectors, k, digits=DIGITS
        )
        if not np.isfinite(cosines).all():
            path = os.path.join(self.folder, VECTORS)
            raise UserError(f"{path}: damaged: a vector is not finite")
        return places, cosines

    def hits(
        self, places: NDArray[np.int64], scores: NDArray[np.floating]
    ) -> list[Hit]:
        """Reads the texts at some places.

        Args:
            places, scores: int64 and float [K], a row of `nearest`.
        """
        return [
            Hit(
                score=round(float(score), DIGITS), **self._files.row(int(place))
            )
            for place, score in zip(places, scores, strict=True)
        ]


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
    if not texts:
        return np.zeros([0, _width_of(predictor)], np.float32)
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
    width = _width_of(predictor)
    with saved_models.replacing_folder(folder) as scratch:
        files.make_folder(scratch)
        paths = {n: os.path.join(scratch, n) for n in (ROWS, VECTORS, OFFSETS)}
        with open(paths[ROWS], "wb") as writer:
            offsets = write_rows(writer, rows)
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


def _write_vectors(
    path: str, predictor: Predictor, rows: str, number: int, width: int
) -> None:
    """Writes the vectors of the texts in a file of rows, block by block."""
    # Not through a memory map: where the disk is full, writing to it kills the
    # process, without a word.
    with open(rows, "rb") as reader, open(path, "wb") as writer:
        npy.write_header(writer, (number, width))
        texts = (json.loads(line)["text"] for line in reader)
        answers = predictor.stream(texts)
        for row, answer in enumerate(
            with_progress(answers, number, "texts", "Encoding"), 1
        ):
            vector = normalized(answer["embedding"])
            if not np.isfinite(vector).all():
                raise UserError(
                    f"the vector of row {row} is not finite; such a model "
                    "cannot search"
                )
            writer.write(npy.as_row(vector))
