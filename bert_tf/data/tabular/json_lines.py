"""Files of JSON objects, read as a table.

    {"text": "hello", "label": "ham"}
    {"text": "win now!", "label": "spam"}

The keys are the columns. `csv_files.read_table` reads all formats.
"""

import array
from collections.abc import Iterable
from typing import Any

from bert_tf import suggestions
from bert_tf.data.tabular import label_notation
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

    def texts(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[str | None]:
        return self._converted(name, optional, wrong_text)

    def texts_or_lists(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[str | tuple[str, ...] | None]:
        return self._converted(name, optional, wrong_text_or_list)

    def label_values(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[label_notation.Notation | None]:
        return self._converted(
            name, optional, wrong_label, label_notation.from_json
        )

    def _converted(self, name, optional, wrong, convert=None):
        texts = []
        for row, item in enumerate(self._objects):
            is_open = isinstance(item, TaskRow) and name in self.names
            if name not in item and not (optional or is_open):
                raise UserError(
                    f'{self.place(row)}: no "{name}"; the keys are '
                    f"{listed(list(item))}"
                    + suggestions.hint(name, item, COLUMN_SYNONYMS)
                )
            value = item.get(name)
            if why := wrong(value):
                raise UserError(f'{self.place(row)}: "{name}" {why}')
            texts.append((convert or as_text)(value))
        return texts


def wrong_label(value):
    """Says why a value cannot be a label, or several; "" where it can."""
    if not isinstance(value, list | dict):
        return wrong_text(value)
    try:
        label_notation.from_json(value)
    except UnicodeEncodeError as error:
        return wrong_text(error.object)
    except ValueError as error:
        return str(error)
    return ""


def wrong_text(value, allowed="text, a number or null"):
    """Says why a value cannot be a text; "" where it can."""
    if not isinstance(value, str):
        is_known = value is None or isinstance(value, int | float)
        return "" if is_known else f"must be {allowed}"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "has half a surrogate pair, such as \\ud800 alone: not in UTF-8"
    return ""


def wrong_text_or_list(value):
    if not isinstance(value, list):
        return wrong_text(value, "text, a list or null")
    allowed = "a list of texts or numbers"
    reasons = (wrong_text(item, allowed) for item in value)
    return next(filter(None, reasons), "")


def as_text(value):
    if isinstance(value, list):
        return tuple(as_text(item) or "" for item in value)
    if value is None or value != value:  # NaN differs from itself.
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
