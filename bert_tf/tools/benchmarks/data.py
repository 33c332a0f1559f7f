"""Measures tokenizers, input pipeline and conversion; see benchmark.py."""

import functools
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf
import tensorflow_text as tf_text
from absl import flags

from bert_tf import files
from bert_tf.data import features, pipeline
from bert_tf.data.processor import Examples
from bert_tf.data.squad import dataset as squad_dataset
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad import windows as squad_windows
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.programs import model_files, program
from bert_tf.programs.settings import from_flags
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.registry import Task, get_task
from bert_tf.text import packing
from bert_tf.tokenization import FullTokenizer
from bert_tf.tools.benchmarks.racing import print_table, race

FLAGS = flags.FLAGS
TEXTS_IN_BATCH = 1024
# Passes over all texts per round. With one, batches that the round before has
# prepared ahead would count too much.
PASSES = 3

# ---------------------------------------------------------------------------
# The tokenizers.


def benchmark_tokenizers() -> None:
    """Compares the tokenizers in the graph and in Python with others."""
    texts = read_texts()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    preprocess = BertPreprocessor(
        FLAGS.vocab_file, **model_files.tokenizer_arguments()
    )
    python = model_files.read_tokenizer()
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
            FLAGS.vocab_file,
            lowercase=FLAGS.do_lower_case,
            strip_accents=FLAGS.strip_accents,
            handle_chinese_chars=FLAGS.tokenize_chinese_chars,
        )
        contestants["tokenizers"] = lambda: [
            hugging_face.encode_batch(texts) for _ in range(PASSES)
        ]
    except ImportError:
        print("Hugging Face's tokenizers is not installed, and left out.")
    print_table(
        f"Tokenizing {len(texts):,} texts, {megabytes:.2f} MB, on "
        f"{os.cpu_count()} cores. In tf.data batches of {TEXTS_IN_BATCH}; "
        "tokenizers: encode_batch of all texts, on all cores.",
        "MB/s",
        megabytes * PASSES,
        race(contestants, FLAGS.rounds),
    )


def read_texts() -> list[str]:
    """Returns the texts of --input_file, by default those of the task.

    Raises:
        UserError: the files contain no text.
    """
    if not FLAGS.input_file:
        examples = train_examples()
        return [example.text_a for example in examples]
    texts: list[str] = []
    for path in FLAGS.input_file:
        if path.endswith(".json"):
            texts += squad_texts(path)
        else:
            texts += [line for _, line in files.read_lines(path) if line]
    if not texts:
        raise UserError(f"--input_file={FLAGS.input_file}: contains no text")
    return texts


def squad_texts(path: str) -> Iterator[str]:
    """Yields the contexts and questions of a SQuAD file."""
    context = None
    for example in squad_examples.SquadExamples(path, is_training=False):
        if example.doc_tokens is not context:
            context = example.doc_tokens
            yield " ".join(context)
        yield example.question_text


def through_dataset(
    texts: list[str], tokenize: Callable[[tf.Tensor], object]
) -> Callable[[], None]:
    """Returns work that tokenizes all texts in tf.data, in parallel.

    The iterator is made only once: in a long training its start does not
    matter.
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


def tensorflow_texts(
    vocab: Iterable[str],
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns tensorflow-text's tokenizer; it splits some texts differently."""
    tokenizer = tf_text.FastBertTokenizer(
        list(vocab), lower_case_nfd_strip_accents=FLAGS.do_lower_case
    )
    return lambda text: tokenizer.tokenize(text).values


# ---------------------------------------------------------------------------
# The input pipeline.


def published_task() -> Task:
    """Returns the task of --task_name, which has files in data_dir."""
    task = get_task(FLAGS.task_name)
    if not isinstance(task, Task):
        raise UserError(
            "must be a published data set",
            setting="task_name",
            value=FLAGS.task_name,
        )
    return task


def train_examples() -> Examples:
    """Returns the training examples of --task_name, checked and counted."""
    return Examples(published_task().processor, FLAGS.data_dir, "train")


