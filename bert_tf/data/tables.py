"""Your own files as labelled texts: CSV, TSV, and JSON objects line by line.

    text,label                        {"text": "hello", "label": "ham"}
    hello,ham                         {"text": "win now!", "label": "spam"}
    "win, now!",spam

`TableSettings` says which column is what, `read_sets` gives a `TableSet` for
training, development and test. What looks like a mistake is an error that
names the flag, or the file and its line; what is merely odd is counted and
logged once.
"""

import array
import codecs
import collections
import contextlib
import csv
import dataclasses
import fractions
import functools
import io
import itertools
import json
import math
import random
import sys

from absl import logging

from bert_tf import files
from bert_tf.data.features import InputExample
from bert_tf.errors import UserError

FORMATS = ("csv", "tsv", "jsonl")
PROBLEM_TYPES = ("single_label", "multi_label", "regression")
SETS = ("train", "dev", "test")

NUM_NAMED = 20  # Names that an error lists at most.
NUM_NEIGHBOURS = 20  # Rows of similar values of which a split takes its share.

_BOOLEANS = {
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false"), False),
}


@dataclasses.dataclass(frozen=True)
class TableSettings:
    """Which files there are, and what stands in them, named as the flags.

    Attributes:
        train_file, dev_file, test_file: paths, or None.
        text_column: column of the text.
        text_pair_column: column of the second text of a pair, or None.
        label_column: column of the label; for multi_label also several ones,
            separated by commas, whose cells are 0 or 1.
        id_column: column of an id for each row, or None.
        header: the first row holds the columns' names; otherwise they are
            numbers from 1 on.
        delimiter: what separates the cells; None is a comma in CSV, a tab in
            TSV.
        encoding: of the text in CSV and TSV files.
        problem_type: one of `PROBLEM_TYPES`.
        label_delimiter: what separates the labels in a cell of multi_label.
        dev_fraction, test_fraction: shares of the training file for sets that
            have no file of their own.
        split_seed: says which rows these are.
        strict: what would be logged as a warning is an error.
    """

    train_file: str | None = None
    dev_file: str | None = None
    test_file: str | None = None
    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    id_column: str | None = None
    header: bool = True
    delimiter: str | None = None
    encoding: str = "utf-8"
    problem_type: str = "single_label"
    label_delimiter: str = ","
    dev_fraction: float = 0.0
    test_fraction: float = 0.0
    split_seed: int = 12345
    strict: bool = False


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
    """

    def __init__(
        self, set_type: str, path: str, lines: "_Lines", columns: _Columns
    ):
        self.set_type, self.path = set_type, path
        self._lines, self._columns = lines, columns

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
        return TableSet(
            set_type, self.path, self._lines, self._columns.pick(indices)
        )

    def with_labels(self, labels: list) -> "TableSet":
        """The same examples with other labels."""
        columns = dataclasses.replace(self._columns, labels=labels)
        return TableSet(self.set_type, self.path, self._lines, columns)


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
    _check_settings(settings, format)
    for name in sets:
        _check_source(settings, name)
    found = {}
    for name in ("dev", "test"):
        if name in sets and getattr(settings, f"{name}_file"):
            found[name] = _read(settings, format, name)
    if any(name not in found for name in sets):
        train = _read(settings, format, "train")
        _check_varied(train, settings)
        parts = _split(train.labels, settings)
        for name in sets:
            if name not in found:
                found[name] = train.pick(name, parts[name])
                _check_not_empty(found[name], settings)
    return {name: found[name] for name in sets}


def infer_labels(train: TableSet, problem_type: str) -> list:
    """The labels of a training set, in the order of the model's outputs.

    Args:
        train: a set of single_label or multi_label.
        problem_type: which of both.

    Returns:
        Each label once; numbers by value, other texts in alphabetical order.
    """
    labels = train.labels
    if problem_type == "multi_label":
        labels = itertools.chain.from_iterable(labels)
    found = sorted(set(labels))
    numbers = [_number(label) for label in found]
    if None in numbers:
        return found
    return [label for _, label in sorted(zip(numbers, found, strict=True))]


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
            f"which had {_names(labels)}"
        )
    logging.warning(
        "%s: %s a label that was not in training (%r in line %s first): it "
        "counts as unknown",
        table.path,
        _count(len(wrong), len(table)),
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


def _names(names):
    shown = ", ".join(map(str, names[:NUM_NAMED]))
    return shown + (", …" if len(names) > NUM_NAMED else "")


def _count(number, total):
    return f"{number} of {total} rows {'has' if number == 1 else 'have'}"


def _number(text):
    """The finite number that a text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    # Python reads 1_000, too, which is a name rather than a number.
    return number if math.isfinite(number) and "_" not in text else None


