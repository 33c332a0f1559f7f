"""The page of texts with a number each."""

import numpy as np

from bert_tf.report import common, pictures
from bert_tf.report.answers import place_of, texts_of
from bert_tf.report.blocks import (
    Block,
    Example,
    Examples,
    Paragraph,
    Picture,
    Side,
    number,
)
from bert_tf.report.page import Section
from bert_tf.report.stored import SETS, Row, StoredRun

NUM_EXAMPLES = 10
NUM_BINS = 30


def sections(run: StoredRun) -> list[Section]:
    """The sections about scores, errors and single texts."""
    shown = [Section("Scores", common.scores(run))]
    is_first = True
    for name in SETS:
        rows = [r for r in run.rows.get(name, ()) if "prediction" in r]
        known = [r for r in rows if r["label"] is not None]
        title = common.SET_NAMES[name]
        if known:
            shown.append(
                Section(f"Predictions ({title})", scatter(run, name, known))
            )
            if is_first:
                shown.append(
                    Section(f"The largest errors ({title})", largest(known))
                )
            is_first = False
        elif rows:
            shown.append(Section(f"Predictions ({title})", unknown(rows)))
    return shown


def _columns(rows):
    """(truth, predictions), each float64 [N]."""
    columns = common.column(rows, "label"), common.column(rows, "prediction")
    return columns


def scatter(run: StoredRun, name: str, rows: list[Row]) -> list[Block]:
    """Predictions over true numbers, and the errors."""
    truth, found = _columns(rows)
    errors = found - truth
    scores = run.scores(name)
    correlations = ", ".join(
        f"{common.metric_name(key)} {number(scores[key])}"
        for key in ("pearson", "spearman")
        if key in scores
    )
    text = f"Predictions over the true numbers of {len(rows):,} texts."
    if correlations:
        text += f" Correlation: {correlations}."
    first = pictures.scatter(
        "Predictions over true numbers",
        text,
        truth,
        found,
        x_label="true number",
        y_label="prediction",
        has_diagonal=True,
    )
    mean = float(errors.mean())
    bias = (
        f"Errors: on average predictions are {number(abs(mean))} too "
        f"{'low' if mean < 0 else 'high'}, with a standard deviation of "
        f"{number(float(errors.std()))}."
    )
    second = pictures.scatter(
        "Errors over predictions",
        bias,
        found,
        errors,
        x_label="prediction",
        y_label="prediction minus true number",
        has_zero_line=True,
    )
    counts, edges = np.histogram(errors, NUM_BINS)
    spread = "How many texts have which error."
    third = pictures.histogram(
        "Errors",
        spread,
        edges,
        [("", counts)],
        x_label="prediction minus true number",
        y_label="texts",
    )
    return [
        Side(
            [
                Picture(first, text, text),
                Picture(second, bias, bias),
                Picture(third, spread, spread),
                _distribution([("true", truth), ("predicted", found)]),
            ]
        )
    ]


def _distribution(columns):
    """Histograms of numbers, over the same bins."""
    every = np.concatenate([values for _, values in columns])
    edges = np.histogram_bin_edges(every, NUM_BINS)
    text = "How often which number occurs."
    svg = pictures.histogram(
        "Numbers",
        text,
        edges,
        [(name, np.histogram(values, edges)[0]) for name, values in columns],
        x_label="number",
        y_label="texts",
    )
    return Picture(svg, text, text)


def _example(row):
    facts = [("predicted", number(row["prediction"]))]
    if row["label"] is not None:
        error = row["prediction"] - row["label"]
        facts.insert(0, ("label", f"{row['label']:.6g}"))
        facts.append(("error", f"{error:+.4g}"))
    facts.append(("id", str(row.get("id", ""))))
    return Example(texts_of(row), facts, place_of(row))


def largest(rows: list[Row]) -> list[Block]:
    """The texts with the largest errors."""
    truth, found = _columns(rows)
    order = np.argsort(-np.abs(found - truth), kind="stable")[:NUM_EXAMPLES]
    return [Examples([_example(rows[index]) for index in order])]


def unknown(rows: list[Row]) -> list[Block]:
    """What was predicted where the numbers are not known."""
    _, found = _columns(rows)
    order = np.argsort(found, kind="stable")
    half = NUM_EXAMPLES // 2
    return [
        _distribution([("", found)]),
        Paragraph("The smallest numbers:"),
        Examples([_example(rows[index]) for index in order[:half]]),
        Paragraph("The largest numbers:"),
        Examples([_example(rows[index]) for index in order[::-1][:half]]),
    ]
