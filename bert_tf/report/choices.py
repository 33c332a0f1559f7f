"""The page of texts with several endings, one of which is right."""

import collections

import numpy as np
import scipy.special

from bert_tf.metrics import calibration
from bert_tf.report import certainty, common
from bert_tf.report.answers import percent, place_of
from bert_tf.report.blocks import (
    Block,
    Cell,
    Example,
    Examples,
    Marked,
    Paragraph,
    Share,
    Side,
    Table,
    Text,
)
from bert_tf.report.page import Section
from bert_tf.report.stored import SETS, Row, StoredRun

NUM_EXAMPLES = 10


def sections(run: StoredRun) -> list[Section]:
    """The sections about scores, certainty and single texts."""
    temperature = float(run.task.get("temperature") or 1.0)
    shown, is_first = [Section("Scores", common.scores(run))], True
    for name in SETS:
        rows = [row for row in run.rows.get(name, ()) if row.get("logits")]
        known = [row for row in rows if row["label"] is not None]
        title = common.SET_NAMES[name]
        if known and is_first:
            shown += scored(title, known, temperature)
            is_first = False
        elif rows and not known:
            shown.append(
                Section(
                    f"The least certain texts ({title})",
                    least_certain(rows, temperature),
                )
            )
    return shown


def _probabilities(row, temperature):
    """float64 [N], of the endings."""
    return scipy.special.softmax(np.array(row["logits"]) / temperature)


def scored(title: str, rows: list[Row], temperature: float) -> list[Section]:
    """The sections of a set whose right endings are known.

    Args:
        title: the name of the set.
        rows: of its examples.
        temperature: what logits are divided by.
    """
    several = [_probabilities(row, temperature) for row in rows]
    gold = np.array([int(row["label"]) for row in rows])
    found = np.array([int(scores.argmax()) for scores in several])
    confidences = np.array([scores.max() for scores in several])
    is_right = gold == found
    wrong = np.flatnonzero(~is_right)
    wrong = wrong[np.argsort(-confidences[wrong], kind="stable")]
    text = (
        f"{len(wrong):,} of {len(rows):,} answers are wrong. Those with the "
        "highest confidence come first."
    )
    return [
        Section(f"Endings ({title})", [by_number(rows, gold, found)]),
        Section(
            f"How sure it is ({title})",
            [
                Side(
                    [
                        _reliability(several, gold),
                        certainty.right_and_wrong(confidences, is_right),
                    ]
                )
            ],
        ),
        Section(
            f"The most confident mistakes ({title})",
            [
                Paragraph(text),
                Examples(
                    [
                        example(rows[index], temperature)
                        for index in wrong[:NUM_EXAMPLES]
                    ],
                    "No answer is wrong.",
                ),
            ],
            "mistakes",
        ),
        Section(
            f"The least certain texts ({title})",
            least_certain(rows, temperature),
        ),
    ]


def by_number(rows: list[Row], gold: np.ndarray, found: np.ndarray) -> Side:
    """Accuracy by the number of endings, and by the place of the right one."""
    sizes = [len(row["endings"]) for row in rows]
    tables = []
    for title, keys in (
        ("Number of endings", sizes),
        ("Place of the right ending", gold.tolist()),
    ):
        groups = collections.defaultdict(list)
        for key, is_right in zip(keys, gold == found, strict=True):
            groups[key].append(bool(is_right))
        cells: list[list[Cell]] = [
            [key, len(groups[key]), Share(float(np.mean(groups[key])))]
            for key in sorted(groups)
        ]
        if len(cells) > 1:
            tables.append(Table([title, "Texts", "Accuracy"], cells))
    return Side(tables)


def _reliability(several, gold):
    most = max(map(len, several))
    padded = np.zeros([len(several), most])
    for row, scores in zip(padded, several, strict=True):
        row[: len(scores)] = scores
    return certainty.diagram(
        calibration.reliability(padded, gold), "Reliability"
    )


def example(row: Row, temperature: float) -> Example:
    """A text with its endings: the right one, and the one that was chosen."""
    scores = _probabilities(row, temperature)
    gold = None if row["label"] is None else int(row["label"])
    chosen = int(scores.argmax())
    texts: list[tuple[str, Text]] = [("", str(row.get("text", "")))]
    for index, ending in enumerate(row["endings"]):
        name = f"{index} ({percent(float(scores[index]))})"
        kind = {gold: "right"}.get(index)
        if index == chosen:
            kind = "right" if gold == chosen else "wrong"
            kind = "plain" if gold is None else kind
        shown = [Marked(str(ending), kind)] if kind else str(ending)
        texts.append((name, shown))
    facts = [("chosen", str(chosen)), ("id", str(row.get("id", "")))]
    if gold is not None:
        facts.insert(0, ("right", str(gold)))
    is_right = None if gold is None else gold == chosen
    return Example(texts, facts, place_of(row), is_right)


def least_certain(rows: list[Row], temperature: float) -> list[Block]:
    """The texts whose two likeliest endings are close together."""
    margins = []
    for row in rows:
        ordered = np.sort(_probabilities(row, temperature))
        margins.append(ordered[-1] - ordered[-2] if len(ordered) > 1 else 1.0)
    order = np.argsort(margins, kind="stable")[:NUM_EXAMPLES]
    return [
        Paragraph("The two likeliest endings are close together."),
        Examples([example(rows[index], temperature) for index in order]),
    ]
