"""What the pages of all kinds of runs have in common.

headline    the key scores
scores      a table of all scores, of the dev set and of the test set
training    learning curves
data        sizes of the sets, labels, lengths
settings    flags and versions
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf.counts import number_of
from bert_tf.metrics.comparing import best_of
from bert_tf.report import pictures
from bert_tf.report.blocks import (
    Block,
    Cell,
    Details,
    Figures,
    Paragraph,
    Picture,
    Place,
    Share,
    Side,
    Table,
    number,
)
from bert_tf.report.page import Section
from bert_tf.report.pictures import Curve
from bert_tf.report.stored import SETS, StoredRun

# Names for people.
METRICS = {
    "eval_accuracy": "Accuracy",
    "accuracy": "Accuracy",
    "eval_loss": "Loss",
    "f1": "F1",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "micro_f1_tuned": "Micro F1 (tuned)",
    "macro_f1_tuned": "Macro F1 (tuned)",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "exact_match": "Exact match",
    "exact": "Exact match",
    "masked_lm_accuracy": "Masked LM accuracy",
    "next_sentence_accuracy": "Next sentence accuracy",
    "masked_lm_loss": "Masked LM loss",
    "masked_lm_perplexity": "Masked LM perplexity",
    "next_sentence_loss": "Next sentence loss",
}
# Names of scores that no headline shows.
OTHERS = {
    "balanced_loss": "Loss, each label counts the same",
    "num_labels_predicted": "Labels predicted",
    "exact_match_tuned": "Exact match (tuned)",
    "precision": "Precision",
    "recall": "Recall",
    "mean_absolute_error": "Mean absolute error",
    "mean_squared_error": "Mean squared error",
    "temperature": "Temperature",
    "ece": "Expected calibration error",
    "ece_uncalibrated": "Expected calibration error before calibration",
    "nll": "Negative log-likelihood",
    "nll_uncalibrated": "Negative log-likelihood before calibration",
    "coverage": "Sets that hold the right label",
    "mean_set_size": "Labels in a set, on average",
    "empty_sets": "Empty sets",
}
# Scores that a headline shows, the most telling first.
HEADLINE = tuple(name for name in METRICS if "loss" not in name)
NUM_HEADLINE = 2  # Scores of each set.
SET_NAMES = {
    "train": "training set",
    "unlabelled": "texts without labels",
    "eval": "dev set",
    "test": "test set",
}


def metric_name(name: str) -> str:
    """The name of a metric for people."""
    return {**OTHERS, **METRICS}.get(name, name.replace("_", " "))


def headline(run: StoredRun) -> list[Block]:
    """The key scores of each set."""
    items = []
    for name, title in SETS.items():
        scores = run.scores(name)
        # Tuned thresholds are those that the model answers with.
        wanted = dict.fromkeys(
            f"{m}_tuned" if f"{m}_tuned" in scores else m
            for m in (run.metric, *HEADLINE)
        )
        shown = [m for m in wanted if m in scores and "loss" not in m]
        support = run.set_data(name).get("num_examples")
        note = f"{title.lower()}" + (
            f", {support:,} examples" if support else ""
        )
        items += [
            (metric_name(metric), shown_score(run, scores[metric]), note)
            for metric in shown[:NUM_HEADLINE]
        ]
    return [Figures(items)] if items else []


def shown_score(run: StoredRun, value: float) -> str:
    """A score for people; those of SQuAD are in per cent."""
    return f"{value:.2f} %" if run.task_name == "squad" else number(value)


def subtitle(run: StoredRun) -> str:
    """A line about the run: its task, model and time."""
    record = run.record.get("train", {})
    parts = [f"Task {run.task_name}"] if run.task_name else []
    if steps := record.get("num_train_steps"):
        parts.append(f"{steps:,} steps")
    if seconds := record.get("seconds"):
        parts.append(f"trained in {duration(seconds)}")
    if teacher := run.flags.get("teacher"):
        parts.append(f"taught by {teacher}")
    parts.append(time.strftime("page of %Y-%m-%d %H:%M"))
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """A time for people: 42 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def scores(run: StoredRun) -> list[Block]:
    """A table of all scores of each set."""
    by_set = {n: run.scores(n) for n in SETS if run.scores(n)}
    there = {m for found in by_set.values() for m in found}
    names = [m for m in (*METRICS, *OTHERS) if m in there]
    names += sorted(there - {*names})
    rows = [
        [metric_name(m), *(found.get(m) for found in by_set.values())]
        for m in names
        if m not in ("loss", "global_step")
    ]
    if not rows:
        return []
    return [Table(["Score", *(SETS[n] for n in by_set)], rows)]


