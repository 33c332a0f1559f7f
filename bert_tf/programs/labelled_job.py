"""Labelled texts as batches, and a model's outputs for them.

examples     read from the task's files
rows         what is shuffled: texts, or records that hold features
batches      the model's features
outputs      one for each example, in the file's order
scores       outputs against labels
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from absl import flags, logging

from bert_tf import training
from bert_tf.data import features, pipeline
from bert_tf.data.features import FeatureSpec
from bert_tf.data.text_reader import TextReader
from bert_tf.doctor import texts
from bert_tf.programs import (
    batches,
    data_lines,
    devices,
    labelled_confidence,
    run_report,
    teaching,
)
from bert_tf.programs.labelled_flags import MODES
from bert_tf.programs.session import Session
from bert_tf.progress import with_progress
from bert_tf.tasks import record as task_record
from bert_tf.tasks.problem import Evaluation, Problem
from bert_tf.tasks.texts import SingleLabel

FLAGS = flags.FLAGS
NUM_EXAMPLES_LOGGED = 5
NUM_EXAMPLES_MEASURED = 10_000  # To say how many are truncated.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run on labelled texts, as its modes see it.

    Attributes:
        session: the run.
        problem: what is asked about a text.
        reader: how texts are read.
        model: the model that answers.
        runner: runs the model over batches.
        examples: {mode: examples} of "train", "eval" and "predict".
        evaluation_batches: {mode: dataset}. Evaluations while training and
            after it read the same.
        lengths: {mode: int [N]}, the tokens of the first examples.
        report: what the run leaves for its report.
        unlabelled: texts without labels, which are trained on as well.
        teacher: whose answers are learned; None learns the labels alone.
    """

    session: Session
    problem: Problem
    reader: TextReader
    model: keras.Model
    runner: training.BatchRunner
    examples: dict[str, Any]
    report: run_report.RunReport
    unlabelled: Sequence[Any] = ()
    teacher: teaching.Teacher | None = None
    evaluation_batches: dict[str, Any] = dataclasses.field(default_factory=dict)
    lengths: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def tuned(self, problem: Problem) -> "Job":
        """The job with what was chosen on the dev set; writes task.json.

        Args:
            problem: the tuned problem, of `score`.
        """
        job = dataclasses.replace(self, problem=problem)
        job.write_task()
        return job

    def write_task(self) -> None:
        """Writes task.json: what the model must know to answer."""
        record = task_record.TaskRecord.of(self.problem)
        self.session.folder.write_json(task_record.NAME, record.to_json())


def read_rows(job: Job, mode: str) -> batches.Rows:
    """The rows of a mode's examples; logs the first examples."""
    examples = job.examples[mode]
    specs = job.problem.feature_specs(job.reader)
    log_examples(job, mode)
    batches.log_features(specs, batches.batch_size(mode))
    if not FLAGS.write_tf_records:
        return job.problem.rows(examples, job.reader), functools.partial(
            job.problem.features_of_rows, reader=job.reader
        )
    path = job.session.folder.file(f"{mode}.tf_record")
    if job.session.folder.writes:
        write_tf_records(path, job, mode, specs)
    return features.record_rows(path), functools.partial(
        features.parse_record_rows, specs=specs
    )


def evaluation_batches(job: Job, mode: str) -> Any:
    """The dataset of "eval" or "predict", which is made once."""
    if mode not in job.evaluation_batches:
        job.evaluation_batches[mode] = batches.evaluation_batches(
            job.session.strategy,
            read_rows(job, mode),
            batches.batch_size(mode),
        )
    return job.evaluation_batches[mode]


def write_tf_records(
    path: str, job: Job, mode: str, specs: list[FeatureSpec]
) -> None:
    """Writes the file that the original makes before each mode."""
    examples = job.examples[mode]

    def convert():
        for index, example in enumerate(
            with_progress(examples, len(examples), "examples", "Converting")
        ):
            if index % 10000 == 0:
                logging.debug("Writing example %d of %d", index, len(examples))
            yield job.problem.convert(example, job.reader)[0]
        # Padding counts in no loss, metric or output file.
        padding = {s.name: np.zeros(s.shape, s.dtype) for s in specs}
        yield from [padding] * num_padding(job, mode)

    features.write_tf_records(path, convert(), specs)


