"""A table of texts, numbers, lists and nothing, whatever file it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_tf import suggestions
from bert_tf.data.tabular import label_notation
from bert_tf.data.tabular.json_lines import (
    as_text,
    wrong_label,
    wrong_text,
    wrong_text_or_list,
)
from bert_tf.data.tabular.table import COLUMN_SYNONYMS, Table, listed
from bert_tf.errors import UserError


class ValueTable(Table):
    """A table of values by column.

    Args:
        path: of the file.
        columns: {name: the values of all rows}.
        lines: the line, or the row in the file, of each row.

    Attributes:
        class_names: {column: the names of its numbers}, where the file has
            them.
    """

    def __init__(
        self,
        path: str,
        columns: Mapping[str, Sequence[Any]],
        lines: Sequence[int],
    ):
        self.path, self.lines, self.names = path, lines, [*columns]
        self._columns = columns
        self.class_names: dict[str, list[str]] = {}

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields (line, {column: value}) of each row."""
        rows = zip(*self._columns.values(), strict=True)
        for line, row in zip(self.lines, rows, strict=True):
            yield line, dict(zip(self.names, row, strict=True))

    def texts(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[str | None]:
        return self._converted(name, setting, value, optional, wrong_text)

    def texts_or_lists(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[str | tuple[str, ...] | None]:
        return self._converted(
            name, setting, value, optional, wrong_text_or_list
        )

    def label_values(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[label_notation.Notation | None]:
        return self._converted(
            name,
            setting,
            value,
            optional,
            wrong_label,
            label_notation.from_json,
        )

    def _converted(
        self, name, setting, value, optional, wrong, convert=as_text
    ):
        name = name.strip()
        if name not in self._columns:
            if optional:
                return [None] * len(self)
            why = (
                f"{self.path} has no column {name}; it has {listed(self.names)}"
                + suggestions.hint(name, self.names, COLUMN_SYNONYMS)
            )
            if setting:
                raise UserError(why, setting=setting, value=value or name)
            raise UserError(why)
        texts = []
        for row, item in enumerate(self._columns[name]):
            if why := wrong(item):
                raise UserError(f'{self.place(row)}: "{name}" {why}')
            texts.append(convert(item))
        return texts
