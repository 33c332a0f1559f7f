"""Answers a file of texts with an exported model.

    python -m bert_tf.tools.predict --model=/tmp/sms/export \\
        --input=texts.txt --output=answers.jsonl

A line of the input is a text, and `a ||| b` is a pair of texts. If the file's
name ends in .jsonl or .jsonl.gz, a line is an object with the model's inputs:
{"text": "…"}, {"question": "…", "context": "…"}, {"text": "…", "endings": ["…",
"…"]}. The output has a line for each of them, in their order: a JSON object,
the answer of `Predictor`, or, with --output_format=tsv, its values separated by
tabs.

Without --output answers go to standard output; `--input=-` reads lines of
standard input. Files may have any size.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from absl import flags, logging

from bert_tf import choices, files
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program
from bert_tf.text.packing import split_pair

if TYPE_CHECKING:
    from bert_tf.export.predictor import Predictor

FLAGS = flags.FLAGS
REQUIRED = ("model", "input")
STANDARD = "-"

flags.DEFINE_string("model", None, "Folder of the exported model.")
flags.DEFINE_string(
    "input", None, "File of texts, one on each line; - is standard input."
)
flags.DEFINE_string(
    "output", STANDARD, "File for the answers; - is standard output."
)
flags.DEFINE_enum(
    "output_format",
    "jsonl",
    ["jsonl", "tsv"],
    "Form of the answers: a JSON object on each line, or a header and values "
    "separated by tabs.",
)
shared_flags.define_count(
    "batch_size",
    choices.BATCH_SIZE,
    "Number of texts that the model reads together.",
)


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    if FLAGS.input != STANDARD:
        program.require_existing("input")
    if FLAGS.output != STANDARD:
        program.check_output("output", FLAGS.output, [FLAGS.input])
    from bert_tf.export.kinds import KINDS
    from bert_tf.export.predictor import Predictor
    from bert_tf.training.progress import with_progress

    predictor = Predictor(FLAGS.model, FLAGS.batch_size)
    text_of = answer_writer(predictor)
    start = time.monotonic()
    number = 0
    with output() as writer:
        if FLAGS.output_format == "tsv":
            columns = KINDS[predictor.kind].tsv_columns
            writer.write("\t".join(columns) + "\n")
        answers = with_progress(predictor.stream(items(predictor)), num_lines())
        for answer in answers:
            writer.write(text_of(answer))
            number += 1
    seconds = time.monotonic() - start
    logging.info("%d answers, %.1f per second", number, number / seconds)


def answer_writer(predictor: "Predictor") -> Callable[[dict[str, Any]], str]:
    """Returns the function that turns an answer into a line."""
    if FLAGS.output_format == "jsonl":
        return as_json
    from bert_tf.export.kinds import KINDS

    names = KINDS[predictor.kind].tsv_columns
    if not names:
        raise UserError(
            f"not for {predictor.kind}, whose answers are lists; use jsonl",
            setting="output_format",
            value="tsv",
        )
    return lambda answer: as_tsv(answer, names)


def as_json(answer: dict[str, Any]) -> str:
    """Returns an answer as a JSON line."""
    text = json.dumps(answer, ensure_ascii=False, default=np.ndarray.tolist)
    return f"{text}\n"


def as_tsv(answer: dict[str, Any], names: Sequence[str]) -> str:
    """Returns some values of an answer as a TSV line."""

    def cell(value: object) -> str:
        if isinstance(value, list):
            value = ",".join(value)
        return " ".join(str(value).split())

    return "\t".join(cell(answer[name]) for name in names) + "\n"


@contextlib.contextmanager
def output() -> Iterator[IO[str]]:
    """Gives a writer of the output; a file is written whole or not at all."""
    if FLAGS.output == STANDARD:
        yield sys.stdout
        return
    files.make_folder_of(FLAGS.output)
    with files.writing_text(FLAGS.output) as writer:
        yield writer


def lines() -> Iterator[tuple[int, str]]:
    """Yields the lines of the input with their numbers."""
    if FLAGS.input != STANDARD:
        yield from files.read_lines(FLAGS.input)
        return
    yield from files.decode_lines(sys.stdin.buffer, "standard input")


def num_lines() -> int | None:
    """Counts the lines of the input, or returns None if it is a stream."""
    if FLAGS.input == STANDARD or not files.is_regular(FLAGS.input):
        return None
    number = sum(1 for _ in files.read_lines(FLAGS.input))
    if not number:
        raise UserError("the file is empty", setting="input", value=FLAGS.input)
    return number


def items(predictor: "Predictor") -> Iterator[object]:
    """Yields the items of the input, as `Predictor` takes them.

    Raises:
        UserError: a line is not an item that the model reads.
    """
    read = from_json if files.is_json_lines(FLAGS.input) else from_text
    for number, line in lines():
        place = f"{FLAGS.input}:{number}"
        item = read(predictor, line, place)
        try:
            predictor.check(item)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        yield item


def from_json(predictor: "Predictor", line: str, place: str) -> dict[str, Any]:
    """Reads an item from a JSON line."""
    from bert_tf.export.kinds import KINDS

    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise UserError(
            f"{place}: not a JSON object with "
            + " and ".join(predictor.input_names)
        )
    try:
        item = KINDS[predictor.kind].to_inputs(item)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None
    # Other values, such as an id, are not for the model.
    return {n: item[n] for n in predictor.input_names if n in item}


def from_text(
    predictor: "Predictor", line: str, place: str
) -> str | tuple[str, str]:
    """Reads a text or a pair of texts from a line."""
    from bert_tf.export.kinds import KINDS

    if len(predictor.input_names) == 1:
        return line
    lists = [e.name for e in KINDS[predictor.kind].inputs if e.is_list]
    if lists:
        raise UserError(f"{place}: texts with {lists[0]} must be a .jsonl file")
    text, second = split_pair(line)
    # A single text is a pair with an empty second text.
    return (text, second or "")


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
