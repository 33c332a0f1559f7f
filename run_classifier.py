"""Fine-tunes BERT on labelled texts, evaluates it, and labels new texts.

    python run_classifier.py --task_name=sms --do_train --do_eval \\
        --do_predict --output_dir=/tmp/sms

runs on the bundled data and model. With Google's files:

    python run_classifier.py --task_name=mrpc --data_dir=glue/MRPC \\
        --vocab_file=$BERT/vocab.txt \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt --do_train --do_eval \\
        --output_dir=/tmp/mrpc
"""

import os
from collections.abc import Collection
from typing import Any

import tensorflow as tf
from absl import flags, logging

from bert_tf import pretrained, training
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.heads import CLASSIFIER_DROPOUT
from bert_tf.programs import (
    devices,
    labelled_modes,
    labelled_run,
    model_files,
    program,
    seeds,
    training_flags,
    training_run,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.class_weights import class_weights
from bert_tf.programs.labelled_job import Job
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.tasks import record as task_record
from bert_tf.tasks.problem import Evaluation, Problem
from bert_tf.tasks.registry import TASKS, AnyTask, TaskSettings, get_task
from bert_tf.training import distribution

FLAGS = flags.FLAGS

# The modes, as in --do_train, and the set of the task's files that each reads.
MODES = {"train": "train", "eval": "dev", "predict": "test"}

flags.DEFINE_string(
    "task_name", None, f"The task: {', '.join(TASKS)}; upper or lower case."
)
flags.DEFINE_bool("do_train", False, "Train on the task's train set.")
flags.DEFINE_bool("do_eval", False, "Evaluate on the task's dev set.")
flags.DEFINE_bool("do_predict", False, "Label the task's test set.")
shared_flags.define_example_flags()
shared_flags.define_model_flags()
shared_flags.define_text_flags(max_seq_length=128)
shared_flags.define_long_document_flags()
training_flags.define_training_flags()
training_flags.define_fine_tuning_flags()
training_flags.define_batch_size_flag("eval")
training_flags.define_batch_size_flag("predict")
training_flags.define_evaluation_flags(metric_for_best=None)
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()
flags.DEFINE_bool(
    "do_export",
    False,
    "Write a SavedModel, which takes raw text, to --output_dir/export.",
)
shared_flags.define_export_flags()
flags.DEFINE_string(
    "class_weights",
    None,
    "How much the examples of each label count in training: `balanced`, so "
    "that all labels count the same, or a number for each label, separated by "
    "commas.",
)
shared_flags.define_float(
    "label_smoothing",
    0.0,
    "Fraction of each target that is shared equally by all labels.",
    lower_bound=0.0,
    upper_bound=1.0,
)
shared_flags.define_float(
    "classifier_dropout",
    CLASSIFIER_DROPOUT,
    "Dropout rate before the classifier; in the original it is always 0.1.",
    lower_bound=0.0,
    upper_bound=0.99,
)
shared_flags.define_count(
    "classifier_hidden",
    None,
    "Width of an additional layer in the classifier, with ReLU. It helps if "
    "the encoder is frozen.",
)
shared_flags.define_count(
    "num_seeds",
    1,
    "Run N times, with --seed, --seed + 1, …, each time in another folder in "
    "--output_dir, and report mean and standard deviation.",
)


def main() -> None:
    use_demo_if_nothing_is_given()
    modes = [m for m in (*MODES, "export") if FLAGS[f"do_{m}"].value]
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_eval, --do_predict, --do_export "
            "must be given"
        )
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    program.require("task_name", "vocab_file", "bert_config_file", "output_dir")
    strategy = devices.set_up(sets_needed(modes))
    settings = from_flags(RunSettings, FLAGS.flag_values_dict())
    if FLAGS.num_seeds == 1:
        run_once(modes, strategy, settings)
    else:
        run_several(modes, strategy, settings)


def run_once(
    modes: list[str], strategy: tf.distribute.Strategy, settings: RunSettings
) -> Evaluation | None:
    """Runs the modes that are asked for; returns the evaluation, if any."""
    # 1. What the model is, and how it reads text.
    flag_values = FLAGS.flag_values_dict()
    task = get_task(FLAGS.task_name)
    config, tokenizer = model_files.read_model_files()
    reader = labelled_run.make_reader(tokenizer, flag_values)
    task_settings = labelled_run.task_settings(flag_values)
    session = Session(task.name, modes, strategy, settings)

    # 2. The examples: files are checked, and wrong ones refused, before
    #    anything is written.
    check_task_flags(task, modes, reader)
    problem, examples = read_examples(task, task_settings, session, reader)
    session.folder.check_labels(problem.labels)
    session.settle_metric(problem.metric_names, problem.main_metric)
    if "export" in modes:
        saved_models.check_replaceable(session.folder.file("export"))
    train_examples = examples.get("train", [])
    num_train_steps = training_run.count_train_steps(len(train_examples))
    weights = class_weights(FLAGS.class_weights, problem.labels, train_examples)

    # 3. The model under the strategy, with its pretrained weights.
    model = session.open(
        lambda: labelled_run.build_model(problem, config, flag_values),
        problem.labels,
    )
    job = Job(
        session=session,
        problem=problem,
        reader=reader,
        model=model,
        runner=training.BatchRunner(model, strategy),
        examples=examples,
    )
    job.write_task()

    # 4. Train, evaluate, predict, export.
    global_step = session.train_or_load(
        lambda: labelled_modes.train(job, num_train_steps, weights)
    )
    job, evaluation = evaluate_and_predict(job, global_step)
    if "export" in modes and session.folder.writes:
        labelled_run.export(
            session.folder.file("export"),
            model,
            problem=job.problem,
            reader=reader,
            takes_pairs=task.takes_pairs(task_settings),
            flags=flag_values,
        )
    return evaluation


