"""Rows of a file as a model's items, and its answers as rows of a file.

columns = model_columns(kind, input_names, …)
columns.item_of(row)             what `Predictor` takes
writer.write(row, answer)        the row's columns, then the answer's
"""

import csv
import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import IO, Any

import numpy as np

from bert_tf import suggestions
from bert_tf.choices import COLUMN_SETTINGS
from bert_tf.data.tabular.text_rows import Format, Row, free_name
from bert_tf.errors import UserError
from bert_tf.export.confidence import LABEL_SET
from bert_tf.export.kinds import KINDS, LENGTHS, TAGS, Answer, Input, Kind
from bert_tf.text.packing import split_pair


def _other(name: str) -> str:
    """The end of an error: how another column is chosen for an input."""
    setting = COLUMN_SETTINGS.get(name)
    return f"; `{setting}` chooses another column" if setting else ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelColumns:
    """The columns that hold a model's inputs.

    Attributes:
        kind: the kind of the model's answers.
        inputs: the inputs that the model has.
        columns: {input: column}; an input that is not named here is in the
            column of its own name.
        label_column: the column of the true label, if a file has it.
        has_label_sets: whether answers have sets of labels.
    """

    kind: Kind
    inputs: tuple[Input, ...]
    columns: Mapping[str, str]
    label_column: str = "label"
    has_label_sets: bool = False

    @property
    def answer_names(self) -> tuple[str, ...]:
        """The columns of an answer in a table."""
        names = self.kind.tsv_columns
        return (*names, LABEL_SET) if self.has_label_sets else names

    @property
    def names(self) -> list[str]:
        """The columns that a file should have."""
        names = [self.column(entry.name) for entry in self.inputs]
        return [*names, "sent1"] if self.list_name else names

    @property
    def list_name(self) -> str | None:
        """The input that is a list of strings, such as "endings"."""
        return next((e.name for e in self.inputs if e.is_list), None)

    def column(self, name: str) -> str:
        """The column of an input."""
        return self.columns.get(name, name)

    def item_of(self, row: Row) -> Any:
        """Returns a row as `Predictor` takes it.

        Raises:
            UserError: the row has no such item.
        """
        if [*row.values] == [""]:
            return self._item_of_line(row)
        values = dict(row.values)
        if words := self._words_of(values):
            return {"words": words}
        for entry in self.inputs:
            if self.column(entry.name) in row.values:
                values[entry.name] = row.values[self.column(entry.name)]
        if self.list_name and self.list_name not in values:
            values = _with_endings(values, self.list_name)
        try:
            values = dict(self.kind.to_inputs(values))
        except ValueError as error:
            raise UserError(f"{row.place}: {error}") from None
        for entry in self.inputs:
            if entry.name not in values and not entry.may_be_blank:
                raise self._missing(entry, row, row.place)
        # Other values, such as an id, are not for the model.
        return {e.name: values[e.name] for e in self.inputs if e.name in values}

    def _words_of(self, values: Mapping[str, Any]) -> list[str]:
        """The words of a row that has them in place of a text."""
        if self.kind is not TAGS or self.column("text") in values:
            return []
        found = [values.get("words"), values.get("tokens")]
        return next((words for words in found if isinstance(words, list)), [])

    def check_columns(self, row: Row) -> None:
        """Raises UserError if a table lacks a column of the model's."""
        for entry in self.inputs:
            column = self.column(entry.name)
            if column in row.values:
                continue
            if entry.is_list and "ending0" in row.values:
                continue
            if self.list_name and "sent1" in row.values:
                continue
            raise self._missing(entry, row, row.place.rpartition(":")[0])

    def _missing(self, entry: Input, row: Row, place: str) -> UserError:
        column = self.column(entry.name)
        return UserError(
            f"{place}: no column {column}, where the model's {entry.name} "
            f"should be; it has {', '.join(row.values)}"
            + (suggestions.hint(column, row.values) or _other(entry.name))
        )

    def _item_of_line(self, row: Row) -> str | tuple[str, str]:
        line = row.values[""]
        if len(self.inputs) == 1:
            return line
        if self.list_name:
            raise UserError(
                f"{row.place}: texts with {self.list_name} must be JSON "
                "objects, or columns of a table"
            )
        text, second = split_pair(line)
        names = [entry.name for entry in self.inputs]
        if line.strip() and second is None and not self.inputs[1].may_be_blank:
            raise UserError(
                f"{row.place}: no {names[1]}; a line must be "
                f"{names[0]} ||| {names[1]}"
            )
        # A single text is a pair with an empty second text.
        return (text, second or "")


