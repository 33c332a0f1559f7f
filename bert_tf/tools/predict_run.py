"""A run of the tool predict, after its flags are checked."""

import collections
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from absl import flags

from bert_tf import choices, files
from bert_tf.counts import number_of
from bert_tf.data.tabular import text_rows
from bert_tf.data.tabular.text_rows import Format, Row
from bert_tf.data.tagged.sentences import WordColumns
from bert_tf.errors import UserError
from bert_tf.export import answer_words
from bert_tf.export.answer_files import AnswerWriter, at_its_row, output_format
from bert_tf.export.input_files import (
    STANDARD,
    InputFile,
    InputSettings,
    InputTable,
    ItemReader,
)
from bert_tf.export.kinds import Answer
from bert_tf.export.predictor import Predictor
from bert_tf.programs import console, defaults, engine_flags, run_record
from bert_tf.progress import with_progress, working
from bert_tf.serving.models import stamp_of
from bert_tf.tools import beam_answers, row_shards
from bert_tf.tools.shard_run import ShardRun

FLAGS = flags.FLAGS


def run(paths: Sequence[str]) -> None:
    """Answers the files of --input, as the flags ask.

    Args:
        paths: the files; `STANDARD` alone is standard input.
    """
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


# ---------------------------------------------------------------------------
# On this machine.


def answer_here(reader: ItemReader, paths: Sequence[str]) -> None:
    """Answers files one after the other.

    Args:
        reader: reads them.
        paths: the files.
    """
    file, source = reader.first_file(paths)
    console.show("Input", f"{file.path}, read as {source.name}")
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
    show_answers(number, f", {number / seconds:.1f} per second")


def show_answers(number: int, speed: str = "") -> None:
    """Shows how many answers were written, and where."""
    where = "" if FLAGS.output == STANDARD else f"{FLAGS.output}: "
    console.show("Written", f"{where}{number_of(number, 'answer')}{speed}")


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
) -> Iterator[tuple[Row, Answer]]:
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


def word_columns(predictor: Predictor) -> WordColumns | None:
    """The columns of an input of words; None if it surely has texts."""
    has_texts = FLAGS.input_format or defaults.is_given("text_column")
    if predictor.kind != "tags" or has_texts or FLAGS.input == STANDARD:
        return None
    return WordColumns(
        word_column=FLAGS.word_column,
        encoding=FLAGS.encoding,
        delimiter=FLAGS.delimiter,
    )


def answers_words(predictor: Predictor, paths: Sequence[str]) -> bool:
    """Answers files with a word in each row; says whether they are such.

    Args:
        predictor: the model.
        paths: the files.
    """
    settings = word_columns(predictor)
    if settings is None or not all(map(files.is_regular, paths)):
        return False
    with working("Reading"):
        sentences = answer_words.read(paths[0], settings)
    if sentences is None:
        return False
    console.show("Input", f"{FLAGS.input}, read as rows with a word each")
    target = wanted_format() or "conll"
    if target not in ("conll", "jsonl"):
        raise UserError(
            "not for words with tags; use jsonl, or leave it out for the rows "
            "with a column more",
            setting="output_format" if FLAGS.output_format else "output",
            value=FLAGS.output_format or FLAGS.output,
        )
    if FLAGS.with_lengths and target == "conll":
        raise UserError(
            "rows with a word each have no place for them; use "
            "--output_format=jsonl",
            setting="with_lengths",
            value=True,
        )
    lines = answer_words.answered_lines(
        predictor, paths, sentences, settings, target
    )
    number = 0
    with output() as writer:
        total = len(sentences) if len(paths) == 1 else None
        for text in with_progress(lines, total, "sentences"):
            writer.write(text)
            number += 1
    show_answers(number)
    return True


# ---------------------------------------------------------------------------
# The input.


def recorded_columns(predictor: Predictor) -> dict[str, Any]:
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
        if defaults.is_given(flag):
            columns[name] = FLAGS[flag].value
    return {name: v for name, v in columns.items() if v is not None}


# ---------------------------------------------------------------------------
# In a pipeline.


def answer_in_pipeline(reader: ItemReader, paths: Sequence[str]) -> None:
    """Answers files in an Apache Beam pipeline.

    Args:
        reader, paths: see `answer_here`.
    """
    file, source = reader.first_file(paths)
    file.check_has_rows(source)
    words = word_columns(reader.predictor)
    beam_answers.check_holds_no_words(file, words)
    console.show("Input", f"{file.path}, read as {source.name}")
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
    row_shards.write_shards(
        work,
        beam_answers.AnswerWorker(work, reader.predictor),
        paths,
        ShardRun(FLAGS.output, "output"),
        {
            **row_shards.flags_of_shards("model", "input", "output"),
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
