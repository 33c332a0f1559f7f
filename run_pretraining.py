"""Pretrains BERT on text: masked LM and next sentence prediction.

    python run_pretraining.py --do_train --do_eval \\
        --input_file='/tmp/tf_examples.tfrecord*' \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt \\
        --output_dir=/tmp/pretraining

The input is what bert_tf.tools.create_pretraining_data writes. Without
--init_checkpoint training starts from random weights.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping

import tensorflow as tf
from absl import flags, logging

from bert_tf import losses, metrics, training
from bert_tf.config import BertConfig
from bert_tf.data.features import FeatureSpec
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.errors import UserError
from bert_tf.heads import BertPretrainer
from bert_tf.programs import (
    batches,
    devices,
    model_files,
    program,
    training_flags,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.session import Session, log_results
from bert_tf.programs.settings import RunSettings, from_flags

FLAGS = flags.FLAGS
MODES = ("train", "eval")
# The names in eval_results.txt, as in the original's.
RESULT_NAMES = set(metrics.PRETRAINING_NAMES) - {"masked_lm_perplexity"}

flags.DEFINE_string(
    "input_file",
    None,
    "TFRecord files of create_pretraining_data, or patterns such as "
    "a/*.tfrecord, separated by commas.",
)
flags.DEFINE_bool("do_train", False, "Train on --input_file.")
flags.DEFINE_bool(
    "do_eval", False, "Evaluate on --eval_input_file, or else --input_file."
)
# Not in the original.
flags.DEFINE_string(
    "eval_input_file",
    None,
    "TFRecord files to evaluate on, as for --input_file. Each record is "
    "evaluated once, unless --max_eval_steps is given. By default --input_file "
    "is read, again and again, as in the original.",
)
shared_flags.define_model_flags()
shared_flags.define_count(
    "max_seq_length",
    128,
    "The --max_seq_length with which the records were created.",
)
shared_flags.define_count(
    "max_predictions_per_seq",
    20,
    "The --max_predictions_per_seq with which the records were created.",
)
training_flags.define_training_flags(learning_rate=5e-5)
training_flags.define_batch_size_flag("eval")
shared_flags.define_count("num_train_steps", 100_000, "Training steps.")
shared_flags.define_count(
    "num_warmup_steps",
    10_000,
    "Steps in which the learning rate rises to --learning_rate.",
    lower_bound=0,
)
shared_flags.define_count(
    "max_eval_steps", 100, "Largest number of batches of an evaluation."
)
training_flags.define_evaluation_flags(metric_for_best="loss")
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()


def main() -> None:
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    check_flags(modes)
    strategy = devices.set_up(modes_with_batches(modes))

    # 1. What the model is.
    program.require_existing("bert_config_file")
    config = BertConfig.from_json_file(FLAGS.bert_config_file)
    model_files.check_length(config)
    settings = from_flags(RunSettings, FLAGS.flag_values_dict())
    session = Session("pretraining", modes, strategy, settings)
    session.settle_metric(metrics.PRETRAINING_NAMES)

    # 2. The records: wrong files are refused before anything is written.
    specs = pretraining_dataset.pretraining_specs(
        FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
    )
    paths = {
        mode: program.matching_files(file_flag(mode))
        for mode in modes_with_batches(modes)
    }
    for paths_of_mode in paths.values():
        pretraining_dataset.check_files(paths_of_mode, specs)

    # 3. The model under the strategy, with its weights so far.
    model = session.open(lambda: BertPretrainer(config))
    job = Job(
        session=session,
        runner=training.BatchRunner(sums_of(model), strategy),
        config=config,
        paths=paths,
        specs=specs,
    )

    # 4. Train, evaluate.
    global_step = session.train_or_load(lambda: train(job))
    if "eval" in modes:
        write_evaluation(job, global_step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run of this program, as its modes see it.

    Attributes:
        session: the run.
        runner: computes the sums of evaluations, see `sums_of`.
        config: the model's.
        paths: {"train", "eval": files}.
        specs: the features of their records.
    """

    session: Session
    runner: training.BatchRunner
    config: BertConfig
    paths: Mapping[str, list[str]]
    specs: list[FeatureSpec]

    def parser(self, mode: str) -> pretraining_dataset.RecordParser:
        """Makes features of the records of a mode."""
        return pretraining_dataset.RecordParser(
            self.paths[mode], self.specs, self.config
        )


