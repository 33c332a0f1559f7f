"""The page of a run: which sections each kind of task has.

KINDS   {kind of answers: function(run) -> [Section]}

A kind without a function has the sections that all kinds share.
"""

from collections.abc import Callable

from bert_tf.report import (
    choices,
    common,
    labelled,
    numbers,
    pretraining,
    questions,
    several_labels,
    tags,
    usage,
)
from bert_tf.report.page import Section, render
from bert_tf.report.stored import StoredRun

KINDS: dict[str, Callable[[StoredRun], list[Section]]] = {
    "single_label": labelled.sections,
    "multi_label": several_labels.sections,
    "multiple_choice": choices.sections,
    "regression": numbers.sections,
    "relation": labelled.sections,
    "squad": questions.sections,
    "tags": tags.sections,
    "pretraining": pretraining.sections,
}


def sections_of(run: StoredRun) -> list[Section]:
    """All sections of a run's page."""
    of_kind = KINDS.get(run.kind)
    if of_kind:
        first = of_kind(run)
    else:
        first = [Section("Scores", common.scores(run))]
    return [
        *first,
        *common.training(run),
        *common.data(run),
        *usage.sections(run),
        *common.settings(run),
    ]


def page_of(run: StoredRun) -> str:
    """The page of a run as HTML."""
    return render(
        run.name,
        sections_of(run),
        subtitle=common.subtitle(run),
        head=[*common.headline(run), *common.incomplete(run)],
        footer="Made by bert_tf from the files in this folder.",
    )
