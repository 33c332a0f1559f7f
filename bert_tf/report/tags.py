"""The page of a run on tags of words, such as named entities.

Rows are those of `tasks.tagging.Tagging.report_row`: "words", "label" (the
right tags, or None), "predicted" (tags) and "scores" (the probability of each
predicted tag). A word alone may have the label None: it is not scored.
"""

import collections
from collections.abc import Iterable, Sequence

import numpy as np

from bert_tf import metrics
from bert_tf.report import common, pictures
from bert_tf.report.answers import place_of
from bert_tf.report.blocks import (
    Block,
    Details,
    Example,
    Examples,
    Marked,
    Paragraph,
    Picture,
    Place,
    Share,
    Side,
    Table,
    Text,
)
from bert_tf.report.page import Section
from bert_tf.report.stored import SETS, Row, StoredRun

Span = tuple[str, int, int]
OUTSIDE = "O"
NOTHING = "(nothing)"
NUM_EXAMPLES = 15
NUM_MORE_EXAMPLES = 8
NUM_CONFUSIONS = 25
NUM_TAGS = 24  # In the confusion matrix.
MARGIN = 25  # Words that are shown before and after the first and last mark.
ERRORS = {
    "type": "another type",
    "boundary": "other boundaries",
    "type and boundary": "another type and other boundaries",
    "missed": "missed",
    "invented": "invented",
}


def sections(run: StoredRun) -> list[Section]:
    """The sections of a run on tags, besides those of all kinds."""
    found = [Section("Scores", common.scores(run))]
    for name, title in SETS.items():
        rows = run.rows.get(name, [])
        if not rows:
            continue
        scored = scored_rows(rows)
        path = run.file_of_set(name)
        # Who reads a test set to mend a model has no test set any more.
        is_open = name == "eval" or not run.rows.get("eval")
        of_set = [sentence_section(rows, path, is_open=is_open)]
        if scored:
            parts = [type_section(scored), confusion_section(scored)]
            of_set = [*parts, *of_set]
        found += [
            Section(f"{title}: {_small(s.title)}", s.blocks) for s in of_set
        ]
    return found


def _small(title: str) -> str:
    return title[:1].lower() + title[1:]


def scored_rows(rows: Iterable[Row]) -> list[Row]:
    """The sentences whose tags are known, with their scored words alone."""
    scored = []
    for row in rows:
        tags = row["label"] or ()
        places = [i for i, tag in enumerate(tags) if tag is not None]
        if len(places) == len(row["words"]):
            scored.append(row)
        elif places:
            kept = {
                name: [row[name][place] for place in places]
                for name in ("words", "label", "predicted", "scores")
            }
            scored.append({**row, **kept})
    return scored


def type_section(rows: Sequence[Row]) -> Section:
    """Precision, recall and F1 of each type of entity.

    Args:
        rows: of `scored_rows`.
    """
    scores = metrics.entity_scores(
        [row["label"] for row in rows], [row["predicted"] for row in rows]
    )
    types = sorted(
        scores["types"].items(), key=lambda item: -item[1]["support"]
    )
    if not types:
        return Section("Types", [Paragraph("No word has a tag but O.")])
    names = ("precision", "recall", "f1")
    alt = "; ".join(
        f"{kind}: precision {each['precision']:.3f}, recall "
        f"{each['recall']:.3f}, F1 {each['f1']:.3f} of {each['support']:,}"
        for kind, each in types
    )
    svg = pictures.bars(
        "Precision, recall and F1 by type",
        alt,
        [f"{kind} ({each['support']:,})" for kind, each in types],
        [
            (name.replace("f1", "F1"), [each[name] for _, each in types])
            for name in names
        ],
        x_label="share",
    )
    table = [
        (kind, each["support"], *(Share(each[name]) for name in names))
        for kind, each in types
    ]
    total = sum(each["support"] for _, each in types)
    table.append(("all", total, *(Share(scores[name]) for name in names)))
    return Section(
        "Types of entities",
        [
            Side(
                [
                    Picture(svg, alt, "In brackets: entities in the file."),
                    Table(
                        ("Type", "Entities", "Precision", "Recall", "F1"),
                        table,
                    ),
                ]
            ),
            Paragraph(
                "A predicted entity is right if its type, its first word and "
                "its last word are, as conlleval counts. Of all words "
                f"{100 * scores['accuracy']:.1f} % have the right tag.",
                "note",
            ),
        ],
    )


