"""Exports a model as a SavedModel that takes raw text.

    python -m bert_tf.tools.export_model --output_dir=/tmp/sms \\
        --export_dir=/tmp/sms_model

A run of run_classifier.py or run_squad.py, as with its flag --do_export: what
it was, its folder tells. Its best checkpoint is taken, where the training
looked for one, or else its newest.

    python -m bert_tf.tools.export_model --export_dir=/tmp/encoder \\
        --vocab_file=$BERT_DIR/vocab.txt \\
        --bert_config_file=$BERT_DIR/bert_config.json \\
        --init_checkpoint=$BERT_DIR/bert_model.ckpt --pooling=mean

An encoder, which makes a vector of each text; without the three files the
bundled one.
"""

from absl import flags, logging

from bert_tf import checkpoints
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.answering import EmbeddingAnswering
from bert_tf.heads import BertSpanLabeler
from bert_tf.pooling import BertEmbedder
from bert_tf.programs import (
    export_run,
    labelled_run,
    model_files,
    program,
    weights,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.run_folder import RunFolder
from bert_tf.tasks import record as task_record
from bert_tf.tasks.registry import get_task
from bert_tf.text.packing import MIN_SEQ_LENGTH

FLAGS = flags.FLAGS
SQUAD, PRETRAINING = "squad", "pretraining"  # What run folders call them.

flags.DEFINE_string(
    "export_dir",
    None,
    "Folder that the SavedModel becomes; a model that is there is replaced.",
)
flags.DEFINE_string("output_dir", None, "Folder of a run.")
shared_flags.define_network_flags()
shared_flags.define_vocab_flags()
shared_flags.define_count(
    "max_seq_length",
    128,
    "Longest sequence of an encoder in WordPieces; that of a run is known.",
    lower_bound=MIN_SEQ_LENGTH,
)
shared_flags.define_export_flags()
shared_flags.define_pooling_flags()
ENCODER_FLAGS = ("max_seq_length", *shared_flags.POOLING_FLAGS)
RUN_FLAGS = ("vocab_file", "bert_config_file", "do_lower_case")


def main():
    program.require("export_dir")
    saved_models.check_replaceable(FLAGS.export_dir)
    if FLAGS.output_dir is None:
        model_files.use_bundled_model_if_none_is_given()
        export_encoder(FLAGS.init_checkpoint)
        return
    program.require_existing("output_dir", folder=True)
    if FLAGS.init_checkpoint:
        raise UserError(
            f"--init_checkpoint={FLAGS.init_checkpoint}: not with --output_dir"
        )
    run = RunFolder(FLAGS.output_dir, None, writes=False)
    settings = recorded_flags(run)
    take_over(settings)
    task_name = run.record["task_name"]
    if task_name == PRETRAINING:
        export_encoder(newest_checkpoint(run))
        return
    program.refuse(f"a run of the task {task_name} tells", *ENCODER_FLAGS)
    if task_name == SQUAD:
        export_squad(run, settings)
    else:
        export_task(run, settings)


class RecordedFlags(dict):
    """{flag: value} of an earlier run."""

    def __missing__(self, name):
        raise UserError(
            f"--output_dir={FLAGS.output_dir}: its train.json does not tell "
            f"--{name}; export it with --do_export of the program that trained"
        )


def recorded_flags(run: RunFolder) -> RecordedFlags:
    """The flags of the run in the folder, by its train.json."""
    for mode in ("train", "eval", "predict"):
        if found := run.earlier(mode).get("flags"):
            return RecordedFlags(found)
    raise UserError(
        f"--output_dir={run.path}: its train.json tells of no run; export it "
        "with --do_export of the program that trained"
    )


def take_over(settings: dict):
    """The run's files, unless others are named: they may have been moved."""
    for name in RUN_FLAGS:
        if FLAGS[name].using_default_value and name in settings:
            FLAGS[name].value = settings[name]
        settings[name] = FLAGS[name].value
    program.require("vocab_file", "bert_config_file")


def load_run(run: RunFolder, settings: dict, model):
    """Loads what the run's own --do_export would take."""
    if weights.load_best(model, run, settings["metric_for_best"]) is None:
        load(model, newest_checkpoint(run))


def newest_checkpoint(run: RunFolder) -> str:
    found = checkpoints.CheckpointFolder(run.path).newest_first()
    if not found:
        raise UserError(f"--output_dir={run.path}: no checkpoint here")
    logging.info("Using the newest checkpoint, %s", found[0])
    return found[0]


def load(model, prefix: str):
    report = checkpoints.load_weights(model, prefix)
    if report.missing:
        raise UserError(f"{prefix} has no {', '.join(report.missing)}")


def export_task(run: RunFolder, settings: dict):
    """Exports a run of run_classifier.py."""
    task = get_task(run.record["task_name"])
    learned = task_record.read(run.path)
    if not learned:
        raise UserError(
            f"--output_dir={run.path}: {task_record.NAME} is missing, which "
            "tells the labels"
        )
    task_settings = labelled_run.task_settings(settings)
    _, problem = task.read([], task_settings, learned)
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


def export_squad(run: RunFolder, settings: dict):
    """Exports a run of run_squad.py."""
    config, _ = model_files.read_config_and_tokenizer()
    model = BertSpanLabeler(config)
    load_run(run, settings, model)
    export_run.export_questions(FLAGS.export_dir, model, settings)


def export_encoder(init_checkpoint: str):
    """Exports what makes a vector of each text."""
    config, tokenizer = model_files.read_model_files()
    settings = model_files.pooling_settings(config)
    model = BertEmbedder(config, **settings)
    load(model, init_checkpoint)
    reader = TextReader(
        tokenizer=tokenizer,
        vocab_file=FLAGS.vocab_file,
        do_lower_case=FLAGS.do_lower_case,
        max_seq_length=FLAGS.max_seq_length,
    )
    export_run.export_trained(
        FLAGS.export_dir,
        model,
        make_model=lambda: BertEmbedder(config, **settings),
        make_module=lambda copy: EmbeddingAnswering(
            copy, reader, export_run.input_shape()
        ),
        vocab_file=FLAGS.vocab_file,
        **settings,
    )


if __name__ == "__main__":
    program.run(main)
