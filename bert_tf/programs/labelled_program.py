"""A run of run_classifier.py, after its flags are checked."""

import itertools
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
from absl import flags, logging

from bert_tf import choices, pretrained, training
from bert_tf.config import BertConfig
from bert_tf.data.input_example import InputExample
from bert_tf.data.labelled_set import TableSet
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.programs import (
    calibration_flags,
    data_lines,
    defaults,
    devices,
    hearing,
    initial_heads,
    labelled_confidence,
    labelled_modes,
    labelled_run,
    model_files,
    next_step,
    program,
    quick_check,
    run_plan,
    run_report,
    several_runs,
    teaching,
    unlabelled_texts,
)
from bert_tf.programs.class_weights import class_weights
from bert_tf.programs.labelled_flags import MODES, sets_needed
from bert_tf.programs.labelled_job import Job
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.programs.several_runs import Outcome
from bert_tf.progress import working
from bert_tf.tasks import record as task_record
from bert_tf.tasks.problem import Evaluation, Problem, Record
from bert_tf.tasks.registry import AnyTask, TaskSettings, get_task
from bert_tf.tokenization import FullTokenizer
from bert_tf.training import distribution

FLAGS = flags.FLAGS
NUM_EXAMPLES_MEASURED = 1000  # To choose the length of sequences.


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
    task_settings = labelled_run.task_settings(FLAGS.flag_values_dict())
    session = Session(task.name, modes, strategy, settings)

    # 2. The examples: files are checked, and wrong ones refused, before
    #    anything is written.
    unlabelled = unlabelled_texts.read(task, task_settings, session.trains)
    sets, problem = read_and_check(
        task, task_settings, session, config, tokenizer, len(unlabelled)
    )
    flag_values = FLAGS.flag_values_dict()
    reader = labelled_run.make_reader(tokenizer, flag_values)
    examples = {m: problem.prepare(sets[m], reader) for m in sets}
    if unlabelled:
        unlabelled = problem.prepare(unlabelled, reader)
    labelled_confidence.check_examples(examples)
    session.folder.check_labels(problem.labels)
    session.settle_metric(problem.metric_names, problem.main_metric)
    export_folder = export_folder or session.folder.file("export")
    if "export" in modes:
        saved_models.check_replaceable(export_folder)
    train_examples = examples.get("train", [])
    num_train_steps = labelled_modes.count_train_steps(
        problem, len(train_examples) + len(unlabelled)
    )
    weights = class_weights(FLAGS.class_weights, problem.labels, train_examples)
    teacher = teaching.make(teaching.find_for_problem(problem, config), session)

    # 3. The model under the strategy, with its pretrained weights.
    model = session.open(
        lambda: labelled_run.build_model(problem, config, flag_values),
        problem.labels,
        initial_heads.why_another(record_before(session), problem),
    )
    job = Job(
        session=session,
        problem=problem,
        reader=reader,
        model=model,
        runner=training.BatchRunner(model, strategy),
        examples=examples,
        report=run_report.RunReport(session),
        unlabelled=unlabelled,
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
        labelled_run.export(
            export_folder,
            model,
            problem=job.problem,
            reader=reader,
            takes_pairs=task.takes_pairs(task_settings),
            flags=flag_values,
            # Only int8 is compared on them.
            examples=sets.get("eval", ()) if FLAGS.export_int8 else (),
        )
    if evaluation is None:
        return None
    return Outcome(
        scores=evaluation.scores,
        metric=session.settings.metric,
        is_collapsed=evaluation.is_collapsed,
    )


def read_and_check(
    task: AnyTask,
    settings: TaskSettings,
    session: Session,
    config: BertConfig,
    tokenizer: FullTokenizer,
    num_unlabelled: int = 0,
) -> tuple[dict[str, Any], Problem]:
    """Reads the task's files, fits flags to them, and warns of what is odd.

    Returns:
        ({mode: examples}, problem).

    Raises:
        UserError: see `read_sets`.
    """
    with hearing.hearing(hearing.Heard()) as heard:
        sets, problem = read_sets(task, settings, session)
    fit_flags(session, config, tokenizer, sets, num_unlabelled)
    quick_check.warn(
        {MODES[mode]: examples for mode, examples in sets.items()},
        task.kind(settings),
        tokenizer,
        heard.checks,
    )
    quick_check.warn_of_machine(config)
    return sets, problem


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


def read_sets(
    task: AnyTask, settings: TaskSettings, session: Session
) -> tuple[dict[str, Any], Problem]:
    """Reads the task's files.

    Returns:
        ({mode: examples}, problem).

    Raises:
        UserError: a file is wrong, or a flag does not apply to the problem.
    """
    modes = sets_needed(session.modes)
    learned = learned_before(task.kind(settings), session)
    with working("Reading"):
        by_set, problem = task.read(
            [MODES[mode] for mode in modes], settings, learned
        )
    if not session.trains:
        check_answers(problem, learned, task.name)
    program.refuse(f"not for {problem.description}", *problem.refused_flags)
    problem = labelled_confidence.settled(problem, learned, session)
    if problem.labels is not None:
        logging.debug("Labels: %s", ", ".join(problem.labels))
    for mode in modes:
        data_lines.show_set(MODES[mode], by_set[MODES[mode]])
    return {mode: by_set[MODES[mode]] for mode in modes}, problem


def check_answers(problem: Problem, learned: Record, task_name: str) -> None:
    """Checks that a head that is not trained gives the answers of the task.

    A published data set has its own labels, in its own order. With those of
    another model its outputs would stand for other labels.

    Raises:
        UserError: its labels, or the scale of its numbers, are others.
    """
    own = problem.record()
    for name in ("labels", "mean", "deviation"):
        if name not in learned or learned[name] == own.get(name):
            continue
        is_unnamed = name == "labels" and learned[name] == [
            f"LABEL_{i}" for i in range(len(own.get(name) or ()))
        ]
        if not is_unnamed:
            raise UserError(
                f"the model's {name}, {learned[name]}, are not those of this "
                f"task, {own.get(name)}; read the texts as csv, tsv or jsonl, "
                "or give --do_train",
                setting="task_name",
                value=task_name,
            )
        logging.warning(
            "The model's labels have no names; they are taken for %s",
            ", ".join(own[name]),
        )


def fit_flags(
    session: Session,
    config: BertConfig,
    tokenizer: FullTokenizer,
    sets: Mapping[str, Any],
    num_unlabelled: int = 0,
) -> None:
    """Fills in the rates and lengths that flags leave out.

    Args:
        session: the run.
        config: the model's.
        tokenizer: counts the WordPieces of people's own texts.
        sets: {mode: examples}.
        num_unlabelled: texts without labels that are trained on as well.
    """
    train = sets.get("train", [])
    lengths = None
    if isinstance(train, TableSet) and FLAGS.max_seq_length is None:
        lengths = [
            num_tokens(tokenizer, example)
            for example in itertools.islice(train, NUM_EXAMPLES_MEASURED)
        ]
    session.fit(config, len(train) + num_unlabelled, lengths)


def num_tokens(tokenizer: FullTokenizer, example: InputExample) -> int:
    """The WordPieces of an example, [CLS] and [SEP] included.

    They are counted in Python: the tokenizer in the graph takes a second to
    make, and is made for the length that is chosen here.
    """
    number = len(tokenizer.tokenize(example.text_a)) + 2
    if example.text_b:
        number += len(tokenizer.tokenize(example.text_b)) + 1
    return number


def learned_before(kind: str, session: Session) -> dict[str, Any]:
    """Reads the task.json that belongs to the weights of this run.

    A training that starts from another run's weights takes over only its
    labels.

    Args:
        kind: the kind of problem that is asked now.
        session: the run.

    Returns:
        What it holds, see `tasks.record`; {} if there is no such file, or if
        nothing is taken over.

    Raises:
        UserError: the weights are for another kind of problem, and are not to
            be trained for this one.
    """
    starts = session.trains and not session.existing
    record = record_before(session)
    if record is None:
        return {}
    if record.kind != kind:
        if starts:
            return {}
        raise UserError(
            f"{folder_before(session)}: holds a run of the kind "
            f"{record.kind}, not {kind}"
        )
    if starts:
        labels = record.values.get("labels")
        return {"labels": labels} if labels else {}
    return record.values


def record_before(session: Session) -> task_record.TaskRecord | None:
    """What task.json says of the run that the weights come from, if any."""
    if not session.existing and not FLAGS.init_checkpoint:
        return None
    record = task_record.read(folder_before(session))
    if record is None and FLAGS.pretrained and not session.existing:
        return task_record.of_stored(pretrained.open(FLAGS.pretrained))
    return record


def folder_before(session: Session) -> str:
    """The folder of the run that the weights come from."""
    if session.existing:
        return session.folder.path
    return defaults.run_of_checkpoint(FLAGS.init_checkpoint or "")
