"""Writes the vectors that a model gives to texts, or to each of their tokens.

    python -m bert_tf.tools.extract_features \\
        --input_file=input.txt --output_file=output.jsonl \\
        --vocab_file=$BERT_DIR/vocab.txt \\
        --bert_config_file=$BERT_DIR/bert_config.json \\
        --init_checkpoint=$BERT_DIR/bert_model.ckpt \\
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

The model is the bundled one unless three flags name another: --vocab_file,
--bert_config_file and --init_checkpoint.
"""

import json
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from absl import flags, logging

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.data import example_proto
from bert_tf.data.tabular import file_shape
from bert_tf.errors import UserError
from bert_tf.programs import defaults, engine_flags, model_files, program
from bert_tf.programs import flags as shared_flags
from bert_tf.text.packing import MIN_SEQ_LENGTH, split_pair

if TYPE_CHECKING:
    from bert_tf.embeddings import EmbeddedText, TextEmbedder

FLAGS = flags.FLAGS
REQUIRED = ("input_file", "output_file")
NUM_EXAMPLES_SHOWN = 5
DECIMALS = 6  # The original's.

flags.DEFINE_string(
    "input_file", None, "File of texts, one on each line; a ||| b is a pair."
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


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("input_file")
    if not files.is_regular(FLAGS.input_file):
        raise UserError(
            f"--input_file={FLAGS.input_file}: a pipe cannot be read twice; "
            "give a regular file"
        )
    defaults.use_bundled_model(needs_checkpoint=True)
    config, _ = model_files.read_model_files()
    inputs = [FLAGS.input_file, FLAGS.vocab_file, FLAGS.bert_config_file]
    program.check_output("output_file", FLAGS.output_file, inputs)
    settings = embedder_settings(config)
    file_shape.warn_unless_text(FLAGS.input_file)
    num_texts = sum(1 for _ in files.read_lines(FLAGS.input_file))
    if not num_texts:
        raise UserError(f"--input_file={FLAGS.input_file}: contains no text")
    from bert_tf.embeddings import TextEmbedder

    embedder = TextEmbedder(
        vocab_file=FLAGS.vocab_file,
        bert_config_file=FLAGS.bert_config_file,
        init_checkpoint=FLAGS.init_checkpoint,
        do_lower_case=FLAGS.do_lower_case,
        max_seq_length=FLAGS.max_seq_length,
        batch_size=FLAGS.batch_size,
        max_batch_tokens=FLAGS.max_batch_tokens,
        engine=FLAGS.engine,
        num_threads=FLAGS.num_threads,
        **settings,
    )
    files.make_folder_of(FLAGS.output_file)
    write_output(embedder, num_texts)


def embedder_settings(config: BertConfig) -> dict[str, Any]:
    """Returns the pooling arguments of `TextEmbedder` that the flags ask for.

    Raises:
        UserError: flags contradict each other, or a layer does not exist.
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
        f"--output_format={FLAGS.output_format} takes --pooling_layer", "layers"
    )
    if FLAGS.pooling == "none" and FLAGS.output_format == "npy":
        raise UserError(
            "--pooling=none: texts have different numbers of tokens, which "
            "no array holds; use --output_format=jsonl or tfrecord"
        )
    return model_files.pooling_settings(config)


def write_output(embedder: "TextEmbedder", num_texts: int) -> None:
    """Writes --output_file, which appears when it is complete.

    Args:
        embedder: gives the vectors.
        num_texts: number of texts in --input_file.

    Raises:
        UserError: --input_file has another number of texts now.
    """
    encode = ENCODERS[FLAGS.output_format]
    num_written = num_truncated = 0
    with (
        files.replacing(FLAGS.output_file) as temporary,
        files.open_binary(temporary, "wb") as writer,
    ):
        if FLAGS.output_format == "npy":
            width = embedder.model.embedding_size
            write_npy_header(writer, (num_texts, width))
        for embedded in with_log(embedder, embedder.stream(texts()), num_texts):
            writer.write(encode(embedder, num_written, embedded))
            num_written += 1
            num_truncated += embedded.is_truncated
        if num_written != num_texts:
            raise UserError(
                f"--input_file={FLAGS.input_file}: changed while it was read"
            )
    logging.info(
        "%s written to %s, %d of them truncated to --max_seq_length=%d",
        number_of(num_written, "text"),
        FLAGS.output_file,
        num_truncated,
        FLAGS.max_seq_length,
    )


def texts() -> Iterator[str | tuple[str, str]]:
    """Yields the texts and pairs of --input_file."""
    for _, line in files.read_lines(FLAGS.input_file):
        text, second = split_pair(line.strip())
        yield text if second is None else (text, second)


def with_log(
    embedder: "TextEmbedder", stream: "Iterator[EmbeddedText]", num_texts: int
) -> "Iterator[EmbeddedText]":
    """Yields the items of `stream`; logs the first ones, and the speed."""
    from bert_tf.training.progress import with_progress

    for number, embedded in enumerate(with_progress(stream, num_texts)):
        if number < NUM_EXAMPLES_SHOWN:
            logging.info("*** Example ***")
            logging.info("unique_id: %d", number)
            logging.info("tokens: %s", " ".join(embedder.tokens(embedded)))
        yield embedded


# ---------------------------------------------------------------------------
# Formats. Each function returns the bytes of one text.


def as_features(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats the vectors of each token as the original does."""
    layers = embedder.model.layer_indexes
    # To the bit like Python's `round`: a float32 times 10^6 is exact in
    # float64.
    rounded = np.round(embedded.vector.astype(np.float64), DECIMALS)
    vectors = rounded.reshape(len(rounded), len(layers), -1).tolist()
    features = [
        {
            "token": token,
            "layers": [
                {"index": layer, "values": values}
                for layer, values in zip(layers, of_layers, strict=True)
            ],
        }
        for token, of_layers in zip(
            embedder.tokens(embedded), vectors, strict=True
        )
    ]
    # The key is the original's, with its spelling mistake.
    return _json_line({"linex_index": index, "features": features})


def as_json(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats a text and its vector as a line of JSON."""
    text, second = embedded.text, None
    if isinstance(text, tuple):
        text, second = text
    row = {"index": index, "text": text}
    if second is not None:
        row["text_pair"] = second
    if FLAGS.pooling == "none":
        row["tokens"] = embedder.tokens(embedded)
    # The fewest digits that are read as the same float32.
    digits = embedded.vector.astype("U").astype(np.float64)
    return _json_line({**row, "embedding": digits.tolist()})


def _json_line(row) -> bytes:
    return (json.dumps(row) + "\n").encode()


def as_record(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats a vector as a tf.train.Example in a TFRecord."""
    vector = embedded.vector.ravel().tolist()
    features = [
        example_proto.int64_feature("index", [index]),
        example_proto.float_feature("embedding", vector),
    ]
    if FLAGS.pooling == "none":
        num_tokens = [len(embedded.vector)]
        features.append(example_proto.int64_feature("num_tokens", num_tokens))
    return example_proto.record(example_proto.example(*features))


def as_npy(
    embedder: "TextEmbedder", index: int, embedded: "EmbeddedText"
) -> bytes:
    """Formats a vector as a row of a .npy file."""
    return embedded.vector.astype("<f4").tobytes()


def write_npy_header(writer: IO[bytes], shape: tuple[int, ...]) -> None:
    """Writes the start of a .npy file, for float32 of a shape in rows."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(writer, header)


ENCODERS = {
    "features": as_features,
    "npy": as_npy,
    "jsonl": as_json,
    "tfrecord": as_record,
}


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
