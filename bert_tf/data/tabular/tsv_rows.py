"""The rows of a tab-separated file without quoting, and the line of each."""

from collections.abc import Iterator, Sequence

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.errors import UserError


def read_tsv(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, columns) for each row of a tab-separated file.

    Empty lines at the end of the file are dropped.
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

    def __init__(self, path: str, number: int, columns: Sequence[str]):
        self.path, self.number, self.columns = path, number, columns

    @property
    def place(self) -> str:
        """ "path:line" of the row."""
        return f"{self.path}:{self.number}"

    def __call__(self, column: int, what: str) -> str:
        """The text of a column, counted from 0; -1 is the last."""
        if column >= len(self.columns):
            raise UserError(
                f"{self.place}: {number_of(len(self.columns), 'column')}, "
                f"but {what} is column {column + 1} (columns are separated by "
                "tabs)"
            )
        return self.columns[column]
