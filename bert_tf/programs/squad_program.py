"""A run of run_squad.py, after its flags are checked."""

from collections.abc import Collection
from typing import Any

import tensorflow as tf
from absl import flags

from bert_tf import training
from bert_tf.config import BertConfig
from bert_tf.heads import BertSpanLabeler
from bert_tf.programs import (
    defaults,
    devices,
    export_run,
    model_files,
    next_step,
    quick_check,
    run_plan,
    run_report,
    several_runs,
    squad_data,
    squad_flags,
    squad_modes,
    teaching,
    training_run,
)
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.programs.several_runs import Outcome
from bert_tf.programs.squad_flags import files_needed, is_scored, metric_names
from bert_tf.tokenization import FullTokenizer
from bert_tf.training import distribution

FLAGS = flags.FLAGS
WINDOWS_PER_LENGTH = 3  # The original's windows: 384 WordPieces, every 128.


def run(modes: Collection[str]) -> None:
    """Trains, answers questions and exports, as far as that is asked for.

    Args:
        modes: some of `MODES`.
    """
    strategy = devices.set_up(files_needed(modes))
    if run_plan.is_several():
        several_runs.run_all(
            run_once, ("squad",), modes, strategy, labels_files=True
        )
        return
    run_once(modes, strategy)
    if distribution.is_chief(strategy):
        next_step.log_next_step(modes, labels_files=True)


def run_once(
    modes: Collection[str],
    strategy: tf.distribute.Strategy,
    settings: RunSettings | None = None,
    export_folder: str | None = None,
) -> Outcome | None:
    """Runs the modes that are asked for.

    Args:
        modes: see `run`.
        strategy: where it runs.
        settings: how it is trained and saved; None: as the flags say.
        export_folder: where the export goes; None: into the run's folder.

    Returns:
        How good the answers are, if they are scored.
    """
    # 1. What the model is, and how it reads text.
    config, tokenizer = model_files.read_model_files()
    fit_lengths(config)
    settings = settings or from_flags(RunSettings, FLAGS.flag_values_dict())
    session = Session("squad", modes, strategy, settings)
    session.settle_metric(metric_names())
    export_folder = session.check_export(export_folder)

    # 2. The examples: files are checked, and wrong ones refused, before
    #    anything is written.
    examples = read_examples(modes, config, tokenizer)
    answers = squad_data.read_answers() if is_scored(modes) else {}
    num_examples = len(examples.get("train", ()))
    session.fit(config, num_examples)
    num_train_steps = training_run.count_train_steps(num_examples)
    windows = {m: squad_data.convert_examples(m, examples[m]) for m in examples}
    teacher = teaching.make(teaching.find_for_questions(config), session)

    # 3. The model under the strategy, with its pretrained weights.
    model = session.open(lambda: BertSpanLabeler(config))
    job = squad_modes.Job(
        session=session,
        model=model,
        runner=training.BatchRunner(model, strategy),
        examples=examples,
        windows=windows,
        answers=answers,
        report=run_report.RunReport(session),
        teacher=teacher,
    )

    # 4. Train, answer questions, export.
    global_step = session.train_or_load(
        lambda: squad_modes.train(job, num_train_steps)
    )
    outcome = None
    if "eval" in modes or "predict" in modes:
        outcome = squad_modes.answer_questions(job, modes, global_step)
    if "export" in modes and session.folder.writes:
        export(job, export_folder)
    job.report.write()
    return outcome


def read_examples(
    modes: Collection[str], config: BertConfig, tokenizer: FullTokenizer
) -> dict[str, Any]:
    """Reads the files that modes need, and warns of what is odd.

    Returns:
        {mode: examples}.

    Raises:
        UserError: a file cannot be used.
    """
    examples = {
        mode: squad_data.read_examples(mode) for mode in files_needed(modes)
    }
    squad_data.compare(examples)
    quick_check.warn(
        {mode: several.first for mode, several in examples.items()},
        "answers",
        tokenizer,
        said=("overlap",),  # `compare` has looked at it.
    )
    quick_check.warn_of_machine(config)
    return examples


def export(job: squad_modes.Job, folder: str) -> None:
    """Exports the model into a folder, as the flags ask."""
    export_run.export_questions(
        folder,
        job.model,
        FLAGS.flag_values_dict(),
        # Only int8 is compared on them.
        items=squad_data.items_of(job.examples) if FLAGS.export_int8 else (),
    )


def fit_lengths(config: BertConfig) -> None:
    """Fills in the length of windows, and how far apart they start.

    Raises:
        UserError: a window has no room for the context.
    """
    defaults.fit(config, 0, longest=squad_flags.DEFAULT_LENGTH)
    if FLAGS.doc_stride is None:
        stride = max(1, FLAGS.max_seq_length // WINDOWS_PER_LENGTH)
        defaults.fill("doc_stride", stride)
    squad_flags.check_lengths()
