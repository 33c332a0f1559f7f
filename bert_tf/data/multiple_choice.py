"""Several endings of a text, of which one is right: files in SWAG's columns.

    sent1, sent2, ending0, ending1, …, label

A CSV file has them as columns, and a file of JSON objects as keys. `sent2` is
how each ending begins, and may be missing; the label is the number of the right
ending. Rows may differ in the number of endings: empty ones at the end do not
count.
"""

import dataclasses
import re
from collections.abc import Iterable

from bert_tf.data import splits
from bert_tf.data.labelled_table import TableSettings
from bert_tf.data.labels import missing_labels
from bert_tf.data.plausible.examples import of_choices
from bert_tf.data.tabular import csv_files
from bert_tf.data.tabular.json_lines import ObjectTable
from bert_tf.data.tabular.table import (
    RowWarnings,
    ids_of,
    is_empty,
    listed,
    number,
)
from bert_tf.errors import UserError

MIN_ENDINGS = 2


@dataclasses.dataclass
class ChoiceExample:
    """A text with its endings.

    Attributes:
        guid: unique id, such as "dev-7".
        text: the text that the model reads first, `sent1`.
        endings: the texts that it reads next, each `sent2` and one ending.
        label: the number of the right one, "0" the first; or None.
        line: where it is in its file, from 1.
    """

    guid: str
    text: str
    endings: list[str]
    label: str | None = None
    line: int = dataclasses.field(default=0, compare=False, repr=False)


def read_sets(
    settings: TableSettings, sets: Iterable[str]
) -> dict[str, list[ChoiceExample]]:
    """Reads the sets that are asked for.

    Args:
        settings: the files, with `id_column`, `delimiter` and `encoding`.
        sets: some of "train", "dev" and "test".

    Returns:
        {set: its examples}.

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
        sample_of=of_choices(settings.id_column),
    )


def read_choices(
    path: str, set_type: str, settings: TableSettings
) -> list[ChoiceExample]:
    """The examples of a file; those of a "test" set need no labels.

    Rows without `sent1` are left out of a training file, and those without a
    label of all files but a "test" set.
    """
    table = csv_files.read_any_table(
        path,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        strict=settings.strict,
    )
    if not len(table):
        raise UserError(f"{path}: no examples in this file")
    warnings = RowWarnings(table, settings.strict)
    texts = [text or "" for text in table.texts("sent1")]
    endings = _endings(table)
    labels = _labels(
        table,
        [*map(len, endings)],
        set_type,
        warnings,
        settings.missing_label,
    )
    columns = (
        _guids(table, set_type, settings),
        texts,
        map(_begun, table.texts("sent2", optional=True), endings),
        labels,
        table.lines,
    )
    examples = [ChoiceExample(*row) for row in zip(*columns, strict=True)]
    is_train = set_type == "train"
    warnings.report(
        [row for row, text in enumerate(texts) if is_empty(text)],
        what="no text",
        where="sent1",
        consequence="left out" if is_train else "kept, to be predicted",
    )
    if set_type == "test":
        return examples
    examples = [e for e in examples if e.label is not None]
    if not examples:
        raise UserError(f"{path}: no row has a label")
    if not is_train:
        return examples
    examples = [e for e in examples if not is_empty(e.text)]
    if not examples:
        raise UserError(f"{path}: no row has a text in sent1")
    splits.check_varied(
        [example.label for example in examples],
        path,
        f"all {len(examples)} rows have the label {examples[0].label!r}",
    )
    return examples


def _begun(start, endings):
    """The endings with the words that each of them begins with."""
    if is_empty(start):
        return endings
    return [f"{start} {ending}" for ending in endings]


def _guids(table, set_type, settings):
    is_needed = splits.needs_ids(settings, set_type)
    ids = ids_of(table, settings.id_column, is_needed) or [""] * len(table)
    return [
        " ".join(name.split()) or f"{set_type}-{row}"
        for row, name in enumerate(ids)
    ]


# ---------------------------------------------------------------------------
# Endings.


def _endings(table) -> list[list[str]]:
    """The endings of each row, without empty ones at the end."""
    if "endings" in table.names:
        rows = table.texts_or_lists("endings")
    else:
        columns = [
            # A JSON object ends where its endings do.
            table.texts(name, optional=isinstance(table, ObjectTable))
            for name in _ending_names(table)
        ]
        rows = zip(*columns, strict=True)
    return [
        _checked_endings(table, row, endings)
        for row, endings in enumerate(rows)
    ]


def _ending_names(table):
    """ending0, ending1, …, as many as the table has."""
    numbers = sorted(
        int(name.removeprefix("ending"))
        for name in {*table.names}
        if re.fullmatch("ending(0|[1-9][0-9]*)", name)
    )
    if len(numbers) < MIN_ENDINGS or numbers[-1] != len(numbers) - 1:
        raise UserError(
            f"{table.path}: the endings must be in columns ending0, ending1 "
            f"and so on, at least two; it has {listed(table.names)}"
        )
    return [f"ending{number}" for number in numbers]


def _checked_endings(table, row, endings):
    if not isinstance(endings, tuple):
        raise UserError(f'{table.place(row)}: "endings" must be a list')
    endings = [ending or "" for ending in endings]
    while endings and is_empty(endings[-1]):
        endings.pop()
    for place, ending in enumerate(endings):
        if is_empty(ending):
            raise UserError(
                f"{table.place(row)}: ending{place} is empty, but "
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


def _labels(table, sizes, set_type, warnings, missing_label):
    """The label of each row; `sizes` are the numbers of endings.

    None where there is none. In a test set, a label that is not the number of
    an ending is unknown.
    """
    is_test = set_type == "test"
    labels, wrong, missing = [], [], []
    texts = table.label_values("label", optional=is_test)
    for row, (text, size) in enumerate(zip(texts, sizes, strict=True)):
        if isinstance(text, tuple) and len(text) == 1:
            (text,) = text
        label = _label(text or "", size) if isinstance(text, str) else None
        is_sure = label is not None and missing_label is None
        if not is_sure and _is_missing(text, missing_label):
            missing.append(row)
            label = None
        elif label is None and not is_test:
            raise UserError(
                f"{table.place(row)}: label {text!r}; it must be a whole "
                f"number from 0 to {size - 1}, that of the right ending"
            )
        elif label is None:
            wrong.append(row)
        labels.append(label)
    warnings.report(
        wrong,
        what="a label that is not the number of an ending",
        where="label",
        consequence="unknown",
    )
    if not is_test:
        warnings.report(
            missing, what="no label", where="label", consequence="left out"
        )
    return labels


def _is_missing(text, named):
    """Whether a label means that it is not known."""
    if text is None or (isinstance(text, str) and not text.strip()):
        return True
    if not isinstance(text, str):
        return False
    if named is not None:
        return bool(missing_labels.marks_among([text.strip()], named))
    return bool(missing_labels.marks_among([text.strip()], known=["0", "1"]))


def _label(text, size):
    value = number(text)
    is_known = value is not None and value in range(size)
    return str(int(value)) if is_known else None
