"""The page of texts with one label each, and of relations.

The pictures and texts are those of the dev set: who reads a test set's texts
to mend the model has no test set any more. Without a dev set they are those of
the test set.
"""

import collections
from collections.abc import Sequence

import numpy as np

from bert_tf.report import certainty, class_curves, common, pictures
from bert_tf.report.answers import Answers
from bert_tf.report.blocks import (
    Block,
    Cell,
    Details,
    Examples,
    Paragraph,
    Picture,
    Share,
    Side,
    Table,
)
from bert_tf.report.markup import isolated
from bert_tf.report.page import Section
from bert_tf.report.stored import SETS, StoredRun

NUM_EXAMPLES = 10  # In a list of texts.
NUM_OF_LABEL = 5  # In a list of the texts of one label.
MAX_BARS = 20  # Labels that a picture has bars for.
MAX_MATRIX = 100  # Labels that a confusion matrix has cells for.
MAX_SMALL = 12  # Labels of a matrix that stands next to another picture.
NUM_CONFUSIONS = 15


def sections(run: StoredRun) -> list[Section]:
    """The sections about scores, certainty and single texts."""
    by_set = {name: Answers.of(run, name) for name in SETS}
    known = {name: found.known for name, found in by_set.items() if len(found)}
    scored = [name for name in known if len(known[name])]
    shown = [Section("Scores", common.scores(run))]
    if scored:
        name = scored[0]
        answers = known[name]
        title = common.SET_NAMES[name]
        shown = [
            Section(
                "Scores",
                [
                    *collapse(answers),
                    *common.scores(run),
                    *confusions(known),
                ],
            ),
            Section(f"Labels ({title})", labels(run, name)),
            Section(
                f"How sure it is ({title})",
                [
                    *class_curves.blocks(answers),
                    *certainty.blocks(answers),
                ],
            ),
            *mistakes(known, name),
        ]
    for name, answers in by_set.items():
        if len(answers) and name not in scored:
            shown.append(predictions(common.SET_NAMES[name], answers))
    return shown


def collapse(answers: Answers) -> list[Block]:
    """A warning if all answers are the same."""
    if len(np.unique(answers.predictions)) > 1 or len(answers) < 2:
        return []
    label = answers.names[answers.predictions[0]]
    text = (
        f"All answers are the same, “{label}”: the model has not learned the "
        "task. Train for more epochs, or try another learning rate or seed."
    )
    return [Paragraph(text, "warning")]


def confusions(known: dict[str, Answers]) -> list[Block]:
    """A confusion matrix of each set, and the commonest confusions."""
    several = {name: a for name, a in known.items() if len(a)}
    found: list[Block] = []
    for name, answers in several.items():
        if len(answers.names) <= MAX_MATRIX:
            found.append(_matrix(name, answers))
    blocks: list[Block] = found
    if all(len(a.names) <= MAX_SMALL for a in several.values()):
        blocks = [Side(found)]
    name, answers = next(iter(several.items()))
    if len(answers.names) > 2 and not answers.is_right.all():
        blocks.append(_commonest(name, answers))
    return blocks


def _matrix(name, answers):
    # Labels that occur neither in the set nor among the answers say nothing.
    there = np.union1d(answers.label_ids, answers.predictions)
    counts = np.zeros([len(answers.names)] * 2, int)
    np.add.at(counts, (answers.label_ids, answers.predictions), 1)
    counts = counts[np.ix_(there, there)]
    names = [answers.names[index] for index in there]
    title = f"Confusion matrix of the {common.SET_NAMES[name]}"
    text = (
        f"{title}: {int(np.trace(counts)):,} of {len(answers):,} answers are "
        "right. Rows are the true labels, columns the predicted ones."
    )
    svg = pictures.matrix(title, text, counts, names, names)
    caption = f"{text} The shade of a cell is its share of its row."
    return Picture(svg, text, caption, len(names) > MAX_SMALL)


def _commonest(name, answers):
    """A table of the commonest confusions."""
    wrong = ~answers.is_right
    pairs = collections.Counter(
        zip(
            answers.label_ids[wrong].tolist(),
            answers.predictions[wrong].tolist(),
            strict=True,
        )
    )
    support = np.bincount(answers.label_ids, minlength=len(answers.names))
    rows: list[list[Cell]] = [
        [
            answers.names[gold],
            answers.names[found],
            count,
            Share(count / max(int(support[gold]), 1)),
        ]
        for (gold, found), count in pairs.most_common(NUM_CONFUSIONS)
    ]
    return Table(
        ["True label", "Predicted", "Texts", "Share of the label"],
        rows,
        f"The commonest confusions ({common.SET_NAMES[name]})",
    )


