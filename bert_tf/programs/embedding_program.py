"""A run of train_embeddings, after its flags are checked."""

import dataclasses
import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import flags, logging

from bert_tf import pretrained, training, vector_losses
from bert_tf.config import BertConfig
from bert_tf.data.text_groups import TextGroups
from bert_tf.data.text_reader import TextReader
from bert_tf.pooling import BertEmbedder
from bert_tf.programs import (
    console,
    devices,
    embedding_data,
    embedding_flags,
    embedding_scores,
    export_run,
    labelled_run,
    model_files,
    next_step,
    quick_check,
    run_plan,
    run_report,
    score_lines,
    several_runs,
    training_run,
)
from bert_tf.programs.embedding_data import TrainingRows
from bert_tf.programs.embedding_flags import modes_with_batches
from bert_tf.programs.embedding_scores import Evaluation, EvaluationSets
from bert_tf.programs.session import Session, log_results
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.programs.several_runs import Outcome
from bert_tf.tasks import record as task_record
from bert_tf.tokenization import FullTokenizer
from bert_tf.training import distribution
from bert_tf.vector_losses import VectorLoss

FLAGS = flags.FLAGS
TASK = "embeddings"  # The name in train.json.
NUM_MEASURED = 1000  # Rows by whose texts the length of sequences is chosen.


def run(modes: list[str]) -> None:
    """Trains, evaluates and exports, as far as that is asked for.

    Args:
        modes: some of `MODES`.
    """
    strategy = devices.set_up(modes_with_batches(modes))
    if run_plan.is_several():
        several_runs.run_all(
            run_once, (TASK,), modes, strategy, labels_files=False
        )
        return
    settings = from_flags(RunSettings, FLAGS.flag_values_dict())
    run_once(modes, strategy, settings)
    if distribution.is_chief(strategy):
        next_step.log_next_step_of_vectors(modes)


