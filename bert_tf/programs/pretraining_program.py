"""A run of run_pretraining.py, after its flags are checked."""

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping

import tensorflow as tf
from absl import flags, logging

from bert_tf import losses, metrics, pretrained, training
from bert_tf.config import BertConfig
from bert_tf.data.features import FeatureSpec
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.data.row_packing import RowPacking
from bert_tf.heads import BertPretrainer
from bert_tf.programs import (
    batches,
    devices,
    model_files,
    next_step,
    packed_rows,
    program,
)
from bert_tf.programs.pretraining_flags import (
    file_flag,
    max_eval_steps,
    modes_with_batches,
)
from bert_tf.programs.session import Session, log_results
from bert_tf.programs.settings import RunSettings, from_flags

FLAGS = flags.FLAGS
# The names in eval_results.txt, as in the original's.
RESULT_NAMES = set(metrics.PRETRAINING_NAMES) - {"masked_lm_perplexity"}


def run(modes: Collection[str]) -> None:
    """Trains and evaluates, as far as that is asked for.

    Args:
        modes: some of `MODES`.
    """
    strategy = devices.set_up(modes_with_batches(modes))

    # 1. What the model is.
    config = pretrained.read_config(FLAGS.bert_config_file)
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
    if session.folder.writes:
        next_step.log_next_step_of_pretraining(modes)


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
    packing = choose_packing(job)

    def training_batches(first_step: int) -> tf.data.Dataset:
        return pretraining_dataset.training_batches(
            job.paths["train"],
            parser,
            batch_size=job.session.settings.train_batch_size,
            seed=job.session.settings.seed,
            first_step=first_step,
            packing=packing,
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


def choose_packing(job: Job) -> RowPacking | None:
    """How records are packed, if --pack_sequences asks for it."""
    if not FLAGS.pack_sequences:
        return None
    paths = job.paths["train"]
    with pretraining_dataset.user_errors(paths):
        lengths = pretraining_dataset.some_lengths(paths, FLAGS.max_seq_length)
    return packed_rows.choose(job.session.model, job.session.strategy, lengths)


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
