"""Your own files as labelled texts: CSV, TSV, and JSON objects line by line.

    text,label                        {"text": "hello", "label": "ham"}
    hello,ham                         {"text": "win now!", "label": "spam"}
    "win, now!",spam

`TableSettings` says which column is what, `read_sets` gives a `TableSet` for
training, development and test. What looks like a mistake is an error that
names the flag, or the file and its line; what is merely odd is counted and
logged once.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np
from absl import logging

from bert_tf.data import splits, tabular
from bert_tf.data.features import InputExample
from bert_tf.errors import UserError

PROBLEM_TYPES = ("single_label", "multi_label", "regression")

_BOOLEANS = {
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false"), False),
}


@dataclasses.dataclass(frozen=True)
class TableSettings(splits.FileSettings):
    """What stands in the files, named as the flags.

    Attributes:
        text_column: column of the text.
        text_pair_column: column of the second text of a pair, or None.
        label_column: column of the label; for multi_label also several ones,
            separated by commas, whose cells are 0 or 1.
        id_column: column of an id for each row, or None.
        header, delimiter, encoding: see `cells.read_table`.
        problem_type: one of `PROBLEM_TYPES`.
        label_delimiter: what separates the labels in a cell of multi_label.
    """

    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    id_column: str | None = None
    header: bool = True
    delimiter: str | None = None
    encoding: str = "utf-8"
    problem_type: str = "single_label"
    label_delimiter: str = ","


@dataclasses.dataclass
class _Columns:
    """The columns of some rows, as lists of equal length.

    Attributes:
        rows: numbers of the rows in their file, from 0, the header not
            counted.
        texts, pairs, ids: texts; None for a column that was not asked for.
        labels: as in `InputExample`.
    """

    rows: list
    texts: list
    labels: list
    pairs: list | None = None
    ids: list | None = None

    def pick(self, indices) -> "_Columns":
        columns = vars(self).items()
        return _Columns(
            **{k: v and [v[i] for i in indices] for k, v in columns}
        )


class TableSet:
    """The examples of one set: `InputExample`s, made when they are asked for.

    `read_sets` makes it.

    Attributes:
        set_type: "train", "dev" or "test".
        path: of the file.
        file_labels: the labels of the whole file, of which the set may be a
            part.
        label_columns: their names, where each label has a column; else None.
    """

    def __init__(
        self,
        set_type: str,
        path: str,
        lines: tabular.Lines,
        columns: _Columns,
        file_labels: list | None = None,
        label_columns: list | None = None,
    ):
        self.set_type, self.path = set_type, path
        self._lines, self._columns = lines, columns
        self.file_labels = file_labels or columns.labels
        self.label_columns = label_columns

    def __len__(self):
        return len(self._columns.rows)

    def __iter__(self):
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        columns = self._columns
        guid = columns.ids and " ".join(columns.ids[index].split())
        return InputExample(
            guid or f"{self.set_type}-{columns.rows[index]}",
            columns.texts[index],
            columns.pairs and columns.pairs[index],
            columns.labels[index],
        )

    @property
    def labels(self) -> list:
        """The label of each example."""
        return list(self._columns.labels)

    def place(self, index: int) -> str:
        """ "path:line" of an example; the first call reads the file again."""
        return f"{self.path}:{self._lines.of(self._columns.rows[index])}"

    def pick(self, set_type: str, indices) -> "TableSet":
        """Some of the examples, as those of another set."""
        return self._with(self._columns.pick(indices), set_type)

    def with_labels(self, labels: list) -> "TableSet":
        """The same examples with other labels."""
        columns = dataclasses.replace(self._columns, labels=labels)
        return self._with(columns, self.set_type)

    def _with(self, columns, set_type):
        return TableSet(
            set_type,
            self.path,
            self._lines,
            columns,
            self.file_labels,
            self.label_columns,
        )


def read_sets(settings: TableSettings, format: str, sets) -> dict:
    """Reads the sets that are asked for.

    Args:
        settings: the files and their columns.
        format: "csv", "tsv" or "jsonl".
        sets: some of "train", "dev" and "test".

    Returns:
        {set: `TableSet`}. Rows of training files without a text, and those of
        training and development files without a label, are left out.

    Raises:
        UserError: a setting or a file cannot be used.
    """
    _check_settings(settings)
    return splits.read_sets(
        settings,
        sets,
        read=functools.partial(_read, settings, format),
        pick=TableSet.pick,
        label_of=lambda example: example.label,
    )


def infer_labels(train: TableSet, problem_type: str) -> list:
    """The labels of a training file, in the order of the model's outputs.

    Those of the whole file, also where a part of it is another set.

    Args:
        train: a set of single_label or multi_label.
        problem_type: which of both.

    Returns:
        Each label once; numbers by value, other texts in alphabetical order,
        those that have a column each in the order of the columns.

    Raises:
        UserError: a set of multi_label has fewer than two.
    """
    labels = train.file_labels
    if problem_type == "multi_label":
        labels = itertools.chain.from_iterable(labels)
    found = sorted(set(labels))
    if train.label_columns:
        missing = [name for name in train.label_columns if name not in found]
        if missing:
            logging.warning(
                "%s: no row has the label %s",
                train.path,
                tabular.listed(missing),
            )
        found = train.label_columns
    if problem_type == "multi_label" and len(found) < 2:
        raise UserError(
            f"{train.path}: --problem_type=multi_label needs at least two "
            f"labels, found only {found[0]!r}; with one, take single_label"
        )
    numbers = [tabular.number(label) for label in found]
    if None in numbers or train.label_columns:
        return found
    return [label for _, label in sorted(zip(numbers, found, strict=True))]


def mean_and_deviation(train: TableSet, settings: TableSettings) -> dict:
    """{"mean", "deviation"} of the numbers of a training set.

    Raises:
        UserError: they are all the same, or too large to be squared.
    """
    numbers = np.array(train.labels, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(numbers.mean()), float(numbers.std())
    if not 0 < deviation < math.inf:
        why = "too large" if deviation else f"all {mean}"
        raise UserError(
            f"{train.path}: the {len(train)} numbers to train on in "
            f"--label_column={settings.label_column} are {why}: there is "
            "nothing to learn"
        )
    return {"mean": mean, "deviation": deviation}


def check_labels(
    table: TableSet, labels: list, set_type: str, strict: bool
) -> TableSet:
    """Compares a set's labels with those of training.

    Args:
        table: a set of single_label or multi_label.
        labels: the labels of training.
        set_type: in a "test" set other labels count as unknown.
        strict: not even there.

    Returns:
        The set, its unknown labels None.

    Raises:
        UserError: a label was not in training.
    """
    known = set(labels)
    wrong = [
        (index, other)
        for index, label in enumerate(table.labels)
        if label is not None and (other := _unknown(label, known)) is not None
    ]
    if not wrong:
        return table
    index, label = wrong[0]
    if strict or set_type != "test":
        raise UserError(
            f"{table.place(index)}: label {label!r} was not in training, "
            f"which had {tabular.listed(labels)}"
        )
    logging.warning(
        "%s: %s a label that was not in training (%r in line %s first): it "
        "counts as unknown",
        table.path,
        tabular.counted(len(wrong), len(table)),
        label,
        table.place(index).rpartition(":")[2],
    )
    found = table.labels
    for index, _ in wrong:
        found[index] = None
    return table.with_labels(found)


def _unknown(label, known):
    """The first of an example's labels that is not known, or None."""
    several = label if isinstance(label, tuple) else (label,)
    return next((one for one in several if one not in known), None)


