"""Fine-tunes BERT to answer questions on a text: SQuAD 1.1 and 2.0.

    python run_squad.py --do_train --do_predict --do_eval --do_export \\
        --train_file=train-v1.1.json --predict_file=dev-v1.1.json \\
        --vocab_file=$BERT/vocab.txt \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt \\
        --output_dir=/tmp/squad

With a released model, which is downloaded once:

    python run_squad.py --do_train --do_eval --train_file=train-v1.1.json \\
        --predict_file=dev-v1.1.json --pretrained=bert-base-uncased \\
        --output_dir=/tmp/squad

Answers other questions with the model of a run:

    python run_squad.py --do_predict --predict_file=new.json \\
        --output_dir=/tmp/squad

For SQuAD 2.0, where a question may have no answer, give
--version_2_with_negative.
"""

from absl import flags

from bert_tf.programs import (
    bundled,
    defaults,
    distill_flags,
    export_flags,
    flag_groups,
    flags_from,
    program,
    run_plan,
    squad_flags,
    training_flags,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.squad_flags import MODES

FLAGS = flags.FLAGS

with flag_groups.heading(flag_groups.DATA):
    flags.DEFINE_string(
        "train_file",
        None,
        "File of questions, contexts and answers to train on: JSON in SQuAD's "
        "form or in other tools', JSON lines, or a table.",
    )
    flags.DEFINE_string(
        "predict_file",
        None,
        "File with the questions to answer, in the forms of --train_file. "
        "--do_eval and --eval_steps also need their answers in it.",
    )
with flag_groups.heading(flag_groups.WHAT):
    flags.DEFINE_bool("do_train", False, "Train on --train_file.")
    flags.DEFINE_bool(
        "do_predict", False, "Write predictions.json for --predict_file."
    )
    # Not in the original.
    flags.DEFINE_bool(
        "do_eval",
        False,
        "Score the predictions for --predict_file as SQuAD does.",
    )
    flags.DEFINE_bool(
        "do_export",
        False,
        "Write a SavedModel, which takes raw text, to --output_dir/export.",
    )
export_flags.define()
shared_flags.define_model_flags()
shared_flags.define_text_flags(
    max_seq_length=None,
    default="By default it is 384, or what the model can read, if that is "
    "less.",
)
with flag_groups.heading(flag_groups.TEXTS):
    shared_flags.define_count(
        "doc_stride",
        None,
        "WordPieces from the start of a window to the start of the next one, "
        "if a context is too long for one window. By default it is a third of "
        "--max_seq_length: 128 for windows of 384.",
    )
    shared_flags.define_count(
        "max_query_length",
        64,
        "Largest number of WordPieces of a question; what is longer is cut "
        "off.",
        lower_bound=0,
    )
training_flags.define_training_flags()
training_flags.define_fine_tuning_flags()
distill_flags.define(takes_unlabelled=False)
training_flags.define_batch_size_flag("predict")
with flag_groups.heading(flag_groups.ANSWERS):
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
        "Let questions have no answer, as in SQuAD 2.0.",
    )
    shared_flags.define_float(
        "null_score_diff_threshold",
        0.0,
        "With --version_2_with_negative, a question has no answer if its null "
        "odds exceed this number. After --do_eval, eval_results.txt has the "
        "values that score best: null_score_diff_threshold_exact and "
        "null_score_diff_threshold_f1.",
    )
    flags.DEFINE_bool(
        "verbose_logging",
        False,
        "Log each training example that is left out, and each answer whose "
        "characters are not found in its words.",
    )
training_flags.define_evaluation_flags(metric_for_best="f1")
with flag_groups.heading(flag_groups.SPEED):
    shared_flags.define_count(
        "num_processes",
        0,
        "Number of processes that convert questions. 0 means one per core for "
        "large files.",
        lower_bound=0,
    )
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()
run_plan.define_flags()
flags_from.define()


def main() -> None:
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    squad_flags.check_command(modes)
    defaults.from_earlier_run(("squad",), trains="train" in modes)
    bundled.use_model()
    run_plan.check(modes, lambda: squad_flags.check_flags(modes))
    # TensorFlow takes seconds to load: mistakes in flags are found before.
    from bert_tf.programs import squad_program

    squad_program.run(modes)


if __name__ == "__main__":
    program.run(main, required=squad_flags.REQUIRED, keeps_log=True)
