"""Fits a temperature and sets of labels as the flags ask, and says how good.

The dev set decides both, after the training. A training drops those of the
weights that it starts from.
"""

from typing import Any

import numpy as np
from absl import flags, logging

from bert_tf.counts import number_of
from bert_tf.errors import UserError
from bert_tf.programs import console
from bert_tf.programs.session import Session
from bert_tf.tasks import confidence
from bert_tf.tasks.problem import Evaluation, Labels, Outputs, Problem, Record

FLAGS = flags.FLAGS
FEW_EXAMPLES = 100  # On fewer a temperature is a guess.
MANY_EMPTY = 0.02  # A share of all sets.


def settled(problem: Problem, learned: Record, session: Session) -> Problem:
    """The problem with what was fitted for its weights, if they stay.

    Args:
        problem: the problem.
        learned: what task.json holds of the weights; {} for nothing.
        session: the run.

    Raises:
        UserError: a flag does not apply to the problem, or task.json is
            damaged.
    """
    for name, is_asked, applies in (
        ("calibrate", FLAGS.calibrate, problem.calibrates),
        (
            "coverage",
            FLAGS.coverage is not None,
            problem.calibrates and problem.gives_sets,
        ),
    ):
        if is_asked and not applies:
            raise UserError(
                f"not for {problem.description}",
                setting=name,
                value=FLAGS[name].value,
            )
    known = confidence.with_learned(problem, learned)
    if not session.trains:
        return known
    if known.confidence != problem.confidence and not FLAGS.calibrate:
        logging.warning(
            "The temperature or the sets of labels that were fitted before are "
            "not those of the weights after this training: --calibrate and "
            "--coverage fit them again"
        )
    return problem


def check_examples(examples: dict[str, Any]) -> None:
    """Raises UserError if the dev set is too small for --coverage.

    Args:
        examples: {mode: examples}.
    """
    if FLAGS.coverage is not None:
        confidence.check_number(len(examples["eval"]), FLAGS.coverage)


def fitted(problem: Problem, labels: Labels, outputs: Outputs) -> Problem:
    """The problem with what the flags ask to fit on these examples.

    Sets of labels that were fitted before are fitted again with a new
    temperature.

    Args:
        problem, labels, outputs: see `tasks.confidence`; of the dev set.
    """
    coverage = FLAGS.coverage
    if FLAGS.calibrate:
        if coverage is None:
            coverage = problem.confidence.coverage
        problem = confidence.calibrated(problem, labels, outputs)
        _warn_of_examples(problem, labels)
    if coverage is not None:
        problem = confidence.with_sets(problem, labels, outputs, coverage)
    return problem


def _warn_of_examples(problem, labels):
    if len(labels) < FEW_EXAMPLES:
        logging.warning(
            "The temperature %.3g is fitted on %s of the dev set: %d or more "
            "make it reliable",
            problem.confidence.temperature,
            number_of(len(labels), "example"),
            FEW_EXAMPLES,
        )
    if problem.labels is not None and len({*labels}) == 1:
        logging.warning(
            "All examples of the dev set have the label %s: the temperature "
            "says nothing of others",
            labels[0],
        )


def add_scores(
    evaluation: Evaluation, problem: Problem, labels: Labels, outputs: Outputs
) -> Evaluation:
    """The evaluation with the scores of its confidence, if there are any.

    Args:
        evaluation: of the same labels and outputs.
        problem, labels, outputs: see `confidence.scores`.
    """
    found = confidence.scores(problem, labels, outputs)
    evaluation.metrics.update(found)
    return evaluation


def log_scores(scores: dict[str, Any], name: str) -> None:
    """Logs what people want to know of a set, in a line for each.

    Args:
        scores: those of its evaluation.
        name: of the set, such as "dev".
    """
    if "ece" in scores:
        console.show(
            "Calibrated",
            "temperature %.3g: expected calibration error %.4f before, %.4f "
            "after; negative log-likelihood %.4f before, %.4f after (%s set)",
            *(
                scores[key]
                for key in (
                    "temperature",
                    "ece_uncalibrated",
                    "ece",
                    "nll_uncalibrated",
                    "nll",
                )
            ),
            name,
        )
    if "coverage" in scores:
        console.show(
            "Label sets",
            "%.1f %% hold the right label; they have %.2f "
            "labels on average, and %.1f %% are empty (%s set)",
            100 * scores["coverage"],
            scores["mean_set_size"],
            100 * scores["empty_sets"],
            name,
        )
    is_known = not np.isnan(scores.get("empty_sets", np.nan))
    if name == "dev" and is_known and scores["empty_sets"] > MANY_EMPTY:
        console.show(
            "",
            "sets are empty where the model is right more often than "
            "--coverage asks for: a higher one leaves fewer of them empty",
        )
