"""extract_features in a pipeline: what its workers do with lines of text."""

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_tf import files
from bert_tf.data import npy
from bert_tf.text.packing import split_pair
from bert_tf.tools.row_work import Written
from bert_tf.tools.vector_formats import ENCODERS

if TYPE_CHECKING:
    from bert_tf.embeddings import Text, TextEmbedder


def texts(path: str) -> "Iterator[Text]":
    """Yields the texts and pairs of a file, one of each line.

    Raises:
        UserError: the file does not hold text.
    """
    for _, line in files.read_lines(path):
        text, second = split_pair(line.strip())
        yield text if second is None else (text, second)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorWork:
    """Computes the vectors of texts; a `RowWork`.

    Attributes:
        embedder: the arguments of `TextEmbedder`.
        output_format: a key of `ENCODERS`.
    """

    embedder: Mapping[str, Any]
    output_format: str

    def load(self) -> "VectorWorker":
        """Loads the model.

        Raises:
            UserError: see `TextEmbedder`.
        """
        from bert_tf.embeddings import TextEmbedder

        return VectorWorker(self, TextEmbedder(**self.embedder))


class VectorWorker:
    """Does the work; a `RowWorker` of which rows are texts and pairs.

    Args:
        work: what is done.
        embedder: gives the vectors.
    """

    def __init__(self, work: VectorWork, embedder: "TextEmbedder"):
        self._work, self._embedder = work, embedder

    @property
    def block_size(self) -> int:
        """The number of texts of a file that are sorted together."""
        return self._embedder.texts_at_once

    def rows(self, path: str) -> "Iterator[Text]":
        """Yields the texts and pairs of a file; see `texts`."""
        return texts(path)

    def head(self, num_rows: int) -> bytes:
        """What the output has before the first vector."""
        start = io.BytesIO()
        if self._work.output_format == "npy":
            width = self._embedder.model.embedding_size
            npy.write_header(start, (num_rows, width))
        return start.getvalue()

    def answers(self, rows: "Sequence[Text]", first: int) -> Iterator[Written]:
        """Yields the vectors of texts, as the output has them.

        Args:
            rows: at most `block_size`.
            first: the number of the first text.
        """
        encode = ENCODERS[self._work.output_format]
        embedded = self._embedder.stream(rows)
        for index, one in enumerate(embedded, first):
            content = encode(self._embedder, index, one)
            yield Written(content, one.is_truncated)
