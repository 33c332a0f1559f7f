"""Pretrains BERT on text: masked LM and next sentence prediction.

    python run_pretraining.py --do_train --do_eval \\
        --input_file='/tmp/tf_examples.tfrecord*' \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt \\
        --output_dir=/tmp/pretraining

The input is what bert_tf.tools.create_pretraining_data writes. Without
--init_checkpoint training starts from nothing.
"""

import dataclasses
import functools
import time

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, losses, metrics, training
from bert_tf.config import BertConfig
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.errors import UserError
from bert_tf.heads import BertPretrainer
from bert_tf.programs import engine, model_files, program
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.run_folder import RunFolder
from bert_tf.training import distribution

FLAGS = flags.FLAGS
MODES = ("train", "eval")
# What stands in eval_results.txt, as in the original's.
RESULT_NAMES = set(metrics.PRETRAINING_NAMES) - {"masked_lm_perplexity"}

flags.DEFINE_string(
    "input_file",
    None,
    "TFRecord files of create_pretraining_data, patterns such as a/*.tfrecord; "
    "commas between.",
)
flags.DEFINE_bool("do_train", False, "Train on --input_file.")
flags.DEFINE_bool(
    "do_eval", False, "Evaluate on --eval_input_file, or else --input_file."
)
# Not in the original.
flags.DEFINE_string(
    "eval_input_file",
    None,
    "Files that training does not see, likewise; each record is evaluated "
    "once, unless --max_eval_steps is given. Without it --input_file is read, "
    "in circles, as the original does.",
)
shared_flags.define_model_flags()
shared_flags.define_count(
    "max_seq_length", 128, "That the records were made with."
)
shared_flags.define_count(
    "max_predictions_per_seq", 20, "That the records were made with."
)
shared_flags.define_training_flags()
shared_flags.define_batch_size_flag("eval")
shared_flags.define_count("num_train_steps", 100_000, "Steps of training.")
shared_flags.define_count(
    "num_warmup_steps",
    10_000,
    "Steps in which the learning rate rises to its value.",
    lower_bound=0,
)
shared_flags.define_count(
    "max_eval_steps", 100, "Batches of an evaluation at most."
)
shared_flags.define_evaluation_flags(metric_for_best="loss")
shared_flags.define_distribution_flags()
shared_flags.define_tpu_flags()
flags.adopt_module_key_flags(shared_flags)


def main():
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    check_flags(modes)
    strategy = engine.set_up(modes_with_batches(modes))

    # 1. What the model is.
    program.require_existing("bert_config_file")
    config = BertConfig.from_json_file(FLAGS.bert_config_file)
    model_files.check_length(config)
    training.set_seed(FLAGS.seed)
    run = RunFolder(
        FLAGS.output_dir, "pretraining", writes=distribution.is_chief(strategy)
    )

    # 2. The records: wrong files are refused before anything is written.
    specs = pretraining_dataset.pretraining_specs(
        FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
    )
    paths = {
        mode: program.matching_files(file_flag(mode))
        for mode in modes_with_batches(modes)
    }
    for found in paths.values():
        pretraining_dataset.check_files(found, specs)

    # 3. The model under the strategy, with its weights so far.
    existing = engine.existing_checkpoints()
    with strategy.scope():
        model = BertPretrainer(config)
    engine.prepare(model)
    existing = engine.load_weights(
        model, existing, training_follows="train" in modes
    )
    run.open()

    # 4. Train, evaluate.
    job = Job(run, model, config, strategy, paths, specs)
    global_step = 0
    if existing:
        global_step = checkpoints.Checkpoint(existing[0]).global_step()
    if "train" in modes:
        global_step = train(job, existing)
    global_step = engine.load_best(model, run) or global_step
    if "eval" in modes:
        write_evaluation(job, global_step)


@dataclasses.dataclass
class Job:
    """What the modes of a run share.

    Attributes:
        paths: {"train", "eval": files}.
        specs: the features of their records.
    """

    run: RunFolder
    model: keras.Model
    config: BertConfig
    strategy: tf.distribute.Strategy
    paths: dict
    specs: list

    def parser(self, mode):
        return pretraining_dataset.RecordParser(
            self.paths[mode], self.specs, self.config
        )

    @functools.cached_property
    def predictor(self):
        """One graph for all evaluations; only sums leave the device."""

        def sums(batch, training):
            outputs = self.model(batch, training=training)
            return losses.pretraining_sums(outputs, batch)

        return training.BatchRunner(sums, self.strategy)