def training(run: StoredRun) -> list[Section]:
    """Learning curves: loss, dev metrics, rate, norm of the gradient."""
    blocks = [*loss_curves(run), *metric_curves(run), *rate_curves(run)]
    return [Section("Training", [Side(blocks)] if blocks else [])]


def column(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """float64 [N]: the values of a key; nan where it is missing or null."""
    values = [row.get(name) for row in rows]
    return np.array([math.nan if v is None else v for v in values], float)


def _picture(title, description, several, caption="", **settings):
    svg = pictures.curves(title, description, several, **settings)
    return Picture(svg, description, caption)


def _ends(values):
    """ "from 0.7 to 0.1" of a curve."""
    there = values[np.isfinite(values)]
    if not len(there):
        return "without a finite value"
    return f"from {number(float(there[0]))} to {number(float(there[-1]))}"


def best_step(run: StoredRun) -> list[tuple[float, str]]:
    """The step of the best evaluation, as a mark of a picture."""
    best = best_of(run.evaluations, run.metric) if run.metric else None
    return [(best["step"], f"best: step {best['step']:,}")] if best else []


def loss_curves(run: StoredRun) -> list[Block]:
    """The loss of training, its terms, and the loss of evaluations."""
    if not run.steps:
        return []
    steps, losses = column(run.steps, "step"), column(run.steps, "loss")
    several = [Curve("training", steps, losses)]
    terms = run.steps[-1].get("losses") or {}
    if len(terms) > 1:
        several += [
            Curve(
                term.replace("_", " "),
                steps,
                column([row.get("losses", {}) for row in run.steps], term),
                "--",
            )
            for term in terms
        ]
    dev = [e for e in run.evaluations if "eval_loss" in e]
    if dev:
        several.append(
            Curve("dev set", column(dev, "step"), column(dev, "eval_loss"), "o")
        )
    last = int(np.nanmax(steps, initial=0))
    text = f"The loss of training went {_ends(losses)} over {last:,} steps."
    return [
        _picture(
            "Loss",
            text,
            several,
            text,
            x_label="step",
            y_label="loss",
            marks=best_step(run),
        )
    ]


def metric_curves(run: StoredRun) -> list[Block]:
    """The scores of the evaluations while the run trained."""
    wanted = dict.fromkeys([run.metric, *HEADLINE])
    names = [
        m
        for m in wanted
        if any(m in e for e in run.evaluations) and "loss" not in m
    ][:4]
    if len(run.evaluations) < 2 or not names:
        return []
    steps = column(run.evaluations, "step")
    several = [
        Curve(metric_name(m), steps, column(run.evaluations, m), "o")
        for m in names
    ]
    values = column(run.evaluations, names[0])
    text = f"{metric_name(names[0])} on the dev set went {_ends(values)}."
    return [
        _picture(
            "Dev set",
            text,
            several,
            text,
            x_label="step",
            y_label="score" if len(names) > 1 else metric_name(names[0]),
            marks=best_step(run),
        )
    ]


def rate_curves(run: StoredRun) -> list[Block]:
    """The learning rate, and the norm of the gradient."""
    found: list[Block] = []
    steps = column(run.steps, "step")
    for key, title, is_log in (
        ("gradient_norm", "Norm of the gradient", True),
        ("learning_rate", "Learning rate", False),
    ):
        values = column(run.steps, key)
        if not np.isfinite(values).any():
            continue
        most = number(float(np.nanmax(values)))
        text = f"{title}: {most} at most."
        if key == "gradient_norm":
            text = f"{title}, before it is clipped to 1: {most} at most."
        is_positive = bool(np.nanmin(values) > 0)
        found.append(
            _picture(
                title,
                text,
                [Curve("", steps, values)],
                text,
                x_label="step",
                y_label=title.lower(),
                is_log=is_log and is_positive,
            )
        )
    return found


def data(run: StoredRun) -> list[Section]:
    """Sizes of the sets, shares of the labels, lengths of the texts."""
    sets = [name for name in SET_NAMES if run.set_data(name)]
    blocks: list[Block] = []
    if sets:
        rows: list[list[Cell]] = []
        for name in sets:
            of_set = run.set_data(name)
            paths = of_set.get("files") or []
            place = Place(paths[0]) if paths else ""
            rows.append(
                [SET_NAMES[name].capitalize(), of_set["num_examples"], place]
            )
        blocks.append(Table(["Set", "Examples", "File"], rows))
    blocks += label_shares(run, sets)
    blocks += lengths(run, sets)
    return [Section("Data", blocks)]


def label_shares(run: StoredRun, sets: Sequence[str]) -> list[Block]:
    """The share of each label in each set, the commonest first."""
    counts = {name: run.set_data(name).get("labels") or {} for name in sets}
    counts = {name: found for name, found in counts.items() if found}
    if not counts:
        return []
    first = next(iter(counts.values()))
    names = dict.fromkeys(label for found in counts.values() for label in found)
    ordered = sorted(names, key=lambda label: -first.get(label, 0))
    header = ["Label"]
    for name in counts:
        header += [SET_NAMES[name].capitalize(), "Share"]
    rows: list[list[Cell]] = []
    for label in ordered:
        row: list[Cell] = [label]
        for name, found in counts.items():
            total = run.set_data(name)["num_examples"] or 1
            row += [found.get(label, 0), Share(found.get(label, 0) / total)]
        rows.append(row)
    table = Table(header, rows, "Labels")
    if len(rows) <= 20:
        return [table]
    return [
        Table(header, rows[:12], "The commonest labels"),
        Details(f"All {len(rows)} labels", [table]),
    ]


def lengths(run: StoredRun, sets: Sequence[str]) -> list[Block]:
    """Histograms of the lengths in WordPieces, with the cut."""
    found: dict[str, Any] = {
        name: run.set_data(name)["lengths"]
        for name in sets
        if run.set_data(name).get("lengths")
    }
    if not found:
        return []
    texts = []
    for name, of_set in found.items():
        share = of_set["num_truncated"] / max(of_set["num_measured"], 1)
        texts.append(
            f"{SET_NAMES[name]}: {100 * share:.1f} % are cut, "
            f"the longest has {of_set['longest']:,}"
        )
    capacity = next(iter(found.values()))["capacity"]
    shown_shares = "; ".join(texts)
    text = (
        f"A sequence holds {capacity:,} WordPieces. "
        f"{shown_shares[0].upper()}{shown_shares[1:]}"
    )
    width = max(of_set["bin_width"] for of_set in found.values())
    if any(of_set.get("last_is_open") for of_set in found.values()):
        text += "; the last bin has all longer ones"
    number_of_bins = max(
        -(-len(of_set["counts"]) * of_set["bin_width"] // width)
        for of_set in found.values()
    )
    edges = width * np.arange(number_of_bins + 1)
    groups = []
    for name, of_set in found.items():
        counts = np.zeros(len(edges) - 1)
        for index, count in enumerate(of_set["counts"]):
            counts[index * of_set["bin_width"] // width] += count
        share = counts / max(of_set["num_measured"], 1)
        groups.append((SET_NAMES[name], share))
    marks = []
    if capacity <= edges[-1]:
        marks.append((capacity, f"cut at {capacity:,}"))
    svg = pictures.histogram(
        "Lengths of the texts",
        text + ".",
        edges,
        groups,
        x_label="WordPieces",
        y_label="share of the texts",
        marks=marks,
        size=(6.4, 2.8),
    )
    return [Picture(svg, text, text + ".")]


def settings(run: StoredRun) -> list[Section]:
    """Flags that the command gave; then all flags, and versions, folded."""
    blocks: list[Block] = []
    flags = run.flags
    given = [name for name in run.given_flags if name in flags]
    if given:
        rows = [[name, shown(flags[name])] for name in sorted(given)]
        blocks.append(Table(["Flag", "Value"], rows, "Given by the command"))
    if flags:
        rows = [[name, shown(flags[name])] for name in sorted(flags)]
        blocks.append(
            Details(f"All {len(rows)} flags", [Table(["Flag", "Value"], rows)])
        )
    if run.versions:
        rows = [[name, version] for name, version in run.versions.items()]
        blocks.append(Details("Versions", [Table(["Library", ""], rows)]))
    return [Section("Settings", blocks)]


def shown(value: Any) -> str:
    """The value of a flag, as one types it."""
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def incomplete(run: StoredRun) -> list[Block]:
    """What the page says if not all rows of a set are on it."""
    blocks: list[Block] = []
    for name, count in run.not_finite.items():
        blocks.append(
            Paragraph(
                f"Of the {SET_NAMES[name]} {number_of(count, 'answer')} "
                f"{'is' if count == 1 else 'are'} no finite number: the model "
                "has diverged. Train again with a lower learning rate. "
                "This page leaves these answers out.",
                "warning",
            )
        )
    for name in SETS:
        total = run.set_data(name).get("num_examples", 0)
        total -= run.not_finite.get(name, 0)
        there = len(run.rows.get(name, ()))
        if there and there < total:
            blocks.append(
                Paragraph(
                    f"Of the {SET_NAMES[name]}'s {total:,} examples this page "
                    f"shows the first {there:,}; the scores are those of all.",
                    "note",
                )
            )
    return blocks
