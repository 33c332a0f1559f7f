"""Which texts changed their answer between runs.

The texts of runs are joined by their id and by what they are. Each run is
compared with the first:

    fixed       wrong in the first run, right in this one
    broken      right in the first run, wrong in this one
    changed     another answer, wrong in both; or nobody knows which is right
"""

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np

from bert_tf.report import common, tags
from bert_tf.report.answers import Answers, percent, place_of, texts_of
from bert_tf.report.blocks import (
    Block,
    Cell,
    Details,
    Example,
    Examples,
    Paragraph,
    Place,
    Table,
    Text,
)
from bert_tf.report.markup import isolated
from bert_tf.report.page import Section
from bert_tf.report.question_examples import NO_ANSWER
from bert_tf.report.several_labels import Decisions
from bert_tf.report.stored import SETS, Row, StoredRun

FIXED, BROKEN, CHANGED = "fixed", "broken", "changed"
HOWS = (FIXED, BROKEN, CHANGED)
NUM_EXAMPLES = 20
NUM_MORE_EXAMPLES = 8
# What a row has besides its text and its id.
_TEXT_KEYS = ("question", "text", "text_pair", "endings", "words", "tokens")


@dataclasses.dataclass(frozen=True)
class Said:
    """What a run says of a text.

    Attributes:
        row: of the text.
        answer: in words.
        right: the right answer; None if it is not known.
        is_right: whether the answer is right; None if nobody knows.
        certainty: its probability in words; "" if it is not known.
    """

    row: Row
    answer: str
    right: str | None
    is_right: bool | None
    certainty: str = ""


def key_of(row: Row) -> str:
    """What two runs must have in common to have the same text."""
    texts = [row[key] for key in _TEXT_KEYS if key in row]
    return json.dumps([row.get("id"), texts], ensure_ascii=False)


def _of_labels(run: StoredRun, name: str) -> list[Said]:
    answers = Answers.of(run, name)
    found = []
    for index, row in enumerate(answers.rows):
        right = row["label"]
        found.append(
            Said(
                row,
                answers.names[answers.predictions[index]],
                right,
                None if right is None else bool(answers.is_right[index]),
                percent(answers.confidences[index]),
            )
        )
    return found


def _of_several_labels(run: StoredRun, name: str) -> list[Said]:
    decisions = Decisions.of(run, name)
    found = []
    for index, row in enumerate(decisions.rows):
        answer, right = (
            ", ".join(np.array(decisions.labels, object)[each]) or NO_LABEL
            for each in (decisions.predictions[index], decisions.truth[index])
        )
        is_known = bool(decisions.is_known[index])
        found.append(
            Said(
                row,
                answer,
                right if is_known else None,
                answer == right if is_known else None,
            )
        )
    return found


def _of_endings(run: StoredRun, name: str) -> list[Said]:
    found = []
    for row in run.rows.get(name, ()):
        chosen, right = int(np.argmax(row["logits"])), row["label"]
        endings = row["endings"]
        found.append(
            Said(
                row,
                str(endings[chosen]),
                None if right is None else str(endings[int(right)]),
                None if right is None else chosen == int(right),
            )
        )
    return found


def _of_questions(run: StoredRun, name: str) -> list[Said]:
    return [
        Said(
            row,
            row["predicted"] or NO_ANSWER,
            (" / ".join(row["gold"]) or NO_ANSWER) if "gold" in row else None,
            bool(row["exact"]) if "exact" in row else None,
            percent(row["probability"]),
        )
        for row in run.rows.get(name, ())
    ]


def _of_tags(run: StoredRun, name: str) -> list[Said]:
    found = []
    for row in run.rows.get(name, ()):
        known = tags.scored_rows([row])
        is_right = None
        if known:
            is_right = known[0]["label"] == known[0]["predicted"]
        found.append(
            Said(
                row,
                tags.entities_said(row["words"], row["predicted"]),
                tags.entities_said(row["words"], row["label"])
                if row["label"] is not None
                else None,
                is_right,
            )
        )
    return found


# {kind: function(run, set) -> what it says}; others have no such answers.
ANSWERS: dict[str, Callable[[StoredRun, str], list[Said]]] = {
    "single_label": _of_labels,
    "relation": _of_labels,
    "multi_label": _of_several_labels,
    "multiple_choice": _of_endings,
    "squad": _of_questions,
    "tags": _of_tags,
}
NO_LABEL = "(no label)"


