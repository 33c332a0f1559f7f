"""Tables in Excel's, OpenDocument's, Parquet's and Arrow's files.

pandas reads spreadsheets, and pyarrow the others, where they are installed. A
cell is the text that its file shows: 1 stays "1", NA stays text, and a date is
written as 2024-03-01.
"""

import datetime
import decimal
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging

from bert_tf import files
from bert_tf.data.tabular.file_shape import cleaned_name
from bert_tf.data.tabular.table import Table, listed
from bert_tf.data.tabular.value_table import ValueTable
from bert_tf.errors import UserError
from bert_tf.file_contents import Content

# {kind: (pandas' engine, the packages that are needed)}.
ENGINES = {
    "xlsx": ("openpyxl", "pandas openpyxl"),
    "xls": ("xlrd", "pandas xlrd"),
    "ods": ("odf", "pandas odfpy"),
}
_INDEX = "__index_level_"  # Columns in which pandas keeps a table's index.


def read_table(content: Content, header: bool = True) -> Table:
    """Reads a file.

    Args:
        content: of a kind whose role is "table".
        header: whether a sheet's first row holds the columns' names; otherwise
            they are numbers from 1 on. Other files always have names.

    Returns:
        The table; the line of a row is its number in the sheet, or from 1 on.

    Raises:
        UserError: the file is damaged, or a package is missing that reads it.
    """
    assert content.kind is not None
    name, path = content.kind.name, content.path
    packages = "pyarrow"
    if content.kind.id in ENGINES:
        packages = ENGINES[content.kind.id][1]
    try:
        if content.kind.id in ENGINES:
            return _sheet(content, header)
        return _columns(content)
    except ImportError:
        raise UserError(
            f"{path}: {name}, which needs the package"
            f"{'s' if ' ' in packages else ''} {packages.replace(' ', ' and ')}"
            f" (pip install {packages}); or save it as CSV in UTF-8"
        ) from None
    except UserError:
        raise
    except Exception as error:  # Each library has its own.
        why = " ".join(files.reason(error).split())
        raise UserError(f"{path}: {name} that cannot be read: {why}") from None


# ---------------------------------------------------------------------------
# Spreadsheets.


def _sheet(content: Content, header: bool) -> Table:
    import pandas

    engine, _ = ENGINES[content.kind.id]  # type: ignore[union-attr]
    with pandas.ExcelFile(
        io.BytesIO(content.reader.read()), engine=engine
    ) as book:
        names = book.sheet_names
        frame = pandas.read_excel(
            book,
            sheet_name=names[0],
            header=None,
            dtype=object,
            keep_default_na=False,
            na_filter=False,
        )
    if len(names) > 1:
        logging.warning(
            "%s: only its first sheet, %r, is read; the others are %s",
            content.path,
            names[0],
            listed(names[1:]),
        )
    rows = [
        (number, [_shown(cell) for cell in row])
        for number, row in enumerate(
            frame.itertuples(index=False, name=None), start=1
        )
    ]
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        raise UserError(f"{content.path}: the sheet {names[0]!r} is empty")
    used = [i for i in range(len(rows[0][1])) if any(r[i] for _, r in rows)]
    rows = [(number, [cells[i] for i in used]) for number, cells in rows]
    titles = [str(i) for i in range(1, len(used) + 1)]
    if header:
        titles = [cleaned_name(cell) for cell in rows.pop(0)[1]]
        _check_titles(content.path, titles)
    columns = zip(*(cells for _, cells in rows), strict=True)
    found = [*columns] or [()] * len(titles)
    return ValueTable(
        content.path,
        dict(zip(titles, found, strict=True)),
        [number for number, _ in rows],
    )


def _check_titles(path, titles):
    twice = [name for name in titles if name and titles.count(name) > 1]
    if twice:
        raise UserError(
            f"{path} has {titles.count(twice[0])} columns {twice[0]}"
        )


def _shown(cell: Any) -> str:
    """The text of a cell."""
    if cell is None or cell != cell:  # NaN differs from itself.
        return ""
    if isinstance(cell, bool):
        return str(cell).upper()
    return str(_plain(cell))


def _plain(value: Any) -> Any:
    """A value as JSON has it, dates as text."""
    if isinstance(value, datetime.datetime):
        if value.time() == datetime.time():
            return value.date().isoformat()
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


# ---------------------------------------------------------------------------
# Parquet, Arrow, ORC.


def _columns(content: Content) -> Table:
    table = _arrow_table(content)
    names = [n for n in table.column_names if not n.startswith(_INDEX)]
    columns = {name: table.column(name).to_pylist() for name in names}
    for name, values in columns.items():
        first = next((v for v in values if v is not None), None)
        if not isinstance(first, str | int | float):
            columns[name] = [_plain(value) for value in values]
    found = ValueTable(
        content.path,
        {name.strip(): values for name, values in columns.items()},
        range(1, table.num_rows + 1),
    )
    found.class_names = _class_names(table.schema.metadata or {})
    return found


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """{column: names of its numbers}, as Hugging Face's datasets keep them."""
    try:
        info = json.loads(metadata.get(b"huggingface", b"{}"))
        features = info["info"]["features"].items()
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    names = {}
    for column, feature in features:
        while isinstance(feature, dict) and "names" not in feature:
            feature = feature.get("feature")
        if isinstance(feature, list) and len(feature) == 1:  # A list.
            feature = feature[0]
        if isinstance(feature, dict) and isinstance(feature.get("names"), list):
            names[column.strip()] = [*map(str, feature["names"])]
    return names


def read_objects(content: Content) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (row from 1 on, {column: value}) of a file with typed columns.

    Raises:
        UserError: see `read_table`.
    """
    table = read_table(content)
    assert isinstance(table, ValueTable)
    yield from table.objects()


def _arrow_table(content: Content) -> Any:
    import pyarrow

    kind = content.kind.id  # type: ignore[union-attr]
    source = pyarrow.BufferReader(content.reader.read())
    if kind == "parquet":
        from pyarrow import parquet

        return parquet.read_table(source)
    if kind == "orc":
        from pyarrow import orc

        return orc.read_table(source)
    if kind == "arrow_stream":
        return pyarrow.ipc.open_stream(source).read_all()
    from pyarrow import feather

    return feather.read_table(source)
