"""Writes the vectors that a model gives to texts, or to each of their tokens.

    python -m bert_tf.tools.extract_features \\
        --input_file=input.txt --output_file=output.jsonl \\
        --vocab_file=$BERT_DIR/vocab.txt \\
        --bert_config_file=$BERT_DIR/bert_config.json \\
        --init_checkpoint=$BERT_DIR/bert_model.ckpt \\
        --layers=-1,-2,-3,-4 --max_seq_length=128

A line of the input is a text, and `a ||| b` a pair; an empty line is a text
without words. The output has an entry for each line, in the same order:

    features  each token with its vector of each layer, as the original has it:
              {"linex_index": 0, "features": [{"token": "[CLS]", "layers":
              [{"index": -1, "values": [0.415777, …]}, …]}, …]}
    npy       a vector for each text: float32 [N, E], for numpy.load
    jsonl     {"index": 0, "text": "a", "text_pair": "b", "embedding": […]}
    tfrecord  tf.train.Example with `index`, int64, and `embedding`, float

--pooling tells how a text's vector is made, see bert_tf/pooling.py. With none
there are several: `embedding` of jsonl is then a list of them beside `tokens`;
that of tfrecord has them one after the other, `num_tokens` of them.

The model is the bundled one unless three flags name another.
"""

import json

import numpy as np
from absl import flags, logging

from bert_tf import files
from bert_tf.data import example_proto
from bert_tf.embeddings import TextEmbedder
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import model_files, program
from bert_tf.text.packing import MIN_SEQ_LENGTH, split_pair
from bert_tf.training.progress import counted

FLAGS = flags.FLAGS
NUM_EXAMPLES_SHOWN = 5
DECIMALS = 6  # The original's.

flags.DEFINE_string("input_file", None, "Texts, one a line; a pair: a ||| b.")
flags.DEFINE_string("output_file", None, "The vectors.")
flags.DEFINE_string(
    "layers",
    "-1,-2,-3,-4",
    "Layers of --output_format=features: -1 is the last, 0 the first. Unless "
    "it is given, those of them that the model has.",
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
    "batch_size", 32, "Texts in a batch: a matter of speed and memory."
)
# What follows is not in the original.
flags.DEFINE_enum(
    "output_format",
    "features",
    ["features", "npy", "jsonl", "tfrecord"],
    "features, the original's: each token's vectors; the others: a vector for "
    "each text.",
)
shared_flags.define_pooling_flags()


def main():
    program.require("input_file", "output_file")
    program.require_existing("input_file")
    if not files.is_regular(FLAGS.input_file):
        raise UserError(
            f"--input_file={FLAGS.input_file}: a pipe cannot be read twice; "
            "give a regular file"
        )
    model_files.use_bundled_model_if_none_is_given()
    config, _ = model_files.read_model_files()
    inputs = [FLAGS.input_file, FLAGS.vocab_file, FLAGS.bert_config_file]
    program.check_output("output_file", FLAGS.output_file, inputs)
    settings = embedder_settings(config)
    num_texts = sum(1 for _ in files.read_lines(FLAGS.input_file))
    if not num_texts:
        raise UserError(f"--input_file={FLAGS.input_file}: no text in there")
    embedder = TextEmbedder(
        FLAGS.vocab_file,
        FLAGS.bert_config_file,
        FLAGS.init_checkpoint,
        FLAGS.do_lower_case,
        FLAGS.max_seq_length,
        batch_size=FLAGS.batch_size,
        **settings,
    )
    files.make_folder_of(FLAGS.output_file)
    write_output(embedder, num_texts)


def embedder_settings(config) -> dict:
    """Arguments of the `TextEmbedder` that the flags ask for.

    Raises:
        UserError: flags contradict each other, or there is no such layer.
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


def write_output(embedder, num_texts: int):
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
        "%d texts written to %s, %d of them truncated to --max_seq_length=%d",
        num_written,
        FLAGS.output_file,
        num_truncated,
        FLAGS.max_seq_length,
    )


def texts():
    """Yields the texts and pairs of --input_file."""
    for _, line in files.read_lines(FLAGS.input_file):
        text, second = split_pair(line.strip())
        yield text if second is None else (text, second)


def with_log(embedder, stream, num_texts: int):
    """Yields what `stream` does, and logs the first ones and the speed."""
    for number, embedded in enumerate(counted(stream, num_texts)):
        if number < NUM_EXAMPLES_SHOWN:
            logging.info("*** Example ***")
            logging.info("unique_id: %d", number)
            logging.info("tokens: %s", " ".join(embedder.tokens(embedded)))
        yield embedded


# ---------------------------------------------------------------------------
# Formats: function(embedder, index, embedded) -> bytes.


def as_features(embedder, index, embedded) -> bytes:
    layers = embedder.model.layer_indexes
    # As Python's `round` of each, to the bit: a float32 times 10^6 is exact
    # in float64.
    vectors = np.round(embedded.vector.astype(np.float64), DECIMALS)
    vectors = vectors.reshape(len(vectors), len(layers), -1).tolist()
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
    # The key is the original's, with its misprint.
    return _json_line({"linex_index": index, "features": features})


def as_json(embedder, index, embedded) -> bytes:
    text, second = embedded.text, None
    if isinstance(text, tuple):
        text, second = text
    row = {"index": index, "text": text}
    if second is not None:
        row["text_pair"] = second
    if FLAGS.pooling == "none":
        row["tokens"] = embedder.tokens(embedded)
    # The fewest digits that give the same float32 again.
    digits = embedded.vector.astype("U").astype(np.float64)
    return _json_line({**row, "embedding": digits.tolist()})


def _json_line(row) -> bytes:
    return (json.dumps(row) + "\n").encode()


def as_record(embedder, index, embedded) -> bytes:
    vector = embedded.vector.ravel().tolist()
    features = [
        example_proto.int64_feature("index", [index]),
        example_proto.float_feature("embedding", vector),
    ]
    if FLAGS.pooling == "none":
        num_tokens = [len(embedded.vector)]
        features.append(example_proto.int64_feature("num_tokens", num_tokens))
    return example_proto.record(example_proto.example(*features))


def as_npy(embedder, index, embedded) -> bytes:
    return embedded.vector.astype("<f4").tobytes()


def write_npy_header(writer, shape):
    """What a file of float32 `shape`, row after row, starts with."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(writer, header)


ENCODERS = {
    "features": as_features,
    "npy": as_npy,
    "jsonl": as_json,
    "tfrecord": as_record,
}


if __name__ == "__main__":
    program.run(main)
