"""Pretrains BERT on text: masked LM and next sentence prediction.

    python run_pretraining.py --do_train --do_eval \\
        --input_file='/tmp/tf_examples.tfrecord*' \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt \\
        --output_dir=/tmp/pretraining

Continues with a released model, which is downloaded once:

    python run_pretraining.py --do_train --pretrained=bert-base-uncased \\
        --input_file='/tmp/tf_examples.tfrecord*' --num_train_steps=10000 \\
        --num_warmup_steps=1000 --output_dir=/tmp/more

Evaluates the model of a run:

    python run_pretraining.py --do_eval --output_dir=/tmp/more \\
        --eval_input_file='/tmp/held_out.tfrecord*'

The input is what bert_tf.tools.create_pretraining_data writes. Without
--init_checkpoint training starts from random weights.
"""

from absl import flags

from bert_tf.programs import (
    bundled,
    defaults,
    flag_groups,
    flags_from,
    pretraining_flags,
    pretraining_teacher,
    program,
    training_flags,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.pretraining_flags import MODES

FLAGS = flags.FLAGS

with flag_groups.heading(flag_groups.DATA):
    flags.DEFINE_string(
        "input_file",
        None,
        "TFRecord files of create_pretraining_data, or patterns such as "
        "a/*.tfrecord, separated by commas. Only an evaluation of "
        "--eval_input_file does without.",
    )
with flag_groups.heading(flag_groups.WHAT):
    flags.DEFINE_bool("do_train", False, "Train on --input_file.")
    flags.DEFINE_bool(
        "do_eval", False, "Evaluate on --eval_input_file, or else --input_file."
    )
    # Not in the original.
with flag_groups.heading(flag_groups.DATA):
    flags.DEFINE_string(
        "eval_input_file",
        None,
        "TFRecord files to evaluate on, or patterns, separated by commas. Each "
        "record is evaluated once, unless --max_eval_steps is given. By "
        "default --input_file is read, again and again, as in the original.",
    )
shared_flags.define_model_flags()
with flag_groups.heading(flag_groups.TEXTS):
    shared_flags.define_count(
        "max_seq_length",
        128,
        "Length of the sequences: the --max_seq_length with which "
        "create_pretraining_data made the records.",
    )
    shared_flags.define_count(
        "max_predictions_per_seq",
        20,
        "Largest number of masked tokens in a sequence: the "
        "--max_predictions_per_seq with which create_pretraining_data made the "
        "records.",
    )
training_flags.define_training_flags(learning_rate=5e-5)
pretraining_teacher.define_flags()
training_flags.define_batch_size_flag("eval")
with flag_groups.heading(flag_groups.TRAINING):
    shared_flags.define_count(
        "num_train_steps", 100_000, "Number of the step at which training ends."
    )
    shared_flags.define_count(
        "num_warmup_steps",
        10_000,
        "Number of training steps in which the learning rate rises to "
        "--learning_rate.",
        lower_bound=0,
    )
with flag_groups.heading(flag_groups.EVALUATION):
    shared_flags.define_count(
        "max_eval_steps",
        pretraining_flags.MAX_EVAL_STEPS,
        "Largest number of batches of an evaluation. Without this flag, all of "
        "--eval_input_file is read.",
    )
training_flags.define_evaluation_flags(metric_for_best="loss")
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()
flags_from.define()


def main() -> None:
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    pretraining_flags.check_command(modes)
    defaults.from_earlier_run(("pretraining",), trains="train" in modes)
    bundled.use_model()
    pretraining_flags.check_flags(modes)
    # TensorFlow takes seconds to load: mistakes in flags are found before.
    from bert_tf.programs import pretraining_program

    pretraining_program.run(modes)


if __name__ == "__main__":
    program.run(main, required=pretraining_flags.REQUIRED, keeps_log=True)