def _check_settings(settings):
    if settings.problem_type not in PROBLEM_TYPES:
        raise UserError(
            f"--problem_type={settings.problem_type}: must be one of "
            f"{', '.join(PROBLEM_TYPES)}"
        )
    if not settings.label_delimiter:
        raise UserError("--label_delimiter=: must not be empty")
    if settings.label_column == settings.text_column:
        raise UserError(
            f"--label_column={settings.label_column}: this is the --text_column"
        )


# ---------------------------------------------------------------------------
# From a file's columns to examples.


def _read(settings, format, path, set_type) -> TableSet:
    """The examples of a file."""
    table = tabular.read_table(
        path, format, settings.delimiter, settings.encoding, settings.header
    )
    columns = _columns(table, format, settings, set_type)
    if not columns.rows:
        raise UserError(f"{path}: no examples in this file")
    _check_no_numbers(columns.texts, "text_column", settings)
    _check_no_numbers(columns.pairs, "text_pair_column", settings)
    odd_rows = tabular.OddRows(table, settings.strict)
    left_out = _without_text(columns.texts, set_type, settings, odd_rows)
    if columns.pairs:
        _report_single_texts(columns, settings, odd_rows)
    columns.labels = _converted(
        columns.labels, set_type, settings, table, odd_rows
    )
    is_several = settings.problem_type == "multi_label"
    if set_type == "test" and is_several and not any(columns.labels):
        # A column of empty cells says nothing, not that no label holds.
        columns.labels = [None] * len(table)
    left_out += _without_label(columns.labels, set_type, settings, odd_rows)
    if left_out:
        columns = columns.pick(sorted({*columns.rows}.difference(left_out)))
    if not columns.rows:
        raise UserError(f"{path}: no row has a text and a label")
    names = _label_columns(settings, table.names)
    found = TableSet(
        set_type,
        path,
        table.lines,
        columns,
        label_columns=names if len(names) > 1 else None,
    )
    if set_type == "train":
        _check_varied(found, settings)
    return found


