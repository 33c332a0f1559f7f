"""TableSet: the examples of one set, read from a table of labelled texts."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from bert_tf.data.input_example import InputExample
from bert_tf.data.plausible.sample import NUM_ROWS, Sample
from bert_tf.data.splits import Label


@dataclasses.dataclass
class Columns:
    """The columns of some rows, as lists of equal length.

    Attributes:
        rows: numbers of the rows in their file, from 0, without the header.
        texts, pairs, ids: texts; None for a column that was not asked for.
        labels: as in `InputExample`.
    """

    rows: list[int]
    texts: list[str]
    labels: list[Any]
    pairs: list[str] | None = None
    ids: list[str] | None = None

    def pick(self, indices: Sequence[int]) -> "Columns":
        """The columns of some of the rows."""
        return Columns(
            rows=_picked(self.rows, indices),
            texts=_picked(self.texts, indices),
            labels=_picked(self.labels, indices),
            pairs=_picked(self.pairs, indices),
            ids=_picked(self.ids, indices),
        )


def _picked(column, indices):
    return None if column is None else [column[index] for index in indices]


class TableSet(Sequence[InputExample]):
    """The examples of one set: `InputExample`s, made when they are asked for.

    `labelled_table.read_sets` makes it.

    Attributes:
        set_type: "train", "dev" or "test".
        path: of the file.
        file_labels: the labels of the whole file; the set may be some rows of
            it.
        label_columns: their names, where each label has a column; else None.
    """

    def __init__(
        self,
        set_type: str,
        path: str,
        *,
        lines: Sequence[int],
        columns: Columns,
        file_labels: list[Any] | None = None,
        label_columns: list[str] | None = None,
    ):
        self.set_type, self.path = set_type, path
        self._lines, self._columns = lines, columns
        self.file_labels = file_labels or columns.labels
        self.label_columns = label_columns

    def __len__(self) -> int:
        return len(self._columns.rows)

    def __iter__(self) -> Iterator[InputExample]:
        return map(self._example, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> InputExample: ...

    @overload
    def __getitem__(self, index: slice) -> list[InputExample]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [*map(self._example, range(*index.indices(len(self))))]
        return self._example(index)

    def _example(self, index):
        columns = self._columns
        guid = pair = None
        if columns.ids is not None:
            guid = " ".join(columns.ids[index].split())
        if columns.pairs is not None:
            pair = columns.pairs[index]
        return InputExample(
            guid or f"{self.set_type}-{columns.rows[index]}",
            columns.texts[index],
            pair,
            columns.labels[index],
            self.line(index),
        )

    @property
    def labels(self) -> list[Any]:
        """The label of each example."""
        return list(self._columns.labels)

    def sample(self, **about: Any) -> Sample:
        """What is checked of the set, see `plausibility`.

        Args:
            **about: the attributes of `Sample` that depend on settings, and
                `text_names`, those of the text and of the second one.
        """
        columns = self._columns
        texts = [columns.texts]
        if columns.pairs is not None:
            texts.append(columns.pairs)
        names = about.pop("text_names")

        def keys():
            return texts[0] if len(texts) < 2 else zip(*texts, strict=True)

        return Sample(
            path=self.path,
            set_type=self.set_type,
            texts={
                name: column[:NUM_ROWS]
                for name, column in zip(names, texts, strict=False)
            },
            labels=columns.labels,
            ids=(columns.ids or [])[:NUM_ROWS],
            line=self.line,
            number=len(self),
            keys=lambda: (
                texts[0] if len(texts) < 2 else zip(*texts, strict=True)
            ),
            **about,
        )

    def line(self, index: int) -> int:
        """The line on which the row of an example starts, from 1."""
        return self._lines[self._columns.rows[index]]

    def place(self, index: int) -> str:
        """ "path:line" of an example."""
        return f"{self.path}:{self.line(index)}"

    def pick(self, set_type: str, indices: Iterable[int]) -> "TableSet":
        """Some of the examples, as those of another set."""
        return self._with(self._columns.pick([*indices]), set_type)

    def with_labels(self, labels: Sequence[Label]) -> "TableSet":
        """The same examples with other labels."""
        columns = dataclasses.replace(self._columns, labels=list(labels))
        return self._with(columns, self.set_type)

    def _with(self, columns, set_type):
        return TableSet(
            set_type,
            self.path,
            lines=self._lines,
            columns=columns,
            file_labels=self.file_labels,
            label_columns=self.label_columns,
        )
