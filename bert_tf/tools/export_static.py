"""Exports an encoder as a table: a vector for each WordPiece, and no network.

    python -m bert_tf.tools.export_static --export_dir=/tmp/static \\
        --pretrained=/tmp/vectors --pooling_layer=-1 --corpus='texts/*.txt'

The exported model makes the vector of a text from those of its pieces, at the
speed of the tokenizer. It is a SavedModel as those of export_model: Predictor,
the server and TensorFlow Serving answer with it. --corpus has texts such as
the model will read: frequent pieces count for less.

    python -m bert_tf.tools.export_static --export_dir=/tmp/fast_labels \\
        --train_file=tickets.csv --dev_file=dev.csv --pretrained=/tmp/vectors

This exports a classifier: a logistic regression on such vectors.
"""

from absl import flags

from bert_tf.errors import UserError
from bert_tf.programs import bundled, flag_groups, program
from bert_tf.programs import flags as shared_flags
from bert_tf.text.packing import MIN_SEQ_LENGTH

FLAGS = flags.FLAGS
REQUIRED = ("export_dir",)
LABEL_FLAGS = ("dev_file", "text_column", "label_column")

flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of the SavedModel; a SavedModel that is there is replaced.",
)
shared_flags.define_network_flags()
shared_flags.define_vocab_flags()
with flag_groups.heading(flag_groups.TEXTS):
    shared_flags.define_count(
        "max_seq_length",
        512,
        "Longest text in WordPieces, [CLS] and [SEP] included; longer ones "
        "are truncated. It may be longer than what the encoder reads.",
        lower_bound=MIN_SEQ_LENGTH,
    )
with flag_groups.heading(flag_groups.MODEL):
    shared_flags.define_count(
        "num_components",
        None,
        "Components of a vector: the principal components of the pieces' "
        "vectors. By default 256, or those of the encoder if it has fewer. "
        "--dimension is another number: it says how many components of the "
        "encoder's vectors are read.",
    )
    flags.DEFINE_string(
        "corpus",
        None,
        "Text files, or patterns such as a/*.txt, separated by commas, in "
        "which the WordPieces are counted. Without it the order of the "
        "vocabulary says which are frequent.",
    )
    shared_flags.define_float(
        "sif_coefficient",
        None,
        "The weight of a piece is a / (a + its share of all pieces), and this "
        "is a. By default 0.001 with --corpus, and 0.00001 without.",
        lower_bound=1e-12,
    )
shared_flags.define_pooling_flags()
with flag_groups.heading(flag_groups.DATA):
    flags.DEFINE_string(
        "train_file",
        None,
        "Labelled texts, a CSV, TSV or JSON lines file: the exported model "
        "then gives labels, not vectors.",
    )
    flags.DEFINE_string(
        "dev_file", None, "Labelled texts on which the labels are scored."
    )
    flags.DEFINE_string("text_column", "text", "Column of the text.")
    flags.DEFINE_string("label_column", "label", "Column of the label.")
with flag_groups.heading(flag_groups.EXPORT):
    flags.DEFINE_bool(
        "export_tflite",
        False,
        "Also write LiteRT (TensorFlow Lite) files next to the exported "
        "model: one of float32 and one of int8.",
    )


def main() -> None:
    program.require(*REQUIRED)
    check_flags()
    bundled.use_model(needs_checkpoint=True)
    program.check_folder("export_dir")
    # TensorFlow takes seconds to load: mistakes in flags are found before.
    from bert_tf.programs import static_program

    static_program.export()


def check_flags() -> None:
    """Raises UserError for flags that contradict each other."""
    if FLAGS.pooling == "none":
        raise UserError(
            "the vector of a piece is needed, not one for each token",
            setting="pooling",
            value="none",
        )
    program.refuse("the vectors have length 1 anyway", "normalize")
    if FLAGS.train_file is None:
        program.refuse("only with --train_file", *LABEL_FLAGS)
    for name in ("train_file", "dev_file"):
        if program.value_of(name):
            program.require_existing(name)
    if FLAGS.corpus:
        program.matching_files("corpus")


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
