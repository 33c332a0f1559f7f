"""Speed of making pretraining data; see benchmark.py."""

import collections
import contextlib
import os
import random
import tempfile

import joblib
import tensorflow as tf
from absl import flags

from bert_tf.data.pretraining import instances as pretraining_instances
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.programs import program
from bert_tf.tokenization import FullTokenizer
from bert_tf.tools.benchmarks.racing import print_table, race

FLAGS = flags.FLAGS
SEED = 12345
NUM_SHARDS = 8


def benchmark_pretraining():
    """The same settings for all: create_pretraining_data's defaults."""
    paths = program.matching_files("corpus")
    settings = pretraining_instances.InstanceSettings()
    maker = pretraining_shards.RecordMaker(
        vocab_file=FLAGS.vocab_file,
        do_lower_case=FLAGS.do_lower_case,
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


def in_memory(maker, paths, folder):
    pretraining_shards.vocabulary.cache_clear()
    serialized = maker.serialized_examples(
        pretraining_instances.lines_of(paths), random.Random(SEED)
    )
    path = os.path.join(folder, "records")
    pretraining_shards.write_records([path], serialized)


def in_shards(maker, paths, folder, num_workers):
    # Words are remembered from one shard to the next, but from no round.
    pretraining_shards.vocabulary.cache_clear()
    with tempfile.TemporaryDirectory(dir=folder) as texts:
        shards = pretraining_shards.deal(paths, NUM_SHARDS, texts)
        joblib.Parallel(n_jobs=num_workers, batch_size=1)(
            joblib.delayed(write_shard)(maker, shard.path, number)
            for number, shard in enumerate(shards)
        )


def write_shard(maker, path, number):
    lines = pretraining_instances.lines_of([path])
    return maker.write_shard(f"{path}.records", number, lines)


# ---------------------------------------------------------------------------
# The plain way: what the original's steps are when they are written down one
# by one. Also the witness that ours makes the same instances.

Instance = collections.namedtuple(
    "Instance", "tokens segment_ids is_random_next positions labels"
)


def plainly(paths, settings, folder) -> int:
    """Writes the records; returns their number."""
    tokenizer = FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
    instances = plain_instances(paths, tokenizer, settings, random.Random(SEED))
    path = os.path.join(folder, "plain")
    with contextlib.closing(tf.io.TFRecordWriter(path)) as writer:
        for instance in instances:
            example = plain_example(instance, tokenizer, settings)
            writer.write(example.SerializeToString())
    return len(instances)


def plain_instances(paths, tokenizer, settings, rng) -> list:
    documents = [[]]
    for line in pretraining_instances.lines_of(paths):
        line = line.strip()
        if not line:
            documents.append([])
        tokens = tokenizer.tokenize(line)
        if tokens:
            documents[-1].append(tokens)
    documents = [document for document in documents if document]
    rng.shuffle(documents)
    words = list(tokenizer.vocab)
    instances = []
    for _ in range(settings.dupe_factor):
        for index in range(len(documents)):
            instances += instances_of_document(
                documents, index, words, settings, rng
            )
    rng.shuffle(instances)
    return instances


def instances_of_document(documents, index, words, settings, rng):
    document = documents[index]
    most = settings.max_seq_length - 3
    target = most
    if rng.random() < settings.short_seq_prob:
        target = rng.randint(2, most)
    instances, chunk, i = [], [], 0
    while i < len(document):
        chunk.append(document[i])
        if i == len(document) - 1 or sum(map(len, chunk)) >= target:
            end = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
            a = sum(chunk[:end], [])
            is_random_next = len(chunk) == 1 or rng.random() < 0.5
            if is_random_next:
                b = []
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != index:
                        break
                start = rng.randint(0, len(documents[other]) - 1)
                for segment in documents[other][start:]:
                    b = b + segment
                    if len(b) >= target - len(a):
                        break
                i -= len(chunk) - end
            else:
                b = sum(chunk[end:], [])
            while len(a) + len(b) > most:
                longer = a if len(a) > len(b) else b
                if rng.random() < 0.5:
                    del longer[0]
                else:
                    longer.pop()
            instances.append(
                masked_instance(a, b, is_random_next, words, settings, rng)
            )
            chunk = []
        i += 1
    return instances


def masked_instance(a, b, is_random_next, words, settings, rng):
    tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
    segment_ids = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    candidates = []
    for position, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        joins = settings.do_whole_word_mask and token.startswith("##")
        if joins and candidates:
            candidates[-1].append(position)
        else:
            candidates.append([position])
    rng.shuffle(candidates)
    share = int(round(len(tokens) * settings.masked_lm_prob))
    limit = min(settings.max_predictions_per_seq, max(1, share))
    masked, found = list(tokens), []
    for word in candidates:
        if len(found) >= limit:
            break
        if len(found) + len(word) > limit:
            continue
        for position in word:
            if rng.random() < 0.8:
                masked[position] = "[MASK]"
            elif rng.random() >= 0.5:
                masked[position] = words[rng.randint(0, len(words) - 1)]
            found.append((position, tokens[position]))
    found.sort()
    positions, labels = [p for p, _ in found], [t for _, t in found]
    return Instance(masked, segment_ids, is_random_next, positions, labels)


def plain_example(instance, tokenizer, settings):
    def padded(values, length):
        return list(values) + [0] * (length - len(values))

    def integers(values):
        values = tf.train.Int64List(value=values)
        return tf.train.Feature(int64_list=values)

    length, most = settings.max_seq_length, settings.max_predictions_per_seq
    ids = tokenizer.convert_tokens_to_ids(instance.tokens)
    labels = tokenizer.convert_tokens_to_ids(instance.labels)
    weights = padded([1.0] * len(labels), most)
    features = {
        "input_ids": integers(padded(ids, length)),
        "input_mask": integers(padded([1] * len(ids), length)),
        "segment_ids": integers(padded(instance.segment_ids, length)),
        "masked_lm_positions": integers(padded(instance.positions, most)),
        "masked_lm_ids": integers(padded(labels, most)),
        "masked_lm_weights": tf.train.Feature(
            float_list=tf.train.FloatList(value=weights)
        ),
        "next_sentence_labels": integers([int(instance.is_random_next)]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))