# ---------------------------------------------------------------------------
# Settings.


def _check_settings(settings, format):
    if format not in FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(FORMATS)}. "
            f"Received: format={format}"
        )
    if settings.problem_type not in PROBLEM_TYPES:
        raise UserError(
            f"--problem_type={settings.problem_type}: must be one of "
            f"{', '.join(PROBLEM_TYPES)}"
        )
    if not settings.label_delimiter:
        raise UserError("--label_delimiter=: must not be empty")
    _check_encoding(settings.encoding)
    if format == "jsonl":
        _check_json_settings(settings)
    _check_delimiter(settings.delimiter)
    _check_fractions(settings)


def _check_json_settings(settings):
    if settings.delimiter is not None:
        raise UserError(
            f"--delimiter={settings.delimiter}: JSON objects have none"
        )
    if not settings.header:
        raise UserError("--header=false: JSON objects name their columns")
    if _encoding(settings.encoding) != "utf-8-sig":
        raise UserError(
            f"--encoding={settings.encoding}: JSON files are always utf-8"
        )


def _check_encoding(encoding):
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
    except LookupError:
        raise UserError(
            f"--encoding={encoding}: no such encoding; utf-8, latin-1, cp1252 "
            "and utf-16 are some"
        ) from None


def _check_delimiter(delimiter):
    if delimiter is None:
        return
    tab = _unescaped(delimiter)
    if len(tab) != 1 or not tab.isascii() or tab in '"\r\n\0':
        raise UserError(
            f"--delimiter={delimiter}: must be one ASCII character, no quote, "
            "or \\t for a tab"
        )


def _check_fractions(settings):
    for name in ("dev", "test"):
        fraction = getattr(settings, f"{name}_fraction")
        path = getattr(settings, f"{name}_file")
        if not 0 <= fraction < 1:
            raise UserError(
                f"--{name}_fraction={fraction}: must be at least 0 and below 1"
            )
        if path and fraction:
            raise UserError(
                f"--{name}_file={path} and --{name}_fraction={fraction}: only "
                "one of them can be given"
            )
    dev, test = settings.dev_fraction, settings.test_fraction
    if _exact(dev) + _exact(test) >= 1:
        raise UserError(
            f"--dev_fraction={dev} and --test_fraction={test}: together they "
            "must be below 1"
        )


def _check_source(settings, name):
    """Raises UserError where a set has no file that could be there."""
    fraction = getattr(settings, f"{name}_fraction", 0)
    source = "train" if fraction else name
    path = getattr(settings, f"{source}_file")
    if not path and fraction:
        raise UserError(
            f"--{name}_fraction={fraction}: takes rows of --train_file, which "
            "must be given"
        )
    if not path:
        other = "" if name == "train" else f" or --{name}_fraction"
        raise UserError(f"--{name}_file{other} must be given")
    if not files.exists(path):
        raise UserError(f"--{source}_file={path}: no such file or folder")
    if files.is_folder(path):
        raise UserError(f"--{source}_file={path}: is a folder, not a file")


def _unescaped(delimiter):
    return "\t" if delimiter == "\\t" else delimiter


def _encoding(name):
    """UTF-8 comes with a byte order mark or without one."""
    is_utf8 = codecs.lookup(name).name == "utf-8"
    return "utf-8-sig" if is_utf8 else name


def _exact(fraction):
    """0.1 is a tenth, not the binary number next to it."""
    return fractions.Fraction(str(fraction))


# ---------------------------------------------------------------------------
# From a file's columns to examples.


