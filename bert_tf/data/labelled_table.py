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
from collections.abc import Iterable

import numpy as np
from absl import logging

from bert_tf.choices import PROBLEM_TYPES
from bert_tf.counts import counted
from bert_tf.data import splits
from bert_tf.data.labelled_set import Columns, TableSet
from bert_tf.data.labels.known_labels import check_labels as check_labels
from bert_tf.data.labels.label_cells import LabelReader, answers, label_columns
from bert_tf.data.tabular import csv_files
from bert_tf.data.tabular.table import (
    RowWarnings,
    ids_of,
    is_empty,
    listed,
    number,
)
from bert_tf.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableSettings(splits.FileSettings):
    """The files, and the content of their columns.

    Attributes:
        text_column: column of the text.
        text_pair_column: column of the second text of a pair, or None.
        label_column: column of the label; or, unless of regression, a column
            for each label, separated by commas, whose cells are 0 or 1.
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
        sample_of=functools.partial(_sample, settings),
    )


def _sample(settings, table, path, set_type):
    """What `plausibility` checks of a file."""
    return table.sample(
        text_names=[
            f"`{name}`={getattr(settings, name)}"
            for name in ("text_column", "text_pair_column")
        ],
        kind=settings.problem_type,
        label_name=f"`label_column`={settings.label_column}",
        id_name=f"`id_column`={settings.id_column}",
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
        ids=ids_of(
            table, settings.id_column, splits.needs_ids(settings, set_type)
        ),
    )
    if not columns.rows:
        raise UserError(f"{path}: no examples in this file")
    warnings = RowWarnings(table, settings.strict)
    left_out = _without_text(columns.texts, set_type, settings, warnings)
    if columns.pairs is not None:
        _report_single_texts(columns.pairs, settings, warnings)
    found = _labels(columns.labels, names, settings, set_type, table, warnings)
    columns.labels = found.labels
    left_out += _without_label(found, set_type, settings, warnings)
    if left_out:
        columns = columns.pick(sorted({*columns.rows}.difference(left_out)))
    if not columns.rows:
        raise UserError(f"{path}: no row has a text and a label")
    if set_type == "train":
        _check_varied(columns.labels, path, settings, table)
    return TableSet(
        set_type,
        path,
        lines=table.lines,
        columns=columns,
        label_columns=found.names,
    )


def _texts(table, settings, setting):
    """The column that a setting names; None where it names none."""
    name = getattr(settings, setting)
    if not name:
        return None
    # JSON leaves out the key of a second text that is not there.
    is_optional = setting == "text_pair_column" and name in table.names
    texts = table.texts(name, setting=setting, optional=is_optional)
    return [text or "" for text in texts]


def _label_cells(table, names, format, settings, set_type):
    """The content of the label column by row, or a tuple of several columns."""
    # An object may lack what others have; a file with one of two columns is
    # a mistake.
    is_optional = set_type == "test" and (
        format == "jsonl" or not {*names} & {*table.names}
    )
    read = table.label_values if len(names) == 1 else table.texts
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


def _without_label(found, set_type, settings, warnings):
    """Rows to leave out: nothing can be learned or measured with them."""
    if set_type == "test":
        return []
    rows = [row for row, label in enumerate(found.labels) if label is None]
    marked = {*itertools.chain.from_iterable(found.marked.values())}
    warnings.report(
        [row for row in rows if row not in marked],
        what="no label",
        where=f"`label_column`={settings.label_column}",
        consequence="left out",
    )
    return rows


def _labels(cells, names, settings, set_type, table, warnings):
    """`FileLabels`: the label of each row, None where it is not known."""
    found = LabelReader(
        problem_type=settings.problem_type,
        label_column=settings.label_column,
        label_delimiter=settings.label_delimiter,
        columns=names,
        set_type=set_type,
        missing_label=settings.missing_label,
    ).read(table, cells)
    where = f"`label_column`={settings.label_column}"
    _leave_out_rejected(found, table, settings, warnings)
    warnings.report(
        found.unreadable,
        what="a label that is not a number",
        where=where,
        consequence="unknown",
    )
    for mark, rows in found.marked.items():
        what = f"the label {mark!r}, which means that there is none"
        if set_type == "test":
            number = counted(len(rows), len(table), "row")
            logging.info("%s: %s %s: not scored", table.path, number, what)
            continue
        warnings.report(
            rows,
            what=what,
            where=where,
            consequence="left out; `missing_label` names such labels",
        )
    return found


def _leave_out_rejected(found, table, settings, warnings):
    """Takes the labels from rows that an annotator did not accept."""
    used = (settings.text_column, settings.text_pair_column)
    given = answers(table, [*used, settings.label_column])
    rows = [row for row, answer in enumerate(given) if answer != "accept"]
    for row in rows:
        found.labels[row] = None
    warnings.report(
        rows,
        what="the answer reject or ignore",
        where="answer",
        consequence="without a label",
    )


def _check_varied(labels, path, settings, table):
    """Raises UserError where every example has the same label."""
    label, kinds = labels[0], labels
    what = f"the label {label!r}"
    if isinstance(label, tuple):
        kinds = [frozenset(several) for several in labels]
        what = f"the labels {label!r}" if label else "no label"
        if len(label) == 1:
            what = f"the label {label[0]!r}"
    advice = ""
    if "reject" in answers(table, [settings.label_column]):
        advice = "; `label_column`=answer learns what was accepted"
    splits.check_varied(
        kinds,
        path,
        what=f"all {len(labels)} rows have {what}",
        where=f"`label_column`={settings.label_column}",
        advice=advice,
    )
