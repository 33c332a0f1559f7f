"""Makes the runs of a command one after the other, and compares them.

Each has a folder of its own in --output_dir. The same command, given again,
skips what is finished and resumes what is not. A run that collapses, diverges
or fails is counted and named, and the others are made all the same.
"""

import dataclasses
import gc
import json
import os
import textwrap
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, files, training
from bert_tf.counts import counted, format_mean, number_of
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.metrics.comparing import is_better
from bert_tf.programs import (
    console,
    defaults,
    export_flags,
    next_step,
    program,
    run_log,
    run_plan,
    run_record,
    run_report,
    run_table,
)
from bert_tf.programs.run_plan import PlannedRun
from bert_tf.programs.run_table import RunResult, Setting
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.progress import working
from bert_tf.report import pictures, writing
from bert_tf.training import distribution

FLAGS = flags.FLAGS

# Flags that change nothing in a run that is finished: it is not made again.
# What a command does, and where, is compared apart.
OF_NO_EFFECT = defaults.OF_A_COMMAND | {
    "iterations_per_loop",
    "keep_checkpoints",
    "metric_for_best",  # Each run settles it.
    "save_checkpoints_steps",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How good a run is.

    Attributes:
        scores: {metric: number} on the dev set.
        metric: the metric by which runs are compared.
        is_collapsed: whether it gives all examples the same answer.
    """

    scores: Mapping[str, Any]
    metric: str
    is_collapsed: bool


MAX_REASON = 80  # Characters after the table; runs.json has all.

# Function(modes, settings, folder of the export or None) -> outcome, if any.
RunOnce = Callable[[Collection[str], RunSettings, str | None], Outcome | None]


class SeveralRuns:
    """The runs of one command.

    Args:
        run_once: makes one run, under its flags.
        fill_flags: function(trains), which takes over the flags of the run
            that is in --output_dir.
        modes: what each run does.
        strategy: where it does it.

    Attributes:
        results: what each run gave, in the order of the plan.
        metric: the metric by which they are compared; None before the first
            end of a run.
    """

    def __init__(
        self,
        run_once: RunOnce,
        fill_flags: Callable[[bool], object],
        modes: Collection[str],
        strategy: tf.distribute.Strategy,
    ):
        self.run_once = run_once
        self.fill_flags = fill_flags
        self.modes = modes
        self.strategy = strategy
        self.writes = distribution.is_chief(strategy)
        self.folder = FLAGS.output_dir
        self.plan = run_plan.planned_runs()
        self.results, self.others = run_table.results_for(
            self.plan, run_table.read(self.folder)
        )
        self.metric: str | None = None

    def run(self) -> Setting:
        """Makes all runs; writes runs.json and logs a table.

        Returns:
            The best setting.

        Raises:
            UserError: no run has a score, or a batch size does not divide.
        """
        self.check_batches()
        if self.others:
            names = ", ".join(result.folder for result in self.others)
            console.show("Others", f"not in this grid, and kept: {names}")
        for index, planned in enumerate(self.plan):
            run_log.leave()  # Each run has its own.
            place = f"{index + 1} of {len(self.plan)}"
            console.show("Run", f"{place}: {planned.name}")
            with run_plan.flags_of(planned) as folder:
                self.make(planned, index, folder)
            self.write()
        run_log.leave()
        if self.writes:
            run_log.open_in(self.folder)
        settings = self.settings()
        if settings[0].best is None:
            first = next(r for r in self.results if not r.is_finished)
            raise UserError(
                f"none of {number_of(len(self.results), 'run')} has a result; "
                f"{first.folder}: {first.reason}"
            )
        self.log(settings)
        return settings[0]

    def check_batches(self) -> None:
        """Raises UserError if a batch cannot be shared by the devices."""
        for planned in self.plan:
            with run_plan.flags_of(planned):
                distribution.check_divisible(
                    self.strategy,
                    "train_batch_size",
                    FLAGS.train_batch_size,
                    FLAGS.gradient_accumulation_steps,
                )

    def make(self, planned: PlannedRun, index: int, folder: str) -> None:
        """Makes one run, under its flags, unless it is finished."""
        is_first = not any(r.is_finished for r in self.results[:index])
        result = self.results[index]
        self.fill_flags("train" in self.modes)
        settings = from_flags(RunSettings, FLAGS.flag_values_dict())
        # "must": the first run has to be there; others may still be missing.
        if settings.resume == "must" and not is_first:
            settings = dataclasses.replace(settings, resume="auto")
        if self.is_done(result, folder):
            self.metric = self.metric or result_metric(folder)
            console.show("", f"skipped: it has {result.status}")
            return
        result = RunResult(planned.folder, planned.values, planned.seed)
        self.results[index] = result
        self.write()
        start = time.perf_counter()
        try:
            outcome = self.run_once(self.modes, settings, None)
            assert outcome is not None, "runs are compared by their scores"
            result.status = "finished"
            result.collapsed = outcome.is_collapsed
            result.scores = {n: float(v) for n, v in outcome.scores.items()}
            self.metric = outcome.metric
        except training.Interrupted:
            raise
        except training.TrainingDiverged as error:
            self.end_early(result, "diverged", program.message_of(error))
        except UserError as error:
            self.end_early(result, "failed", program.message_of(error), error)
        except tf.errors.ResourceExhaustedError as error:
            why = f"out of memory: {error.message.splitlines()[0]}"
            self.end_early(result, "failed", why, error)
        result.seconds = round(time.perf_counter() - start, 1)
        keras.backend.clear_session()
        gc.collect()  # The variables of a model, which refers to itself.

    def is_done(self, result: RunResult, folder: str) -> bool:
        """Whether a run need not be made again.

        It has ended, and its flags were these. What fits the data is not
        known yet: flags without a value are not compared.
        """
        if result.status not in ("finished", "diverged"):
            return False
        record = run_record.read(folder)
        wanted = [m for m in ("train", "eval") if m in self.modes]
        if result.status == "diverged":
            wanted = ["train"]
        elif "predict" in self.modes and result.kept:
            wanted.append("predict")
        now = program.values()
        for mode in wanted:
            before = run_record.flags_of(record, [mode])
            if not before:
                return False
            for name in {*before} & {*now} - OF_NO_EFFECT:
                if now[name] not in (None, before[name]):
                    return False
        return True

    def end_early(
        self,
        result: RunResult,
        status: str,
        reason: str,
        error: Exception | None = None,
    ) -> None:
        """Notes that a run has no scores.

        Raises:
            Exception: `error`, if it is not of this run alone: no values
                vary, an earlier run failed in the same way, or the other
                processes of the training wait for this one.
        """
        reasons = [r.reason for r in self.results if r is not result]
        is_shared = not result.values or reason in reasons
        if error and (
            is_shared or distribution.num_processes(self.strategy) > 1
        ):
            raise error
        result.status, result.reason = status, reason
        logging.warning("%s %s: %s", result.folder, status, reason)

    # --- What comes of them -------------------------------------------------

    def settings(self) -> list[Setting]:
        """The runs, by their values, the best first."""
        return run_table.settings_of(
            self.results,
            self.metric or "",
            lambda value, other: is_better(value, other, self.metric or ""),
        )

    def write(self) -> None:
        """Writes runs.json, after checkpoints that nobody needs are removed."""
        if not self.writes:
            return
        settings = self.settings()
        if not run_plan.keeps_all():
            self.remove_checkpoints(settings)
        files.make_folder(self.folder)
        run_table.write(
            self.folder,
            self.results,
            self.others,
            self.metric,
            settings,
            run_plan.parse(FLAGS.grid) if FLAGS.grid is not None else {},
        )

    def remove_checkpoints(self, settings: Sequence[Setting]) -> None:
        """Removes those of all runs but the best, and what may become it."""
        complete = [s for s in settings if s.is_complete]
        needed = [s.best for s in complete[:1]]
        needed += [s.best for s in settings if not s.is_complete]
        for result in self.results:
            is_over = result.status in ("finished", "diverged")
            is_needed = any(result is run for run in needed)
            if is_over and result.kept and not is_needed:
                folder = os.path.join(self.folder, result.folder)
                for place in (folder, os.path.join(folder, "best")):
                    checkpoints.CheckpointFolder(place).remove()
                result.kept = False

    def log(self, settings: Sequence[Setting]) -> None:
        """Logs the table of runs, and where the best one is."""
        assert self.metric is not None
        key = "Runs"
        for line in run_table.table(settings, self.metric):
            console.show(key, line)
            key = ""
        for result in self.results:
            if result.reason:
                why = textwrap.shorten(result.reason, MAX_REASON)
                console.show("", f"{result.folder} {result.status}: {why}")
        best = settings[0].best
        assert best is not None
        name = run_plan.PlannedRun(best.values, best.seed, best.folder).name
        place = os.path.join(self.folder, best.folder)
        console.show("Best", f"by {self.metric}: {name}, in {place}")

    def write_report(self) -> None:
        """Writes the page that compares the runs."""
        if sum(result.is_finished for result in self.results) < 2:
            return
        if not pictures.is_available():
            console.show("Report", f"{writing.NAME} {writing.HOW_TO_INSTALL}")
            return
        with run_report.mistakes_are_warnings():
            with working("Drawing the report"):
                path = writing.write_page(self.folder)
            console.show("Report", f"{path}, which compares the runs")

    def export(self, best: RunResult) -> None:
        """Exports the best run to --output_dir/export, int8 compared, too."""
        modes = ["export"]
        if FLAGS.export_int8 and "eval" in self.modes:
            modes.append(export_flags.COMPARE)
        planned = PlannedRun(best.values, best.seed, best.folder)
        target = os.path.join(self.folder, "export")
        with run_plan.flags_of(planned):
            self.fill_flags(False)
            settings = from_flags(RunSettings, FLAGS.flag_values_dict())
            self.run_once(modes, settings, target)

    def log_next_step(
        self, best: RunResult, modes: Collection[str], labels_files: bool
    ) -> None:
        """Logs what one may want to do with the best run."""
        if "export" in modes:
            next_step.log_next_step(modes, labels_files)
            return
        with run_plan.flags_of(PlannedRun(best.values, best.seed, best.folder)):
            next_step.log_next_step(modes, labels_files)


def result_metric(folder: str) -> str | None:
    """The metric by which an earlier run was judged."""
    values = run_record.flags_of(run_record.read(folder), ["eval"])
    return values.get("metric_for_best")


def run_all(
    run_once: Callable[..., Outcome | None],
    tasks: Collection[str],
    modes: Collection[str],
    strategy: tf.distribute.Strategy,
    *,
    labels_files: bool,
) -> None:
    """Makes the runs of --grid and --num_seeds, and exports the best.

    Args:
        run_once: function(modes, strategy, settings, folder of the export or
            None) -> outcome, if any: a program's.
        tasks: the tasks of the program, see `defaults.from_earlier_run`.
        modes, strategy: see `SeveralRuns`.
        labels_files: see `next_step.log_next_step`.

    Raises:
        UserError: see `SeveralRuns.run`.
    """
    if "export" in modes:
        target = os.path.join(FLAGS.output_dir, "export")
        saved_models.check_replaceable(target)
    own_modes = [m for m in modes if m != "export" or run_plan.keeps_all()]
    several = SeveralRuns(
        lambda modes, *values: run_once(modes, strategy, *values),
        lambda trains: defaults.from_earlier_run(tasks, trains),
        own_modes,
        strategy,
    )
    best = several.run().best
    assert best is not None
    if several.writes and FLAGS.grid is None:
        write_summary(several.folder, summary_of(several.results))
    if "export" in modes:
        several.export(best)
    if several.writes:
        several.write_report()
        several.log_next_step(best, modes, labels_files)


# ---------------------------------------------------------------------------
# Runs that differ in their seeds.


def summary_of(results: Sequence[RunResult]) -> dict[str, Any]:
    """What seeds.json holds: mean, standard deviation and values of each score.

    Args:
        results: of runs that differ in their seeds alone.
    """
    finished = [result for result in results if result.is_finished]
    collapsed = [result.seed for result in finished if result.collapsed]
    summary: dict[str, Any] = {
        "seeds": [result.seed for result in finished],
        "collapsed": collapsed,
    }
    diverged = [result.seed for result in results if not result.is_finished]
    if diverged:
        summary["diverged"] = diverged
    key = "Scores"
    for name in sorted(finished[0].scores):
        values = [result.scores[name] for result in finished]
        mean = float(np.mean(values))
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        summary[name] = {"mean": mean, "std": deviation, "values": values}
        shown = format_mean(mean, deviation)
        console.show(key, f"{name} {shown}")
        key = ""
    if collapsed:
        seeds = ", ".join(map(str, collapsed))
        number = counted(len(collapsed), len(finished), "seed", "answer")
        console.show("", f"{number} the same for all examples: seed {seeds}")
    return summary


def write_summary(folder: str, summary: dict[str, Any]) -> None:
    """Writes seeds.json."""
    path = os.path.join(folder, "seeds.json")
    files.write_text(path, json.dumps(summary, indent=2) + "\n")