def _read(settings, format, set_type) -> TableSet:
    """The examples of a set's own file."""
    path = getattr(settings, f"{set_type}_file")
    reader = _read_json if format == "jsonl" else _read_cells
    columns, lines = reader(path, settings, format, set_type)
    total = len(columns.rows)
    if not total:
        raise UserError(f"{path}: no examples in this file")
    _check_no_numbers(columns.texts, "text_column", settings)
    _check_no_numbers(columns.pairs, "text_pair_column", settings)
    oddities = _Oddities(path, lines, total, settings.strict)
    left_out = _without_text(columns.texts, set_type, settings, oddities)
    columns.labels = _converted(columns.labels, set_type, settings, oddities)
    left_out += _without_label(columns.labels, set_type, settings, oddities)
    if left_out:
        kept = sorted(set(range(total)).difference(left_out))
        columns = columns.pick(kept)
    if not columns.rows:
        raise UserError(f"{path}: no row has a text and a label")
    return TableSet(set_type, path, lines, columns)


@dataclasses.dataclass
class _Oddities:
    """Counts odd rows of a file, or makes errors of them under --strict."""

    path: str
    lines: "_Lines"
    total: int
    strict: bool

    def place(self, row):
        return f"{self.path}:{self.lines.of(row)}"

    def report(self, rows, what, where, consequence):
        if not rows:
            return
        if self.strict:
            raise UserError(
                f"{self.place(rows[0])}: {what} in {where}, under --strict"
            )
        logging.warning(
            "%s: %s %s (row of line %s first): %s",
            self.path,
            _count(len(rows), self.total),
            what,
            self.lines.of(rows[0]),
            consequence,
        )


def _without_text(texts, set_type, settings, oddities):
    """Rows to leave out as they have no text; others get a prediction."""
    is_train = set_type == "train"
    rows = [row for row, text in enumerate(texts) if _is_empty(text)]
    oddities.report(
        rows,
        "no text",
        f"--text_column={settings.text_column}",
        "left out" if is_train else "kept, to be predicted",
    )
    return rows if is_train else []


def _without_label(labels, set_type, settings, oddities):
    """Rows to leave out as nothing can be learned or measured with them."""
    if set_type == "test":
        return []
    rows = [row for row, label in enumerate(labels) if label is None]
    where = f"--label_column={settings.label_column}"
    oddities.report(rows, "no label", where, "left out")
    return rows


def _is_empty(text):
    return not text or text.isspace()


def _check_no_numbers(texts, name, settings):
    """An id, a label or a rating is easily taken for the text."""
    words = [text for text in texts or () if text]
    # The first text that is one ends the search.
    if not words or any(_number(text) is None for text in words):
        return
    wrong = (
        f"--{name}={getattr(settings, name)}: all values are numbers; is this "
        "the text?"
    )
    if settings.strict:
        raise UserError(wrong)
    logging.warning("%s", wrong)


def _converted(values, set_type, settings, oddities):
    """The labels; one that is no number is unknown in a test set."""
    convert = _converter(settings, set_type)
    known, labels, wrong = {}, [], []
    for row, value in enumerate(values):
        if value not in known:
            try:
                known[value] = convert(value)
            except ValueError as error:
                if set_type != "test" or not isinstance(error, _NoNumber):
                    raise UserError(f"{oddities.place(row)}: {error}") from None
                known[value] = error
        label = known[value]
        if isinstance(label, _NoNumber):
            wrong.append(row)
            label = None
        labels.append(label)
    where = f"--label_column={settings.label_column}"
    oddities.report(wrong, "a label that is no number", where, "unknown")
    return labels


class _NoNumber(ValueError):
    """A label of regression that is none."""


def _converter(settings, set_type):
    """Function from the content of a cell to a label; None: there is none."""
    if settings.problem_type == "single_label":
        return lambda text: _collapsed(text or "") or None
    if settings.problem_type == "regression":
        return functools.partial(_to_number, settings)
    delimiter = _unescaped(settings.label_delimiter)
    return functools.partial(_to_labels, settings, delimiter, set_type)


def _collapsed(text):
    return " ".join(text.split())