def _columns(table, format, settings, set_type) -> _Columns:
    def texts(flag):
        name = getattr(settings, flag)
        if not name:
            return None
        return [text or "" for text in table.texts(name, f"--{flag}={name}")]

    return _Columns(
        list(range(len(table))),
        texts("text_column"),
        _label_cells(table, format, settings, set_type),
        texts("text_pair_column"),
        texts("id_column"),
    )


def _label_cells(table, format, settings, set_type):
    """The content of one label column, or `_Marks` of several, by row."""
    names = _label_columns(settings, table.names)
    # An object may lack what others have; a file with one of two columns is
    # a mistake.
    is_optional = set_type == "test" and (
        format == "jsonl" or not {*names} & {*table.names}
    )
    is_list = settings.problem_type == "multi_label" and len(names) == 1
    read = table.texts_or_lists if is_list else table.texts
    given = f"--label_column={settings.label_column}"
    columns = [read(name, given, is_optional) for name in names]
    if len(columns) == 1:
        return columns[0]
    rows = zip(*columns, strict=True)
    return [_Marks(zip(names, row, strict=True)) for row in rows]


def _label_columns(settings, names):
    """Names of one label column, or of several."""
    name = settings.label_column
    is_one = settings.problem_type != "multi_label" or name in names
    return [name] if is_one else [part.strip() for part in name.split(",")]


def _without_text(texts, set_type, settings, odd_rows):
    """Rows to leave out as they have no text; others get a prediction."""
    is_train = set_type == "train"
    rows = [row for row, text in enumerate(texts) if tabular.is_empty(text)]
    odd_rows.report(
        rows,
        "no text",
        f"--text_column={settings.text_column}",
        "left out" if is_train else "kept, to be predicted",
    )
    return rows if is_train else []


def _report_single_texts(columns, settings, odd_rows):
    odd_rows.report(
        [r for r, text in enumerate(columns.pairs) if tabular.is_empty(text)],
        "no second text",
        f"--text_pair_column={settings.text_pair_column}",
        "read as single texts",
    )


def _without_label(labels, set_type, settings, odd_rows):
    """Rows to leave out as nothing can be learned or measured with them."""
    if set_type == "test":
        return []
    rows = [row for row, label in enumerate(labels) if label is None]
    where = f"--label_column={settings.label_column}"
    odd_rows.report(rows, "no label", where, "left out")
    return rows


