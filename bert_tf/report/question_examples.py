"""Questions of a run, each with its context and the answers marked in it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_tf.report.blocks import (
    Block,
    Details,
    Example,
    Examples,
    Marked,
    Place,
    Text,
)
from bert_tf.report.page import Section
from bert_tf.report.question_rows import Row, is_scored

NO_ANSWER = "(no answer)"
NUM_EXAMPLES = 12
NUM_MORE_EXAMPLES = 6
MARGIN = 160  # Characters of the context before and after an answer.
PART_RIGHT = 0.5  # The F1 from which an answer is taken for right in part.


def marked_context(row: Row, context: str, margin: int = MARGIN) -> Text:
    """The context around the answers, with the right and the predicted one.

    Args:
        row: of a question.
        context: the text that `gold_at` and `predicted_at` are places in.
        margin: characters that are shown before and after them.

    Returns:
        Parts of the text; marked ones say in words what they are.
    """
    gold = _span(row.get("gold_at"), context)
    predicted = _span(row.get("predicted_at"), context)
    if not row["predicted"]:
        predicted = None
    spans = [span for span in (gold, predicted) if span]
    if not spans:
        return context
    ends = sorted({0, len(context), *(end for span in spans for end in span)})
    parts: list[str | Marked] = []
    for start, end in zip(ends, ends[1:], strict=False):
        text = context[start:end]
        in_gold = gold is not None and gold[0] <= start < gold[1]
        in_predicted = (
            predicted is not None and predicted[0] <= start < predicted[1]
        )
        if in_gold and in_predicted:
            parts.append(Marked(text, "right", "right, predicted"))
        elif in_gold:
            parts.append(Marked(text, "missed", "right answer"))
        elif in_predicted:
            kind = "wrong" if "exact" in row and not row["exact"] else "plain"
            parts.append(Marked(text, kind, "predicted"))
        else:
            parts.append(
                _excerpt(text, margin, start == 0, end == len(context))
            )
    return parts


def _span(place: Any, context: str) -> tuple[int, int] | None:
    """A place in the context, if it is one."""
    if not place:
        return None
    start, end = place
    return (start, end) if 0 <= start < end <= len(context) else None


def _excerpt(text: str, margin: int, is_first: bool, is_last: bool) -> str:
    """The ends of a text between marks, cut between words."""
    sides = [margin * (not is_first), margin * (not is_last)]
    if len(text) <= sum(sides) + 20:
        return text
    left, right = text[: sides[0]], text[len(text) - sides[1] :]
    left = left.rsplit(" ", 1)[0] if left else ""
    right = right.split(" ", 1)[-1] if right else ""
    return (
        " […] ".join((left, right))
        if left and right
        else (f"{left} […]" if left else f"[…] {right}")
    )


def example_of(row: Row, contexts: Mapping[int, str], path: str) -> Example:
    """A question as the page shows it.

    Args:
        row: of the question.
        contexts: {number: text}.
        path: of the file of questions.
    """
    context = contexts.get(row["context"], "")
    facts = [("predicted", row["predicted"] or NO_ANSWER)]
    is_right = None
    if "exact" in row:
        is_right = bool(row["exact"])
        right = " / ".join(row["gold"]) if row["gold"] else NO_ANSWER
        facts.append(("right", right))
        facts.append(("F1", f"{100 * row['f1']:.0f}"))
    facts.append(("probability", f"{row['probability']:.2f}"))
    if row.get("null_odds") is not None:
        facts.append(("null odds", f"{row['null_odds']:.2f}"))
        if not row["predicted"] and row["best_text"]:
            facts.append(("best answer", row["best_text"]))
    facts.append(("id", str(row["id"])))
    place = Place(path) if path else None
    if row.get("place"):
        facts.append(("in the file", row["place"]))
    return Example(
        [("", row["question"]), ("", marked_context(row, context))],
        facts,
        place,
        is_right,
    )


def example_section(
    rows: Sequence[Row], contexts: Mapping[int, str], path: str
) -> Section:
    """The most confident mistakes, and others.

    Args:
        rows: of all questions.
        contexts: {number: text}.
        path: of the file of questions.
    """

    def shown(some: Iterable[Row], number: int = NUM_EXAMPLES) -> Examples:
        return Examples(
            [example_of(row, contexts, path) for row in [*some][:number]]
        )

    if not is_scored(rows):
        least = sorted(rows, key=lambda row: row["probability"])
        return Section(
            "Answers",
            [
                Details("The first questions", [shown(rows)], is_open=True),
                Details("The least certain answers", [shown(least)]),
            ],
        )
    blocks: list[Block] = []
    for name, some in _kinds_of(rows):
        if some:
            number = NUM_MORE_EXAMPLES if blocks else NUM_EXAMPLES
            blocks.append(
                Details(
                    f"{name} ({len(some):,})",
                    [shown(some, number)],
                    is_open=not blocks,
                )
            )
    return Section("Questions to look at", blocks)


def _kinds_of(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The mistakes by their kinds, and the least certain right answers."""
    ordered = sorted(rows, key=lambda row: -row["probability"])
    mistakes = [row for row in ordered if not row["exact"]]
    both = [row for row in mistakes if row["gold"] and row["predicted"]]
    return [
        (
            "The most confident mistakes",
            [row for row in both if row["f1"] < PART_RIGHT],
        ),
        ("Right in part", [row for row in both if row["f1"] >= PART_RIGHT]),
        (
            "Answered, but there is no answer",
            [row for row in mistakes if not row["gold"]],
        ),
        (
            "Not answered, but there is an answer",
            [row for row in mistakes if not row["predicted"]],
        ),
        (
            "The least certain right answers",
            sorted(
                (row for row in rows if row["exact"]),
                key=lambda row: row["probability"],
            ),
        ),
    ]
