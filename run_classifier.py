"""Fine-tunes BERT on labelled texts, evaluates it, and labels new texts.

    python run_classifier.py --task_name=sms --do_train --do_eval \\
        --do_predict --output_dir=/tmp/sms

runs on the bundled data and model. With a file of your own, whose columns are
text and label, and a released model, which is downloaded once:

    python run_classifier.py --task_name=csv --train_file=train.csv \\
        --dev_fraction=0.1 --pretrained=bert-base-uncased --do_train \\
        --do_eval --do_export --output_dir=/tmp/mine

Labels other texts with the model of a run:

    python run_classifier.py --do_predict --test_file=new.csv \\
        --output_dir=/tmp/mine

Google's files are named by --data_dir, --vocab_file, --bert_config_file and
--init_checkpoint.
"""

from absl import flags

from bert_tf import choices
from bert_tf.programs import (
    bundled,
    calibration_flags,
    defaults,
    distill_flags,
    export_flags,
    few_shot_flags,
    flag_groups,
    flags_from,
    labelled_flags,
    program,
    run_plan,
    training_flags,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.labelled_flags import MODES

FLAGS = flags.FLAGS

with flag_groups.heading(flag_groups.WHAT):
    flags.DEFINE_string(
        "task_name",
        None,
        f"What is asked, of which files: {', '.join(choices.TASKS)}; upper or "
        "lower case. csv, tsv and jsonl read files of your own. It is not "
        "needed where --output_dir holds a run, whose task is then meant.",
    )
    flags.DEFINE_bool("do_train", False, "Train on the task's training set.")
    flags.DEFINE_bool("do_eval", False, "Evaluate on the task's dev set.")
    flags.DEFINE_bool(
        "do_predict", False, "Label the texts of the task's test set."
    )
shared_flags.define_example_flags()
shared_flags.define_model_flags()
shared_flags.define_text_flags(
    max_seq_length=None,
    default="By default it is 128, or for your own files what 99 % of the "
    "texts need, up to 256; at most what the model can read.",
)
shared_flags.define_long_document_flags()
training_flags.define_training_flags()
training_flags.define_fine_tuning_flags()
training_flags.define_batch_size_flag("eval")
training_flags.define_batch_size_flag("predict")
training_flags.define_evaluation_flags(metric_for_best=None)
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()
with flag_groups.heading(flag_groups.WHAT):
    flags.DEFINE_bool(
        "do_export",
        False,
        "Write a SavedModel, which takes raw text, to --output_dir/export.",
    )
export_flags.define()
calibration_flags.define()
with flag_groups.heading(flag_groups.TRAINING):
    flags.DEFINE_string(
        "class_weights",
        None,
        "How much the examples of each label count in training: `balanced`, so "
        "that all labels count the same, or a number for each label, separated "
        "by commas.",
    )
    shared_flags.define_float(
        "label_smoothing",
        0.0,
        "Fraction of each target that is shared equally by all labels.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    shared_flags.define_float(
        "classifier_dropout",
        choices.CLASSIFIER_DROPOUT,
        "Dropout rate before the classifier; in the original it is always 0.1.",
        lower_bound=0.0,
        upper_bound=0.99,
    )
    shared_flags.define_count(
        "classifier_hidden",
        None,
        "Width of an additional layer in the classifier, with ReLU. It helps "
        "if the encoder is frozen.",
    )
    few_shot_flags.define()
distill_flags.define(takes_unlabelled=True)
run_plan.define_flags()
flags_from.define()


def main() -> None:
    modes = [m for m in (*MODES, "export") if FLAGS[f"do_{m}"].value]
    labelled_flags.check_command(modes)
    few_shot_flags.fill()
    defaults.from_earlier_run(choices.TASKS, trains="train" in modes)
    bundled.use_data()
    bundled.use_model()
    run_plan.check(modes, lambda: labelled_flags.check_flags(modes))
    # TensorFlow takes seconds to load: mistakes in flags are found before.
    from bert_tf.programs import labelled_program

    labelled_program.run(modes)


if __name__ == "__main__":
    program.run(main, required=labelled_flags.REQUIRED, keeps_log=True)
