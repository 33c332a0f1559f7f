"""The page of texts with any number of labels each.

Shape letters: N examples, C labels.
"""

import dataclasses

import numpy as np
import scipy.special

from bert_tf.metrics import calibration
from bert_tf.report import certainty, class_curves, common, labelled, pictures
from bert_tf.report.answers import percent, place_of, texts_of
from bert_tf.report.blocks import (
    Block,
    Cell,
    Details,
    Example,
    Examples,
    Paragraph,
    Picture,
    Share,
    Side,
    Table,
)
from bert_tf.report.markup import isolated
from bert_tf.report.page import Section
from bert_tf.report.pictures import Curve
from bert_tf.report.stored import SETS, Row, StoredRun

NUM_EXAMPLES = 10
NUM_OF_LABEL = 4
MAX_CURVES = 8  # Labels whose F1 over the threshold is drawn.
THRESHOLDS = np.linspace(0.01, 0.99, 99)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decisions:
    """The decisions about the labels of the examples of a set.

    Attributes:
        rows: of the examples.
        labels: those of the model.
        truth: bool [N, C]; those of an example without labels are False.
        is_known: bool [N], whether the example's labels are known.
        logits: float64 [N, C].
        temperature: what logits are divided by.
        thresholds: float64 [C], the least probability at which a label holds.
    """

    rows: list[Row]
    labels: list[str]
    truth: np.ndarray
    is_known: np.ndarray
    logits: np.ndarray
    temperature: float
    thresholds: np.ndarray

    @classmethod
    def of(cls, run: StoredRun, name: str) -> "Decisions":
        """The decisions of a set of a run, "eval" or "test"."""
        rows = [row for row in run.rows.get(name, ()) if row.get("logits")]
        labels = run.labels
        chosen = run.task.get("thresholds") or {}
        sets = [set(row["label"] or ()) for row in rows]
        return cls(
            rows=rows,
            labels=labels,
            truth=np.array(
                [[label in found for label in labels] for found in sets], bool
            ).reshape(len(rows), len(labels)),
            is_known=np.array([row["label"] is not None for row in rows], bool),
            logits=np.array([row["logits"] for row in rows], float).reshape(
                len(rows), len(labels)
            ),
            temperature=float(run.task.get("temperature") or 1.0),
            thresholds=np.array([chosen.get(x, 0.5) for x in labels], float),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known(self) -> "Decisions":
        """Those about examples whose labels are known."""
        there = np.flatnonzero(self.is_known)
        return dataclasses.replace(
            self,
            rows=[self.rows[index] for index in there],
            truth=self.truth[there],
            is_known=self.is_known[there],
            logits=self.logits[there],
        )

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [N, C]."""
        return scipy.special.expit(self.logits / self.temperature)

    @property
    def predictions(self) -> np.ndarray:
        """bool [N, C]."""
        return self.probabilities >= self.thresholds

    def example(self, index: int) -> Example:
        """An example and its answer, for a page."""
        row, scores = self.rows[index], self.probabilities[index]
        found = self.predictions[index]

        def names(mask):
            shown = [
                f"{isolated(self.labels[i])} ({percent(scores[i])})"
                for i in np.flatnonzero(mask)
            ]
            return ", ".join(shown) or "none"

        facts = [("predicted", names(found)), ("id", str(row.get("id", "")))]
        is_right = None
        if self.is_known[index]:
            truth = self.truth[index]
            is_right = bool((truth == found).all())
            others = {*row["label"]} - {*self.labels}
            wrong = [
                ("missing", names(truth & ~found)),
                ("too many", names(found & ~truth)),
                ("unknown to the model", ", ".join(sorted(others)) or "none"),
            ]
            facts[1:1] = [fact for fact in wrong if fact[1] != "none"]
            is_right = is_right and not others
        return Example(texts_of(row), facts, place_of(row), is_right)


def sections(run: StoredRun) -> list[Section]:
    """The sections about scores, thresholds and single texts."""
    by_set = {name: Decisions.of(run, name) for name in SETS}
    scored = [name for name, found in by_set.items() if len(found.known)]
    shown = [Section("Scores", common.scores(run))]
    if scored:
        name = scored[0]
        title, decisions = common.SET_NAMES[name], by_set[name].known
        shown += [
            Section(f"Labels ({title})", labelled.labels(run, name)),
            Section(f"Thresholds ({title})", thresholds(decisions)),
            Section(f"How sure it is ({title})", certainties(decisions)),
            *mistakes(title, decisions),
        ]
    for name, decisions in by_set.items():
        if len(decisions) and name not in scored:
            title = common.SET_NAMES[name]
            shown.append(
                Section(f"Predictions ({title})", predictions(decisions))
            )
    return shown


def f1_over_thresholds(holds: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """F1 of a label at each of `THRESHOLDS`.

    Args:
        holds: bool [N].
        scores: float [N].
    """
    found = scores[:, np.newaxis] >= THRESHOLDS
    hits = (found & holds[:, np.newaxis]).sum(axis=0)
    return 2 * hits / np.maximum(found.sum(axis=0) + holds.sum(), 1)


def thresholds(decisions: Decisions) -> list[Block]:
    """F1 over the threshold of the commonest labels, with the chosen ones."""
    support = decisions.truth.sum(axis=0)
    order = [i for i in np.argsort(-support, kind="stable") if support[i]]
    if not order:
        return []
    scores = decisions.probabilities
    several, points = [], []
    for index, color in zip(order[:MAX_CURVES], pictures.SERIES, strict=False):
        f1 = f1_over_thresholds(decisions.truth[:, index], scores[:, index])
        several.append(
            Curve(decisions.labels[index], THRESHOLDS, f1, "-", color)
        )
        chosen = float(decisions.thresholds[index])
        points.append((chosen, float(np.interp(chosen, THRESHOLDS, f1)), color))
    text = "F1 of each label over its threshold; dots are the thresholds used."
    if len(order) > MAX_CURVES:
        text = f"{text} The {MAX_CURVES} commonest labels are shown."
    with pictures.drawing(
        "F1 over the threshold", text, size=(6.4, 3.6)
    ) as picture:
        pictures.draw_curves(picture.axes, several, legend="outside")
        for x, y, color in points:
            picture.axes.plot([x], [y], "o", color=color, markersize=6)
        picture.axes.set_xlabel("threshold")
        picture.axes.set_ylabel("F1")
        picture.axes.set_xlim(0, 1)
        picture.axes.set_ylim(0, 1.02)
    rows: list[list[Cell]] = [
        [
            decisions.labels[index],
            float(decisions.thresholds[index]),
            int(support[index]),
            int(decisions.predictions[:, index].sum()),
        ]
        for index in np.argsort(-support, kind="stable")
    ]
    table = Table(["Label", "Threshold", "Texts", "Predicted"], rows)
    if len(rows) > labelled.MAX_BARS:
        table = Details(f"All {len(rows)} thresholds", [table])  # type: ignore
    return [Picture(picture.svg, text, text), table]


def certainties(decisions: Decisions) -> list[Block]:
    """Curves of the labels, reliability of all decisions, probabilities."""
    scores = decisions.probabilities
    truth = {x: decisions.truth[:, i] for i, x in enumerate(decisions.labels)}
    by_label = {x: scores[:, i] for i, x in enumerate(decisions.labels)}
    diagrams: list[Block] = []
    if decisions.temperature != 1.0:
        plain = dataclasses.replace(decisions, temperature=1.0)
        diagrams.append(_reliability(plain, "Reliability before calibration"))
        diagrams.append(
            _reliability(decisions, "Reliability after calibration")
        )
    else:
        diagrams.append(_reliability(decisions, "Reliability"))
    return [
        *class_curves.curves_of(truth, by_label),
        Side([*diagrams, probability_histogram(decisions)]),
    ]


def _reliability(decisions, title):
    found = calibration.reliability(
        decisions.probabilities, decisions.truth.astype(int)
    )
    return certainty.diagram(
        found, title, "is there", " Each label of each text counts."
    )


def probability_histogram(decisions: Decisions) -> Picture:
    """The probabilities of labels that hold, and of those that do not."""
    edges = np.linspace(0, 1, certainty.NUM_BINS + 1)
    scores, groups = decisions.probabilities, []
    if decisions.is_known.all():
        for title, mask in (
            ("labels that hold", decisions.truth),
            ("labels that do not", ~decisions.truth),
        ):
            counts, _ = np.histogram(scores[mask], edges)
            groups.append((title, counts / max(int(mask.sum()), 1)))
    else:
        counts, _ = np.histogram(scores, edges)
        groups.append(("", counts / max(scores.size, 1)))
    text = "The probabilities of all labels of all texts."
    svg = pictures.histogram(
        "Probabilities",
        text,
        edges,
        groups,
        x_label="probability",
        y_label="share of these labels",
        colors=(pictures.GOOD, pictures.BAD),
        size=(4.8, 3.4),
    )
    return Picture(svg, text, text)


def _listed(decisions, indices):
    return Examples([decisions.example(int(i)) for i in indices])


def mistakes(title: str, decisions: Decisions) -> list[Section]:
    """The most confident wrong decisions, and the least certain ones."""
    scores, truth = decisions.probabilities, decisions.truth
    found = decisions.predictions
    # How far a wrong probability is beyond its threshold.
    distance = np.abs(scores - decisions.thresholds)
    worst = np.where(truth != found, distance, 0.0)
    order = np.argsort(-worst.max(axis=1, initial=0.0), kind="stable")
    wrong = [int(i) for i in order if worst[i].any()]
    number = int((truth != found).any(axis=1).sum())
    text = (
        f"{number:,} of {len(decisions):,} texts have a label too many or too "
        "few. Those whose wrong label is farthest beyond its threshold come "
        "first."
    )
    by_label: list[Block] = []
    for index, label in enumerate(decisions.labels):
        of_label = np.argsort(-worst[:, index], kind="stable")[:NUM_OF_LABEL]
        of_label = of_label[worst[of_label, index] > 0]
        count = int((truth != found)[:, index].sum())
        if len(of_label):
            by_label.append(
                Details(
                    f"{label}: {count:,} wrong decisions",
                    [_listed(decisions, of_label)],
                )
            )
    least = np.argsort(distance.min(axis=1, initial=1.0), kind="stable")
    return [
        Section(
            f"The most confident mistakes ({title})",
            [
                Paragraph(text),
                _listed(decisions, wrong[:NUM_EXAMPLES]),
                *by_label[:NUM_EXAMPLES],
            ],
            "mistakes",
        ),
        Section(
            f"The least certain texts ({title})",
            [
                Paragraph("A label is close to its threshold."),
                _listed(decisions, least[:NUM_EXAMPLES]),
            ],
        ),
    ]


def predictions(decisions: Decisions) -> list[Block]:
    """What was predicted where the labels are not known."""
    counts = decisions.predictions.sum(axis=0)
    rows: list[list[Cell]] = [
        [
            decisions.labels[index],
            int(counts[index]),
            Share(float(counts[index]) / len(decisions)),
        ]
        for index in np.argsort(-counts, kind="stable")[: labelled.MAX_BARS]
    ]
    distance = np.abs(decisions.probabilities - decisions.thresholds)
    least = np.argsort(distance.min(axis=1, initial=1.0), kind="stable")
    return [
        Side(
            [
                Table(["Label", "Predicted", "Share of the texts"], rows),
                probability_histogram(decisions),
            ]
        ),
        Paragraph("The least certain texts:"),
        _listed(decisions, least[:NUM_EXAMPLES]),
    ]
