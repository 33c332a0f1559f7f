"""The page that compares runs of one task: scores, flags, curves, answers.

Runs that differ in their seed alone are one setting: their scores are shown as
a mean with its standard deviation.
"""

import os
from collections.abc import Sequence

from bert_tf.counts import number_of
from bert_tf.errors import UserError
from bert_tf.report import changes, common, compared_curves, over_seeds
from bert_tf.report.blocks import (
    Block,
    Cell,
    Details,
    Paragraph,
    Table,
    number,
)
from bert_tf.report.over_seeds import BEST, best_value, main_metrics
from bert_tf.report.page import Section, render
from bert_tf.report.run_folders import Failure
from bert_tf.report.stored import SETS, StoredRun

# Flags that say where a run is and how it is shown, not what it is.
_PLACES = {
    *("output_dir", "resume", "num_seeds", "grid", "verbosity", "report_to"),
    *("do_train", "do_eval", "do_predict", "do_export", "flagfile"),
}
NUM_METRICS = 4  # In the first table.
NUM_RUNS_ABREAST = 6  # More runs are rows of a table, not columns.


def page_of_runs(
    runs: Sequence[StoredRun],
    *,
    title: str = "",
    failures: Sequence[Failure] = (),
) -> str:
    """The page that compares runs, as HTML.

    Args:
        runs: at least two, in the order in which they are shown; changes of
            answers are those since the first.
        title: the heading; default: made from the task's name.
        failures: runs that failed or collapsed.

    Raises:
        UserError: the runs are not comparable.
    """
    check_comparable(runs)
    names = names_of([run.folder for run in runs])
    task = runs[0].task_name
    sections = [
        score_section(runs, names),
        over_seeds.section(runs, different_flags(runs)),
        failure_section(failures),
        flag_section(runs, names),
        compared_curves.section(runs, names),
        *changes.sections(runs, names),
    ]
    return render(
        title or f"{number_of(len(runs), 'run')} of {task}",
        sections,
        subtitle=f"Task {task} · {number_of(len(runs), 'run')} compared",
        footer="Made by bert_tf from the folders of the runs.",
    )


def check_comparable(runs: Sequence[StoredRun]) -> None:
    """Checks that runs have one task, and were evaluated on the same texts.

    Raises:
        UserError: they are not comparable; in one line it says why.
    """
    if len(runs) < 2:
        raise UserError("at least two runs are needed to compare them")
    first = runs[0]
    for run in runs[1:]:
        if os.path.realpath(run.folder) == os.path.realpath(first.folder):
            raise UserError(f"{run.folder}: the same run is named twice")
        if run.kind != first.kind:
            raise UserError(
                f"{run.folder}: a run of {_kind(run)}, but {first.folder} is "
                f"one of {_kind(first)}: only runs of one kind are compared"
            )
        for name in SETS:
            _check_set(run, first, name)


def _kind(run: StoredRun) -> str:
    return (run.kind or "an unknown task").replace("_", " ")


def _check_set(run: StoredRun, first: StoredRun, name: str) -> None:
    """Raises UserError if a set of two runs has different texts."""
    rows, others = run.rows.get(name), first.rows.get(name)
    if run.kind == "pretraining":  # It keeps a few records only.
        rows = others = None
    title = common.SET_NAMES[name]
    if rows and others:
        keys, other_keys = (
            {changes.key_of(row) for row in each} for each in (rows, others)
        )
        if keys != other_keys:
            number_odd = len(keys ^ other_keys)
            raise UserError(
                f"{run.folder}: its {title} is not that of {first.folder}: "
                f"{number_of(number_odd, 'text')} of "
                f"{len(keys | other_keys):,} "
                f"{'stands' if number_odd == 1 else 'stand'} in one of them "
                "only"
            )
        return
    sizes = [each.set_data(name).get("num_examples") for each in (run, first)]
    if all(sizes) and sizes[0] != sizes[1]:
        raise UserError(
            f"{run.folder}: its {title} has {sizes[0]:,} examples, that of "
            f"{first.folder} {sizes[1]:,}"
        )