def _to_number(settings, text):
    if _is_empty(text):
        return None
    number = _number(text)
    if number is None:
        raise _NoNumber(
            f"label {text!r} in --label_column={settings.label_column} is no "
            "finite number"
        )
    return number


def _to_labels(settings, delimiter, set_type, value):
    """Labels of a cell, a JSON list, or of several cells of 0 and 1."""
    if value is None:
        return None
    if isinstance(value, _Marks):
        return value.labels(settings, set_type)
    parts = value.split(delimiter) if isinstance(value, str) else value
    # A dict keeps the order, and each label once.
    return tuple(dict.fromkeys(filter(None, map(_collapsed, parts))))


class _Marks(tuple):
    """(column, cell) of a row for each of several label columns."""

    __slots__ = ()

    def labels(self, settings, set_type):
        cells = [(name, (cell or "").strip()) for name, cell in self]
        if set_type == "test" and not all(cell for _, cell in cells):
            return None
        for name, cell in cells:
            if cell.lower() not in _BOOLEANS:
                raise ValueError(
                    f"{cell!r} in column {name} of --label_column="
                    f"{settings.label_column}: must be 0 or 1"
                )
        return tuple(name for name, cell in cells if _BOOLEANS[cell.lower()])


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


# ---------------------------------------------------------------------------
# The split of a training file.


def _check_not_empty(table, settings):
    if len(table):
        return
    names = ["dev", "test"] if table.set_type == "train" else [table.set_type]
    given = " and ".join(
        f"--{name}_fraction={fraction}"
        for name in names
        if (fraction := getattr(settings, f"{name}_fraction"))
    )
    raise UserError(
        f"{given}: no row of {table.path} is in the {table.set_type} set then"
    )


