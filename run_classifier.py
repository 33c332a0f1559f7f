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

import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, files, pretrained, training
from bert_tf.data import features, pipeline
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.heads import CLASSIFIER_DROPOUT
from bert_tf.metrics import reports
from bert_tf.programs import engine, labelled_run, model_files, program
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.run_folder import RunFolder
from bert_tf.tasks import record as task_record
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.registry import TASKS, get_task
from bert_tf.tasks.texts import SingleLabel
from bert_tf.training import distribution

FLAGS = flags.FLAGS
NUM_EXAMPLES_LOGGED = 5
NUM_EXAMPLES_MEASURED = 10_000  # To tell how many are truncated.

# The modes, as in --do_train, and the set of the task's files that each reads.
MODES = {"train": "train", "eval": "dev", "predict": "test"}

flags.DEFINE_string(
    "task_name", None, f"The task: {', '.join(TASKS)}; upper or lower case."
)
flags.DEFINE_bool("do_train", False, "Train on the task's train set.")
flags.DEFINE_bool("do_eval", False, "Evaluate on its dev set.")
flags.DEFINE_bool("do_predict", False, "Label its test set.")
shared_flags.define_example_flags()
shared_flags.define_model_flags()
shared_flags.define_text_flags(max_seq_length=128)
shared_flags.define_long_document_flags()
shared_flags.define_training_flags()
shared_flags.define_fine_tuning_flags()
shared_flags.define_batch_size_flag("eval")
shared_flags.define_batch_size_flag("predict")
shared_flags.define_evaluation_flags(metric_for_best=None)
shared_flags.define_distribution_flags()
shared_flags.define_tpu_flags()
flags.DEFINE_bool(
    "do_export",
    False,
    "Write a SavedModel that takes raw text to --output_dir/export.",
)
shared_flags.define_export_flags()
flags.DEFINE_string(
    "class_weights",
    None,
    "How much the examples of each label count in training: `balanced`, all "
    "labels as much, or a number for each label, commas between.",
)
shared_flags.define_float(
    "label_smoothing",
    0.0,
    "Part of each target that is dealt to all labels alike.",
    lower_bound=0.0,
    upper_bound=1.0,
)
shared_flags.define_float(
    "classifier_dropout",
    CLASSIFIER_DROPOUT,
    "Dropout before the classifier; the original's is always 0.1.",
    lower_bound=0.0,
    upper_bound=0.99,
)
shared_flags.define_count(
    "classifier_hidden",
    None,
    "Width of one more layer in the classifier, with ReLU; helps where the "
    "encoder is frozen.",
)
shared_flags.define_count(
    "num_seeds",
    1,
    "Run so many times, with --seed, --seed + 1, …, each in a folder of its "
    "own in --output_dir, and report mean and standard deviation.",
)
flags.adopt_module_key_flags(shared_flags)


def main():
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
    strategy = engine.set_up(sets_needed(modes))
    if FLAGS.num_seeds == 1:
        run_once(modes, strategy)
    else:
        run_seeds(modes, strategy)


def run_once(modes, strategy):
    """One run of the modes that are asked for; returns its `Evaluation`."""
    # 1. What the model is, and how it reads text.
    task = get_task(FLAGS.task_name)
    config, tokenizer = model_files.read_model_files()
    settings = FLAGS.flag_values_dict()
    reader = labelled_run.make_reader(tokenizer, settings)
    training.set_seed(FLAGS.seed)
    run = RunFolder(
        FLAGS.output_dir, task.name, writes=distribution.is_chief(strategy)
    )

    # 2. The examples: the files are looked at, and wrong ones refused, before
    #    anything is written.
    existing = engine.existing_checkpoints()
    check_task_flags(task, modes, reader)
    task_settings = labelled_run.task_settings(settings)
    problem, examples = read_examples(
        task, task_settings, modes, existing, reader
    )
    run.check_labels(problem.labels)
    if "export" in modes:
        saved_models.check_replaceable(run.file("export"))
    engine.check_evaluation_flags(problem.metric_names)
    num_train_steps = engine.count_train_steps(len(examples.get("train", ())))
    weights = class_weights(problem, examples.get("train", []))

    # 3. The model under the strategy, with its pretrained weights.
    with strategy.scope():
        model = labelled_run.build_model(problem, config, settings)
    engine.prepare(model)
    existing = engine.load_weights(
        model, existing, training_follows="train" in modes
    )
    run.open(problem.labels)
    run.write_json(task_record.NAME, problem.learned())

    # 4. Train, evaluate, predict, export.
    job = Job(
        run,
        problem,
        reader,
        model,
        strategy,
        training.BatchRunner(model, strategy),
        examples,
    )
    global_step = 0
    if existing:
        global_step = checkpoints.Checkpoint(existing[0]).global_step()
    if "train" in modes:
        global_step = train(job, config, existing, num_train_steps, weights)
    global_step = engine.load_best(model, run) or global_step
    evaluation = use_trained(job, modes, global_step)
    if "export" in modes and run.writes:
        labelled_run.export(
            run.file("export"),
            model,
            job.problem,
            reader,
            task.takes_pairs(task_settings),
            settings,
        )
    return evaluation