def names_of(folders: Sequence[str]) -> list[str]:
    """Short names for folders: what their paths do not have in common."""
    parts = [folder.rstrip("/").split("/") for folder in folders]
    start = 0
    while all(
        len(each) > start + 1 and each[start] == parts[0][start]
        for each in parts
    ):
        start += 1
    end = 0
    while all(
        len(each) - end > start + 1 and each[-1 - end] == parts[0][-1 - end]
        for each in parts
    ):
        end += 1
    return [
        "/".join(each[start : len(each) - end]) or each[-1] for each in parts
    ]


# ---------------------------------------------------------------------------
# Scores.


def _score_cells(
    runs: Sequence[StoredRun], name: str, metric: str
) -> list[Cell]:
    """The cells of a metric, the best marked."""
    values = [run.scores(name).get(metric) for run in runs]
    best = best_value(values, metric)
    is_one_better = len({*values}) > 1
    return [
        None
        if value is None
        else number(value) + (BEST if value == best and is_one_better else "")
        for value in values
    ]


def score_section(runs: Sequence[StoredRun], names: Sequence[str]) -> Section:
    """The scores of all runs, the best of each metric marked."""
    blocks: list[Block] = []
    for name, title in SETS.items():
        metrics = main_metrics(runs, name)
        if not metrics:
            continue
        columns = [_score_cells(runs, name, m) for m in metrics]
        first = columns[:NUM_METRICS]
        blocks.append(
            Table(
                ["Run", *map(common.metric_name, metrics[:NUM_METRICS])],
                [
                    [run, *(column[place] for column in first)]
                    for place, run in enumerate(names)
                ],
                title,
            )
        )
        if len(metrics) > NUM_METRICS:
            table = Table(
                ["Score", *names],
                [
                    [common.metric_name(metric), *column]
                    for metric, column in zip(metrics, columns, strict=True)
                ],
            )
            blocks.append(Details(f"All scores: {title.lower()}", [table]))
    if not blocks:
        return Section("Scores", [Paragraph("No run has been evaluated.")])
    return Section("Scores", [*blocks, Paragraph("★ marks the best.", "note")])


def _settings_of(run: StoredRun) -> dict[str, str]:
    """{flag: value} without the flags that say where things are."""
    return {
        name: common.shown(value)
        for name, value in run.flags.items()
        if name not in _PLACES
    }


def different_flags(runs: Sequence[StoredRun]) -> dict[str, list[str]]:
    """{flag: its value in each run} of the flags that are not all the same."""
    settings = [_settings_of(run) for run in runs]
    names = sorted({name for each in settings for name in each})
    values = {n: [each.get(n, "") for each in settings] for n in names}
    return {n: each for n, each in values.items() if len({*each}) > 1}


def failure_section(failures: Sequence[Failure]) -> Section:
    """The runs that failed or collapsed."""
    rows = [(failure.name, failure.why) for failure in failures]
    table: list[Block] = [Table(["Run", "What happened"], rows)]
    return Section("Failed and collapsed runs", table if rows else [])


# ---------------------------------------------------------------------------
# Flags.


def flag_section(runs: Sequence[StoredRun], names: Sequence[str]) -> Section:
    """The flags that differ, and only those."""
    odd = different_flags(runs)
    if not odd:
        text = "All runs have the same flags."
        if not all(run.flags for run in runs):
            text = "The flags of a run are not known."
        return Section("Flags that differ", [Paragraph(text)])
    if len(runs) <= NUM_RUNS_ABREAST:
        table = Table(["Flag", *names], [[n, *v] for n, v in odd.items()])
    else:
        table = Table(
            ["Run", *odd],
            [
                [name, *(values[place] for values in odd.values())]
                for place, name in enumerate(names)
            ],
        )
    return Section("Flags that differ", [table])