def evaluate_and_predict(
    job: Job, global_step: int
) -> tuple[Job, Evaluation | None]:
    """Evaluates and predicts, as far as that is asked for.

    Returns:
        (the job with tuned thresholds, the evaluation or None).
    """
    modes, evaluation = job.session.modes, None
    if "eval" in modes:
        job, evaluation = labelled_modes.evaluate(job, global_step)
    elif job.problem.tunes and "eval" in job.examples:
        job = labelled_modes.tune(job)
    if "predict" in modes:
        labelled_modes.predict(job)
    return job, evaluation


def run_several(
    modes: list[str], strategy: tf.distribute.Strategy, settings: RunSettings
) -> None:
    """Runs with several seeds, and writes seeds.json."""
    seeds.check_seeds(settings.seed, FLAGS.num_seeds)
    if "eval" not in modes:
        raise UserError(f"--num_seeds={FLAGS.num_seeds} needs --do_eval")
    summary = seeds.run_seeds(
        lambda settings: run_once(modes, strategy, settings),
        settings,
        FLAGS.num_seeds,
    )
    if distribution.is_chief(strategy):
        seeds.write_summary(settings.output_dir, summary)


def sets_needed(modes: Collection[str]) -> list[str]:
    """The modes whose examples are read: training may evaluate, too."""
    evaluates = "train" in modes and FLAGS.eval_steps
    return [m for m in MODES if m in modes or m == "eval" and evaluates]


def check_task_flags(
    task: AnyTask, modes: Collection[str], reader: TextReader
) -> None:
    """Raises UserError for flags that do not apply to the task."""
    program.refuse(
        f"--task_name={FLAGS.task_name} does not use it",
        *(name for name in labelled_run.TASK_FLAGS if name not in task.flags),
    )
    if reader.has_windows:
        program.refuse("not with --long_documents=windows", "export_tflite")
    else:
        program.refuse(
            "only with --long_documents=windows",
            "max_windows",
            "window_pooling",
            "doc_stride",
        )
    if "data_dir" in task.flags and sets_needed(modes):
        program.require("data_dir")
        program.require_existing("data_dir", folder=True)


def read_examples(
    task: AnyTask,
    settings: TaskSettings,
    session: Session,
    reader: TextReader,
) -> tuple[Problem, dict[str, Any]]:
    """Reads the task's files.

    Returns:
        (problem, {mode: examples}).

    Raises:
        UserError: a file is wrong, or a flag does not apply to the problem.
    """
    modes = sets_needed(session.modes)
    by_set, problem = task.read(
        [MODES[mode] for mode in modes],
        settings,
        learned_before(task.kind(settings), session),
    )
    program.refuse(f"not for {problem.description}", *problem.refused_flags)
    if problem.labels is not None:
        logging.info("Labels: %s", ", ".join(problem.labels))
    return problem, {
        mode: problem.prepare(by_set[MODES[mode]], reader) for mode in modes
    }


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
    folder = session.folder.path
    if not session.existing:
        folder = os.path.dirname(FLAGS.init_checkpoint or "")
        if os.path.basename(folder) == "best":
            folder = os.path.dirname(folder)
    record = task_record.read(folder)
    if record is None:
        return {}
    if record.kind != kind:
        if starts:
            return {}
        raise UserError(
            f"{folder}: holds a run of the kind {record.kind}, not {kind}"
        )
    if starts:
        labels = record.values.get("labels")
        return {"labels": labels} if labels else {}
    return record.values


def use_demo_if_nothing_is_given() -> None:
    """Makes the bundled files the demo task's defaults, if none is named.

    It changes defaults, and not what is read from the flags, because the flags
    are checked, shown in messages, and recorded in train.json.
    """
    is_demo = (FLAGS.task_name or "").lower() == pretrained.DEMO_TASK
    file_flags = ("data_dir", "vocab_file", "bert_config_file")
    if not is_demo or any(FLAGS[name].value is not None for name in file_flags):
        return
    for name, value in pretrained.DEMO_FLAGS.items():
        FLAGS.set_default(name, value)  # Flags that were given stay.
    shown = " ".join(
        f"--{name}={FLAGS[name].value}" for name in pretrained.DEMO_FLAGS
    )
    logging.info("Using the bundled data and model: %s", shown)


if __name__ == "__main__":
    program.run(main)
