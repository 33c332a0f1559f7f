"""The data of a call: rows in memory as files that the programs read.

    a pandas DataFrame, a data set of Hugging Face, {"text": [...], ...}
    [{"text": "hello", "label": "ham"}, ...]
    [("hello", "ham"), ...]              text and label
    [("a text", "its pair", "yes"), ...]     two texts and label
    "train.csv", pathlib.Path("train.jsonl")   a file, as it is

Rows become JSON lines in the folder `data` of the run, so that the run can be
repeated, continued and looked at as any other.
"""

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bert_tf import files
from bert_tf.data.squad.keys import canonical
from bert_tf.data.tabular import text_rows
from bert_tf.errors import UserError

FOLDER = "data"
COLUMNS = {2: ("text", "label"), 3: ("text", "text_pair", "label")}
# {task: the columns that only it has}, in the order in which they are tried.
_SIGNS: dict[str, tuple[set[str], ...]] = {
    "swag": ({"ending0"},),
    "relations": ({"e1"}, {"e2"}),
    "ner": (
        {"tokens", "words"},
        {"tags", "ner_tags", "pos_tags", "labels", "ner"},
    ),
}
_TASK_OF_ENDING = {
    **text_rows.ENDINGS,
    ".conll": "ner",
    ".bio": "ner",
    ".iob": "ner",
    ".conllu": "ner",
}
HEAD_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class RowSet:
    """One set of a call: a file of somebody, or rows that become one.

    Attributes:
        path: the file; "" for rows.
        lines: the rows as JSON; () for a file.
        columns: the names in the first row; () for a file.
    """

    path: str = ""
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Any, name: str) -> "RowSet":
        """Takes what somebody gives as data.

        Args:
            data: see above.
            name: of the argument, for messages.

        Raises:
            UserError: it is nothing of that.
        """
        if isinstance(data, str | os.PathLike):
            path = os.fspath(data)
            if not files.exists(path):
                raise UserError(
                    "no such file or folder", setting=name, value=path
                )
            return cls(path=path)
        rows = iter(_rows_of(data, name))
        first = next(rows, None)
        if first is None:
            raise UserError(f"{name}: there are no rows")
        lines = []
        for number, row in enumerate(itertools.chain([first], rows), start=1):
            try:
                lines.append(json.dumps(_plain(row), ensure_ascii=False))
            except TypeError as error:
                raise UserError(f"{name}: row {number}: {error}") from None
        return cls(lines=tuple(lines), columns=tuple(map(str, first)))

    def file_in(self, folder: str, name: str) -> str:
        """The set's file, which rows get in the run's folder.

        Args:
            folder: the run's.
            name: of the set: "train", "dev" or "test".
        """
        return self.path or os.path.join(folder, FOLDER, f"{name}.jsonl")

    @property
    def text(self) -> str:
        """The content of the file that the rows become."""
        return "".join(f"{line}\n" for line in self.lines)


def _rows_of(data: Any, name: str) -> Iterator[dict[str, Any]]:
    """The rows of data in memory, each with its columns' names."""
    if hasattr(data, "to_dicts"):  # polars
        data = data.to_dicts()
    elif hasattr(data, "iterrows"):  # pandas
        data = data.to_dict("records")
    elif isinstance(data, Mapping):
        columns = {str(key): list(values) for key, values in data.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise UserError(f"{name}: the columns have different lengths")
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))
        return
    if not isinstance(data, Iterable):
        raise UserError(
            f"{name}: must be rows or a file, not {type(data).__name__}"
        )
    for number, row in enumerate(data, start=1):
        yield _row_of(row, f"{name}: row {number}")


def _row_of(row: Any, place: str) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return {str(key): value for key, value in row.items()}
    is_list = isinstance(row, Sequence) and not isinstance(row, str | bytes)
    if is_list and len(row) in COLUMNS:
        return dict(zip(COLUMNS[len(row)], row, strict=True))
    raise UserError(
        f"{place}: must be a dict, (text, label) or (text, text_pair, label)"
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it: NumPy's as Python's, what is missing as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers.
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas' own.
        return None
    if isinstance(value, os.PathLike) or hasattr(value, "isoformat"):
        return str(value)
    raise TypeError(f"a value of {type(value).__name__} cannot be stored")


# ---------------------------------------------------------------------------
# The task.


def task_of(rows: RowSet) -> str:
    """The task that data looks like: a name of --task_name, or "squad"."""
    if not rows.path:
        return _task_of_columns(rows.columns)
    if files.is_folder(rows.path):
        raise UserError(
            f"{rows.path}: a folder; `task` must say whose files are in it"
        )
    name = files.uncompressed_name(rows.path).lower()
    if name.endswith(".json") and _holds_questions(rows.path):
        return "squad"
    return _TASK_OF_ENDING.get(os.path.splitext(name)[1], "csv")


def _task_of_columns(columns: Sequence[str]) -> str:
    names = set(columns)
    for task, needed in _SIGNS.items():
        if all(names & some for some in needed):
            return task
    found = canonical(tuple(columns))
    if {"question", "context", "answers"} <= set(found):
        return "squad"
    return "jsonl"


def _holds_questions(path: str) -> bool:
    """Whether the beginning of a file names SQuAD's lists."""
    with files.reading(path) as reader:
        head = reader.read(HEAD_BYTES)
    return b'"paragraphs"' in head or b'"qas"' in head