@dataclasses.dataclass(kw_only=True)
class Job:
    """A run of this program, as its modes see it.

    Attributes:
        session: the run.
        model: gives vectors of all components.
        vectors: the arguments of the `BertEmbedder` that it stands for.
        reader: how texts are read.
        report: what the run leaves for its report.
        evaluation: evaluates the model; None if nothing is evaluated.
    """

    session: Session
    model: BertEmbedder
    vectors: Mapping[str, Any]
    reader: TextReader
    report: run_report.RunReport
    evaluation: Evaluation | None = None


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
        How good the vectors are, if they are evaluated.
    """
    # 1. What the model is.
    config, tokenizer = model_files.read_model_files()
    vectors = model_files.pooling_settings(config)
    sizes = check_sizes(config, vectors)
    session = Session(TASK, modes, strategy, settings)

    # 2. The texts: wrong files are refused before anything is written.
    texts = read_texts(session)
    fit_flags(session, config, tokenizer, texts.rows)
    sets = texts.sets or EvaluationSets()
    session.settle_metric(sets.metric_names(sizes), sets.main_metric)
    quick_check.warn_of_machine(config)
    export_folder = session.check_export(export_folder)
    num_examples = texts.rows.num_examples if texts.rows else 0
    num_train_steps = training_run.count_train_steps(num_examples)

    # 3. The model under the strategy, with its weights so far. It gives whole
    #    vectors; the loss and the scores take the components that count.
    whole = {**vectors, "dimension": None}
    model = session.open(lambda: BertEmbedder(config, **whole))
    reader = labelled_run.make_reader(tokenizer, FLAGS.flag_values_dict())
    job = Job(
        session=session,
        model=model,
        vectors=vectors,
        reader=reader,
        report=run_report.RunReport(session),
        evaluation=make_evaluation(texts, model, reader, session, sizes),
    )
    if session.trains:
        write_task(session, vectors)

    # 4. Train, evaluate, export.
    global_step = session.train_or_load(
        lambda: train(job, texts, num_train_steps)
    )
    outcome = evaluate(job, global_step) if "eval" in modes else None
    job.report.write()
    if "export" in modes and session.folder.writes:
        export(job, export_folder, sets.texts)
    return outcome


def check_sizes(config: BertConfig, vectors: Mapping[str, Any]) -> list[int]:
    """The sizes of --matryoshka_sizes whose scores are reported apart.

    Args:
        config: the model's.
        vectors: the arguments of its `BertEmbedder`.

    Raises:
        UserError: the model has fewer components.
    """
    full_size = embedding_flags.full_size(config)
    embedding_flags.matryoshka_sizes(full_size)
    embedding_flags.warn_of_sizes(full_size)
    return embedding_scores.compared_sizes(vectors["dimension"], full_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
    """What a run reads.

    Attributes:
        groups: the training file; None if the run does not train.
        rows: its rows, as they are trained on.
        loss: the name of the loss.
        sets: what is evaluated on; None if nothing is evaluated.
    """

    groups: TextGroups | None = None
    rows: TrainingRows | None = None
    loss: str = ""
    sets: EvaluationSets | None = None


def read_texts(session: Session) -> Texts:
    """Reads the files of the modes.

    Raises:
        UserError: a file cannot be used, or has nothing to learn from.
    """
    groups, rows, loss, sets = None, None, "", None
    if session.trains:
        seed = session.settings.seed
        groups, rows, loss = embedding_data.read_training(seed)
    if "eval" in modes_with_batches(session.modes):
        sets = embedding_scores.read_sets(groups.kind if groups else None)
    return Texts(groups=groups, rows=rows, loss=loss, sets=sets)


def fit_flags(
    session: Session,
    config: BertConfig,
    tokenizer: FullTokenizer,
    rows: TrainingRows | None,
) -> None:
    """Fills in the rates and lengths that flags leave out.

    Args:
        session: the run.
        config: the model's.
        tokenizer: counts the WordPieces.
        rows: what is trained on, if anything is.
    """
    lengths = None
    if rows and FLAGS.max_seq_length is None:
        # From all parts of the file: its start may be of one kind.
        step = -(-len(rows) // NUM_MEASURED)
        lengths = [
            len(tokenizer.tokenize(text)) + 2
            for row in range(0, len(rows), step)
            for text in rows.texts_of(row)
        ]
    session.fit(config, rows.num_examples if rows else 0, lengths)


def make_evaluation(
    texts: Texts,
    model: BertEmbedder,
    reader: TextReader,
    session: Session,
    sizes: Sequence[int],
) -> Evaluation | None:
    """What evaluates the model; None if nothing is evaluated.

    Args:
        texts: what the run reads.
        model: gives vectors of all components.
        reader: how texts are read.
        session: the run.
        sizes: of `check_sizes`.
    """
    if not texts.sets:
        return None
    embedding_data.show_lengths("dev set", texts.sets.texts, reader)
    runner = training.BatchRunner(model, session.strategy)
    return Evaluation(texts.sets, runner, reader, FLAGS.dimension, sizes)


def make_loss(name: str) -> VectorLoss:
    """The loss that the flags ask for.

    Args:
        name: one of `choices.VECTOR_LOSSES`; "" if nothing is trained.
    """
    loss = {
        "in_batch_negatives": lambda: vector_losses.in_batch_negatives(
            FLAGS.similarity_scale, symmetric=FLAGS.symmetric_loss
        ),
        "cosent": lambda: vector_losses.cosent(FLAGS.similarity_scale),
        "triplet": lambda: vector_losses.triplet(FLAGS.triplet_margin),
    }.get(name, vector_losses.cosine_regression)()
    sizes = embedding_flags.matryoshka_sizes()
    if FLAGS.dimension and not sizes:
        sizes = [FLAGS.dimension]
    return vector_losses.matryoshka(loss, sizes) if sizes else loss


def write_task(session: Session, vectors: Mapping[str, Any]) -> None:
    """Writes task.json: how the model makes vectors.

    Args:
        session: the run.
        vectors: the arguments of its `BertEmbedder`.
    """
    values = {name: vectors[name] for name in pretrained.VECTOR_SETTINGS}
    session.folder.write_json(
        task_record.NAME, {"problem": pretrained.VECTORS, **values}
    )


def train(job: Job, texts: Texts, num_train_steps: int) -> int:
    """Trains up to `num_train_steps`; returns the step at which it ended."""
    session, rows = job.session, texts.rows
    assert texts.groups is not None and rows is not None
    log_rows(job, rows)
    texts_of_rows = [text for column in rows.texts for text in column]
    embedding_data.show_lengths("train set", texts_of_rows, job.reader)
    job.report.add_set("train", texts.groups, len(texts.groups))
    batches = embedding_data.training_batches(
        session.strategy, rows, job.reader, session.settings.seed
    )
    logging.debug("***** Running training *****")
    logging.debug("  Num examples = %d", rows.num_examples)
    logging.debug("  Batch size = %d", FLAGS.train_batch_size)
    logging.debug("  Num steps = %d", num_train_steps)
    return session.train(
        make_loss(texts.loss),
        batches,
        num_train_steps=num_train_steps,
        num_warmup_steps=training_run.count_warmup_steps(num_train_steps),
        evaluate=job.evaluation,
        num_examples=rows.num_examples,
    )


def log_rows(job: Job, rows: TrainingRows) -> None:
    """Logs the tokens of the first rows."""
    for row in itertools.islice(range(len(rows)), 5):
        logging.debug("*** Example ***")
        for text in rows.texts_of(row):
            _, tokens = job.reader.convert(text)
            logging.debug("tokens: %s", " ".join(tokens))


def evaluate(job: Job, global_step: int) -> Outcome:
    """Evaluates; writes eval_results.txt and train.json."""
    assert job.evaluation is not None
    sets, session = job.evaluation.sets, job.session
    logging.debug("***** Running evaluation *****")
    start = time.perf_counter()
    folder = session.results_folder("eval")
    scores = job.evaluation()
    folder.write_results({**scores, "global_step": global_step})
    session.record(
        "eval",
        folder,
        num_examples=sets.num_examples,
        seconds=time.perf_counter() - start,
        results=scores,
    )
    job.report.add_set("eval", (), sets.num_examples)
    job.report.folders["eval"] = folder
    log_results(scores)
    score_lines.show("Scores", {}, scores, sets.num_examples)
    console.show_written(folder.path, "eval_results.txt")
    return Outcome(
        scores=scores, metric=session.settings.metric, is_collapsed=False
    )


def export(job: Job, folder: str, texts: Sequence[str]) -> None:
    """Writes the SavedModel.

    Args:
        job: the run.
        folder: where.
        texts: those of the dev set, on which int8 is compared with float32.
    """
    compared = texts if FLAGS.export_int8 else ()
    export_run.export_encoder(
        folder,
        job.model,
        job.reader,
        job.vectors,
        items=[{"text": text} for text in compared],
    )
