"""Classification data sets in the files in which they are published.

Each `DataProcessor` names the files of one task and the columns of its rows.
Files are tab-separated without any quoting: a `"` is a character like others.
"""

import contextlib
import functools
import itertools
import math
import os

from absl import logging

from bert_tf import files
from bert_tf.data.features import InputExample
from bert_tf.errors import UserError

# How errors call the columns.
COLUMN_NAMES = {
    "id": "the id",
    "label": "the label",
    "text_a": "the text",
    "text_b": "the second text",
}
XNLI_LANGUAGES = tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())
NUM_CHECKED = 100_000  # Rows of a file that are checked before anything else.


def read_tsv(path: str):
    """Yields (line number, columns) for each row of a tab-separated file.

    Empty lines at the end of the file are no rows.
    """
    pending = []
    for number, line in files.read_lines(path):
        if not line:
            pending.append((number, [""]))
            continue
        yield from pending
        pending = []
        yield number, line.split("\t")


class Row:
    """One row of a file; a column that it lacks is an error with its place."""

    def __init__(self, path, number, columns):
        self.path, self.number, self.columns = path, number, columns

    def __call__(self, column: int, what: str) -> str:
        """Text of a column, counted from 0; -1 is the last."""
        if column >= len(self.columns):
            raise UserError(
                f"{self.path}:{self.number}: {len(self.columns)} column(s), "
                f"but {what} is column {column + 1} (columns are separated by "
                "tabs)"
            )
        return self.columns[column]


class DataProcessor:
    """How the examples of one task stand in its files.

    Most say it by attributes alone; `create_example` is for the others.

    Attributes:
        labels: every label, in the order of the model's outputs; None where
            labels are numbers.
        files: {"train" | "dev" | "test": path in the data folder}, or several
            paths of which the first that is there is read.
        headers: the sets whose file starts with a header row.
        partial: the sets of which not every row is an example.
        columns: {"text_a", "text_b", "label", "id": column}, from 0, those
            that there are; -1 is the last.
        test_columns: the same of the test set, which has no labels.
        label_name: the label's column in a header, by which a test file that
            has labels is known.
        selection: what is read of a file that holds more, for errors.
    """

    labels: list | None
    files = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    headers = ("train", "dev", "test")
    partial = ()
    columns: dict
    test_columns: dict
    label_name = "label"
    selection = ""

    def configured(self, **settings) -> "DataProcessor":
        """The processor under the program's settings."""
        return self

    def get_labels(self) -> list | None:
        return None if self.labels is None else list(self.labels)

    def path(self, data_dir: str, set_type: str) -> str:
        """The file of a set; it need not be there.

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
        return next(filter(files.exists, paths), paths[0])

    def columns_of(self, set_type: str, header: list) -> dict:
        """The columns of a set whose file has this header, or [].

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

    def create_example(self, row: Row, set_type, index: int, columns: dict):
        """The example of a row, or None for a row that is not to be read.

        Args:
            row: the row.
            set_type: "train", "dev" or "test".
            index: its place in the file from 0, the header counted.
            columns: of `columns_of`.
        """
        values = {
            name: row(column, COLUMN_NAMES[name])
            for name, column in columns.items()
        }
        return InputExample(
            f"{set_type}-{values.get('id', index)}",
            values["text_a"],
            values.get("text_b"),
            values.get("label"),
        )

    def get_examples(self, data_dir: str, set_type: str) -> list:
        """The examples of the set "train", "dev" or "test".

        Raises:
            UserError: there is no such file, or a row of it is wrong.
        """
        return list(Examples(self, data_dir, set_type))

    def read_examples(self, path: str, set_type: str):
        """Yields an example for each row as it is read, None for no example."""
        columns = self.columns_of(set_type, [])
        for index, (number, cells) in enumerate(read_tsv(path)):
            if index == 0 and set_type in self.headers:
                columns = self.columns_of(set_type, cells)
                continue
            row = Row(path, number, cells)
            example = self.create_example(row, set_type, index, columns)
            if example is not None and example.label is not None:
                example.label = self._checked_label(example, row, set_type)
            yield example

    def _checked_label(self, example, row, set_type):
        """The label; None for one that is not known in a test set.

        Test sets are published with all sorts of placeholders.
        """
        label = example.label
        if self.labels is None:
            with contextlib.suppress(ValueError):
                if math.isfinite(number := float(label)):
                    return number
        elif label in self.labels:
            return label
        if set_type == "test":
            return None
        allowed = "a number"
        if self.labels is not None:
            allowed = f"one of {', '.join(self.labels)}"
        hint = ""
        if row.number == 1:
            hint = " (is this a header row? This file is read without one)"
        raise UserError(
            f"{row.path}:{row.number}: label {label!r} is not {allowed}{hint}"
        )


