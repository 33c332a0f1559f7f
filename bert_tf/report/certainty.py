"""How sure answers are, and how often that is right: pictures of it."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bert_tf.metrics import calibration
from bert_tf.report import pictures
from bert_tf.report.answers import Answers
from bert_tf.report.blocks import Block, Picture, Side

NUM_BINS = 20
_WHAT_IT_IS = (
    "A bar shows how many of the answers with that confidence are right. Bars "
    "that end on the dashed line mean that the confidence can be trusted; "
    "below it the model is too sure. Pale bars stand for few answers."
)


def blocks(answers: Answers) -> list[Block]:
    """Reliability diagrams, without and with the temperature; confidences."""
    shown: list[Block] = []
    if answers.temperature != 1.0:
        plain = dataclasses.replace(answers, temperature=1.0)
        shown += [
            reliability_diagram(
                plain.probabilities,
                plain.label_ids,
                "Reliability before calibration",
            ),
            reliability_diagram(
                answers.probabilities,
                answers.label_ids,
                "Reliability after calibration",
                f" The logits are divided by {answers.temperature:.3g}.",
            ),
        ]
    else:
        shown.append(
            reliability_diagram(
                answers.probabilities, answers.label_ids, "Reliability"
            )
        )
    return [Side([*shown, score_histogram(answers)])]


def reliability_diagram(
    probabilities: np.ndarray,
    label_ids: np.ndarray,
    title: str,
    note: str = "",
) -> Picture:
    """A reliability diagram with the expected calibration error.

    Args:
        probabilities, label_ids: see `calibration.reliability`.
        title: of the picture.
        note: a sentence for the caption, with a space before it.
    """
    found = calibration.reliability(probabilities, label_ids)
    return diagram(found, title, note=note)


def diagram(
    found: calibration.Reliability,
    title: str,
    what: str = "is right",
    note: str = "",
) -> Picture:
    """A reliability diagram with the expected calibration error.

    Args:
        found: confidence and accuracy in bins.
        title: of the picture.
        what: what is shown over the confidence: the share that …
        note: a sentence for the caption, with a space before it.
    """
    error = 100 * found.expected_error
    text = f"{title}: the expected calibration error is {error:.1f} %."
    svg = pictures.reliability_bars(
        title,
        text,
        found.edges,
        found.accuracies,
        found.confidences,
        found.counts,
        y_label=f"share that {what}",
    )
    return Picture(svg, text, f"{text}{note} {_WHAT_IT_IS}")


def score_histogram(answers: Answers) -> Picture:
    """How sure the answers are: the right ones, and the wrong ones."""
    known = answers.known
    if len(known):
        return right_and_wrong(known.confidences, known.is_right)
    return _histogram(
        "How confident the answers are.",
        {"": answers.confidences},
        "share of answers",
        pictures.SERIES,
    )


def right_and_wrong(confidences: np.ndarray, is_right: np.ndarray) -> Picture:
    """How sure the right answers are, and the wrong ones.

    Args:
        confidences: float [N], from 0 to 1.
        is_right: bool [N].
    """
    right, wrong = confidences[is_right], confidences[~is_right]
    return _histogram(
        "How confident the right and the wrong answers are.",
        {f"right ({len(right):,})": right, f"wrong ({len(wrong):,})": wrong},
        "share of these answers",
        (pictures.GOOD, pictures.BAD),
    )


def _histogram(
    text: str,
    groups: Mapping[str, np.ndarray],
    y_label: str,
    colors: Sequence[str],
) -> Picture:
    """Shares of the confidences of each group."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    shares = [
        (name, np.histogram(group, edges)[0] / max(len(group), 1))
        for name, group in groups.items()
    ]
    svg = pictures.histogram(
        "Confidence",
        text,
        edges,
        shares,
        x_label="confidence",
        y_label=y_label,
        colors=colors,
        size=(4.8, 3.4),
    )
    return Picture(svg, text, text)
