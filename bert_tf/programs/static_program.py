"""Exports static vectors, as export_static was asked to."""

import functools
import itertools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from absl import flags

from bert_tf import files, static_vectors
from bert_tf.counts import number_of
from bert_tf.data import labelled_table
from bert_tf.data.labelled_set import TableSet
from bert_tf.data.labelled_table import TableSettings
from bert_tf.data.tabular import text_rows
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export import saved_models, serving_outputs, writing
from bert_tf.export.kinds import SINGLE_LABEL
from bert_tf.export.serving_base import InputShape, ServingModule
from bert_tf.export.serving_modules import EmbeddingServing, TextServing
from bert_tf.formats.tokenizer_json import SPECIAL_TOKENS
from bert_tf.pooling import BertEmbedder
from bert_tf.programs import console, labelled_run, model_files, program
from bert_tf.programs.export_program import load
from bert_tf.programs.logistic_head import fit_head
from bert_tf.progress import working
from bert_tf.static_vectors import StaticEmbedder

FLAGS = flags.FLAGS
LINES_AT_ONCE = 4096


def export() -> None:
    """Writes the model that the flags describe."""
    saved_models.check_replaceable(FLAGS.export_dir)
    sets = read_sets()
    config, tokenizer = model_files.read_config_and_tokenizer()
    model = BertEmbedder(config, **model_files.pooling_settings(config))
    size = num_components(model.embedding_size)
    reader = labelled_run.make_reader(tokenizer, FLAGS.flag_values_dict())
    embedder = make_embedder(model, reader, size)
    if not sets:
        write(embedder, EmbeddingServing(embedder, reader, InputShape()))
        return
    export_labels(embedder, reader, sets)


def num_components(width: int) -> int:
    """The number of components of a vector.

    Args:
        width: that of the encoder's vectors.

    Raises:
        UserError: more are asked for.
    """
    if FLAGS.num_components is None:
        return min(static_vectors.SIZE, width)
    if FLAGS.num_components > width:
        raise UserError(
            f"the encoder's vectors have {width} components",
            setting="num_components",
            value=FLAGS.num_components,
        )
    return FLAGS.num_components


def read_sets() -> dict[str, TableSet]:
    """The labelled texts: {"train", "dev"}, as far as they are given."""
    if FLAGS.train_file is None:
        return {}
    settings = TableSettings(
        train_file=FLAGS.train_file,
        dev_file=FLAGS.dev_file,
        text_column=FLAGS.text_column,
        label_column=FLAGS.label_column,
    )
    names = ["train", "dev"] if FLAGS.dev_file else ["train"]
    form = text_rows.format_of_name(FLAGS.train_file) or "csv"
    if files.uncompressed_name(FLAGS.train_file).lower().endswith(".json"):
        form = "jsonl"
    return labelled_table.read_sets(settings, form, names)


@working("Encoding the vocabulary")
def make_embedder(
    model: BertEmbedder, reader: TextReader, size: int
) -> StaticEmbedder:
    """Encodes each piece, and makes the table of what is left of it."""
    load(model, FLAGS.init_checkpoint)
    vocab = reader.tokenizer.vocab
    vectors = static_vectors.piece_vectors(model, vocab)
    table = static_vectors.principal_components(vectors, size)
    weights = static_vectors.sif_weights(
        len(table), count_pieces(reader, len(table)), FLAGS.sif_coefficient
    )
    weights[[vocab[piece] for piece in SPECIAL_TOKENS if piece in vocab]] = 0.0
    embedder = StaticEmbedder(*table.shape)
    embedder.table.word_embeddings.assign(table * weights[:, np.newaxis])
    return embedder


def count_pieces(reader: TextReader, vocab_size: int) -> np.ndarray | None:
    """How often each piece occurs in --corpus, int [V]; None without it.

    Raises:
        UserError: the corpus has no text.
    """
    if not FLAGS.corpus:
        return None
    paths = program.matching_files("corpus")
    counts = np.zeros(vocab_size, np.int64)
    lines = (line for path in paths for _, line in files.read_lines(path))
    while block := [*itertools.islice(lines, LINES_AT_ONCE)]:
        ids = reader.preprocess.tokenize(tf.constant(block)).flat_values
        counts += np.bincount(ids.numpy(), minlength=vocab_size)
    if not counts.any():
        raise UserError(
            "contains no text", setting="corpus", value=FLAGS.corpus
        )
    console.show(
        "Corpus",
        f"{number_of(len(paths), 'file')}: {counts.sum():,} pieces, "
        f"{np.count_nonzero(counts):,} of {vocab_size:,} of the vocabulary",
    )
    return counts


def export_labels(
    embedder: StaticEmbedder, reader: TextReader, sets: dict[str, TableSet]
) -> None:
    """Fits a logistic regression on the vectors, scores and writes it.

    Raises:
        UserError: no label of the dev set is one of training.
    """
    labels = labelled_table.infer_labels(sets["train"], SINGLE_LABEL.name)
    if "dev" in sets:
        dev_set = labelled_table.check_labels(sets["dev"], labels, "dev", False)
        sets = {**sets, "dev": dev_set}
    vectors = vectors_of(embedder, reader, sets["train"])
    ids = {label: place for place, label in enumerate(labels)}
    kernel, bias = fit_head(
        vectors, [ids[label] for label in sets["train"].labels], len(labels)
    )
    model = StaticEmbedder(
        embedder.vocab_size, embedder.size, num_labels=len(labels)
    )
    model.set_weights([*embedder.get_weights(), kernel, bias])
    if "dev" in sets:
        found = vectors_of(embedder, reader, sets["dev"]) @ kernel + bias
        wanted = [ids.get(label, -1) for label in sets["dev"].labels]
        right = np.mean(found.argmax(axis=1) == np.array(wanted))
        console.show(
            "Dev set",
            f"{number_of(len(wanted), 'example')}  eval_accuracy {right:.4f}",
        )
    module = TextServing(
        model,
        reader,
        kind=SINGLE_LABEL.name,
        outputs_of=functools.partial(serving_outputs.label, labels=labels),
        shape=InputShape(),
        answers_softmax=True,
    )
    write(model, module, labels=labels)


def vectors_of(
    embedder: StaticEmbedder, reader: TextReader, examples: Iterable
) -> np.ndarray:
    """The vectors of the texts of examples, float32 [N, E]."""
    texts = (example.text_a for example in examples)
    vectors = []
    while block := [*itertools.islice(texts, LINES_AT_ONCE)]:
        vectors.append(embedder(reader.read(tf.constant(block), None)).numpy())
    return np.concatenate(vectors)


@working("Exporting")
def write(model: StaticEmbedder, module: ServingModule, **more: object) -> None:
    """Writes the SavedModel, and LiteRT files if they are asked for."""
    described = {
        "static": {"num_components": model.size},
        "pooling": FLAGS.pooling,
        "normalize": True,
        **more,
    }
    writing.export_module(FLAGS.export_dir, module, description=described)
    console.show("Written", f"{FLAGS.export_dir}: a SavedModel, static vectors")
    writing.remove_lite(FLAGS.export_dir)
    if FLAGS.export_tflite:
        writing.export_lite(
            FLAGS.export_dir, module, model.shape_config, FLAGS.vocab_file
        )
        console.show("", ", ".join(writing.lite_files(FLAGS.export_dir)))