def benchmark_input() -> None:
    """Compares ways from a task's file to batches of features."""
    task = published_task()
    examples = train_examples()
    number = len(examples)
    reader = TextReader(
        model_files.read_tokenizer(),
        TextReaderSettings(
            vocab_file=FLAGS.vocab_file,
            **model_files.tokenizer_arguments(),
            max_seq_length=FLAGS.max_seq_length,
        ),
    )
    rows = functools.partial(task.problem.rows, train_examples(), reader)
    to_features = functools.partial(
        task.problem.features_of_rows, reader=reader
    )
    batches = functools.partial(
        pipeline.training_batches,
        rows(),
        to_features,
        num_examples=number,
        batch_size=FLAGS.batch_size,
    )
    # Their start is not measured here; `print_first_batch` measures it.
    iterators = {
        "from memory": iter(batches()),
        "from memory, by length": iter(batches(group_by_length=True)),
        "from memory, full length": iter(batches(fixed_length=True)),
        "from the file": iter(
            pipeline.evaluation_batches(
                rows().repeat(), to_features, batch_size=FLAGS.batch_size
            )
        ),
    }
    print(
        f"\n{number:,} examples of {FLAGS.task_name}, batches of "
        f"{FLAGS.batch_size}, --max_seq_length={FLAGS.max_seq_length}, on "
        f"{os.cpu_count()} cores."
    )
    print_first_batch(number, rows, to_features)
    print_padding(iterators, number)
    num_batches = max(1, number // FLAGS.batch_size)
    contestants = {
        name: functools.partial(take, iterator, num_batches)
        for name, iterator in iterators.items()
    }
    contestants["through TFRecord"] = functools.partial(
        through_records, task.problem, examples, reader
    )
    print_table(
        "An epoch of batches: with the rows in memory, as from the second "
        "epoch on; from the file; and as the original does it, which converts "
        "all examples to a TFRecord file first.",
        "rows/s",
        number,
        race(contestants, FLAGS.rounds),
    )


def take(batches: Iterable[object], number: int | None = None) -> None:
    """Iterates over `number` batches; over all if it is None."""
    for _ in itertools.islice(batches, number):
        pass


def print_first_batch(
    number: int,
    rows: Callable[[], tf.data.Dataset],
    to_features: Callable[..., dict[str, tf.Tensor]],
) -> None:
    """Prints the seconds to the first batch of training.

    Args:
        number: number of examples.
        rows: function() that returns the dataset of rows.
        to_features: function from rows to features.
    """
    start = time.perf_counter()
    train_examples()  # Checks and counts.
    checked = time.perf_counter() - start
    batches = pipeline.training_batches(
        rows(),
        to_features,
        num_examples=number,
        batch_size=FLAGS.batch_size,
    )
    next(iter(batches))
    total = time.perf_counter() - start
    print(
        f"\nTo the first batch: {total:.2f} s, {checked:.2f} s of them for "
        "checking and counting the rows."
    )


def print_padding(
    iterators: dict[str, Iterator[dict[str, tf.Tensor]]], number: int
) -> None:
    """Prints how many places in an epoch's batches are not padding.

    Args:
        iterators: {name: endless batches}.
        number: number of examples.
    """
    print("\nShare of tokens, not padding, in an epoch's training batches:")
    for name in [name for name in iterators if name.startswith("from memory")]:
        tokens, places = 0, 0
        batches = itertools.islice(iterators[name], number // FLAGS.batch_size)
        for batch in batches:
            tokens += int(tf.reduce_sum(batch["input_mask"]))
            places += int(tf.size(batch["input_mask"]))
        print(f"    {name}: {tokens / max(1, places):.1%}")


def through_records(
    problem: Problem, examples: Examples, reader: TextReader
) -> None:
    """Converts all examples to a TFRecord file, and reads its batches."""
    specs = problem.feature_specs(reader)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "train.tf_record")
        converted = (
            problem.convert(example, reader)[0] for example in examples
        )
        features.write_tf_records(path, converted, specs)
        to_features = functools.partial(features.parse_record_rows, specs=specs)
        take(
            pipeline.evaluation_batches(
                features.record_rows(path),
                to_features,
                batch_size=FLAGS.batch_size,
                fixed_length=True,
            )
        )


# ---------------------------------------------------------------------------
# SQuAD.


def benchmark_squad() -> None:
    """Compares ways from questions to windows with a plain one."""
    program.require("predict_file")
    examples = squad_examples.read_squad_examples(
        FLAGS.predict_file, is_training=False
    )
    tokenizer = model_files.read_tokenizer()
    settings = from_flags(
        squad_windows.ConverterSettings,
        FLAGS.flag_values_dict(),
        is_training=False,
    )

    def all_features():
        # Lists of numbers, which the plain way makes, too.
        for window in settings.make().windows(examples):
            squad_dataset.window_features(window)
            _ = window.token_to_orig_map, window.token_is_max_context

    contestants = {
        "all features": all_features,
        "rows": lambda: squad_dataset.WindowRows(examples, settings, 1),
        "rows, all cores": lambda: squad_dataset.WindowRows(
            examples, settings, os.cpu_count()
        ),
        "the plain way": lambda: [
            convert_plainly(example, tokenizer) for example in examples
        ],
    }
    print_table(
        f"{len(examples):,} questions to windows of "
        f"--max_seq_length={FLAGS.max_seq_length}, --doc_stride="
        f"{FLAGS.doc_stride}: all features of the original; only those that "
        "training needs; and each question by itself, without what the other "
        "questions of its paragraph have shown.",
        "questions/s",
        len(examples),
        race(contestants, FLAGS.rounds),
    )


def convert_plainly(
    example: squad_examples.SquadExample, tokenizer: FullTokenizer
) -> list[tuple[object, ...]]:
    """Returns the windows of one question, in the most direct way.

    Each word is tokenized, and each piece compared with every window.
    """
    query = tokenizer.tokenize(example.question_text)[: FLAGS.max_query_length]
    pieces, words = [], []
    for word, text in enumerate(example.doc_tokens):
        for piece in tokenizer.tokenize(text):
            pieces.append(piece)
            words.append(word)
    room = FLAGS.max_seq_length - len(query) - 3
    spans = squad_windows.sliding_windows(len(pieces), room, FLAGS.doc_stride)
    windows: list[tuple[object, ...]] = []
    for index, (start, length) in enumerate(spans):
        tokens = ["[CLS]", *query, "[SEP]"]
        segment_ids = [0] * len(tokens)
        token_to_orig_map, token_is_max_context = {}, {}
        for place in range(start, start + length):
            best = max(
                range(len(spans)),
                key=lambda other: _context(place, *spans[other]),
            )
            token_is_max_context[len(tokens)] = best == index
            token_to_orig_map[len(tokens)] = words[place]
            tokens.append(pieces[place])
            segment_ids.append(1)
        tokens.append("[SEP]")
        segment_ids.append(1)
        input_ids = tokenizer.convert_tokens_to_ids(tokens)
        windows.append(
            (
                token_to_orig_map,
                token_is_max_context,
                *(
                    packing.pad(values, FLAGS.max_seq_length)
                    for values in (input_ids, [1] * len(tokens), segment_ids)
                ),
            )
        )
    return windows


def _context(place, start, length):
    left, right = place - start, start + length - 1 - place
    if left < 0 or right < 0:
        return -1.0
    return min(left, right) + 0.01 * length