def _with_endings(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Reads SWAG's columns: sent1, sent2 and ending0, ending1, …"""
    endings: list[str] = []
    while f"ending{len(endings)}" in values:
        endings.append(str(values[f"ending{len(endings)}"] or ""))
    if start := values.get("sent2"):
        endings = [f"{start} {ending}" if ending else "" for ending in endings]
    text = values.get("text", values.get("sent1"))
    return {**values, "text": text, name: endings}


def model_columns(
    kind_name: str,
    input_names: Collection[str],
    columns: Mapping[str, Any],
    has_label_sets: bool = False,
) -> ModelColumns:
    """Returns the columns of a model.

    Args:
        kind_name: the kind of its answers.
        input_names: the inputs that it has.
        columns: {input or "label": column}, as model.json has them; others are
            ignored.
        has_label_sets: whether its answers have sets of labels.
    """
    kind = KINDS[kind_name]
    inputs = tuple(e for e in kind.inputs if e.name in input_names)
    return ModelColumns(
        kind=kind,
        inputs=inputs,
        columns={
            e.name: columns[e.name] for e in inputs if columns.get(e.name)
        },
        label_column=columns.get("label") or "label",
        has_label_sets=has_label_sets,
    )


def at_its_row(
    error: ValueError, rows: Sequence[Row], first: int = 0
) -> ValueError:
    """The error of an item, with the place of its row.

    Args:
        error: of `Predictor`, such as "item 7: it is too long".
        rows: rows of items, in their order.
        first: the number of the first one's item.
    """
    found = re.match(r"item (\d+): (.*)", str(error), re.DOTALL)
    if not found or isinstance(error, UserError):
        return error
    return UserError(f"{rows[int(found[1]) - first].place}: {found[2]}")


# ---------------------------------------------------------------------------
# Answers.


def output_format(kind: Kind, wanted: str | None, source: Format) -> str:
    """Chooses the format of answers.

    Args:
        kind: the kind of the answers.
        wanted: one of `choices.OUTPUT_FORMATS`; None for that of the input,
            or JSON where an answer has lists.
        source: the format of the input.

    Raises:
        UserError: answers of this kind do not fit into cells.
    """
    if wanted in ("csv", "tsv") and not kind.tsv_columns:
        raise UserError(
            f"not for {kind.name}, whose answers are lists; use jsonl",
            setting="output_format",
            value=wanted,
        )
    if wanted:
        return wanted
    return source.name if source.has_columns and kind.tsv_columns else "jsonl"


class AnswerWriter:
    """Writes rows with their answers.

    Input columns keep their names, and the answer's columns have those of
    `ModelColumns.answer_names` and `LENGTHS`. Where both have the same name,
    the input's becomes `true_label` if it is the label, and `input_NAME`
    otherwise; it gets a number where the input has that name as well.

    Args:
        writer: where lines are written.
        format: one of `choices.OUTPUT_FORMATS`.
        columns: the model's columns.
        header: whether a table begins with the names of its columns.
        delimiter: the character between the cells of CSV.
        names: the columns of the input, of which a table's first row has been
            written elsewhere; None if it has not.
        with_lengths: whether answers have `LENGTHS`.
    """

    def __init__(
        self,
        writer: IO[str],
        format: str,
        columns: ModelColumns,
        header: bool = True,
        delimiter: str = ",",
        names: Sequence[str] | None = None,
        with_lengths: bool = False,
    ):
        self._writer = writer
        self._format = format
        self._columns = columns
        self._header = header
        self._names = None if names is None else list(names)
        self._answer_names = columns.answer_names
        if with_lengths:
            self._answer_names += LENGTHS
        self._csv = csv.writer(writer, delimiter=delimiter, lineterminator="\n")

    def write(self, row: Row, answer: Answer) -> None:
        """Writes one row."""
        values = self._source_values(row)
        if self._format == "jsonl":
            names = self._renamed(values, answer)
            named = dict(zip(names, values.values(), strict=True))
            self._writer.write(f"{_json({**named, **answer})}\n")
            return
        if self._names is None:
            self.write_header(self.names_of(row))
        cells = [values.get(name) for name in self._names or ()]
        self._write_cells([*cells, *(answer[n] for n in self._answer_names)])

    def names_of(self, row: Row) -> list[str]:
        """Returns the columns of the input that a row has."""
        return list(self._source_values(row))

    def write_header(self, names: Sequence[str]) -> None:
        """Writes what comes before the first row: a table's header.

        Args:
            names: the columns of the input, see `names_of`.
        """
        self._names = list(names)
        if self._header and self._format != "jsonl":
            renamed = self._renamed(names, self._answer_names)
            self._write_cells([*renamed, *self._answer_names])

    def _source_values(self, row: Row) -> Mapping[str, Any]:
        if [*row.values] != [""]:
            return row.values
        item = self._columns.item_of(row)
        texts = [item] if isinstance(item, str) else item
        names = [entry.name for entry in self._columns.inputs]
        return dict(zip(names, texts, strict=True))

    def _renamed(
        self, names: Collection[str], answer_names: Collection[str]
    ) -> list[str]:
        def renamed(name):
            label_column = self._columns.label_column
            new = "true_label" if name == label_column else f"input_{name}"
            return free_name(new, names)

        return [renamed(n) if n in answer_names else n for n in names]

    def _write_cells(self, values: Sequence[object]) -> None:
        cells = [_utf8(_cell(value)) for value in values]
        if self._format == "csv":
            self._csv.writerow(cells)
        else:
            line = "\t".join(" ".join(cell.split()) for cell in cells)
            self._writer.write(f"{line}\n")


def _json(value: dict[str, Any]) -> str:
    """A line of JSON; one that UTF-8 cannot encode has escapes."""
    text = json.dumps(value, ensure_ascii=False, default=np.ndarray.tolist)
    if _utf8(text) != text:
        return json.dumps(value, default=np.ndarray.tolist)
    return text


def _utf8(text: str) -> str:
    """The text, with "?" for half of a surrogate pair, as models read it."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ",".join(map(_cell, value))
    if isinstance(value, dict | bool):  # JSON objects have such values.
        return json.dumps(value, ensure_ascii=False)
    return str(value)
