"""Reads published data sets, one example for each row of a tab-separated file.

A `DataProcessor` says where a task's examples are in its files, `Examples` are
those of one set. `glue.py` has the processors. Files have no quoting: a `"` is
a character like others.
"""

import array
import copy
import functools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from bert_tf import files
from bert_tf.counts import counted
from bert_tf.data import plausibility, splits
from bert_tf.data.input_example import InputExample
from bert_tf.data.labels import fixed_labels
from bert_tf.data.plausible import examples
from bert_tf.data.plausible.sample import NUM_ROWS
from bert_tf.data.tabular.table import listed
from bert_tf.data.tabular.tsv_rows import Row, read_tsv
from bert_tf.errors import UserError
from bert_tf.file_formats import HTML, XML

# The columns' names in errors.
COLUMN_NAMES = {
    "id": "the id",
    "label": "the label",
    "text_a": "the text",
    "text_b": "the second text",
}
COMPRESSED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
# The label's names in headers.
LABEL_NAMES = {"label", "labels", "gold_label", "class", "category", "target"}
NUM_CHECKED = 100_000  # Rows of a file that are checked before anything else.
NUM_COMPARED = 20_000  # Examples that are compared with those of other sets.


class DataProcessor:
    """Says where the examples of a task are in its files.

    Most tasks need the attributes alone; `create_example` is for the others.

    Attributes:
        labels: every label, in the order of the model's outputs; None where
            labels are numbers.
        files: {"train" | "dev" | "test": path in the data folder}, or several
            paths, of which the first that exists is read.
        headers: the sets whose file starts with a header row.
        partial: the sets whose files also have rows that are not examples.
        columns: {"text_a", "text_b", "label", "id": column}, from 0, those
            that the files have; -1 is the last.
        test_columns: the same for the test set, which has no labels.
        label_name: the name of the label's column in a header; a test file
            that has it has labels.
        selection: the rows that are read of a file that holds more, for
            errors, such as " of `xnli_language`=de".
        missing_label: see `splits.FileSettings`.
    """

    labels: list[str] | None
    files: Mapping[str, str | Sequence[str]] = {
        "train": "train.tsv",
        "dev": "dev.tsv",
        "test": "test.tsv",
    }
    headers: Collection[str] = splits.SETS
    partial: Collection[str] = ()
    columns: dict[str, int]
    test_columns: dict[str, int]
    label_name: str = "label"
    selection: str = ""
    missing_label: Sequence[str] | None = None

    def configured(
        self, missing_label: Sequence[str] | None = None, **settings: Any
    ) -> "DataProcessor":
        """The processor under the program's settings."""
        return self.with_marks(missing_label)

    def with_marks(
        self, missing_label: Sequence[str] | None
    ) -> "DataProcessor":
        """The processor with other marks for "no label"."""
        processor = copy.copy(self)
        processor.missing_label = missing_label
        return processor

    def get_labels(self) -> list[str] | None:
        """Every label, in the order of the model's outputs, or None."""
        return None if self.labels is None else list(self.labels)

    def path(self, data_dir: str, set_type: str) -> str:
        """The file of a set, which need not exist.

        Raises:
            UserError: the task has no such set.
        """
        if set_type not in self.files:
            raise UserError(
                f"this task has no {set_type} set, only {', '.join(self.files)}"
            )
        names = self.files[set_type]
        names = [names] if isinstance(names, str) else names
        paths = [os.path.join(data_dir, name) for name in names]
        found = (
            path + ending
            for path in paths
            for ending in ("", *COMPRESSED_ENDINGS)
        )
        return next(filter(files.exists, found), paths[0])

    def columns_of(self, set_type: str, header: list[str]) -> dict[str, int]:
        """The columns of a set whose file has this header, or [] for none.

        A test file may have labels: in the columns of the dev set, or in one
        column more than test files have.
        """
        if set_type != "test":
            return self.columns
        if self.label_name not in header:
            return self.test_columns
        place = header.index(self.label_name)
        if place == self.columns["label"] % len(header):
            return self.columns
        return {**self.test_columns, "label": place}

    def create_example(
        self, row: Row, set_type: str, index: int, columns: dict[str, int]
    ) -> InputExample | None:
        """The example of a row, or None for a row to skip; as `example`."""
        return self.example(row, set_type, index, columns)

    def example(
        self, row: Row, set_type: str, index: int, columns: dict[str, int]
    ) -> InputExample:
        """The example of a row.

        Args:
            row: the row.
            set_type: "train", "dev" or "test".
            index: its place in the file from 0, with the header.
            columns: of `columns_of`.
        """
        cells = row.columns
        try:
            values = {name: cells[place] for name, place in columns.items()}
        except IndexError:  # `Row` says which column is missing.
            values = {
                name: row(place, COLUMN_NAMES[name])
                for name, place in columns.items()
            }
        return InputExample(
            f"{set_type}-{values.get('id', index)}",
            values["text_a"],
            values.get("text_b"),
            values.get("label"),
        )

    def get_examples(self, data_dir: str, set_type: str) -> list[InputExample]:
        """The examples of the set "train", "dev" or "test".

        Raises:
            UserError: the file does not exist, or a row of it is wrong.
        """
        return list(Examples(self, data_dir, set_type))

    def read_examples(
        self, path: str, set_type: str
    ) -> Iterator[InputExample | None]:
        """Yields the example of each row, None for a row to skip.

        The label of an example without one is None.
        """
        columns = self.columns_of(set_type, [])
        # Most rows have one of these, and nothing is to be checked.
        sure = frozenset(self.labels or ())
        if self.missing_label is not None:
            sure = frozenset()
        for index, (number, cells) in enumerate(read_tsv(path)):
            if index == 0 and self.is_header(set_type, cells):
                if set_type in self.headers:
                    columns = self.columns_of(set_type, cells)
                continue
            row = Row(path, number, cells)
            example = self.create_example(row, set_type, index, columns)
            if example is not None:
                example.line = number
            if (
                example is not None
                and isinstance(example.label, str)
                and example.label not in sure
            ):
                example.label = fixed_labels.checked(
                    example.label,
                    row.place,
                    set_type,
                    labels=self.labels,
                    missing_label=self.missing_label,
                )
            yield example

    def is_header(self, set_type: str, first: list[str]) -> bool:
        """Whether the first row of a file holds names, and is not data.

        Args:
            set_type: "train", "dev" or "test".
            first: its cells.
        """
        place = self.columns_of(set_type, []).get("label")
        label = None
        if place is not None and -len(first) <= place < len(first):
            label = first[place]
        if set_type not in self.headers:
            return (
                label is not None
                and label.strip().lower() in LABEL_NAMES
                and not fixed_labels.is_label(label, self.labels)
            )
        if label is not None:
            return not fixed_labels.is_label(label, self.labels)
        # A test file starts with the number of its row.
        return not (len(first) > 1 and first[0].strip().isdecimal())


