"""Your own files as labelled texts: CSV, TSV, and JSON objects line by line.

    text,label                        {"text": "hello", "label": "ham"}
    hello,ham                         {"text": "win now!", "label": "spam"}
    "win, now!",spam

`TableSettings` says which column holds what, `read_sets` returns a `TableSet`
for training, development and test. A mistake is an error that names the
setting, or the file and its line; rows that are merely odd are counted, and
logged once.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

from bert_tf import suggestions
from bert_tf.choices import PROBLEM_TYPES
from bert_tf.data import csv_files, splits
from bert_tf.data.label_cells import LabelReader, label_columns
from bert_tf.data.labelled_set import Columns, TableSet
from bert_tf.data.table import RowWarnings, counted, is_empty, listed, number
from bert_tf.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableSettings(splits.FileSettings):
    """The files, and the content of their columns.

    Attributes:
        text_column: column of the text.
        text_pair_column: column of the second text of a pair, or None.
        label_column: column of the label; for multi_label also several ones,
            separated by commas, whose cells are 0 or 1.
        id_column: column of an id for each row, or None.
        header, delimiter, encoding: see `csv_files.read_table`.
        problem_type: one of `PROBLEM_TYPES`.
        label_delimiter: the text between two labels in a cell of multi_label.
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


def read_sets(
    settings: TableSettings, format: str, sets: Iterable[str]
) -> dict[str, TableSet]:
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
    check_settings(settings, format)
    return splits.read_sets(
        settings,
        sets,
        read=functools.partial(_read, settings, format),
        pick=TableSet.pick,
        label_of=lambda example: example.label,
    )


def infer_labels(train: TableSet, problem_type: str) -> list[str]:
    """The labels of a training file, in the order of the model's outputs.

    They are those of the whole file, even where other sets take some of its
    rows.

    Args:
        train: a set of single_label or multi_label.
        problem_type: which of both.

    Returns:
        Each label once; numbers by value, other texts in alphabetical order,
        those that have a column each in the order of the columns.

    Raises:
        UserError: a set of multi_label has fewer than two.
    """
    if problem_type == "multi_label":
        labels = {*itertools.chain.from_iterable(train.file_labels)}
    else:
        labels = {*train.file_labels}
    names = sorted(labels)
    if train.label_columns:
        missing = [name for name in train.label_columns if name not in labels]
        if missing:
            logging.warning(
                "%s: no row has the label %s", train.path, listed(missing)
            )
        names = train.label_columns
    if problem_type == "multi_label" and len(names) < 2:
        raise UserError(
            f"{train.path}: `problem_type`=multi_label needs at least two "
            f"labels, and the only one is {names[0]!r}; use single_label for "
            "one"
        )
    numbers = [number(name) for name in names]
    if None in numbers or train.label_columns:
        return names
    return [name for _, name in sorted(zip(numbers, names, strict=True))]


def mean_and_deviation(
    train: TableSet, settings: TableSettings
) -> dict[str, float]:
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
            f"`label_column`={settings.label_column} are {why}: there is "
            "nothing to learn"
        )
    return {"mean": mean, "deviation": deviation}


def check_labels(
    table: TableSet, labels: Sequence[str], set_type: str, strict: bool
) -> TableSet:
    """Compares a set's labels with those of training.

    Args:
        table: a set of single_label or multi_label.
        labels: the labels of training.
        set_type: "train", "dev" or "test". Other labels are errors, but in a
            test set they count as unknown.
        strict: make them an error in a test set, too.

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
            f"which had {listed(labels)}{suggestions.hint(label, labels)}"
        )
    logging.warning(
        "%s: %s a label that was not in training (%r in line %s first): it "
        "counts as unknown",
        table.path,
        counted(len(wrong), len(table)),
        label,
        table.line(index),
    )
    known_labels = table.labels
    for index, _ in wrong:
        known_labels[index] = None
    return table.with_labels(known_labels)


def _unknown(label, known):
    """The first of an example's labels that is not known, or None."""
    several = label if isinstance(label, tuple) else (label,)
    return next((one for one in several if one not in known), None)


def check_settings(settings: TableSettings, format: str) -> None:
    """Raises UserError if a setting cannot be used, whatever the files hold.

    Args:
        settings: the files and their columns.
        format: "csv", "tsv" or "jsonl".
    """
    csv_files.check_settings(
        format, settings.delimiter, settings.encoding, settings.header
    )
    if settings.problem_type not in PROBLEM_TYPES:
        raise UserError(
            f"must be one of {', '.join(PROBLEM_TYPES)}",
            setting="problem_type",
            value=settings.problem_type,
        )
    if not settings.label_delimiter:
        raise UserError(
            "must not be empty", setting="label_delimiter", value=""
        )
    if settings.label_column == settings.text_column:
        raise UserError(
            "this is the `text_column`",
            setting="label_column",
            value=settings.label_column,
        )


# ---------------------------------------------------------------------------
# From a file's columns to examples.


