"""The batches that contestants train on: real texts, or equal full shapes."""

import dataclasses
import functools
import itertools
import os
import random
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import flags

from bert_tf.config import BertConfig
from bert_tf.data import pipeline
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.data.pretraining import instances as pretraining_instances
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.data.pretraining.instances import InstanceSettings
from bert_tf.data.squad import dataset as squad_dataset
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad import windows as squad_windows
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.programs import model_files, program, squad_flags
from bert_tf.programs.settings import from_flags
from bert_tf.tools.benchmarks.data import published_task, train_examples
from bert_tf.tools.benchmarks.peers.worker_loop import Arrays

FLAGS = flags.FLAGS
NUM_LABELS = 2
SEED = 12345
# A corpus is read only as far as a few batches need.
MAX_LINES = 20_000
INPUTS = "input_ids", "input_mask", "segment_ids"
LABELS = {
    "classification": ("label_ids",),
    "questions": ("start_positions", "end_positions"),
    "pretraining": (
        "masked_lm_positions",
        "masked_lm_ids",
        "masked_lm_weights",
        "next_sentence_labels",
    ),
}


@dataclasses.dataclass(frozen=True)
class Workload:
    """The batches of a round.

    Attributes:
        name: what they are.
        problem: "classification", "questions" or "pretraining".
        batches: arrays by the names of the original's features.
    """

    name: str
    problem: str
    batches: list[Arrays]

    @property
    def num_examples(self) -> int:
        return sum(len(batch["input_ids"]) for batch in self.batches)

    @property
    def num_tokens(self) -> int:
        """Without padding."""
        return sum(int(batch["input_mask"].sum()) for batch in self.batches)

    @property
    def num_places(self) -> int:
        """With padding."""
        return sum(batch["input_mask"].size for batch in self.batches)

    @property
    def longest(self) -> int:
        """The length of the longest batch."""
        return max(batch["input_mask"].shape[1] for batch in self.batches)

    def check(self, config: BertConfig, name: str) -> None:
        """Raises UserError unless a model can read the batches.

        Args:
            config: the model's sizes.
            name: what the model is called.
        """
        largest = max(int(batch["input_ids"].max()) for batch in self.batches)
        if largest >= config.vocab_size:
            raise UserError(
                f"{self.name}: token {largest} exceeds the vocab_size="
                f"{config.vocab_size} of {name}"
            )
        if self.longest > config.max_position_embeddings:
            raise UserError(
                f"{self.name}: {self.longest} tokens exceed the "
                f"max_position_embeddings={config.max_position_embeddings} of "
                f"{name}"
            )


def workloads() -> Iterator[Workload]:
    """Yields what the flags ask for; by default the bundled texts.

    Each has --num_batches batches.
    """
    asked = {
        "task_name": task_workload,
        "train_file": questions_workload,
        "corpus": pretraining_workload,
    }
    given = [
        name
        for name in ("shapes", *asked)
        if not FLAGS[name].using_default_value
    ]
    if "shapes" in given:
        yield from map(shape_workload, FLAGS.shapes)
    for name in asked:
        if name in given or not given and name == "task_name":
            yield asked[name]()


def parse_shape(shape: str) -> tuple[int, int]:
    """Splits "32x128" into batch size and length.

    Raises:
        UserError: it has another form.
    """
    batch_size, _, length = shape.partition("x")
    is_number = batch_size.isdecimal() and length.isdecimal()
    if not is_number or not (int(batch_size) and int(length)):
        raise UserError(
            "must have the form 32x128", setting="shapes", value=shape
        )
    return int(batch_size), int(length)


def shape_workload(shape: str) -> Workload:
    """Random tokens without padding, and two classes."""
    batch_size, length = parse_shape(shape)
    rng = np.random.default_rng(SEED)
    sizes = batch_size, length
    # Ids that every vocabulary has; which ones they are does not matter.
    batches = [
        {
            "input_ids": rng.integers(0, 1000, sizes, np.int32),
            "input_mask": np.ones(sizes, np.int32),
            "segment_ids": np.zeros(sizes, np.int32),
            "label_ids": random_labels(rng, batch_size),
        }
        for _ in range(FLAGS.num_batches)
    ]
    return Workload(f"{shape}, no padding", "classification", batches)


def random_labels(rng: np.random.Generator, number: int) -> np.ndarray:
    """int32 [number]: random labels of two classes."""
    return rng.integers(0, NUM_LABELS, number, np.int32)


