"""Answers: what a model said of the examples of a set, as arrays.

Shape letters: N examples, C labels of the model.
"""

import dataclasses
import functools
import re
from collections.abc import Sequence

import numpy as np
import scipy.special

from bert_tf.report.blocks import Example, Marked, Place, Text
from bert_tf.report.markup import isolated
from bert_tf.report.stored import Row, StoredRun

_ENTITY = re.compile(r"<(e[12])>(.*?)</\1>", re.DOTALL)
UNKNOWN = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers to the examples of a set that have one label each.

    Attributes:
        rows: of the examples.
        names: the model's labels; then those that only the set has.
        label_ids: int [N], -1 where the label is not known.
        logits: float64 [N, C].
        temperature: what logits are divided by; 1 without calibration.
    """

    rows: list[Row]
    names: list[str]
    label_ids: np.ndarray
    logits: np.ndarray
    temperature: float = 1.0

    @classmethod
    def of(cls, run: StoredRun, name: str) -> "Answers":
        """The answers of a set of a run, "eval" or "test"."""
        rows = [row for row in run.rows.get(name, ()) if row.get("logits")]
        others = {row["label"] for row in rows} - {*run.labels, None}
        names = [*run.labels, *sorted(map(str, others))]
        ids = {label: index for index, label in enumerate(names)}
        return cls(
            rows=rows,
            names=names,
            label_ids=np.array(
                [ids.get(row["label"], UNKNOWN) for row in rows], int
            ),
            logits=np.array([row["logits"] for row in rows], float).reshape(
                len(rows), len(run.labels)
            ),
            temperature=float(run.task.get("temperature") or 1.0),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def known(self) -> "Answers":
        """The answers to the examples whose label is known."""
        there = np.flatnonzero(self.label_ids != UNKNOWN)
        return dataclasses.replace(
            self,
            rows=[self.rows[index] for index in there],
            label_ids=self.label_ids[there],
            logits=self.logits[there],
        )

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """float64 [N, C]."""
        return scipy.special.softmax(self.logits / self.temperature, axis=-1)

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """int [N], the likeliest labels."""
        return self.logits.argmax(axis=-1)

    @functools.cached_property
    def confidences(self) -> np.ndarray:
        """float64 [N], the probabilities of the likeliest labels."""
        return self.probabilities.max(axis=-1)

    @functools.cached_property
    def margins(self) -> np.ndarray:
        """float64 [N], how far the likeliest label is ahead of the next."""
        ordered = np.sort(self.probabilities, axis=-1)
        if ordered.shape[-1] < 2:
            return ordered[:, -1]
        return ordered[:, -1] - ordered[:, -2]

    @functools.cached_property
    def is_right(self) -> np.ndarray:
        """bool [N]."""
        return self.predictions == self.label_ids

    def example(self, index: int) -> Example:
        """An example and its answer, for a page."""
        row, gold = self.rows[index], self.label_ids[index]
        found = self.predictions[index]
        facts = [
            ("label", self.names[gold] if gold != UNKNOWN else "not known"),
            (
                "predicted",
                f"{isolated(self.names[found])} "
                f"({percent(self.confidences[index])})",
            ),
        ]
        if gold == UNKNOWN:
            del facts[0]
        elif gold != found and gold < self.probabilities.shape[-1]:
            right = self.probabilities[index, gold]
            shown = f"{isolated(self.names[gold])} ({percent(right)})"
            facts[0] = ("label", shown)
        return Example(
            texts_of(row),
            [*facts, ("id", str(row.get("id", "")))],
            place_of(row),
            None if gold == UNKNOWN else bool(self.is_right[index]),
        )


def percent(share: float) -> str:
    """A probability for people: 99.9 %, and never 100 % below 1."""
    shown = f"{100 * share:.1f}"
    if shown == "100.0" and share < 1:
        shown = "> 99.9"
    return f"{shown}\N{NO-BREAK SPACE}%"


def place_of(row: Row) -> Place | None:
    """Where an example stands, if that is known."""
    if not row.get("file"):
        return None
    return Place(str(row["file"]), int(row.get("line") or 0))


def texts_of(row: Row) -> Sequence[tuple[str, Text]]:
    """The texts of an example; entities of a relation are marked."""
    text = str(row.get("text", ""))
    if row.get("text_pair") is not None:
        return [("1", text), ("2", str(row["text_pair"]))]
    parts = with_entities(text)
    return [("", parts if len(parts) > 1 else text)]


def with_entities(text: str) -> list[str | Marked]:
    """A text whose <e1>entities</e1> are marked, as its parts."""
    parts: list[str | Marked] = []
    end = 0
    for match in _ENTITY.finditer(text):
        parts += [
            text[end : match.start()],
            Marked(match[2], "plain", match[1]),
        ]
        end = match.end()
    return [*parts, text[end:]]
