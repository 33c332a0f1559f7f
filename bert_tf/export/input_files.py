"""A file of texts to answer: how it is written, and its rows as items.

    reader = ItemReader(predictor, InputSettings(columns={"text": "message"}))
    file, source = reader.first_file(["new.csv"])
    for row, item in reader.read(file, source): …

The tool predict reads its input so, on one machine and in a pipeline.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_tf import files
from bert_tf.data.squad.questions import question_rows
from bert_tf.data.tabular import file_shape, text_rows
from bert_tf.data.tabular.file_shape import Shape
from bert_tf.data.tabular.text_rows import Format, Row
from bert_tf.errors import UserError
from bert_tf.export.answer_files import ModelColumns, model_columns
from bert_tf.file_contents import Content, content_of, with_line_ends
from bert_tf.file_formats import HEAD_BYTES, Kind

if TYPE_CHECKING:
    from bert_tf.export.predictor import Predictor

STANDARD = "-"  # The name of standard input and output.
UTF_8 = "utf-8"
# What a pipeline reads, for messages.
READ_BY_ROWS = "CSV, TSV, JSON lines and lines of text"


class InputFile:
    """A file to answer, whose start is read before all of it.

    Standard input and pipes are opened once, because they can be read once.

    Args:
        path: of the file; `STANDARD` is standard input.
        encoding: of its text.

    Attributes:
        path: see above.
        is_stream: whether it can be read only once.
        kind: of an input that does not hold text.
        head: the first lines, with a mark for bytes of no text.
        shape: how it seems to be written, by its first lines.
    """

    def __init__(self, path: str, encoding: str = UTF_8):
        self.path = path
        self.is_stream = path == STANDARD or not files.is_regular(path)
        # None if it may be UTF-8.
        self._encoding = None if encoding == UTF_8 else encoding
        self._content = self._opened() if self.is_stream else None
        self.kind: Kind | None = None
        self.head = self._read_head()
        self.shape: Shape = file_shape.shape_of(self.head)

    def _opened(self) -> Content:
        stream = sys.stdin.buffer
        if self.path != STANDARD:
            stream = open(self.path, "rb")
        return content_of(stream, self.path, self._encoding)

    def _read_head(self) -> str:
        with self.reading(self.path) as content:
            self.kind = content.kind
            head = content.reader.peek(HEAD_BYTES)[:HEAD_BYTES]
            if not (self.kind and self.kind.role == "table"):
                content.check_text()
        text = head.decode("utf-8", "replace")
        return text + ("" if len(head) == HEAD_BYTES else "\n")

    @property
    def is_empty(self) -> bool:
        """Whether its start has no text."""
        return not self.head.strip()

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[Content]:
        """Gives the content, at the start.

        Args:
            path: of the file, as `text_rows.read_rows` passes it.
        """
        if self._content is not None:
            yield self._content
            return
        with files.looking(path, self._encoding) as content:
            yield content

    def num_rows(self, source: Format) -> int | None:
        """Counts the rows; None if they cannot be counted.

        Args:
            source: how the file is written.
        """
        if self.is_stream or self.kind or source.name == "csv":
            return None  # A cell of CSV may hold line ends.
        if source.name == "jsonl" and self.shape.name != "json_lines":
            return None
        with files.reading(self.path) as reader:
            number = sum(1 for _ in with_line_ends(reader))
        return number - (source.name == "tsv" and source.header)

    def check_has_rows(self, source: Format) -> None:
        """Checks that the file can be read row by row, whatever its size.

        Args:
            source: how the file is written.

        Raises:
            UserError: it is held in memory while it is read.
        """
        what = ""
        if self.kind is not None and self.kind.role == "table":
            what = self.kind.name
        elif self.shape.name == "fasttext":
            what = "fastText's lines"
        elif source.name == "jsonl" and self.shape.name == "json_object":
            what = (
                "" if self._has_an_object_on_its_line() else "one JSON object"
            )
        if what:
            raise UserError(
                f"{self.path}: {what}: `runner`=beam reads only files row by "
                f"row: {READ_BY_ROWS}"
            )

    def _has_an_object_on_its_line(self) -> bool:
        """Whether the first line, however long, is a JSON object."""
        with self.reading(self.path) as content:
            lines = files.decode_lines(content.reader, self.path)
            first = next((line for _, line in lines if line.strip()), "")
        try:
            return isinstance(json.loads(first), dict)
        except (ValueError, RecursionError):
            return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSettings:
    """How files are written, as far as it is known.

    Attributes:
        format: one of `choices.INPUT_FORMATS`; None for what a file shows.
        delimiter: the character between cells; None for what a file shows.
        encoding: of the files; `UTF_8` for what a file shows.
        columns: the columns that the model was trained on, and how their files
            were written: {name: value}, the names being those of
            `choices.COLUMN_SETTINGS`.
    """

    format: str | None = None
    delimiter: str | None = None
    encoding: str = UTF_8
    columns: Mapping[str, Any]

    def open(self, path: str) -> InputFile:
        """The file of a path."""
        return InputFile(path, self.encoding)

    def format_of(self, file: InputFile, columns: ModelColumns) -> Format:
        """How a file is written.

        Args:
            file: the file.
            columns: the model's columns.
        """
        delimiter = self.columns.get("delimiter")
        settings = {
            name: self.columns[name]
            for name in ("header", "encoding")
            if name in self.columns
        }
        lines = Format(name="lines", encoding=self.encoding)
        if self.format == lines.name:
            return lines
        if self.format:
            return Format(name=self.format, delimiter=delimiter, **settings)
        found = text_rows.detect_format(
            file.path,
            file.head,
            columns.names,
            delimiter=self.delimiter,
            kind=file.kind,
        )
        if not found.has_columns:
            return lines if found.name == lines.name else found
        if file.kind is not None and file.kind.role == "table":
            header = settings.get("header", True)
            return Format(name=found.name, header=header)
        return Format(
            name=found.name, delimiter=found.delimiter or delimiter, **settings
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputTable:
    """What several files to answer have in common, as the first one shows it.

    Attributes:
        path: of the first file that has a row.
        source: how it is written.
        names: its columns.
    """

    path: str
    source: Format
    names: tuple[str, ...]

    def check_format(self, path: str, source: Format) -> None:
        """Checks that another file is written in the same way.

        Args:
            path: of the file.
            source: how it is written.

        Raises:
            UserError: it has another format.
        """
        if source.name != self.source.name:
            raise UserError(
                f"{path}: read as {source.name}, but {self.path} as "
                f"{self.source.name}; files that are answered together must "
                "have one format"
            )

    def check_columns(self, row: Row) -> None:
        """Checks that another file has the same columns, in any order.

        Args:
            row: its first row.

        Raises:
            UserError: it has others; JSON objects may.
        """
        if self.source.has_columns and {*row.values} != {*self.names}:
            raise UserError(
                f"{row.place.rpartition(':')[0]}: the columns are "
                f"{', '.join(row.values)}, but those of {self.path} are "
                f"{', '.join(self.names)}"
            )


class ItemReader:
    """Reads files as the items of a model.

    Args:
        predictor: the model.
        settings: how the files are written, as far as it is known.
        table: what the files have in common; None to find it out.

    Attributes:
        predictor, settings: see above.
        columns: the model's columns.
        table: see above; None before the first row.
    """

    def __init__(
        self,
        predictor: "Predictor",
        settings: InputSettings,
        table: InputTable | None = None,
    ):
        self.predictor = predictor
        self.settings = settings
        self.table = table
        self.columns: ModelColumns = model_columns(
            predictor.kind,
            predictor.input_names,
            settings.columns,
            predictor.has_label_sets,
        )

    def first_file(self, paths: Sequence[str]) -> tuple[InputFile, Format]:
        """The first file that is not empty, and how it is written.

        Args:
            paths: the files, at least one.

        Returns:
            (file, format); those of the last file if all are empty.
        """
        for path in paths:
            file = self.settings.open(path)
            if not file.is_empty:
                break
        return file, self.settings.format_of(file, self.columns)

    def files(
        self, paths: Sequence[str], first: InputFile, source: Format
    ) -> Iterator[tuple[InputFile, Format]]:
        """Yields the files that are not empty, and how each is written.

        Args:
            paths: all files.
            first, source: of `first_file`; it is among them in any case.
        """
        for path in paths:
            if path == first.path:
                yield first, source
                continue
            file = self.settings.open(path)
            if not file.is_empty:
                yield file, self.settings.format_of(file, self.columns)

    def read(
        self, file: InputFile, source: Format
    ) -> Iterator[tuple[Row, object]]:
        """Yields the rows of a file, each with the item that it is.

        Args:
            file: the file.
            source: how it is written.

        Raises:
            UserError: a row is not an item that the model reads; the message
                has its line. Or the file is not like those before.
        """
        if self.table is not None:
            self.table.check_format(file.path, source)
        for place, row in enumerate(self._rows(file, source)):
            if not place and source.has_columns:
                self.columns.check_columns(row)
            if self.table is None:
                names = (*row.values,)
                self.table = InputTable(
                    path=file.path, source=source, names=names
                )
            if not place:
                self.table.check_columns(row)
            item = self.columns.item_of(row)
            try:
                self.predictor.check(item)
            except ValueError as error:
                raise UserError(f"{row.place}: {error}") from None
            yield row, item

    def _rows(self, file: InputFile, source: Format) -> Iterator[Row]:
        rows = text_rows.read_rows(
            file.path, source, file.reading, self.columns.names
        )
        if self.predictor.kind == "question_answering":
            return question_rows(rows)
        return rows
