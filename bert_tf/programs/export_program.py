"""Exports an earlier run, or an encoder, as export_model was asked to."""

import dataclasses
from typing import Any

import keras
from absl import flags, logging

from bert_tf import (
    checkpoints,
    choices,
    files,
    loading,
    model_classes,
    pretrained,
)
from bert_tf.errors import UserError
from bert_tf.export import confidence, fitted, fitted_settings, saved_models
from bert_tf.formats.heads import has_head_at_root
from bert_tf.formats.model import StoredModel
from bert_tf.heads import BertSpanLabeler
from bert_tf.pooling import BertEmbedder
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.programs import (
    console,
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
from bert_tf.tasks import confidence as task_confidence
from bert_tf.tasks import record as task_record
from bert_tf.tasks.registry import get_task

FLAGS = flags.FLAGS
# Task names in run folders.
SQUAD, PRETRAINING, EMBEDDINGS = "squad", "pretraining", "embeddings"
ENCODER_FLAGS = ("max_seq_length", *shared_flags.POOLING_FLAGS)


def export() -> None:
    """Exports the run in --output_dir, or without that flag an encoder."""
    saved_models.check_replaceable(FLAGS.export_dir)
    folder = FLAGS.output_dir
    if folder is None:
        stored = fine_tuned()
        folder = run_of(stored) if stored else None
        if stored is None:
            export_encoder(FLAGS.init_checkpoint)
        elif folder is None:
            export_head(stored)
        if folder is None:
            return
    run = RunFolder(folder, None, writes=False)
    settings = recorded_flags(run)
    take_over(run.path, settings)
    task_name = run.record["task_name"]
    if task_name == PRETRAINING:
        export_encoder(newest_checkpoint(run))
        return
    if task_name == EMBEDDINGS:
        take_over_vectors(settings)
        # A run has its best checkpoint, or without one the newest.
        export_encoder(pretrained.open(run.path).weights_file)
        return
    program.refuse(
        f"a run of the task {task_name} has its own",
        *(*ENCODER_FLAGS, "takes_pairs"),
    )
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
            **_named(),
        )


def _named() -> dict[str, Any]:
    """The flag that names the run, for errors."""
    name = "pretrained" if FLAGS.output_dir is None else "output_dir"
    return {"setting": name, "value": FLAGS[name].value}


def recorded_flags(run: RunFolder) -> RecordedFlags:
    """Reads the flags of a run from its train.json."""
    if values := run_record.flags_of(run.record):
        return RecordedFlags(values)
    raise UserError(
        "its train.json contains no run; export it with --do_export of the "
        "program that trained it",
        **_named(),
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


def take_over_vectors(settings: dict[str, Any]) -> None:
    """Makes vectors as the run was trained to, unless flags say otherwise.

    Args:
        settings: the run's flags.
    """
    for name in ENCODER_FLAGS:
        if not defaults.is_given(name):
            defaults.fill(name, settings[name])


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
        raise UserError("it has no checkpoint", **_named())
    console.show("Model", "the newest checkpoint, %s", prefixes[0])
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
            **_named(),
        )
    task_settings = labelled_run.task_settings(settings)
    _, problem = task.read([], task_settings, record.values)
    problem = task_confidence.with_learned(problem, record.values)
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


def fine_tuned() -> StoredModel | None:
    """The model of --pretrained, if its head is to be exported.

    None for an encoder, for heads that answer no texts, and where a flag asks
    for vectors.
    """
    asks_vectors = any(map(defaults.is_given, shared_flags.POOLING_FLAGS))
    if FLAGS.pretrained is None or asks_vectors:
        return None
    stored = pretrained.open(FLAGS.pretrained)
    names = stored.weights()
    kind = stored.kind_with(names)
    if kind is None and has_head_at_root(names.shapes):
        logging.warning(
            "%s does not say which kind of head it has: the encoder alone is "
            "exported; convert_checkpoint with --head says it",
            stored.path,
        )
    if kind not in choices.FINE_TUNED_KINDS:
        return None
    return dataclasses.replace(stored, kind=kind)


def run_of(stored: StoredModel) -> str | None:
    """The folder of the run that --pretrained names, if it names one.

    A run knows more than its model: the length of its sequences, whether its
    texts are pairs, and how long documents are read. A checkpoint in it may be
    another one than the run would export.
    """
    folder = defaults.run_of_checkpoint(stored.weights_file)
    if not files.is_folder(FLAGS.pretrained):
        return None
    return folder if run_record.flags_of(run_record.read(folder)) else None


def export_head(stored: StoredModel) -> None:
    """Exports a fine-tuned model, whichever library wrote it."""
    model = loading.make_model(
        model_classes.class_of(stored.kind), stored, {}, is_whole=True
    )
    model_files.check_length(stored.config)
    preprocess = BertPreprocessor(
        FLAGS.vocab_file,
        max_seq_length=FLAGS.max_seq_length,
        **model_files.tokenizer_arguments(),
    )
    settings = export_settings(model, stored)
    make_module, record = fitted.parts_of(model, preprocess, settings)
    export_run.export_trained(
        FLAGS.export_dir,
        model,
        make_model=lambda: fitted.new_of(model),
        make_module=make_module,
        vocab_file=FLAGS.vocab_file,
        **record,
    )


def export_settings(model: keras.Model, stored: StoredModel) -> dict[str, Any]:
    """The settings of `export.export_model` for a stored model.

    A model without names of labels gets LABEL_0, LABEL_1 and so on.
    """
    kind, settings = stored.kind, dict[str, Any]()
    if kind in fitted_settings.PROBLEM_TYPES:
        settings = {"problem_type": kind, "takes_pairs": FLAGS.takes_pairs}
    else:
        program.refuse(f"not for {kind}", "takes_pairs")
    if kind not in ("question_answering",):
        settings["shape"] = export_run.input_shape()
    if kind == "tags":
        settings.pop("shape")
    if hasattr(model, "num_labels") and kind != "regression":
        unnamed = [f"LABEL_{i}" for i in range(model.num_labels)]
        labels = stored.labels or unnamed
        is_named = len(labels) == model.num_labels
        settings["labels"] = labels if is_named else unnamed
    for name in ("thresholds", "mean", "deviation", *confidence.NAMES):
        if name in stored.task:
            settings[name] = stored.task[name]
    return settings


def export_encoder(init_checkpoint: str) -> None:
    """Exports an encoder, which turns each text into a vector."""
    config, tokenizer = model_files.read_model_files()
    settings = model_files.pooling_settings(config)
    model = BertEmbedder(config, **settings)
    load(model, init_checkpoint)
    reader = labelled_run.make_reader(tokenizer, FLAGS.flag_values_dict())
    export_run.export_encoder(FLAGS.export_dir, model, reader, settings)
