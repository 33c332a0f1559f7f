"""Folders of several runs: which runs there are, and what became of them.

runs.json lists the runs of a grid, or of several seeds. Earlier versions list
seeds in seeds.json.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import Any

from bert_tf import files, json_files
from bert_tf.errors import UserError

RUNS, SEEDS = "runs.json", "seeds.json"
FINISHED = "finished"
COLLAPSED = "gives all examples the same answer"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A run that left no scores, or useless ones.

    Attributes:
        name: of the run.
        why: what happened, in a few words.
    """

    name: str
    why: str


def is_of_several(folder: str) -> bool:
    """Whether a folder holds several runs."""
    return any(
        files.exists(os.path.join(folder, name)) for name in (RUNS, SEEDS)
    )


def expanded(folders: Iterable[str]) -> tuple[list[str], list[Failure]]:
    """The folders of single runs, and the runs that failed or collapsed.

    Args:
        folders: of runs, or of several runs each.

    Returns:
        (folders, failures). A run that collapsed is in both: it has scores.

    Raises:
        UserError: a list of runs is damaged.
    """
    found: list[str] = []
    failures: list[Failure] = []
    for folder in folders:
        if not is_of_several(folder):
            found.append(folder)
            continue
        for path, why in _runs_of(folder):
            if why:
                failures.append(Failure(os.path.basename(path), why))
            if why in ("", COLLAPSED):
                found.append(path)
    return found, failures


def _runs_of(folder: str) -> Iterator[tuple[str, str]]:
    """Yields (folder, what is wrong or "") of each run in a folder."""
    path = os.path.join(folder, RUNS)
    try:
        if files.exists(path):
            for run in json_files.read_object(path)["runs"]:
                yield os.path.join(folder, str(run["folder"])), _why(run)
            return
        path = os.path.join(folder, SEEDS)
        summary = json_files.read_object(path)
        for seed in summary["seeds"]:
            is_collapsed = seed in summary["collapsed"]
            why = COLLAPSED if is_collapsed else ""
            yield os.path.join(folder, f"seed-{seed}"), why
    except (LookupError, TypeError, AttributeError):
        raise UserError(f"{path}: damaged: it lists no runs") from None


def _why(run: dict[str, Any]) -> str:
    if run["status"] != FINISHED:
        reason = run.get("reason")
        return f"{run['status']}: {reason}" if reason else str(run["status"])
    return COLLAPSED if run.get("collapsed") else ""
