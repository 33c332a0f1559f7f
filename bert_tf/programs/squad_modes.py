"""Trains on questions, answers questions, and scores the answers."""

import contextlib
import dataclasses
import operator
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import distillation_losses, losses, metrics, training
from bert_tf.data import pipeline
from bert_tf.data.squad import answers as squad_answers
from bert_tf.data.squad import windows as squad_windows
from bert_tf.data.squad.dataset import WindowRows
from bert_tf.data.squad.examples import SquadExample, SquadExamples
from bert_tf.programs import (
    batches,
    console,
    run_report,
    score_lines,
    squad_report,
    teaching,
    training_run,
)
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.session import Session, log_results
from bert_tf.programs.settings import from_flags
from bert_tf.programs.several_runs import Outcome
from bert_tf.programs.squad_data import Answers, read_rows
from bert_tf.progress import with_progress

FLAGS = flags.FLAGS
QUESTIONS_BETWEEN_LINES = 1000
LOGITS = ("start_logits", "end_logits")
# The files with predictions, and what they hold of an `Answer`.
FILES = {
    "predictions.json": operator.attrgetter("text"),
    "nbest_predictions.json": operator.attrgetter("nbest"),
    "null_odds.json": operator.attrgetter("null_odds"),
}
# {file: function(question id, value)}.
Writers = Mapping[str, Callable[[str, Any], None]]


@dataclasses.dataclass(kw_only=True)
class Job:
    """A run on questions, as its modes see it.

    Attributes:
        session: the run.
        model: the model that answers.
        runner: runs the model over batches.
        examples: the examples of "train" and "predict", by mode.
        windows: their windows, by mode.
        answers: the right answers of --predict_file; {} if nothing is scored.
        report: what the run leaves for its report.
        prediction_batches: batches of --predict_file; evaluations while
            training and what follows read the same.
        teacher: whose answers are learned; None learns the labels alone.
    """

    session: Session
    model: keras.Model
    runner: training.BatchRunner
    examples: Mapping[str, SquadExamples]
    windows: Mapping[str, WindowRows]
    answers: Answers
    report: run_report.RunReport
    prediction_batches: tf.data.Dataset | None = None
    teacher: teaching.Teacher | None = None


def train(job: Job, num_train_steps: int) -> int:
    """Trains up to `num_train_steps`; returns the step at which it ended."""
    windows = job.windows["train"]
    job.report.add_set("train", (), len(job.examples["train"]))
    training_batches = batches.training_batches(
        job.session.strategy,
        job.model,
        read_rows("train", windows, job.session.folder),
        len(windows),
        job.session.settings.seed,
    )
    evaluate = None
    if job.session.settings.eval_steps:
        dataset = prediction_batches(job)

        def evaluate():
            return score(job, find_all_answers(job, dataset, {}))

    logging.debug("***** Running training *****")
    log_numbers(job, "train")
    logging.debug("  Num steps = %d", num_train_steps)
    lesson = teaching.lesson(
        job.teacher,
        job.model,
        losses.span_loss(),
        distillation_losses.span_loss,
    )
    return job.session.train(
        lesson.loss_terms,
        training_batches,
        num_train_steps=num_train_steps,
        num_warmup_steps=training_run.count_warmup_steps(num_train_steps),
        evaluate=evaluate,
        num_examples=len(job.examples["train"]),
        num_windows=len(windows),
        **lesson.hooks,
    )


def log_numbers(job: Job, mode: str) -> None:
    """Logs how many questions and windows a file has."""
    logging.debug("  Num orig examples = %d", len(job.examples[mode]))
    logging.debug("  Num split examples = %d", len(job.windows[mode]))
    logging.debug("  Batch size = %d", batches.batch_size(mode))


def prediction_batches(job: Job) -> tf.data.Dataset:
    """The batches of --predict_file, which are made once."""
    if job.prediction_batches is None:
        job.prediction_batches = batches.evaluation_batches(
            job.session.strategy,
            read_rows("predict", job.windows["predict"], job.session.folder),
            FLAGS.predict_batch_size,
            length_multiple=squad_windows.WINDOW_LENGTH_MULTIPLE,
        )
    return job.prediction_batches


def answer_questions(
    job: Job, modes: Collection[str], global_step: int
) -> Outcome | None:
    """Writes the original's three files, and eval_results.txt.

    Args:
        job: the job.
        modes: "predict" writes the files, "eval" the results.
        global_step: the step of the model's weights.

    Returns:
        How good the answers are, if they are scored.
    """
    dataset = prediction_batches(job)
    logging.debug("***** Running predictions *****")
    log_numbers(job, "predict")
    start = time.perf_counter()
    folder = job.session.results_folder(
        "predict" if "predict" in modes else "eval"
    )
    sizes: dict[str, squad_report.Sizes] = {}
    with contextlib.ExitStack() as stack:
        writers = open_files(folder, stack) if "predict" in modes else {}
        answers = find_all_answers(job, dataset, writers, sizes)
    results: dict[str, float] = {}
    if "eval" in modes:
        results = {**score(job, answers), "global_step": global_step}
        folder.write_results(results)
    seconds = time.perf_counter() - start
    for mode in ("eval", "predict"):
        if mode in modes:
            job.session.record(
                mode,
                folder,
                num_examples=len(job.examples["predict"]),
                num_windows=len(job.windows["predict"]),
                seconds=seconds,
                results=results,
            )
    if "eval" in modes:
        log_results(results)
        number = len(job.examples["predict"])
        score_lines.show("Scores", {}, results, number, "question")
        log_better_threshold(results)
    report_answers(job, modes, folder, answers, sizes)
    if "predict" in modes:
        logging.debug("***** Predict results *****")
        for name in writers:
            logging.debug("  %s", folder.file(name))
    written = ["eval_results.txt"] if "eval" in modes else []
    console.show_written(folder.path, *written, *writers)
    if "eval" not in modes:
        return None
    return Outcome(
        scores=results,
        metric=job.session.settings.metric,
        is_collapsed=len({answer.text for answer in answers.values()}) == 1,
    )


