"""Finds what answers fastest with an exported model on this machine.

    python -m bert_tf.tools.tune --model=/tmp/sst2/export --input=some.txt

It answers the same texts with each engine, with several numbers of threads and
sizes of batches, and prints texts per second. The fastest settings are kept in
the model's folder, where --engine=auto finds them on the same kind of machine.
"""

import itertools
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program

if TYPE_CHECKING:
    from bert_tf.export.predictor import Predictor

FLAGS = flags.FLAGS
REQUIRED = ("model",)
BATCH_TOKENS = (1024, 4096, 16384)
ROUNDS = 3
NUM_ALONE = 100  # Texts that are answered one at a time.

flags.DEFINE_string(
    "model", None, "Folder of an exported model, or of a run that has one."
)
flags.DEFINE_string(
    "input",
    None,
    "File with texts as the model will get them, in a form that the tool "
    "predict reads. By default an example of the model, in several lengths.",
)
flags.DEFINE_enum(
    "tune_for",
    "batches",
    ["batches", "one_at_a_time"],
    "What must be fast: many texts at once, or each text by itself.",
)
shared_flags.define_count(
    "num_texts", 1000, "Number of texts that are answered."
)


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    if FLAGS.input:
        program.require_existing("input")
    # Loading TensorFlow takes seconds, and mistakes are found without it.
    from bert_tf.export.calibration import read_items
    from bert_tf.export.engines import tuned
    from bert_tf.export.predictor import Predictor

    first = Predictor(FLAGS.model)
    # Before minutes of measurement.
    files.check_creatable(os.path.join(first.folder, tuned.NAME))
    most = FLAGS.num_texts
    if FLAGS.input:
        items = read_items(FLAGS.input, first, most, "input")
    else:
        items = examples(first)[:most]
    best: tuple[float, dict[str, Any]] | None = None
    print("| engine | threads | tokens of a batch | one at a time | batches |")
    print("|---|--:|--:|--:|--:|")
    for settings in candidates(first, tuned.num_cores()):
        try:
            predictor = Predictor(FLAGS.model, **settings)
        except UserError as error:
            logging.info("%s: %s", settings["engine"], error)
            continue
        alone = texts_per_second(predictor, items[:NUM_ALONE], alone=True)
        together = texts_per_second(predictor, items, alone=False)
        print(
            f"| {settings['engine']} | {settings['num_threads']} | "
            f"{settings['max_batch_tokens']} | {alone:.0f} | {together:.0f} |",
            flush=True,
        )
        speed = together if FLAGS.tune_for == "batches" else alone
        if best is None or speed > best[0]:
            best = speed, settings
    if best is None:
        raise UserError("no engine can compute it", setting="model")
    found = tuned.Tuned(machine=tuned.machine(), **best[1])
    tuned.write(first.folder, found)
    logging.info(
        "The fastest is %s with %s, %d tokens of a batch; "
        "--engine=auto uses it on this machine",
        found.engine,
        number_of(found.num_threads, "thread"),
        found.max_batch_tokens,
    )


def candidates(
    predictor: "Predictor", num_cores: int
) -> Iterator[dict[str, Any]]:
    """Yields the settings that are measured.

    Args:
        predictor: the model in its own precision.
        num_cores: those of the machine.
    """
    threads = sorted({1, max(1, num_cores // 2), num_cores})
    for engine in predictor.engines:
        # LiteRT has threads, and TensorFlow batches.
        for number, tokens in itertools.product(
            [num_cores] if engine == "bfloat16" else threads,
            BATCH_TOKENS if engine != "int8" else BATCH_TOKENS[1:2],
        ):
            yield {
                "engine": engine,
                "num_threads": number,
                "max_batch_tokens": tokens,
            }


def texts_per_second(
    predictor: "Predictor", items: list[Any], *, alone: bool
) -> float:
    """Answers items, and returns the speed of the fastest round.

    Args:
        predictor: the model.
        items: what it answers.
        alone: whether each item is asked by itself.
    """
    parts = [[item] for item in items] if alone else [items]
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for part in parts:
            predictor.predict(part)
        seconds.append(time.perf_counter() - start)
    return len(items) / min(seconds)


def examples(predictor: "Predictor") -> list[Any]:
    """Makes texts of several lengths from an example of the model."""
    example = predictor.example()
    longest = max(example, key=lambda name: len(str(example[name])))
    if not isinstance(example[longest], str) or predictor.kind == "relation":
        return [example] * FLAGS.num_texts
    words = example[longest].split()
    return [
        {**example, longest: " ".join(words[: 1 + i % len(words)])}
        for i in range(FLAGS.num_texts)
    ]


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
