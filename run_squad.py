"""Fine-tunes BERT to answer questions on a text: SQuAD 1.1 and 2.0.

    python run_squad.py --do_train --do_predict --do_eval --do_export \\
        --train_file=train-v1.1.json --predict_file=dev-v1.1.json \\
        --vocab_file=$BERT/vocab.txt \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt \\
        --output_dir=/tmp/squad

For SQuAD 2.0, where a question may have no answer, give
--version_2_with_negative.
"""

from collections.abc import Collection

from absl import flags

from bert_tf import metrics, training
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.heads import BertSpanLabeler
from bert_tf.programs import (
    devices,
    export_run,
    model_files,
    program,
    squad_data,
    squad_modes,
    training_flags,
    training_run,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags

FLAGS = flags.FLAGS
MODES = ("train", "eval", "predict", "export")

flags.DEFINE_string("train_file", None, "SQuAD JSON to train on.")
flags.DEFINE_string(
    "predict_file",
    None,
    "SQuAD JSON with the questions to answer. --do_eval and --eval_steps also "
    "need their answers in it.",
)
flags.DEFINE_bool("do_train", False, "Train on --train_file.")
flags.DEFINE_bool(
    "do_predict", False, "Write predictions.json for --predict_file."
)
# Not in the original.
flags.DEFINE_bool(
    "do_eval", False, "Score the predictions for --predict_file as SQuAD does."
)
flags.DEFINE_bool(
    "do_export",
    False,
    "Write a SavedModel, which takes raw text, to --output_dir/export.",
)
shared_flags.define_export_flags()
shared_flags.define_model_flags()
shared_flags.define_text_flags(max_seq_length=384)
shared_flags.define_count(
    "doc_stride",
    128,
    "WordPieces from the start of a window to the start of the next one, if a "
    "context is too long for one window.",
)
shared_flags.define_count(
    "max_query_length",
    64,
    "Largest number of WordPieces of a question; the others are cut off.",
    lower_bound=0,
)
training_flags.define_training_flags()
training_flags.define_fine_tuning_flags()
training_flags.define_batch_size_flag("predict")
shared_flags.define_count(
    "n_best_size",
    20,
    "Largest number of answers to a question in nbest_predictions.json.",
)
shared_flags.define_count(
    "max_answer_length", 30, "Largest number of WordPieces of an answer."
)
flags.DEFINE_bool(
    "version_2_with_negative",
    False,
    "Questions may have no answer, as in SQuAD 2.0.",
)
shared_flags.define_float(
    "null_score_diff_threshold",
    0.0,
    "A question has no answer if its null odds exceed this number.",
)
flags.DEFINE_bool(
    "verbose_logging",
    False,
    "Log each training example that is left out, and each answer whose "
    "characters are not found in its words.",
)
training_flags.define_evaluation_flags(metric_for_best="f1")
shared_flags.define_count(
    "num_processes",
    0,
    "Processes that convert questions. 0 means one per core for large files.",
    lower_bound=0,
)
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()


def main() -> None:
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    check_flags(modes)
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


def metric_names() -> Collection[str]:
    """The metrics that evaluations report."""
    if FLAGS.version_2_with_negative:
        return metrics.SQUAD_V2_NAMES
    return metrics.SQUAD_V1_NAMES


def check_flags(modes: Collection[str]) -> None:
    """Raises UserError for flags that are missing or contradict each other."""
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_predict, --do_eval, --do_export "
            "must be given"
        )
    program.require("bert_config_file", "vocab_file", "output_dir")
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    program.refuse(
        "not for questions", "export_batch_size", "export_pad_to_max_length"
    )
    for mode in files_needed(modes):
        program.require(f"{mode}_file")
        program.require_existing(f"{mode}_file")
    if FLAGS.max_seq_length <= FLAGS.max_query_length + 3:
        raise UserError(
            f"--max_query_length={FLAGS.max_query_length}: with the 3 special "
            "tokens it leaves no room for the context in --max_seq_length="
            f"{FLAGS.max_seq_length}"
        )


def is_scored(modes: Collection[str]) -> bool:
    """Whether answers are compared with the right ones."""
    return "eval" in modes or "train" in modes and FLAGS.eval_steps > 0


def files_needed(modes: Collection[str]) -> list[str]:
    """The files that are read, "train" and "predict", as far as needed."""
    needed = ["train"] if "train" in modes else []
    if "predict" in modes or is_scored(modes):
        needed.append("predict")
    return needed


if __name__ == "__main__":
    program.run(main)
