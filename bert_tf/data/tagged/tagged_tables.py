"""Sentences in Excel's, Parquet's and Arrow's files.

tokens                ner_tags             a row for each sentence
["Anna", "went"]      ["B-PER", "O"]

Sentence #    Word    Tag                  a row for each word
Sentence: 1   Anna    B-PER
              went    O
"""

import dataclasses

from bert_tf.data.tabular import spreadsheets
from bert_tf.data.tabular.table import Table
from bert_tf.data.tabular.value_table import ValueTable
from bert_tf.data.tagged import conll, tagged_json
from bert_tf.data.tagged.sentences import WordColumns, WordFile
from bert_tf.file_contents import Content


def is_table(content: Content) -> bool:
    """Whether a file is a table of another kind than text."""
    return content.kind is not None and content.kind.role == "table"


def read(
    content: Content, set_type: str, columns: WordColumns, strict: bool
) -> WordFile:
    """The sentences of a table.

    Args:
        content: of the file.
        set_type, columns, strict: see `tagged_json.read`.

    Raises:
        UserError: see `spreadsheets.read_table`, `tagged_json.read_values` and
            `conll.read_rows`.
    """
    table = spreadsheets.read_table(content)
    if isinstance(table, ValueTable):
        objects = [*table.objects()]
        if any(
            isinstance(value, list | tuple | dict)
            for _, row in objects[:1]
            for value in row.values()
        ):
            lists = (
                (line, {name: _plain(value) for name, value in row.items()})
                for line, row in objects
            )
            return tagged_json.read_values(
                table.path, lists, set_type, columns, strict, table.class_names
            )
    columns = dataclasses.replace(columns, delimiter="\t")
    return conll.read_rows(table.path, _lines(table), set_type, columns)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _lines(table: Table) -> list[str]:
    """A table as lines with tabs between the cells."""
    cells = [table.texts(name, optional=True) for name in table.names]
    return [
        "\t".join(" ".join((cell or "").split()) for cell in row)
        for row in (table.names, *zip(*cells, strict=True))
    ]