def _check_no_numbers(texts, name, settings):
    """An id, a label or a rating is easily taken for the text."""
    words = [text for text in texts or () if text]
    # The first text that is one ends the search.
    if not words or any(tabular.number(text) is None for text in words):
        return
    wrong = (
        f"--{name}={getattr(settings, name)}: all values are numbers; is this "
        "the text?"
    )
    if settings.strict:
        raise UserError(wrong)
    logging.warning("%s", wrong)


def _converted(values, set_type, settings, table, odd_rows):
    """The labels; one that is no number is unknown in a test set."""
    convert = _converter(settings, set_type)
    known, labels, wrong = {}, [], []
    for row, value in enumerate(values):
        if value not in known:
            try:
                known[value] = convert(value)
            except ValueError as error:
                if set_type != "test" or not isinstance(error, _NoNumber):
                    raise UserError(f"{table.place(row)}: {error}") from None
                known[value] = error
        label = known[value]
        if isinstance(label, _NoNumber):
            wrong.append(row)
            label = None
        labels.append(label)
    where = f"--label_column={settings.label_column}"
    odd_rows.report(wrong, "a label that is no number", where, "unknown")
    return labels


class _NoNumber(ValueError):
    """A label of regression that is none."""


def _converter(settings, set_type):
    """Function from the content of a cell to a label; None: there is none."""
    if settings.problem_type == "single_label":
        return lambda text: None if tabular.is_empty(text) else _collapsed(text)
    if settings.problem_type == "regression":
        return functools.partial(_to_number, settings)
    delimiter = tabular.unescaped(settings.label_delimiter)
    return functools.partial(_to_labels, settings, delimiter, set_type)


def _collapsed(text):
    return " ".join(text.split())


def _to_number(settings, text):
    if tabular.is_empty(text):
        return None
    number = tabular.number(text)
    if number is None:
        raise _NoNumber(
            f"label {text!r} in --label_column={settings.label_column} is no "
            "finite number"
        )
    return number


def _to_labels(settings, delimiter, set_type, value):
    """Labels of a cell, a JSON list, or of several cells of 0 and 1."""
    if value is None:
        return None if set_type == "test" else ()
    if isinstance(value, _Marks):
        return value.labels(settings, set_type)
    parts = value
    if isinstance(value, str):
        parts = [] if tabular.is_empty(value) else value.split(delimiter)
    # A dict keeps the order, and each label once.
    labels = tuple(dict.fromkeys(filter(None, map(_collapsed, parts))))
    _check_delimiter(labels, settings)
    return labels


def _check_delimiter(labels, settings):
    """Raises ValueError for what could not be read again from predictions."""
    for label in labels:
        if tabular.unescaped(settings.label_delimiter) in label:
            raise ValueError(
                f"label {label!r} has --label_delimiter="
                f"{settings.label_delimiter} in it; name another delimiter"
            )


class _Marks(tuple):
    """(column, cell) of a row for each of several label columns."""

    __slots__ = ()

    def labels(self, settings, set_type):
        marks = [(name, (cell or "").strip()) for name, cell in self]
        if set_type == "test" and not all(cell for _, cell in marks):
            return None
        for name, cell in marks:
            if cell.lower() not in _BOOLEANS:
                raise ValueError(
                    f"{cell!r} in column {name} of --label_column="
                    f"{settings.label_column}: must be 0 or 1"
                )
        return tuple(name for name, cell in marks if _BOOLEANS[cell.lower()])


def _check_varied(train, settings):
    """Raises UserError where every example has the same label."""
    labels = train.labels
    if isinstance(labels[0], tuple):
        labels = [frozenset(label) for label in labels]
    if len(set(labels)) > 1:
        return
    label = train.labels[0]
    what = "the labels" if isinstance(label, tuple) else "the label"
    if isinstance(label, tuple) and len(label) < 2:
        what, label = ("the label", label[0]) if label else ("no label", None)
    named = what if label is None else f"{what} {label!r}"
    raise UserError(
        f"{train.path}: all {len(train)} rows have {named} in --label_column="
        f"{settings.label_column}: there is nothing to learn"
    )