def use_trained(job, modes, global_step):
    """Evaluates and predicts; returns the `Evaluation`, or None."""
    evaluation = None
    if "eval" in modes:
        evaluation = evaluate(job, global_step)
    elif job.problem.tunes and "eval" in job.examples:
        tune(job)
    if "predict" in modes:
        predict(job)
    return evaluation


def sets_needed(modes) -> list:
    """The modes whose examples are read: training may evaluate, too."""
    evaluates = "train" in modes and FLAGS.eval_steps
    return [m for m in MODES if m in modes or m == "eval" and evaluates]


def check_task_flags(task, modes, reader):
    """Raises UserError for flags without a meaning for the task."""
    program.refuse(
        f"--task_name={FLAGS.task_name} does not use it",
        *(name for name in labelled_run.TASK_FLAGS if name not in task.flags),
    )
    if reader.has_windows:
        program.refuse("not with --long_documents=windows", "export_tflite")
    else:
        program.refuse(
            "only with --long_documents=windows",
            *("max_windows", "window_pooling", "doc_stride"),
        )
    if "data_dir" in task.flags and sets_needed(modes):
        program.require("data_dir")
        program.require_existing("data_dir", folder=True)


def read_examples(task, settings, modes, existing, reader):
    """(problem, {mode: examples})."""
    found, problem = task.read(
        [MODES[mode] for mode in sets_needed(modes)],
        settings,
        learned_before(task.kind(settings), existing, "train" in modes),
    )
    program.refuse(f"not for {problem.description}", *problem.refused_flags)
    if problem.labels is not None:
        logging.info("Labels: %s", ", ".join(problem.labels))
    if FLAGS.metric_for_best is None:
        FLAGS.set_default("metric_for_best", problem.main_metric)
    return problem, {
        mode: problem.prepare(found[MODES[mode]], reader)
        for mode in sets_needed(modes)
    }


def learned_before(kind: str, existing: list, trains: bool) -> dict:
    """What is known of the run whose weights are used, see `task_record`.

    Args:
        kind: of the problem that is asked now.
        existing: checkpoints of --output_dir.
        trains: a training that starts anew takes over labels alone.

    Raises:
        UserError: the run had another kind of problem, and is not to be
            trained for this one.
    """
    folder = FLAGS.output_dir
    if not existing:
        folder = os.path.dirname(FLAGS.init_checkpoint or "")
        if os.path.basename(folder) == "best":
            folder = os.path.dirname(folder)
    learned = task_record.read(folder)
    if learned and learned["problem"] != kind:
        if trains and not existing:
            return {}
        raise UserError(
            f"{folder}: holds a run of the kind {learned['problem']}, not "
            f"{kind}"
        )
    if trains and not existing:
        labels = learned.get("labels")
        return {"labels": labels} if labels else {}
    return learned


