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

import functools
import itertools
import time

import numpy as np
from absl import flags, logging

from bert_tf import checkpoints, distribution, files, pretrained, training
from bert_tf import flags as shared_flags
from bert_tf.data import features, glue, pipeline
from bert_tf.errors import UserError
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.progress import Progress
from bert_tf.run_folder import RunFolder
from bert_tf.tasks import TASKS, get_task

FLAGS = flags.FLAGS
NUM_EXAMPLES_LOGGED = 5
NUM_EXAMPLES_MEASURED = 10_000  # To tell how many are truncated.

# What a resumed run should not change, if it is to end as it would have.
TRAINING_FLAGS = (
    "bert_config_file",
    "data_dir",
    "do_lower_case",
    "learning_rate",
    "max_seq_length",
    "num_train_epochs",
    "seed",
    "train_batch_size",
    "use_tpu",
    "vocab_file",
    "warmup_proportion",
)
# The modes, as in --do_train, and the set of the task's files that each reads.
MODES = {"train": "train", "eval": "dev", "predict": "test"}

flags.DEFINE_string(
    "data_dir", None, "Folder with the task's files, such as train.tsv."
)
flags.DEFINE_string(
    "task_name", None, f"The task: {', '.join(TASKS)}; upper or lower case."
)
flags.DEFINE_bool("do_train", False, "Train on the task's train set.")
flags.DEFINE_bool("do_eval", False, "Evaluate on its dev set.")
flags.DEFINE_bool("do_predict", False, "Label its test set.")
shared_flags.define_model_flags()
shared_flags.define_text_flags(max_seq_length=128)
shared_flags.define_training_flags()
shared_flags.define_fine_tuning_flags()
shared_flags.define_batch_size_flag("eval")
shared_flags.define_batch_size_flag("predict")
shared_flags.define_tpu_flags()
flags.adopt_module_key_flags(shared_flags)


def main():
    # 1. What is asked for, what the model is, and how it reads text.
    use_demo_if_nothing_is_given()
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_eval, --do_predict must be given"
        )
    shared_flags.require(
        "task_name", "data_dir", "vocab_file", "bert_config_file", "output_dir"
    )
    task = get_task(FLAGS.task_name)
    config, tokenizer = shared_flags.read_model_files()
    run = RunFolder(FLAGS.output_dir, task.name, task.labels)

    # 2. The examples: the files are looked at, and wrong ones refused, before
    #    anything is written.
    shared_flags.require_existing("data_dir", folder=True)
    examples = {
        mode: glue.Examples(task.processor, FLAGS.data_dir, MODES[mode])
        for mode in modes
    }
    num_train_steps = count_train_steps(examples.get("train", []))

    # 3. The model under the strategy, with its pretrained weights.
    strategy = distribution.make_strategy(
        FLAGS.use_tpu,
        FLAGS.tpu_name,
        FLAGS.tpu_zone,
        FLAGS.gcp_project,
        FLAGS.master,
        FLAGS.num_tpu_cores,
    )
    training.set_seed(FLAGS.seed)
    with strategy.scope():
        model = task.build_model(config)
    newest = checkpoints.CheckpointFolder(FLAGS.output_dir).latest()
    load_weights(model, newest, training_follows="train" in modes)
    run.open()

    # 4. Train, evaluate, predict.
    preprocess = BertPreprocessor(
        FLAGS.vocab_file, FLAGS.do_lower_case, FLAGS.max_seq_length
    )
    read = functools.partial(make_dataset, run, task, tokenizer, preprocess)
    global_step = checkpoints.Checkpoint(newest).global_step() if newest else 0
    if "train" in modes:
        global_step = train(
            run, task, model, strategy, read, examples["train"], num_train_steps
        )
    if "eval" in modes:
        evaluate(
            run, task, model, strategy, read, examples["eval"], global_step
        )
    if "predict" in modes:
        predict(run, task, model, strategy, read, examples["predict"])


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


def count_train_steps(examples):
    """The original's rule: what is left for less than a step is dropped."""
    if not examples:
        return 0
    steps = len(examples) / FLAGS.train_batch_size * FLAGS.num_train_epochs
    if steps < 1:
        raise UserError(
            f"--num_train_epochs={FLAGS.num_train_epochs} of {len(examples)} "
            f"examples in batches of --train_batch_size="
            f"{FLAGS.train_batch_size} is less than one step"
        )
    if steps > shared_flags.MAX_COUNT:
        raise UserError(
            f"--num_train_epochs={FLAGS.num_train_epochs} makes {steps:.3g} "
            f"steps; {shared_flags.MAX_COUNT} are the most"
        )
    return int(steps)