def num_padding(job: Job, mode: str) -> int:
    """How many rows fill up the last batch; training drops that batch."""
    is_full = devices.needs_full_batches(job.session.strategy)
    if mode == "train" or not is_full:
        return 0
    return -len(job.examples[mode]) % batches.batch_size(mode)


def log_examples(job: Job, mode: str) -> None:
    """Logs the first examples, and how many examples are truncated."""
    examples = job.examples[mode]
    first = list(itertools.islice(examples, NUM_EXAMPLES_MEASURED))
    for example in first[:NUM_EXAMPLES_LOGGED]:
        log_example(job, example)
    lengths = job.problem.num_tokens(first, job.reader)
    job.lengths[mode] = lengths
    num_truncated = data_lines.show_lengths(
        f"{MODES[mode]} set", lengths, len(examples), job.reader.capacity
    )
    if num_truncated > texts.MAX_TRUNCATED * len(first):
        _advise_on_length(lengths, job.model.config.max_position_embeddings)


def _advise_on_length(lengths: np.ndarray, longest: int) -> None:
    """Warns that many texts are truncated; says which length keeps them.

    Args:
        lengths: the number of tokens of each text.
        longest: the most that the model reads.
    """
    best = texts.length_that_keeps(lengths, longest)
    if np.percentile(lengths, texts.KEPT) > best:
        advice = f"the model reads {best} tokens at most"
    else:
        advice = f"--max_seq_length={best} keeps {texts.KEPT} % of them whole"
    logging.warning("Many texts are truncated; %s", advice)


def log_example(job: Job, example: Any) -> None:
    """Logs an example as the original does."""
    converted, tokens = job.problem.convert(example, job.reader)
    logging.debug("*** Example ***")
    logging.debug("guid: %s", example.guid)
    logging.debug("tokens: %s", " ".join(tokens))
    for name in ("input_ids", "input_mask", "segment_ids"):
        numbers = np.ravel(converted[name])
        logging.debug("%s: %s", name, " ".join(map(str, numbers)))
    if isinstance(job.problem, SingleLabel):
        label_id = converted["label_ids"]
        logging.debug("label: %s (id = %d)", example.label, label_id)
    else:
        logging.debug("label: %s", example.label)


def predictions(job: Job, mode: str) -> Iterator[tuple[Any, Any]]:
    """Yields (example, output) for each example, in the file's order."""
    rows = pipeline.in_file_order(job.runner(evaluation_batches(job, mode)))
    examples = job.examples[mode]
    return with_progress(
        job.problem.predictions(rows, examples),
        len(examples),
        unit="examples",
        verb="Predicting" if mode == "predict" else "Evaluating",
    )


def score(
    job: Job,
    mode: str,
    tunes: bool = True,
    keep: run_report.Keep | None = None,
    fits: bool = False,
) -> tuple[Problem, Evaluation]:
    """Evaluates the model as it is.

    Args:
        job: the job.
        mode: "eval" or "predict".
        tunes: whether thresholds are tuned on these examples.
        keep: see `RunReport.keeping`; None keeps nothing.
        fits: whether the flags may ask to fit a temperature and sets of labels
            on them.

    Returns:
        (problem, evaluation): the problem with what was chosen, and the
        scores that it then has.
    """
    labels, outputs = [], []
    for example, output in predictions(job, mode):
        labels.append(example.label)
        outputs.append(output)
        if keep:
            keep(example, output)
    problem = job.problem
    if fits:  # Thresholds are those of the probabilities that it gives.
        problem = labelled_confidence.fitted(problem, labels, outputs)
    if tunes:
        problem = problem.tune(labels, outputs, job.session.settings.metric)
    evaluation = problem.evaluate(labels, outputs, FLAGS.eval_batch_size)
    return problem, labelled_confidence.add_scores(
        evaluation, problem, labels, outputs
    )