class Examples:
    """The examples of one set, read from its file whenever they are iterated.

    Making the object reads the first `NUM_CHECKED` rows, so that mistakes are
    found at once; in a larger file the other rows are counted, which takes
    little time, and checked when their turn comes. Rows that are skipped, and
    those without text, are counted in the log.

    Args:
        processor: of the task.
        data_dir: its folder.
        set_type: "train", "dev" or "test".
        strict: a row without text is an error.

    Raises:
        UserError: there is no such file, a row of it is wrong, or all examples
            to train on have the same label. Iterating raises it too.
    """

    def __init__(
        self,
        processor: DataProcessor,
        data_dir: str,
        set_type: str,
        strict: bool = False,
    ):
        self._path = path = processor.path(data_dir, set_type)
        self._read = functools.partial(processor.read_examples, path, set_type)
        if not files.exists(path):
            raise UserError(f"--data_dir={data_dir}: {path} does not exist")
        limit = None if set_type in processor.partial else NUM_CHECKED
        labels = self._check(limit, strict)
        is_whole = self._number != limit
        if not is_whole:
            has_header = set_type in processor.headers
            self._number = files.count_lines(path) - has_header
        if not self._number:
            raise UserError(
                f"{path}: no examples{processor.selection} in this file"
            )
        if set_type == "train" and is_whole and 1 < self._number:
            self._check_varied(labels)

    def _check(self, limit, strict):
        """Counts the first examples; returns their labels."""
        labels, empty = set(), []
        self._number = self.num_skipped = 0
        for example in itertools.islice(self._read(), limit):
            if example is None:
                self.num_skipped += 1
                continue
            self._number += 1
            labels.add(example.label)
            if not example.text_a.strip():
                empty.append(example.guid)
        if empty and strict:
            raise UserError(
                f"{self._path}: {empty[0]} has no text, under --strict"
            )
        total = self._number + self.num_skipped
        if empty:
            logging.warning(
                "%s: %d of %d rows have no text (%s first)",
                self._path,
                len(empty),
                total,
                empty[0],
            )
        if self.num_skipped:
            logging.info(
                "%s: %d of %d rows are skipped",
                self._path,
                self.num_skipped,
                total,
            )
        return labels

    def _check_varied(self, labels):
        if len(labels) == 1:
            raise UserError(
                f"{self._path}: all {self._number} examples have the label "
                f"{labels.pop()!r}: there is nothing to learn"
            )

    def __len__(self):
        return self._number

    def __iter__(self):
        return (example for example in self._read() if example is not None)


class ColaProcessor(DataProcessor):
    """Corpus of Linguistic Acceptability: is this an English sentence?

    train, dev: source, label, author's mark, sentence; no header.
    test: index, sentence; header.
    """

    labels = ["0", "1"]
    headers = ("test",)
    columns = {"label": 1, "text_a": 3}
    test_columns = {"text_a": 1}


class Sst2Processor(DataProcessor):
    """Stanford Sentiment Treebank, two classes: is a film liked?

    train, dev: sentence, label; test: index, sentence; all with a header.
    """

    labels = ["0", "1"]
    columns = {"text_a": 0, "label": 1}
    test_columns = {"text_a": 1}


class MrpcProcessor(DataProcessor):
    """Microsoft Research Paraphrase Corpus: do two sentences say the same?

    Quality, id, id, sentence, sentence; header.
    """

    labels = ["0", "1"]
    columns = {"text_a": 3, "text_b": 4, "label": 0}
    test_columns = {"text_a": 3, "text_b": 4}
    label_name = "Quality"


class StsbProcessor(DataProcessor):
    """Semantic Textual Similarity Benchmark: how alike, from 0 to 5?

    Seven columns on the origin, sentence, sentence, score; header.
    """

    labels = None
    columns = {"text_a": 7, "text_b": 8, "label": 9}
    test_columns = {"text_a": 7, "text_b": 8}
    label_name = "score"


class QqpProcessor(DataProcessor):
    """Quora Question Pairs: do two questions ask the same?

    train, dev: id, qid, qid, question, question, is_duplicate; header. The
    published file has some rows that a line break cuts in two: these are
    skipped.
    test: id, question, question; header.
    """

    labels = ["0", "1"]
    partial = ("train", "dev")
    columns = {"text_a": 3, "text_b": 4, "label": 5}
    test_columns = {"text_a": 1, "text_b": 2}
    label_name = "is_duplicate"

    def create_example(self, row, set_type, index, columns):
        if set_type != "test" and len(row.columns) != 6:
            return None
        return super().create_example(row, set_type, index, columns)


