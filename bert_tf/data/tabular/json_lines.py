"""Files of JSON objects, read as a table.

    {"text": "hello", "label": "ham"}
    {"text": "win now!", "label": "spam"}

The keys are the columns. `csv_files.read_table` reads all formats.
"""

import array
from collections.abc import Iterable
from typing import Any

from bert_tf import suggestions
from bert_tf.data.tabular import cell_values
from bert_tf.data.tabular.annotation_tasks import TaskRow, rows_of_tasks
from bert_tf.data.tabular.json_objects import read_objects
from bert_tf.data.tabular.table import COLUMN_SYNONYMS, Table, listed
from bert_tf.errors import UserError


class ObjectTable(Table):
    """The JSON objects of a file.

    Args:
        path: of the file.
        objects: its objects with their lines; None reads the file.
    """

    def __init__(
        self,
        path: str,
        objects: Iterable[tuple[int, dict[str, Any]]] | None = None,
    ):
        self.path = path
        self.lines, self._objects, names = array.array("q"), [], {}
        for line, value in rows_of_tasks(path, objects or read_objects(path)):
            self.lines.append(line)
            self._objects.append(value)
            names.update(dict.fromkeys(value))
        self.names = list(names)

    def _read(
        self,
        kind: cell_values.Kind,
        name: str,
        setting: str,
        value: str | None,
        optional: bool,
    ) -> list[Any]:
        values = self._values(name, optional)
        return cell_values.converted(values, kind, name, self.place)

    def _values(self, name, optional):
        for row, item in enumerate(self._objects):
            is_open = isinstance(item, TaskRow) and name in self.names
            if name not in item and not (optional or is_open):
                raise UserError(
                    f'{self.place(row)}: no "{name}"; the keys are '
                    f"{listed(list(item))}"
                    + suggestions.hint(name, item, COLUMN_SYNONYMS)
                )
            yield item.get(name)
