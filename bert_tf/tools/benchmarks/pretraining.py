"""Measures how fast pretraining data is made; see benchmark.py."""

import contextlib
import os
import random
import tempfile
from typing import NamedTuple

import joblib
import tensorflow as tf
from absl import flags

from bert_tf.data.pretraining import instances as pretraining_instances
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.data.pretraining.instances import InstanceSettings
from bert_tf.data.pretraining.shards import RecordMaker
from bert_tf.programs import model_files, program
from bert_tf.tokenization import FullTokenizer
from bert_tf.tools.benchmarks.racing import print_table, race

FLAGS = flags.FLAGS
SEED = 12345
NUM_SHARDS = 8


def benchmark_pretraining() -> None:
    """Compares ways to make the same data, with the tool's default settings."""
    paths = program.matching_files("corpus")
    settings = InstanceSettings()
    maker = RecordMaker(
        vocab_file=FLAGS.vocab_file,
        **model_files.tokenizer_arguments(),
        settings=settings,
        random_seed=SEED,
    )
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            "two workers, 8 shards": lambda: in_shards(maker, paths, folder, 2),
            "one worker, 8 shards": lambda: in_shards(maker, paths, folder, 1),
            "as the original": lambda: in_memory(maker, paths, folder),
            "plain": lambda: plainly(paths, settings, folder),
        }
        seconds = race(contestants, FLAGS.rounds)
        number = plainly(paths, settings, folder)
    megabytes = sum(os.path.getsize(path) for path in paths) / 1e6
    print_table(
        f"{number:,} examples of {megabytes:.1f} MB of text, on "
        f"{os.cpu_count()} cores",
        "examples/s",
        number,
        seconds,
    )


def in_memory(maker: RecordMaker, paths: list[str], folder: str) -> None:
    """Makes all records in memory, like the original."""
    pretraining_shards.vocabulary.cache_clear()
    serialized = maker.serialized_examples(
        pretraining_instances.lines_of(paths), random.Random(SEED)
    )
    path = os.path.join(folder, "records")
    pretraining_shards.write_records([path], serialized)


def in_shards(
    maker: RecordMaker, paths: list[str], folder: str, num_workers: int
) -> None:
    """Makes the records of NUM_SHARDS shards, in several processes."""
    # Words are remembered from shard to shard, but not from round to round.
    pretraining_shards.vocabulary.cache_clear()
    with tempfile.TemporaryDirectory(dir=folder) as texts:
        shards = pretraining_shards.distribute(paths, NUM_SHARDS, texts)
        joblib.Parallel(n_jobs=num_workers, batch_size=1)(
            joblib.delayed(write_shard)(maker, shard.path, number)
            for number, shard in enumerate(shards)
        )


def write_shard(maker: RecordMaker, path: str, number: int) -> int:
    """Writes the records of a shard's text; returns their number."""
    lines = pretraining_instances.lines_of([path])
    return maker.write_shard(f"{path}.records", number, lines)


# ---------------------------------------------------------------------------
# The plain way: the original's steps one by one, with its data structures, to
# see what everything else gains.


def plainly(paths: list[str], settings: InstanceSettings, folder: str) -> int:
    """Writes the records in the plain way; returns their number."""
    tokenizer = model_files.read_tokenizer()
    maker = PlainMaker(tokenizer, settings, random.Random(SEED))
    path = os.path.join(folder, "plain")
    instances = maker.instances(paths)
    with contextlib.closing(tf.io.TFRecordWriter(path)) as writer:
        for instance in instances:
            writer.write(maker.example(instance).SerializeToString())
    return len(instances)


class PlainInstance(NamedTuple):
    """A sequence of tokens, some of which are masked."""

    tokens: list[str]
    segment_ids: list[int]
    is_random_next: bool
    positions: list[int]
    labels: list[str]


