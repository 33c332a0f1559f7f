"""Several endings of a text, of which one is right: files in SWAG's columns.

    sent1, sent2, ending0, ending1, …, label

A CSV file has them as columns; a file whose name ends in .json or .jsonl
(.gz behind it or not) as keys of an object on each line. `sent2` is how each
ending begins, and may be missing; the label is the number of the right ending.
How many endings there are may differ from row to row: empty ones behind the
last are none.
"""

import dataclasses
import re

from bert_tf import files
from bert_tf.data import splits, tabular
from bert_tf.errors import UserError

MIN_ENDINGS = 2


@dataclasses.dataclass
class ChoiceExample:
    """A text with its endings.

    Attributes:
        guid: unique id, such as "dev-7".
        text: what the model reads first, `sent1`.
        endings: what it reads behind, `sent2` and one ending each.
        label: the number of the right one, "0" the first; or None.
    """

    guid: str
    text: str
    endings: list
    label: str | None = None


def read_sets(settings, sets) -> dict:
    """{set: list of `ChoiceExample`}.

    Args:
        settings: an `own_files.FileSettings` with `id_column`, `delimiter`
            and `encoding`, see `tables.TableSettings`.
        sets: some of "train", "dev" and "test".

    Raises:
        UserError: a file cannot be used.
    """
    pick = splits.pick_and_rename
    if settings.id_column:  # People's own ids stay as they are.
        pick = splits.pick_as_they_are
    return splits.read_sets(
        settings,
        sets,
        read=lambda path, set_type: read_choices(path, set_type, settings),
        pick=pick,
        label_of=lambda example: example.label,
    )


def read_choices(path: str, set_type: str, settings) -> list:
    """The examples of a file; those of a "test" set need no labels.

    Rows without `sent1` are left out of a training file.
    """
    is_json = files.is_json_lines(path)
    table = tabular.read_table(
        path,
        "jsonl" if is_json else "csv",
        None if is_json else settings.delimiter,
        settings.encoding,
    )
    if not len(table):
        raise UserError(f"{path}: no examples in this file")
    odd_rows = tabular.OddRows(table, settings.strict)
    texts = [text or "" for text in table.texts("sent1")]
    endings = _endings(table, is_json)
    labels = _labels(table, [*map(len, endings)], set_type, odd_rows)
    columns = (
        _guids(table, set_type, settings.id_column),
        texts,
        map(_begun, table.texts("sent2", optional=True), endings),
        labels,
    )
    examples = [ChoiceExample(*row) for row in zip(*columns, strict=True)]
    empty = [row for row, text in enumerate(texts) if tabular.is_empty(text)]
    if set_type != "train":
        odd_rows.report(empty, "no text", "sent1", "kept, to be predicted")
        return examples
    odd_rows.report(empty, "no text", "sent1", "left out")
    examples = [e for e in examples if not tabular.is_empty(e.text)]
    _check_varied(examples, path)
    return examples


def _begun(start, endings):
    """Endings behind what each of them begins with."""
    if tabular.is_empty(start):
        return endings
    return [f"{start} {ending}" for ending in endings]


def _check_varied(examples, path):
    if not examples:
        raise UserError(f"{path}: no row has a text in sent1")
    label = examples[0].label
    if all(example.label == label for example in examples):
        raise UserError(
            f"{path}: all {len(examples)} rows have the label {label!r}: there "
            "is nothing to learn"
        )


def _guids(table, set_type, id_column):
    ids = [None] * len(table)
    if id_column:
        ids = table.texts(id_column, f"--id_column={id_column}")
    return [
        " ".join((name or "").split()) or f"{set_type}-{row}"
        for row, name in enumerate(ids)
    ]


# ---------------------------------------------------------------------------
# Endings.


def _endings(table, is_json):
    """A list of texts for each row, without the empty ones behind the last."""
    if is_json and "endings" in table.names:
        rows = table.texts_or_lists("endings")
    else:
        columns = [
            # A JSON object ends where its endings do.
            table.texts(name, optional=is_json)
            for name in _ending_names(table)
        ]
        rows = zip(*columns, strict=True)
    return [_checked_endings(table, *numbered) for numbered in enumerate(rows)]


def _ending_names(table):
    """ending0, ending1, …, as many as there are."""
    numbers = sorted(
        int(name.removeprefix("ending"))
        for name in {*table.names}
        if re.fullmatch("ending(0|[1-9][0-9]*)", name)
    )
    if len(numbers) < MIN_ENDINGS or numbers[-1] != len(numbers) - 1:
        raise UserError(
            f"{table.path}: the endings must be in columns ending0, ending1 "
            "and so on, at least two; it has "
            f"{tabular.listed(table.names)}"
        )
    return [f"ending{number}" for number in numbers]


def _checked_endings(table, row, endings):
    if not isinstance(endings, tuple):
        raise UserError(f'{table.place(row)}: "endings" must be a list')
    endings = [ending or "" for ending in endings]
    while endings and tabular.is_empty(endings[-1]):
        endings.pop()
    for number, ending in enumerate(endings):
        if tabular.is_empty(ending):
            raise UserError(
                f"{table.place(row)}: ending{number} is empty, but "
                f"ending{len(endings) - 1} is not"
            )
    if len(endings) < MIN_ENDINGS:
        raise UserError(
            f"{table.place(row)}: {len(endings) or 'no'} ending"
            f"{'' if endings else 's'}, but there must be at least two"
        )
    return endings


# ---------------------------------------------------------------------------
# Labels.


def _labels(table, sizes, set_type, odd_rows):
    """The label of each row, of which so many endings are to be chosen from.

    One that is none of them is unknown in a test set.
    """
    is_test = set_type == "test"
    labels, wrong = [], []
    texts = table.texts("label", optional=is_test)
    for row, (text, size) in enumerate(zip(texts, sizes, strict=True)):
        label = _label(text or "", size)
        if label is None and not is_test:
            what = "no label" if tabular.is_empty(text) else f"label {text!r}"
            raise UserError(
                f"{table.place(row)}: {what}; it must be a whole number from 0 "
                f"to {size - 1}, that of the right ending"
            )
        if label is None and not tabular.is_empty(text):
            wrong.append(row)
        labels.append(label)
    odd_rows.report(
        wrong, "a label that is no ending's number", "label", "unknown"
    )
    return labels


def _label(text, size):
    number = tabular.number(text)
    is_known = number is not None and number in range(size)
    return str(int(number)) if is_known else None