def report_answers(
    job: Job,
    modes: Collection[str],
    folder: RunFolder,
    answers: Mapping[str, squad_answers.Answer],
    sizes: Mapping[str, squad_report.Sizes],
) -> None:
    """Writes what the run's report shows of the questions.

    Args:
        job: the job.
        modes: "predict", "eval" or both.
        folder: where the answers are.
        answers: {question's id: its answer}.
        sizes: {question's id: its sizes}.
    """
    set_name = "eval" if "eval" in modes else "predict"
    job.report.add_set(set_name, (), len(job.examples["predict"]))
    job.report.folders[set_name] = folder
    with run_report.mistakes_are_warnings():
        squad_report.write(
            folder,
            FLAGS.predict_file,
            answers,
            sizes,
            job.answers if "eval" in modes else {},
            FLAGS.version_2_with_negative,
        )


def open_files(folder: RunFolder, stack: contextlib.ExitStack) -> Writers:
    """Opens the files with predictions, which appear when `stack` ends."""
    if not folder.writes:
        return {}
    names = list(FILES)
    if not FLAGS.version_2_with_negative:
        names.remove("null_odds.json")
    return {
        name: stack.enter_context(
            squad_answers.writing_json_object(
                stack.enter_context(folder.writing(name))
            )
        )
        for name in names
    }


def find_all_answers(
    job: Job,
    dataset: tf.data.Dataset,
    writers: Writers,
    sizes: dict[str, squad_report.Sizes] | None = None,
) -> dict[str, squad_answers.Answer]:
    """Answers all questions of --predict_file.

    Args:
        job: the job.
        dataset: their batches.
        writers: where each answer is written.
        sizes: {question id: how long it is}, which is filled for the report.

    Returns:
        {question id: answer} without n-best answers, which are many: they go
        to the files only.
    """
    by_id = {}
    for example, windows, answer in find_answers(job, dataset):
        if sizes is not None:
            sizes[example.qas_id] = squad_report.Sizes.of(windows, answer)
        for name, write in writers.items():
            write(example.qas_id, FILES[name](answer))
        by_id[example.qas_id] = dataclasses.replace(answer, nbest=[])
    return by_id


def find_answers(
    job: Job, dataset: tf.data.Dataset
) -> Iterator[
    tuple[
        SquadExample,
        list[squad_windows.InputFeatures],
        squad_answers.Answer,
    ]
]:
    """Yields (example, windows, answer) for each question of --predict_file.

    The windows are made a second time here. That takes little time compared
    with the model, and only a few of them are in memory at a time.
    """
    settings = from_flags(
        squad_answers.AnswerSettings,
        FLAGS.flag_values_dict(),
        on_failed_alignment=(
            logging.info if FLAGS.verbose_logging else lambda message: None
        ),
    )
    converter = job.windows["predict"].settings.make()
    outputs = pipeline.in_file_order(job.runner(dataset))
    num_places = operator.attrgetter(
        "max_seq_length" if FLAGS.pad_to_max_length else "num_places"
    )
    examples = job.examples["predict"]
    for number, example in enumerate(
        with_progress(examples, len(examples), "questions", "Answering")
    ):
        if number % QUESTIONS_BETWEEN_LINES == 0:
            logging.debug("Processing example: %d", number)
        windows = converter.convert(example, number)
        results = [
            squad_answers.RawResult(
                window.unique_id,
                # Answers do not depend on what else is in the batch.
                *(logits[name][: num_places(window)] for name in LOGITS),
            )
            for window, (logits, _) in zip(windows, outputs, strict=False)
        ]
        yield (
            example,
            windows,
            squad_answers.find_answer(example, windows, results, settings),
        )


def score(
    job: Job, answers: Mapping[str, squad_answers.Answer]
) -> dict[str, float]:
    """SQuAD's scores of {question id: answer}, in per cent."""
    predictions = {qas_id: answer.text for qas_id, answer in answers.items()}
    if not FLAGS.version_2_with_negative:
        return metrics.squad_v1_scores(job.answers, predictions)
    # From the best answers regardless of a threshold: the official script has
    # only the answers that one threshold left.
    best_texts = {qas_id: a.best_text for qas_id, a in answers.items()}
    null_odds = {
        qas_id: answer.null_odds
        for qas_id, answer in answers.items()
        if answer.null_odds is not None
    }
    return {
        **metrics.squad_v2_scores(job.answers, predictions),
        **metrics.squad_best_thresholds(job.answers, best_texts, null_odds),
        **metrics.squad_usable_thresholds(job.answers, best_texts, null_odds),
    }


def log_better_threshold(results: Mapping[str, float]) -> None:
    """Logs the threshold that scores better than --null_score_diff_threshold.

    Args:
        results: of `score`.
    """
    name = "null_score_diff_threshold_f1"
    if name in results and results[f"{name}_score"] > results["f1"]:
        console.show(
            "",
            "--null_score_diff_threshold=%r would give an f1 of %s",
            results[name],
            results[f"{name}_score"],
        )
