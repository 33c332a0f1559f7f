"""Writes the vectors that a model gives to texts, or to each of their tokens.

    python -m bert_tf.tools.extract_features \\
        --input_file=input.txt --output_file=output.jsonl \\
        --pretrained=bert-base-uncased \\
        --layers=-1,-2,-3,-4 --max_seq_length=128

Each line of the input is a text, or a pair as in `a ||| b`. An empty line is a
text without words. The output has an entry for each line, in the same order:

    features  each token with its vector from each layer, like the original:
              {"linex_index": 0, "features": [{"token": "[CLS]", "layers":
              [{"index": -1, "values": [0.415777, …]}, …]}, …]}
    npy       one vector per text: float32 [N, E], for numpy.load
    jsonl     {"index": 0, "text": "a", "text_pair": "b", "embedding": […]}
    tfrecord  tf.train.Example with `index`, int64, and `embedding`, float

--pooling says how the vectors of the tokens become one, see bert_tf/pooling.py.
With --pooling=none they stay apart: in jsonl `embedding` is a list of vectors,
and `tokens` a list of the same length; in tfrecord `embedding` has one vector
after the other, `num_tokens` of them.

The model is the bundled one unless --pretrained names another. --runner=beam
computes the vectors on many machines, and writes --num_shards files.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.data import npy
from bert_tf.data.tabular import file_shape
from bert_tf.errors import UserError
from bert_tf.programs import (
    beam_flags,
    bundled,
    console,
    defaults,
    engine_flags,
    model_files,
    program,
)
from bert_tf.programs import flags as shared_flags
from bert_tf.text.packing import MIN_SEQ_LENGTH
from bert_tf.tools import beam_runner, beam_vectors, row_shards
from bert_tf.tools.beam_vectors import texts
from bert_tf.tools.shard_run import ShardRun
from bert_tf.tools.vector_formats import ENCODERS

if TYPE_CHECKING:
    from bert_tf.embeddings import EmbeddedText, TextEmbedder

FLAGS = flags.FLAGS
REQUIRED = ("input_file", "output_file")
NUM_EXAMPLES_SHOWN = 5

flags.DEFINE_string(
    "input_file",
    None,
    "File of texts, one on each line; a ||| b is a pair. A pattern, such as "
    "'part-*', names several, which are read one after the other.",
)
flags.DEFINE_string("output_file", None, "The file of vectors to write.")
flags.DEFINE_string(
    "layers",
    "-1,-2,-3,-4",
    "Layers whose vectors --output_format=features has: -1 is the last, 0 "
    "the first. By default, those of the last four that the model has.",
)
shared_flags.define_network_flags()
shared_flags.define_vocab_flags()
shared_flags.define_count(
    "max_seq_length",
    128,
    "Longest sequence in WordPieces, [CLS] and [SEP] included. Longer texts "
    "are truncated.",
    lower_bound=MIN_SEQ_LENGTH,
)
shared_flags.define_count(
    "batch_size",
    None,
    "The most texts in a batch; by default as many as --max_batch_tokens "
    "allows. Both affect only speed and memory.",
)
engine_flags.define_for_encoders()
# Not in the original.
flags.DEFINE_enum(
    "output_format",
    "features",
    ["features", "npy", "jsonl", "tfrecord"],
    "Format of --output_file: features is the original's, with each token's "
    "vectors. The others have one vector per text.",
)
shared_flags.define_pooling_flags()
beam_flags.define_beam_flags()


def main() -> None:
    program.require(*REQUIRED)
    paths = program.existing_files("input_file")
    check_flags(paths)
    bundled.use_model(needs_checkpoint=True)
    defaults.fit_length()
    config, _ = model_files.read_model_files()
    inputs = [*paths, FLAGS.vocab_file, FLAGS.bert_config_file]
    program.check_output("output_file", FLAGS.output_file, inputs)
    settings = embedder_settings(config)
    for path in paths:
        file_shape.warn_unless_text(path)
    if FLAGS.runner == "beam":
        embed_in_pipeline(paths, settings)
        return
    num_texts = sum(1 for path in paths for _ in files.read_lines(path))
    if not num_texts:
        raise UserError(f"--input_file={FLAGS.input_file}: contains no text")
    from bert_tf.embeddings import TextEmbedder

    embedder = TextEmbedder(**settings)
    files.make_folder_of(FLAGS.output_file)
    write_output(embedder, paths, num_texts)


def check_flags(paths: Sequence[str]) -> None:
    """Raises UserError if the flags contradict each other or the input.

    Args:
        paths: the input.
    """
    row_shards.check_flags()
    for path in paths:
        if not files.is_regular(path):
            raise UserError(
                f"--input_file={path}: a pipe cannot be read twice; give a "
                "regular file"
            )
    beam_runner.check_installed()


def embed_in_pipeline(paths: Sequence[str], settings: dict[str, Any]) -> None:
    """Writes the vectors in an Apache Beam pipeline.

    Args:
        paths: the files of texts.
        settings: the arguments of `TextEmbedder`.
    """
    work = beam_vectors.VectorWork(
        embedder=settings, output_format=FLAGS.output_format
    )
    folder, name = os.path.split(FLAGS.init_checkpoint)
    model = {
        flag: {path: files.stamp(path) for path in of_flag}
        for flag, of_flag in {
            "vocab_file": [FLAGS.vocab_file],
            "bert_config_file": [FLAGS.bert_config_file],
            "init_checkpoint": [
                os.path.join(folder, entry)
                for entry in sorted(files.entries(folder))
                if entry.startswith(f"{name}.")
            ],
            "input_file": paths,
        }.items()
    }
    row_shards.write_shards(
        work,
        work.load(),
        paths,
        ShardRun(FLAGS.output_file),
        {**row_shards.flags_of_shards("output_file"), **model},
        FLAGS.num_shards,
        FLAGS.beam_options,
    )


def embedder_settings(config: BertConfig) -> dict[str, Any]:
    """Returns the arguments of `TextEmbedder` that the flags ask for.

    Args:
        config: of the model.

    Raises:
        UserError: flags contradict each other, or a layer does not exist.
    """
    return {
        "vocab_file": FLAGS.vocab_file,
        "bert_config_file": FLAGS.bert_config_file,
        "init_checkpoint": FLAGS.init_checkpoint,
        **model_files.tokenizer_arguments(),
        "max_seq_length": FLAGS.max_seq_length,
        "batch_size": FLAGS.batch_size,
        "max_batch_tokens": FLAGS.max_batch_tokens,
        "engine": FLAGS.engine,
        "num_threads": FLAGS.num_threads,
        **pooling_settings(config),
    }


def pooling_settings(config: BertConfig) -> dict[str, Any]:
    """Returns the pooling arguments of `TextEmbedder` that the flags ask for.

    Args, Raises: see `embedder_settings`.
    """
    if FLAGS.output_format == "features":
        program.refuse(
            "--output_format=features has each token's vectors, of --layers",
            *shared_flags.POOLING_FLAGS,
        )
        return {
            "pooling": "none",
            "layers": model_files.chosen_layers("layers", config),
        }
    program.refuse(
        f"--output_format={FLAGS.output_format} has vectors of one layer, "
        "that of --pooling_layer",
        "layers",
    )
    if FLAGS.pooling == "none" and FLAGS.output_format == "npy":
        raise UserError(
            "--pooling=none: texts have different numbers of tokens, which "
            "no array holds; use --output_format=jsonl or tfrecord"
        )
    return model_files.pooling_settings(config)


def write_output(
    embedder: "TextEmbedder", paths: Sequence[str], num_texts: int
) -> None:
    """Writes --output_file, which appears when it is complete.

    Args:
        embedder: gives the vectors.
        paths: the files of texts.
        num_texts: number of texts in them.

    Raises:
        UserError: --input_file has another number of texts now.
    """
    encode = ENCODERS[FLAGS.output_format]
    num_written = num_truncated = 0
    # The texts of a file are sorted among themselves, as in a pipeline.
    stream = (e for path in paths for e in embedder.stream(texts(path)))
    with (
        files.replacing(FLAGS.output_file) as temporary,
        files.open_binary(temporary, "wb") as writer,
    ):
        if FLAGS.output_format == "npy":
            width = embedder.model.embedding_size
            npy.write_header(writer, (num_texts, width))
        for embedded in with_log(embedder, stream, num_texts):
            writer.write(encode(embedder, num_written, embedded))
            num_written += 1
            num_truncated += embedded.is_truncated
        if num_written != num_texts:
            raise UserError(
                f"--input_file={FLAGS.input_file}: changed while it was read"
            )
    written = number_of(num_written, "text")
    console.show(
        "Written",
        f"{FLAGS.output_file}: {written}, {num_truncated:,} of them cut at "
        f"--max_seq_length={FLAGS.max_seq_length}",
    )


def with_log(
    embedder: "TextEmbedder", stream: "Iterator[EmbeddedText]", num_texts: int
) -> "Iterator[EmbeddedText]":
    """Yields the items of `stream`; logs the first ones, and the speed."""
    from bert_tf.progress import with_progress

    for number, embedded in enumerate(with_progress(stream, num_texts)):
        if number < NUM_EXAMPLES_SHOWN:
            logging.debug("*** Example ***")
            logging.debug("unique_id: %d", number)
            logging.debug("tokens: %s", " ".join(embedder.tokens(embedded)))
        yield embedded


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
