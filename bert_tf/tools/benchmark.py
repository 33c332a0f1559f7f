"""Measures speed, in ratios: all contestants in turn, in one process.

    python -m bert_tf.tools.benchmark --what=tokenizer,input

runs on the bundled texts. On others:

    python -m bert_tf.tools.benchmark --what=tokenizer \\
        --vocab_file=uncased/vocab.txt --input_file=dev-v1.1.json
    python -m bert_tf.tools.benchmark --what=input \\
        --vocab_file=uncased/vocab.txt --task_name=cola --data_dir=glue/CoLA

The time and the memory of a training step need no text, only a size:

    python -m bert_tf.tools.benchmark --what=step,memory \\
        --bert_config_file=uncased_L-12_H-768_A-12/bert_config.json

A round lets each contestant work once; the figures are medians over rounds,
and a ratio is the median of the rounds' ratios, so that a machine which is
busy for a while does little harm.
"""

import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from absl import flags

from bert_tf import BertConfig, files, pretrained, training
from bert_tf import flags as shared_flags
from bert_tf.data import features, glue, pipeline
from bert_tf.errors import UserError
from bert_tf.heads import BertClassifier
from bert_tf.losses import CLASSIFIER_LOSS
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay, clip_factor
from bert_tf.preprocessing import BertPreprocessor
from bert_tf.progress import Progress, TensorBoard
from bert_tf.tasks import get_task
from bert_tf.tokenization import FullTokenizer

FLAGS = flags.FLAGS
TEXTS_IN_BATCH = 1024
# Over all texts in a round: some batches wait ready from the round before.
PASSES = 3

# Of a small encoder, six layers of 384.
SMALL_CONFIG = BertConfig(
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
)
STEPS_IN_ROUND = 4
NUM_LABELS = 2

flags.DEFINE_list(
    "what",
    ["tokenizer", "input"],
    "What to measure: tokenizer, input, step, memory.",
)
flags.DEFINE_string(
    "bert_config_file",
    None,
    "step, memory: the model's size. Default: six layers of 384.",
)
flags.DEFINE_list(
    "shapes",
    ["8x128", "32x128", "8x512"],
    "memory: batch sizes and sequence lengths.",
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
shared_flags.define_count("batch_size", 32, "input, step: examples in a batch.")
shared_flags.define_count("rounds", 5, "How often each contestant works.")
shared_flags.define_text_flags(max_seq_length=128)
shared_flags.define_training_flags()
flags.adopt_module_key_flags(shared_flags)


def main():
    known = {
        "tokenizer": benchmark_tokenizers,
        "input": benchmark_input,
        "step": benchmark_step,
        "memory": benchmark_memory,
        "one_step": print_memory_of_a_step,  # What `memory` calls.
    }
    for what in FLAGS.what:
        if what not in known:
            names = ", ".join(list(known)[:-1])
            raise UserError(f"--what={what}: known are {names}")
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


# ---------------------------------------------------------------------------
# The training step.


def read_config():
    if not FLAGS.bert_config_file:
        return SMALL_CONFIG
    return BertConfig.from_json_file(FLAGS.bert_config_file)


def random_batch(config, batch_size, length):
    rng = np.random.default_rng(0)
    shape = (batch_size, length)
    return {
        "input_ids": tf.constant(rng.integers(0, config.vocab_size, shape)),
        "input_mask": tf.ones(shape, tf.int32),
        "segment_ids": tf.zeros(shape, tf.int32),
        "label_ids": tf.constant(rng.integers(0, NUM_LABELS, batch_size)),
        "is_real_example": tf.ones(batch_size, tf.int32),
        "example_index": tf.range(batch_size),
    }


def endless(batch):
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    options = tf.data.Options()
    # There is nothing to tune, and its thread is waited for at the end.
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_trainer(config, remat=False, **settings):
    model = BertClassifier(config, NUM_LABELS)
    model.bert.encoder.recompute = remat
    return training.Trainer(
        model,
        AdamWeightDecay(),
        WarmupLinearDecay(1e-6, 10**6),
        CLASSIFIER_LOSS,
        **settings,
    )


def benchmark_step():
    """What the engine costs beyond forward pass, backward pass and update."""
    config = read_config()
    batch = random_batch(config, FLAGS.batch_size, FLAGS.max_seq_length)
    keys = ("xla", "remat", "4 micro-batches")
    settings = (
        {"jit_compile": True},
        {"remat": True},
        {"num_micro_batches": 4},
    )
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            "the engine": engine_steps(make_trainer(config), batch, folder)
        }
        for key, setting in zip(keys, settings, strict=True):
            contestants[f"the engine, {key}"] = engine_steps(
                make_trainer(config, **setting), batch, folder
            )
        contestants["bare step"] = bare_steps(make_trainer(config), batch)
        seconds = race(contestants, FLAGS.rounds)
    print_table(
        f"Training {config.num_hidden_layers} layers of {config.hidden_size} "
        f"on {FLAGS.batch_size} sequences of {FLAGS.max_seq_length}, on "
        f"{os.cpu_count()} cores. The bare step is forward pass, backward "
        "pass, clipping and update on a batch in memory, and nothing else.",
        "examples/s",
        FLAGS.batch_size * STEPS_IN_ROUND,
        seconds,
    )


