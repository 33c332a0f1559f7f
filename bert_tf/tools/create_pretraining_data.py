"""Makes training data for run_pretraining.py from text.

    python -m bert_tf.tools.create_pretraining_data \\
        --input_file=sample_text.txt --output_file=/tmp/tf_examples.tfrecord \\
        --vocab_file=$BERT/vocab.txt

The text has one sentence per line, and an empty line between documents. The
command above writes the same examples as the original, in the same order. For
text that does not fit in memory, --num_shards=K distributes the documents to K
files, and makes --num_workers of them at a time.
"""

import dataclasses
import random
import zlib
from typing import TYPE_CHECKING

from absl import flags, logging

from bert_tf import files
from bert_tf.data.pretraining import instances as pretraining_instances
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.data.pretraining.shards import RecordMaker
from bert_tf.data.tabular import file_shape
from bert_tf.errors import UserError
from bert_tf.programs import (
    beam_flags,
    bundled,
    console,
    model_files,
    program,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.settings import from_flags
from bert_tf.text.packing import NUM_SPECIAL_OF_PAIR
from bert_tf.tokenization import FullTokenizer, check_casing
from bert_tf.tools import beam_runner
from bert_tf.tools.shard_run import ShardRun

if TYPE_CHECKING:
    import tensorflow as tf

FLAGS = flags.FLAGS
REQUIRED = ("input_file", "output_file")
NUM_INSTANCES_LOGGED = 20
# A sequence has [CLS], two [SEP], and a token of A and of B.
MIN_SEQ_LENGTH = NUM_SPECIAL_OF_PAIR + pretraining_instances.MIN_TOKENS

shared_flags.define_text_files_flag()
flags.DEFINE_string(
    "output_file",
    None,
    "TFRecord file to write, or several with commas between, which get the "
    "records in turn.",
)
shared_flags.define_pretrained_flag()
shared_flags.define_vocab_flags()
flags.DEFINE_bool(
    "do_whole_word_mask", False, "Mask either all pieces of a word or none."
)
shared_flags.define_count(
    "max_seq_length",
    128,
    "Largest number of tokens in a sequence, including [CLS] and [SEP].",
    lower_bound=MIN_SEQ_LENGTH,
)
shared_flags.define_count(
    "max_predictions_per_seq",
    20,
    "Largest number of masked tokens per sequence.",
)
flags.DEFINE_integer(
    "random_seed",
    12345,
    "Random seed of all random choices: masks, and pairs of segments.",
)
shared_flags.define_count(
    "dupe_factor",
    10,
    "How many times each document is used, each time with other masks.",
)
shared_flags.define_float(
    "masked_lm_prob",
    0.15,
    "Fraction of the tokens that are masked.",
    lower_bound=0.0,
    upper_bound=1.0,
)
shared_flags.define_float(
    "short_seq_prob",
    0.1,
    "Fraction of the documents that become shorter sequences.",
    lower_bound=0.0,
    upper_bound=1.0,
)
# Not in the original.
shared_flags.define_count(
    "num_shards",
    0,
    "Number of files, --output_file-00000-of-…, to distribute the documents "
    "to. Each has a random seed of its own. Each worker holds one of them in "
    "memory.",
    lower_bound=0,
    upper_bound=99_999,
)
shared_flags.define_count(
    "num_workers",
    0,
    "Processes that make shards; 0 means one per core. The shards do not "
    "depend on it.",
    lower_bound=0,
)
beam_flags.define_runner_flags()


def main() -> None:
    maker = read_flags()
    paths = program.matching_files("input_file")
    check_outputs(paths)
    logging.debug("*** Reading from input files ***")
    for path in paths:
        logging.debug("  %s", path)
        file_shape.warn_unless_text(path)
    if FLAGS.num_shards:
        write_shards(maker, paths)
    else:
        write_as_the_original(maker, paths)


def read_flags() -> pretraining_shards.RecordMaker:
    """Makes the RecordMaker that the flags ask for.

    Raises:
        UserError: a flag is missing, or contradicts another or the vocabulary.
    """
    program.require(*REQUIRED)
    bundled.use_model()
    program.require_existing("vocab_file")
    if FLAGS.max_predictions_per_seq > FLAGS.max_seq_length:
        raise UserError(
            f"--max_predictions_per_seq={FLAGS.max_predictions_per_seq} is "
            f"more than --max_seq_length={FLAGS.max_seq_length}"
        )
    wanted = round(FLAGS.max_seq_length * FLAGS.masked_lm_prob)
    if wanted > FLAGS.max_predictions_per_seq:
        logging.warning(
            "--max_predictions_per_seq=%d: the longest sequences get no more "
            "masks, though --masked_lm_prob=%s of their tokens are %d",
            FLAGS.max_predictions_per_seq,
            FLAGS.masked_lm_prob,
            wanted,
        )
    check_casing(read_tokenizer().vocab, FLAGS.do_lower_case)
    if FLAGS.num_workers and not FLAGS.num_shards:
        raise UserError(
            f"--num_workers={FLAGS.num_workers} needs --num_shards, the number "
            "of files"
        )
    beam_runner.check_flags()
    return pretraining_shards.RecordMaker(
        vocab_file=FLAGS.vocab_file,
        **model_files.tokenizer_arguments(),
        settings=from_flags(
            pretraining_instances.InstanceSettings, FLAGS.flag_values_dict()
        ),
        random_seed=FLAGS.random_seed,
    )


def read_tokenizer() -> FullTokenizer:
    """Returns the tokenizer that the flags ask for; it is read only once."""
    try:
        tokens = pretraining_shards.vocabulary(
            FLAGS.vocab_file, model_files.tokenizer_settings()
        )
    except UserError as error:
        message = program.message_of(error)
        if FLAGS.vocab_file not in message:
            message = f"--vocab_file={FLAGS.vocab_file}: {message}"
        raise UserError(message) from None
    return tokens.tokenizer


def output_files() -> list[str]:
    """Returns the paths of --output_file."""
    return FLAGS.output_file.split(",")


def check_outputs(inputs: list[str]) -> None:
    """Raises UserError if --output_file cannot be written.

    Args:
        inputs: files that must not be replaced.
    """
    paths = output_files()
    for path in paths:
        program.check_output("output_file", path, [*inputs, FLAGS.vocab_file])
    if len(set(paths)) < len(paths):
        raise UserError(
            f"--output_file={FLAGS.output_file}: names a file twice"
        )
    if FLAGS.num_shards and len(paths) > 1:
        raise UserError(
            f"--output_file={FLAGS.output_file}: must be one name with "
            "--num_shards, which makes a name for each shard from it"
        )


# ---------------------------------------------------------------------------
# Like the original: all in memory.


def write_as_the_original(maker: RecordMaker, paths: list[str]) -> None:
    """Writes the original's records. The files appear when all are complete."""
    import tensorflow as tf

    from bert_tf.progress import DocumentReporter

    for path in output_files():
        files.make_folder_of(path)
        files.check_writable(path)  # Before the long work.
    reading = DocumentReporter("Read")

    def lines():
        is_inside, num_documents, num_lines = False, 0, 0
        for line in pretraining_instances.lines_of(paths):
            starts = not is_inside and bool(line.strip())
            is_inside = bool(line.strip())
            num_documents += starts
            num_lines += is_inside
            reading.add_documents(int(starts), len(line))
            yield line
        reading.log()
        file_shape.warn_of_few_documents(
            ", ".join(paths[:1]), num_documents, num_lines
        )

    making = DocumentReporter("Used")
    serialized = maker.serialized_examples(
        lines(),
        random.Random(FLAGS.random_seed),
        lambda share_done: making.add_documents(share_done=share_done),
    )
    check_any(len(serialized))
    logging.debug("*** Writing to output files ***")
    for path in output_files():
        logging.debug("  %s", path)
    for content in serialized[:NUM_INSTANCES_LOGGED]:
        log_instance(tf.train.Example.FromString(content))
    pretraining_shards.write_records(output_files(), serialized)
    show_written(len(serialized))


def show_written(number: int) -> None:
    """Shows what was written, and logs it as the original does."""
    logging.debug("Wrote %d total instances", number)
    console.show("Written", f"{FLAGS.output_file}: {number:,} instances")


def check_any(number: int) -> None:
    """Raises UserError if the input has led to nothing."""
    if not number:
        raise UserError(f"--input_file={FLAGS.input_file}: contains no text")


def log_instance(example: "tf.train.Example") -> None:
    """Logs an instance as the original does."""
    logging.debug("*** Example ***")
    for name, feature in sorted(example.features.feature.items()):
        values = feature.int64_list.value or feature.float_list.value
        if name == "input_ids":
            tokens = read_tokenizer().convert_ids_to_tokens(
                filter(None, values)
            )
            logging.debug("tokens: %s", " ".join(tokens))
        logging.debug("%s: %s", name, " ".join(map(str, values)))


# ---------------------------------------------------------------------------
# In shards.


def write_shards(maker: RecordMaker, paths: list[str]) -> None:
    """Writes the shards that do not exist yet."""
    files.make_folder_of(FLAGS.output_file)
    run = ShardRun(FLAGS.output_file)
    with run.alone():
        state = state_of_run(maker, paths)
        run.check(state)
        run.remove_leftovers()
        write_missing_shards(run, maker, paths, state)


def write_missing_shards(
    run: ShardRun,
    maker: RecordMaker,
    paths: list[str],
    state: dict[str, object],
) -> None:
    """Writes the shards that do not exist yet, in the runner of the flags.

    Args:
        run: this run.
        maker: turns text into records.
        paths: the text files.
        state: what `state_of_run` returned.
    """
    output_file, num_shards = FLAGS.output_file, FLAGS.num_shards
    targets = {
        shard: pretraining_shards.shard_path(output_file, shard, num_shards)
        for shard in range(num_shards)
    }
    missing = {
        shard: path for shard, path in targets.items() if not files.exists(path)
    }
    if len(missing) < num_shards:
        logging.info(
            "%d of %d shards exist already",
            num_shards - len(missing),
            num_shards,
        )
    logging.debug("*** Writing to output files ***")
    if missing and FLAGS.runner == "beam":
        run.write(state)
        beam_runner.write_shards(maker, paths, targets, FLAGS.beam_options)
    elif missing:
        write_shards_here(run, maker, paths, missing, state)
    for path in targets.values():
        logging.debug("  %s", path)


def state_of_run(maker: RecordMaker, paths: list[str]) -> dict[str, object]:
    """Returns all that the shards depend on, {flag: value} for JSON."""
    vocabulary = files.read_text(FLAGS.vocab_file).encode()
    return {
        "num_shards": FLAGS.num_shards,
        "vocab_file": zlib.crc32(vocabulary),
        **maker.tokenizer_arguments(),
        "random_seed": maker.random_seed,
        **dataclasses.asdict(maker.settings),
        "input_file": {path: files.stamp(path) for path in paths},
    }


def write_shards_here(
    run: ShardRun,
    maker: RecordMaker,
    paths: list[str],
    missing: dict[int, str],
    state: dict[str, object],
) -> None:
    """Writes shards on this machine, one per process at a time.

    Args:
        run, maker, paths, state: as for `write_missing_shards`.
        missing: {shard: path} of the shards to write.
    """
    import joblib

    from bert_tf.progress import DocumentReporter

    with run.dealing_folder() as folder:
        dealing = DocumentReporter("Distributed")
        dealt = pretraining_shards.distribute(
            paths,
            FLAGS.num_shards,
            folder,
            lambda characters: dealing.add_documents(1, characters),
        )
        dealing.log()
        check_dealt(dealt)
        run.write(state)
        total = sum(dealt[shard].num_characters for shard in missing)
        parallel = joblib.Parallel(
            n_jobs=FLAGS.num_workers or joblib.cpu_count(),
            batch_size=1,
            pre_dispatch="n_jobs",
            return_as="generator_unordered",
        )
        making = DocumentReporter("Used")
        num_instances = 0
        for shard, number in parallel(
            joblib.delayed(write_shard)(maker, dealt[shard].path, path, shard)
            for shard, path in missing.items()
        ):
            num_instances += number
            making.add_documents(
                dealt[shard].num_documents, dealt[shard].num_characters
            )
            making.share_done = making.num_characters / total
            making.log()
    show_written(num_instances)


def write_shard(
    maker: RecordMaker, source: str, path: str, shard: int
) -> tuple[int, int]:
    """Writes a shard, in a process of its own.

    Args:
        maker: turns text into records.
        source: the file with the shard's text.
        path: the file to write.
        shard: the shard's number.

    Returns:
        The shard, and the number of its records.
    """
    lines = pretraining_instances.lines_of([source])
    return shard, maker.write_shard(path, shard, lines)


def check_dealt(dealt: list[pretraining_shards.ShardText]) -> None:
    """Raises UserError unless each shard has a document."""
    num_documents = sum(shard.num_documents for shard in dealt)
    check_any(num_documents)
    if num_documents < len(dealt):
        raise UserError(
            f"--num_shards={len(dealt)} is more than the {num_documents} "
            "documents of the input (an empty line ends one)"
        )


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