def run_seeds(modes, strategy):
    """Runs with several seeds; tells how much the results vary.

    Fine-tuning a large model on few examples sometimes collapses: it answers
    the same for all examples. Such runs are counted.
    """
    first_seed, folder = FLAGS.seed, FLAGS.output_dir
    resume = FLAGS.resume
    if first_seed + FLAGS.num_seeds - 1 > program.MAX_COUNT:
        raise UserError(
            f"--num_seeds={FLAGS.num_seeds} from --seed={first_seed} on: "
            f"{program.MAX_COUNT} is the last"
        )
    if "eval" not in modes:
        raise UserError(f"--num_seeds={FLAGS.num_seeds} needs --do_eval")
    by_seed = {}
    try:
        for seed in range(first_seed, first_seed + FLAGS.num_seeds):
            logging.info("***** Seed %d *****", seed)
            FLAGS.seed = seed
            FLAGS.output_dir = os.path.join(folder, f"seed-{seed}")
            by_seed[seed] = run_once(modes, strategy)
            if FLAGS.resume == "must":  # The first seed had to be there.
                FLAGS.resume = "auto"
            keras.backend.clear_session()
    finally:
        FLAGS.seed, FLAGS.output_dir = first_seed, folder
        FLAGS.resume = resume
    collapsed = [seed for seed, e in by_seed.items() if e.is_collapsed]
    summary = {"seeds": list(by_seed), "collapsed": collapsed}
    logging.info("***** %d seeds *****", len(by_seed))
    for name in sorted(by_seed[first_seed].scores):
        values = [float(found.scores[name]) for found in by_seed.values()]
        mean, deviation = np.mean(values), np.std(values, ddof=1)
        summary[name] = {"mean": mean, "std": deviation, "values": values}
        logging.info("  %s = %.4f ± %.4f", name, mean, deviation)
    logging.info(
        "  %d of them answer the same for all examples%s",
        len(collapsed),
        f": seed {', '.join(map(str, collapsed))}" if collapsed else "",
    )
    if distribution.is_chief(strategy):
        path = os.path.join(folder, "seeds.json")
        files.write_text(path, json.dumps(summary, indent=2) + "\n")


@dataclasses.dataclass
class Job:
    """What the modes of a run share."""

    run: RunFolder
    problem: Problem
    reader: TextReader
    model: keras.Model
    strategy: tf.distribute.Strategy
    predictor: training.BatchRunner
    examples: dict
    # {mode: dataset}: evaluations while training and behind it read the same.
    evaluation_batches: dict = dataclasses.field(default_factory=dict)


def use_demo_if_nothing_is_given():
    """Without any file named, the demo task runs on the bundled ones."""
    named = ("data_dir", "vocab_file", "bert_config_file")
    if (
        FLAGS.task_name is None
        or FLAGS.task_name.lower() != pretrained.DEMO_TASK
    ):
        return
    if any(FLAGS[name].value is not None for name in named):
        return
    for name, value in pretrained.DEMO_FLAGS.items():
        FLAGS.set_default(name, value)  # Changes no flag that was given.
    settings = " ".join(
        f"--{name}={FLAGS[name].value}" for name in pretrained.DEMO_FLAGS
    )
    logging.info("Using the bundled data and model: %s", settings)


def read_rows(job, mode):
    """(rows, function that makes features of them) of a mode's examples."""
    examples = job.examples[mode]
    specs = job.problem.feature_specs(job.reader)
    log_examples(job, mode)
    engine.log_features(specs, FLAGS[f"{mode}_batch_size"].value)
    if not FLAGS.write_tf_records:
        return job.problem.rows(examples, job.reader), functools.partial(
            job.problem.features_of_rows, reader=job.reader
        )
    path = job.run.file(f"{mode}.tf_record")
    if job.run.writes:
        write_tf_records(path, job, mode, specs)
    return features.record_rows(path), functools.partial(
        features.features_of_rows, specs=specs
    )


def evaluation_batches(job, mode):
    if mode not in job.evaluation_batches:
        rows, to_features = read_rows(job, mode)
        job.evaluation_batches[mode] = engine.evaluation_batches(
            job.strategy, rows, FLAGS[f"{mode}_batch_size"].value, to_features
        )
    return job.evaluation_batches[mode]


