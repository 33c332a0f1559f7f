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

import collections
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from absl import flags, logging

from bert_tf import choices, files
from bert_tf.counts import number_of
from bert_tf.data.tabular import text_rows
from bert_tf.data.tabular.text_rows import Format, Row
from bert_tf.data.tagged.sentences import WordColumns
from bert_tf.errors import UserError
from bert_tf.export import answer_words
from bert_tf.export.answer_files import (
    AnswerWriter,
    at_its_row,
    output_format,
)
from bert_tf.export.input_files import (
    STANDARD,
    InputFile,
    InputSettings,
    InputTable,
    ItemReader,
)
from bert_tf.programs import engine_flags, program, run_record
from bert_tf.programs import flags as shared_flags
from bert_tf.tools import beam_answers, beam_runner, row_work
from bert_tf.tools.shard_run import ShardRun

if TYPE_CHECKING:
    from bert_tf.export.kinds import Answer
    from bert_tf.export.predictor import Predictor

FLAGS = flags.FLAGS
REQUIRED = ("model", "input")
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

shared_flags.define_beam_flags()


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    paths = [STANDARD]
    if FLAGS.input != STANDARD:
        paths = program.existing_files("input")
    check_outputs(paths)
    # Loading TensorFlow takes seconds, and mistakes are found without it.
    from bert_tf.export.predictor import Predictor

    predictor = Predictor(FLAGS.model, **predictor_settings())
    settings = InputSettings(
        format=FLAGS.input_format,
        delimiter=FLAGS.delimiter,
        encoding=FLAGS.encoding,
        columns=recorded_columns(predictor),
    )
    reader = ItemReader(predictor, settings)
    if FLAGS.runner == "beam":
        answer_in_pipeline(reader, paths)
    elif not answers_words(predictor, paths):
        answer_here(reader, paths)


def predictor_settings() -> dict[str, Any]:
    """The arguments of `Predictor` that flags give."""
    return {"batch_size": FLAGS.batch_size, **engine_flags.settings()}


def check_outputs(paths: Sequence[str]) -> None:
    """Raises UserError if answers cannot be written as the flags ask.

    Args:
        paths: the input.
    """
    row_work.check_flags()
    if FLAGS.output != STANDARD:
        check_output(paths)
    for name in ("input", "output"):
        if FLAGS.runner == "beam" and FLAGS[name].value == STANDARD:
            why = "--runner=beam reads and writes files; name one"
            raise UserError(why, setting=name, value=STANDARD)


# ---------------------------------------------------------------------------
# On this machine.


def answer_here(reader: ItemReader, paths: Sequence[str]) -> None:
    """Answers files one after the other.

    Args:
        reader: reads them.
        paths: the files.
    """
    from bert_tf.training.progress import with_progress

    file, source = reader.first_file(paths)
    logging.info("%s: read as %s", file.path, source.name)
    target = target_format(reader, source)
    total = file.num_rows(source) if len(paths) == 1 else None
    start, number = time.monotonic(), 0
    with output() as writer:
        answer_writer = AnswerWriter(
            writer,
            target,
            reader.columns,
            header=source.header,
            delimiter=source.csv_delimiter,
            with_lengths=FLAGS.with_lengths,
        )
        answers = answers_of(reader, paths, file, source)
        for row, answer in with_progress(answers, total):
            answer_writer.write(row, answer)
            number += 1
        if not number:
            raise nothing_in(file)
    seconds = time.monotonic() - start
    where = "" if FLAGS.output == STANDARD else f"{FLAGS.output}: "
    answers_given = number_of(number, "answer")
    speed = number / seconds
    logging.info("%s%s, %.1f per second", where, answers_given, speed)


def nothing_in(file: InputFile) -> UserError:
    """The error of an input without a row.

    Args:
        file: of `first_file`.
    """
    nothing = "there is nothing to answer in it"
    why = "the file is empty" if file.is_empty else nothing
    return UserError(why, setting="input", value=FLAGS.input)


def answers_of(
    reader: ItemReader, paths: Sequence[str], first: InputFile, source: Format
) -> "Iterator[tuple[Row, Answer]]":
    """Yields the rows of files with their answers.

    Each file is batched for itself, as in a pipeline.

    Args:
        reader, paths: see `answer_here`.
        first, source: of `first_file`.
    """
    rows: collections.deque[Row] = collections.deque()

    def items(file: InputFile, its_source: Format) -> Iterator[object]:
        for row, item in reader.read(file, its_source):
            rows.append(row)
            yield item

    for file, its_source in reader.files(paths, first, source):
        number = 0
        try:
            for answer in reader.predictor.stream(items(file, its_source)):
                yield rows.popleft(), answer
                number += 1
        except ValueError as error:
            raise at_its_row(error, rows, number) from None


