"""runs.json: what several runs gave, which is the best, and a table of them.

{
  "metric": "eval_accuracy",
  "grid": {"learning_rate": [5e-05, 3e-05]},
  "best": {"folder": …, "values": {…}, "seed": …, "mean": …, "std": …},
  "settings": [{"values": {…}, "mean": …, "std": …, "num_seeds": 3}],
  "runs": [{"folder": …, "values": {…}, "seed": …, "status": "finished",
            "scores": {…}, "collapsed": false, "reason": null,
            "seconds": 61.5, "kept": true}],
  "others": []
}
"""

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bert_tf import files
from bert_tf.counts import format_mean, format_score, number_of
from bert_tf.errors import UserError
from bert_tf.programs.run_plan import PlannedRun, written

NAME = "runs.json"
STATUSES = ("unfinished", "finished", "diverged", "failed")
MAX_LINES = 20
# Function(value, other): whether the first is better.
IsBetter = Callable[[float, float], bool]


@dataclasses.dataclass
class RunResult:
    """What one of several runs gave.

    Attributes:
        folder: its folder's name in --output_dir.
        values: {flag: value} of the flags that the grid varies.
        seed: its seed.
        status: one of `STATUSES`; a diverged one's loss was NaN or infinite.
        scores: {metric: number} on the dev set; {} without an end.
        collapsed: whether it gives all examples the same answer.
        reason: why it diverged or failed.
        seconds: how long it took, since it was started last.
        kept: whether its checkpoints are there.
    """

    folder: str
    values: dict[str, Any]
    seed: int
    status: str = "unfinished"
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    collapsed: bool = False
    reason: str | None = None
    seconds: float | None = None
    kept: bool = True

    @property
    def is_finished(self) -> bool:
        """Whether it has scores."""
        return self.status == "finished"


@dataclasses.dataclass(frozen=True)
class Setting:
    """The runs with the same values, and their scores.

    Attributes:
        values: {flag: value} of the flags that the grid varies.
        runs: one for each seed.
        mean: of the metric, over the finished ones; nan without any.
        std: the standard deviation of a sample; None of a single run.
        best: the best finished run; None without any.
    """

    values: dict[str, Any]
    runs: Sequence[RunResult]
    mean: float
    std: float | None
    best: RunResult | None

    @property
    def is_complete(self) -> bool:
        """Whether each run has scores, or never will."""
        return all(run.status != "unfinished" for run in self.runs)


def settings_of(
    results: Iterable[RunResult], metric: str, is_better: IsBetter
) -> list[Setting]:
    """Puts the runs with the same values together, the best first.

    Settings of which each seed has a score come before others.
    """
    by_values: dict[str, list[RunResult]] = {}
    for result in results:
        key = json.dumps(result.values, sort_keys=True)
        by_values.setdefault(key, []).append(result)
    settings = []
    for runs in by_values.values():
        finished = [r for r in runs if is_number(r.scores.get(metric))]
        scores = [run.scores[metric] for run in finished]
        best = None
        for run in finished:
            if best is None or is_better(
                run.scores[metric], best.scores[metric]
            ):
                best = run
        settings.append(
            Setting(
                runs[0].values,
                runs,
                statistics.fmean(scores) if scores else math.nan,
                statistics.stdev(scores) if len(scores) > 1 else None,
                best,
            )
        )
    sign = -1.0 if is_better(1.0, 0.0) else 1.0

    def order(setting: Setting) -> tuple[Any, ...]:
        has_all = all(r.is_finished for r in setting.runs)
        return (setting.best is None, not has_all, sign * setting.mean)

    return sorted(settings, key=order)


def is_number(value: Any) -> bool:
    """Whether a score is there, and not nan."""
    return value is not None and math.isfinite(value)


def results_for(
    plan: Iterable[PlannedRun], before: Iterable[RunResult]
) -> tuple[list[RunResult], list[RunResult]]:
    """The results of planned runs so far, and those of other runs.

    Args:
        plan: the runs that are wanted.
        before: what `read` found.
    """
    found = {result.folder: result for result in before}
    wanted = []
    for run in plan:
        new = RunResult(run.folder, run.values, run.seed)
        wanted.append(found.pop(run.folder, new))
    return wanted, list(found.values())


