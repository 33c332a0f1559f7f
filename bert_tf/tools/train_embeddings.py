"""Trains a model to give vectors of texts that can be compared.

    python -m bert_tf.tools.train_embeddings --do_train --do_eval \\
        --train_file=train.tsv --dev_file=dev.tsv \\
        --pretrained=bert-base-uncased --output_dir=/tmp/vectors

The vectors of texts that mean the same get a cosine near 1. A training file
has one of these in its rows, which its columns say, or --train_on:

    anchor, positive             pairs of texts that mean the same
    anchor, positive, negative   and texts that do not
    sentence1, sentence2, score  pairs, and how alike they are
    text, label                  texts whose label says which are alike
    text                         texts alone: two dropout masks make a pair

--dev_file has scored pairs to evaluate on, and --retrieval_dir searches in the
layout of BEIR. The folder of the run is a model for --pretrained of other
tools, and --do_export writes a SavedModel:

    python -m bert_tf.tools.train_embeddings --do_export \\
        --output_dir=/tmp/vectors --dimension=96
"""

from absl import flags

from bert_tf.programs import (
    bundled,
    defaults,
    embedding_flags,
    export_flags,
    flag_groups,
    flags_from,
    program,
    run_plan,
    training_flags,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.embedding_flags import MODES

FLAGS = flags.FLAGS

with flag_groups.heading(flag_groups.WHAT):
    flags.DEFINE_bool("do_train", False, "Train on --train_file.")
    flags.DEFINE_bool(
        "do_eval", False, "Evaluate on --dev_file and --retrieval_dir."
    )
    flags.DEFINE_bool(
        "do_export",
        False,
        "Write a SavedModel, which takes raw text, to --output_dir/export.",
    )
embedding_flags.define_data_flags()
shared_flags.define_model_flags()
shared_flags.define_vocab_flags()
shared_flags.define_pooling_flags(layer="-1", normalize=True)
embedding_flags.define_length_flags()
embedding_flags.define_loss_flags()
training_flags.define_training_flags()
training_flags.define_fine_tuning_flags()
training_flags.define_batch_size_flag("eval")
training_flags.define_evaluation_flags(metric_for_best=None)
export_flags.define()
training_flags.define_distribution_flags()
training_flags.define_tpu_flags()
run_plan.define_flags()
flags_from.define()


def main() -> None:
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    embedding_flags.check_command(modes)
    defaults.from_earlier_run(("embeddings",), trains="train" in modes)
    bundled.use_model()
    run_plan.check(modes, lambda: embedding_flags.check_flags(modes))
    # TensorFlow takes seconds to load: mistakes in flags are found before.
    from bert_tf.programs import embedding_program

    embedding_program.run(modes)


if __name__ == "__main__":
    program.run(main, required=embedding_flags.REQUIRED, keeps_log=True)