class _Share:
    """Hands out a fraction of the rows of one group after the other.

    Each group gives its share, rounded up or down; what is too little or too
    much in one group is made up for in the next.
    """

    def __init__(self, fraction: fractions.Fraction):
        self._top, self._bottom = fraction.numerator, fraction.denominator
        self._owed = 0  # In rows / `_bottom`.

    def floor(self, number):
        return number * self._top // self._bottom

    def ceil(self, number):
        return -(-number * self._top // self._bottom)

    def take(self, number, low, high):
        self._owed += number * self._top
        nearest = (2 * self._owed + self._bottom) // (2 * self._bottom)
        taken = max(low, min(high, nearest))
        self._owed -= taken * self._bottom
        return taken


def _split(labels, settings) -> dict:
    """{set: indices in order}; each group of labels gives each set its share.

    A share is rounded up or down. Of a single label with few rows the training
    set gets one first: what was not learned cannot be evaluated.
    """
    exact_test = _exact(settings.test_fraction)
    exact_dev = _exact(settings.dev_fraction)
    parts = {name: [] for name in SETS}
    test, dev = _Share(exact_test), _Share(exact_dev)
    train = _Share(1 - exact_test - exact_dev)
    reserved = int(settings.problem_type == "single_label")
    for group in _groups(labels, settings):
        size = len(group)
        low = test.floor(size)
        high = max(low, min(test.ceil(size), size - reserved))
        num_test = test.take(size, low, high)
        rest = size - num_test
        low = max(dev.floor(size), rest - train.ceil(size))
        high = min(dev.ceil(size), rest - train.floor(size))
        high = max(low, min(high, rest - reserved))
        num_dev = dev.take(size, low, high)
        parts["test"] += group[:num_test]
        parts["dev"] += group[num_test : num_test + num_dev]
        parts["train"] += group[num_test + num_dev :]
    return {name: sorted(indices) for name, indices in parts.items()}


def _groups(labels, settings):
    """Indices of the same label, or of neighbours in value; both shuffled."""
    generator = random.Random(settings.split_seed)
    if settings.problem_type == "regression":
        order = sorted(range(len(labels)), key=labels.__getitem__)
        groups = [
            order[start : start + NUM_NEIGHBOURS]
            for start in range(0, len(order), NUM_NEIGHBOURS)
        ]
    else:
        by_label = collections.defaultdict(list)
        for index, label in enumerate(labels):
            # The order of several labels says nothing.
            key = tuple(sorted(label)) if isinstance(label, tuple) else label
            by_label[key].append(index)
        groups = [by_label[label] for label in sorted(by_label)]
        generator.shuffle(groups)  # Each rare label gets its chance.
    for group in groups:
        generator.shuffle(group)
    return groups


# ---------------------------------------------------------------------------
# CSV and TSV.


class _Lines:
    """The line on which each row of a file starts, found when asked for."""

    def __init__(self, find):
        self._find = find

    def of(self, row: int) -> int:
        return self._starts[row]

    @functools.cached_property
    def _starts(self):
        return self._find()


class _Bytes(io.RawIOBase):
    """What Python's own readers want, around any reader of bytes."""

    def __init__(self, reader):
        self._reader = reader

    def readable(self):
        return True

    def readinto(self, buffer):
        block = self._reader.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


class _NulCharacter(ValueError):
    """Older versions of pandas would cut the cell off there."""


class _Text(io.TextIOWrapper):
    """What pandas reads."""

    def read(self, size=-1):
        text = super().read(size)
        if "\0" in text:
            raise _NulCharacter
        return text


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """How the cells stand in a file."""

    path: str
    encoding: str
    delimiter: str
    has_quotes: bool

    @property
    def quoting(self):
        return csv.QUOTE_MINIMAL if self.has_quotes else csv.QUOTE_NONE

    @contextlib.contextmanager
    def opened(self):
        """Gives a reader of the text; lines keep their ends."""
        # In TSV a line ends at \n alone, as everywhere in this package.
        newline = "" if self.has_quotes else "\n"
        encoding = _encoding(self.encoding)
        with files.reading(self.path) as reader:
            buffer = io.BufferedReader(_Bytes(reader), 1 << 20)
            try:
                yield _Text(buffer, encoding, newline=newline)
            except _NulCharacter:
                raise UserError(
                    f"{self.path}:{self._line_of_nul()}: a NUL character, "
                    "which is in no text; --encoding=utf-16 files have some"
                ) from None
            except UnicodeError as error:
                raise UserError(
                    f"{self.path}: not {self.encoding}: "
                    f"{self._what_is_wrong(error)}; --encoding=latin-1 is "
                    "another common one"
                ) from None

    def _what_is_wrong(self, error):
        """The byte, and its line in encodings whose lines end with one byte."""
        if not isinstance(error, UnicodeDecodeError):
            return files.reason(error)
        byte = error.object[error.start]
        with files.reading(self.path) as reader:
            for number, line in enumerate(reader, start=1):
                try:
                    line.decode(self.encoding)
                except UnicodeDecodeError as found:
                    if found.object[found.start] == byte:
                        return f"byte 0x{byte:02x} in line {number}"
                    break
        return f"byte 0x{byte:02x}"

    def _line_of_nul(self):
        with self.opened() as reader:
            numbered = enumerate(reader, start=1)
            return next(number for number, line in numbered if "\0" in line)

    def frame(self):
        """All cells as texts, the header's among them.

        It knows no line numbers, fills up short rows and takes empty lines
        for rows: `scan` tells these apart.
        """
        # It takes half a second, which those who read no table need not wait.
        import pandas as pd

        with self.opened() as reader:
            return pd.read_csv(
                reader,
                sep=self.delimiter,
                header=None,  # As a row: names may stand twice.
                index_col=False,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                quoting=self.quoting,
                lineterminator=None if self.has_quotes else "\n",
                engine="c",
                low_memory=False,
            )

    def scan(self):
        """(line, number of cells) of each row; an empty line has no cell."""
        lines, counts = array.array("q"), array.array("q")
        with self.opened() as reader, _without_limit():
            rows = csv.reader(
                reader if self.has_quotes else map(_without_end, reader),
                delimiter=self.delimiter,
                quoting=self.quoting,
            )
            line = 1
            for cells in rows:
                lines.append(line)
                counts.append(len(cells))
                line = rows.line_num + 1
        return lines, counts


def _without_end(line):
    # A lone \r is an error to csv, and a character like others in TSV.
    return line.rstrip("\r\n").replace("\r", " ")


@contextlib.contextmanager
def _without_limit():
    """The csv module takes long cells for a mistake."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


class _Cells:
    """The cells of a CSV or TSV file, by column."""

    def __init__(self, dialect: _Dialect, settings: TableSettings):
        self._dialect, self._settings = dialect, settings
        self._frame = _checked_frame(dialect, settings.header)
        self._width = self._frame.shape[1]
        self.names = [str(number + 1) for number in range(self._width)]
        if settings.header:
            self.names = self._frame.iloc[0].tolist()
            if not dialect.has_quotes:
                self.names[-1] = self.names[-1].removesuffix("\r")

    def __len__(self):
        return len(self._frame) - self._settings.header

    def column(self, flag: str, name: str) -> list:
        """The cells of a column that a flag names."""
        path = self._dialect.path
        index = _find_column(path, self._settings, self.names, flag, name)
        return self._values(index)[self._settings.header :]

    def optional_column(self, flag: str):
        name = getattr(self._settings, flag)
        return self.column(flag, name) if name else None

    def _values(self, index):
        values = self._frame.iloc[:, index].tolist()
        if self._dialect.has_quotes or index < self._width - 1:
            return values
        # In TSV the \r of a line's end is pandas' last character.
        return [value.removesuffix("\r") for value in values]


def _read_cells(path, settings, format, set_type):
    """(_Columns, _Lines) of a CSV or TSV file."""
    delimiter = "," if format == "csv" else "\t"
    if settings.delimiter is not None:
        delimiter = _unescaped(settings.delimiter)
    dialect = _Dialect(path, settings.encoding, delimiter, format == "csv")
    cells = _Cells(dialect, settings)
    texts = cells.column("text_column", settings.text_column)
    labels = _label_columns(settings, cells.names)
    if set_type == "test" and not set(labels) & set(cells.names):
        labels = []
    marks = [(name, cells.column("label_column", name)) for name in labels]
    columns = _Columns(
        list(range(len(cells))),
        texts,
        _label_cells(marks, len(cells)),
        cells.optional_column("text_pair_column"),
        cells.optional_column("id_column"),
    )
    return columns, _Lines(functools.partial(_starts, dialect, settings.header))


def _starts(dialect, header):
    return dialect.scan()[0][header:]


def _label_cells(marks, number):
    """The content of one label column, or of several for each row."""
    if not marks:
        return [None] * number
    if len(marks) == 1:
        return marks[0][1]
    names = [name for name, _ in marks]
    rows = zip(*(values for _, values in marks), strict=True)
    return [_Marks(zip(names, row, strict=True)) for row in rows]


def _label_columns(settings, names):
    """Names of one label column, or of several."""
    name = settings.label_column
    is_one = settings.problem_type != "multi_label" or name in names
    return [name] if is_one else [part.strip() for part in name.split(",")]


def _find_column(path, settings, names, flag, name):
    """The number of a column from 0."""
    given = f"--{flag}={getattr(settings, flag)}"
    if not settings.header and not name.isdecimal():
        raise UserError(
            f"{given}: with --header=false columns are numbers from 1 on"
        )
    is_whole = name == getattr(settings, flag)
    called = "such column" if is_whole else f"column {name}"
    if name not in names:
        raise UserError(
            f"{given}: {path} has no {called}; it has {_names(names)}"
        )
    if names.count(name) > 1:
        raise UserError(
            f"{given}: {path} has {names.count(name)} columns of that name"
        )
    return names.index(name)


def _checked_frame(dialect, header):
    """The cells of a file without the empty lines at its end.

    Raises:
        UserError: a row has more or fewer cells than the first, a quote is
            not closed, or the file is empty.
    """
    import pandas as pd

    try:
        frame = dialect.frame()
    except pd.errors.EmptyDataError:
        is_empty = not any(dialect.scan()[1])
        raise UserError(
            f"{dialect.path}: the file is empty"
            if is_empty
            else f"{dialect.path}:1: an empty line at the start of the file"
        ) from None
    except pd.errors.ParserError as error:
        raise UserError(_damage(dialect, header, str(error))) from None
    is_wide = frame.shape[1] > 1
    # The usual file needs no second look.
    last_row = [cell.removesuffix("\r") for cell in frame.iloc[-1]]
    last_column = frame.iloc[1:, -1]
    if any(last_row) and not (is_wide and last_column.isin(["", "\r"]).any()):
        return frame
    lines, counts = dialect.scan()
    number = len(counts)
    while number and not counts[number - 1]:
        number -= 1
    if is_wide:
        _check_counts(dialect.path, lines, counts[:number], header)
    return frame.iloc[:number]


def _check_counts(path, lines, counts, header):
    first = counts[0]
    for line, count in zip(lines, counts, strict=False):
        if count != first:
            what = "header" if header else "first row"
            cells = "1 cell" if count == 1 else f"{count} cells"
            raise UserError(
                f"{path}:{line}: {cells}, but the {what} has {first}"
            )


def _damage(dialect, header, reason):
    """What is wrong with a file that cannot be parsed, and where."""
    lines, counts = dialect.scan()
    if "EOF inside string" in reason:
        return f"{dialect.path}:{lines[-1]}: a quote is opened and never closed"
    _check_counts(dialect.path, lines, counts, header)
    return f"{dialect.path}: {files.reason(ValueError(reason))}"


# ---------------------------------------------------------------------------
# JSON.


def _read_json(path, settings, format, set_type):
    """(_Columns, _Lines) of a file with a JSON object on each line."""
    names = settings.text_column, settings.text_pair_column, settings.id_column
    texts = [name for name in names if name]
    labels, rows, numbers = None, [], array.array("q")
    for number, value in _objects(path):
        place = f"{path}:{number}"
        labels = labels or _label_columns(settings, value)
        row = [_json_text(value, name, place) for name in texts]
        for name in labels:
            if name not in value and set_type == "test":
                row.append(None)
            elif len(labels) == 1 and settings.problem_type == "multi_label":
                row.append(_json_labels(value, name, place))
            else:
                row.append(_json_text(value, name, place))
        rows.append(row)
        numbers.append(number)
    found = [list(column) for column in zip(*rows, strict=True)]
    by_name = dict(zip(texts, found, strict=False))
    marks = list(zip(labels or (), found[len(texts) :], strict=True))
    columns = _Columns(
        list(range(len(rows))),
        by_name.get(settings.text_column, []),
        _label_cells(marks, len(rows)),
        by_name.get(settings.text_pair_column),
        by_name.get(settings.id_column),
    )
    return columns, _Lines(functools.partial(list, numbers))


def _objects(path):
    """Yields (line, dict) for each line; empty ones at the end are none."""
    empty = None
    for number, line in files.read_lines(path):
        if not line.strip():
            empty = empty or number
            continue
        if empty:
            raise UserError(f"{path}:{empty}: not JSON: an empty line")
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not JSON: {error.msg} at position "
                f"{error.colno} of the line"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}:{number}: not JSON: {files.reason(error)}"
            ) from None
        if not isinstance(value, dict):
            raise UserError(
                f"{path}:{number}: not an object such as "
                '{"text": "…", "label": "…"}'
            )
        yield number, value


def _json_value(parent, name, place):
    if name not in parent:
        raise UserError(
            f'{place}: no "{name}"; the keys are {_names(list(parent))}'
        )
    return parent[name]


def _json_text(parent, name, place):
    value = _json_value(parent, name, place)
    return _scalar(value, name, place, "text, a number or null")


def _json_labels(parent, name, place):
    """A text that holds labels, or a tuple of them."""
    value = _json_value(parent, name, place)
    if isinstance(value, list):
        allowed = "a list of texts or numbers"
        return tuple(_scalar(item, name, place, allowed) for item in value)
    return _scalar(value, name, place, "text, a list or null")


def _scalar(value, name, place, allowed):
    """A value as text; null is the empty one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise UserError(f'{place}: "{name}" must be {allowed}')
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(
                f'{place}: "{name}" has half a surrogate pair, such as \\ud800 '
                "alone: no text in UTF-8"
            ) from None
    return value