def word_columns(predictor: "Predictor") -> WordColumns | None:
    """The columns of an input of words; None if it surely has texts."""
    has_texts = FLAGS.input_format or is_given("text_column")
    if predictor.kind != "tags" or has_texts or FLAGS.input == STANDARD:
        return None
    return WordColumns(
        word_column=FLAGS.word_column,
        encoding=FLAGS.encoding,
        delimiter=FLAGS.delimiter,
    )


def answers_words(predictor: "Predictor", paths: Sequence[str]) -> bool:
    """Answers files with a word in each row; says whether they are such.

    Args:
        predictor: the model.
        paths: the files.
    """
    settings = word_columns(predictor)
    if settings is None or not all(map(files.is_regular, paths)):
        return False
    sentences = answer_words.read(paths[0], settings)
    if sentences is None:
        return False
    logging.info("%s: read as rows with a word each", FLAGS.input)
    target = wanted_format() or "conll"
    if target not in ("conll", "jsonl"):
        raise UserError(
            "not for words with tags; use jsonl, or leave it out for the rows "
            "with a column more",
            setting="output_format" if FLAGS.output_format else "output",
            value=FLAGS.output_format or FLAGS.output,
        )
    lines = answer_words.answered_lines(
        predictor, paths, sentences, settings, target
    )
    number = 0
    with output() as writer:
        for text in lines:
            writer.write(text)
            number += 1
    logging.info("%s", number_of(number, "answer"))
    return True


def is_given(name: str) -> bool:
    """Whether the command line has a flag."""
    return not FLAGS[name].using_default_value


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


# ---------------------------------------------------------------------------
# The input.


def recorded_columns(predictor: "Predictor") -> dict[str, Any]:
    """The columns that the model was trained on; flags that are given win.

    model.json has them. For the export of an earlier version, the record of
    the run around it does.
    """
    settings = choices.COLUMN_SETTINGS
    columns = dict(predictor.info.get("columns", {}))
    if not columns:
        run = os.path.dirname(predictor.folder.rstrip("/"))
        values = run_record.flags_of(run_record.read(run))
        columns = {n: values.get(flag) for n, flag in settings.items()}
    for name, flag in settings.items():
        if not FLAGS[flag].using_default_value:
            columns[name] = FLAGS[flag].value
    return {name: v for name, v in columns.items() if v is not None}


# ---------------------------------------------------------------------------
# In a pipeline.


def answer_in_pipeline(reader: ItemReader, paths: Sequence[str]) -> None:
    """Answers files in an Apache Beam pipeline.

    Args:
        reader, paths: see `answer_here`.
    """
    from bert_tf.serving.models import stamp_of

    beam_runner.check_installed()
    file, source = reader.first_file(paths)
    file.check_has_rows(source)
    words = word_columns(reader.predictor)
    beam_answers.check_holds_no_words(file, words)
    logging.info("%s: read as %s", file.path, source.name)
    target = target_format(reader, source)
    rows = (
        row
        for found in reader.files(paths, file, source)
        for row, _ in reader.read(*found)
    )
    row = next(rows, None)
    if row is None:
        raise nothing_in(file)
    names = AnswerWriter(sys.stdout, target, reader.columns).names_of(row)
    settings = beam_answers.settings_of_workers(
        reader.predictor, predictor_settings()
    )
    work = beam_answers.AnswerWork(
        model=FLAGS.model,
        predictor=settings,
        settings=reader.settings,
        table=InputTable(path=file.path, source=source, names=(*names,)),
        target=target,
        word_columns=words,
    )
    row_work.write_shards(
        work,
        beam_answers.AnswerWorker(work, reader.predictor),
        paths,
        ShardRun(FLAGS.output, "output"),
        {
            **row_work.flags_of_shards("model", "input", "output"),
            **settings,
            "model": stamp_of(reader.predictor.folder),
            "input": {path: files.stamp(path) for path in paths},
        },
        FLAGS.num_shards,
        FLAGS.beam_options,
    )


# ---------------------------------------------------------------------------
# The output.


def wanted_format() -> str | None:
    """The format that a flag, or the name of the output, asks for."""
    if FLAGS.output_format:
        return FLAGS.output_format
    ending = os.path.splitext(FLAGS.output)[1].lower()
    return text_rows.ENDINGS.get(ending)


def target_format(reader: ItemReader, source: Format) -> str:
    """The format of the answers.

    Args:
        reader: of the input.
        source: how the input is written.
    """
    return output_format(reader.columns.kind, wanted_format(), source)


@contextlib.contextmanager
def output() -> Iterator[IO[str]]:
    """Gives a writer of the output; a file is written whole or not at all."""
    if FLAGS.output == STANDARD:
        yield sys.stdout
        return
    files.make_folder_of(FLAGS.output)
    with files.writing_text(FLAGS.output) as writer:
        yield writer


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
