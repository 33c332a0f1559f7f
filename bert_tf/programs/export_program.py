"""Exports an earlier run, or an encoder, as export_model was asked to."""

from typing import Any

import keras
from absl import flags, logging

from bert_tf import checkpoints
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.serving_modules import EmbeddingServing
from bert_tf.heads import BertSpanLabeler
from bert_tf.pooling import BertEmbedder
from bert_tf.programs import (
    defaults,
    export_run,
    labelled_run,
    model_files,
    program,
    run_record,
    weights,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.run_folder import RunFolder
from bert_tf.tasks import record as task_record
from bert_tf.tasks.registry import get_task

FLAGS = flags.FLAGS
SQUAD, PRETRAINING = "squad", "pretraining"  # Task names in run folders.
ENCODER_FLAGS = ("max_seq_length", *shared_flags.POOLING_FLAGS)


def export() -> None:
    """Exports the run in --output_dir, or without that flag an encoder."""
    saved_models.check_replaceable(FLAGS.export_dir)
    if FLAGS.output_dir is None:
        export_encoder(FLAGS.init_checkpoint)
        return
    run = RunFolder(FLAGS.output_dir, None, writes=False)
    settings = recorded_flags(run)
    take_over(run.path, settings)
    task_name = run.record["task_name"]
    if task_name == PRETRAINING:
        export_encoder(newest_checkpoint(run))
        return
    program.refuse(f"a run of the task {task_name} has its own", *ENCODER_FLAGS)
    if task_name == SQUAD:
        export_squad(run, settings)
    else:
        export_task(run, settings)


class RecordedFlags(dict[str, Any]):
    """{flag: value} of an earlier run."""

    def __missing__(self, name: str) -> None:
        raise UserError(
            f"its train.json does not contain --{name}; export it with "
            "--do_export of the program that trained it",
            setting="output_dir",
            value=FLAGS.output_dir,
        )


def recorded_flags(run: RunFolder) -> RecordedFlags:
    """Reads the flags of a run from its train.json."""
    if values := run_record.flags_of(run.record):
        return RecordedFlags(values)
    raise UserError(
        "its train.json contains no run; export it with --do_export of the "
        "program that trained it",
        setting="output_dir",
        value=run.path,
    )


def take_over(folder: str, settings: dict[str, Any]) -> None:
    """Uses the model's files of the run, except those that flags name.

    Args:
        folder: the run's, which has copies of files that are gone.
        settings: its flags, which get those of the command line.
    """
    for name in defaults.MODEL_FLAGS:
        if not defaults.is_given(name) and name in settings:
            value = settings[name]
            if name in defaults.COPIES:
                value = defaults.model_file(folder, name, value)
            defaults.fill(name, value)
        settings[name] = FLAGS[name].value
    program.require("vocab_file", "bert_config_file")


def load_run(
    run: RunFolder, settings: dict[str, Any], model: keras.Model
) -> None:
    """Loads the checkpoint that the run's own --do_export would export."""
    if weights.load_best(model, run, settings["metric_for_best"]) is None:
        load(model, newest_checkpoint(run))


def newest_checkpoint(run: RunFolder) -> str:
    """Returns the prefix of a run's newest checkpoint."""
    prefixes = checkpoints.CheckpointFolder(run.path).newest_first()
    if not prefixes:
        raise UserError(
            "it has no checkpoint", setting="output_dir", value=run.path
        )
    logging.info("Using the newest checkpoint, %s", prefixes[0])
    return prefixes[0]


def load(model: keras.Model, prefix: str) -> None:
    """Loads a checkpoint, which must have all variables of the model."""
    report = checkpoints.load_weights(model, prefix)
    if report.missing:
        raise UserError(f"{prefix} does not have {', '.join(report.missing)}")


def export_task(run: RunFolder, settings: dict[str, Any]) -> None:
    """Exports a run of run_classifier.py."""
    task = get_task(run.record["task_name"])
    record = task_record.read(run.path)
    if record is None:
        raise UserError(
            f"its {task_record.NAME} is missing, which contains the labels",
            setting="output_dir",
            value=run.path,
        )
    task_settings = labelled_run.task_settings(settings)
    _, problem = task.read([], task_settings, record.values)
    program.refuse(
        f"not for {problem.description}",
        *(n for n in problem.refused_flags if n in shared_flags.EXPORT_FLAGS),
    )
    config, tokenizer = model_files.read_config_and_tokenizer()
    reader = labelled_run.make_reader(tokenizer, settings)
    model = labelled_run.build_model(problem, config, settings)
    load_run(run, settings, model)
    labelled_run.export(
        FLAGS.export_dir,
        model,
        problem=problem,
        reader=reader,
        takes_pairs=task.takes_pairs(task_settings),
        flags=settings,
    )


def export_squad(run: RunFolder, settings: dict[str, Any]) -> None:
    """Exports a run of run_squad.py."""
    config, _ = model_files.read_config_and_tokenizer()
    model = BertSpanLabeler(config)
    load_run(run, settings, model)
    export_run.export_questions(FLAGS.export_dir, model, settings)


def export_encoder(init_checkpoint: str) -> None:
    """Exports an encoder, which turns each text into a vector."""
    config, tokenizer = model_files.read_model_files()
    settings = model_files.pooling_settings(config)
    model = BertEmbedder(config, **settings)
    load(model, init_checkpoint)
    reader = TextReader(
        tokenizer,
        TextReaderSettings(
            vocab_file=FLAGS.vocab_file,
            do_lower_case=FLAGS.do_lower_case,
            max_seq_length=FLAGS.max_seq_length,
        ),
    )
    export_run.export_trained(
        FLAGS.export_dir,
        model,
        make_model=lambda: BertEmbedder(config, **settings),
        make_module=lambda copy: EmbeddingServing(
            copy, reader, export_run.input_shape()
        ),
        vocab_file=FLAGS.vocab_file,
        **settings,
    )