@dataclasses.dataclass(frozen=True)
class Change:
    """An answer that another run gives otherwise.

    Attributes:
        how: FIXED, BROKEN or CHANGED.
        before: what the first run says.
        after: what the other says.
    """

    how: str
    before: Said
    after: Said


def changes_between(
    first: Sequence[Said], other: Sequence[Said]
) -> tuple[list[Change], int]:
    """The answers that differ between two runs.

    Args:
        first: what the first run says.
        other: what the other says.

    Returns:
        (changes, how many texts both have), in the order of `first`.
    """
    by_key = {key_of(said.row): said for said in other}
    found, number = [], 0
    for before in first:
        after = by_key.get(key_of(before.row))
        if after is None:
            continue
        number += 1
        if how := _change(before, after):
            found.append(Change(how, before, after))
    return found, number


def _change(before: Said, after: Said) -> str:
    if before.is_right is not after.is_right:
        return FIXED if after.is_right else BROKEN
    # Another wording of a right answer is not a change.
    is_same = before.answer == after.answer or before.is_right
    return "" if is_same else CHANGED


def sections(runs: Sequence[StoredRun], names: Sequence[str]) -> list[Section]:
    """Which texts changed their answer, for each set that has answers.

    Args:
        runs: the first of them is the one that others are compared with.
        names: of the runs.
    """
    answers_of = ANSWERS.get(runs[0].kind)
    if answers_of is None:
        return []
    found = []
    for name in SETS:
        if not runs[0].rows.get(name):
            continue
        first = answers_of(runs[0], name)
        others = [
            (other, changes_between(first, answers_of(run, name)))
            for run, other in zip(runs[1:], names[1:], strict=True)
            if run.rows.get(name)
        ]
        if others:
            title = f"Changed answers: {common.SET_NAMES[name]}"
            path = runs[0].file_of_set(name)
            blocks = _blocks(names[0], others, path)
            found.append(Section(title, blocks, f"changes-{name}"))
    return found


def _blocks(
    first: str,
    others: Sequence[tuple[str, tuple[list[Change], int]]],
    path: str,
) -> list[Block]:
    rows: list[list[Cell]] = []
    for name, (found, total) in others:
        numbers = [sum(c.how == how for c in found) for how in HOWS]
        rows.append([name, total, *numbers, len(found)])
    blocks: list[Block] = [
        Paragraph(f"Compared with {first}, text by text."),
        Table(["Run", "Texts", *HOWS, "in all"], rows),
    ]
    most = NUM_EXAMPLES if len(others) == 1 else NUM_MORE_EXAMPLES
    for name, (found, _) in others:
        for how in HOWS:
            some = [change for change in found if change.how == how]
            if some:
                items = [
                    _example(change, first, name, path)
                    for change in some[:most]
                ]
                summary = f"{name}: {how} ({len(some):,})"
                if len(some) > most:
                    summary += f", {most} shown"
                is_open = len(others) == 1 and how != CHANGED
                blocks.append(Details(summary, [Examples(items)], is_open))
    return blocks


def _example(change: Change, first: str, other: str, path: str) -> Example:
    before, after = change.before, change.after
    facts = [
        (
            name,
            _in_words(said),
        )
        for name, said in ((first, before), (other, after))
    ]
    if before.right is not None:
        facts.insert(0, ("right", before.right))
    place = place_of(before.row) or (Place(path) if path else None)
    if "id" in before.row:
        facts.append(("id", str(before.row["id"])))
    kinds = {FIXED: True, BROKEN: False, CHANGED: None}
    return Example(_texts(before.row), facts, place, kinds[change.how])


def _in_words(said: Said) -> str:
    certainty = f" ({said.certainty})" if said.certainty else ""
    return f"{isolated(said.answer)}{certainty}"


def _texts(row: Row) -> Sequence[tuple[str, Text]]:
    """The texts of an example of any kind."""
    if "question" in row:
        return [("", row["question"])]
    if "words" in row:
        return [("", " ".join(row["words"]))]
    if "endings" in row:
        endings = [(str(i), str(e)) for i, e in enumerate(row["endings"])]
        return [("", str(row.get("text", ""))), *endings]
    return texts_of(row)