def write_tf_records(path, job, mode, specs):
    """Writes the file that the original makes before each mode."""
    examples = job.examples[mode]

    def convert():
        for index, example in enumerate(examples):
            if index % 10000 == 0:
                logging.info("Writing example %d of %d", index, len(examples))
            yield job.problem.convert(example, job.reader)[0]
        # It counts in no loss, metric or output file.
        padding = {s.name: np.zeros(s.shape, s.dtype) for s in specs}
        yield from [padding] * num_padding(job, mode)

    features.write_tf_records(path, convert(), specs)


def num_padding(job, mode):
    """Rows that only fill up; training drops what is left over instead."""
    if mode == "train" or not engine.needs_full_batches(job.strategy):
        return 0
    return -len(job.examples[mode]) % FLAGS[f"{mode}_batch_size"].value


def log_examples(job, mode):
    """Shows the first examples, and tells how many are truncated."""
    examples = job.examples[mode]
    first = list(itertools.islice(examples, NUM_EXAMPLES_MEASURED))
    for example in first[:NUM_EXAMPLES_LOGGED]:
        log_example(job, example)
    lengths = job.problem.num_tokens(first, job.reader)
    num_truncated = int(np.sum(lengths > job.reader.capacity))
    logging.info(
        "%s: %d of the %s%d examples (%.1f %%) are longer than %d tokens and "
        "are truncated (the longest has %d)",
        mode,
        num_truncated,
        "first " if len(first) < len(examples) else "",
        len(first),
        100 * num_truncated / len(first),
        job.reader.capacity,
        np.max(lengths),
    )


def log_example(job, example):
    converted, tokens = job.problem.convert(example, job.reader)
    logging.info("*** Example ***")
    logging.info("guid: %s", example.guid)
    logging.info("tokens: %s", " ".join(tokens))
    for name in ("input_ids", "input_mask", "segment_ids"):
        numbers = np.ravel(converted[name])
        logging.info("%s: %s", name, " ".join(map(str, numbers)))
    if isinstance(job.problem, SingleLabel):
        label_id = converted["label_ids"]
        logging.info("label: %s (id = %d)", example.label, label_id)
    else:
        logging.info("label: %s", example.label)


def log_num_examples(what, job, mode):
    # `what` ends in the original's asterisks, which people search for: it has
    # a space before those of "evaluation *****", and none in "prediction*****".
    padding, number = num_padding(job, mode), len(job.examples[mode])
    logging.info("***** Running %s", what)
    logging.info(
        "  Num examples = %d (%d actual, %d padding)",
        number + padding,
        number,
        padding,
    )
    logging.info("  Batch size = %d", FLAGS[f"{mode}_batch_size"].value)


def train(job, config, existing, num_train_steps, weights):
    """Trains up to `num_train_steps`; returns the step it ends at."""
    examples = job.examples["train"]
    trainer = engine.make_trainer(
        job.model,
        job.strategy,
        job.problem.loss_terms(weights, FLAGS.label_smoothing),
        num_train_steps,
        config,
    )
    evaluate_dev = None
    if FLAGS.eval_steps:
        evaluation_batches(job, "eval")

        def evaluate_dev():
            return score(job, "eval")[1].scores

    rows, to_features = read_rows(job, "train")
    batches = functools.partial(
        engine.training_batches, job.strategy, rows, len(examples), to_features
    )
    logging.info("***** Running training *****")
    logging.info("  Num examples = %d", len(examples))
    logging.info("  Batch size = %d", FLAGS.train_batch_size)
    logging.info("  Num steps = %d", num_train_steps)
    return engine.train(
        job.run,
        trainer,
        existing,
        batches,
        num_train_steps,
        evaluate_dev,
        num_examples=len(examples),
    )