def sums_of(model: BertPretrainer) -> Callable[..., dict[str, tf.Tensor]]:
    """A function of batches, of whose results only sums leave the device."""

    def sums(batch, training):
        outputs = model(batch, training=training)
        return losses.pretraining_sums(outputs, batch)

    return sums


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other."""
    if not modes:
        raise UserError("At least one of --do_train, --do_eval must be given")
    program.require("bert_config_file", "output_dir")
    for mode in modes_with_batches(modes):
        program.require(file_flag(mode))
    if FLAGS.num_warmup_steps > FLAGS.num_train_steps and "train" in modes:
        # So it is by default in a short training; the original allows it.
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


def modes_with_batches(modes: Collection[str]) -> list[str]:
    """The modes whose files are read, of "train" and "eval"."""
    is_evaluated = "eval" in modes or FLAGS.eval_steps and "train" in modes
    return [mode for mode in modes if mode == "train"] + (
        ["eval"] if is_evaluated else []
    )


def file_flag(mode: str) -> str:
    """The flag that names the files of a mode."""
    if mode == "eval" and FLAGS.eval_input_file is not None:
        return "eval_input_file"
    return "input_file"


def max_eval_steps() -> int | None:
    """Largest number of batches of an evaluation; None for no limit.

    The original's limit, 100, is for files that it reads again and again.
    """
    flag = FLAGS["max_eval_steps"]
    if FLAGS.eval_input_file is not None and flag.using_default_value:
        return None
    return flag.value


def log_files(job: Job, mode: str) -> None:
    """Logs the files of a mode, and the features of their records."""
    logging.info("*** Input Files ***")
    for path in job.paths[mode]:
        logging.info("  %s", path)
    batches.log_features(job.specs, batches.batch_size(mode))


def train(job: Job) -> int:
    """Trains up to --num_train_steps; returns the step at which it ended."""
    log_files(job, "train")
    parser = job.parser("train")

    def training_batches(first_step: int) -> tf.data.Dataset:
        return pretraining_dataset.training_batches(
            job.paths["train"],
            parser,
            batch_size=job.session.settings.train_batch_size,
            seed=job.session.settings.seed,
            first_step=first_step,
        )

    logging.info("***** Running training *****")
    logging.info("  Batch size = %d", FLAGS.train_batch_size)
    logging.info("  Num steps = %d", FLAGS.num_train_steps)
    with pretraining_dataset.user_errors(sum(job.paths.values(), [])):
        return job.session.train(
            losses.pretraining_loss(),
            training_batches,
            num_train_steps=FLAGS.num_train_steps,
            num_warmup_steps=FLAGS.num_warmup_steps,
            evaluate=lambda: evaluate(job),
            num_files=len(job.paths["train"]),
        )


def evaluate(job: Job) -> dict[str, float]:
    """The scores of the files to evaluate on."""
    dataset = pretraining_dataset.evaluation_batches(
        job.paths["eval"],
        job.parser("eval"),
        batch_size=FLAGS.eval_batch_size,
        max_steps=max_eval_steps(),
        repeat=FLAGS.eval_input_file is None,
    )

    def real_sums():
        for sums, batch in job.runner(dataset):
            is_real = batch["is_real_example"] > 0
            yield {name: values[is_real] for name, values in sums.items()}

    with pretraining_dataset.user_errors(job.paths["eval"]):
        return metrics.pretraining_scores(real_sums(), losses.MASKED_LM_EPSILON)


def write_evaluation(job: Job, global_step: int) -> None:
    """Evaluates; writes eval_results.txt and train.json."""
    log_files(job, "eval")
    logging.info("***** Running evaluation *****")
    logging.info("  Batch size = %d", FLAGS.eval_batch_size)
    start = time.perf_counter()
    scores = evaluate(job)
    results = {name: scores[name] for name in RESULT_NAMES}
    results["global_step"] = global_step
    job.session.folder.write_results(results)
    job.session.record(
        "eval",
        num_files=len(job.paths["eval"]),
        seconds=time.perf_counter() - start,
        results=scores,
    )
    log_results(results)


if __name__ == "__main__":
    program.run(main)
