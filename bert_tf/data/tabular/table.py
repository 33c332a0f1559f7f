"""A table of texts, whatever file it comes from, and warnings about its rows.

    table.names              ["text", "label"]
    table.texts("label")     ["ham", "spam"]
    table.line(1)            3

`csv_files.read_table` reads one.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import logging

from bert_tf.counts import counted
from bert_tf.data.tabular import cell_values
from bert_tf.errors import UserError

# Other names of columns. An error suggests one that the file has.
COLUMN_SYNONYMS = {
    "text": tuple(
        "message sentence review body content tweet comment description "
        "sentence1 question text_a premise".split()
    ),
    "label": tuple(
        "category class target sentiment labels tag rating stars score "
        "intent".split()
    ),
}
NUM_NAMES_SHOWN = 20  # Names that an error lists at most.
MAX_NAME = 60  # Characters of a name; a text in its place may be a page long.


class Table:
    """A file's rows, by column, without the header.

    Attributes:
        path: of the file.
        names: of its columns; of JSON objects all keys that occur.
        lines: the line on which each row starts, from 1.
    """

    path: str
    names: list[str]
    lines: Sequence[int]

    def __len__(self):
        return len(self.lines)

    def line(self, row: int) -> int:
        """The line on which a row starts, from 1."""
        return self.lines[row]

    def place(self, row: int) -> str:
        """ "path:line" of a row."""
        return f"{self.path}:{self.line(row)}"

    def texts(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[str | None]:
        """The cells of a column.

        Args:
            name: of the column.
            setting: name of the setting that names the column, for errors.
            value: of this setting, where it is more than `name`.
            optional: missing cells, or a missing column, are None.

        Returns:
            A text for each row. JSON's numbers are written out, and null is
            None.

        Raises:
            UserError: the table has no column of that name, or two; a JSON
                object lacks it, or has neither text nor number there.
        """
        return self._read(cell_values.TEXT, name, setting, value, optional)

    def texts_or_lists(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[str | tuple[str, ...] | None]:
        """Like `texts`; a list in JSON becomes a tuple of texts."""
        kind = cell_values.TEXT_OR_LIST
        return self._read(kind, name, setting, value, optional)

    def label_values(
        self,
        name: str,
        *,
        setting: str = "",
        value: str | None = None,
        optional: bool = False,
    ) -> list[Any]:
        """Like `texts_or_lists`; an object in JSON is read, too.

        See `label_notation.from_json`.
        """
        return self._read(cell_values.LABEL, name, setting, value, optional)

    def _read(
        self,
        kind: cell_values.Kind,
        name: str,
        setting: str,
        value: str | None,
        optional: bool,
    ) -> list[Any]:
        """The cells of a column, as `texts` describes them, of any kind."""
        raise NotImplementedError


def ids_of(
    table: Table, id_column: str | None, is_needed: bool
) -> list[str] | None:
    """The ids of a table's rows; "" where one has none.

    Args:
        table: the table.
        id_column: the setting; None where ids are not asked for.
        is_needed: whether the table must have the column, see
            `splits.needs_ids`.

    Returns:
        The ids, or None without a column.

    Raises:
        UserError: a column that is needed is missing.
    """
    if not id_column:
        return None
    if not is_needed and id_column not in table.names:
        logging.info(
            "%s has no column %s for ids, which only a test file needs",
            table.path,
            id_column,
        )
        return None
    ids = table.texts(id_column, setting="id_column", optional=not is_needed)
    return [one or "" for one in ids]


class RowWarnings:
    """Counts odd rows of a table in the log, or makes an error of the first.

    Args:
        table: the table.
        strict: whether an odd row is an error.
    """

    def __init__(self, table: Table, strict: bool):
        self._table, self._strict = table, strict

    def report(
        self, rows: Sequence[int], *, what: str, where: str, consequence: str
    ) -> None:
        """Logs one warning for all the rows, or raises the error.

        Args:
            rows: their numbers.
            what: what is odd about them, such as "no text".
            where: the column, or the setting that names it.
            consequence: what is done with them.

        Raises:
            UserError: there is such a row, under `strict`.
        """
        if not rows:
            return
        if self._strict:
            place = self._table.place(rows[0])
            raise UserError(f"{place}: {what} in {where}, under `strict`")
        logging.warning(
            "%s: %s %s (row of line %s first): %s",
            self._table.path,
            counted(len(rows), len(self._table), "row"),
            what,
            self._table.line(rows[0]),
            consequence,
        )


def listed(names: Sequence[str]) -> str:
    """Names for an error: the first ones, and the beginnings of long ones."""
    shown = ", ".join(
        textwrap.shorten(name, MAX_NAME, placeholder="…")
        if len(name) > MAX_NAME
        else name
        for name in map(str, names[:NUM_NAMES_SHOWN])
    )
    return shown + (", …" if len(names) > NUM_NAMES_SHOWN else "")


# NumPy and pandas write these where a value is missing.
MISSING = ("NaN", "nan")


def is_empty(text: str | None) -> bool:
    """Whether a cell holds nothing: white space, or a missing value's mark."""
    return not text or text.isspace() or text in MISSING


def number(text: str) -> float | None:
    """The finite number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    # Python also reads 1_000, which is a name rather than a number.
    return value if math.isfinite(value) and "_" not in text else None
