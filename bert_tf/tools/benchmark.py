"""Measures speed, in ratios: all contestants in turn, in one process.

    python -m bert_tf.tools.benchmark --what=tokenizer,input

runs on the bundled texts. On others:

    python -m bert_tf.tools.benchmark --what=tokenizer \\
        --vocab_file=uncased/vocab.txt --input_file=dev-v1.1.json
    python -m bert_tf.tools.benchmark --what=input \\
        --vocab_file=uncased/vocab.txt --task_name=cola --data_dir=glue/CoLA

A round lets each contestant work once; the figures are medians over rounds,
and a ratio is the median of the rounds' ratios, so that a machine which is
busy for a while does little harm.
"""

import functools
import itertools
import json
import os
import tempfile
import time

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from absl import flags

from bert_tf import files, pretrained
from bert_tf import flags as shared_flags
from bert_tf.data import features, glue, pipeline
from bert_tf.errors import UserError
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.tasks import get_task
from bert_tf.tokenization import FullTokenizer

FLAGS = flags.FLAGS
TEXTS_IN_BATCH = 1024
# Over all texts in a round: some batches wait ready from the round before.
PASSES = 3

flags.DEFINE_list(
    "what", ["tokenizer", "input"], "What to measure: tokenizer, input."
)
flags.DEFINE_list(
    "input_file",
    None,
    "tokenizer: files of text, a text a line, or SQuAD's JSON (contexts and "
    "questions). Default: the texts of the task.",
)
flags.DEFINE_string(
    "task_name", pretrained.DEMO_TASK, "input: the task whose file is read."
)
flags.DEFINE_string("data_dir", None, "input: the folder with train.tsv.")
shared_flags.define_count("batch_size", 32, "input: examples in a batch.")
shared_flags.define_count("rounds", 5, "How often each contestant works.")
shared_flags.define_text_flags(max_seq_length=128)
flags.adopt_module_key_flags(shared_flags)


def main():
    known = {"tokenizer": benchmark_tokenizers, "input": benchmark_input}
    for what in FLAGS.what:
        if what not in known:
            raise UserError(f"--what={what}: known are {', '.join(known)}")
    FLAGS.set_default("vocab_file", pretrained.DEMO_FLAGS["vocab_file"])
    FLAGS.set_default("data_dir", pretrained.DEMO_FLAGS["data_dir"])
    shared_flags.require_existing("vocab_file")
    shared_flags.require_existing("data_dir", folder=True)
    for what in FLAGS.what:
        known[what]()


def race(contestants: dict, rounds: int) -> dict:
    """{name: seconds of each round}; a first round, not counted, warms up."""
    seconds = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def print_table(title: str, unit: str, amount: float, seconds: dict):
    """Amount of work per second, and how many times the last contestant's."""
    print(f"\n{title}\n")
    names = list(seconds)
    header = "".join(f" | times {name}" for name in names[1:])
    print(f"| | {unit}{header} |")
    print("|---" * (1 + len(names)) + "|")
    for name in names:
        ratios = [
            np.median(np.array(seconds[other]) / np.array(seconds[name]))
            for other in names[1:]
        ]
        cells = [f"{ratio:.2f}" for ratio in ratios]
        speed = amount / np.median(seconds[name])
        print(f"| {' | '.join([name, f'{speed:,.1f}', *cells])} |")


# ---------------------------------------------------------------------------
# The tokenizers.


def benchmark_tokenizers():
    texts = read_texts()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    preprocess = BertPreprocessor(FLAGS.vocab_file, FLAGS.do_lower_case)
    python = FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
    contestants = {
        "in the graph": through_dataset(texts, preprocess.tokenize),
        "with offsets": through_dataset(
            texts, preprocess.tokenize_with_offsets
        ),
        "in Python": lambda: [
            python.convert_tokens_to_ids(python.tokenize(text))
            for _ in range(PASSES)
            for text in texts
        ],
        "FastBertTokenizer": through_dataset(
            texts, tensorflow_texts(python.vocab)
        ),
    }
    try:
        from tokenizers import BertWordPieceTokenizer

        hugging_face = BertWordPieceTokenizer(
            FLAGS.vocab_file, lowercase=FLAGS.do_lower_case
        )
        contestants["tokenizers"] = lambda: [
            hugging_face.encode_batch(texts) for _ in range(PASSES)
        ]
    except ImportError:
        print("Hugging Face's tokenizers is not installed: left out.")
    print_table(
        f"Tokenizing {len(texts):,} texts, {megabytes:.2f} MB, on "
        f"{os.cpu_count()} cores. In tf.data batches of {TEXTS_IN_BATCH}; "
        "tokenizers: encode_batch of all texts, on all cores.",
        "MB/s",
        megabytes * PASSES,
        race(contestants, FLAGS.rounds),
    )


