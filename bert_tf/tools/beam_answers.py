"""The tool predict in a pipeline: what its workers do with rows of files."""

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_tf.data.tabular.text_rows import Row
from bert_tf.data.tagged.sentences import WordColumns
from bert_tf.errors import UserError
from bert_tf.export import answer_files, answer_words
from bert_tf.export.answer_files import AnswerWriter, at_its_row
from bert_tf.export.input_files import (
    READ_BY_ROWS,
    InputFile,
    InputSettings,
    InputTable,
    ItemReader,
)
from bert_tf.tools.row_work import Written

if TYPE_CHECKING:
    from bert_tf.export.predictor import Predictor


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerWork:
    """Answers rows of files with an exported model; a `RowWork`.

    Attributes:
        model: the folder of the model.
        predictor: the other arguments of `Predictor`, "with_lengths" among
            them.
        settings: how the files are written, as far as it is known.
        table: what the files have in common.
        target: the format of the answers.
        word_columns: of files of words, which a model of tags would read; None
            if the files are surely others.
    """

    model: str
    predictor: Mapping[str, Any]
    settings: InputSettings
    table: InputTable
    target: str
    word_columns: WordColumns | None = None

    def load(self) -> "AnswerWorker":
        """Loads the model.

        Raises:
            UserError: see `Predictor`.
        """
        from bert_tf.export.predictor import Predictor

        return AnswerWorker(self, Predictor(self.model, **self.predictor))


class AnswerWorker:
    """Does the work; a `RowWorker` of which rows are those of `text_rows`.

    Args:
        work: what is done.
        predictor: the model.
    """

    def __init__(self, work: AnswerWork, predictor: "Predictor"):
        self._work, self._predictor = work, predictor
        self._columns = answer_files.model_columns(
            predictor.kind,
            predictor.input_names,
            work.settings.columns,
            predictor.has_label_sets,
        )

    @property
    def block_size(self) -> int:
        """The number of rows of a file that are answered together."""
        return self._predictor.items_at_once

    def rows(self, path: str) -> Iterator[Row]:
        """Yields the rows of a file.

        Raises:
            UserError: the file is not like the others, or a row is not an item
                that the model reads.
        """
        work = self._work
        file = work.settings.open(path)
        if file.is_empty:
            return
        reader = ItemReader(self._predictor, work.settings, work.table)
        source = work.settings.format_of(file, reader.columns)
        file.check_has_rows(source)
        check_holds_no_words(file, work.word_columns)
        for row, _ in reader.read(file, source):
            yield row

    def head(self, num_rows: int) -> bytes:
        """The header of a table, which comes before its first row.

        Args:
            num_rows: not used.
        """
        lines = io.StringIO()
        writer = self._writer(lines)
        writer.write_header(self._work.table.names)
        return lines.getvalue().encode()

    def _writer(
        self, lines: io.StringIO, names: Sequence[str] | None = None
    ) -> AnswerWriter:
        work = self._work
        return AnswerWriter(
            lines,
            work.target,
            self._columns,
            header=work.table.source.header,
            delimiter=work.table.source.csv_delimiter,
            names=names,
            with_lengths=work.predictor["with_lengths"],
        )

    def answers(self, rows: Sequence[Row], first: int) -> Iterator[Written]:
        """Yields the lines of rows.

        Args:
            rows: at most `block_size`.
            first: not used.

        Raises:
            UserError: the model does not answer one of them.
        """
        lines = io.StringIO()
        writer = self._writer(lines, self._work.table.names)
        try:
            answers = self._predictor.predict(map(self._columns.item_of, rows))
        except ValueError as error:
            raise at_its_row(error, rows) from None
        for row, answer in zip(rows, answers, strict=True):
            writer.write(row, answer)
            content = lines.getvalue().encode()
            lines.seek(0)
            lines.truncate()
            yield Written(content, answer.get("truncated"))


def settings_of_workers(
    predictor: "Predictor", settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings with which each worker answers, whatever machine it is on.

    Args:
        predictor: a model that was loaded here.
        settings: the arguments of its `Predictor`.

    Returns:
        Them, with the engine that "auto" has found here.
    """
    if settings["engine"] != "auto":
        return {**settings}
    return {
        **settings,
        "engine": predictor.engine,
        "max_batch_tokens": predictor.max_batch_tokens,
    }


def check_holds_no_words(file: InputFile, columns: WordColumns | None) -> None:
    """Checks that a file for a model of tags has no word in each row.

    Args:
        file: the file.
        columns: of its words; None if they are surely none.

    Raises:
        UserError: a sentence of the file would be several rows.
    """
    if columns is None or file.kind is not None:
        return
    if answer_words.starts_with_words(file.path, file.head, columns):
        raise UserError(
            f"{file.path}: a word in each row: `runner`=beam reads only files "
            f"with a text in each row: {READ_BY_ROWS}"
        )
