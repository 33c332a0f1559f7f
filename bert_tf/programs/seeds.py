"""Runs with several seeds, and how much their results vary."""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from absl import logging

from bert_tf import files
from bert_tf.counts import counted
from bert_tf.programs.settings import RunSettings
from bert_tf.tasks.problem import Evaluation


def run_seeds(
    run_once: Callable[[RunSettings], Evaluation | None],
    settings: RunSettings,
    num_seeds: int,
) -> dict[str, Any]:
    """Runs with several seeds; logs how much the results vary.

    Fine-tuning a large model on few examples sometimes collapses: the model
    gives the same answer for all examples. Such runs are counted.

    Args:
        run_once: function(settings) -> the run's evaluation.
        settings: the settings of the first run. The others have the next
            seeds, and all have a folder of their own in its `output_dir`.
        num_seeds: how many runs there are.

    Returns:
        What seeds.json holds.
    """
    by_seed: dict[int, Evaluation] = {}
    for seed in range(settings.seed, settings.seed + num_seeds):
        logging.info("***** Seed %d *****", seed)
        evaluation = run_once(
            dataclasses.replace(
                settings,
                seed=seed,
                output_dir=os.path.join(settings.output_dir, f"seed-{seed}"),
                resume=_resume(settings, is_first=not by_seed),
            )
        )
        assert evaluation is not None, "runs are compared by their evaluations"
        by_seed[seed] = evaluation
        keras.backend.clear_session()
    return summary_of(by_seed)


def _resume(settings, is_first):
    # "must": the first run has to be there; others may still be missing.
    if settings.resume == "must" and not is_first:
        return "auto"
    return settings.resume


def summary_of(by_seed: dict[int, Evaluation]) -> dict[str, Any]:
    """Mean, standard deviation and values of each score, which are logged."""
    collapsed = [seed for seed, e in by_seed.items() if e.is_collapsed]
    summary: dict[str, Any] = {"seeds": list(by_seed), "collapsed": collapsed}
    logging.info("***** %d seeds *****", len(by_seed))
    for name in sorted(next(iter(by_seed.values())).scores):
        values = [float(run.scores[name]) for run in by_seed.values()]
        mean, deviation = np.mean(values), np.std(values, ddof=1)
        summary[name] = {"mean": mean, "std": deviation, "values": values}
        logging.info("  %s = %.4f ± %.4f", name, mean, deviation)
    logging.info(
        "  %s the same for all examples%s",
        counted(len(collapsed), len(by_seed), "seed", "answer"),
        f": seed {', '.join(map(str, collapsed))}" if collapsed else "",
    )
    return summary


def write_summary(folder: str, summary: dict[str, Any]) -> None:
    """Writes seeds.json."""
    path = os.path.join(folder, "seeds.json")
    files.write_text(path, json.dumps(summary, indent=2) + "\n")
