"""A run of run_squad.py, after its flags are checked."""

from collections.abc import Collection

from absl import flags

from bert_tf import training
from bert_tf.export import saved_models
from bert_tf.heads import BertSpanLabeler
from bert_tf.programs import (
    devices,
    export_run,
    model_files,
    squad_data,
    squad_modes,
    training_run,
)
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.programs.squad_flags import files_needed, is_scored, metric_names

FLAGS = flags.FLAGS


def run(modes: Collection[str]) -> None:
    """Trains, answers questions and exports, as far as that is asked for.

    Args:
        modes: some of `MODES`.
    """
    strategy = devices.set_up(files_needed(modes))

    # 1. What the model is, and how it reads text.
    flag_values = FLAGS.flag_values_dict()
    config, _ = model_files.read_model_files()
    session = Session(
        "squad", modes, strategy, from_flags(RunSettings, flag_values)
    )
    session.settle_metric(metric_names())
    if "export" in modes:
        saved_models.check_replaceable(session.folder.file("export"))

    # 2. The examples: files are checked, and wrong ones refused, before
    #    anything is written.
    examples = {
        mode: squad_data.read_examples(mode) for mode in files_needed(modes)
    }
    answers = squad_data.read_answers() if is_scored(modes) else {}
    num_train_steps = training_run.count_train_steps(
        len(examples.get("train", ()))
    )
    windows = {
        mode: squad_data.convert_examples(mode, examples[mode])
        for mode in examples
    }

    # 3. The model under the strategy, with its pretrained weights.
    model = session.open(lambda: BertSpanLabeler(config))
    job = squad_modes.Job(
        session=session,
        model=model,
        runner=training.BatchRunner(model, strategy),
        examples=examples,
        windows=windows,
        answers=answers,
    )

    # 4. Train, answer questions, export.
    global_step = session.train_or_load(
        lambda: squad_modes.train(job, num_train_steps)
    )
    if "eval" in modes or "predict" in modes:
        squad_modes.answer_questions(job, modes, global_step)
    if "export" in modes and session.folder.writes:
        export_run.export_questions(
            session.folder.file("export"), model, flag_values
        )
