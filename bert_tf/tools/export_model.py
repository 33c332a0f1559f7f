"""Exports a model as a SavedModel that takes raw text.

    python -m bert_tf.tools.export_model --output_dir=/tmp/sms \\
        --export_dir=/tmp/sms_model

This exports a run of run_classifier.py or run_squad.py, as its own flag
--do_export does. The folder contains the run's settings. The best checkpoint is
exported if the training kept one, otherwise the newest.

    python -m bert_tf.tools.export_model --export_dir=/tmp/encoder \\
        --pretrained=bert-base-uncased --pooling=mean

This exports an encoder, which turns each text into a vector. Without
--pretrained it is the bundled one.

    python -m bert_tf.tools.export_model --export_dir=/tmp/reviews_model \\
        --pretrained=/tmp/reviews_of_transformers

This exports a model that was fine-tuned, here or by another library, with its
head and its labels. With --pooling it exports its encoder.
"""

from absl import flags

from bert_tf.errors import UserError
from bert_tf.programs import bundled, defaults, export_flags, program
from bert_tf.programs import flags as shared_flags
from bert_tf.text.packing import MIN_SEQ_LENGTH

FLAGS = flags.FLAGS
REQUIRED = ("export_dir",)

flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of the SavedModel; a SavedModel that is there is replaced.",
)
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the run to export: --output_dir of its program. Without it an "
    "encoder is exported.",
)
shared_flags.define_network_flags()
shared_flags.define_vocab_flags()
shared_flags.define_count(
    "max_seq_length",
    128,
    "Longest sequence of an encoder in WordPieces, [CLS] and [SEP] included. "
    "A run has its own.",
    lower_bound=MIN_SEQ_LENGTH,
)
flags.DEFINE_bool(
    "takes_pairs",
    False,
    "Whether the texts of a fine-tuned model of --pretrained are pairs. A run "
    "says it itself.",
)
export_flags.define()
shared_flags.define_pooling_flags()


def main() -> None:
    program.require(*REQUIRED)
    if FLAGS.output_dir is None:
        bundled.use_model(needs_checkpoint=True)
        defaults.fit_length()
    else:
        program.require_existing("output_dir", folder=True)
        if FLAGS.init_checkpoint:
            raise UserError(
                "not with `output_dir`",
                setting="init_checkpoint",
                value=FLAGS.init_checkpoint,
            )
    program.check_folder("export_dir")
    export_flags.check()
    # TensorFlow takes seconds to load: mistakes in flags are found before.
    from bert_tf.programs import export_program

    export_program.export()


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
