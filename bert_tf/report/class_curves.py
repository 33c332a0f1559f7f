"""Precision-recall and ROC curves: of one label, or each against the rest."""

import numpy as np
from sklearn import metrics as sklearn_metrics

from bert_tf.report import pictures
from bert_tf.report.answers import Answers
from bert_tf.report.blocks import Block, Picture, Side
from bert_tf.report.markup import isolated
from bert_tf.report.pictures import SOFT, Curve

MAX_CURVES = 8


def blocks(answers: Answers) -> list[Block]:
    """Both curves next to each other; nothing if no label can have one."""
    number = answers.probabilities.shape[-1]
    # With two labels one curve is enough: the second one is what is looked for.
    ids = [1] if number == 2 else range(number)
    truth = {answers.names[i]: answers.label_ids == i for i in ids}
    scores = {answers.names[i]: answers.probabilities[:, i] for i in ids}
    return curves_of(truth, scores)


def curves_of(
    truth: dict[str, np.ndarray], scores: dict[str, np.ndarray]
) -> list[Block]:
    """Curves of labels.

    Args:
        truth: {label: bool [N], whether it holds}.
        scores: {label: float [N], its probability}.
    """
    usable = [
        label
        for label, holds in truth.items()
        if holds.any() and not holds.all()
    ]
    if not usable:
        return []
    usable.sort(key=lambda label: -int(truth[label].sum()))
    shown = usable[:MAX_CURVES]
    if len(usable) == 1:
        which = f" of the label “{pictures.short_label(shown[0])}”"
    elif len(shown) < len(usable):
        which = f" of the {MAX_CURVES} commonest labels"
    else:
        which = " of each label against the rest"
    return [
        Side(
            [
                _precision_recall(usable, shown, truth, scores, which),
                _roc(usable, shown, truth, scores, which),
            ]
        )
    ]


def _precision_recall(usable, shown, truth, scores, which):
    areas = {
        label: sklearn_metrics.average_precision_score(
            truth[label], scores[label]
        )
        for label in usable
    }
    several = []
    for label in shown:
        precision, recall, _ = sklearn_metrics.precision_recall_curve(
            truth[label], scores[label]
        )
        several.append(_curve(label, recall, precision, areas[label], usable))
    text = f"Precision and recall{which}. {_mean('Average precision', areas)}"
    return _picture(
        "Precision and recall", text, several, x="recall", y="precision"
    )


def _roc(usable, shown, truth, scores, which):
    areas, several = {}, []
    for label in usable:
        false_rate, true_rate, _ = sklearn_metrics.roc_curve(
            truth[label], scores[label]
        )
        areas[label] = sklearn_metrics.auc(false_rate, true_rate)
        if label in shown:
            several.append(
                _curve(label, false_rate, true_rate, areas[label], usable)
            )
    several.append(Curve("", [0, 1], [0, 1], ":", SOFT))
    text = f"ROC curve{which}. {_mean('Area under the curve', areas)}"
    return _picture(
        "ROC curve",
        text,
        several,
        x="false positive rate",
        y="true positive rate",
    )


def _mean(name, areas):
    mean = float(np.mean(list(areas.values())))
    if len(areas) == 1:
        return f"{name}: {mean:.4f}."
    return f"{name}, macro: {mean:.4f}."


def _curve(label, x, y, area, usable):
    name = f"{isolated(pictures.short_label(label, 20))} {area:.3f}"
    return Curve(name if len(usable) > 1 else "", x, y)


def _picture(title, text, several, *, x, y):
    svg = pictures.curves(
        title,
        text,
        several,
        x_label=x,
        y_label=y,
        x_range=(-0.01, 1.01),
        y_range=(-0.01, 1.02),
        size=(4.8, 3.6),
    )
    return Picture(svg, text, text)