def load_weights(model, newest, training_follows):
    """Initial weights: --init_checkpoint, or the run's newest checkpoint.

    A training that resumes reads the latter again, with the optimizer's state;
    here it is read so that errors come before anything is written.
    """
    if newest and FLAGS.init_checkpoint:
        logging.warning(
            "--output_dir has %s: --init_checkpoint=%s is not used",
            newest,
            FLAGS.init_checkpoint,
        )
    source = (
        f"--output_dir={FLAGS.output_dir}"
        if newest
        else f"--init_checkpoint={FLAGS.init_checkpoint}"
    )
    prefix = newest or FLAGS.init_checkpoint
    if not prefix and not training_follows:
        raise UserError(
            f"--output_dir={FLAGS.output_dir}: no checkpoint here to evaluate "
            "or predict with; give --init_checkpoint or --do_train"
        )
    if not prefix:
        log_variables(model, checkpoints.LoadReport([], [], []))
        logging.warning(
            "No --init_checkpoint: training starts from random weights"
        )
        return
    try:
        report = checkpoints.load_weights(model, prefix)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    log_variables(model, report)
    if report.missing and not training_follows:
        raise UserError(
            f"{source}: {prefix} has no {', '.join(report.missing)}: it was "
            "not fine-tuned for a task; give --do_train, or a checkpoint of "
            "such a run"
        )


def log_variables(model, report):
    """Shows what comes from the checkpoint: the rest is random."""
    logging.info("**** Trainable Variables ****")
    loaded = set(report.loaded)
    for variable in checkpoints.weights_of(model):
        mark = ", *INIT_FROM_CKPT*" if variable.path in loaded else ""
        logging.info(
            "  name = %s:0, shape = %s%s",
            variable.path,
            tuple(variable.shape),
            mark,
        )
    extra_layers = [n for n in report.unexpected if n.startswith("bert/")]
    if extra_layers:
        logging.warning(
            "The checkpoint holds %d encoder variables that this model does "
            "not have, %s first: does --bert_config_file belong to it?",
            len(extra_layers),
            extra_layers[0],
        )
    elif report.unexpected:
        logging.info(
            "Not used from the checkpoint: %s", ", ".join(report.unexpected)
        )


def make_dataset(
    run, task, tokenizer, preprocess, mode, examples, first_step=0
):
    """The examples of a mode as batches of features, read while it runs."""
    specs = task.feature_specs(FLAGS.max_seq_length)
    batch_size = FLAGS[f"{mode}_batch_size"].value
    log_examples(task, tokenizer, preprocess, examples)
    if FLAGS.write_tf_records:
        path = run.file(f"{mode}.tf_record")
        write_tf_records(path, task, tokenizer, mode, examples, specs)
        rows = features.record_rows(path)
        to_features = functools.partial(features.features_of_rows, specs=specs)
    else:
        rows = task.rows(examples)
        to_features = functools.partial(
            task.features_of_rows, preprocess=preprocess
        )
    logging.info("*** Features ***")
    for spec in sorted(specs, key=lambda spec: spec.name):
        shape = (batch_size, *spec.shape)
        logging.info("  name = %s, shape = %s", spec.name, shape)
    fixed_length = FLAGS.use_tpu or FLAGS.pad_to_max_length
    if mode != "train":
        return pipeline.evaluation_batches(
            rows,
            batch_size,
            to_features,
            fixed_length=fixed_length,
            fill_last_batch=FLAGS.use_tpu,
        )
    return pipeline.training_batches(
        rows,
        len(examples),
        batch_size,
        to_features,
        seed=FLAGS.seed,
        first_step=first_step,
        fixed_length=fixed_length,
        group_by_length=FLAGS.group_by_length,
    )


def write_tf_records(path, task, tokenizer, mode, examples, specs):
    """Writes the file that the original makes before each mode."""
    padding = [features.PaddingInputExample()] * num_padding(mode, examples)

    def convert():
        for index, example in enumerate(itertools.chain(examples, padding)):
            if index % 10000 == 0:
                logging.info("Writing example %d of %d", index, len(examples))
            yield task.convert(example, FLAGS.max_seq_length, tokenizer)[0]

    features.write_tf_records(path, convert(), specs)


def num_padding(mode, examples):
    """A TPU wants every batch full; training drops what is left over."""
    if not FLAGS.use_tpu or mode == "train":
        return 0
    return -len(examples) % FLAGS[f"{mode}_batch_size"].value


def log_examples(task, tokenizer, preprocess, examples):
    """Shows the first examples, and tells how many are truncated."""
    first = list(itertools.islice(examples, NUM_EXAMPLES_MEASURED))
    for example in first[:NUM_EXAMPLES_LOGGED]:
        converted, tokens, _ = task.convert(
            example, FLAGS.max_seq_length, tokenizer
        )
        log_example(example, converted, tokens)
    lengths = task.sequence_lengths(first, preprocess)
    num_truncated = int(np.sum(lengths > FLAGS.max_seq_length))
    if num_truncated:
        logging.info(
            "%d of the %s%d examples are longer than --max_seq_length=%d and "
            "are truncated (the longest has %d tokens)",
            num_truncated,
            "first " if len(first) < len(examples) else "",
            len(first),
            FLAGS.max_seq_length,
            np.max(lengths),
        )


def log_example(example, converted, tokens):
    logging.info("*** Example ***")
    logging.info("guid: %s", example.guid)
    logging.info("tokens: %s", " ".join(tokens))
    for name in ("input_ids", "input_mask", "segment_ids"):
        logging.info("%s: %s", name, " ".join(map(str, converted[name])))
    (label_id,) = converted["label_ids"]
    logging.info("label: %s (id = %d)", example.label, label_id)