def task_workload() -> Workload:
    """The texts of a task in random order, with random labels.

    So that tasks with any kind of answer can be compared.
    """
    problem = published_task().problem
    reader = TextReader(
        model_files.read_tokenizer(),
        TextReaderSettings(
            vocab_file=FLAGS.vocab_file,
            **model_files.tokenizer_arguments(),
            max_seq_length=FLAGS.max_seq_length,
        ),
    )
    examples = train_examples()
    dataset = pipeline.training_batches(
        problem.rows(examples, reader),
        functools.partial(problem.features_of_rows, reader=reader),
        num_examples=len(examples),
        batch_size=FLAGS.batch_size,
        seed=SEED,
        fixed_length=FLAGS.pad_to_max_length,
        group_by_length=FLAGS.group_by_length,
    )
    rng = np.random.default_rng(SEED)
    batches = [
        {**batch, "label_ids": random_labels(rng, FLAGS.batch_size)}
        for batch in first_batches(dataset, INPUTS)
    ]
    return Workload(
        f"{FLAGS.task_name}{to_length()}", "classification", batches
    )


def questions_workload() -> Workload:
    """Windows of the contexts of questions, in random order."""
    program.require_existing("train_file")
    squad_flags.check_lengths()
    examples = squad_examples.read_squad_examples(FLAGS.train_file, True)
    # Each has at least one window; the epoch shall not be over too early.
    number = min(len(examples), 2 * FLAGS.num_batches * FLAGS.batch_size)
    examples = random.Random(SEED).sample(examples, number)
    settings = from_flags(
        squad_windows.ConverterSettings,
        FLAGS.flag_values_dict(),
        is_training=True,
    )
    rows = squad_dataset.WindowRows(examples, settings, 1)
    if not len(rows):
        raise UserError(
            "no context has a token",
            setting="train_file",
            value=FLAGS.train_file,
        )
    dataset = pipeline.training_batches(
        squad_dataset.dataset_of_rows(rows),
        functools.partial(
            squad_dataset.pad_rows, max_seq_length=FLAGS.max_seq_length
        ),
        num_examples=len(rows),
        batch_size=FLAGS.batch_size,
        seed=SEED,
        fixed_length=FLAGS.pad_to_max_length,
        group_by_length=FLAGS.group_by_length,
    )
    names = *INPUTS, *LABELS["questions"]
    name = os.path.basename(FLAGS.train_file) + to_length()
    return Workload(name, "questions", first_batches(dataset, names))


def pretraining_workload() -> Workload:
    """Instances of text for masked LM and next sentence prediction."""
    paths = program.matching_files("corpus")
    settings = InstanceSettings(max_seq_length=FLAGS.max_seq_length)
    maker = pretraining_shards.RecordMaker(
        vocab_file=FLAGS.vocab_file,
        **model_files.tokenizer_arguments(),
        settings=settings,
        random_seed=SEED,
    )
    lines = itertools.islice(pretraining_instances.lines_of(paths), MAX_LINES)
    serialized = maker.serialized_examples(lines, random.Random(SEED))
    if not serialized:
        raise UserError(
            "makes no instances", setting="corpus", value=FLAGS.corpus
        )
    specs = pretraining_dataset.pretraining_specs(
        settings.max_seq_length, settings.max_predictions_per_seq
    )
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "records")
        pretraining_shards.write_records([path], serialized)
        tokenizer = model_files.read_tokenizer()
        dataset = pretraining_dataset.training_batches(
            [path],
            pretraining_dataset.RecordParser(
                [path], specs, BertConfig(vocab_size=len(tokenizer.vocab))
            ),
            batch_size=FLAGS.batch_size,
            seed=SEED,
        )
        names = *INPUTS, *LABELS["pretraining"]
        batches = first_batches(dataset, names)
    name = f"pretraining{to_length()}"
    return Workload(name, "pretraining", batches)


def first_batches(
    dataset: tf.data.Dataset, names: Sequence[str]
) -> list[Arrays]:
    """The first --num_batches batches of a dataset, as arrays."""
    return [
        {name: batch[name].numpy() for name in names}
        for batch in itertools.islice(dataset, FLAGS.num_batches)
    ]


def to_length() -> str:
    """How long the sequences are at most, for the name of a workload."""
    return f" to {FLAGS.max_seq_length}, {FLAGS.batch_size} a batch"
