"""Trains on labelled texts, evaluates, and labels new texts."""

import contextlib
import time
from typing import Any

from absl import flags, logging

from bert_tf.counts import counted
from bert_tf.metrics import reports
from bert_tf.programs import (
    batches,
    console,
    few_shot,
    labelled_confidence,
    run_report,
    score_lines,
    teaching,
    training_run,
    unlabelled_texts,
)
from bert_tf.programs.labelled_job import (
    Job,
    evaluation_batches,
    num_padding,
    predictions,
    read_rows,
    score,
)
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.session import log_results
from bert_tf.tasks.problem import Evaluation

FLAGS = flags.FLAGS
WEIGHTS_HINT = ", or weigh rare labels with --class_weights=balanced"


def train(
    job: Job, num_train_steps: int, class_weights: list[float] | None
) -> int:
    """Trains up to `num_train_steps`; returns the step at which it ended.

    Args:
        job: the job.
        num_train_steps: see above.
        class_weights: a weight for each label, or None.
    """
    if FLAGS.few_shot:
        return few_shot.train(job, num_train_steps)
    examples = job.examples["train"]
    evaluate_dev = None
    if job.session.settings.eval_steps:
        evaluation_batches(job, "eval")

        def evaluate_dev():
            return score(job, "eval")[1].scores

    rows = read_rows(job, "train")
    if job.unlabelled:
        rows = unlabelled_texts.mixed_rows(
            job.problem, examples, job.unlabelled, job.reader
        )
    training_batches = batches.training_batches(
        job.session.strategy,
        job.model,
        rows,
        len(examples) + len(job.unlabelled),
        job.session.settings.seed,
    )
    lesson = teaching.lesson(
        job.teacher,
        job.model,
        job.problem.loss_terms(class_weights, FLAGS.label_smoothing),
        job.problem.teacher_loss,
    )
    logging.debug("***** Running training *****")
    logging.debug("  Num examples = %d", len(examples))
    numbers: dict[str, Any] = {}
    if job.unlabelled:
        numbers["num_unlabelled"] = len(job.unlabelled)
        logging.debug("  Num unlabelled = %d", len(job.unlabelled))
    logging.debug("  Batch size = %d", FLAGS.train_batch_size)
    logging.debug("  Num steps = %d", num_train_steps)
    return job.session.train(
        lesson.loss_terms,
        training_batches,
        num_train_steps=num_train_steps,
        num_warmup_steps=training_run.count_warmup_steps(num_train_steps),
        evaluate=evaluate_dev,
        num_examples=len(examples),
        **numbers,
        **lesson.hooks,
    )


def evaluate(job: Job, global_step: int) -> tuple[Job, Evaluation]:
    """Evaluates on the dev set, and fits there what is fitted.

    Writes eval_results.txt, where the original has names for the results, and
    eval_report.json. Both are logged. Results of another file than the run's
    have a folder of their own; they are those of the run's thresholds, which
    stay as they are.

    Args:
        job: the job.
        global_step: the step of the model's weights.

    Returns:
        (the job with what was fitted, the evaluation).
    """
    evaluation_batches(job, "eval")
    log_num_examples("evaluation *****", job, "eval")
    start = time.perf_counter()
    folder = job.session.results_folder("eval", job.problem.labels)
    tunes = folder is job.session.folder
    with keeping(job, "eval", folder) as keep:
        problem, evaluation = score(job, "eval", tunes, keep, fits=True)
    if problem != job.problem:
        job = job.tuned(problem)
    evaluation.results["global_step"] = global_step
    folder.write_results(evaluation.results)
    record(job, "eval", folder, start, evaluation)
    show_scores(
        folder,
        evaluation,
        "eval",
        weighs_labels(job),
        len(job.examples["eval"]),
    )
    labelled_confidence.log_scores(evaluation.metrics, "dev")
    console.show_written(folder.path, "eval_results.txt", "eval_report.json")
    return job, evaluation


def tune(job: Job) -> Job:
    """Fits values for the weights that a training chose by its dev set."""
    problem, evaluation = score(job, "eval", fits=True)
    labelled_confidence.log_scores(evaluation.metrics, "dev")
    return job.tuned(problem)