# ---------------------------------------------------------------------------
# The file.


def read(folder: str) -> list[RunResult]:
    """Reads the results in a folder's runs.json; [] without the file.

    Raises:
        UserError: the file is damaged.
    """
    path = os.path.join(folder, NAME)
    if not files.exists(path):
        return []
    try:
        content = json.loads(files.read_text(path))
        names = [field.name for field in dataclasses.fields(RunResult)]
        results = [
            RunResult(**{name: run[name] for name in names})
            for run in [*content["runs"], *content["others"]]
        ]
        if not all(run.status in STATUSES for run in results):
            raise ValueError
    except (ValueError, TypeError, LookupError):
        raise UserError(
            f"{path}: damaged; remove it, and the runs in the folder resume"
        ) from None
    return results


def best_folder(folder: str) -> str | None:
    """The name of the best run's folder; None where that is not known."""
    path = os.path.join(folder, NAME)
    if not files.exists(path):
        return None
    best = json.loads(files.read_text(path)).get("best")
    return best["folder"] if best else None


def write(
    folder: str,
    results: Sequence[RunResult],
    others: Sequence[RunResult],
    metric: str | None,
    settings: Sequence[Setting],
    grid: dict[str, list[Any]],
) -> None:
    """Writes runs.json.

    Args:
        folder: --output_dir.
        results: of the runs of the command.
        others: of runs in the folder that the command does not want.
        metric: the metric that says which is the best; None before the first
            run has ended.
        settings: of `settings_of`.
        grid: {flag: values}.
    """
    content = {
        "metric": metric,
        "grid": grid,
        "best": _best(settings, metric),
        "settings": [
            {
                "values": setting.values,
                "mean": setting.mean,
                "std": setting.std,
                "num_seeds": len(setting.runs),
            }
            for setting in settings
        ],
        "runs": [dataclasses.asdict(result) for result in results],
        "others": [dataclasses.asdict(result) for result in others],
    }
    text = json.dumps(_without_nan(content), indent=2)
    files.write_text(os.path.join(folder, NAME), text + "\n")


def _best(settings, metric):
    if not settings or settings[0].best is None:
        return None
    run = settings[0].best
    return {
        "folder": run.folder,
        "values": run.values,
        "seed": run.seed,
        "score": run.scores[metric],
        "mean": settings[0].mean,
        "std": settings[0].std,
    }


def _without_nan(value):
    """JSON has no nan."""
    if isinstance(value, dict):
        return {name: _without_nan(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# ---------------------------------------------------------------------------
# The table.


def table(settings: Sequence[Setting], metric: str) -> list[str]:
    """The lines of a table of settings, the best first.

    Args:
        settings: of `settings_of`.
        metric: the metric in the table.
    """
    names = list(settings[0].values) if settings else []
    head = ["", *names, metric, "seeds", "seconds", ""]
    rows = [head]
    # The last line may say how many are left out.
    shown = settings
    if len(settings) > MAX_LINES - 1:
        shown = settings[: MAX_LINES - 2]
    for place, setting in enumerate(shown, start=1):
        times = [r.seconds for r in setting.runs if r.seconds is not None]
        rows.append(
            [
                str(place),
                *(written(setting.values[name]) for name in names),
                _score(setting),
                str(sum(r.is_finished for r in setting.runs)),
                f"{statistics.fmean(times):.0f}" if times else "",
                _notes(setting),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(shown) < len(settings):
        left = number_of(len(settings) - len(shown), "more setting")
        lines.append(f"{left} in {NAME}")
    return lines


def _score(setting):
    if setting.best is None:
        return "-"
    if setting.std is None:
        return format_score(setting.mean)
    return format_mean(setting.mean, setting.std)


def _notes(setting):
    """What became of the runs that are not as they should be."""
    collapsed = sum(run.collapsed for run in setting.runs)
    notes = [f"{collapsed} collapsed"] if collapsed else []
    for status in ("diverged", "failed", "unfinished"):
        number = sum(run.status == status for run in setting.runs)
        if number:
            notes.append(f"{number} {status}")
    return ", ".join(notes)
