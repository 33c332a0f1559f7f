"""Sample: the first rows of a file, as checks see them; and what they find."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from bert_tf import counts

NUM_ROWS = 1_000  # The first rows of a file, which are checked.
MIN_ROWS = 10  # Fewer do not say what a column holds.
MOST = 0.9  # Share of the rows that says what a column holds.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """The first rows of a file, and all of its labels.

    Attributes:
        path: of the file.
        set_type: "train", "dev" or "test".
        texts: {what holds them, for messages: texts of the first rows}, such
            as {"`text_column`=body": […]}; the text first, then the second
            text of a pair.
        labels: the label of each row of the whole file, a text, a number, a
            tuple of texts or None.
        label_name: what holds the labels.
        ids, id_name: the same for ids of the first rows.
        line: function(row) -> its line, or what it is called.
        number: of all rows.
        unit: what one of them is called.
        keys: function() that gives what two sets must not share, for each row
            of the file in order: its text, or its texts.
        kind: of the problem; see `choices.PROBLEM_TYPES`. "tags" are labels of
            words, "choice" are numbers of endings, "answers" are texts.
    """

    path: str
    set_type: str
    texts: Mapping[str, Sequence[str]]
    line: Callable[[int], int | str]
    number: int
    kind: str
    labels: Sequence[Any] = ()
    label_name: str = "the label"
    ids: Sequence[str] = ()
    id_name: str = ""
    unit: str = "row"
    keys: Callable[[], Iterable[Hashable]] = tuple

    @functools.cached_property
    def joined(self) -> dict[str, str]:
        """All texts of each column as one, to look for what they may have."""
        return {name: "\n".join(texts) for name, texts in self.texts.items()}

    @functools.cached_property
    def known_labels(self) -> frozenset[str]:
        """The labels that are texts, each once; of several each of them."""
        if self.kind == "single_label":
            return frozenset(self.labels) - {None}
        if self.kind == "multi_label":
            several = [one for one in {*self.labels} if one]
        elif self.kind == "tags":
            several = [one for one in self.labels if one]
        else:
            several = []
        return frozenset(itertools.chain.from_iterable(several)) - {None}

    def counted(self, number: int, looked_at: int) -> str:
        """Subject and verb of a warning: "3 of the first 9 rows have"."""
        text = counts.counted(number, looked_at, self.unit)
        if looked_at < self.number:
            return text.replace(" of ", " of the first ", 1)
        return text


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        row: the first row that shows it.
        what: what is wrong.
        advice: what it may mean, or what to do.
    """

    row: int
    what: str
    advice: str