class Examples:
    """The examples of one set, read from its file whenever they are iterated.

    Creating the object reads the first `NUM_CHECKED` rows, so that mistakes
    are found at once. In a larger file the other rows are counted, which takes
    little time, and checked when they are read. The log says how many rows are
    skipped, and how many have no text or no label. The latter are left out of
    training and development sets.

    Args:
        processor: of the task.
        data_dir: its folder.
        set_type: "train", "dev" or "test".
        strict: whether a row without text, or without a label to train or
            evaluate on, is an error.

    Attributes:
        path: of the file.
        num_skipped: rows that are not examples, among those that are checked.
        sample: what `plausibility` checks.

    Raises:
        UserError: the file does not exist, a row of it is wrong, or all
            examples to train on have the same label. Iterating also raises it
            for a wrong row.
    """

    def __init__(
        self,
        processor: DataProcessor,
        data_dir: str,
        set_type: str,
        strict: bool = False,
    ):
        self._number = self.num_skipped = 0
        self._set_type, self._strict = set_type, strict
        self.path = path = processor.path(data_dir, set_type)
        self._first: list[InputExample] = []
        self._lines, self._keys = array.array("q"), array.array("q")
        self._read = functools.partial(processor.read_examples, path, set_type)
        if not files.exists(path):
            raise UserError(
                f"{path} does not exist", setting="data_dir", value=data_dir
            )
        self._is_whole = True
        limit = None if set_type in processor.partial else NUM_CHECKED
        self._has_header = self._check_header(processor, set_type)
        labels = self._check(limit)
        if not self._is_whole:
            self._number = files.count_lines(path) - self._has_header
        if not self._number:
            raise UserError(
                f"{path}: no examples{processor.selection} in this file"
            )
        if set_type == "train" and self._is_whole and 1 < self._number:
            splits.check_varied(
                labels,
                path,
                f"all {self._number} examples have the label "
                f"{next(iter(labels))!r}",
            )

        self.sample = examples.of_texts(
            self._first,
            path,
            set_type,
            is_number=processor.labels is None,
            number=self._number,
            lines=self._lines,
            keys=self._keys,
        )
        plausibility.warn(self.sample, strict)

    def _check_header(self, processor, set_type):
        """Whether the file has a header; says so where it should not be so."""
        with files.looking(self.path) as content:
            if content.kind in (HTML, XML):
                kind = content.kind
                raise UserError(
                    f"{self.path}: {kind.name}, not a table: {kind.advice}"
                )
        first = next(read_tsv(self.path), None)
        if first is None:
            return False
        number, cells = first
        has_header = processor.is_header(set_type, cells)
        if has_header == (set_type in processor.headers):
            return has_header
        what = (
            f"a header where this task has none ({listed(cells)}): left out"
            if has_header
            else "no header, but a row of data: read as an example"
        )
        if self._strict:
            what = what.partition(": ")[0]
            raise UserError(
                f"{self.path}:{number}: the first row is {what}, under `strict`"
            )
        logging.warning("%s:%d: the first row is %s", self.path, number, what)
        return has_header

    def _check(self, limit):
        """Counts the first examples; returns their labels.

        A file in which labels are missing is read to its end: the others must
        be counted.
        """
        labels, without_text, without_label = set(), [], []
        total = 0
        for total, example in enumerate(self._read(), start=1):
            if example is None:
                self.num_skipped += 1
            elif self._is_left_out(example):
                without_label.append(total + self._has_header)
            else:
                self._number += 1
                labels.add(example.label)
                if self._number <= NUM_ROWS:
                    self._first.append(example)
                if self._number <= NUM_COMPARED:
                    self._lines.append(total + self._has_header)
                    self._keys.append(hash((example.text_a, example.text_b)))
                if not example.text_a.strip():
                    without_text.append(example.guid)
            if total == limit and not without_label:
                self._is_whole = False
                break
        self._report(total, without_text, without_label)
        if without_label and not self._number:
            raise UserError(f"{self.path}: no row has a label")
        return labels

    def _is_left_out(self, example):
        return example.label is None and self._set_type != "test"

    def _report(self, total, without_text, without_label):
        """Logs odd rows, or raises an error for the first."""
        if without_text and self._strict:
            raise UserError(
                f"{self.path}: {without_text[0]} has no text, under `strict`"
            )
        if without_label and self._strict:
            raise UserError(
                f"{self.path}:{without_label[0]}: no label, under `strict`"
            )
        if without_text:
            logging.warning(
                "%s: %s no text (%s first)",
                self.path,
                counted(len(without_text), total, "row"),
                without_text[0],
            )
        if without_label:
            logging.warning(
                "%s: %s no label (row of line %d first): left out",
                self.path,
                counted(len(without_label), total, "row"),
                without_label[0],
            )
        if self.num_skipped:
            logging.info(
                "%s: %s skipped",
                self.path,
                counted(self.num_skipped, total, "row", "are"),
            )

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[InputExample]:
        for example in self._read():
            if example is None:
                continue
            if not self._is_left_out(example):
                yield example
            elif not self._is_whole:
                raise UserError(
                    f"{self.path}: {example.guid} has no label; none of the "
                    f"first {NUM_CHECKED} rows lacks one, so that it was "
                    "counted; take it out of the file"
                )