def labels(run: StoredRun, name: str) -> list[Block]:
    """Precision, recall and F1 of each label: bars, and a table."""
    report = run.reports.get(name, {}).get("labels") or {}
    if not report:
        return []
    header = ["Label", "Precision", "Recall", "F1", "Texts"]
    rows: list[list[Cell]] = [
        [
            label,
            *(Share(row[score]) for score in ("precision", "recall", "f1")),
            row["support"],
        ]
        for label, row in report.items()
    ]
    averages: list[list[Cell]] = [
        [
            key.replace("_avg", " average").capitalize(),
            *(Share(row[score]) for score in ("precision", "recall", "f1")),
            row["support"],
        ]
        for key, row in run.reports[name].items()
        if key.endswith("_avg")
    ]
    table = Table(header, [*rows, *averages])
    if len(rows) <= MAX_BARS:
        return [Side([table, label_bars(report)])]
    return [
        label_bars(report),
        Table(header, averages),
        Details(f"All {len(rows)} labels", [table]),
    ]


def label_bars(report: dict[str, dict[str, float]]) -> Picture:
    """Bars of precision, recall and F1.

    Args:
        report: {label: scores}, see `metrics.reports`. Of many labels those
            with the lowest F1 are shown.
    """
    there = {k: row for k, row in report.items() if row["support"]} or report
    names = list(there)
    text = "Precision, recall and F1 of each label, with its number of texts."
    if len(names) > MAX_BARS:
        names = sorted(names, key=lambda label: there[label]["f1"])[:MAX_BARS]
        text = f"The {MAX_BARS} labels with the lowest F1, of {len(there)}."
    svg = pictures.bars(
        "Scores of the labels",
        text,
        [
            f"{isolated(pictures.short_label(label))} "
            f"({there[label]['support']:,})"
            for label in names
        ],
        [
            (title, [there[label][score] for label in names])
            for title, score in (
                ("precision", "precision"),
                ("recall", "recall"),
                ("F1", "f1"),
            )
        ],
        x_label="score",
    )
    return Picture(svg, text, text)


def mistakes(known: dict[str, Answers], name: str) -> list[Section]:
    """The most confident mistakes, and the least certain texts."""
    answers = known[name]
    title = common.SET_NAMES[name]
    wrong = most_confident(answers)
    count = f"{len(wrong):,} of {len(answers):,} answers are wrong."
    first: list[Block] = [
        Paragraph(f"{count} Those with the highest confidence come first."),
        listed(answers, wrong[:NUM_EXAMPLES], "No answer is wrong."),
        *_label_by_label(answers, wrong),
    ]
    for other, others in known.items():
        if other != name and len(others):
            first.append(
                Details(
                    f"Those of the {common.SET_NAMES[other]}",
                    [listed(others, most_confident(others)[:NUM_EXAMPLES])],
                )
            )
    return [
        Section(f"The most confident mistakes ({title})", first, "mistakes"),
        Section(f"The least certain texts ({title})", least_certain(answers)),
    ]


def most_confident(answers: Answers) -> np.ndarray:
    """The indices of the wrong answers, the most confident first."""
    wrong = np.flatnonzero(~answers.is_right)
    return wrong[np.argsort(-answers.confidences[wrong], kind="stable")]


def _label_by_label(answers, wrong):
    """The mistakes of each label, folded."""
    if len(wrong) <= NUM_EXAMPLES and len(answers.names) < 3:
        return []
    gold = answers.label_ids[wrong]
    support = np.bincount(answers.label_ids, minlength=len(answers.names))
    return [
        Details(
            f"{isolated(answers.names[label])}: {np.sum(gold == label):,} of "
            f"{support[label]:,} are wrong",
            [listed(answers, wrong[gold == label][:NUM_OF_LABEL])],
        )
        for label in sorted(set(gold.tolist()))
    ]


def least_certain(answers: Answers) -> list[Block]:
    """The texts whose two likeliest labels are close together."""
    order = np.argsort(answers.margins, kind="stable")[:NUM_EXAMPLES]
    text = "The two likeliest labels are close together."
    return [Paragraph(text), listed(answers, order)]


def listed(
    answers: Answers, indices: Sequence[int] | np.ndarray, nothing: str = ""
) -> Examples:
    """Some examples with their answers."""
    nothing = nothing or "There are none."
    return Examples([answers.example(int(i)) for i in indices], nothing)


def predictions(title: str, answers: Answers) -> Section:
    """What was predicted where the labels are not known.

    Args:
        title: the name of the set.
        answers: of the set.
    """
    counts = np.bincount(answers.predictions, minlength=len(answers.names))
    rows: list[list[Cell]] = [
        [answers.names[index], int(counts[index]), Share(counts[index] / n)]
        for index in np.argsort(-counts, kind="stable")
        if (n := len(answers))
    ]
    table = Table(["Label", "Predicted", "Share"], rows)
    if len(rows) > MAX_BARS:
        table = Table(table.header, rows[:MAX_BARS], "The commonest answers")
    return Section(
        f"Predictions ({title})",
        [
            Side([table, certainty.score_histogram(answers)]),
            Paragraph("The least certain texts:"),
            *least_certain(answers)[1:],
        ],
    )
