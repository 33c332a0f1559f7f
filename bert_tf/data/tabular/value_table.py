"""A table of texts, numbers, lists and nothing, whatever file it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_tf import suggestions
from bert_tf.data.tabular import cell_values
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

    def _read(
        self,
        kind: cell_values.Kind,
        name: str,
        setting: str,
        value: str | None,
        optional: bool,
    ) -> list[Any]:
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
        values = self._columns[name]
        return cell_values.converted(values, kind, name, self.place)
