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

from bert_tf.data import cells, own_files
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
    return own_files.read_sets(
        settings,
        sets,
        read=lambda path, set_type: read_choices(path, set_type, settings),
        label_of=lambda example: example.label,
    )


def read_choices(path: str, set_type: str, settings) -> list:
    """The examples of a file; those of a "test" set need no labels."""
    is_json = re.search(r"\.jsonl?(\.gz)?$", path)
    table = cells.read_table(
        path,
        "jsonl" if is_json else "csv",
        None if is_json else settings.delimiter,
        settings.encoding,
    )
    names = ending_names(table)
    texts = column(table, "sent1")
    starts = table.texts("sent2") if "sent2" in table.names else texts_of("", table)
    has_labels = set_type != "test" or "label" in table.names
    labels = column(table, "label") if has_labels else texts_of(None, table)
    ids = texts_of(None, table)
    if settings.id_column:
        ids = column(table, settings.id_column, "--id_column=")
    examples = []
    rows = zip(*(table.texts(name) for name in names), strict=True)
    for row, endings in enumerate(rows):
        place = f"{path}:{table.line(row)}"
        endings = without_empty_ones(endings, place)
        guid = " ".join((ids[row] or "").split()) or f"{set_type}-{row}"
        examples.append(
            ChoiceExample(
                guid,
                texts[row] or "",
                [f"{starts[row] or ''} {end}".strip() for end in endings],
                checked_label(labels[row], len(endings), set_type, place),
            )
        )
    if not examples:
        raise UserError(f"{path}: no examples in this file")
    return examples