def confusion_section(rows: Sequence[Row]) -> Section:
    """What is taken for what: entities in a table, tags in a matrix.

    Args:
        rows: of `scored_rows`.
    """
    numbers: collections.Counter[tuple[str, str, str]] = collections.Counter()
    first: dict[tuple[str, str, str], str] = {}
    for row in rows:
        for error, gold, found in metrics.entity_errors(
            row["label"], row["predicted"]
        ):
            key = (
                error,
                gold[0] if gold else NOTHING,
                found[0] if found else NOTHING,
            )
            numbers[key] += 1
            first.setdefault(key, _said(row["words"], gold, found))
    blocks: list[Block] = []
    if numbers:
        table = [
            (gold, found, ERRORS[error], number, first[error, gold, found])
            for (error, gold, found), number in numbers.most_common(
                NUM_CONFUSIONS
            )
        ]
        blocks.append(
            Table(
                ("Right", "Found", "Error", "Number", "For example"),
                table,
                caption="The commonest errors",
            )
        )
        if len(numbers) > NUM_CONFUSIONS:
            left = len(numbers) - NUM_CONFUSIONS
            blocks.append(Paragraph(f"{left} rarer ones are left out.", "note"))
    else:
        blocks.append(Paragraph("Every entity is found, and no other."))
    picture = _matrix(rows)
    if picture:
        blocks.append(picture)
    return Section("Confusions", blocks)


def _said(words: Sequence[str], gold: Span | None, found: Span | None) -> str:
    """An error in a few words: the text that is right, and that was found."""
    texts = [
        " ".join(words[span[1] : span[2]]) for span in (gold, found) if span
    ]
    return " → ".join(dict.fromkeys(texts))


def _matrix(rows: Sequence[Row]) -> Picture | None:
    """How often words of each tag got which tag."""
    pairs: collections.Counter[tuple[str, str]] = collections.Counter()
    for row in rows:
        pairs.update(zip(row["label"], row["predicted"], strict=True))
    totals: collections.Counter[str] = collections.Counter()
    for (gold, found), number in pairs.items():
        totals[gold] += number
        totals[found] += 0
    common = [tag for tag, _ in totals.most_common(NUM_TAGS)]
    names = sorted(common, key=lambda tag: (tag == OUTSIDE, tag[2:], tag))
    if len(names) < 2:
        return None
    counts = np.array([[pairs[g, f] for f in names] for g in names])
    num_right = sum(n for (gold, found), n in pairs.items() if gold == found)
    alt = (
        f"{num_right:,} of {pairs.total():,} words have the right tag; rows "
        "are the right tags, columns the predicted ones."
    )
    left = len(totals) - len(names)
    caption = "Words by their tags. The shade is the share of a row." + (
        f" {left} rarer tags are left out." if left else ""
    )
    svg = pictures.matrix("Tags of words", alt, counts, names, names)
    return Picture(svg, alt, caption)


# ---------------------------------------------------------------------------
# Sentences.


def marked_words(
    words: Sequence[str],
    spans: Sequence[Span],
    right: Iterable[Span] | None,
    wrong_kind: str,
    shown: tuple[int, int],
) -> Text:
    """A sentence with its entities marked, each with its type.

    Args:
        words: of the sentence.
        spans: the entities.
        right: those that both sides have; None where nobody knows.
        wrong_kind: how the others are marked, see `blocks.Marked`.
        shown: (first, end) of the words that are shown.
    """
    known = None if right is None else {*right}
    first, end = shown
    parts: list[str | Marked] = ["[…] "] if first else []
    place = first
    for span in spans:
        kind, start, stop = span
        if stop <= first or start >= end:
            continue
        if start > place:
            parts.append(" ".join(words[place:start]) + " ")
        how = "plain"
        if known is not None:
            how = "right" if span in known else wrong_kind
        parts += [Marked(" ".join(words[start:stop]), how, kind), " "]
        place = stop
    parts.append(" ".join(words[place:end]))
    if end < len(words):
        parts.append(" […]")
    return parts


