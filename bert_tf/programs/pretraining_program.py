"""A run of run_pretraining.py, after its flags are checked."""

import dataclasses
import os
import time
from collections.abc import Collection, Mapping, Sequence

import tensorflow as tf
from absl import flags, logging

from bert_tf import pretrained, training
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.data.features import FeatureSpec
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.data.row_packing import RowPacking
from bert_tf.programs import (
    batches,
    console,
    devices,
    model_files,
    next_step,
    packed_rows,
    pretraining_objectives,
    pretraining_report,
    pretraining_teacher,
    program,
    quick_check,
    run_report,
    score_lines,
)
from bert_tf.programs.pretraining_flags import (
    file_flag,
    max_eval_steps,
    modes_with_batches,
)
from bert_tf.programs.session import Session, log_results
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.progress import Reporter, erase_bar

FLAGS = flags.FLAGS
# Not in eval_results.txt, because it is not in the original's.
NOT_A_RESULT = "masked_lm_perplexity"


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
    session.settle_metric(pretraining_teacher.metric_names())

    # 2. The records: wrong files are refused before anything is written.
    specs = pretraining_dataset.pretraining_specs(
        FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
    )
    paths = {
        mode: program.matching_files(file_flag(mode))
        for mode in modes_with_batches(modes)
    }
    for mode, paths_of_mode in paths.items():
        pretraining_dataset.check_files(paths_of_mode, specs)
        show_files(mode, paths_of_mode)

    quick_check.warn_of_machine(config)

    # 3. The model under the strategy, with its weights so far.
    objective = pretraining_objectives.from_flags(config)
    with strategy.scope():
        objective.read_teacher()
    training.set_seed(settings.seed)  # The same weights as without a teacher.
    model = session.open(lambda: objective.make_model(config))
    objective.read_as(model)
    job = Job(
        session=session,
        objective=objective,
        runner=training.BatchRunner(
            lambda batch, training: objective.sums(
                model(batch, training=training), batch
            ),
            strategy,
        ),
        config=config,
        paths=paths,
        specs=specs,
        report=run_report.RunReport(session),
    )

    # 4. Train, evaluate.
    global_step = session.train_or_load(lambda: train(job))
    if "eval" in modes:
        write_evaluation(job, global_step)
    job.report.write()
    if session.folder.writes:
        next_step.log_next_step_of_pretraining(modes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run of this program, as its modes see it.

    Attributes:
        session: the run.
        objective: what is learned, and measured.
        runner: computes the objective's sums for evaluations.
        config: the model's.
        paths: {"train", "eval": files}.
        specs: the features of their records.
        report: what the run leaves for its report.
    """

    session: Session
    objective: pretraining_objectives.Pretraining
    runner: training.BatchRunner
    config: BertConfig
    paths: Mapping[str, list[str]]
    specs: list[FeatureSpec]
    report: run_report.RunReport

    def parser(self, mode: str) -> pretraining_dataset.RecordParser:
        """Makes features of the records of a mode."""
        return pretraining_dataset.RecordParser(
            self.paths[mode], self.specs, self.config
        )


def show_files(mode: str, paths: Sequence[str]) -> None:
    """Shows how many files of records a mode reads."""
    name = os.path.basename(paths[0])
    several = f"{number_of(len(paths), 'file')}, {name} first"
    console.show(
        "Train set" if mode == "train" else "Dev set",
        f"{several if len(paths) > 1 else name}: "
        f"records of {FLAGS.max_seq_length} tokens, of which up to "
        f"{FLAGS.max_predictions_per_seq} are predicted",
    )


def log_files(job: Job, mode: str) -> None:
    """Logs the files of a mode, and the features of their records."""
    logging.debug("*** Input Files ***")
    for path in job.paths[mode]:
        logging.debug("  %s", path)
    batches.log_features(job.specs, batches.batch_size(mode))


def train(job: Job) -> int:
    """Trains up to --num_train_steps; returns the step at which it ended."""
    log_files(job, "train")
    parser = job.parser("train")
    packing = choose_packing(job)
    job.objective.read_as(job.session.model)  # Packed, too.

    def training_batches(first_step: int) -> tf.data.Dataset:
        return pretraining_dataset.training_batches(
            job.paths["train"],
            parser,
            batch_size=job.session.settings.train_batch_size,
            seed=job.session.settings.seed,
            first_step=first_step,
            packing=packing,
        )

    logging.debug("***** Running training *****")
    logging.debug("  Batch size = %d", FLAGS.train_batch_size)
    logging.debug("  Num steps = %d", FLAGS.num_train_steps)
    with pretraining_dataset.user_errors(sum(job.paths.values(), [])):
        return job.session.train(
            job.objective.loss(),
            training_batches,
            num_train_steps=FLAGS.num_train_steps,
            num_warmup_steps=FLAGS.num_warmup_steps,
            evaluate=lambda: evaluate(job),
            teacher=job.objective.teacher,
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


def evaluate(
    job: Job, sample: pretraining_report.MaskedSample | None = None
) -> dict[str, float]:
    """The scores of the files to evaluate on.

    Args:
        job: the job.
        sample: what keeps some of the records for the report.
    """
    dataset = pretraining_dataset.evaluation_batches(
        job.paths["eval"],
        job.parser("eval"),
        batch_size=FLAGS.eval_batch_size,
        max_steps=max_eval_steps(),
        repeat=FLAGS.eval_input_file is None,
    )

    def real_sums():
        reporter = Reporter("examples", verb="Evaluating")
        for sums, batch in job.runner(dataset):
            is_real = batch["is_real_example"] > 0
            reporter.add(int(is_real.sum()))
            sums = {name: values[is_real] for name, values in sums.items()}
            best = sums.pop(pretraining_objectives.BEST, None)
            if sample is not None:
                sample.add({n: v[is_real] for n, v in batch.items()}, best)
            yield sums

    with pretraining_dataset.user_errors(job.paths["eval"]):
        scores = job.objective.scores(real_sums())
        erase_bar()
        return scores


def write_evaluation(job: Job, global_step: int) -> None:
    """Evaluates; writes eval_results.txt and train.json."""
    log_files(job, "eval")
    logging.debug("***** Running evaluation *****")
    logging.debug("  Batch size = %d", FLAGS.eval_batch_size)
    start = time.perf_counter()
    sample = pretraining_report.MaskedSample()
    scores = evaluate(job, sample)
    results = {n: score for n, score in scores.items() if n != NOT_A_RESULT}
    results["global_step"] = global_step
    job.session.folder.write_results(results)
    job.session.record(
        "eval",
        num_files=len(job.paths["eval"]),
        seconds=time.perf_counter() - start,
        results=scores,
    )
    job.report.add_set("eval", (), sample.num_records)
    job.report.folders["eval"] = job.session.folder
    with run_report.mistakes_are_warnings():
        if job.objective.has_answers:
            write_report(job, sample)
    log_results(results)
    score_lines.show("Scores", {}, scores, len(job.paths["eval"]), "file")
    console.show_written(job.session.folder.path, "eval_results.txt")


def write_report(job: Job, sample: pretraining_report.MaskedSample) -> None:
    """Writes what [MASK] was taken for, of a few records."""
    tokens = pretraining_report.find_tokens(
        job.session.folder.path, program.values(), job.config.vocab_size
    )
    pretraining_report.write(
        job.session.folder,
        sample,
        tokens,
        # Once for a few records: a graph would take longer.
        lambda records: job.session.model(records, training=False),
    )