def read_texts():
    if not FLAGS.input_file:
        examples = train_examples()
        return [example.text_a for example in examples]
    texts = []
    for path in FLAGS.input_file:
        if path.endswith(".json"):
            texts += squad_texts(path)
        else:
            texts += [line for _, line in files.read_lines(path) if line]
    if not texts:
        raise UserError(f"--input_file={FLAGS.input_file}: no text in there")
    return texts


def squad_texts(path):
    try:
        for article in json.loads(files.read_text(path))["data"]:
            for paragraph in article["paragraphs"]:
                yield paragraph["context"]
                yield from (qa["question"] for qa in paragraph["qas"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a file of SQuAD: {error!r}") from None


def through_dataset(texts, tokenize):
    """Work that passes all texts through tf.data, in parallel.

    The iterator is made once: its start would count in no long training.
    """
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(TEXTS_IN_BATCH)
    num_batches = len(dataset)
    dataset = dataset.cache().repeat()
    dataset = dataset.map(tokenize, num_parallel_calls=tf.data.AUTOTUNE)
    iterator = iter(dataset)

    def work():
        for _ in range(num_batches * PASSES):
            next(iterator)

    return work


def tensorflow_texts(vocab):
    """tensorflow-text's tokenizer: as fast, and with other results."""
    tokenizer = tf_text.FastBertTokenizer(
        list(vocab), lower_case_nfd_strip_accents=FLAGS.do_lower_case
    )
    return lambda text: tokenizer.tokenize(text).values


# ---------------------------------------------------------------------------
# The input pipeline.


def train_examples():
    task = get_task(FLAGS.task_name)
    return glue.Examples(task.processor, FLAGS.data_dir, "train")


def benchmark_input():
    task = get_task(FLAGS.task_name)
    examples = train_examples()
    number = len(examples)
    preprocess = BertPreprocessor(
        FLAGS.vocab_file, FLAGS.do_lower_case, FLAGS.max_seq_length
    )
    rows = functools.partial(task.rows, train_examples())
    to_features = functools.partial(
        task.features_of_rows, preprocess=preprocess
    )
    batches = functools.partial(
        pipeline.training_batches, rows(), number, FLAGS.batch_size, to_features
    )
    # Their start counts apart, not here.
    kept = {
        "from memory": iter(batches()),
        "from memory, by length": iter(batches(group_by_length=True)),
        "from memory, full length": iter(batches(fixed_length=True)),
        "from the file": iter(
            pipeline.evaluation_batches(
                rows().repeat(), FLAGS.batch_size, to_features
            )
        ),
    }
    print(
        f"\n{number:,} examples of {FLAGS.task_name}, batches of "
        f"{FLAGS.batch_size}, --max_seq_length={FLAGS.max_seq_length}, on "
        f"{os.cpu_count()} cores."
    )
    print_first_batch(number, rows, to_features)
    print_padding(kept, number)
    num_batches = max(1, number // FLAGS.batch_size)
    contestants = {
        name: functools.partial(take, iterator, num_batches)
        for name, iterator in kept.items()
    }
    contestants["through TFRecord"] = functools.partial(
        through_records, task, examples
    )
    print_table(
        "An epoch of batches: with the rows in memory, as from the second "
        "epoch on; from the file; and as the original does it, which converts "
        "all examples to a TFRecord file first.",
        "rows/s",
        number,
        race(contestants, FLAGS.rounds),
    )


def take(batches, number=None):
    for _ in itertools.islice(batches, number):
        pass


def print_first_batch(number, rows, to_features):
    start = time.perf_counter()
    train_examples()  # Checks and counts.
    checked = time.perf_counter() - start
    batches = pipeline.training_batches(
        rows(), number, FLAGS.batch_size, to_features
    )
    next(iter(batches))
    total = time.perf_counter() - start
    print(
        f"\nTo the first batch: {total:.2f} s, {checked:.2f} s of them for "
        "checking and counting the rows."
    )


def print_padding(kept, number):
    print("\nOf the places in an epoch's batches of training hold tokens:")
    for name in [name for name in kept if name.startswith("from memory")]:
        tokens, places = 0, 0
        batches = itertools.islice(kept[name], number // FLAGS.batch_size)
        for batch in batches:
            tokens += int(tf.reduce_sum(batch["input_mask"]))
            places += int(tf.size(batch["input_mask"]))
        print(f"    {name}: {tokens / max(1, places):.1%}")


def through_records(task, examples):
    tokenizer = FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
    specs = task.feature_specs(FLAGS.max_seq_length)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "train.tf_record")
        converted = (
            task.convert(example, FLAGS.max_seq_length, tokenizer)[0]
            for example in examples
        )
        features.write_tf_records(path, converted, specs)
        to_features = functools.partial(features.features_of_rows, specs=specs)
        take(
            pipeline.evaluation_batches(
                features.record_rows(path),
                FLAGS.batch_size,
                to_features,
                fixed_length=True,
            )
        )


if __name__ == "__main__":
    shared_flags.run(main)