def _shown(words: Sequence[str], spans: Iterable[Span]) -> tuple[int, int]:
    """The words around some entities: (first, end)."""
    spans = [*spans]
    first = min((span[1] for span in spans), default=0)
    end = max((span[2] for span in spans), default=first)
    return max(0, first - MARGIN), min(len(words), end + MARGIN)


def example_of(row: Row, path: str) -> Example:
    """A sentence as the page shows it.

    Args:
        row: of the sentence; its tags may be unknown.
        path: of the file.
    """
    words = row["words"]
    place = Place(path, row.get("line") or 0) if path else None
    place = place_of(row) or place
    found = metrics.entity_spans(row["predicted"])
    score = [("least certain word", f"{min(row['scores'], default=0):.2f}")]
    if row["label"] is None:
        text = marked_words(words, found, None, "", _shown(words, found))
        return Example([("", text)], score, place)
    tags = [tag or OUTSIDE for tag in row["label"]]
    gold = metrics.entity_spans(tags)
    both = {*gold} & {*found}
    if {*gold} == {*found}:
        text = marked_words(words, found, both, "", _shown(words, found))
        return Example([("", text)], score, place, True)
    odd = {*gold} ^ {*found}
    shown = _shown(words, odd)
    facts = [
        (
            ERRORS[error],
            f"{_said(words, right, wrong)} ({_types(right, wrong)})",
        )
        for error, right, wrong in metrics.entity_errors(tags, row["predicted"])
    ]
    return Example(
        [
            ("right", marked_words(words, gold, both, "missed", shown)),
            ("found", marked_words(words, found, both, "wrong", shown)),
        ],
        facts,
        place,
        False,
    )


def entities_said(words: Sequence[str], tags: Sequence[str | None]) -> str:
    """The entities of a sentence in words: "Rome (LOC), Anna (PER)"."""
    spans = metrics.entity_spans([tag or OUTSIDE for tag in tags])
    said = [f"{' '.join(words[a:b])} ({kind})" for kind, a, b in spans]
    return ", ".join(said) or NOTHING


def _types(gold: Span | None, found: Span | None) -> str:
    types = [span[0] for span in (gold, found) if span]
    return " → ".join(dict.fromkeys(types))


def confidence_of_mistake(row: Row) -> float:
    """The largest mean probability of the words of a wrong entity; or -1.

    Args:
        row: of `scored_rows`.
    """
    confidences = [-1.0]
    for _, gold, found in metrics.entity_errors(row["label"], row["predicted"]):
        _, start, end = found or gold or ("", 0, 0)
        confidences.append(float(np.mean(row["scores"][start:end])))
    return max(confidences)


def sentence_section(
    rows: Sequence[Row], path: str, *, is_open: bool = True
) -> Section:
    """Sentences with their right and their found entities.

    Args:
        rows: of all sentences, some of which may have no tags.
        path: of the file.
        is_open: whether the mistakes are shown at once.
    """

    def shown(some: Sequence[Row], number: int) -> Examples:
        return Examples([example_of(row, path) for row in some[:number]])

    def certainty(row):
        return min(row["scores"], default=1.0)

    scored = scored_rows(rows)
    if not scored:
        with_entities = [
            row for row in rows if metrics.entity_spans(row["predicted"])
        ]
        return Section(
            "Sentences",
            [
                shown(with_entities or rows, NUM_EXAMPLES),
                Details(
                    "The least certain sentences",
                    [shown(sorted(rows, key=certainty), NUM_MORE_EXAMPLES)],
                ),
            ],
        )
    ranked = sorted(
        ((confidence_of_mistake(row), row) for row in scored),
        key=lambda pair: -pair[0],
    )
    wrong = [row for confidence, row in ranked if confidence >= 0]
    right = [row for confidence, row in ranked if confidence < 0]
    right = [row for row in right if metrics.entity_spans(row["label"])]
    return Section(
        "Sentences to look at",
        [
            Details(
                f"The most confident mistakes (in {len(wrong):,} of "
                f"{len(scored):,} sentences)",
                [shown(wrong, NUM_EXAMPLES)],
                is_open=is_open,
            ),
            Details(
                "Right, but the least certain",
                [shown(sorted(right, key=certainty), NUM_MORE_EXAMPLES)],
            ),
        ],
    )