def _read(settings, format, path, set_type) -> TableSet:
    """The examples of a file."""
    table = csv_files.read_table(
        path,
        format,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        header=settings.header,
        strict=settings.strict,
    )
    names = label_columns(
        settings.problem_type, settings.label_column, table.names
    )
    columns = Columns(
        rows=[*range(len(table))],
        texts=_texts(table, settings, "text_column"),
        labels=_label_cells(table, names, format, settings, set_type),
        pairs=_texts(table, settings, "text_pair_column"),
        ids=_texts(table, settings, "id_column"),
    )
    if not columns.rows:
        raise UserError(f"{path}: no examples in this file")
    _check_no_numbers(columns.texts, "text_column", settings)
    _check_no_numbers(columns.pairs, "text_pair_column", settings)
    warnings = RowWarnings(table, settings.strict)
    left_out = _without_text(columns.texts, set_type, settings, warnings)
    if columns.pairs is not None:
        _report_single_texts(columns.pairs, settings, warnings)
    columns.labels = _labels(
        columns.labels, names, settings, set_type, table, warnings
    )
    left_out += _without_label(columns.labels, set_type, settings, warnings)
    if left_out:
        columns = columns.pick(sorted({*columns.rows}.difference(left_out)))
    if not columns.rows:
        raise UserError(f"{path}: no row has a text and a label")
    if set_type == "train":
        _check_varied(columns.labels, path, settings)
    return TableSet(
        set_type,
        path,
        lines=table.lines,
        columns=columns,
        label_columns=names if len(names) > 1 else None,
    )


def _texts(table, settings, setting):
    """The column that a setting names; None where it names none."""
    name = getattr(settings, setting)
    if not name:
        return None
    return [text or "" for text in table.texts(name, setting=setting)]


def _label_cells(table, names, format, settings, set_type):
    """The content of the label column by row, or a tuple of several columns."""
    # An object may lack what others have; a file with one of two columns is
    # a mistake.
    is_optional = set_type == "test" and (
        format == "jsonl" or not {*names} & {*table.names}
    )
    is_list = settings.problem_type == "multi_label" and len(names) == 1
    read = table.texts_or_lists if is_list else table.texts
    columns = [
        read(
            name,
            setting="label_column",
            value=settings.label_column,
            optional=is_optional,
        )
        for name in names
    ]
    return columns[0] if len(columns) == 1 else [*zip(*columns, strict=True)]


def _without_text(texts, set_type, settings, warnings):
    """Rows to leave out for lack of a text; other sets predict them, too."""
    is_train = set_type == "train"
    rows = [row for row, text in enumerate(texts) if is_empty(text)]
    warnings.report(
        rows,
        what="no text",
        where=f"`text_column`={settings.text_column}",
        consequence="left out" if is_train else "kept, to be predicted",
    )
    return rows if is_train else []


def _report_single_texts(pairs, settings, warnings):
    warnings.report(
        [row for row, text in enumerate(pairs) if is_empty(text)],
        what="no second text",
        where=f"`text_pair_column`={settings.text_pair_column}",
        consequence="read as single texts",
    )


def _without_label(labels, set_type, settings, warnings):
    """Rows to leave out: nothing can be learned or measured with them."""
    if set_type == "test":
        return []
    rows = [row for row, label in enumerate(labels) if label is None]
    warnings.report(
        rows,
        what="no label",
        where=f"`label_column`={settings.label_column}",
        consequence="left out",
    )
    return rows


def _check_no_numbers(texts, setting, settings):
    """An id, a label or a rating is easily taken for the text."""
    words = [text for text in texts or () if text]
    # The first text that is not a number ends the search.
    if not words or any(number(text) is None for text in words):
        return
    error = UserError(
        "all values are numbers; is this the text?",
        setting=setting,
        value=getattr(settings, setting),
    )
    if settings.strict:
        raise error
    logging.warning("%s", error)


def _labels(cells, names, settings, set_type, table, warnings):
    """The label of each row; None where it has none, or it is not known."""
    is_test = set_type == "test"
    reader = LabelReader(
        problem_type=settings.problem_type,
        label_column=settings.label_column,
        label_delimiter=settings.label_delimiter,
        columns=names,
        is_test=is_test,
    )
    may_be_wrong = is_test and settings.problem_type == "regression"
    known, labels, wrong = {}, [], []
    for row, cell in enumerate(cells):
        if cell not in known:
            known[cell] = reader.read(cell)
        label, why = known[cell]
        if why and not may_be_wrong:
            raise UserError(f"{table.place(row)}: {why}")
        if why:
            wrong.append(row)
        labels.append(label)
    warnings.report(
        wrong,
        what="a label that is not a number",
        where=f"`label_column`={settings.label_column}",
        consequence="unknown",
    )
    if is_test and settings.problem_type == "multi_label" and not any(labels):
        # A column of empty cells says nothing, not that no label holds.
        return [None] * len(labels)
    return labels


def _check_varied(labels, path, settings):
    """Raises UserError where every example has the same label."""
    label, kinds = labels[0], labels
    what = f"the label {label!r}"
    if isinstance(label, tuple):
        kinds = [frozenset(several) for several in labels]
        what = f"the labels {label!r}" if label else "no label"
        if len(label) == 1:
            what = f"the label {label[0]!r}"
    splits.check_varied(
        kinds,
        path,
        what=f"all {len(labels)} rows have {what}",
        where=f"`label_column`={settings.label_column}",
    )
