"""Texts without labels, which a student learns from its teacher's answers.

They are read as the tool predict reads files to label: a table, JSON lines or
lines of text, which the content shows. Labels that a file has are not read.
"""

import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import flags, logging

from bert_tf.counts import counted
from bert_tf.data import pipeline
from bert_tf.data.input_example import InputExample
from bert_tf.data.labelled_set import Columns, TableSet
from bert_tf.data.tabular import text_rows
from bert_tf.data.tabular.table import is_empty
from bert_tf.data.tabular.text_rows import Row
from bert_tf.data.text_reader import TextReader
from bert_tf.distillation_losses import IS_LABELLED
from bert_tf.errors import UserError
from bert_tf.export.answer_files import ModelColumns, model_columns
from bert_tf.export.input_files import UTF_8, InputSettings
from bert_tf.export.kinds import SINGLE_LABEL
from bert_tf.programs import batches, console, labelled_run
from bert_tf.progress import working
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.registry import AnyTask, TaskSettings

FLAGS = flags.FLAGS
NAME = "unlabelled"  # The name of the set in data.json.
SETTING = "unlabelled_file"
# The columns of published data sets: one text, or two.
PUBLISHED = {
    False: (("text",), ("sentence",)),
    True: (
        ("text", "text_pair"),
        ("sentence1", "sentence2"),
        ("question1", "question2"),
        ("premise", "hypothesis"),
        ("question", "sentence"),
    ),
}

# ---------------------------------------------------------------------------
# From the file to examples.


def read(
    task: AnyTask, settings: TaskSettings, trains: bool
) -> Sequence[InputExample]:
    """Reads --unlabelled_file; () without it.

    Args:
        task: the run's.
        settings: where its examples are, with the columns of its files.
        trains: whether the run trains.

    Raises:
        UserError: the file cannot be read, or has no text.
    """
    path = settings.unlabelled_file
    if path is None or not trains:
        return ()
    with working("Reading"):
        table = _read(path, task, settings)
    name = os.path.basename(path)
    console.show("Unlabelled", f"{len(table):>7,} rows of {name}")
    return table


def _read(path: str, task: AnyTask, settings: TaskSettings) -> TableSet:
    takes_pairs = task.takes_pairs(settings)
    lines: list[int] = []
    texts: list[str] = []
    pairs: list[str] = []
    without_text: list[str] = []
    for row, item in _items(path, task, settings, takes_pairs):
        text, pair = _texts_of(item, row.place)
        if is_empty(text):
            without_text.append(row.place)
            continue
        lines.append(row.line)
        texts.append(text)
        pairs.append(pair or "")
    if not texts:
        raise UserError("no text in this file", setting=SETTING, value=path)
    if without_text:
        _report(without_text, len(texts), settings)
    places = [*range(len(texts))]
    return TableSet(
        NAME,
        path,
        lines=lines,
        columns=Columns(
            rows=places,
            texts=texts,
            labels=[None] * len(texts),
            pairs=pairs if takes_pairs else None,
        ),
    )


def _report(places: list[str], num_texts: int, settings: TaskSettings) -> None:
    """Warns of rows without a text, or refuses them."""
    if settings.strict:
        raise UserError(f"{places[0]}: no text, under `strict`")
    missing = counted(len(places), num_texts + len(places), "row")
    logging.warning(
        "%s no text in `%s` (%s first): left out", missing, SETTING, places[0]
    )


def _items(
    path: str, task: AnyTask, settings: TaskSettings, takes_pairs: bool
) -> Iterator[tuple[Row, Any]]:
    """The rows of the file, each with its texts."""
    is_own = "text_column" in task.flags
    flag_values = {**FLAGS.flag_values_dict(), "task_name": task.name}
    reading = InputSettings(
        encoding=settings.encoding if is_own else UTF_8,
        columns=labelled_run.columns_of(flag_values).get("columns", {}),
    )
    file = reading.open(path)
    if file.is_empty:
        return
    candidates = _candidates(reading.columns, is_own, takes_pairs)
    if is_own:
        source = reading.format_of(file, candidates[0])
    else:
        names = {name for columns in candidates for name in columns.names}
        source = text_rows.detect_format(path, file.head, names, kind=file.kind)
    rows = text_rows.read_rows(path, source, file.reading)
    first = next(rows, None)
    if first is None:
        return
    columns = next(
        (c for c in candidates if {*c.names} <= {*first.values}),
        candidates[0],
    )
    if source.has_columns:
        columns.check_columns(first)
    for row in itertools.chain([first], rows):
        yield row, columns.item_of(row)


def _candidates(
    columns: Mapping[str, Any], is_own: bool, takes_pairs: bool
) -> list[ModelColumns]:
    """The columns that the file may have, the likeliest first."""
    inputs = ("text", "text_pair") if takes_pairs else ("text",)
    make = functools.partial(model_columns, SINGLE_LABEL.name, inputs)
    if is_own:
        return [make(columns)]
    return [
        make(dict(zip(inputs, names, strict=True)))
        for names in PUBLISHED[takes_pairs]
    ]


def _texts_of(item: Any, place: str) -> tuple[str, str | None]:
    """The text and the second text of an item.

    Raises:
        UserError: a value of a JSON object is not a text.
    """
    if isinstance(item, str):
        return item, None
    if isinstance(item, tuple):
        return item
    text, pair = item.get("text"), item.get("text_pair")
    for value in (text, pair):
        if isinstance(value, list | dict | bool):
            raise UserError(
                f"{place}: a text must be a string, and {value!r} is not one"
            )
    return (
        "" if text is None else str(text),
        None if pair is None else str(pair),
    )


# ---------------------------------------------------------------------------
# From examples to rows.


class Mixed:
    """Examples with and without labels, the smaller part spread evenly.

    A set of any size is mixed well, although a shuffle holds a part of it.

    Args:
        labelled, unlabelled: the examples.
    """

    def __init__(
        self,
        labelled: Sequence[InputExample],
        unlabelled: Sequence[InputExample],
    ):
        self._parts = labelled, unlabelled

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[InputExample]:
        number = len(self._parts[0])
        parts = [*map(iter, self._parts)]
        for place in range(len(self)):
            # How many labelled ones are among the first `place`, and one more.
            before, after = (
                end * number // len(self) for end in (place, place + 1)
            )
            yield next(parts[0] if after > before else parts[1])


def mixed_rows(
    problem: Problem,
    labelled: Sequence[InputExample],
    unlabelled: Sequence[InputExample],
    reader: TextReader,
) -> batches.Rows:
    """The rows of both, with the feature `is_labelled`.

    Args:
        problem: what is asked about a text.
        labelled: examples with labels.
        unlabelled: examples whose label is None.
        reader: how texts are read.
    """

    def encode(example: InputExample) -> dict[str, Any]:
        is_labelled = int(example.label is not None)
        return {**problem.encode(example, reader), IS_LABELLED: is_labelled}

    def to_features(rows: batches.Tensors) -> batches.Tensors:
        features = problem.features_of_rows(rows, reader)
        return {**features, IS_LABELLED: rows[IS_LABELLED]}

    signature = {**problem.row_signature(reader), IS_LABELLED: tf.int32}
    mixed = Mixed(labelled, unlabelled)
    return pipeline.from_examples(mixed, encode, signature), to_features
