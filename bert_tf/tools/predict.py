"""Answers a file of texts with an exported model.

    python -m bert_tf.tools.predict --model=/tmp/sms/export \\
        --input=texts.txt --output=answers.jsonl

A line of the input is a text, and `a ||| b` a pair. Where the name ends in
.jsonl or .jsonl.gz it is an object with the model's inputs: {"text": "…"},
{"question": "…", "context": "…"}, {"text": "…", "endings": ["…", "…"]}. The
output has a line for each of them, in their order: a JSON object as
`Predictor` tells it, or, with --output_format=tsv, its values between tabs.

Without --output answers go to standard output; `--input=-` reads lines of
standard input. Files of any size pass through.
"""

import contextlib
import json
import sys
import time

import numpy as np
from absl import flags, logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.export.predictor import BATCH_SIZE, Predictor
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program
from bert_tf.text.packing import split_pair
from bert_tf.training.progress import counted

FLAGS = flags.FLAGS
STANDARD = "-"
# Values of a kind's answers in a line of TSV.
TSV_COLUMNS = {
    "single_label": ("label", "score"),
    "multi_label": ("labels",),
    "regression": ("prediction",),
    "multiple_choice": ("label", "score"),
    "question_answering": ("answer", "score", "start", "end"),
}

flags.DEFINE_string("model", None, "Folder of the exported model.")
flags.DEFINE_string("input", None, "Texts, one a line; - is standard input.")
flags.DEFINE_string("output", STANDARD, "The answers; - is standard output.")
flags.DEFINE_enum(
    "output_format",
    "jsonl",
    ["jsonl", "tsv"],
    "An object a line, or a header and values between tabs.",
)
shared_flags.define_count(
    "batch_size", BATCH_SIZE, "Texts that the model reads together."
)


def main():
    program.require("model", "input")
    program.require_existing("model", folder=True)
    if FLAGS.input != STANDARD:
        program.require_existing("input")
    if FLAGS.output != STANDARD:
        program.check_output("output", FLAGS.output, [FLAGS.input])
    predictor = Predictor(FLAGS.model, FLAGS.batch_size)
    text_of = answer_writer(predictor)
    start = time.monotonic()
    number = 0
    with output() as writer:
        if FLAGS.output_format == "tsv":
            writer.write("\t".join(TSV_COLUMNS[predictor.kind]) + "\n")
        answers = counted(predictor.stream(items(predictor)), num_lines())
        for answer in answers:
            writer.write(text_of(answer))
            number += 1
    seconds = time.monotonic() - start
    logging.info("%d answers, %.1f a second", number, number / seconds)


def answer_writer(predictor):
    """The function that makes a line of an answer."""
    if FLAGS.output_format == "jsonl":
        return as_json
    names = TSV_COLUMNS.get(predictor.kind)
    if names is None:
        raise UserError(
            f"--output_format=tsv: not for {predictor.kind}, whose answers "
            "are lists; jsonl takes them"
        )
    return lambda answer: as_tsv(answer, names)


def as_json(answer: dict) -> str:
    text = json.dumps(answer, ensure_ascii=False, default=np.ndarray.tolist)
    return f"{text}\n"


def as_tsv(answer: dict, names) -> str:
    def cell(value):
        if isinstance(value, list):
            value = ",".join(value)
        return " ".join(str(value).split())

    return "\t".join(cell(answer[name]) for name in names) + "\n"


@contextlib.contextmanager
def output():
    """Gives a writer; a file is whole, or not there."""
    if FLAGS.output == STANDARD:
        yield sys.stdout
        return
    files.make_folder_of(FLAGS.output)
    with files.writing_text(FLAGS.output) as writer:
        yield writer


def lines():
    """Yields (number, line) of the input."""
    if FLAGS.input != STANDARD:
        yield from files.read_lines(FLAGS.input)
        return
    yield from files.decode_lines(sys.stdin.buffer, "standard input")


def num_lines() -> int | None:
    """How many there are, where it can be known."""
    if FLAGS.input == STANDARD or not files.is_regular(FLAGS.input):
        return None
    number = sum(1 for _ in files.read_lines(FLAGS.input))
    if not number:
        raise UserError(f"--input={FLAGS.input}: no text in there")
    return number


def items(predictor: Predictor):
    """Yields the items of the input, as the model takes them.

    Raises:
        UserError: a line has not what the model reads.
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


def from_json(predictor, line, place) -> dict:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise UserError(
            f"{place}: not a JSON object with "
            + " and ".join(predictor.input_names)
        )
    # What else is there, such as an id, is not for the model.
    return {n: item[n] for n in predictor.input_names if n in item}


def from_text(predictor, line, place):
    names = predictor.input_names
    if len(names) == 1:
        return line
    if "endings" in names:
        raise UserError(f"{place}: texts with endings must be a .jsonl file")
    text, second = split_pair(line)
    # A pair without a second text is one.
    return (text, second or "")


if __name__ == "__main__":
    program.run(main)
