"""Fits how sure a problem's answers are, and says how far that is right.

problem = calibrated(problem, labels, outputs)           a temperature
problem = with_sets(problem, labels, outputs, 0.9)       sets of labels
scores(problem, labels, outputs)                         on any set

The labels and outputs are those of `Problem.evaluate`; those that something is
fitted on are of the dev set.
"""

import dataclasses
from typing import Any, TypeVar

import numpy as np

from bert_tf.errors import UserError
from bert_tf.export.confidence import Confidence
from bert_tf.metrics import calibration
from bert_tf.tasks.problem import Labels, Outputs, Problem, Record

AnyProblem = TypeVar("AnyProblem", bound=Problem)


def with_learned(problem: AnyProblem, record: Record) -> AnyProblem:
    """The problem with what a run's task.json says of its confidence.

    Args:
        problem: the problem.
        record: the values of task.json; {} for none.

    Raises:
        UserError: a value is damaged.
    """
    known = Confidence.from_record(record)
    if not problem.gives_sets:
        known = Confidence(temperature=known.temperature)
    if not problem.calibrates or known == problem.confidence:
        return problem
    return problem.with_confidence(known)


def calibrated(
    problem: AnyProblem, labels: Labels, outputs: Outputs
) -> AnyProblem:
    """The problem with the temperature that fits these examples best.

    Answers stay the same: one label is the likeliest still, and thresholds of
    several labels move with their probabilities. Sets of labels are lost.

    Raises:
        UserError: no example has a label that the model knows.
    """
    logits, label_ids = _known(*problem.judged(labels, outputs))
    if not len(logits):
        raise UserError(
            "the dev set has no example whose label the model knows",
            setting="calibrate",
            value=True,
        )
    temperature = calibration.fit_temperature(logits, label_ids)
    return problem.with_confidence(Confidence(temperature=temperature))


def with_sets(
    problem: AnyProblem, labels: Labels, outputs: Outputs, coverage: float
) -> AnyProblem:
    """The problem with sets of labels that hold the right one that often.

    Raises:
        UserError: there are too few examples.
    """
    logits, label_ids = problem.judged(labels, outputs)
    check_number(len(label_ids), coverage)
    threshold = calibration.conformal_threshold(
        problem.probabilities(logits), label_ids, coverage
    )
    return problem.with_confidence(
        dataclasses.replace(
            problem.confidence, coverage=coverage, set_threshold=threshold
        )
    )


def check_number(num_examples: int, coverage: float) -> None:
    """Raises UserError if sets of labels need more examples.

    Args:
        num_examples: the size of the dev set.
        coverage: see `with_sets`.
    """
    needed = calibration.examples_needed(coverage)
    if num_examples < needed:
        raise UserError(
            f"needs {needed} examples in the dev set, and there are "
            f"{num_examples}",
            setting="coverage",
            value=coverage,
        )


def scores(
    problem: Problem, labels: Labels, outputs: Outputs
) -> dict[str, Any]:
    """How far the confidence of answers is right, on any set.

    Returns:
        Of a problem with a temperature "temperature", and both with and
        without it ("…_uncalibrated") "ece", the expected calibration error,
        and "nll", the mean negative log-likelihood of the labels that the
        model knows. Of one with sets of labels "coverage", "mean_set_size" and
        "empty_sets", see `calibration.set_scores`. Nothing otherwise.
    """
    confidence, found = problem.confidence, dict[str, Any]()
    if confidence.temperature is None and confidence.coverage is None:
        return found
    logits, label_ids = problem.judged(labels, outputs)
    if confidence.temperature is not None:
        found["temperature"] = confidence.temperature
        plain = problem.with_confidence(Confidence())
        known_logits, known_ids = _known(logits, label_ids)
        for name, one in (("", problem), ("_uncalibrated", plain)):
            found[f"ece{name}"] = calibration.expected_calibration_error(
                one.probabilities(logits), label_ids
            )
            found[f"nll{name}"] = calibration.negative_log_likelihood(
                known_logits, known_ids, one.confidence.temperature or 1.0
            )
    if confidence.set_threshold is not None:
        found |= calibration.set_scores(
            problem.probabilities(logits), label_ids, confidence.set_threshold
        )
    return found


def _known(logits, label_ids):
    """Those of examples whose label the model knows."""
    if label_ids.ndim == 2:
        return logits, label_ids
    is_known = label_ids < logits.shape[-1]
    return logits[is_known], np.asarray(label_ids)[is_known]
