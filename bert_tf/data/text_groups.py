"""Files of texts that belong together, from which vectors are learned.

    pairs      two texts that mean the same      anchor, positive
    triples    and one or more that do not       anchor, positive, negative
    scored     two texts, and how alike they are sentence1, sentence2, score
    labelled   a text and its label              text, label
    sentences  texts alone                       text, or a text in each line

Files are CSV, TSV, JSON objects, or lines of text. Which of these a file holds
is seen by its columns, unless the settings say it.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from bert_tf import files
from bert_tf.data.group_columns import (
    HEADER_NAMES,
    Columns,
    GroupSettings,
    find_columns,
)
from bert_tf.data.tabular import csv_files, text_rows
from bert_tf.data.tabular.table import RowWarnings, Table, is_empty, number
from bert_tf.data.tabular.value_table import ValueTable
from bert_tf.errors import UserError
from bert_tf.file_contents import Content
from bert_tf.file_formats import HEAD_BYTES, decoded_start


@dataclasses.dataclass(frozen=True)
class Group:
    """A row: texts, and their score or label.

    Attributes:
        texts: in the order of the columns.
        label: a score or a label; None without one.
        line: on which the row starts, from 1.
    """

    texts: tuple[str, ...]
    label: float | str | None
    line: int


class TextGroups(Sequence[Group]):
    """The rows of a file.

    Args:
        path: of the file.
        columns: the names of what follows.
        texts: the texts of each column, [T][N].
        labels: of each row: scores, labels, or None for no column of them.
        lines: on which the rows start.
    """

    def __init__(
        self,
        path: str,
        columns: Columns,
        texts: Sequence[Sequence[str]],
        labels: Sequence[float | str] | None,
        lines: Sequence[int],
    ):
        self.path, self.columns = path, columns
        self.texts, self.labels, self.lines = texts, labels, lines

    @property
    def kind(self) -> str:
        """One of `GROUP_KINDS`."""
        return self.columns.kind

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Group]:
        return map(self.__getitem__, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Group: ...

    @overload
    def __getitem__(self, index: slice) -> list[Group]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [*map(self.__getitem__, range(*index.indices(len(self))))]
        label = None if self.labels is None else self.labels[index]
        row = tuple(column[index] for column in self.texts)
        return Group(row, label, self.lines[index])

    @property
    def scores(self) -> np.ndarray:
        """float64 [N]: the scores of scored pairs."""
        return np.array(self.labels, np.float64)


def read_groups(path: str, settings: GroupSettings) -> TextGroups:
    """Reads a file.

    Rows with an empty text are left out, which is logged. Of sentences in
    several columns each is a row of its own.

    Args:
        path: of the file.
        settings: what it holds.

    Raises:
        UserError: a setting or the file cannot be used.
    """
    table = _read_table(path, settings)
    if not len(table):
        raise UserError(f"{path}: there are no rows")
    columns = find_columns(table.names, settings, path)
    setting = "text_columns" if settings.text_columns else ""
    texts = [
        [text or "" for text in table.texts(name, setting=setting)]
        for name in columns.texts
    ]
    empty = {
        i for texts_of in texts for i, t in enumerate(texts_of) if is_empty(t)
    }
    RowWarnings(table, settings.strict).report(
        sorted(empty),
        what="no text",
        where=f"`text_columns`={','.join(columns.texts)}",
        consequence="left out",
    )
    rows = [row for row in range(len(table)) if row not in empty]
    if not rows:
        raise UserError(f"{path}: no row has all its texts")
    if columns.kind == "sentences":
        return _sentences(path, columns, texts, rows, table)
    return TextGroups(
        path,
        columns,
        [[texts_of[row] for row in rows] for texts_of in texts],
        _labels(table, columns, rows),
        [table.line(row) for row in rows],
    )


def _sentences(path, columns, texts, rows, table) -> TextGroups:
    """Each text of all columns once, in the order of the rows."""
    lines: dict[str, int] = {}
    for row in rows:
        for texts_of in texts:
            lines.setdefault(texts_of[row], table.line(row))
    return TextGroups(path, columns, [[*lines]], None, [*lines.values()])


def _read_table(path: str, settings: GroupSettings) -> Table:
    """The rows of a file; lines of text are a table with the column `text`."""
    found = _format_of(path, settings)
    if found.name == "lines":
        rows = [*text_rows.read_rows(path, found)]
        rows = [row for row in rows if not is_empty(row.values[""])]
        return ValueTable(
            path,
            {"text": [row.values[""] for row in rows]},
            [row.line for row in rows],
        )
    return csv_files.read_table(
        path,
        found.name,
        delimiter=found.delimiter,
        encoding=settings.encoding,
        header=settings.header,
        strict=settings.strict,
        setting="input_format",
    )


def _format_of(path: str, settings: GroupSettings) -> text_rows.Format:
    if settings.input_format:
        return text_rows.Format(
            name=settings.input_format, delimiter=settings.delimiter
        )
    names = {*HEADER_NAMES, *(settings.text_columns or ())}
    with files.looking(path) as content:
        found = text_rows.detect_format(
            path,
            _head(content, settings.encoding),
            names,
            delimiter=settings.delimiter,
            kind=content.kind,
        )
    # A delimiter that is given is right, and that of TSV is not a setting.
    if settings.delimiter or found.name == "tsv":
        return dataclasses.replace(found, delimiter=settings.delimiter)
    return found


def _head(content: Content, encoding: str) -> str:
    head = content.reader.peek(HEAD_BYTES)[:HEAD_BYTES]
    return decoded_start(head, encoding) or ""


def _labels(
    table: Table, columns: Columns, rows: Sequence[int]
) -> list[float] | list[str] | None:
    """The scores or labels of some rows.

    Raises:
        UserError: a score is not a number, or a label is missing.
    """
    if columns.label is None:
        return None
    all_cells = table.texts(columns.label)
    cells = [all_cells[row] or "" for row in rows]
    if columns.kind == "labelled":
        for row, cell in zip(rows, cells, strict=True):
            if is_empty(cell):
                raise UserError(
                    f"{table.place(row)}: no label in the column "
                    f"{columns.label}; leave the row out"
                )
        return cells
    scores = []
    for row, cell in zip(rows, cells, strict=True):
        score = number(cell)
        if score is None:
            raise UserError(
                f"{table.place(row)}: the score {cell!r} in the column "
                f"{columns.label} is not a number"
            )
        scores.append(score)
    return scores