def engine_steps(trainer, batch, folder):
    """Work that trains on with the loop and the callbacks of the programs."""
    dataset = endless(batch)

    def work():
        end = int(trainer.global_step.numpy()) + STEPS_IN_ROUND
        callbacks = [Progress(FLAGS.batch_size)]
        callbacks.append(TensorBoard(folder, FLAGS.batch_size))
        training.train(trainer, lambda step: dataset, end, callbacks=callbacks)

    return work


def bare_steps(trainer, batch):
    """Work of the same arithmetic, written out for one device."""
    optimizer, variables = trainer.optimizer, trainer.variables
    one, scale = [tf.constant(float(FLAGS.batch_size))], tf.constant(1.0)

    # Constants in the graph would be computed with once and for all.
    @tf.function
    def step(batch, seed):
        loss, squares, *gradients = trainer.forward_backward(
            batch, seed, one, scale
        )
        norm = training.gradient_norm(gradients, squares, trainer._sliced)
        factor = clip_factor(norm, training.CLIP_NORM)
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient * factor, variable, 1e-6)
        return loss

    def work():
        for index in range(STEPS_IN_ROUND):
            step(batch, tf.constant([0, index]))

    return work


def benchmark_memory():
    """Prints peak memory of training steps, each in a process of its own."""
    config = read_config()
    remat, parts = "--remat", "--gradient_accumulation_steps=4"
    columns = {}
    for precision in ("float32", "bfloat16"):
        setting = f"--precision={precision}"
        columns[precision] = [setting]
        columns[f"{precision}, remat"] = [setting, remat]
        columns[f"{precision}, 4 parts"] = [setting, parts]
        columns[f"{precision}, remat, 4 parts"] = [setting, remat, parts]
    print(
        f"\nGB of memory to train {config.num_hidden_layers} layers of "
        f"{config.hidden_size}, beyond TensorFlow's own, by batch size x "
        "sequence length.\n"
    )
    print(f"| | {' | '.join(columns)} |")
    print("|---" * (1 + len(columns)) + "|")
    for shape in FLAGS.shapes:
        batch_size, length = parse_shape(shape)
        cells = [
            memory_of_a_step(batch_size, length, flags_)
            for flags_ in columns.values()
        ]
        print(f"| {shape} | {' | '.join(cells)} |", flush=True)


def parse_shape(shape):
    batch_size, _, length = shape.partition("x")
    if not (batch_size.isdigit() and length.isdigit()):
        raise UserError(f"--shapes={shape}: give them as 32x128")
    return batch_size, length


def memory_of_a_step(batch_size, length, settings):
    command = [
        *(sys.executable, "-m", "bert_tf.tools.benchmark", "--what=one_step"),
        *(f"--batch_size={batch_size}", f"--max_seq_length={length}"),
        *settings,
    ]
    if FLAGS.bert_config_file:
        command.append(f"--bert_config_file={FLAGS.bert_config_file}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "out of memory"
    return done.stdout.split()[-1]


def print_memory_of_a_step():
    keras.config.set_dtype_policy(training.POLICIES[FLAGS.precision])
    config = read_config()
    before = peak_memory()
    trainer = make_trainer(
        config,
        remat=FLAGS.remat,
        num_micro_batches=FLAGS.gradient_accumulation_steps,
        jit_compile=FLAGS.xla,
    )
    batch = random_batch(config, FLAGS.batch_size, FLAGS.max_seq_length)
    dataset = endless(batch)
    training.train(trainer, lambda step: dataset, 2)
    print(f"{(peak_memory() - before) / 1e9:.2f}")


def peak_memory():
    """Bytes: of the first GPU if there is one, else of this process."""
    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    shared_flags.run(main)