class PlainMaker:
    """Makes instances one step after the other, like the original.

    Args:
        tokenizer: splits the text.
        settings: how instances are made; whole words are not masked.
        rng: makes all random choices.
    """

    def __init__(
        self,
        tokenizer: FullTokenizer,
        settings: InstanceSettings,
        rng: random.Random,
    ):
        self.tokenizer = tokenizer
        self.settings = settings
        self.rng = rng
        self.words = list(tokenizer.vocab)
        self.documents: list[list[list[str]]] = []

    def instances(self, paths: list[str]) -> list[PlainInstance]:
        """Returns the instances of text files, in random order."""
        self.documents = self._read(paths)
        self.rng.shuffle(self.documents)
        instances = [
            instance
            for _ in range(self.settings.dupe_factor)
            for index in range(len(self.documents))
            for instance in self._instances_of_document(index)
        ]
        self.rng.shuffle(instances)
        return instances

    def _read(self, paths):
        documents = [[]]
        for line in pretraining_instances.lines_of(paths):
            line = line.strip()
            if not line:
                documents.append([])
            if tokens := self.tokenizer.tokenize(line):
                documents[-1].append(tokens)
        return [document for document in documents if document]

    def _instances_of_document(self, index):
        rng, document = self.rng, self.documents[index]
        most = self.settings.max_seq_length - 3
        is_short = rng.random() < self.settings.short_seq_prob
        target = rng.randint(2, most) if is_short else most
        chunk, i = [], 0
        while i < len(document):
            chunk.append(document[i])
            if i == len(document) - 1 or sum(map(len, chunk)) >= target:
                end = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
                a = sum(chunk[:end], [])
                is_random_next = len(chunk) == 1 or rng.random() < 0.5
                if is_random_next:
                    b = self._random_segment(index, target - len(a))
                    i -= len(chunk) - end  # The rest of the chunk is next.
                else:
                    b = sum(chunk[end:], [])
                self._truncate(a, b, most)
                yield self._masked(a, b, is_random_next)
                chunk = []
            i += 1

    def _random_segment(self, index, length):
        """About `length` tokens of a document other than `index`."""
        for _ in range(10):
            other = self.rng.randint(0, len(self.documents) - 1)
            if other != index:
                break
        document = self.documents[other]
        segment = []
        for line in document[self.rng.randint(0, len(document) - 1) :]:
            segment += line
            if len(segment) >= length:
                break
        return segment

    def _truncate(self, a, b, most):
        while len(a) + len(b) > most:
            longer = a if len(a) > len(b) else b
            del longer[0 if self.rng.random() < 0.5 else -1]

    def _masked(self, a, b, is_random_next):
        rng = self.rng
        tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
        segment_ids = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        candidates = [
            position
            for position, token in enumerate(tokens)
            if token not in ("[CLS]", "[SEP]")
        ]
        rng.shuffle(candidates)
        share = int(round(len(tokens) * self.settings.masked_lm_prob))
        limit = min(self.settings.max_predictions_per_seq, max(1, share))
        positions = sorted(candidates[:limit])
        labels = [tokens[position] for position in positions]
        for position in positions:
            if rng.random() < 0.8:
                tokens[position] = "[MASK]"
            elif rng.random() >= 0.5:
                word = rng.randint(0, len(self.words) - 1)
                tokens[position] = self.words[word]
        return PlainInstance(
            tokens, segment_ids, is_random_next, positions, labels
        )

    def example(self, instance: PlainInstance) -> tf.train.Example:
        """Returns an instance as the original writes it."""

        def integers(values, length):
            padded = [*values] + [0] * (length - len(values))
            return tf.train.Feature(int64_list=tf.train.Int64List(value=padded))

        length = self.settings.max_seq_length
        most = self.settings.max_predictions_per_seq
        ids = self.tokenizer.convert_tokens_to_ids(instance.tokens)
        labels = self.tokenizer.convert_tokens_to_ids(instance.labels)
        weights = [1.0] * len(labels) + [0.0] * (most - len(labels))
        features = {
            "input_ids": integers(ids, length),
            "input_mask": integers([1] * len(ids), length),
            "segment_ids": integers(instance.segment_ids, length),
            "masked_lm_positions": integers(instance.positions, most),
            "masked_lm_ids": integers(labels, most),
            "masked_lm_weights": tf.train.Feature(
                float_list=tf.train.FloatList(value=weights)
            ),
            "next_sentence_labels": integers([int(instance.is_random_next)], 1),
        }
        return tf.train.Example(features=tf.train.Features(feature=features))
