"""Flags that say in which form a model is exported. Not in the original."""

from absl import flags

from bert_tf.programs import flag_groups, program
from bert_tf.programs.flags import define_count

FLAGS = flags.FLAGS
# A mode: the dev set is read, so that the export of int8 is compared on it.
COMPARE = "compare"


@flag_groups.heading(flag_groups.EXPORT)
def define() -> None:
    """Defines the form of an exported model; see `flags.EXPORT_FLAGS`."""
    flags.DEFINE_enum(
        "export_precision",
        "float32",
        ["float32", "bfloat16"],
        "Type of number that the exported model computes with, and of its "
        "weights.",
    )
    flags.DEFINE_bool(
        "export_tflite",
        False,
        "Also write LiteRT (TensorFlow Lite) files next to the exported "
        "model: one of float32 and one of int8.",
    )
    flags.DEFINE_bool(
        "export_int8",
        False,
        "Also write the model with weights of int8 into the exported folder, "
        "for --engine=int8. Its answers are compared with those of float32 on "
        "the dev set, if the run evaluates, or on --calibration_file.",
    )
    flags.DEFINE_string(
        "calibration_file",
        None,
        "Texts on which the answers of int8 are compared, in a form that the "
        "tool predict reads.",
    )
    flags.DEFINE_bool(
        "allow_loss",
        False,
        "Write the int8 model even if less than 99 % of its answers are those "
        "of float32, or of questions less than 95 % of their words.",
    )
    flags.DEFINE_bool(
        "export_lengths",
        False,
        "Let the exported model also answer num_tokens, the length of the "
        "whole text in WordPieces, and truncated, whether it did not read all "
        "of it. The tools predict and serve have --with_lengths instead.",
    )
    # Accelerators want shapes to be fixed.
    define_count(
        "export_batch_size",
        None,
        "Rows of each request to the exported model. By default a request may "
        "have any number of rows.",
    )
    flags.DEFINE_bool(
        "export_pad_to_max_length",
        False,
        "Let the exported model pad all texts to --max_seq_length, instead of "
        "to the longest text of a request, and compute padding as tokens are "
        "computed.",
    )


def check() -> None:
    """Raises UserError if flags of an export contradict each other."""
    if not FLAGS.export_int8:
        program.refuse(
            "only with --export_int8", "calibration_file", "allow_loss"
        )
        return
    if FLAGS.calibration_file:
        program.require_existing("calibration_file")
    for name in ("export_batch_size", "export_pad_to_max_length"):
        program.refuse("not with --export_int8", name)
    if FLAGS.export_precision != "float32":
        program.refuse("not with --export_int8", "export_precision")