def train(run, task, model, strategy, read, examples, num_train_steps):
    """Trains up to `num_train_steps`; returns the step it ends at."""
    num_warmup_steps = int(num_train_steps * FLAGS.warmup_proportion)
    schedule = WarmupLinearDecay(
        FLAGS.learning_rate, num_train_steps, num_warmup_steps
    )
    with strategy.scope():
        trainer = training.Trainer(
            model,
            AdamWeightDecay(),
            schedule,
            task.loss_terms,
            strategy,
            seed=FLAGS.seed,
        )
    saver = checkpoints.CheckpointFolder(run.path)
    newest = saver.latest()
    step = resume(run, trainer, newest) if newest else 0
    if step >= num_train_steps:
        logging.info(
            "Skipping training since max_steps has already saved: %s is at "
            "step %d of %d",
            newest,
            step,
            num_train_steps,
        )
        return step
    dataset = read("train", examples, first_step=step)
    logging.info("***** Running training *****")
    logging.info("  Num examples = %d", len(examples))
    logging.info("  Batch size = %d", FLAGS.train_batch_size)
    logging.info("  Num steps = %d", num_train_steps)
    record = functools.partial(
        run.record_mode,
        "train",
        shared_flags.values(),
        num_examples=len(examples),
        num_train_steps=num_train_steps,
    )
    record(seconds=None)  # Not done yet.
    start = time.perf_counter()
    training.train(
        trainer,
        dataset,
        num_train_steps,
        save=saver.save,
        save_checkpoints_steps=FLAGS.save_checkpoints_steps,
        max_steps_per_loop=FLAGS.iterations_per_loop,
        callbacks=[Progress(FLAGS.train_batch_size)],
    )
    record(seconds=time.perf_counter() - start, resumed_at_step=step)
    return num_train_steps


def resume(run, trainer, newest):
    """Restores the newest checkpoint; names flags that were others before."""
    try:
        step = trainer.restore(newest)
    except UserError as error:
        raise UserError(
            f"--output_dir={FLAGS.output_dir}: cannot resume: {error}"
        ) from None
    logging.info("Resuming from %s", newest)
    before, now = run.earlier("train").get("flags", {}), shared_flags.values()
    for name in TRAINING_FLAGS:
        if name in before and before[name] != now[name]:
            logging.warning(
                "--%s was %s before, and is %s now",
                name,
                before[name],
                now[name],
            )
    return step


def log_num_examples(what, mode, examples):
    # `what` ends in the original's asterisks, which people search for: it has
    # a space before those of "evaluation *****", and none in "prediction*****".
    padding = num_padding(mode, examples)
    logging.info("***** Running %s", what)
    logging.info(
        "  Num examples = %d (%d actual, %d padding)",
        len(examples) + padding,
        len(examples),
        padding,
    )
    logging.info("  Batch size = %d", FLAGS[f"{mode}_batch_size"].value)


def evaluate(run, task, model, strategy, read, examples, global_step):
    """Writes eval_results.txt; what the original does not report is logged."""
    dataset = read("eval", examples)
    log_num_examples("evaluation *****", "eval", examples)
    start = time.perf_counter()
    rows = pipeline.in_file_order(training.predict(model, dataset, strategy))
    results, metrics = task.evaluate(rows, FLAGS.eval_batch_size)
    results["global_step"] = global_step
    run.write_eval_results(results)
    run.record_mode(
        "eval",
        shared_flags.values(),
        num_examples=len(examples),
        seconds=time.perf_counter() - start,
        results={**results, **metrics},
    )
    logging.info("***** Eval results *****")
    for key, value in sorted({**results, **metrics}.items()):
        logging.info("  %s = %s", key, value)


def predict(run, task, model, strategy, read, examples):
    """Writes test_results.tsv as the original, and test_predictions.tsv."""
    dataset = read("predict", examples)
    log_num_examples("prediction*****", "predict", examples)
    start = time.perf_counter()
    rows = pipeline.in_file_order(training.predict(model, dataset, strategy))
    pairs = zip(examples, task.probabilities(rows), strict=True)
    with (
        files.writing_text(run.file("test_results.tsv")) as results,
        files.writing_text(run.file("test_predictions.tsv")) as predictions,
    ):
        predictions.write("id\tlabel\tscore\n")
        for example, probabilities in pairs:
            best = int(np.argmax(probabilities))
            results.write("\t".join(map(str, probabilities)) + "\n")
            predictions.write(
                f"{example.guid}\t{task.labels[best]}\t"
                f"{probabilities[best]!s}\n"
            )
    run.record_mode(
        "predict",
        shared_flags.values(),
        num_examples=len(examples),
        seconds=time.perf_counter() - start,
    )
    logging.info("***** Predict results *****")
    logging.info("  %s", run.file("test_results.tsv"))
    logging.info("  %s", run.file("test_predictions.tsv"))


if __name__ == "__main__":
    shared_flags.run(main)
