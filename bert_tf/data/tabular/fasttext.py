"""fastText's lines as a table with the columns text and label.

__label__ham see you at noon             "see you at noon", ["ham"]
__label__rude __label__angry go away!    "go away!", ["rude", "angry"]
"""

import array
import re
from collections.abc import Iterator
from typing import IO, Any

from bert_tf import files
from bert_tf.data.tabular.value_table import ValueTable
from bert_tf.errors import UserError

PREFIX = "__label__"
_LABELS = re.compile(rf"(?:\s*,?\s*{PREFIX}[^\s,]*)+")
_SEPARATOR = re.compile(r"[\s,]+")


def read_table(reader: IO[bytes], path: str) -> ValueTable:
    """Reads a file; a label is a list where a line has several.

    Args:
        reader: of its bytes, in UTF-8.
        path: of the file, for messages.

    Raises:
        UserError: a line has no label, and others do.
    """
    lines, texts, labels = array.array("q"), [], []
    for number, names, text in read_lines(reader, path):
        lines.append(number)
        texts.append(text)
        labels.append(names)
    has_several = any(len(names) != 1 for names in labels)
    columns: dict[str, list[Any]] = {
        "text": texts,
        "label": [names if has_several else names[0] for names in labels],
    }
    return ValueTable(path, columns, lines)


def read_lines(
    reader: IO[bytes], path: str
) -> Iterator[tuple[int, list[str], str]]:
    """Yields (line, labels, text) of each line that is not empty."""
    for number, line in files.decode_lines(reader, path):
        if not line.strip():
            continue
        found = _LABELS.match(line)
        if found is None:
            raise UserError(
                f"{path}:{number}: no {PREFIX} at the start, as other lines "
                "have"
            )
        names = filter(None, _SEPARATOR.split(found[0]))
        text = line[found.end() :].strip()
        if text.startswith((", ", ",\t")) or line[found.end() :][:1] == ",":
            text = text[1:].strip()
        yield number, [name.removeprefix(PREFIX) for name in names], text
