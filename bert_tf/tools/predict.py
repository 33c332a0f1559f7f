"""Answers a file of texts with an exported model.

    python -m bert_tf.tools.predict --model=/tmp/tickets \\
        --input=new.csv --output=answers.csv

--model is the folder of an exported model, or of a run that has one.

The input is a CSV or TSV file, JSON objects (on lines, in a list or as
columns), a book of Excel, a Parquet or Arrow file, fastText's lines, or lines
of text; its content and its name say which, and it may be compressed. A table
has the columns that the model was trained on. A line may hold a pair,
`a ||| b`. A JSON object has the model's inputs: {"text": "…"}, {"question":
"…", "context": "…"}, {"text": "…", "endings": ["…", "…"]}.

The output has the input's columns and the answer's, such as label and score,
row by row, in the input's order and format; for lines of text it has a JSON
object each, with all that `Predictor` answers.

For a model of tags the input may also have a word in each row, as CoNLL's files
do; the output then has these rows and a column more.

Without --output answers go to standard output; `--input=-` reads standard
input. Files may have any size. A pattern, such as --input='part-*.csv', names
several, which are answered one after the other. --runner=beam answers them on
many machines, and writes --num_shards files.
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf import choices
from bert_tf.errors import UserError
from bert_tf.programs import beam_flags, engine_flags, program
from bert_tf.programs import flags as shared_flags
from bert_tf.tools import beam_runner, row_shards

FLAGS = flags.FLAGS
REQUIRED = ("model", "input")
STANDARD = "-"  # Standard input and output.
NOT_WRITTEN = (
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".xlsx", ".xls", ".ods"),
    *(".parquet", ".feather", ".arrow", ".orc"),
)

flags.DEFINE_string(
    "model", None, "Folder of an exported model, or of a run that has one."
)
flags.DEFINE_string(
    "input",
    None,
    "File with texts: CSV, TSV, JSON lines or lines of text; or a pattern for "
    "several, such as 'part-*.csv', which are answered one after the other. A "
    "single - is standard input.",
)
flags.DEFINE_enum(
    "input_format",
    None,
    choices.INPUT_FORMATS,
    "How --input is written. By default its content and name decide.",
)
flags.DEFINE_string(
    "output", STANDARD, "File for the answers; - is standard output."
)
flags.DEFINE_enum(
    "output_format",
    None,
    choices.OUTPUT_FORMATS,
    "How answers are written. By default as the name of --output says, or as "
    "--input is; lines of text are answered by JSON lines.",
)
shared_flags.define_count(
    "batch_size",
    choices.BATCH_SIZE,
    "Number of texts that the model reads together, if it was exported by an "
    "earlier version or with inputs of fixed sizes.",
)
engine_flags.define()
shared_flags.define_table_flags()
flags.DEFINE_string(
    "word_column",
    None,
    "For a model of tags, the column of the words in a file with a word in "
    "each row: a number from 1, or a name. By default what the file shows.",
)

beam_flags.define_beam_flags()


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    paths = [STANDARD]
    if FLAGS.input != STANDARD:
        paths = program.existing_files("input")
    check_outputs(paths)
    # Loading TensorFlow takes seconds, and mistakes are found without it.
    from bert_tf.tools import predict_run

    predict_run.run(paths)


def check_outputs(paths: Sequence[str]) -> None:
    """Raises UserError if answers cannot be written as the flags ask.

    Args:
        paths: the input.
    """
    row_shards.check_flags()
    if FLAGS.output != STANDARD:
        check_output(paths)
    for name in ("input", "output"):
        if FLAGS.runner == "beam" and FLAGS[name].value == STANDARD:
            why = "--runner=beam reads and writes files; name one"
            raise UserError(why, setting=name, value=STANDARD)
    beam_runner.check_installed()


def check_output(paths: Sequence[str]) -> None:
    """Raises UserError if answers cannot be written to --output.

    Args:
        paths: the input.
    """
    program.check_output("output", FLAGS.output, paths)
    ending = os.path.splitext(FLAGS.output)[1].lower()
    if ending in NOT_WRITTEN:
        raise UserError(
            f"answers are not written as {ending}; name a .csv, .tsv or "
            ".jsonl file",
            setting="output",
            value=FLAGS.output,
        )


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