def predict(job: Job) -> None:
    """Labels the test set; if its labels are known, scores it as well.

    Writes test_results.tsv as the original does, and test_predictions.tsv.
    """
    evaluation_batches(job, "predict")
    log_num_examples("prediction*****", job, "predict")
    start = time.perf_counter()
    folder = job.session.results_folder("predict", job.problem.labels)
    with keeping(job, "predict", folder) as keep:
        labels, outputs, number = write_predictions(job, folder, keep)
    evaluation = None
    if labels:
        evaluation = job.problem.evaluate(
            labels, outputs, FLAGS.eval_batch_size
        )
        labelled_confidence.add_scores(evaluation, job.problem, labels, outputs)
    record(job, "predict", folder, start, evaluation)
    logging.debug("***** Predict results *****")
    for name in job.problem.prediction_files():
        logging.debug("  %s", folder.file(name))
    written = [*job.problem.prediction_files()]
    if evaluation:
        folder.write_results(evaluation.scores, "test_eval_results.txt")
        show_scores(folder, evaluation, "test", weighs_labels(job), len(labels))
        labelled_confidence.log_scores(evaluation.metrics, "test")
        written += ["test_eval_results.txt", "test_report.json"]
        known = counted(len(labels), number, "example")
        logging.debug("%s a known label", known)
        if len(labels) < number:
            console.show("", f"{known} a known label")
    else:
        folder.remove("test_eval_results.txt", "test_report.json")
    console.show_written(folder.path, *written)


def keeping(
    job: Job, mode: str, folder: RunFolder
) -> contextlib.AbstractContextManager[run_report.Keep]:
    """Gives what keeps examples for the report, see `RunReport.keeping`."""
    return job.report.keeping(
        mode, folder, job.problem.report_row, job.examples[mode]
    )


def write_predictions(
    job: Job, folder: RunFolder, keep: run_report.Keep
) -> tuple[list[Any], list[Any], int]:
    """Writes the files of predictions to a folder.

    Args:
        job: the job.
        folder: the folder.
        keep: see `RunReport.keeping`.

    Returns:
        (labels, outputs, number): of the examples whose label is known, and
        how many examples there are.
    """
    texts = job.problem.prediction_files()
    folder.remove(*job.problem.other_prediction_files())
    labels, outputs, number = [], [], 0
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(folder.writing(name)) for name in texts]
        for writer, text in zip(writers, texts.values(), strict=True):
            writer.write(text.first_line(job.examples["predict"]))
        for example, output in predictions(job, "predict"):
            for writer, text in zip(writers, texts.values(), strict=True):
                writer.write(text.lines(example, output))
            keep(example, output)
            number += 1
            if example.label is not None:
                labels.append(example.label)
                outputs.append(output)
    return labels, outputs, number


def log_num_examples(what: str, job: Job, mode: str) -> None:
    """Logs the size of a set.

    Args:
        what: "evaluation *****" or "prediction*****". People search for the
            original's asterisks, which have a space before them in one of the
            two only.
        job: the job.
        mode: "eval" or "predict".
    """
    padding, number = num_padding(job, mode), len(job.examples[mode])
    logging.debug("***** Running %s", what)
    logging.debug(
        "  Num examples = %d (%d actual, %d padding)",
        number + padding,
        number,
        padding,
    )
    logging.debug("  Batch size = %d", batches.batch_size(mode))


def record(
    job: Job,
    mode: str,
    folder: RunFolder,
    start: float,
    evaluation: Evaluation | None,
) -> None:
    """Writes to train.json what was evaluated or predicted.

    Args:
        job: the job.
        mode: "eval" or "predict".
        folder: the folder of the results.
        start: when it began, by time.perf_counter().
        evaluation: its scores, if labels are known.
    """
    job.session.record(
        mode,
        folder,
        num_examples=len(job.examples[mode]),
        seconds=time.perf_counter() - start,
        **({"results": evaluation.scores} if evaluation else {}),
    )


def weighs_labels(job: Job) -> bool:
    """Whether the labels are weighed already, or cannot be."""
    is_refused = "class_weights" in job.problem.refused_flags
    return is_refused or bool(FLAGS.class_weights)


def show_scores(
    folder: RunFolder,
    evaluation: Evaluation,
    name: str,
    knows_weights: bool,
    number: int,
) -> None:
    """Shows the scores of a set, and writes its report.

    Args:
        folder: the folder of the results.
        evaluation: the scores.
        name: "eval" or "test".
        knows_weights: whether the labels are weighed already, or cannot be.
        number: how many examples are scored.
    """
    report = {**evaluation.report, "scores": evaluation.scores}
    folder.write_json(f"{name}_report.json", report)
    logging.debug("***** %s report *****", name.capitalize())
    for line in reports.format_report(evaluation.report):
        logging.debug("  %s", line)
    log_results(evaluation.scores, f"{name.capitalize()} results")
    score_lines.show(
        "Dev set" if name == "eval" else "Test set",
        evaluation.report,
        evaluation.scores,
        number,
    )
    if evaluation.is_collapsed:
        logging.warning(
            "The model gives all examples the same answer. It has not learned "
            "the task: train for more epochs, try another learning rate or "
            "seed%s",
            "" if knows_weights else WEIGHTS_HINT,
        )