class MnliProcessor(DataProcessor):
    """Multi-Genre Natural Language Inference, dev and test of known genres.

    Column 0 is the id, 8 and 9 are the sentences, the last is the label.
    """

    labels = ["contradiction", "entailment", "neutral"]
    genres = "matched"
    columns = {"id": 0, "text_a": 8, "text_b": 9, "label": -1}
    test_columns = {"id": 0, "text_a": 8, "text_b": 9}
    label_name = "gold_label"

    @property
    def files(self):
        return {
            "train": "train.tsv",
            "dev": f"dev_{self.genres}.tsv",
            "test": f"test_{self.genres}.tsv",
        }

    def create_example(self, row, set_type, index, columns):
        example = super().create_example(row, set_type, index, columns)
        if set_type == "dev":  # As the original calls them.
            example.guid = f"dev_{self.genres}{example.guid[len('dev') :]}"
        return example


class MnliMismatchedProcessor(MnliProcessor):
    """The same, dev and test of genres that training has not."""

    genres = "mismatched"


class DiagnosticProcessor(DataProcessor):
    """GLUE's diagnostic set, for a model trained on MNLI.

    index, sentence, sentence; header.
    """

    labels = MnliProcessor.labels
    files = {"test": ("diagnostic.tsv", "AX.tsv")}
    columns = {"text_a": 1, "text_b": 2, "label": 3}
    test_columns = {"text_a": 1, "text_b": 2}


class QnliProcessor(DataProcessor):
    """SQuAD as inference: does the sentence answer the question?

    index, question, sentence, label; header.
    """

    labels = ["entailment", "not_entailment"]
    columns = {"text_a": 1, "text_b": 2, "label": 3}
    test_columns = {"text_a": 1, "text_b": 2}


class RteProcessor(QnliProcessor):
    """Recognizing Textual Entailment: index, sentence, sentence, label."""


class WnliProcessor(QnliProcessor):
    """Winograd NLI: index, sentence, sentence, label; header."""

    labels = ["0", "1"]


class XnliProcessor(DataProcessor):
    """Cross-lingual Natural Language Inference, one of 15 languages.

    train: premise, hypothesis, label, machine-translated from MultiNLI.
    dev, test: language, label, …, premise (6), hypothesis (7).
    """

    labels = MnliProcessor.labels
    partial = ("dev", "test")  # They hold all languages.
    columns = {"text_a": 6, "text_b": 7, "label": 1}
    test_columns = columns
    train_columns = {"text_a": 0, "text_b": 1, "label": 2}

    def __init__(self, language: str = "zh"):
        self.language = language

    def configured(self, xnli_language="zh", **settings):
        return XnliProcessor(xnli_language)

    @property
    def files(self):
        train = f"multinli.train.{self.language}.tsv"
        return {
            "train": os.path.join("multinli", train),
            "dev": "xnli.dev.tsv",
            "test": "xnli.test.tsv",
        }

    @property
    def selection(self):
        return f" of --xnli_language={self.language}"

    def columns_of(self, set_type, header):
        return self.train_columns if set_type == "train" else self.columns

    def create_example(self, row, set_type, index, columns):
        is_other = row(0, "the language") != self.language
        if set_type != "train" and is_other:
            return None
        example = super().create_example(row, set_type, index, columns)
        # The translated file has its own word for it.
        if example.label == "contradictory":
            example.label = "contradiction"
        return example


class SnliProcessor(DataProcessor):
    """Stanford Natural Language Inference 1.0, in its own files.

    gold_label, four parses, sentence, sentence, …; header. Where the judges
    did not agree the label is `-`: these rows are skipped, but in the test set.
    """

    labels = MnliProcessor.labels
    files = {name: f"snli_1.0_{name}.txt" for name in ("train", "dev", "test")}
    partial = ("train", "dev")
    columns = {"text_a": 5, "text_b": 6, "label": 0}
    test_columns = {"text_a": 5, "text_b": 6}
    label_name = "gold_label"

    def create_example(self, row, set_type, index, columns):
        example = super().create_example(row, set_type, index, columns)
        is_skipped = set_type != "test" and example.label == "-"
        return None if is_skipped else example


class SciTailProcessor(DataProcessor):
    """SciTail 1.0, science questions as inference, in its `tsv_format`.

    premise, hypothesis, label; no header.
    """

    labels = ["entails", "neutral"]
    files = {
        name: f"scitail_1.0_{name}.tsv" for name in ("train", "dev", "test")
    }
    headers = ()
    columns = {"text_a": 0, "text_b": 1, "label": 2}
    test_columns = columns


class SmsProcessor(DataProcessor):
    """The bundled data set: is a text message wanted (ham) or spam?

    label, text; header.
    """

    labels = ["ham", "spam"]
    columns = {"label": 0, "text_a": 1}
    test_columns = {"text_a": 1}