def class_weights(problem, examples):
    """A weight for each label, of --class_weights; None where not needed.

    Raises:
        UserError: it is not understood.
    """
    text = FLAGS.class_weights
    if not text or not examples:
        return None
    if text == "balanced":
        counts = collections.Counter(example.label for example in examples)
        missing = [label for label in problem.labels if not counts[label]]
        if missing:
            raise UserError(
                f"--class_weights=balanced: no example has the label "
                f"{missing[0]!r}"
            )
        total = len(examples) / len(problem.labels)
        weights = [total / counts[label] for label in problem.labels]
    else:
        try:
            weights = [float(part) for part in text.split(",")]
        except ValueError:
            weights = []
        with np.errstate(over="ignore"):
            numbers = np.array(weights, np.float32)  # What they are used as.
        usable = np.isfinite(numbers).all() and numbers.any()
        if (
            len(weights) != len(problem.labels)
            or min(weights) < 0
            or not usable
        ):
            raise UserError(
                f"--class_weights={text}: give `balanced`, or a number for "
                f"each of the labels {', '.join(problem.labels)}"
            )
    logging.info(
        "Class weights: %s",
        ", ".join(
            f"{label} {weight:.4g}"
            for label, weight in zip(problem.labels, weights, strict=True)
        ),
    )
    return weights


def answers(job, mode):
    """Yields (example, output) for each example, in the file's order."""
    rows = pipeline.in_file_order(job.predictor(evaluation_batches(job, mode)))
    return job.problem.answers(rows, job.examples[mode])


def score(job, mode):
    """(problem, evaluation) of the model as it is; thresholds are tuned."""
    labels, outputs = [], []
    for example, output in answers(job, mode):
        labels.append(example.label)
        outputs.append(output)
    problem = job.problem.tune(labels, outputs)
    return problem, problem.evaluate(labels, outputs, FLAGS.eval_batch_size)


def evaluate(job, global_step):
    """Writes eval_results.txt; what the original does not report is logged."""
    evaluation_batches(job, "eval")
    log_num_examples("evaluation *****", job, "eval")
    start = time.perf_counter()
    job.problem, evaluation = score(job, "eval")
    evaluation.results["global_step"] = global_step
    job.run.write_json(task_record.NAME, job.problem.learned())
    job.run.write_results(evaluation.results)
    record(job, "eval", start, evaluation)
    show_scores(job, evaluation, "eval")
    return evaluation


def tune(job):
    """Thresholds of the weights that a training chose by its dev set."""
    job.problem, _ = score(job, "eval")
    job.run.write_json(task_record.NAME, job.problem.learned())


def predict(job):
    """Labels the test set; if its labels are known, scores it as well.

    Writes test_results.tsv as the original, and test_predictions.tsv.
    """
    evaluation_batches(job, "predict")
    log_num_examples("prediction*****", job, "predict")
    start = time.perf_counter()
    texts = job.problem.prediction_files()
    labels, outputs, number = [], [], 0
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(job.run.writing(n)) for n in texts]
        for writer, text in zip(writers, texts.values(), strict=True):
            writer.write(text.header)
        for example, output in answers(job, "predict"):
            for writer, text in zip(writers, texts.values(), strict=True):
                writer.write(text.text_of(example, output))
            number += 1
            if example.label is not None:
                labels.append(example.label)
                outputs.append(output)
    evaluation = None
    if labels:
        evaluation = job.problem.evaluate(
            labels, outputs, FLAGS.eval_batch_size
        )
    record(job, "predict", start, evaluation)
    logging.info("***** Predict results *****")
    for name in texts:
        logging.info("  %s", job.run.file(name))
    if evaluation:
        logging.info("%d of %d have a known label", len(labels), number)
        job.run.write_results(evaluation.scores, "test_eval_results.txt")
        show_scores(job, evaluation, "test")
    else:
        job.run.remove("test_eval_results.txt", "test_report.json")


def record(job, mode, start, evaluation):
    """Tells train.json of an evaluation or a prediction."""
    job.run.record_mode(
        mode,
        program.values(),
        num_examples=len(job.examples[mode]),
        seconds=time.perf_counter() - start,
        **({"results": evaluation.scores} if evaluation else {}),
    )


def show_scores(job, evaluation, name):
    """Shows the report of the set "eval" or "test", and writes it."""
    report = {**evaluation.report, "scores": evaluation.scores}
    job.run.write_json(f"{name}_report.json", report)
    logging.info("***** %s report *****", name.capitalize())
    for line in reports.format_report(evaluation.report):
        logging.info("  %s", line)
    engine.log_results(evaluation.scores, f"{name.capitalize()} results")


if __name__ == "__main__":
    program.run(main)
