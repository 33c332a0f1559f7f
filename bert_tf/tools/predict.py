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
input. Files may have any size.
"""

import collections
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from absl import flags, logging

from bert_tf import choices, files
from bert_tf.counts import number_of
from bert_tf.data.squad.questions import question_rows
from bert_tf.data.tabular import file_shape, text_rows
from bert_tf.data.tabular.text_rows import Row
from bert_tf.errors import UserError
from bert_tf.file_contents import Content, content_of, with_line_ends
from bert_tf.file_formats import HEAD_BYTES, Kind
from bert_tf.programs import engine_flags, program, run_record
from bert_tf.programs import flags as shared_flags

if TYPE_CHECKING:
    from bert_tf.export.answer_files import ModelColumns
    from bert_tf.export.predictor import Predictor

FLAGS = flags.FLAGS
REQUIRED = ("model", "input")
STANDARD = "-"
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
    "File with texts: CSV, TSV, JSON lines or lines of text. A single - is "
    "standard input.",
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


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    if FLAGS.input != STANDARD:
        program.require_existing("input")
    if FLAGS.output != STANDARD:
        check_output()
    # Loading TensorFlow takes seconds, and mistakes are found without it.
    from bert_tf.export import answer_files
    from bert_tf.export.predictor import Predictor
    from bert_tf.training.progress import with_progress

    predictor = Predictor(
        FLAGS.model, FLAGS.batch_size, **engine_flags.settings()
    )
    recorded = recorded_columns(predictor)
    columns = answer_files.model_columns(
        predictor.kind, predictor.input_names, recorded
    )
    if predictor.kind == "tags" and answers_words(predictor):
        return
    input_file = InputFile(FLAGS.input)
    head = input_file.head()
    source = input_format(head, columns, recorded, input_file.kind)
    logging.info("%s: read as %s", FLAGS.input, source.name)
    target = answer_files.output_format(columns.kind, wanted_format(), source)
    start, number = time.monotonic(), 0
    rows: collections.deque[Row] = collections.deque()
    with output() as writer:
        answer_writer = answer_files.AnswerWriter(
            writer,
            target,
            columns,
            header=source.header,
            delimiter=source.csv_delimiter,
        )
        answers = predictor.stream(
            items(input_file, predictor, columns, source, rows)
        )
        for answer in with_progress(answers, num_rows(input_file, source)):
            answer_writer.write(rows.popleft(), answer)
            number += 1
        if not number:
            why = "there is nothing to answer in it"
            raise UserError(
                why if head.strip() else "the file is empty",
                setting="input",
                value=FLAGS.input,
            )
    seconds = time.monotonic() - start
    where = "" if FLAGS.output == STANDARD else f"{FLAGS.output}: "
    answers_given = number_of(number, "answer")
    speed = number / seconds
    logging.info("%s%s, %.1f per second", where, answers_given, speed)


def answers_words(predictor: "Predictor") -> bool:
    """Answers a file with a word in each row; says whether it is one."""
    from bert_tf.data.tagged.sentences import WordColumns
    from bert_tf.export import answer_words

    if FLAGS.input == STANDARD or not files.is_regular(FLAGS.input):
        return False
    if FLAGS.input_format or is_given("text_column"):
        return False
    settings = WordColumns(
        word_column=FLAGS.word_column,
        encoding=FLAGS.encoding,
        delimiter=FLAGS.delimiter,
    )
    sentences = answer_words.read(FLAGS.input, settings)
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
    answers = predictor.stream(map(answer_words.item_of, sentences))
    with output() as writer:
        for sentence, answer in zip(sentences, answers, strict=True):
            writer.write(
                answer_words.lines_of(sentence, answer, target, predictor.info)
            )
    logging.info("%s", number_of(len(sentences), "answer"))
    return True


def is_given(name: str) -> bool:
    """Whether the command line has a flag."""
    return not FLAGS[name].using_default_value


def check_output() -> None:
    """Raises UserError if answers cannot be written to --output."""
    program.check_output("output", FLAGS.output, [FLAGS.input])
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


def input_format(
    head: str,
    columns: "ModelColumns",
    recorded: dict[str, Any],
    kind: Kind | None = None,
) -> text_rows.Format:
    """How the input is written.

    Args:
        head: its first lines.
        columns: the model's columns.
        recorded: of `recorded_columns`.
        kind: of an input that does not hold text.
    """
    delimiter = recorded.get("delimiter")
    settings = {
        name: recorded[name]
        for name in ("header", "encoding")
        if name in recorded
    }
    if FLAGS.input_format:
        return text_rows.Format(
            name=FLAGS.input_format, delimiter=delimiter, **settings
        )
    found = text_rows.detect_format(
        FLAGS.input,
        head,
        columns.names,
        delimiter=FLAGS.delimiter,
        kind=kind,
    )
    if not found.has_columns:
        return found
    if kind is not None and kind.role == "table":
        header = settings.get("header", True)
        return text_rows.Format(name=found.name, header=header)
    return text_rows.Format(
        name=found.name, delimiter=found.delimiter or delimiter, **settings
    )


class InputFile:
    """The input, whose start is read before all of it.

    Standard input and pipes are opened once, because they can be read once.

    Attributes:
        path: the value of --input.
        is_stream: whether it can be read only once.
        kind: of an input that does not hold text.
        is_json_on_lines: whether each of its lines is a JSON object.
    """

    def __init__(self, path: str):
        self.path = path
        self.is_stream = path == STANDARD or not files.is_regular(path)
        self.kind: Kind | None = None
        self.is_json_on_lines = False
        self._content = self._opened() if self.is_stream else None

    def _opened(self) -> Content:
        stream = sys.stdin.buffer
        if self.path != STANDARD:
            stream = open(self.path, "rb")
        return content_of(stream, self.path, self._encoding())

    def _encoding(self) -> str | None:
        """The encoding of the input, if it is surely none of UTF-8."""
        encoding = FLAGS.encoding
        return None if encoding == FLAGS["encoding"].default else encoding

    def head(self) -> str:
        """The first lines, with a mark for bytes of no text."""
        with self.reading(self.path) as content:
            self.kind = content.kind
            head = content.reader.peek(HEAD_BYTES)[:HEAD_BYTES]
            if not (self.kind and self.kind.role == "table"):
                content.check_text()
        text = head.decode("utf-8", "replace")
        text += "" if len(head) == HEAD_BYTES else "\n"
        shape = file_shape.shape_of(text)
        self.is_json_on_lines = shape.name == "json_lines"
        return text

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[Content]:
        """Gives the content, at the start."""
        if self._content is not None:
            yield self._content
            return
        with files.looking(path, self._encoding()) as content:
            yield content


def num_rows(input_file: InputFile, source: text_rows.Format) -> int | None:
    """Counts the rows of the input; None if they cannot be counted."""
    if input_file.is_stream or input_file.kind or source.name == "csv":
        return None  # A cell of CSV may hold line ends.
    if source.name == "jsonl" and not input_file.is_json_on_lines:
        return None
    with files.reading(input_file.path) as reader:
        number = sum(1 for _ in with_line_ends(reader))
    return number - (source.name == "tsv" and source.header)


def items(
    input_file: InputFile,
    predictor: "Predictor",
    columns: "ModelColumns",
    source: text_rows.Format,
    rows: "collections.deque[Row]",
) -> Iterator[object]:
    """Yields the items of the input, as `Predictor` takes them.

    Args:
        input_file: the input.
        predictor: the model.
        columns: its columns.
        source: the format of the input.
        rows: the rows of the items are added to it.

    Raises:
        UserError: a row is not an item that the model reads.
    """
    is_first = True
    table = text_rows.read_rows(
        input_file.path, source, input_file.reading, columns.names
    )
    if predictor.kind == "question_answering":
        table = question_rows(table)
    for row in table:
        if is_first and source.has_columns:
            columns.check_columns(row)
        is_first = False
        item = columns.item_of(row)
        try:
            predictor.check(item)
        except ValueError as error:
            raise UserError(f"{row.place}: {error}") from None
        rows.append(row)
        yield item


# ---------------------------------------------------------------------------
# The output.


def wanted_format() -> str | None:
    """The format that a flag, or the name of the output, asks for."""
    if FLAGS.output_format:
        return FLAGS.output_format
    ending = os.path.splitext(FLAGS.output)[1].lower()
    return text_rows.ENDINGS.get(ending)


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
