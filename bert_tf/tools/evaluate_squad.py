"""Scores a file of predictions as SQuAD's official scripts do.

    python -m bert_tf.tools.evaluate_squad --predict_file=dev-v1.1.json \\
        --predictions_file=predictions.json

For SQuAD 2.0 add --version_2_with_negative, and --null_odds_file to find the
best threshold. Prints one JSON object with the scores in per cent. Its best
thresholds are the official script's: 0.0 where it is best to answer nothing.
run_squad.py writes thresholds to use to eval_results.txt.

Predictions may also be a list of objects, or JSON lines, each with an id and a
prediction: {"id": 7, "prediction_text": "…"}, as Hugging Face has them, or
answers of bert_tf.tools.predict.
"""

import contextlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from absl import flags, logging

from bert_tf import files
from bert_tf.counts import counted
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad import variants
from bert_tf.data.tabular.json_objects import read_objects
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program

FLAGS = flags.FLAGS
REQUIRED = ("predict_file", "predictions_file")
# Keys of values in a list of objects, the first one that is there.
PREDICTION_NAMES = ("prediction_text", "prediction", "answer", "text")
NULL_ODDS_NAMES = ("null_odds", "no_answer_probability", "na_prob")

flags.DEFINE_string(
    "predict_file", None, "SQuAD file with questions and their right answers."
)
flags.DEFINE_string(
    "predictions_file",
    None,
    "JSON file with the predictions, {question id: text}, such as "
    "predictions.json.",
)
flags.DEFINE_string(
    "null_odds_file",
    None,
    "JSON file with the odds that a question has no answer, {question id: "
    "number}, such as null_odds.json.",
)
flags.DEFINE_bool(
    "version_2_with_negative",
    False,
    "Score by the rules of SQuAD 2.0, where questions may have no answer.",
)
shared_flags.define_float(
    "null_odds_threshold",
    1.0,
    "A question whose null odds are larger counts as not answered: the "
    "official script's --na-prob-thresh.",
)


def main() -> None:
    program.require(*REQUIRED)
    from bert_tf import metrics

    answers = squad_examples.read_answers(
        FLAGS.predict_file, FLAGS.version_2_with_negative
    )
    predictions = read_object("predictions_file", PREDICTION_NAMES, as_text)
    compare_ids(answers, predictions)
    if not FLAGS.version_2_with_negative:
        if FLAGS.null_odds_file:
            raise UserError(
                f"--null_odds_file={FLAGS.null_odds_file} needs "
                "--version_2_with_negative"
            )
        squad_examples.check_answered(FLAGS.predict_file, answers)
        scores = metrics.squad_v1_scores(answers, predictions)
    else:
        null_odds = None
        if FLAGS.null_odds_file:
            null_odds = read_object(
                "null_odds_file", NULL_ODDS_NAMES, as_number
            )
            check_null_odds(predictions, null_odds)
        scores = metrics.squad_v2_scores(
            answers, predictions, null_odds, FLAGS.null_odds_threshold
        )
    print(json.dumps(scores, indent=2))


def read_object(
    flag: str, names: Collection[str], convert: Callable[[Any], Any]
) -> dict[str, Any]:
    """Reads a flag's file: a value for each question.

    Args:
        flag: name of the flag.
        names: keys of the value in an object with "id", where the file has a
            list of them instead of one object by question id.
        convert: function(value), which returns it as it should be, or raises
            ValueError that says what it must be.

    Returns:
        {question id: value}.

    Raises:
        UserError: the file is something else.
    """
    program.require_existing(flag)
    path = getattr(FLAGS, flag)
    try:
        values = json.loads(files.read_text(path))
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise UserError(f"--{flag}={path}: not JSON: {error}") from None
        values = [value for _, value in read_objects(path)]
    except (ValueError, RecursionError) as error:
        raise UserError(f"--{flag}={path}: not JSON: {error}") from None
    if isinstance(values, list):
        values = by_id(values, names, f"--{flag}={path}")
    if not isinstance(values, dict):
        raise UserError(f"--{flag}={path}: must be an object by question id")
    for qas_id, value in values.items():
        try:
            values[qas_id] = convert(value)
        except ValueError as error:
            raise UserError(
                f"--{flag}={path}: question {qas_id}: {error}"
            ) from None
    return values


def by_id(
    objects: Sequence[Any], names: Collection[str], place: str
) -> dict[str, Any]:
    """Returns {id: value} of objects that have an id and a value each.

    Raises:
        UserError: an object has no id or value, or two have one id.
    """
    values: dict[str, Any] = {}
    for number, entry in enumerate(objects, start=1):
        keys = [name for name in names if isinstance(entry, dict)]
        name = next((key for key in keys if key in entry), None)
        if name is None or "id" not in entry:
            raise UserError(
                f"{place}: must be an object by question id, or objects with "
                f"an id and {' or '.join(names)}; number {number} is not one"
            )
        qas_id = variants.id_of(entry["id"], f"{place}: number {number}")
        if qas_id in values:
            raise UserError(f"{place}: the id {qas_id!r} comes twice")
        values[qas_id] = entry[name]
    return values


def as_text(value: Any) -> str:
    """A prediction; numbers are written out."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a text")
    return str(value)


def as_number(value: Any) -> float:
    """Null odds; texts that are numbers count."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


def check_null_odds(
    predictions: Mapping[str, str], null_odds: Mapping[str, float]
) -> None:
    """Raises UserError unless each prediction has null odds."""
    path = FLAGS.null_odds_file
    for qas_id, value in null_odds.items():
        if not math.isfinite(value):
            raise UserError(
                f"--null_odds_file={path}: question {qas_id}: {value} is not "
                "a number"
            )
    missing = [qas_id for qas_id in predictions if qas_id not in null_odds]
    if missing:
        raise UserError(
            f"--null_odds_file={path}: {len(missing)} of the "
            f"{len(predictions)} predictions have no null odds, {missing[0]} "
            "first"
        )


def compare_ids(
    answers: Mapping[str, object], predictions: Mapping[str, str]
) -> None:
    """Logs predictions without a question, and questions without a prediction.

    Raises:
        UserError: no question has a prediction.
    """
    unknown = [qas_id for qas_id in predictions if qas_id not in answers]
    missing = [qas_id for qas_id in answers if qas_id not in predictions]
    if len(missing) == len(answers):
        raise UserError(
            f"--predictions_file={FLAGS.predictions_file}: no "
            f"question of it is in {FLAGS.predict_file}"
        )
    if unknown:
        logging.warning(
            "%s ignored: %s does not have the question (%s first)",
            counted(len(unknown), len(predictions), "prediction", "are"),
            FLAGS.predict_file,
            unknown[0],
        )
    if missing:
        logging.warning(
            "%s no prediction, %s first: %s",
            counted(len(missing), len(answers), "question"),
            missing[0],
            "ignored" if FLAGS.version_2_with_negative else "scored as 0",
        )


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
