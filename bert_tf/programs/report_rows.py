"""Writes the lines from which a report is made, next to a run's results."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from bert_tf import files
from bert_tf.programs.run_folder import RunFolder
from bert_tf.report import stored


def write_rows(
    folder: RunFolder, name: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Writes lines of JSON to a file of the report, if this process writes.

    Args:
        folder: of the run, or of its results for another file.
        name: of the file, such as "eval.jsonl".
        rows: the lines; those after the first `stored.MAX_ROWS` are left out.
    """
    first = itertools.islice(rows, stored.MAX_ROWS)
    write_lines(folder, name, map(stored.to_line, first))


def write_lines(folder: RunFolder, name: str, lines: Iterable[str]) -> None:
    """Writes lines to a file of the report, if this process writes.

    Args:
        folder, name: see `write_rows`.
        lines: of `stored.to_line`.
    """
    if not folder.writes:
        return
    path = stored.file_of(folder.path, name)
    files.make_folder_of(path)
    with files.writing_text(path) as writer:
        writer.writelines(lines)