def check_flags(modes):
    """Raises UserError for flags that are missing or contradict each other."""
    if not modes:
        raise UserError("At least one of --do_train, --do_eval must be given")
    program.require("bert_config_file", "output_dir")
    for mode in modes_with_batches(modes):
        program.require(file_flag(mode))
    if FLAGS.num_warmup_steps > FLAGS.num_train_steps and "train" in modes:
        # The default is, in a short training; the original takes it.
        logging.warning(
            "--num_warmup_steps=%d is more than --num_train_steps=%d: the "
            "learning rate will not get to its value",
            FLAGS.num_warmup_steps,
            FLAGS.num_train_steps,
        )
    if FLAGS.eval_input_file and "eval" not in modes_with_batches(modes):
        logging.warning(
            "--eval_input_file=%s is not read: give --do_eval or --eval_steps",
            FLAGS.eval_input_file,
        )
    engine.check_evaluation_flags(metrics.PRETRAINING_NAMES)


def modes_with_batches(modes) -> list:
    """`train` and `eval`, as far as their files are read."""
    is_evaluated = "eval" in modes or FLAGS.eval_steps and "train" in modes
    return [mode for mode in modes if mode == "train"] + (
        ["eval"] if is_evaluated else []
    )


def file_flag(mode) -> str:
    if mode == "eval" and FLAGS.eval_input_file is not None:
        return "eval_input_file"
    return "input_file"


def max_eval_steps() -> int | None:
    """The original's 100 are for files that it reads in circles."""
    flag = FLAGS["max_eval_steps"]
    if FLAGS.eval_input_file is not None and flag.using_default_value:
        return None
    return flag.value


def log_files(job, mode):
    logging.info("*** Input Files ***")
    for path in job.paths[mode]:
        logging.info("  %s", path)
    engine.log_features(job.specs, FLAGS[f"{mode}_batch_size"].value)


def train(job, existing):
    """Trains up to --num_train_steps; returns the step it ends at."""
    log_files(job, "train")
    trainer = engine.make_trainer(
        job.model,
        job.strategy,
        losses.pretraining_loss(),
        FLAGS.num_train_steps,
        job.config,
        FLAGS.num_warmup_steps,
    )
    parser = job.parser("train")

    def batches(first_step):
        return pretraining_dataset.training_batches(
            job.paths["train"],
            FLAGS.train_batch_size,
            parser,
            seed=FLAGS.seed,
            first_step=first_step,
        )

    logging.info("***** Running training *****")
    logging.info("  Batch size = %d", FLAGS.train_batch_size)
    logging.info("  Num steps = %d", FLAGS.num_train_steps)
    with pretraining_dataset.user_errors(sum(job.paths.values(), [])):
        return engine.train(
            job.run,
            trainer,
            existing,
            batches,
            FLAGS.num_train_steps,
            functools.partial(evaluate, job),
            num_files=len(job.paths["train"]),
        )


def evaluate(job) -> dict:
    """The scores of the files to evaluate on."""
    dataset = pretraining_dataset.evaluation_batches(
        job.paths["eval"],
        FLAGS.eval_batch_size,
        job.parser("eval"),
        max_eval_steps(),
        repeat=FLAGS.eval_input_file is None,
    )

    def real_sums():
        for sums, batch in job.predictor(dataset):
            is_real = batch["is_real_example"] > 0
            yield {name: values[is_real] for name, values in sums.items()}

    with pretraining_dataset.user_errors(job.paths["eval"]):
        return metrics.pretraining_scores(real_sums(), losses.MASKED_LM_EPSILON)


def write_evaluation(job, global_step):
    log_files(job, "eval")
    logging.info("***** Running evaluation *****")
    logging.info("  Batch size = %d", FLAGS.eval_batch_size)
    start = time.perf_counter()
    scores = evaluate(job)
    results = {name: scores[name] for name in RESULT_NAMES}
    results["global_step"] = global_step
    job.run.write_results(results)
    job.run.record_mode(
        "eval",
        program.values(),
        num_files=len(job.paths["eval"]),
        seconds=time.perf_counter() - start,
        results=scores,
    )
    engine.log_results(results)


if __name__ == "__main__":
    program.run(main)
