"""A run of run_classifier.py, after its flags are checked."""

from collections.abc import Collection

import keras
import tensorflow as tf
from absl import flags

from bert_tf import choices, training
from bert_tf.config import BertConfig
from bert_tf.programs import (
    calibration_flags,
    devices,
    few_shot_flags,
    initial_heads,
    labelled_data,
    labelled_modes,
    labelled_run,
    model_files,
    next_step,
    run_plan,
    run_report,
    several_runs,
    teaching,
    training_run,
    unlabelled_texts,
)
from bert_tf.programs.class_weights import class_weights
from bert_tf.programs.labelled_data import Data
from bert_tf.programs.labelled_flags import sets_needed
from bert_tf.programs.labelled_job import Job
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.programs.several_runs import Outcome
from bert_tf.tasks.problem import Evaluation, Problem
from bert_tf.tasks.registry import get_task
from bert_tf.training import distribution

FLAGS = flags.FLAGS


def run(modes: list[str]) -> None:
    """Trains, evaluates, predicts and exports, as far as that is asked for.

    Args:
        modes: some of `MODES`, and "export".
    """
    strategy = devices.set_up(sets_needed(modes))
    if run_plan.is_several():
        run_several(modes, strategy)
        return
    settings = from_flags(RunSettings, FLAGS.flag_values_dict())
    run_once(modes, strategy, settings)
    if distribution.is_chief(strategy):
        next_step.log_next_step(
            modes, "test_file" in get_task(FLAGS.task_name).flags
        )


def run_once(
    modes: Collection[str],
    strategy: tf.distribute.Strategy,
    settings: RunSettings,
    export_folder: str | None = None,
) -> Outcome | None:
    """Runs the modes that are asked for.

    Args:
        modes: see `run`.
        strategy: where it runs.
        settings: how it is trained, evaluated and saved.
        export_folder: where the export goes; None: into the run's folder.

    Returns:
        How good the model is, if it is evaluated.
    """
    # 1. What the model is, and what is asked of it.
    task = get_task(FLAGS.task_name)
    config, tokenizer = model_files.read_model_files()
    session = Session(task.name, modes, strategy, settings)

    # 2. The examples: wrong files are refused before anything is written.
    data = labelled_data.read(task, session, config, tokenizer)
    problem = data.problem
    session.folder.check_labels(problem.labels)
    session.settle_metric(problem.metric_names, problem.main_metric)
    export_folder = session.check_export(export_folder)
    num_train_steps = training_run.count_train_steps(
        few_shot_flags.num_trained(data.num_train)
    )
    weights = class_weights(
        FLAGS.class_weights, problem.labels, data.examples.get("train", [])
    )
    teacher = teaching.make(teaching.find_for_problem(problem, config), session)

    # 3. The model under the strategy, with its pretrained weights.
    model = open_model(session, problem, config)
    job = Job(
        session=session,
        problem=problem,
        reader=data.reader,
        model=model,
        runner=training.BatchRunner(model, strategy),
        examples=data.examples,
        report=run_report.RunReport(session),
        unlabelled=data.unlabelled,
        teacher=teacher,
    )
    job.write_task()

    # 4. Train, evaluate, predict, export.
    global_step = session.train_or_load(
        lambda: labelled_modes.train(job, num_train_steps, weights)
    )
    job, evaluation = evaluate_and_predict(job, global_step)
    write_report(job)
    if "export" in modes and session.folder.writes:
        export(job, data, export_folder)
    return outcome_of(evaluation, session)


def open_model(
    session: Session, problem: Problem, config: BertConfig
) -> keras.Model:
    """The model, with the weights that the flags name."""
    return session.open(
        lambda: labelled_run.build_model(
            problem, config, FLAGS.flag_values_dict()
        ),
        problem.labels,
        initial_heads.why_another(
            labelled_data.record_before(session), problem
        ),
    )


def export(job: Job, data: Data, folder: str) -> None:
    """Exports the model, as the flags ask.

    Args:
        job: the run; its problem has what was fitted on the dev set.
        data: what it has read.
        folder: where the export goes.
    """
    labelled_run.export(
        folder,
        job.model,
        problem=job.problem,
        reader=job.reader,
        takes_pairs=data.takes_pairs,
        flags=FLAGS.flag_values_dict(),
        # Only int8 is compared on them.
        examples=data.sets.get("eval", ()) if FLAGS.export_int8 else (),
    )


def outcome_of(
    evaluation: Evaluation | None, session: Session
) -> Outcome | None:
    """How good a run is; None if it does not evaluate."""
    if evaluation is None:
        return None
    return Outcome(
        scores=evaluation.scores,
        metric=session.settings.metric,
        is_collapsed=evaluation.is_collapsed,
    )


def write_report(job: Job) -> None:
    """Describes the sets that were read, and writes the run's report."""
    if job.session.folder.writes:
        for mode, examples in job.examples.items():
            job.report.add_set(
                mode,
                examples,
                len(examples),
                lengths=job.lengths.get(mode),
                capacity=job.reader.capacity,
            )
        if job.unlabelled:
            job.report.add_set(
                unlabelled_texts.NAME, job.unlabelled, len(job.unlabelled)
            )
    job.report.write()


def evaluate_and_predict(
    job: Job, global_step: int
) -> tuple[Job, Evaluation | None]:
    """Evaluates and predicts, as far as that is asked for.

    Returns:
        (the job with what was fitted on the dev set, the evaluation or None).
    """
    modes, evaluation = job.session.modes, None
    is_fitted = job.problem.tunes or calibration_flags.is_asked()
    if "eval" in modes:
        job, evaluation = labelled_modes.evaluate(job, global_step)
    elif is_fitted and "eval" in job.examples:
        job = labelled_modes.tune(job)
    if "predict" in modes:
        labelled_modes.predict(job)
    return job, evaluation


def run_several(modes: list[str], strategy: tf.distribute.Strategy) -> None:
    """Makes the runs of --grid and --num_seeds."""
    several_runs.run_all(
        run_once,
        choices.TASKS,
        modes,
        strategy,
        labels_files="test_file" in get_task(FLAGS.task_name).flags,
    )
